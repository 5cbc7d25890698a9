"""Files: reading returns what was written; a file is whole or does not exist."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference_server.pixels import encoding
from lantern_protocol import part_files
from lantern_protocol.errors import SOURCE_MISSING, WRITE_FAILED, ProtocolError


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_pixels_come_back(tmp_path: Path, channels: int, mode: str) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (17, 23, channels), dtype=np.uint8)
    path = tmp_path / "frame.png"
    encoding.write_atomically(path, encoding.encode_png(pixels))
    with Image.open(path) as image:
        assert image.mode == mode and image.size == (23, 17)
    assert np.array_equal(encoding.read_png(path), pixels)
    strided = pixels[::2, ::-1]
    encoding.write_atomically(path, encoding.encode_png(strided))
    assert np.array_equal(encoding.read_png(path), strided)
    assert [entry.name for entry in tmp_path.iterdir()] == ["frame.png"]


def test_palette_pictures_are_read_as_colour(tmp_path: Path) -> None:
    Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4), "L").convert("P").save(tmp_path / "p.png")
    assert encoding.read_png(tmp_path / "p.png").shape == (4, 4, 3)


@pytest.mark.parametrize("contents", [None, b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(50)])
def test_what_cannot_be_read_is_named(tmp_path: Path, contents: bytes | None) -> None:
    path = tmp_path / "source.png"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(ProtocolError, match=r"source\.png .*enerate the frame again") as caught:
        encoding.read_png(path)
    assert caught.value.code == SOURCE_MISSING


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "frame.png"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(encoding.os, "replace", full)
    with pytest.raises(ProtocolError, match=r"frame\.png: No space left on device\. Free some space or") as caught:
        encoding.write_atomically(path, b"new")
    assert caught.value.code == WRITE_FAILED
    assert [entry.name for entry in tmp_path.iterdir()] == ["frame.png"] and path.read_bytes() == b"old"


def test_a_part_that_another_process_has_removed_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the machine slept for hours in the middle of a write, and the part looked like a leftover."""
    replace, path = os.replace, tmp_path / "frame.png"

    def removed_before(part: Path, to: Path) -> None:
        monkeypatch.setattr(encoding.os, "replace", replace)
        os.utime(part, (time.time() - 7200,) * 2)
        assert part_files.remove_stale_parts(tmp_path) == 0, "a process never removes a part of its own"
        part.unlink()
        replace(part, to)

    monkeypatch.setattr(encoding.os, "replace", removed_before)
    encoding.write_atomically(path, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["frame.png"] and path.read_bytes() == b"new"


def test_a_rename_that_is_refused_for_an_instant_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Windows does while another process reads the file, or renames one to the same name."""
    replace, path, refused = os.replace, tmp_path / "frame.png", []

    def refuse(part: Path, to: Path) -> None:
        if len(refused) < 3:
            refused.append(part)
            raise PermissionError(13, "Permission denied")
        replace(part, to)

    monkeypatch.setattr(encoding.os, "replace", refuse)
    with pytest.raises(ProtocolError, match="Permission denied"):
        encoding.write_atomically(path, b"new")
    assert len(refused) == 1 and list(tmp_path.iterdir()) == []
    monkeypatch.setattr(encoding, "RENAME_ATTEMPTS", 5)
    encoding.write_atomically(path, b"new")
    assert len(refused) == 3 and path.read_bytes() == b"new"


def test_what_an_uncollected_process_left_is_stale(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "print()"], stdout=subprocess.PIPE) as process:
        process.stdout.read()
        part = tmp_path / f".part-{process.pid}-1"
        part.write_bytes(b"")
        if Path("/proc/self/stat").exists():
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, but keeps its id
        else:
            process.wait()
        assert part_files.remove_stale_parts(tmp_path) == 1


def test_only_stale_leftovers_are_removed(tmp_path: Path) -> None:
    alive = os.getppid()
    fresh, old, dead = (tmp_path / f".part-{pid}-7" for pid in (alive, f"0{alive}", 999999999))
    others = [tmp_path / name for name in (".part-x-1", "part-999999999-1", ".part-999999999-1.txt", "a.png")]
    for path in (fresh, old, dead, *others):
        path.write_bytes(b"")
    os.utime(old, (time.time() - 7200,) * 2)
    assert part_files.remove_stale_parts(tmp_path) == 2
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name for path in (fresh, *others)}
    assert part_files.remove_stale_parts(tmp_path / "missing") == 0
