"""The available builds of PyTorch, and which one fits a machine.

The builds of PyTorch 2.13 and the cards they are made for: https://github.com/pytorch/pytorch/blob/main/RELEASE.md.
The drivers that CUDA needs: https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .machine import Machine

AUTOMATIC = ""
PYTORCH_INDEX = "https://download.pytorch.org/whl"
"""Where the builds are that the usual package index does not have."""

MB, GB = 10**6, 10**9

NO_INTEL_MAC = "PyTorch has not been made for Macs with Intel processors since version 2.3."

_ROCM_TARGETS = (
    *("gfx900", "gfx906", "gfx908", "gfx90a", "gfx942", "gfx950", "gfx1030"),
    *("gfx1100", "gfx1101", "gfx1102", "gfx1150", "gfx1151", "gfx1200", "gfx1201"),
)


@dataclass(frozen=True, slots=True)
class Build:
    """One build of PyTorch.

    key: "cpu", "cu126", "cu130", "rocm", "mps". name: "NVIDIA, CUDA 13.0". requirements: the name of torch's pin file.
    index: the package index for torch and the packages that torch needs, "" for the usual index.
    download, disk: approximate bytes of the whole environment.
    """

    key: str
    name: str
    requirements: str
    index: str
    download: int
    disk: int


CPU = Build("cpu", "Processors", "torch-cpu.txt", "", 300 * MB, 1300 * MB)
CPU_LINUX = Build("cpu", "Processors", "torch-cpu.txt", f"{PYTORCH_INDEX}/cpu", 320 * MB, 1300 * MB)
MPS = Build("mps", "Apple, Metal", "torch-mps.txt", "", 200 * MB, 900 * MB)
ROCM = Build("rocm", "AMD, ROCm 7.2", "torch-rocm.txt", f"{PYTORCH_INDEX}/rocm7.2", 6 * GB, 18 * GB)


@dataclass(frozen=True, slots=True)
class _Cuda:
    """A CUDA build: the first driver branch that runs it, and the range of compute capabilities that it is made for.

    `first` and `last` both belong to the range.
    """

    build: Build
    driver: int
    first: tuple[int, int]
    last: tuple[int, int]

    @property
    def name(self) -> str:
        return self.build.name.partition(", ")[2]


_CUDA = (
    _Cuda(
        Build("cu130", "NVIDIA, CUDA 13.0", "torch-cu130.txt", f"{PYTORCH_INDEX}/cu130", 2500 * MB, 6 * GB),
        driver=580,
        first=(7, 5),
        last=(12, 99),
    ),
    _Cuda(
        Build("cu126", "NVIDIA, CUDA 12.6", "torch-cu126.txt", f"{PYTORCH_INDEX}/cu126", 3300 * MB, 7500 * MB),
        driver=525,
        first=(5, 0),
        last=(9, 0),
    ),
)
"""The best build first."""


def by_key(key: str) -> Build | None:
    """Return the build with this key, None if there is none."""
    return next((build for build in (CPU, MPS, ROCM, *(cuda.build for cuda in _CUDA)) if build.key == key), None)


def available(machine: Machine) -> tuple[Build, ...]:
    """Return the builds that exist for this kind of machine, whatever cards it has; the simplest first."""
    if machine.system == "Darwin":
        return (MPS,) if machine.processor == "arm64" else ()
    cuda = tuple(cuda.build for cuda in reversed(_CUDA))
    if machine.system == "Windows":
        return (CPU, *cuda) if machine.processor == "x86_64" else (CPU,)
    rocm = (ROCM,) if machine.processor == "x86_64" else ()
    return (CPU_LINUX, *cuda, *rocm)


def choose(machine: Machine, key: str = AUTOMATIC) -> tuple[Build, str]:
    """Return the build that the user has chosen or that fits the machine, and a sentence that says why.

    Raises LookupError with a sentence if there is no build with that key, or no build at all for this machine.
    """
    builds = {build.key: build for build in available(machine)}
    if not builds:
        raise LookupError(NO_INTEL_MAC)
    if key:
        if key not in builds:
            raise LookupError(f"There is no build '{key}' of PyTorch for this machine, only {', '.join(builds)}.")
        return builds[key], f"{builds[key].name}: chosen by you."
    if machine.system == "Darwin":
        return MPS, "Macs with Apple processors have Metal."
    fallback = CPU_LINUX if machine.system == "Linux" else CPU
    outcomes = [*_for_nvidia(machine), *_for_amd(machine)]
    for build, why in outcomes:
        if build is not None and build.key in builds:
            return build, why
    reasons = [why for build, why in outcomes if build is None]
    return fallback, reasons[0] if reasons else "No card was found that PyTorch can use."


def _for_nvidia(machine: Machine) -> Iterator[tuple[Build | None, str]]:
    """Yield the build for the NVIDIA card and why, or None and why no build fits; yield nothing if there is no card."""
    nvidia = machine.nvidia
    if nvidia is None:
        return
    card = nvidia.name or "NVIDIA card"
    made_for = [cuda for cuda in _CUDA if not nvidia.capability or cuda.first <= nvidia.capability <= cuda.last]
    if not made_for:
        newest = _CUDA[0].last < (nvidia.capability or (0, 0))
        yield None, f"The {card} is too {'new' if newest else 'old'} for PyTorch's builds, so processors are used."
        return
    for cuda in made_for:
        if nvidia.driver_branch >= cuda.driver:
            yield cuda.build, f"The {card}'s driver {nvidia.driver} runs {cuda.name}."
            return
    least = min(made_for, key=lambda cuda: cuda.driver)
    yield (
        None,
        (
            f"The {card}'s driver {nvidia.driver} is too old: {least.name} needs {least.driver} or newer. "
            "Until it is updated, processors are used."
        ),
    )


def _for_amd(machine: Machine) -> Iterator[tuple[Build | None, str]]:
    if machine.amd is None:
        return
    fitting = [target for target in machine.amd.targets if target in _ROCM_TARGETS]
    if not fitting:
        names = ", ".join(dict.fromkeys(machine.amd.targets))
        yield None, f"PyTorch's ROCm build is not made for this AMD card ({names}), so processors are used."
    elif not machine.amd.usable:
        why = "There is an AMD card, but you may not use /dev/kfd: an administrator has to add you to the group render."
        yield None, f"{why} Until then processors are used."
    else:
        yield ROCM, f"An AMD card ({fitting[0]}) was found."
