"""A network as a reader of foreign files returns it: its kind, its configuration, its tensors by our names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..generators.base import Generator
from ..generators.kinds import build
from .errors import CheckpointError


@dataclass(frozen=True)
class Network:
    """The network that a file holds.

    kind: a key of ``generators.kinds.KINDS``. config: the configuration of that kind. tensors: by the names of that
    kind. origin: the file's format, as it is shown to the user. about: ``name``, ``licence``, ``training``, if the file
    contains them. assumed: what the file does not say, "activation=relu, output=tanh".
    """

    kind: str
    config: Any
    tensors: Mapping[str, torch.Tensor]
    origin: str
    about: Mapping[str, str] = field(default_factory=dict)
    assumed: str = ""

    def build(self, file_name: str) -> Generator:
        """Return the generator. Raises CheckpointError if the tensors are not what the configuration needs."""
        about = {
            "name": file_name.rpartition(".")[0] or file_name,
            **self.about,
            "origin": self.origin,
            "assumed": self.assumed,
        }
        try:
            return build(self.kind, self.config, self.tensors, about)
        except ValueError as error:
            raise CheckpointError(f"{file_name} is damaged, or of a kind that is not known: {error}.") from error
