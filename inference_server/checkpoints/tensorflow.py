"""Networks of ``dnnlib.tflib`` (TensorFlow pickles of StyleGAN and StyleGAN2): their parts, settings and variables.

A pickle holds one network, or a sequence of them: generator, discriminator, generator average. A generator has the
components "synthesis" and "mapping"; variables such as the average w lie beside them, in the generator itself. The
number of the format, and the source text that a network carries, decide nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .inert import Inert

COMPONENTS = ("synthesis", "mapping")


def find_generator(value: Any) -> Inert | None:
    """The generator average of what a pickle held: the last generator in it, None if there is none."""
    if isinstance(value, dict):
        value = list(value.values())
    for item in reversed(value) if isinstance(value, list | tuple) else (value,):
        if all(_component(item, name) is not None for name in COMPONENTS):
            return item
    return None


def variables(network: Inert, component: str = "") -> dict[str, np.ndarray[Any, Any]]:
    """The variables of a network's component, of the network itself if ``component`` is empty, by their names.

    Scalars become arrays of no dimension; what is neither a number nor an array is left out.
    """
    part = _component(network, component)
    listed = part.get("variables") if part is not None else None
    pairs = listed.items() if isinstance(listed, dict) else listed if isinstance(listed, list | tuple) else ()
    found = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
            continue
        if isinstance(pair[1], np.ndarray | np.generic | float | int):
            found[pair[0]] = np.asarray(pair[1])
    return found


def settings(network: Inert, component: str = "") -> dict[str, Any]:
    """What a network, or its component, was made with (``static_kwargs``)."""
    part = _component(network, component)
    given = part.get("static_kwargs") if part is not None else None
    return {key: value for key, value in given.items() if isinstance(key, str)} if isinstance(given, dict) else {}


def _component(network: Any, name: str) -> Inert | None:
    """A component, the network itself for the empty name; None if it is no network or has none of that name."""
    if not isinstance(network, Inert) or not isinstance(network.state, dict):
        return None
    if not name:
        return network
    parts = network.get("components")
    part = parts.get(name) if isinstance(parts, dict) else None
    return part if isinstance(part, Inert) and isinstance(part.state, dict) else None
