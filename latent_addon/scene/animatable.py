"""The data paths in Blender of the properties that can be animated on a latent strip."""

from __future__ import annotations

from functools import lru_cache

from ..core.animatable import CLASSES, LATENT, SETTINGS

_ARRAYS = {f'["{name}"]': name for name in (LATENT, CLASSES)}
_GROUP = ".latent_lantern."

PATHS = {name: path for path, name in _ARRAYS.items()} | {each.name: _GROUP + each.name for each in SETTINGS}
"""The data path of each property, from its strip on."""

WHOLE_NUMBER_PATHS = tuple(PATHS[each.name] for each in SETTINGS if each.kind.whole_number)
"""The ends of the data paths of curves whose values Blender rounds when it evaluates them."""


@lru_cache(maxsize=4096)
def owner_of(path: str) -> tuple[str, str] | None:
    """Return the path of the strip and the name of the property that a data path of a scene leads to.

    Return None if it leads to nothing that can be animated on a latent strip.
    """
    if not path.startswith("sequence_editor.strips_all["):
        return None
    for array, name in _ARRAYS.items():
        if path.endswith(array):
            return path[: -len(array)], name
    prefix, _, name = path.rpartition(_GROUP)
    return (prefix, name) if name in PATHS else None
