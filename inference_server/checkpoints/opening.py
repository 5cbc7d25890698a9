"""Load a generator from any file: recognise what the file is, read it, convert it."""

from __future__ import annotations

import os
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

Each has ``recognises(value) -> bool`` and ``convert(value, file_name) -> Network``.
"""


def load_generator(path: str | os.PathLike[str]) -> Generator:
    """Read a generator from a checkpoint of any kind; on the CPU, in float32, ready for use.

    Raises:
        CheckpointError: the file cannot be read; the message is a sentence for the user.
    """
    path = Path(path)
    if is_native(path):
        return read_native(path)
    network = open_network(path)
    try:
        return network.build(path.name)
    except Exception as error:
        raise unexpected(path.name, error) from error


def open_network(path: str | os.PathLike[str]) -> Network:
    """Read and convert a checkpoint of another program, without making the generator.

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
        for reader in READERS:
            if reader.recognises(value):
                network = reader.convert(value, path.name)
                return replace(network, tensors={name: _own(tensor) for name, tensor in network.tensors.items()})
        description = describe(value)
    except Exception as error:
        raise unexpected(path.name, error) from error
    raise CheckpointError(f"{path.name} {description}")


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy of a tensor that may be in the file's memory map, because a file that shrinks would remove it."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", dtype, copy=True, memory_format=torch.contiguous_format)
