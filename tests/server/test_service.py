"""The exchange of messages: handshake, rubbish, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import driving
from driving import Server, packed, plain_frames, unpacked
from inference_server.checkpoints import load_generator
from inference_server.rendering.seeds import sample_seeds
from lantern_protocol import errors, framing, versions
from lantern_protocol.errors import ProtocolError

SETTINGS = {"name": "s.png", "source": "f.png", "settings": {}}


def code_of(server: Server, method: str, **params: object) -> int:
    with pytest.raises(ProtocolError) as caught:
        server.ask(method, **params)
    return caught.value.code


def test_greets_and_says_what_it_runs_on(server: Server) -> None:
    greeting = server.greeting
    assert greeting["protocol"] == versions.PROTOCOL_VERSION
    assert greeting["pixel_revision"] == versions.PIXEL_REVISION
    assert greeting["torch"] == torch.__version__
    assert greeting["device"]["kind"] == "cpu" and "CPU" in greeting["device"]["name"]
    assert greeting["pid"] == server.process.pid


@pytest.mark.parametrize("change", [{"protocol": 99}, {"pixel_revision": None}])
def test_other_versions_are_refused_with_advice(server: Server, change: dict) -> None:
    with pytest.raises(ProtocolError, match="Install the add-on again") as caught:
        server.ask("initialize", **driving.VERSIONS | change)
    assert caught.value.code == errors.VERSION_MISMATCH
    assert caught.value.data["protocol"] == versions.PROTOCOL_VERSION


def test_only_ping_works_before_the_handshake_and_at_once() -> None:
    with Server(greet=False) as server:
        waiting = server.send("initialize", **driving.VERSIONS)
        server.ask("ping")
        assert waiting not in server.answers  # torch is still being imported
        server.answer(waiting)
    with Server(greet=False) as server:
        assert code_of(server, "device/release") == errors.INVALID_REQUEST


def test_describes_a_generator(server: Server, tiny: dict) -> None:
    about = server.ask("generator/describe", path=tiny["path"])
    assert about["sha256"] == tiny["sha256"]
    assert about["bytes"] == Path(tiny["path"]).stat().st_size
    assert (about["kind"], about["z_dim"], about["w_dim"], about["num_ws"]) == ("stylegan2", 8, 12, 8)
    assert (about["width"], about["height"], about["channels"], about["dtype"]) == (32, 32, 3, "float32")


def test_seeds_are_numpys() -> None:
    latents = sample_seeds([0, 7, 4294967295], 8)
    expected = [np.random.RandomState(seed).randn(1, 8)[0] for seed in (0, 7, 4294967295)]
    assert np.array_equal(latents, np.array(expected, dtype=np.float32))


def test_maps_z_to_w_without_truncation(server: Server, tiny: dict) -> None:
    z = np.random.RandomState(1).randn(5, 8).astype(np.float32)
    w = unpacked(server.ask("latents/map", generator=tiny, latents=packed(z))["latents"])
    with torch.inference_mode():
        assert np.allclose(w, load_generator(tiny["path"]).map(torch.from_numpy(z)).numpy(), atol=1e-6)
    assert code_of(server, "latents/map", generator=tiny, latents=packed(z[:, :7])) == errors.LATENT_MISMATCH


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("frames/teleport", {}, errors.METHOD_NOT_FOUND),
        ("frames/cancel", {"job": "1"}, errors.INVALID_PARAMS),
        ("latents/map", {"generator": None, "latents": packed(np.zeros((1, 8)))}, errors.INVALID_PARAMS),
        ("generator/describe", {"path": 5}, errors.INVALID_PARAMS),
        ("generator/describe", {"path": "/nowhere/at/all.pkl"}, errors.CHECKPOINT_UNREADABLE),
        ("shadows/derive", {"job": 1, "folder": "relative", "shadows": []}, errors.INVALID_PARAMS),
        ("shadows/derive", {"job": 1, "folder": "/", "shadows": [SETTINGS | {"name": "../s.png"}]}, -32602),
        ("shadows/derive", {"job": 1, "folder": "/", "shadows": [SETTINGS], "append": 1}, errors.INVALID_PARAMS),
    ],
)
def test_wrong_requests_are_answered(server: Server, method: str, params: dict, code: int) -> None:
    assert code_of(server, method, **params) == code


def test_rubbish_is_answered_and_survived(server: Server) -> None:
    for rubbish, code in (
        (b"hello?\r\n", errors.PARSE_ERROR),
        (b"Content-Length: 5\r\n\r\n{\xff{]x", errors.PARSE_ERROR),
        (b"Content-Length: 2\r\n\r\n[]", errors.INVALID_REQUEST),
        (b"Content-Length: 2\r\n\r\n{}", errors.INVALID_REQUEST),
        (b'Content-Length: 49\r\n\r\n{"jsonrpc":"2.0","id":null,"method":3,"params":1}', errors.INVALID_REQUEST),
        (b'Content-Length: 54\r\n\r\n{"jsonrpc":"2.0","id":null,"method":"ping","params":1}', errors.INVALID_PARAMS),
    ):
        server.send_bytes(rubbish)
        if rubbish == b"Content-Length: 2\r\n\r\n{}":  # without an id it is a notification: no answer
            continue
        server.until(lambda: None in server.answers)
        assert server.answers.pop(None)["error"]["code"] == code, rubbish
    assert server.ask("ping") == {}


def test_ping_is_answered_while_the_device_is_busy(server: Server, slow: dict, folder: Path) -> None:
    job = next(driving.jobs)
    busy = server.generate(job, folder, slow, np.zeros((40, 8)), plain_frames(40))
    server.until(lambda: server.made(job))
    server.ask("ping")
    assert busy not in server.answers
    server.ask("frames/cancel", job=job)
    server.answer(busy)


def test_what_libraries_print_goes_to_stderr(tiny: dict, folder: Path) -> None:
    code = """
import os, sys
from inference_server.commands import cli
from inference_server.rendering import renderer
images = renderer.Renderer.images
def noisy(*arguments):
    print("a library says hello")
    os.write(1, b"and so does its C code")
    os.system("echo and a child")
    return images(*arguments)
renderer.Renderer.images = noisy
sys.exit(cli.main(["serve", "--device", "cpu"]))
"""
    with Server(command=[sys.executable, "-c", code]) as server:
        assert server.answer(server.generate(1, folder, tiny, np.zeros((2, 8)), plain_frames(2)))["made"] == 2
    assert b"library says hello" in server.stderr and b"C code" in server.stderr and b"and a child" in server.stderr
    assert not server.rubbish


def test_a_bug_is_answered_and_survived(tiny: dict, folder: Path) -> None:
    code = """
import sys
from inference_server.commands import cli
from inference_server.rendering.seeds import sample_seeds
from inference_server.checkpoints import cache
load, bugs = cache.read_native, [1, 1]
def buggy(path):
    if bugs:
        raise RuntimeError(f"bug {bugs.pop()}")
    return load(path)
cache.read_native = buggy
sys.exit(cli.main(["serve", "--device", "cpu"]))
"""
    with Server(command=[sys.executable, "-c", code]) as server:
        assert code_of(server, "generator/describe", path=tiny["path"]) == errors.INTERNAL_ERROR
        with pytest.raises(ProtocolError, match="RuntimeError: bug"):
            server.answer(server.generate(1, folder, tiny, np.zeros((2, 8)), plain_frames(2)))
        assert server.answer(server.generate(2, folder, tiny, np.zeros((2, 8)), plain_frames(2)))["made"] == 2


def test_shutdown_writes_what_is_under_way_and_ends(tiny: dict, folder: Path) -> None:
    with Server() as server:
        frames = server.generate(1, folder, tiny, np.zeros((500, 8)), plain_frames(500))
        server.until(lambda: server.made(1))
        server.ask("shutdown")
        counts = server.answer(frames)
        assert server.process.wait(driving.PATIENCE) == 0
    assert counts["made"] + counts["dropped"] == 500 and counts["dropped"] > 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(server.made(1))


def test_the_end_of_stdin_ends_it_in_the_middle_of_work(slow: dict, folder: Path) -> None:
    with Server() as server:
        server.generate(1, folder, slow, np.zeros((10000, 8)), plain_frames(10000))
        server.until(lambda: server.made(1))
        assert server.end() == 0
    assert not list(folder.glob(".part-*"))


def test_the_parents_death_ends_it_though_the_pipe_stays_open(slow: dict, folder: Path) -> None:
    stdin_read, stdin_write = os.pipe()
    stdout_read, stdout_write = os.pipe()
    start = "import subprocess, sys; subprocess.Popen([sys.executable, *sys.argv[1:]]).wait()"
    command = [sys.executable, "-c", start, "-m", "inference_server", "serve", "--device", "cpu"]
    parent = subprocess.Popen(command, stdin=stdin_read, stdout=stdout_write, cwd=driving.ROOT)
    os.close(stdin_read)
    os.close(stdout_write)
    with open(stdin_write, "wb") as stdin, open(stdout_read, "rb") as stdout:
        messages = framing.read_messages(stdout)
        stdin.write(framing.encode_message(framing.request(1, "initialize", driving.VERSIONS)))
        stdin.flush()
        assert next(messages)["result"]["pid"] != parent.pid
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert list(messages) == []  # the server's end of stdout is closed: the server has ended
