"""The installed extension under the name `latent_lantern`, as which tests import it with or without Blender."""

from __future__ import annotations

import importlib
import re
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

NAME = "latent_lantern"
DEPRECATED = re.compile(r"^.*deprecat.*$", re.IGNORECASE | re.MULTILINE)
"""What Blender prints where it cannot raise: in a callback, and in C."""


class InstalledExtension:
    """Import hook: `latent_lantern.a` is the module `bl_ext.user_default.latent_lantern.a` of the installed zip."""

    def __init__(self, extension: str):
        self.extension = extension

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.partition(".")[0] == NAME else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = importlib.import_module(self.extension + spec.name.removeprefix(NAME))
        # importlib is about to write the alias's spec and loader over the module's own.
        self._own = {key: getattr(module, key) for key in ("__spec__", "__loader__")}
        return module

    def exec_module(self, module: ModuleType) -> None:
        vars(module).update(self._own)


def add_alias(extension: str) -> None:
    """Let `import latent_lantern` give the extension that is installed under this name."""
    sys.meta_path.insert(0, InstalledExtension(extension))
