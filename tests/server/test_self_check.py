"""The command `check` reports what this Python has and what is missing, and makes a picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from inference_server.commands import check as self_check
from inference_server.commands import cli
from lantern_protocol.versions import PIXEL_REVISION, PROTOCOL_VERSION, SERVER_VERSION


def test_a_whole_python_is_fit_and_its_parts_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--json", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    found = json.loads(lines[0])
    assert found["what"] == self_check.WHAT
    assert (found["server"], found["protocol"], found["pixels"]) == (SERVER_VERSION, PROTOCOL_VERSION, PIXEL_REVISION)
    assert (found["problems"], found["remarks"]) == ([], [])
    assert set(found["packages"]) == {"torch", "numpy", "pillow", "safetensors", "scipy", "av", "tensorboardX"}
    assert all(found["packages"].values())
    assert found["torch"] == torch.__version__
    assert (found["device"], found["device_name"]) == ("cpu", "this machine's processors")
    assert found["forward_ms"] > 0
    assert found["executable"] == sys.executable


def test_a_person_reads_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[-1] == "This Python can run the server."
    assert f"torch {torch.__version__}, numpy " in text
    assert "a picture of 64 x 64 pixels in " in text


def test_what_the_server_needs_and_is_missing_makes_it_unfit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacking = self_check.SERVER_PACKAGES | {"no_such_module": "no-such-package", "nor_this": "nor-this"}
    monkeypatch.setattr(self_check, "SERVER_PACKAGES", lacking)
    assert cli.main(["check", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == [f"The Python at {sys.executable} has no no-such-package, nor-this."]
    assert found["forward_ms"] == 0
    assert cli.main(["check"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "This Python cannot run the server."


def test_what_only_training_needs_and_is_missing_is_remarked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_check, "TRAINING_PACKAGES", {"no_such_module": "no-such-package"})
    found = self_check.check("cpu")
    assert found["problems"] == []
    assert found["remarks"] == [f"The Python at {sys.executable} has no no-such-package.", "Only training needs that."]
    assert found["packages"]["no-such-package"] == ""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise OSError('libodd.so.1: cannot open shared object file\\nmore')", "OSError: libodd.so.1: cannot open"),
        ("import a_part_that_is_not_there", "No module named 'a_part_that_is_not_there'"),
    ],
)
def test_a_broken_package_is_named_with_its_reason(
    code: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a_broken_one.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(self_check, "SERVER_PACKAGES", {"torch": "torch", "a_broken_one": "broken"})
    (problem,) = self_check.check("cpu")["problems"]
    assert problem.startswith("The package broken cannot be used: ")
    assert words in problem


def test_a_device_that_is_not_there_makes_it_unfit() -> None:
    (problem,) = self_check.check("cuda:63")["problems"]
    assert problem.startswith("The device cuda:63 cannot be used: ")


def test_a_device_that_makes_rubbish_makes_it_unfit(monkeypatch: pytest.MonkeyPatch) -> None:
    from inference_server.generators.stylegan2 import StyleGAN2

    monkeypatch.setattr(StyleGAN2, "synthesize", lambda *_: torch.full((1, 3, 64, 64), torch.nan))
    (problem,) = self_check.check("cpu")["problems"]
    assert "its numbers are broken" in problem

    def fail(*_: object) -> torch.Tensor:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nCompile with ...")

    monkeypatch.setattr(StyleGAN2, "synthesize", fail)
    (problem,) = self_check.check("cpu")["problems"]
    assert problem.endswith("RuntimeError: CUDA error: no kernel image is available for execution on the device.")


def test_a_build_for_cards_without_a_card_is_remarked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    found = self_check.check()
    assert found["problems"] == []
    assert found["remarks"] == ["This PyTorch is made for CUDA 13.0, but no card that it can use was found."]
