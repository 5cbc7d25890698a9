"""Send wild messages to a real server process; check what it writes meanwhile, and that it never opens a port."""

from __future__ import annotations

import itertools
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import driving
from driving import Server, plain_frames
from lantern_protocol import errors
from sockets import family_of, sockets_of
from wild_messages import LONG, Wild, WildMessages, sound_requests

FIRST = 1_000_000
"""The numbers of wild messages begin above those that the driver itself uses."""

GROWTH = 256 << 20
"""Bytes by which the process may grow while it answers wild messages; torch keeps some for each shape."""

AUDITED = """
import json, os, sys
journal = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
DEEDS = ("os.", "shutil.", "subprocess.", "socket.", "pty.", "open")
HARMLESS = ("os.listdir", "os.scandir", "os.walk", "os.fwalk", "os.putenv", "os.unsetenv",
            "os.add_dll_directory", "os.posix_spawn_file_actions")
ready = False
def hook(event, arguments):
    if not ready or not event.startswith(DEEDS) or event.startswith(HARMLESS):
        return
    if event == "open":
        path, mode, flags = arguments
        if not (flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) or not isinstance(path, (str, bytes, os.PathLike)):
            return
        arguments = [os.fsdecode(path)]
    os.write(journal, json.dumps([event, [str(argument) for argument in arguments]]).encode() + b"\\n")
sys.addaudithook(hook)
from inference_server.commands import cli
from inference_server.serving import service
from inference_server.serving.answers import Answers
greet = Answers.greeting
def greeting(self):
    global ready
    ready = True  # what torch does while it is imported is its own
    return greet(self)
Answers.greeting = greeting
sys.exit(cli.main(["serve", "--device", "cpu"]))
"""


def deeds(journal: Path) -> list[tuple[str, list[str]]]:
    """The events that the audit hook has seen, with their arguments."""
    return [tuple(json.loads(line)) for line in journal.read_text().splitlines()]


def memory_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def wild_ones(seed: int, folder: Path, generator: dict[str, Any], count: int) -> list[tuple[int, Wild]]:
    """Mutants of every request except the one that ends the server."""
    sound = [request for request in sound_requests(str(folder), generator) if request["method"] != "shutdown"]
    mutants = WildMessages(seed, sound)
    every = ((number, mutants.message(number)) for number in itertools.count(FIRST))
    return list(itertools.islice((item for item in every if b"shutdown" not in item[1].data), count))


def test_a_thousand_wild_messages_to_a_real_server(tiny: dict, folder: Path, tmp_path: Path, cache: Path) -> None:
    journal = tmp_path / "journal"
    command = [sys.executable, "-B", "-c", AUDITED, str(journal)]
    expected = []
    with Server(command=command) as server:
        wild = wild_ones(11, folder, tiny, 1000)
        at_first = 0
        for place, (number, message) in enumerate(wild):
            server.send_bytes(message.data)
            if message.body is None:  # as many bytes as the header may have announced
                server.send_bytes(b" " * (LONG + len(message.data)) + b"\n")
            elif _answered_as(message.body) == number:
                expected.append(number)
            if place % 50 == 49:
                assert server.ask("ping") == {}
            if place == 500:
                at_first = memory_of(server.process.pid)
        server.until(lambda: all(number in server.answers for number in expected))
        assert memory_of(server.process.pid) - at_first < GROWTH
        codes = {answer.get("error", {}).get("code", 0) for answer in server.answers.values()}
        assert errors.INTERNAL_ERROR not in codes and {0, errors.INVALID_PARAMS, errors.INVALID_REQUEST} <= codes
        job = next(driving.jobs) + 10**40  # newer than any job in a wild message
        order = server.generate(job, folder, tiny, np.zeros((3, 8)), plain_frames(3, "after"))
        assert server.answer(order)["made"] == 3
        assert server.end() == 0
    assert len(expected) > 400
    made = sorted(path.name for path in folder.iterdir())
    assert set(made) >= {"after0000.png", "after0001.png", "after0002.png"}
    assert all(name.endswith(".png") for name in made)
    allowed = (str(folder), str(cache))
    strange = [
        (event, arguments)
        for event, arguments in deeds(journal)
        if not any(argument.startswith(allowed) for argument in arguments)
    ]
    assert strange == []


def test_a_path_that_is_no_file_is_refused_in_words(server: Server, tmp_path: Path, tiny: dict) -> None:
    """Neither a pipe, which would block the process that opens it, nor an endless device is opened."""
    os.mkfifo(tmp_path / "fifo")
    places = (str(tmp_path / "fifo"), "/dev/zero", "/dev/stdin", "/" + "x" * 5000, "\\\\server\\share", "//no/x")
    for place in places:
        for method, params in (
            ("generator/describe", {"path": place}),
            ("library/card", {"path": place, "thumbnail": True}),
            ("latents/import", {"path": place, "generator": tiny}),
            (
                "latents/map",
                {"generator": {"path": place, "sha256": "0" * 64}, "latents": driving.packed(np.zeros((1, 8)))},
            ),
        ):
            with pytest.raises(errors.ProtocolError) as caught:
                server.ask(method, **params)
            assert caught.value.code in (errors.CHECKPOINT_UNREADABLE, errors.LATENT_MISMATCH), (method, place)
            assert len(str(caught.value)) > 20
    listed = server.ask("library/list", folders=list(places))
    assert listed["entries"] == [] and len(listed["problems"]) == len(places)
    order = server.send("shadows/derive", job=next(driving.jobs), folder=str(tmp_path), shadows=[FROM_A_PIPE])
    assert server.answer(order)["failed"] == 1


FROM_A_PIPE = {"name": "s.png", "source": "fifo", "settings": {}}


def _answered_as(body: bytes) -> Any:
    """The id of the answer to a body; None if the body has no valid id."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return message.get("id")


def test_a_serving_server_has_no_socket(tiny: dict, folder: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with Server(command=[sys.executable, "-B", "-c", AUDITED, str(journal)]) as server:
        server.ask("generator/describe", path=tiny["path"])
        server.answer(server.generate(1, folder, tiny, np.zeros((4, 8)), plain_frames(4)))
        server.ask("library/list", folders=[str(tmp_path)])
        family = family_of(server.process.pid)
        assert [sockets_of(pid) for pid in family] == [[] for _ in family]
    assert not [event for event, _ in deeds(journal) if event.startswith(("socket.", "subprocess.", "os.exec"))]
    assert any(event == "os.rename" for event, _ in deeds(journal)), "the journal sees what is done"


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_would_be_seen(kind: int) -> None:
    before = sockets_of(os.getpid())
    with socket.socket(socket.AF_INET, kind) as opened:
        opened.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            opened.listen()
        (line,) = set(sockets_of(os.getpid())) - set(before)
        assert line.startswith(("tcp:", "udp:")) and f":{opened.getsockname()[1]:04X}" in line
    assert sockets_of(os.getpid()) == before
