"""Latent Lantern's own format: safetensors with the configuration in the metadata.

Metadata keys, all strings:

- ``format``: always ``latent-lantern-generator``; ``format_version``: ``1``.
- ``kind``: the network, ``stylegan2``; ``config``: its configuration as JSON (``StyleGAN2Config``).
- ``name``, ``licence``, ``training``: for people; the last is one line on how it was trained. Any may be missing.
- Any further key is kept for people and ignored here.

The tensors are the network's state, in float32, float16 or bfloat16.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from inference_server.generators.base import Generator
from inference_server.generators.stylegan2 import StyleGAN2, StyleGAN2Config, state_shapes

BUILTIN_WEIGHTS = Path(__file__).parent.parent / "weights" / "family_at_dinner.safetensors"
"""The generator that comes with the extension."""

FORMAT = "latent-lantern-generator"
DTYPES = ("F32", "F16", "BF16")


class CheckpointError(Exception):
    """A checkpoint cannot be read; the message says in one sentence what is wrong with which file."""


def load_generator(path: str | os.PathLike[str]) -> Generator:
    """Read a generator; on the CPU, in float32, ready for use.

    Sizes, configuration and every tensor's shape are checked before any memory is taken for the network, so a file
    costs no more than a few times its own length.

    Raises:
        CheckpointError: with a sentence for a person.
    """
    path = Path(path)
    _check_kind_of_file(path)
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            config = _read_config(path, about)
            expected = state_shapes(config)
            found = set(file.keys())
            for key in sorted(expected.keys() ^ found):
                trouble = "lacks" if key in expected else "has a tensor that its network does not know:"
                raise CheckpointError(f"{path.name} {trouble} {key}; it is damaged or was made by another version.")
            for key, shape in expected.items():
                piece = file.get_slice(key)
                if tuple(piece.get_shape()) != shape or piece.get_dtype() not in DTYPES:
                    raise CheckpointError(
                        f"In {path.name}, {key} is {piece.get_dtype()} of shape {tuple(piece.get_shape())} where its "
                        f"configuration needs numbers of shape {shape}."
                    )
            tensors = {key: file.get_tensor(key).float() for key in expected}
    except SafetensorError as error:
        raise CheckpointError(
            f"{path.name} is cut short or is not a safetensors file; download or copy it again ({error})."
        ) from error
    generator = StyleGAN2(config, about.get("name") or path.stem, about.get("licence", ""), about.get("training", ""))
    generator.load_state_dict(tensors)
    return generator.eval().requires_grad_(False)


def save_generator(
    generator: Generator,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str],
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a generator, whole or not at all.

    Args:
        generator: the network.
        path: the file, replaced if it is there.
        metadata: ``name``, ``licence``, ``training`` override the generator's own; further keys are kept.
        dtype: torch.float32, torch.float16 or torch.bfloat16.

    Raises:
        CheckpointError: the generator is of a kind this format does not hold, or a weight has no value in ``dtype``.
    """
    path = Path(path)
    if not isinstance(generator, StyleGAN2):
        raise CheckpointError(
            f"{path.name} was not written: {type(generator).__name__} cannot be saved in this format."
        )
    tensors = {key: value.detach().to("cpu", dtype).contiguous() for key, value in generator.state_dict().items()}
    for key, value in tensors.items():
        if not value.isfinite().all():
            raise CheckpointError(f"{path.name} was not written: {key} holds numbers that {dtype} cannot.")
    info = generator.info
    own = {"format": FORMAT, "format_version": "1", "kind": info.kind, "config": json.dumps(generator.config.to_dict())}
    about = {"name": info.name, "licence": info.licence, "training": info.training, **metadata, **own}
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(save(tensors, about))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The file's SHA-256 in hexadecimal, read piece by piece.

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{Path(path).name} cannot be read: {error.strerror}.") from error


def _check_kind_of_file(path: Path) -> None:
    """Raise for what is plainly something else, in words that say what it is."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(512)
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}; it was moved or deleted.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    if not start:
        raise CheckpointError(f"{path.name} is empty; download or copy it again.")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path.name} is a Git LFS pointer and not the weights; fetch it with 'git lfs pull'.")
    if start.lstrip()[:1] == b"<":
        raise CheckpointError(f"{path.name} is a web page and not weights; the download went wrong.")
    if start.startswith((b"PK\x03\x04", b"\x80")):
        raise CheckpointError(f"{path.name} is a Python pickle or zip checkpoint, which is not read here.")
    length = int.from_bytes(start[:8], "little")
    if start[8:9] != b"{":
        raise CheckpointError(f"{path.name} is not a checkpoint that Latent Lantern knows.")
    if 8 + length > size:
        raise CheckpointError(f"{path.name} is cut short; download or copy it again.")


def _read_config(path: Path, about: Mapping[str, str]) -> StyleGAN2Config:
    """The network's configuration from the metadata."""
    if about.get("format") != FORMAT:
        raise CheckpointError(f"{path.name} is a safetensors file, but not a generator saved by Latent Lantern.")
    if about.get("format_version") != "1" or about.get("kind") != "stylegan2":
        raise CheckpointError(f"{path.name} was saved by a newer Latent Lantern; update the extension to read it.")
    try:
        values = json.loads(about.get("config", ""))
        if not isinstance(values, dict):
            raise ValueError("it is not a set of named values")
        return StyleGAN2Config.from_dict(values)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"The configuration in {path.name} cannot be used: {error}.") from error
