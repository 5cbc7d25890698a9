"""Find out what a file is from its first bytes, and tell the user if it is not a checkpoint."""

from __future__ import annotations

import json
import mmap
import re
from pathlib import Path

from .errors import CheckpointError
from .limits import LIMITS, Budget, Damaged
from .torch7 import looks_like_torch7
from .zip_files import list_zip

OWN_FORMAT = "latent-lantern-generator"
"""In the metadata of our files."""
MOST_HEADER = 100 << 20
_AGAIN = "download or copy it again"
_ARCHIVES = {
    b"\x1f\x8b": "gzip",
    b"7z\xbc\xaf": "7-Zip",
    b"Rar!": "RAR",
    b"\xfd7zXZ": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_PICTURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"RIFF": "WebP or AVI"}


def is_native(path: Path) -> bool:
    """Return whether a file is in our own format. If it is not, ``read_file`` may try to read it.

    Raises:
        CheckpointError: the file is missing, or is clearly not a checkpoint; the message says what it is and what to
            do.
    """
    if path.is_dir():
        raise CheckpointError(_about_folder(path))
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} is not a file.")  # Opening a pipe would wait for ever.
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(512)
            if start.startswith(b"PK\x03\x04"):
                _check_zip(path, memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}; it was moved or deleted.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    trouble = _trouble(path.name, start)
    if trouble:
        raise CheckpointError(f"{path.name} {trouble}.")
    foreign = start.startswith((b"PK\x03\x04", b"\x80")) or looks_like_torch7(start)
    if start[8:9] == b"{":
        whole = 8 + int.from_bytes(start[:8], "little") <= size
        if not whole and not foreign:
            raise CheckpointError(f"{path.name} is cut short; {_AGAIN}.")
        if whole:
            return _is_ours(path)
    if not (foreign or _may_be_old_pickle(path)):
        raise CheckpointError(
            f"{path.name} is not a checkpoint that Latent Lantern knows. Choose the file that a training of StyleGAN, "
            "DCGAN or Latent Lantern has saved: a .pkl, .pt, .pth, .ckpt, .t7 or .safetensors."
        )
    return False


def _is_ours(path: Path) -> bool:
    """Return whether a safetensors file is in our format; also if its header cannot be read, which our reader says."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MOST_HEADER:
            return True
        try:
            about = json.loads(file.read(length)).get("__metadata__", {})
            return not isinstance(about, dict) or about.get("format") == OWN_FORMAT
        except (ValueError, AttributeError, RecursionError):
            return True


def _trouble(name: str, start: bytes) -> str | None:
    """Return what is wrong with a file that begins with these bytes, or None if nothing is clearly wrong."""
    if not start:
        return f"is empty; {_AGAIN}"
    if not start.strip(b"\0"):
        return f"holds nothing but zeros: a download that was broken off; {_AGAIN}"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer and not the weights; fetch it with 'git lfs pull'"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "is a web page and not weights; the download went wrong"
    if start.startswith(b"\x93NUMPY"):
        return "holds an array and not a network; if these are latents, import them as a latent"
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "holds weights of Keras (HDF5), which are not read; convert it to a PyTorch state dict"
    if re.match(rb"\x08\x01\x12", start) or re.search(r"\.(index|meta|data-\d+-of-\d+)$", name):
        return "is a TensorFlow model; of these, only the pickles (.pkl) of the StyleGAN authors' code are read"
    if re.match(rb"\x08[\x02-\x20][\x12\x1a\x22\x2a\x32\x3a]", start):
        return "is an ONNX model, which is not read; choose the checkpoint that it was made from"
    for sign, kind in _ARCHIVES.items():
        if start.startswith(sign):
            return f"is a {kind} archive; unpack it and choose the checkpoint in it"
    if start[257:262] == b"ustar":
        return (
            "is a tar archive, or was saved by a PyTorch older than 0.2; unpack it, or save it again with a newer one"
        )
    if start[4:8] in (b"ftyp", b"moov", b"mdat") or start.startswith((b"\x1a\x45\xdf\xa3", b"FLV")):
        return "is a film and not a checkpoint; to train on it, make a data set of it"
    for sign, kind in _PICTURES.items():
        if start.startswith(sign):
            return f"is a picture or film ({kind}) and not a checkpoint"
    return None


def _check_zip(path: Path, data: memoryview) -> None:
    """Raise CheckpointError if a zip is not a file of ``torch.save``."""
    try:
        names = list(list_zip(data, Budget(LIMITS, len(data))))
    except Damaged as error:
        raise CheckpointError(f"{path.name} cannot be read: {error}; {_AGAIN}.") from error
    inner = [name.partition("/")[2] for name in names]
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        raise CheckpointError(
            f"{path.name} is a TorchScript program, which is not loaded because it would be run. Save its state dict "
            "with torch.save, in the program that made it, and choose that."
        )
    if any(name == "data.pkl" or name.endswith("/data.pkl") for name in names):
        return
    if names and all(name.endswith(".npy") for name in names):
        raise CheckpointError(
            f"{path.name} holds arrays and not a network; if these are latents, import them as a latent."
        )
    if "model.weights.h5" in names:
        raise CheckpointError(f"{path.name} is a Keras model, which is not read; convert it to a PyTorch state dict.")
    raise CheckpointError(
        f"{path.name} is a zip file without a checkpoint's data.pkl; unpack it, and choose the file in it."
    )


def _may_be_old_pickle(path: Path) -> bool:
    """Return whether a file may be a pickle of protocol 0 or 1.

    Such a pickle has no signature at its start, so its first and last bytes decide.
    """
    with path.open("rb") as file:
        start = file.read(1)
        file.seek(-1, 2)
        return start in (b"(", b"]", b"}", b"c", b")") and file.read(1) == b"."


def tensorflow_kind(path: Path) -> str | None:
    """Return what a folder of TensorFlow is called, None if it is none."""
    if (path / "saved_model.pb").exists():
        return "a TensorFlow SavedModel"
    if any(path.glob("*.index")) and any(path.glob("*.data-[0-9]*")):
        return "a folder of TensorFlow checkpoints"
    return None


def _about_folder(path: Path) -> str:
    if kind := tensorflow_kind(path):
        return f"{path} is {kind}, which is not read; choose the pickle (.pkl) that it was made from."
    if (path / "data.pkl").exists():
        return f"{path} is an unpacked file of torch.save; choose the file as it was before."
    return f"{path} is a folder; choose the checkpoint in it."
