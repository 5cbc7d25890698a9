"""Drives a real `python -m inference_server serve` over its pipes, and makes small checkpoints for it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from inference_server.checkpoints import save_generator
from inference_server.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from lantern_protocol import errors, framing, orders, vectors, versions

ROOT = Path(__file__).resolve().parents[2]
jobs = itertools.count(1000)
"""Job numbers. Each is higher than those of all earlier tests, which may have used the same server."""

PATIENCE = 60.0
"""Seconds that a test waits for an event. Only a broken server takes so long."""

TINY = {"z_dim": 8, "w_dim": 12, "channels": (8, 8, 8, 8)}
SLOW = {"z_dim": 8, "w_dim": 12, "channels": (32, 32, 32, 32, 32, 32, 32)}
"""256 x 256: a frame takes tens of milliseconds, so that a test has time to interrupt."""


def make_checkpoint(
    path: Path, seed: int = 0, change: Callable[[StyleGAN2], None] | None = None, **config: Any
) -> dict:
    """Write a small generator with random weights; return the value of `generator` for requests."""
    torch.manual_seed(seed)
    generator = StyleGAN2(StyleGAN2Config(**(config or TINY)), name=path.stem)
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.ndim == 0:
                parameter.fill_(0.2)  # noise strengths are 0 in a new network and would hide mistakes
    if change is not None:
        change(generator)
    save_generator(generator, path, {"name": path.stem}, torch.float32)
    return generator_of(path)


def generator_of(path: Path) -> dict[str, str]:
    """The value of `generator` for requests: a file and the sha256 of its present contents."""
    return {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def packed(values: ArrayLike) -> dict[str, Any]:
    """Pack floats for a message."""
    array = np.ascontiguousarray(values, dtype=np.float32)
    return vectors.pack_floats(array.tobytes(), array.shape)


def unpacked(value: Any) -> np.ndarray:
    """Unpack floats of a message."""
    data, shape = vectors.unpack_floats(value)
    return np.frombuffer(data, dtype=np.float32).reshape(shape)


class Server:
    """A server process and its conversation. Use it in a `with` block; leaving ends the process."""

    def __init__(self, *options: str, command: list[str] | None = None, greet: bool = True, **popen: Any):
        self.command = command or [sys.executable, "-m", "inference_server", "serve", "--device", "cpu", *options]
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | popen.pop("env", {})
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
            cwd=ROOT, **popen,
        )  # fmt: skip
        self.notes: list[dict[str, Any]] = []
        self.answers: dict[Any, dict[str, Any]] = {}
        self.rubbish: list[errors.ProtocolError] = []
        self.stderr = b""
        self._ended = False
        self._ids = itertools.count(1)
        self._news = threading.Condition()
        self._threads = [threading.Thread(target=target) for target in (self._read, self._read_stderr)]
        for thread in self._threads:
            thread.start()
        if greet:
            self.greeting = self.ask("initialize", **VERSIONS)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()
        assert not self.rubbish, f"stdout held more than messages: {self.rubbish}"

    def end(self) -> int:
        """Close stdin, wait for the process and return its exit code."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            code = self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            for thread in self._threads:
                thread.join()
            self.process.stdout.close()
            self.process.stderr.close()
        return code

    def send(self, method: str, **params: Any) -> int:
        """Send a request; return its number."""
        identity = next(self._ids)
        self.send_bytes(framing.encode_message(framing.request(identity, method, params)))
        return identity

    def send_bytes(self, data: bytes) -> None:
        """Send any bytes."""
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def answer(self, identity: int | None) -> dict[str, Any]:
        """Wait for the answer to a request; return its result, or raise its error as ProtocolError."""
        self.until(lambda: identity in self.answers)
        answer = self.answers.pop(identity)
        if "error" in answer:
            raise errors.ProtocolError.from_json(answer["error"])
        return answer["result"]

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request and wait for its result."""
        return self.answer(self.send(method, **params))

    def until(self, happened: Callable[[], Any]) -> None:
        """Wait until `happened()` is true, checked after every message."""
        with self._news:
            self._news.wait_for(lambda: self._ended or happened(), PATIENCE)
            assert happened(), f"it did not happen; {self.notes=} {self.answers=} stderr: {self.stderr.decode()}"

    def made(self, job: int | None = None) -> list[str]:
        """The names of all files reported, in order."""
        return [name for note in self.noted("frames/made", job) for name in note["names"]]

    def noted(self, method: str, job: int | None = None) -> list[dict[str, Any]]:
        """The params of the notifications of one kind so far."""
        notes = [note["params"] for note in self.notes if note["method"] == method]
        return [note for note in notes if job is None or note["job"] == job]

    def generate(self, job: int, folder: Path, generator: dict, latents: ArrayLike, frames: list, **more: Any) -> int:
        """Send frames/generate; frames are FrameOrder or a count of plain frames f0.png, f1.png ..."""
        orders = [frame.to_json() for frame in frames]
        params = {"space": "z", "append": False} | more
        return self.send(
            "frames/generate", job=job, folder=str(folder), generator=generator, latents=packed(latents), frames=orders,
            **params,
        )  # fmt: skip

    def _read(self) -> None:
        for message in framing.read_messages(self.process.stdout):
            with self._news:
                if isinstance(message, errors.ProtocolError):
                    self.rubbish.append(message)
                elif "method" in message:
                    self.notes.append(message)
                else:
                    self.answers[message["id"]] = message
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _read_stderr(self) -> None:
        for line in self.process.stderr:
            self.stderr += line


VERSIONS = {"protocol": versions.PROTOCOL_VERSION, "pixel_revision": versions.PIXEL_REVISION, "client": "tests"}


def plain_frames(count: int, prefix: str = "f", **settings: Any) -> list[orders.FrameOrder]:
    """Orders for rows 0 to count - 1."""
    return [orders.FrameOrder(f"{prefix}{row:04}.png", row, orders.RenderSettings(**settings)) for row in range(count)]
