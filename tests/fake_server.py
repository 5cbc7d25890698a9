"""A server without a neural network: it speaks the protocol, makes small pictures at once, and fails if it is told to.

    python tests/fake_server.py [options]

Every method of the protocol is answered as the real server answers it. A frame's pixels are a function of everything
that decides them (see `fake_pictures.picture`), so a test can compute what a file must hold. Standard library only.

What it imitates
    --z-dim N             length of z and w (8)
    --size WxH            size of the pictures (16x16)
    --facts JSON          fields of every generator's description that differ from the default
    --slow SECONDS        time each frame takes (0)
    --journal FILE        appends a line of JSON for each request: {"method", "names", "job", "params"}; `names` are the
                          files ordered, `params` without latents. A run that needs no inference adds no
                          "frames/generate"; the number of "initialize" lines is the number of starts.

Any readable file is a checkpoint, except a file that begins with "broken". A folder is a run; its files are the
snapshots, in the order of their names. A file of latents is JSON: {"space": "w+", "latents": [...]}.

What goes wrong; N counts orders made since the start, and 0 means: at the first order
    --exit-at-start CODE TEXT   writes TEXT to stderr and ends
    --wrong-version WHAT  greets with another protocol ("protocol"), other pixels ("pixels"), or an error ("refuse")
    --crash-after N       kills itself with SIGKILL
    --hang-after N        no longer reads or answers anything, not even ping, and ignores the end of its stdin
    --stop-self-after N   stops itself with SIGSTOP
    --garble-after N      from then on every message is a header and a body that is not JSON, repeated thirty times
    --close-stdout-after N      closes its stdout and keeps running
    --close-stdin-after N       closes its stdin and keeps running
    --fork-noise          starts a child that prints junk without a line break to the same stdout, and outlives it
    --dribble             writes its stdout byte by byte
    --noise               prints a line of junk before every message
    --lie                 reports frames as made without writing them, and one frame that nobody ordered
    --room BYTES          the disk is full after this many bytes of each file
    --fail-writes         fails every order with WRITE_FAILED, which drops the rest of its job
    --once FLAGFILE       the faults above, and --slow, are for the first run only; it makes FLAGFILE to tell later runs
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import fake_files  # noqa: E402
import fake_pictures  # noqa: E402
from fake_bench import Batch, Bench, Item  # noqa: E402
from lantern_protocol import errors, framing, orders, versions  # noqa: E402
from lantern_protocol.part_files import remove_stale_parts  # noqa: E402

BUILT_IN_SHA256 = fake_files.BUILT_IN_SHA256


class Output:
    """Writes messages to stdout, one at a time, with the faults that were asked for."""

    def __init__(self, options: argparse.Namespace):
        self._options = options
        self._lock = threading.Lock()
        self.garbled = False

    def send(self, message: dict[str, Any]) -> None:
        """Write one message."""
        data = framing.encode_message(message)
        if self.garbled:
            data = b"Content-Length: 5\r\n\r\n{oops" * 30
        if self._options.noise:
            data = b"a library prints to stdout\n" + data
        pieces = [data[i : i + 1] for i in range(len(data))] if self._options.dribble else [data]
        with self._lock:
            try:
                for piece in pieces:
                    sys.stdout.buffer.write(piece)
                    sys.stdout.buffer.flush()
            except (OSError, ValueError):
                pass  # The other side or --close-stdout-after has closed it; the end of stdin ends the server.


class Faults:
    """The faults that occur after a number of frames."""

    def __init__(self, options: argparse.Namespace, output: Output):
        self._options = options
        self._output = output
        self._begun = 0
        self.hanging = threading.Event()

    def before_frame(self) -> None:
        """The working thread calls this before it makes each order."""
        if self._due("crash_after"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._due("stop_self_after"):
            os.kill(os.getpid(), signal.SIGSTOP)
        if self._due("hang_after"):
            self.hanging.set()
            _hang()
        if self._due("close_stdout_after"):
            sys.stdout.flush()
            os.close(1)
        if self._due("close_stdin_after"):
            os.close(0)
        if self._due("garble_after"):
            self._output.garbled = True
        time.sleep(self._options.slow)
        self._begun += 1
        if self._options.fail_writes:
            raise errors.ProtocolError(errors.WRITE_FAILED, "No space left on device.")

    def _due(self, name: str) -> bool:
        limit = getattr(self._options, name)
        if limit is None or self._begun < limit:
            return False
        setattr(self._options, name, None)
        return True


class FakeServer:
    """Answers requests. Each method of the protocol is a function of the request's params."""

    def __init__(self, options: argparse.Namespace):
        self._options = options
        self._output = Output(options)
        self._faults = Faults(options, self._output)
        self._bench = Bench(self._faults.before_frame, self._notify)
        self._tidied: set[Path] = set()
        self._facts = _default_facts(options) | options.facts
        self._answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "initialize": self._initialize,
            "generator/describe": self._describe,
            "latents/map": self._map,
            "latents/import": self._import,
            "library/list": self._library,
            "library/card": self._card,
            "frames/cancel": lambda params: {"dropped": self._bench.cancel(params["job"])},
            "work/cancel": lambda params: {"cancelled": False},
            "device/release": lambda params: {"released": 0},
            "ping": lambda params: {},
            "shutdown": self._shutdown,
        }

    def serve(self) -> None:
        """Answer until stdin ends or `shutdown` comes."""
        for message in framing.read_messages(sys.stdin.buffer):
            if self._faults.hanging.is_set():
                _hang()
            if isinstance(message, errors.ProtocolError):
                self._output.send(framing.failure(None, message))
                continue
            identity, method, params = message["id"], message["method"], message["params"]
            self._note(method, params)
            try:
                if method in ("frames/generate", "shadows/derive"):
                    self._order(identity, method, params)
                elif method in self._answers:
                    self._output.send(framing.result(identity, self._answers[method](params)))
                else:
                    raise errors.ProtocolError(errors.METHOD_NOT_FOUND, f"There is no method '{method}'.")
            except errors.ProtocolError as error:
                self._output.send(framing.failure(identity, error))
            if method == "shutdown":
                return

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if self._options.journal is None:
            return
        orders = params.get("frames") or params.get("shadows") or []
        names = [name for order in orders for name in (order["name"], *(s["name"] for s in order.get("shadows", [])))]
        kept = {key: value for key, value in params.items() if key != "latents"}
        line = {"method": method, "names": names, "job": params.get("job"), "params": kept}
        with self._options.journal.open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(line) + "\n")

    def _initialize(self, params: dict[str, Any]) -> dict[str, Any]:
        wrong = self._options.wrong_version
        version = "0.0.9" if wrong else versions.SERVER_VERSION
        if wrong == "refuse":
            text = f"This is inference server {version}."
            raise errors.ProtocolError(errors.VERSION_MISMATCH, text, {"server": version})
        return {
            "protocol": versions.PROTOCOL_VERSION + (wrong == "protocol"),
            "pixel_revision": versions.PIXEL_REVISION + (wrong == "pixels"),
            "server": version,
            "python": sys.version.split()[0],
            "torch": "none",
            "device": {"kind": "cpu", "name": "fake"},
            "pid": os.getpid(),
        }

    def _describe(self, params: dict[str, Any]) -> dict[str, Any]:
        path = params.get("path")
        run = fake_files.snapshots_of(path) if path is not None and os.path.isdir(path) else []
        file = run[-1]["path"] if run else path
        sha256, size = fake_files.identity(file)
        return self._facts | {
            "name": "Fake" if path is None else Path(path).stem,
            "snapshots": run,
            "sha256": sha256,
            "path": path,
            "bytes": size,
        }

    def _library(self, params: dict[str, Any]) -> dict[str, Any]:
        entries: list[dict[str, Any]] = []
        problems: list[str] = []
        for folder in params["folders"]:
            try:
                entries += fake_files.found_in(Path(folder))
            except OSError as error:
                problems.append(f"'{folder}' cannot be read: {error.strerror}.")
        return {"entries": entries, "problems": problems}

    def _card(self, params: dict[str, Any]) -> dict[str, Any]:
        card = self._describe(params) | {"thumbnail": ""}
        if params.get("thumbnail"):
            thumbnail = Path(tempfile.gettempdir(), f"fake_card_{card['sha256'][:16]}.png")
            colour = bytes.fromhex(card["sha256"][:6])
            thumbnail.write_bytes(fake_pictures.encode_png(colour * 64, 8, 8))
            card["thumbnail"] = str(thumbnail)
        return card

    def _import(self, params: dict[str, Any]) -> dict[str, Any]:
        self._check_generator(params)
        return fake_files.read_latents(params["path"])

    def _map(self, params: dict[str, Any]) -> dict[str, Any]:
        self._check_generator(params)
        rows = fake_pictures.unpack_rows(params["latents"])
        classes = fake_pictures.unpack_rows(params["classes"]) if "classes" in params else [[]] * len(rows)
        count = self._facts["num_classes"]
        if any(len(weights) != count for weights in classes):
            raise errors.ProtocolError(errors.LATENT_MISMATCH, f"This generator takes {count} class weights.")
        shifts = [sum(i * weight for i, weight in enumerate(weights)) for weights in classes]
        mapped = [[value / 2 + shift for value in row] for row, shift in zip(rows, shifts, strict=True)]
        return {"latents": fake_pictures.pack_rows(mapped)}

    def _order(self, identity: int, method: str, params: dict[str, Any]) -> None:
        folder = Path(params["folder"])
        if folder not in self._tidied:
            self._tidied.add(folder)
            remove_stale_parts(folder)
        work: list[tuple[list[str], Callable[[], list[str]]]] = []
        if method == "frames/generate":
            weights = self._check_generator(params)
            if "toward" in params:
                weights += self._check_generator(params, "toward")
            rows = fake_pictures.unpack_rows(params["latents"])
            size = self._size_of(params)
            for frame in map(orders.FrameOrder.from_json, params["frames"]):
                if frame.row >= len(rows):
                    raise errors.ProtocolError(errors.LATENT_MISMATCH, f"'{frame.name}' has no latent.")
                if frame.settings.mix and "toward" not in params:
                    raise errors.ProtocolError(errors.INVALID_PARAMS, f"'{frame.name}' has nothing to mix with.")
                if len(frame.settings.classes) != self._facts["num_classes"]:
                    raise errors.ProtocolError(errors.LATENT_MISMATCH, f"'{frame.name}' has other classes.")
                names = [frame.name, *(shadow.name for shadow in frame.shadows)]
                work.append((names, partial(self._make_frame, folder, frame, rows[frame.row], size, weights)))
        else:
            for shadow in map(orders.ShadowOrder.from_json, params["shadows"]):
                work.append(([shadow.name], partial(fake_pictures.write_shadow, folder, shadow)))
        batch = Batch(params["job"], len(work), lambda counts: self._output.send(framing.result(identity, counts)))
        items = [Item(batch, names, partial(self._lie, names) if self._options.lie else make) for names, make in work]
        self._bench.order(items, bool(params.get("append")))

    def _size_of(self, params: dict[str, Any]) -> tuple[int, int]:
        """Check that this generator accepts latents of this shape; return the size of the pictures."""
        facts = self._facts
        shape = tuple(params["latents"]["shape"][1:])
        if params["space"] == "z":
            canvas = facts["canvas_step"] and len(shape) == 3 and shape[0] == facts["z_dim"]
            allowed = canvas or shape == (facts["z_dim"],)
            rows, columns = shape[1:] if canvas else (1, 1)
        else:
            allowed = shape in ((facts["w_dim"],), (facts["num_ws"], facts["w_dim"])) and "w" in facts["spaces"]
            rows = columns = 1
        if not allowed:
            raise errors.ProtocolError(errors.LATENT_MISMATCH, f"Latents of shape {shape} are of no use here.")
        step = facts["canvas_step"]
        return facts["width"] + step * (columns - 1), facts["height"] + step * (rows - 1)

    def _make_frame(
        self,
        folder: Path,
        frame: orders.FrameOrder,
        row: list[float],
        size: tuple[int, int],
        weights: tuple[str, ...],
    ) -> list[str]:
        names = fake_pictures.write_frame(folder, frame, row, *size, weights)
        for shadow in frame.shadows:
            names += fake_pictures.write_shadow(folder, shadow)
        return names

    def _lie(self, names: list[str]) -> list[str]:
        return [*names, "nobody-ordered-this.png"]

    def _notify(self, method: str, params: dict[str, Any]) -> None:
        self._output.send(framing.notification(method, params))

    def _check_generator(self, params: dict[str, Any], which: str = "generator") -> tuple[str, ...]:
        """SHA-256 of the file that is asked for; nothing for the built-in generator. Raises ProtocolError."""
        path, sha256 = params[which]["path"], params[which]["sha256"]
        if fake_files.identity(path)[0] != sha256:
            raise errors.ProtocolError(errors.CHECKPOINT_CHANGED, f"'{path}' has changed since it was opened.")
        return () if path is None else (sha256,)

    def _shutdown(self, params: dict[str, Any]) -> dict[str, Any]:
        self._bench.finish()
        return {}


def _default_facts(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a description that are the same for every generator."""
    width, height = options.size
    return {
        "kind": "fake",
        "z_dim": options.z_dim,
        "w_dim": options.z_dim,
        "num_ws": 4,
        "width": width,
        "height": height,
        "channels": 3,
        "num_classes": 0,
        "spaces": ["z", "w"],
        "has_noise": True,
        "licence": "",
        "training": "Not trained: it draws discs.",
        "origin": "Drawn",
        "assumed": "",
        "has_truncation": True,
        "default_cutoff": None,
        "has_transform": False,
        "normalises_z": True,
        "canvas_step": 0,
        "device": "cpu",
        "dtype": "float32",
    }


def _hang() -> NoReturn:
    while True:
        time.sleep(3600)


def _parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Plays the inference server, with faults on order.")
    parser.add_argument("--z-dim", type=int, default=8)
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split("x"))), default=(16, 16))
    parser.add_argument("--facts", type=json.loads, default={})
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--once", type=Path)
    faults = [
        parser.add_argument("--slow", type=float, default=0.0),
        parser.add_argument("--exit-at-start", nargs=2, metavar=("CODE", "TEXT")),
        parser.add_argument("--wrong-version", choices=("protocol", "pixels", "refuse")),
    ]
    for name in ("crash", "hang", "stop-self", "garble", "close-stdout", "close-stdin"):
        faults.append(parser.add_argument(f"--{name}-after", type=int, metavar="N"))
    faults.append(parser.add_argument("--room", type=int, metavar="BYTES"))
    for name in ("dribble", "noise", "fork-noise", "lie", "fail-writes"):
        faults.append(parser.add_argument(f"--{name}", action="store_true"))
    options = parser.parse_args(arguments)
    if options.once is not None:
        if options.once.exists():
            for action in faults:
                setattr(options, action.dest, action.default)
        options.once.touch()
    return options


def main() -> int:
    """Serve, unless the options say to end at once."""
    options = _parse()
    if options.exit_at_start:
        print(options.exit_at_start[1], file=sys.stderr)
        return int(options.exit_at_start[0])
    fake_pictures.room = options.room
    if options.fork_noise:
        child = "import sys, time\nwhile True:\n    sys.stdout.write('junk '), sys.stdout.flush(), time.sleep(0.05)"
        subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    FakeServer(options).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
