"""The choice of PyTorch's build, of a Python and of a package index: the machine and the user decide."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import fake_wheels
from latent_lantern.latent_addon.environments import builds, machine, pip_settings, planning, pythons, wheels
from latent_lantern.latent_addon.environments.machine import Amd, Machine, Nvidia
from latent_lantern.latent_addon.environments.pythons import Python

ADA, PASCAL, BLACKWELL, KEPLER, RUBIN = (8, 9), (6, 1), (12, 0), (3, 5), (13, 0)


def _linux(nvidia: Nvidia | None = None, amd: Amd | None = None) -> Machine:
    return Machine("Linux", "x86_64", nvidia, amd)


def _card(driver: str, capability: tuple[int, int] | None = ADA) -> Machine:
    return _linux(Nvidia(driver, "NVIDIA GeForce", capability))


@pytest.mark.parametrize(
    ("here", "key", "words"),
    [
        (_linux(), "cpu", "No card"),
        (_card("580.65.06"), "cu130", "580.65.06 runs CUDA 13.0"),
        (_card("595.10", None), "cu130", "runs CUDA 13.0"),
        (_card("550.54.14"), "cu126", "runs CUDA 12.6"),
        (_card("580.65.06", PASCAL), "cu126", "runs CUDA 12.6"),
        (_card("525.60.13", PASCAL), "cu126", "runs CUDA 12.6"),
        (_card("470.256.02"), "cpu", "CUDA 12.6 needs 525 or newer"),
        (_card("575.51", BLACKWELL), "cpu", "CUDA 13.0 needs 580 or newer"),
        (_card("580.65", BLACKWELL), "cu130", "runs CUDA 13.0"),
        (_card("470.10", KEPLER), "cpu", "too old for PyTorch"),
        (_card("700.10", RUBIN), "cpu", "too new for PyTorch"),
        (Machine("Windows", "x86_64", Nvidia("581.42", "RTX", ADA)), "cu130", "581.42"),
        (Machine("Windows", "arm64", Nvidia("581.42", "RTX", ADA)), "cpu", "No card"),
        (Machine("Windows", "x86_64"), "cpu", "No card"),
        (Machine("Darwin", "arm64"), "mps", "Metal"),
        (_linux(amd=Amd(("gfx1100",), True)), "rocm", "gfx1100"),
        (_linux(amd=Amd(("gfx1100",), False)), "cpu", "group render"),
        (_linux(amd=Amd(("gfx803",), True)), "cpu", "gfx803"),
        (_linux(Nvidia("470.10", "NVIDIA", ADA), Amd(("gfx1100",), True)), "rocm", "gfx1100"),
        (_linux(Nvidia("580.10", "NVIDIA", ADA), Amd(("gfx1036",), True)), "cu130", "580.10"),
    ],
)
def test_the_machine_decides_the_build(here: Machine, key: str, words: str) -> None:
    build, why = builds.choose(here)
    assert build.key == key
    assert words in why
    assert build in builds.available(here)


def test_the_user_may_overrule_the_machine_but_not_what_there_is() -> None:
    assert builds.choose(_card("580.65"), "cpu")[0].key == "cpu"
    with pytest.raises(LookupError, match="'mps'"):
        builds.choose(_linux(), "mps")
    with pytest.raises(LookupError, match="Intel"):
        builds.choose(Machine("Darwin", "x86_64"))


def test_every_build_has_pins_and_only_the_usual_index_or_pytorchs_own(root: Path) -> None:
    everywhere = [
        Machine(system, processor) for system in ("Linux", "Windows", "Darwin") for processor in ("x86_64", "arm64")
    ]
    found = {build for here in everywhere for build in builds.available(here)}
    folder = root / "inference_server" / "requirements"
    assert {build.requirements for build in found} == {path.name for path in folder.glob("torch-*.txt")}
    assert {build.key for build in found} == set(fake_wheels.BUILD_KEYS)
    for build in found:
        assert build.index == "" or build.index.startswith(f"{builds.PYTORCH_INDEX}/")
        assert builds.by_key(build.key).requirements == build.requirements
        assert build.download < build.disk


def test_what_nvidias_tool_says_is_read() -> None:
    both = "535.129.03, 6.1, NVIDIA GeForce GTX 1080\n535.129.03, 8.6, NVIDIA GeForce RTX 3090\n"
    assert machine.parse_nvidia(both) == Nvidia("535.129.03", "NVIDIA GeForce RTX 3090", (8, 6))
    assert machine.parse_nvidia("470.256.02, NVIDIA GeForce GTX 780") == Nvidia("470.256.02", "NVIDIA GeForce GTX 780")
    assert machine.parse_nvidia("NVIDIA-SMI has failed because it couldn't communicate with the driver.") is None
    assert machine.parse_nvidia("") is None


def test_the_kernels_word_on_nvidias_driver_is_read() -> None:
    closed = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\nGCC version:"
    opened = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder)\n"
    assert machine.parse_kernel_module(closed) == Nvidia("535.183.01")
    assert machine.parse_kernel_module(opened) == Nvidia("580.65.06")
    assert machine.parse_kernel_module("nothing of the kind") is None


def test_amds_targets_are_named_as_the_compiler_does() -> None:
    assert [machine.gfx_target(number) for number in (90010, 110001, 100300, 90402)] == [
        "gfx90a",
        "gfx1101",
        "gfx1030",
        "gfx942",
    ]


def test_a_tool_that_hangs_or_fails_is_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'Unable to determine the device handle'; exit 15\n")
    tool.chmod(0o755)
    monkeypatch.setattr(machine.shutil, "which", lambda name: str(tool))
    monkeypatch.setattr(machine, "_NVIDIA_VERSION", tmp_path / "none")
    assert machine.look().nvidia is None
    tool.write_text('#!/bin/sh\ncase "$1" in *compute_cap*) exit 2;; esac\necho "470.10, NVIDIA Tesla"\n')
    assert machine.look().nvidia == Nvidia("470.10", "NVIDIA Tesla")


def _python(version: str, name: str = "", *, able: bool = True, unfit: str = "") -> Python:
    return Python(Path("/usr/bin") / (name or f"python{version}"), version, able, f"{version}.4", unfit)


def test_a_python_that_is_whole_is_preferred_and_the_others_are_told_of() -> None:
    found = [_python("3.9", unfit="is too old"), _python("3.12", able=False), _python("3.14"), _python("3.11")]
    best, others = planning.choose_python(found, None, [], [])
    assert best == _python("3.11")
    assert [words.partition(": ")[0] for words in others] == [
        "Python 3.14.4, /usr/bin/python3.14",
        "Python 3.12.4, /usr/bin/python3.12",
        "Python 3.9.4, /usr/bin/python3.9",
    ]
    assert "ensurepip" in others[1]
    assert "too old" in others[2]
    assert planning.choose_python([*found, _python("3.13")], None, [], [])[0] == _python("3.13")


def test_blenders_own_python_is_the_last_choice_but_a_choice(tmp_path: Path) -> None:
    own = tmp_path / "python3.13"
    own.touch()
    blender = Python(own, "3.13", True, "3.13.9")
    assert planning.choose_python([_python("3.14"), blender], own, [], [])[0] == _python("3.14")
    best, others = planning.choose_python([_python("3.14", able=False), blender], own, [], [])
    assert best == blender
    assert len(others) == 1
    assert planning.choose_python([], own, [], []) == (None, ())


def test_the_python_that_the_wheels_fit_is_preferred(tmp_path: Path) -> None:
    fake_wheels.write_wheel(tmp_path, "torch", "2.13.0+cpu", tag="cp311-cp311-any")
    found = [_python("3.13"), _python("3.11")]
    best, others = planning.choose_python(found, None, ["torch==2.13.0"], [tmp_path])
    assert best == _python("3.11")
    assert others == ("Python 3.13.4, /usr/bin/python3.13: there is no wheel of torch==2.13.0 for it.",)


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("numpy-2.4.6-py3-none-any.whl", True),
        ("NumPy-2.4.6-cp312-cp312-any.whl", True),
        ("numpy-2.4.6+cpu-1-cp312-cp312-any.whl", True),
        ("numpy-2.4.6-cp39-abi3-any.whl", True),
        ("numpy-2.4.6-cp313-abi3-any.whl", False),
        ("numpy-2.4.6-cp311-cp311-any.whl", False),
        ("numpy-2.4.5-py3-none-any.whl", False),
        ("numpy-2.4.6-py3-none-plan9_mips.whl", False),
        ("numpy.whl", False),
        ("numpy-2.4.6.tar.gz", False),
    ],
)
def test_a_wheel_fits_by_its_name(tmp_path: Path, name: str, fits: bool) -> None:
    (tmp_path / name).touch()
    assert wheels.missing(tmp_path, ["numpy==2.4.6"], "3.12") == ([] if fits else ["numpy==2.4.6"])


@pytest.fixture
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """No settings for pip, except those that a call of this writes."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "pip.conf"
    monkeypatch.setattr(pip_settings, "_files", lambda: [path])
    return lambda text: path.write_text(text) and None


def test_the_users_settings_for_pip_are_read(
    no_settings: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert pip_settings.own_sources(pip_settings.read()) == []
    no_settings("[global]\ntimeout = 60\n[search]\nindex-url = https://no.example\n")
    assert pip_settings.own_sources(pip_settings.read()) == []
    no_settings(
        f"[global]\nextra_index_url = https://one.example\n[install]\nfind-links =\n  {tmp_path}\n  https://x\n"
    )
    settings = pip_settings.read()
    assert pip_settings.own_sources(settings) == ["extra-index-url", "find-links"]
    assert pip_settings.folders_of_wheels(settings) == [tmp_path]
    no_settings("this is no configuration")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert pip_settings.own_sources(pip_settings.read()) == ["no-index"]


def test_a_plan_says_where_from_how_large_and_what_hinders(
    no_settings: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "look", lambda: _card("580.65.06"))
    monkeypatch.setattr(pythons, "survey", _Survey([_python("3.12")]))
    monkeypatch.setattr(planning, "free_room", lambda folder: 100 * 10**9)
    server = fake_wheels.write_server(tmp_path / "server")

    def plan(*rest: object) -> planning.SetupPlan:
        return planning.make_plan(tmp_path, server, None, *rest)

    online = plan()
    assert (online.build.key, online.source, online.needs_network) == (
        "cu130",
        "download.pytorch.org and pypi.org",
        True,
    )
    assert online.problem == ""
    assert online.download > 10**9
    assert plan("cpu").build.key == "cpu"
    assert "no build 'mps'" in plan("mps").problem

    no_settings("[global]\nindex-url = https://ours.example\n")
    assert plan().source == "your own package index (pip's index-url)"

    folder = fake_wheels.write_wheels(tmp_path / "wheels", fake_wheels.PINS[:1])
    offline = plan("", folder)
    assert (offline.needs_network, offline.download, offline.source) == (False, 0, f"the folder {folder}")
    assert offline.problem == f"The folder {folder} lacks numpy==2.4.6 for Python 3.12."
    fake_wheels.write_wheels(folder)
    assert plan("", folder).problem == ""
    assert "There is no folder" in plan("", tmp_path / "none").problem

    monkeypatch.setattr(planning, "free_room", lambda folder: 10**9)
    assert "1.0 GB are free" in plan().problem
    monkeypatch.setattr(pythons, "survey", _Survey([_python("3.12", able=False)]))
    assert "ensurepip" in plan().problem
    monkeypatch.setattr(pythons, "survey", _Survey([_python("3.8", unfit="is not one of 3.11")]))
    assert "is not one of 3.11" in plan().problem
    monkeypatch.setattr(pythons, "survey", _Survey([]))
    assert plan().problem == planning.NO_PYTHON
    assert "is no Python that can be run" in plan("", None, tmp_path / "gone").problem


class _Survey:
    """A `pythons.survey` that has found these Pythons."""

    def __init__(self, found: list[Python]):
        self.found = found

    def __call__(self, named: tuple[str, ...]) -> tuple[Python, ...]:
        return tuple(self.found)

    def cache_clear(self) -> None:
        pass
