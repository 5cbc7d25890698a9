"""The builds of PyTorch there are, and which one fits a machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

AUTOMATIC = ""


@dataclass(frozen=True, slots=True)
class Build:
    """One way of having torch.

    key: "cpu", "cu126", "cu130", "rocm", "mps". name: "NVIDIA, CUDA 13.0". requirements: the pin file of torch.
    index: the package index for torch alone, "" for the usual one. download, disk: bytes of the whole, about.
    """

    key: str
    name: str
    requirements: Path
    index: str
    download: int
    disk: int
