"""Asks for latents that only the server can compute: the w of a seed, and the w of a z (mapping network)."""

from collections.abc import Callable
from typing import cast

import numpy as np
from bpy.types import ImageStrip, Scene
from numpy.typing import NDArray

from ...lantern_protocol import methods, vectors
from ...lantern_protocol.answers import Latents
from ...lantern_protocol.params import MapParams
from ..core.latents import sample_z
from ..scene import keying, timing
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
    classes = keying.classes_at(scene, image_strip, [timing.key_time(scene, scene.frame_current)])
    ask_mapping(image_strip, np.array([z]), classes, lambda w: answered(w[0].tolist() * repeats), failed)


def ask_mapping(
    image_strip: ImageStrip,
    latents: Floats,
    classes: Floats,
    answered: Callable[[Floats], None],
    failed: Callable[[str], None],
) -> None:
    """Ask for the w of each z (n, z_dim) with its class weights (n, C); `answered` takes an array (n, w_dim)."""
    settings = settings_of(image_strip)
    weights = _packed(classes) if classes.size else None
    params = MapParams(generator_of(settings), _packed(latents), weights)
    wanted = (len(latents), settings.w_dim)

    def mapped(answer: Latents) -> None:
        if answer.latents.shape != wanted:
            raise ValueError(f"latents of shape {answer.latents.shape} instead of {wanted}")
        answered(array_of(answer.latents))

    session.ask(methods.MAP, params, mapped, failed)


def array_of(floats: vectors.Floats) -> Floats:
    """Return the numbers of a message as float64, in the shape that the server gives."""
    return np.frombuffer(floats.data, np.float32).reshape(floats.shape).astype(np.float64)


def _packed(values: Floats) -> vectors.Floats:
    data = np.ascontiguousarray(values, np.float32)
    return vectors.Floats(data.tobytes(), data.shape)
