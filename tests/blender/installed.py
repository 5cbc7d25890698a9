"""Make the installed extension importable as `latent_lantern`, the name that tests use with and without Blender."""

from __future__ import annotations

import importlib
import re
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

NAME = "latent_lantern"
DEPRECATED = re.compile(r"^.*deprecat.*$", re.IGNORECASE | re.MULTILINE)
"""What Blender prints if it cannot raise an error: in a callback, and in C."""


class InstalledExtension:
    """Import hook: it finds `latent_lantern.a` as `bl_ext.user_default.latent_lantern.a` of the installed zip."""

    def __init__(self, extension: str):
        self.extension = extension

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.partition(".")[0] == NAME else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.extension + spec.name.removeprefix(NAME))
        # importlib will replace the module's spec and loader by those of the alias.
        self._own = {key: getattr(module, key) for key in ("__spec__", "__loader__")}
        return module

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(self._own)


def add_alias(extension: str) -> None:
    """Let `import latent_lantern` return the extension that is installed under this name."""
    sys.meta_path.insert(0, InstalledExtension(extension))
