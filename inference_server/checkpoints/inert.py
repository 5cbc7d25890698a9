"""What is read from a file of foreign objects: plain values, tensors, and inert descriptions of everything else.

None of it was ever run. Lists, tuples, dicts, strings, numbers, None, numpy arrays and torch tensors stay what they are
(``OrderedDict``, ``EasyDict`` and similar classes become dicts). An object of any other class becomes an ``Inert``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(eq=False, repr=False)
class Inert:
    """The description of an object whose class is never run.

    module, name: its class. For objects of NVIDIA's ``persistent_class``, module is "persistent" and name is the name
    of the class; for Torch7, module is "torch7" and name is, for example, "nn.Sequential". arguments: what it was made
    with. state: its attributes, usually a dict. items: what was appended to it or set in it, if it is a container.
    """

    module: str
    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] | dict[Any, Any] = field(default_factory=list)

    def __repr__(self) -> str:
        # Without its contents: even a small file can hold an object whose text is endless.
        return f"<{self.module}.{self.name}>"

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute of the object."""
        return self.state.get(name, default) if isinstance(self.state, dict) else default


def is_module(value: Any) -> bool:
    """Return whether this was a ``torch.nn.Module``."""
    return isinstance(value, Inert) and isinstance(value.state, dict) and isinstance(value.get("_modules"), dict)


def submodule(module: Inert, path: str) -> Inert | None:
    """Return the module at a dotted path, or None if there is none. The empty path is the module itself."""
    found: Any = module
    for part in path.split(".") if path else ():
        children = found.get("_modules") if is_module(found) else None
        found = children.get(part) if isinstance(children, dict) else None
    return found if is_module(found) else None


def state_dict(module: Inert, prefix: str = "", depth: int = 0) -> dict[str, torch.Tensor]:
    """Return the parameters and buffers of a module and its children, named as by ``torch.nn.Module.state_dict``."""
    tensors: dict[str, torch.Tensor] = {}
    for group in ("_parameters", "_buffers"):
        named = module.get(group)
        for key, value in named.items() if isinstance(named, dict) else ():
            if isinstance(key, str) and isinstance(value, torch.Tensor):
                tensors[prefix + key] = value
    children = module.get("_modules")
    for key, child in children.items() if isinstance(children, dict) and depth < 32 else ():
        if isinstance(key, str) and is_module(child):
            tensors.update(state_dict(child, f"{prefix}{key}.", depth + 1))
    return tensors


def named_tensors(values: dict[Any, Any]) -> dict[str, torch.Tensor]:
    """Return the entries of a state dict that are tensors and have text keys."""
    return {key: value for key, value in values.items() if isinstance(key, str) and isinstance(value, torch.Tensor)}
