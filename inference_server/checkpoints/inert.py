"""What is read from a file of foreign objects: plain values, tensors, and everything else as inert descriptions.

Nothing here was ever run. Lists, tuples, dicts, strings, numbers, None, numpy arrays and torch tensors are themselves
(``OrderedDict``, ``EasyDict`` and their like become dicts); an object of any other class is an ``Inert``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(eq=False, repr=False)
class Inert:
    """An object of a class that is not run.

    module, name: its class. For objects of NVIDIA's ``persistent_class`` module is "persistent" and name the class's
    own; for Torch7 module is "torch7" and name, for example, "nn.Sequential". arguments: what it was made with. state:
    its attributes, mostly a dict. items: what was appended to it or set in it, if it is a container.
    """

    module: str
    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] | dict[Any, Any] = field(default_factory=list)

    def __repr__(self) -> str:
        # Not what it holds: printed, a small file can be endless.
        return f"<{self.module}.{self.name}>"

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute of the object."""
        return self.state.get(name, default) if isinstance(self.state, dict) else default


def is_module(value: Any) -> bool:
    """Whether this was a ``torch.nn.Module``."""
    return isinstance(value, Inert) and isinstance(value.state, dict) and isinstance(value.get("_modules"), dict)


def submodule(module: Inert, path: str) -> Inert | None:
    """The module of a dotted path, None if there is none. The empty path is the module itself."""
    found: Any = module
    for part in path.split(".") if path else ():
        children = found.get("_modules") if is_module(found) else None
        found = children.get(part) if isinstance(children, dict) else None
    return found if is_module(found) else None


def state_dict(module: Inert, prefix: str = "", depth: int = 0) -> dict[str, torch.Tensor]:
    """The parameters and buffers of a module and its children, as ``torch.nn.Module.state_dict`` names them."""
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
    """The entries of a state dict that are tensors with names."""
    return {key: value for key, value in values.items() if isinstance(key, str) and isinstance(value, torch.Tensor)}
