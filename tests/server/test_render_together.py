"""Several processes at one folder of frames: the journal by itself, and two real renders at once."""

from __future__ import annotations

import collections
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import driving
from inference_server.commands import cli
from inference_server.pixels.encoding import encode_png
from inference_server.rendering.journal import JOURNAL, Journal
from inference_server.rendering.sequences import _in_turn
from lantern_protocol.orders import RenderSettings
from lantern_protocol.sequence_file import SequenceFile, SequenceFrame, SequenceGenerator

GREY = np.full((4, 4, 3), 128, dtype=np.uint8)
WHITE = np.full((4, 4, 3), 255, dtype=np.uint8)
FRAMES = 2000


def requests(count: int) -> dict[str, str]:
    return {f"frame_{number:04}.png": f"request {number}" for number in range(count)}


def line_of(name: str, request: str, picture: np.ndarray = GREY) -> bytes:
    """What a process writes about a frame, without the file."""
    sha256 = hashlib.sha256(encode_png(picture)).hexdigest()
    return b"\n" + json.dumps({"name": name, "request": request, "sha256": sha256}).encode()


def append(folder: Path, data: bytes) -> None:
    with open(folder / JOURNAL, "ab") as file:
        file.write(data)


def lines_of(folder: Path) -> list[dict[str, str]]:
    """Every line of the journal; each must be whole."""
    return [json.loads(line) for line in (folder / JOURNAL).read_bytes().split(b"\n") if line]


def test_a_journal_sees_what_another_has_finished_and_once(tmp_path: Path) -> None:
    mine, theirs = Journal(tmp_path, requests(5)), Journal(tmp_path, requests(5))
    assert mine.look() == set() and not mine.shared
    theirs.write("frame_0003.png", GREY, None)
    theirs.write("frame_0001.png", GREY, None)
    assert mine.look() == {"frame_0001.png", "frame_0003.png"} and mine.shared
    assert mine.look() == set()
    mine.write("frame_0002.png", GREY, None)
    assert mine.look() == set(), "what it has made itself is no news"
    assert theirs.look() == {"frame_0002.png"}
    assert Journal(tmp_path, requests(5)).done == {f"frame_000{number}.png" for number in (1, 2, 3)}


def test_one_that_is_alone_knows(tmp_path: Path) -> None:
    Journal(tmp_path, requests(2)).write("frame_0000.png", GREY, None)
    journal = Journal(tmp_path, requests(2))
    journal.write("frame_0001.png", GREY, None)
    assert journal.look() == set() and not journal.shared
    append(tmp_path, line_of("frame_0001.png", "request 1"))  # another made the same frame at the same time
    assert journal.look() == set() and journal.shared


def test_a_line_without_its_file_says_nothing_yet(tmp_path: Path) -> None:
    append(tmp_path, line_of("frame_0000.png", "request 0"))  # of a process that was killed long ago
    journal = Journal(tmp_path, requests(5))
    for number in range(1, 5):
        append(tmp_path, line_of(f"frame_000{number}.png", "another" if number == 4 else f"request {number}"))
    (tmp_path / "frame_0002.png").write_bytes(encode_png(WHITE))  # there from before, to be replaced
    (tmp_path / "frame_0004.png").write_bytes(encode_png(GREY))
    assert journal.look() == set()
    (tmp_path / "frame_0001.png").write_bytes(encode_png(GREY))
    (tmp_path / "frame_0002.png").write_bytes(encode_png(GREY))
    assert journal.look() == {"frame_0001.png", "frame_0002.png"}
    (tmp_path / "frame_0003.png").write_bytes(encode_png(GREY))
    assert journal.look() == {"frame_0003.png"}


def test_a_file_that_another_makes_while_the_folder_is_looked_through_is_no_foreign_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, contents = Journal(tmp_path, requests(3)), Journal._contents

    def while_they_work(self: Journal, name: str) -> str | None:
        theirs.write(name, GREY, None)  # after the journal was read, and before the file is
        return contents(self, name)

    monkeypatch.setattr(Journal, "_contents", while_they_work)
    mine = Journal(tmp_path, requests(3))
    assert mine.done == set(requests(3)) and mine.others == []


def test_the_last_line_and_the_last_file_may_be_of_different_processes(tmp_path: Path) -> None:
    """Two devices round differently. Each file is right, whichever was renamed last."""
    Journal(tmp_path, requests(1)).write("frame_0000.png", GREY, None)
    append(tmp_path, line_of("frame_0000.png", "request 0", WHITE))
    assert Journal(tmp_path, requests(1)).done == {"frame_0000.png"}
    (tmp_path / "frame_0000.png").write_bytes(encode_png(WHITE))
    assert Journal(tmp_path, requests(1)).done == {"frame_0000.png"}
    (tmp_path / "frame_0000.png").write_bytes(b"drawn over")
    assert Journal(tmp_path, requests(1)).others == ["frame_0000.png"]
    assert Journal(tmp_path, {"frame_0000.png": "another request"}).others == ["frame_0000.png"]


def test_half_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path, requests(3))
    line = line_of("frame_0001.png", "request 1")
    (tmp_path / "frame_0001.png").write_bytes(encode_png(GREY))
    for at in range(len(line) - 1):
        append(tmp_path, line[at : at + 1])
        assert journal.look() == set() and not journal.shared
    append(tmp_path, line[-1:])
    assert journal.look() == {"frame_0001.png"}


@pytest.mark.parametrize(
    "rubbish", [b'\n{"name": "frame_0', b"\n{", b"\n" + b"\0" * 5000, b"\n\xff\xfe\n\n[1]", b"\n" + b"[" * 99999]
)
def test_a_process_killed_in_the_middle_of_a_line_spoils_no_other(tmp_path: Path, rubbish: bytes) -> None:
    theirs, mine = Journal(tmp_path, requests(9)), Journal(tmp_path, requests(9))
    for number in (1, 2, 3):
        append(tmp_path, rubbish)
        theirs.write(f"frame_000{number}.png", GREY, None)
        append(tmp_path, rubbish)
        assert mine.look() == {f"frame_000{number}.png"}
        mine.write(f"frame_000{number + 3}.png", GREY, None)
    assert Journal(tmp_path, requests(9)).done == {f"frame_000{number}.png" for number in range(1, 7)}
    assert theirs.look() == {"frame_0004.png", "frame_0005.png", "frame_0006.png"}


@pytest.mark.parametrize(
    "value", [None, 5, [], {}, {"name": "frame_0000.png"}, {"name": [], "request": 1, "sha256": 2}]
)
def test_lines_that_are_none_are_passed_over(tmp_path: Path, value: object) -> None:
    journal = Journal(tmp_path, requests(2))
    append(tmp_path, b"\n" + json.dumps(value).encode())
    append(tmp_path, b'\n{"name": "frame_0000.png", "request": "request 0", "sha256": [3]}')
    journal.write("frame_0001.png", GREY, None)
    assert journal.look() == set()
    assert Journal(tmp_path, requests(2)).done == {"frame_0001.png"}


def test_a_journal_that_is_deleted_begins_again(tmp_path: Path) -> None:
    mine, theirs = Journal(tmp_path, requests(5)), Journal(tmp_path, requests(5))
    for number in range(3):
        theirs.write(f"frame_000{number}.png", GREY, None)
    assert len(mine.look()) == 3
    (tmp_path / JOURNAL).unlink()
    assert mine.look() == set()
    theirs.write("frame_0003.png", GREY, None)
    assert mine.look() == {"frame_0003.png"}


WRITER = """
import sys, threading
from pathlib import Path
import numpy as np
from inference_server.rendering.journal import Journal
folder, which, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
names = [f"frame_{number:04}.png" for number in range(count)]
journal = Journal(folder, {name: f"request {int(name[6:10])}" for name in names})
def write(thread):
    for name in names[thread::4]:
        if int(name[6:10]) % 5 in (which, 4):  # every fifth is made by all processes
            journal.write(name, np.full((4, 4, 3), 128, dtype=np.uint8), None)
sys.stdin.read(1)
threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_many_writers_lose_nothing_and_mix_nothing(tmp_path: Path) -> None:
    """Four processes of four threads each write while this one looks; a fifth dies in the middle of lines."""
    count = 600
    journal = Journal(tmp_path, requests(count))
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [
        subprocess.Popen([*command, str(which), str(count)], stdin=subprocess.PIPE, cwd=driving.ROOT)
        for which in range(4)
    ]
    torn = threading.Event()

    def tear() -> None:
        dice = random.Random(0)
        while not torn.wait(0.002):
            line = line_of("frame_0000.png", "request 0")
            append(tmp_path, line[: dice.randrange(1, len(line))])

    tearing = threading.Thread(target=tear)
    tearing.start()
    news: list[str] = []
    for writer in writers:
        writer.stdin.write(b"x")
        writer.stdin.close()
    while any(writer.poll() is None for writer in writers):
        news += journal.look()
    torn.set()
    tearing.join()
    news += journal.look()
    assert [writer.returncode for writer in writers] == [0] * 4
    assert sorted(news) == sorted(requests(count)) and journal.shared
    assert Journal(tmp_path, requests(count)).done == set(requests(count))
    lines = collections.Counter()
    for line in (tmp_path / JOURNAL).read_bytes().split(b"\n"):
        try:
            lines[json.loads(line)["name"]] += 1
        except ValueError:
            assert line_of("frame_0000.png", "request 0").startswith(b"\n" + line), "only what was torn is not whole"
    expected = {name: 4 if int(name[6:10]) % 5 == 4 else 1 for name in requests(count)}
    assert {name: lines[name] for name in expected if name != "frame_0000.png"} == {
        name: times for name, times in expected.items() if name != "frame_0000.png"
    }
    assert lines["frame_0000.png"] >= 1  # a line may be torn at its very end


def parts_of(count: int) -> list[list[SequenceFrame]]:
    return [[SequenceFrame(3 * part + number, 0) for number in range(3)] for part in range(count)]


def test_batches_come_in_order_while_nobody_else_is_there() -> None:
    parts = parts_of(50)
    todo = {frame for part in parts[:10] + parts[20:] for frame in part}
    looks: list[int] = []
    assert list(_in_turn(parts, todo, lambda: bool(looks.append(1)))) == parts[:10] + parts[20:]
    assert 40 <= len(looks) <= 41, "others are asked for once before each batch, not for what is left out"


def test_batches_that_others_have_made_are_left_out_and_two_do_not_go_side_by_side() -> None:
    """Two walk at the same pace, each seeing what the other has made one batch ago."""
    parts = parts_of(200)
    todo = [{frame for part in parts for frame in part} for _ in range(2)]
    made: list[list[SequenceFrame]] = []

    def walk(which: int) -> Iterator[list[SequenceFrame]]:
        return _in_turn(parts, todo[which], lambda: bool(made))

    for pair in zip(walk(0), walk(1), strict=False):
        for other, part in zip((1, 0), pair, strict=True):
            todo[other].difference_update(part)
            made.append(part)
    assert {frame for part in made for frame in part} == {frame for part in parts for frame in part}
    assert len(made) <= 240


@pytest.fixture
def sequence(tmp_path: Path, tiny: dict) -> Path:
    """Many frames, in batches of 32; the noise changes once."""
    shutil.copy(tiny["path"], tmp_path / "net.safetensors")
    z = np.random.RandomState(0).randn(50, 8).astype(np.float32)
    frames = tuple(
        SequenceFrame(i, i % 50, RenderSettings(psi=i / FRAMES, noise="const" if i < FRAMES // 2 else 5))
        for i in range(FRAMES)
    )
    path = tmp_path / "shot.lantern.json"
    generators = (SequenceGenerator("net.safetensors", tiny["sha256"], "tiny"),)
    SequenceFile("shot", 12, generators, "z", z.tobytes(), z.shape, frames).write(path)
    return path


LET_GO = """
import sys
import torch
from inference_server.commands import cli
from inference_server.rendering import renderer
print("ready", file=sys.stderr, flush=True)
sys.stdin.read()
sys.exit(cli.main(sys.argv[1:]))
"""


class Render:
    """A real `render` process, which waits for `go`. What it says is kept."""

    def __init__(self, sequence: Path, out: Path, *options: str):
        command = [sys.executable, "-c", LET_GO, "render", sequence, "--out", out, "--device", "cpu", *options]
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # more may round differently
        self.process = subprocess.Popen(
            command, cwd=driving.ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=one_thread
        )
        self.said = ""
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.until_it_says("ready\n")

    def go(self) -> Render:
        """Let it begin."""
        self.process.stdin.close()
        return self

    def _read(self) -> None:
        while data := self.process.stderr.read1():
            with self._news:
                self.said += data.decode()
                self._news.notify_all()

    def until_it_says(self, words: str) -> None:
        with self._news:
            assert self._news.wait_for(lambda: re.search(words, self.said), driving.PATIENCE), self.said

    def end(self) -> int:
        """Wait for its end; return the exit code."""
        code = self.process.wait(driving.PATIENCE)
        self._reader.join()
        self.process.stderr.close()
        return code


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("frame_*")}


def rendered(sequence: Path, out: Path, capsys: pytest.CaptureFixture) -> tuple[int, str]:
    code = cli.main(["render", str(sequence), "--out", str(out), "--device", "cpu"])
    return code, capsys.readouterr().err


def test_two_renders_at_once_make_each_frame_right_and_most_frames_once(
    sequence: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    both = [Render(sequence, out), Render(sequence, out)]
    for render in both:
        render.go()
    assert [render.end() for render in both] == [0, 0], [render.said for render in both]
    assert rendered(sequence, tmp_path / "alone", capsys)[0] == 0
    assert len(hashes(out)) == FRAMES and hashes(out) == hashes(tmp_path / "alone")
    lines = collections.Counter(line["name"] for line in lines_of(out))
    assert len(lines) == FRAMES and max(lines.values()) <= 2
    assert lines.total() < 1.5 * FRAMES, "most frames are made once"
    made = 0
    for render in both:
        # How many each makes is up to the machine: one may be done before the other begins.
        to_make, *elsewhere = re.findall(r"(\d+) (?:frames to make|of these frames were made by another)", render.said)
        assert int(to_make) == 0 or render.said.count(f"\r{to_make} of {to_make} frames\n") == 1, render.said[-300:]
        made += int(to_make) - sum(map(int, elsewhere))
    assert made == lines.total()
    assert not list(out.glob(".part-*"))
    assert rendered(sequence, out, capsys) == (0, f"0 frames to make, {FRAMES} there already.\n")


def test_one_that_is_killed_leaves_its_frames_to_the_other(
    sequence: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    both = [Render(sequence, out), Render(sequence, out)]
    for render in both:
        render.go()
    for render in both:
        render.until_it_says(r"\d\d of \d+ frames")
    both[0].process.send_signal(signal.SIGKILL)
    append(out, b'\n{"name": "frame_0')  # as if it was cut off in the middle of a line
    assert both[0].end() == -signal.SIGKILL
    assert both[1].end() == 0, both[1].said
    assert rendered(sequence, tmp_path / "alone", capsys)[0] == 0
    assert hashes(out) == hashes(tmp_path / "alone")
    assert rendered(sequence, out, capsys) == (0, f"0 frames to make, {FRAMES} there already.\n")
    assert not list(out.glob(".part-*"))


def test_one_that_starts_removes_no_part_of_one_that_lives(sequence: Path, tmp_path: Path) -> None:
    """One process is stopped in the middle of a file, and another begins."""
    out = tmp_path / "out"
    out.mkdir()
    code = "import sys; from pathlib import Path; from lantern_protocol.part_files import part_beside\n"
    code += "part = part_beside(Path(sys.argv[1], 'x.png')); part.write_bytes(b'half'); print(part.name, flush=True)\n"
    code += "sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=driving.ROOT
    ) as writing:
        part = out / writing.stdout.readline().decode().strip()
        assert Render(sequence, out, "--frames", "0").go().end() == 0
        assert part.read_bytes() == b"half"
        writing.stdin.close()
    assert Render(sequence, out, "--frames", "1").go().end() == 0
    assert not part.exists()
