"""Load mutants of checkpoints: none may crash, hang, take memory, or do anything but read its file.

    python tests/fuzz_checkpoints.py --mutants 100000 --seed 1

A worker process loads mutants, under a limit of memory and with audit hooks; this one watches it, and starts another
when it dies or a mutant takes longer than ten seconds. What is found lies in ``--output``. A mutant is a function of
the seed and its number.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import pickle
import queue
import random
import resource
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "server" / "fixtures"
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "server")]

PATIENCE = 10.0
"""Seconds for one mutant."""
MEMORY = 1 << 30
"""Bytes of address space beyond what the worker has when it is ready."""
GROWTH = 512 << 20
"""Bytes of memory that a mutant may really take."""


def small_files() -> dict[str, bytes]:
    """Valid files of a few thousand bytes, of every format that is read."""
    import torch

    import hostile
    from torch7_writer import Function, Lua, Writer

    torch.manual_seed(0)
    files = {}
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Conv2d(2, 3, 3))
    value = {
        "g_ema": module.state_dict(),
        "args": argparse.Namespace(size=8),
        "latent_avg": torch.ones(4),
        "net": module,
    }
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save(value, file, _use_new_zipfile_serialization=zipped)
        files["torch zip" if zipped else "legacy torch"] = file.getvalue()
    plain = {
        "arrays": [np.arange(6.0), np.ones((2, 3), "f4", order="F"), np.float32(2), np.arange(3, dtype=">i2")],
        "sets": [{1, 2}, frozenset("a"), collections.OrderedDict(a=1), collections.Counter("aab")],
        "words": ["text", "ümläut", b"bytes", 2**70, -1, 1.5, None, True, (1, 2, 3, 4)],
        "module": module,
    }
    for protocol in range(6):
        files[f"pickle of protocol {protocol}"] = pickle.dumps(plain, protocol)
    weight = np.arange(2 * 3 * 4 * 4, dtype="f4").reshape(2, 3, 4, 4)
    layer = Lua("cudnn.SpatialFullConvolution", {"weight": weight, "kW": 4, "nInputPlane": 2, "nOutputPlane": 3})
    norm = Lua("nn.SpatialBatchNormalization", {"running_mean": np.zeros(3), "running_var": np.ones(3), "eps": 1e-5})
    net = Lua("nn.Sequential", {"modules": [layer, norm, Lua("nn.Tanh")], "f": Function(captured=[layer])})
    for name, way in {
        "": {},
        " in text": {"text": True},
        " of Windows": {"long": 4},
        " of CUDA": {"cuda": True},
    }.items():
        files["Torch7" + name] = Writer(**way).write(net).bytes()
    for name, save in {"npz": np.savez, "npz, packed": np.savez_compressed}.items():
        file = io.BytesIO()
        save(file, w=np.ones((2, 6, 16), "f4"))
        files[name] = file.getvalue()
    file = io.BytesIO()
    np.save(file, np.ones((2, 16), "f4"))
    files["npy"] = file.getvalue()
    files["a tensor"] = hostile.torch_zip(
        b"\x80\x02" + hostile.tensor(hostile.storage_id(), 0, (2, 2), (2, 1)) + b".", {"archive/data/0": bytes(16)}
    )
    return files


class Mutants:
    """Mutants of the small files and of the fixtures, by number."""

    def __init__(self, seed: int) -> None:
        import hostile

        self.seed = seed
        self.small = small_files()
        self.large = {path.name: path.read_bytes() for path in sorted(FIXTURES.glob("*.pkl"))}
        self.hot = {name: _structure(raw) for name, raw in {**self.small, **self.large}.items()}
        harm = hostile.running(Path("/nowhere/sentinel"))
        bombs = {name: raw for name, raw in hostile.bombs().items() if len(raw) < 2000}
        self.snippets = [raw.removeprefix(b"\x80\x02").removesuffix(b".") for raw in (*harm.values(), *bombs.values())]

    def mutant(self, number: int) -> tuple[str, bytes]:
        """Name of the file that was changed, and the bytes."""
        dice = random.Random(f"{self.seed}/{number}")
        files = self.large if self.large and dice.random() < 0.1 else self.small
        name = dice.choice(sorted(files))
        raw = bytearray(files[name])
        hot = self.hot[name]
        for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
            place = dice.choice(hot) if dice.random() < 0.7 else dice.randrange(len(raw) + 1)
            self._change(dice, raw, min(place, len(raw)))
        return name, bytes(raw)

    def _change(self, dice: random.Random, raw: bytearray, place: int) -> None:
        kind = dice.randrange(10)
        if not raw:
            return
        inside = min(place, len(raw) - 1)
        if kind == 0:
            raw[inside] ^= 1 << dice.randrange(8)
        elif kind == 1:
            raw[inside] = dice.randrange(256)
        elif kind == 2:
            raw[inside] = dice.choice(OPCODES)
        elif kind == 3:
            del raw[place:]
        elif kind == 4:
            del raw[place : place + dice.choice((1, 2, 4, 8, 50, 500))]
        elif kind == 5:
            start = dice.randrange(len(raw))
            raw[place:place] = raw[start : start + dice.choice((1, 8, 60, 600))]
        elif kind == 6:
            number = dice.choice(NUMBERS)
            raw[place : place + len(number)] = number
        elif kind == 7:
            raw[place:place] = dice.choice(self.snippets)
        elif kind == 8:
            other = dice.choice(list(self.small.values()))
            start = dice.randrange(len(other))
            end = start + dice.choice((10, 100, 1000))
            raw[place : place + dice.choice((0, 10, 100, 1000))] = other[start:end]
        else:
            words = dice.choice(WORDS)
            found = raw.find(dice.choice(WORDS))
            if found >= 0:
                raw[found : found + len(words)] = words


OPCODES = b"(.012FIJKLMNPQRSTUVXabcd}eghijl]opqrst)uGBC" + bytes(range(0x80, 0x99))
NUMBERS = [
    struct.pack(kind, value)
    for kind, values in {
        "<i": (0, 1, -1, 2**31 - 1, -(2**31), 1 << 24),
        "<q": (0, -1, 2**63 - 1, -(2**63), 1 << 40, 1 << 32),
        "<B": (0, 1, 255),
    }.items()
    for value in values
]
WORDS = [
    *(b"FloatStorage", b"DoubleStorage", b"_rebuild_tensor_v2", b"_rebuild_parameter", b"OrderedDict", b"multiarray"),
    *(b"_reconstruct", b"scalar", b"ndarray", b"torch._utils", b"collections", b"_load_from_bytes", b"os.system"),
    *(b"nn.Sequential", b"torch.FloatTensor", b"_modules", b"_parameters", b"state", b"class_name", b"variables"),
    *(b"synthesis", b"mapping", b"weight", b"z_dim", b"resolution", b"static_kwargs", b"storage", b"data.pkl"),
]


def _structure(raw: bytes) -> list[int]:
    """Places that are not in the midst of numbers: opcodes of a pickle, and runs of what looks like words."""
    import pickletools

    places = []
    start = raw.find(b"\x80\x02") if raw[:1] == b"P" else 0
    try:
        for opcode, _, place in pickletools.genops(raw[start:]):
            if opcode.name != "STOP":
                places += [start + place, start + place + 1]
    except Exception:
        places += [place for place in range(len(raw)) if 32 < raw[place] < 127 or raw[place] == 0]
    return places or [0]


def work(seed: int, numbers: range) -> None:
    """Load mutants, and print a line of JSON for each as it begins and as it ends."""
    from inference_server.checkpoints import CheckpointError, load_generator
    from inference_server.checkpoints.latents import read_latents
    from watching import watched

    def load(path: Path) -> str:
        said = []
        for way in (load_generator, lambda path: read_latents(path, 16, 16, 6)):
            try:
                way(path)
                said.append("")
            except CheckpointError as error:
                said.append(str(error))
        return "\n".join(said)

    mutants = Mutants(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant"
        for raw in (*mutants.small.values(), *mutants.large.values()):  # what is imported at first use
            path.write_bytes(raw)
            load(path)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in numbers:
            name, raw = mutants.mutant(number)
            path.write_bytes(raw)
            print(json.dumps({"begin": number, "name": name}), flush=True)
            start = time.monotonic()
            trouble = None
            with watched(path) as noted:
                try:
                    said = load(path)
                except BaseException as error:
                    said, trouble = "", f"{type(error).__name__}: {error}"[:300]
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if noted:
                trouble = f"did {noted[0]}"
            elif ("memory" in said and "far more memory" not in said) or (peak - most) << 10 > GROWTH:
                trouble = f"took memory: {(peak - most) >> 10} MiB; {said}"
            elif len(os.listdir(folder)) > 1:
                trouble = "made a file"
            most = max(most, peak)
            seconds = time.monotonic() - start
            print(json.dumps({"end": number, "said": said, "trouble": trouble, "seconds": seconds}), flush=True)


def fuzz(mutants: int, seed: int, output: Path) -> tuple[list[str], collections.Counter[str], float]:
    """Load mutants 0 up to a number of a seed.

    Returns:
        what was found, how often each end came (a generator, latents, a refusal by its kind), and the longest time.
    """
    found: list[str] = []
    ends: collections.Counter[str] = collections.Counter()
    slowest = 0.0
    following = 0
    while following < mutants:
        command = [sys.executable, __file__, "--worker", str(following), "--mutants", str(mutants), "--seed", str(seed)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        lines: queue.Queue[str] = queue.Queue()
        reader = threading.Thread(target=_pass_on, args=(worker.stdout, lines), daemon=True)
        reader.start()
        running, name = None, ""
        while True:
            try:
                line = lines.get(timeout=PATIENCE if running is not None else 300)
            except queue.Empty:
                worker.kill()
                found.append(f"{running} ({name}): hangs")
                break
            if not line:
                if running is not None or worker.wait() != 0:
                    found.append(f"{running} ({name}): the process ended with {worker.wait()}")
                break
            note = json.loads(line)
            if "begin" in note:
                running, name = note["begin"], note["name"]
                continue
            following = note["end"] + 1
            running = None
            slowest = max(slowest, note["seconds"])
            if note["trouble"]:
                found.append(f"{note['end']} ({name}): {note['trouble']}")
            ends.update(map(_kind, note["said"].split("\n")))
        worker.kill()
        worker.wait()
        if running is None and following < mutants and len(found) == 0:
            found.append("the worker does not start")
        if running is not None:
            following = running + 1
        elif found and found[-1].startswith("None"):
            break
    _keep(found, seed, output)
    return found, ends, slowest


def _pass_on(lines: io.TextIOBase, to: queue.Queue[str]) -> None:
    for line in lines:
        to.put(line)
    to.put("")


def _kind(said: str) -> str:
    """The end of one load, in a word or two."""
    if not said:
        return "loaded"
    if "is damaged, or of a make" in said and said.endswith(")."):
        return "unforeseen " + said.rpartition("(")[2].partition(":")[0]
    return "refused"


def _keep(found: list[str], seed: int, output: Path) -> None:
    """Write the mutants that did harm."""
    mutants = Mutants(seed) if found else None
    for words in found:
        number = words.split()[0]
        if mutants and number.isdigit():
            output.mkdir(parents=True, exist_ok=True)
            (output / f"{seed}-{number}").write_bytes(mutants.mutant(int(number))[1])


def main() -> int:
    """Fuzz, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(tempfile.gettempdir()) / "lantern-mutants")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is not None:
        work(args.seed, range(args.worker, args.mutants))
        return 0
    start = time.monotonic()
    found, ends, slowest = fuzz(args.mutants, args.seed, args.output)
    print(
        f"{args.mutants} mutants of seed {args.seed} in {time.monotonic() - start:.0f} s, the slowest {slowest:.1f} s"
    )
    print(", ".join(f"{count} {kind}" for kind, count in ends.most_common()))
    for words in found:
        print(words)
    print(f"{len(found)} did harm" + (f"; they lie in {args.output}" if found else ""))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
