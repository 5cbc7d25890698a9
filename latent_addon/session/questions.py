"""Asks for latents that only the server can compute: the w of a seed, and the w of a z (mapping network)."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from bpy.types import ImageStrip, Scene
from numpy.typing import NDArray

from ...lantern_protocol import vectors
from ..core.latents import sample_z
from ..scene import keying
from ..scene.properties import settings_of
from .describing import generator_of
from .session import session

Floats = NDArray[np.float64]


def ask_latent(
    image_strip: ImageStrip,
    seed: int,
    space: str,
    answered: Callable[[list[float]], None],
    failed: Callable[[str], None],
) -> None:
    """Ask for the latent of a seed in a space; for Z it is computed here, without the server."""
    settings = settings_of(image_strip)
    z = sample_z(seed, settings.latent_shape("Z"))
    if space == "Z":
        answered(z)
        return
    repeats = settings.num_ws if space == "W+" else 1
    scene = cast(Scene, image_strip.id_data)
    classes = keying.classes_at(scene, image_strip, [scene.frame_current])
    ask_mapping(image_strip, np.array([z]), classes, lambda w: answered(w[0].tolist() * repeats), failed)


def ask_mapping(
    image_strip: ImageStrip,
    latents: Floats,
    classes: Floats,
    answered: Callable[[Floats], None],
    failed: Callable[[str], None],
) -> None:
    """Ask for the w of each z (n, z_dim) with its class weights (n, C); `answered` takes an array (n, w_dim)."""
    params = {"generator": generator_of(settings_of(image_strip)), "latents": _packed(latents)}
    if classes.size:
        params["classes"] = _packed(classes)
    session.ask("latents/map", params, lambda answer: answered(floats_of(answer)), failed)


def floats_of(answer: dict[str, Any]) -> Floats:
    """Return the latents of an answer, float64, in the shape that the server gives."""
    floats, shape = vectors.unpack_floats(answer.get("latents"))
    return np.frombuffer(floats, np.float32).reshape(shape).astype(np.float64)


def _packed(values: Floats) -> dict[str, Any]:
    data = np.ascontiguousarray(values, np.float32)
    return vectors.pack_floats(data.tobytes(), data.shape)
