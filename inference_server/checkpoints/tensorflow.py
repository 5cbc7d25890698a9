"""Find networks of ``dnnlib.tflib`` (TensorFlow pickles of StyleGAN and StyleGAN2), their settings and variables.

A pickle holds one network, or a sequence: generator, discriminator, averaged generator. A generator has the components
"synthesis" and "mapping". Variables such as the average w are not in a component but in the generator itself. The
version number of the format and the source text that a network contains are not used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .inert import Inert

COMPONENTS = ("synthesis", "mapping")


def find_generator(value: Any) -> Inert | None:
    """Return the averaged generator of a pickle's value: the last generator in it, or None if there is none."""
    if isinstance(value, dict):
        value = list(value.values())
    for item in reversed(value) if isinstance(value, list | tuple) else (value,):
        if all(_component(item, name) is not None for name in COMPONENTS):
            return item
    return None


def variables(network: Inert, component: str = "") -> dict[str, np.ndarray[Any, Any]]:
    """Return the variables of a network's component by their names; of the network itself if ``component`` is empty.

    Scalars become arrays without dimensions. Values that are neither numbers nor arrays are left out.
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
    """Return the settings that a network, or its component, was made with (``static_kwargs``)."""
    part = _component(network, component)
    given = part.get("static_kwargs") if part is not None else None
    return {key: value for key, value in given.items() if isinstance(key, str)} if isinstance(given, dict) else {}


def _component(network: Any, name: str) -> Inert | None:
    """Return a component, or the network itself if the name is empty; None if there is no such network or component."""
    if not isinstance(network, Inert) or not isinstance(network.state, dict):
        return None
    if not name:
        return network
    parts = network.get("components")
    part = parts.get(name) if isinstance(parts, dict) else None
    return part if isinstance(part, Inert) and isinstance(part.state, dict) else None
