"""Read and write Latent Lantern's own format: safetensors with the configuration in the metadata.

Metadata keys, all strings:

- ``format``: always ``latent-lantern-generator``; ``format_version``: ``1``.
- ``kind``: the network, a key of ``generators.kinds.KINDS``; ``config``: its configuration as JSON.
- ``name``, ``licence``, ``training``, ``origin``, ``assumed``: shown to the user; ``training`` is one line on how the
  network was trained, ``origin`` is the format that the weights were converted from, if they were, ``assumed`` is what
  that file did not say. Any may be missing.
- Any other key is kept for people to read, and ignored here.

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
from safetensors.torch import save_file

from ..generators.base import Generator, GeneratorInfo
from ..generators.kinds import KINDS, Config, build
from .errors import CheckpointError, not_safetensors
from .file_kinds import OWN_FORMAT

BUILTIN_RUN = Path(__file__).parent.parent / "weights" / "family_at_dinner"
"""Snapshots of the generator that comes with the extension."""

FORMAT = OWN_FORMAT
DTYPES = ("F32", "F16", "BF16")


def read_native(path: str | os.PathLike[str], name: str | None = None) -> Generator:
    """Read a generator in our own format; on the CPU, in float32, ready for use.

    Sizes, configuration and the shape of every tensor are checked before memory is taken for the network. So a file
    never needs more memory than a few times its own length.

    Args:
        path: the file.
        name: the generator's name if the file does not contain one; by default the file's stem.

    Raises:
        CheckpointError: the file cannot be read; the message is a sentence for the user.
    """
    path = Path(path)
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            kind, config = _read_config(path, about)
            expected = KINDS[kind].shapes(config)
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
            # Copies: the file may be cut short later, and in memory that is not aligned, sums are rounded differently.
            tensors = {key: file.get_tensor(key).to(torch.float32, copy=True) for key in expected}
    except SafetensorError as error:
        raise not_safetensors(path.name, error) from error
    return build(
        kind, config, tensors, {"name": name or path.stem} | {key: text for key, text in about.items() if text}
    )


def read_make(path: str | os.PathLike[str]) -> tuple[str, Config, Mapping[str, str]]:
    """Read kind, configuration and metadata of a file in our own format, not its weights.

    Raises the same errors as ``read_native``.
    """
    path = Path(path)
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
    except SafetensorError as error:
        raise not_safetensors(path.name, error) from error
    return *_read_config(path, about), about


def read_info(path: str | os.PathLike[str], name: str | None = None) -> GeneratorInfo:
    """Read what a file in our own format says about itself, not its weights.

    Takes the same arguments, and raises the same errors, as ``read_native``.
    """
    kind, config, about = read_make(path)
    words = [about.get(key, "") for key in ("licence", "training")]
    with torch.device("meta"):
        generator = KINDS[kind].network(config, about.get("name") or name or Path(path).stem, *words)
    generator.set_origin(about.get("origin", ""), about.get("assumed", ""))
    return generator.info


def save_generator(
    generator: Generator,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str],
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a generator to a file, completely or not at all.

    Args:
        generator: the network.
        path: the file; one that exists is replaced.
        metadata: ``name``, ``licence``, ``training`` replace the generator's own; other keys are written, too.
        dtype: torch.float32, torch.float16 or torch.bfloat16.

    Raises:
        CheckpointError: a weight cannot be stored in ``dtype``, or the file cannot be written.
    """
    path = Path(path)
    tensors = {key: value.detach().to("cpu", dtype).contiguous() for key, value in generator.state_dict().items()}
    for key, value in tensors.items():
        if not value.isfinite().all():
            raise CheckpointError(f"{path.name} was not written: {key} holds numbers that {dtype} cannot.")
    info = generator.info
    words = {key: getattr(info, key) for key in ("name", "licence", "training", "origin", "assumed")}
    part = path.with_name(path.name + ".part")
    write_native(part, path, info.kind, generator.config, tensors, {**words, **metadata})


def write_native(
    part: Path, path: Path, kind: str, config: Config, tensors: Mapping[str, torch.Tensor], about: Mapping[str, str]
) -> None:
    """Write a file in our own format as ``part``, in the folder of ``path``, then rename it to ``path``.

    Raises:
        CheckpointError: the file cannot be written.
    """
    own = {"format": FORMAT, "format_version": "1", "kind": kind, "config": json.dumps(config.to_dict())}
    try:
        part.touch()
        mode = part.stat().st_mode
        save_file(dict(tensors), part, {**about, **own})
        os.chmod(part, mode)  # safetensors lets only the user read the file, and ignores the umask
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}.") from error
    finally:
        part.unlink(missing_ok=True)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the file's SHA-256 in hexadecimal; the file is read piece by piece.

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{Path(path).name} cannot be read: {error.strerror}.") from error


def _read_config(path: Path, about: Mapping[str, str]) -> tuple[str, Config]:
    """Return the network's kind and configuration from the metadata."""
    if about.get("format") != FORMAT:
        raise CheckpointError(f"{path.name} is a safetensors file, but not a generator saved by Latent Lantern.")
    if about.get("format_version") != "1" or about.get("kind") not in KINDS:
        raise CheckpointError(f"{path.name} was saved by a newer Latent Lantern; update the extension to read it.")
    try:
        values = json.loads(about.get("config", ""))
        if not isinstance(values, dict):
            raise ValueError("it is not a set of named values")
        return about["kind"], KINDS[about["kind"]].config.from_dict(values)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"The configuration in {path.name} cannot be used: {error}.") from error
