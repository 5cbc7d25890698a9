"""Load a generator from any file: recognise what the file is, read it, convert it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import torch

from ..generators.base import Generator
from . import dcgan_torch, dcgan_torch7, rosinality, stylegan1_tf, stylegan2_tf, stylegan2_torch, stylegan3_torch
from .descriptions import describe
from .errors import CheckpointError, unexpected
from .file_kinds import is_native
from .native import read_native
from .network import Network
from .reading import read_file
from .unsaid import Unsaid
from .wrappers import candidates

READERS: tuple[ModuleType, ...] = (
    stylegan1_tf,
    stylegan2_tf,
    stylegan3_torch,
    stylegan2_torch,
    rosinality,
    dcgan_torch,
    dcgan_torch7,
)
"""The readers, tried in this order.

Each has ``recognises(value) -> bool`` and ``convert(value, file_name, unsaid) -> Network``.
"""


def load_generator(path: str | os.PathLike[str], given: Mapping[str, str] | None = None) -> Generator:
    """Read a generator from a checkpoint of any kind; on the CPU, in float32, ready for use.

    Args:
        path: the file.
        given: what the person says that the file does not, by the names of ``unsaid.SETTINGS``.

    Raises:
        CheckpointError: the file cannot be read; the message is a sentence for the user.
    """
    path = Path(path)
    if is_native(path):
        if given:
            raise CheckpointError(
                f"{path.name} is in Latent Lantern's own format, which says its own {next(iter(given))}."
            )
        return read_native(path)
    network = open_network(path, given)
    try:
        return network.build(path.name)
    except Exception as error:
        raise unexpected(path.name, error) from error


def open_network(path: str | os.PathLike[str], given: Mapping[str, str] | None = None) -> Network:
    """Read and convert a checkpoint of another program, without making the generator.

    Takes the same arguments as ``load_generator``.

    Returns:
        a network whose tensors share no memory with the file; floating-point tensors are float32.

    Raises:
        CheckpointError: the file cannot be read; the message is a sentence for the user.
    """
    path = Path(path)
    if is_native(path):
        raise CheckpointError(f"{path.name} is in Latent Lantern's own format already.")
    _, value = read_file(path)
    try:
        for candidate in candidates(value):
            for reader in READERS:
                if reader.recognises(candidate):
                    unsaid = Unsaid(given)
                    network = reader.convert(candidate, path.name, unsaid)
                    if (name := unsaid.unused()) is not None:
                        raise CheckpointError(f"{path.name} says its own {name}, or its kind of network has none.")
                    assumed = ", ".join(f"{name}={value}" for name, value in unsaid.assumed.items())
                    own = {name: _own(tensor) for name, tensor in network.tensors.items()}
                    return replace(network, tensors=own, assumed=assumed)
        description = describe(value)
    except Exception as error:
        raise unexpected(path.name, error) from error
    raise CheckpointError(f"{path.name} {description}")


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy of a tensor that may be in the file's memory map, because a file that shrinks would remove it."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", dtype, copy=True, memory_format=torch.contiguous_format)
