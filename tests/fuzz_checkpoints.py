"""Load mutants of checkpoints. None may crash, hang, use much memory, or do anything except read its file.

    python tests/fuzz_checkpoints.py --mutants 100000 --seed 1

A worker process loads mutants, with a memory limit and audit hooks. This process watches it, and starts a new worker
when it dies or a mutant takes longer than ten seconds. Harmful mutants are kept in ``--output``. The seed and its
number decide a mutant, except for the memory addresses that torch writes into its files.
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
import re
import resource
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "server" / "fixtures"
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "server")]

PATIENCE = 10.0
"""Seconds of processor time for one mutant. It may wait twelve times as long: the machine may have other work."""
MEMORY = 1 << 30
"""Bytes of address space that the worker may use in addition to what it has when it is ready."""
GROWTH = 512 << 20
"""Bytes of memory that a mutant may actually use."""
START = 300.0
"""Seconds that a worker may need to start."""


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
    for name, value in (("DCGAN", dcgan()), ("rosinality", {"g_ema": rosinality(), "latent_avg": torch.zeros(6)})):
        file = io.BytesIO()
        torch.save(value, file)
        files[name] = file.getvalue()
    files["DCGAN, pickled"] = pickle.dumps(dcgan())
    files["a tensor"] = hostile.torch_zip(
        b"\x80\x02" + hostile.tensor(hostile.storage_id(), 0, (2, 2), (2, 1)) + b".", {"archive/data/0": bytes(16)}
    )
    return files


def dcgan() -> Any:
    """A DCGAN of 8 pixels, as a module."""
    from torch import nn

    norm = nn.BatchNorm2d(3)
    layers = (nn.ConvTranspose2d(5, 3, 4, 1, 0, bias=False), norm, nn.ReLU(True), nn.ConvTranspose2d(3, 3, 4, 2, 1))
    return nn.Sequential(*layers, nn.Tanh())


def rosinality() -> dict[str, Any]:
    """The state dict of a StyleGAN2 of 8 pixels with the names of rosinality's."""
    from torch import ones, outer, tensor

    row = tensor([1.0, 3.0, 3.0, 1.0]) / 8
    width, style = 4, 6

    def modulated(name: str, size: int, channels: int) -> dict[str, Any]:
        return {
            f"{name}.weight": ones(1, channels, width, size, size),
            f"{name}.modulation.weight": ones(width, style),
            f"{name}.modulation.bias": ones(width),
        }

    def layer(name: str) -> dict[str, Any]:
        own = {f"{name}.noise.weight": ones(1), f"{name}.activate.bias": ones(width)}
        return {**modulated(f"{name}.conv", 3, width), **own}

    state = {"input.input": ones(1, width, 4, 4), **layer("conv1"), **layer("convs.0"), **layer("convs.1")}
    state["convs.0.conv.blur.kernel"] = outer(row, row) * 4
    for name in ("to_rgb1", "to_rgbs.0"):
        state |= {**modulated(f"{name}.conv", 1, 3), f"{name}.bias": ones(1, 3, 1, 1)}
    state["to_rgbs.0.upsample.kernel"] = outer(row, row) * 4
    state |= {f"noises.noise_{index}": ones(1, 1, size, size) for index, size in enumerate((4, 8, 8))}
    state |= {
        f"style.{index}.{name}": ones(style, *rest)
        for index in (1, 2)
        for name, rest in (("weight", (style,)), ("bias", ()))
    }
    return state


class Mutants:
    """Mutants of the small files and of the fixtures, by number."""

    def __init__(self, seed: int) -> None:
        import hostile

        self.seed = seed
        self.small = small_files()
        self.large = {path.name: path.read_bytes() for path in sorted(FIXTURES.glob("*.pkl"))}
        self.hot: dict[str, list[int]] = {}
        self.values: dict[str, list[tuple[int, int]]] = {}
        for name, raw in {**self.small, **self.large}.items():
            self.hot[name], self.values[name] = _structure(raw)
        harm = hostile.running(Path("/nowhere/sentinel"))
        bombs = {name: raw for name, raw in hostile.bombs().items() if len(raw) < 2000}
        self.snippets = [raw.removeprefix(b"\x80\x02").removesuffix(b".") for raw in (*harm.values(), *bombs.values())]

    def mutant(self, number: int) -> tuple[str, bytes]:
        """Name of the file that was changed, and the bytes."""
        dice = random.Random(f"{self.seed}/{number}")
        files = self.large if self.large and dice.random() < 0.08 else self.small
        name = dice.choice(sorted(files))
        raw = bytearray(files[name])
        if self.values[name] and dice.random() < 0.3:
            for start, end in sorted(dice.choices(self.values[name], k=dice.choice((1, 2, 4))), reverse=True):
                raw[start:end] = dice.choice(VALUES)
            return name, bytes(raw)
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
VALUES = (
    *(b"N", b"\x88", b"\x89", b"K\x00", b"K\x01", b"K\x03", b"K\x08", b"M\x00\x10", b"J\xff\xff\xff\xff"),
    *(b"J\xff\xff\xff\x7f", b"\x8a\x06\x00\x00\x00\x00\x00\x01", b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x40"),
    *(b"]", b"}", b")", b"K\x04K\x08\x86", b"G\x7f\xf8" + bytes(6), b"G\x7f\xf0" + bytes(6), b"G\x3f\xe0" + bytes(6)),
    *(b"X\x00\x00\x00\x00", b"X\x04\x00\x00\x00skip", b"ca\nb\n"),
)
"""Opcodes that replace a number or a word."""
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


def _structure(raw: bytes) -> tuple[list[int], list[tuple[int, int]]]:
    """Places that are not inside arrays of numbers: opcodes of a pickle, and sequences that look like words.

    Returns:
        the places; and, in a file that is one pickle, where each opcode of a plain value begins and ends.
    """
    import pickletools

    places: list[int] = []
    values: list[tuple[int, int]] = []
    file = io.BytesIO(raw)
    file.seek(max(0, raw.find(b"\x80\x02")) if raw[:1] == b"P" else 0)
    last = None
    try:
        while raw[file.tell() : file.tell() + 1] in (
            b"\x80",
            b"(",
            b"}",
        ):  # older files of torch.save are several pickles
            for opcode, _, place in pickletools.genops(file):
                if last is not None:
                    values.append((last, place))
                last = place if opcode.name in _PLAIN else None
                if opcode.name != "STOP":
                    places += [place, place + 1]
    except Exception:
        pass  # The rest of the file, after the pickles, is not a pickle.
    if len(places) < 50:
        places += [place for place in range(len(raw)) if 32 < raw[place] < 127 or raw[place] == 0]
    return places or [0], values if raw[:1] != b"P" else []


_PLAIN = {
    *("BININT", "BININT1", "BININT2", "LONG1", "INT", "LONG", "BINFLOAT", "NEWTRUE", "NEWFALSE", "NONE"),
    *("SHORT_BINUNICODE", "BINUNICODE", "UNICODE", "EMPTY_TUPLE", "EMPTY_DICT", "EMPTY_LIST"),
}


def work(seed: int, numbers: range, folder: Path, output: Path) -> None:
    """Load mutants, and print a line of JSON when each begins and when it ends."""
    from inference_server.checkpoints import CheckpointError, load_generator
    from inference_server.checkpoints.latents import read_latents
    from watching import watched

    def load(path: Path) -> list[str]:
        said = []
        for way in (load_generator, lambda path: read_latents(path, 16, 16, 6)):
            try:
                way(path)
                said.append("")
            except CheckpointError as error:
                said.append(str(error))
        return said

    mutants = Mutants(seed)
    path = folder / "mutant"
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
        start = time.process_time()
        print(json.dumps({"begin": number, "name": name, "worked": start}), flush=True)
        trouble = None
        with watched(path) as noted:
            try:
                said = load(path)
            except BaseException as error:
                said, trouble = [], f"{type(error).__name__}: {error}"[:300]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if noted:
            trouble = f"did {noted[0]}"
        elif (peak - most) << 10 > GROWTH or any("more memory than there is" in words for words in said):
            trouble = f"took memory: {(peak - most) >> 10} MiB, {said}"
        elif len(os.listdir(folder)) > 1:
            trouble = "made a file"
        most = max(most, peak)
        if trouble:
            keep(output, seed, number, raw)
        seconds = time.process_time() - start
        print(json.dumps({"end": number, "said": said, "trouble": trouble, "seconds": seconds}), flush=True)


@dataclass
class Findings:
    """The results for the mutants. ends: how often a load succeeded, was refused, or failed in an unexpected way."""

    harm: list[str] = field(default_factory=list)
    ends: collections.Counter[str] = field(default_factory=collections.Counter)
    slowest: float = 0.0


def fuzz(mutants: int, seed: int, output: Path, worker: tuple[str, ...] = (sys.executable, __file__)) -> Findings:
    """Load the mutants of a seed from 0 up to a number, and keep the harmful ones in a folder."""
    findings = Findings()
    following = 0
    with tempfile.TemporaryDirectory() as folder:
        while following < mutants:
            start = following
            options = {"--worker": start, "--mutants": mutants, "--seed": seed, "--output": output, "--folder": folder}
            command = [*worker, *(str(word) for option in options.items() for word in option)]
            following = _watch(command, start, findings)
            if following == start:
                findings.harm.append("the worker does not start")
                break
            if findings.harm and findings.harm[-1].startswith(f"{following - 1} "):
                keep(output, seed, following - 1, (Path(folder) / "mutant").read_bytes())
    return findings


def keep(output: Path, seed: int, number: int, raw: bytes) -> None:
    """Keep a mutant, so that a person can look at it."""
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{seed}-{number}").write_bytes(raw)


def _watch(command: list[str], following: int, findings: Findings) -> int:
    """Run a worker until it ends, dies or hangs; return the number of the next mutant."""
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    lines: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_pass_on, args=(worker.stdout, lines), daemon=True)
    reader.start()
    running, since, worked = None, time.monotonic(), 0.0
    try:
        while True:
            try:
                line = lines.get(timeout=PATIENCE / 10)
            except queue.Empty:
                waited = time.monotonic() - since
                if waited > (12 * PATIENCE if running else START) or (running and _work_of(worker) - worked > PATIENCE):
                    findings.harm.append(f"{running}: hangs")
                    return following
                continue
            if not line:
                if running:
                    findings.harm.append(f"{running}: the process ended with {worker.wait()}")
                return following
            note = json.loads(line)
            if "begin" in note:
                running = f"{note['begin']} ({note['name']})"
                following = note["begin"] + 1
                since, worked = time.monotonic(), note["worked"]
                continue
            findings.slowest = max(findings.slowest, note["seconds"])
            findings.ends.update(map(_kind, note["said"]))
            if note["trouble"]:
                findings.harm.append(f"{running}: {note['trouble']}")
            running = None
            if following % 10_000 == 0:
                print(f"{following} mutants, {len(findings.harm)} did harm", file=sys.stderr, flush=True)
    finally:
        worker.kill()
        worker.wait()
        reader.join()
        worker.stdout.close()


def _work_of(worker: subprocess.Popen[str]) -> float:
    """Seconds of processor time that it has used."""
    words = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _pass_on(lines: io.TextIOBase, to: queue.Queue[str]) -> None:
    for line in lines:
        to.put(line)
    to.put("")


def _kind(said: str) -> str:
    """Describe in a word or two how one load ended."""
    unforeseen = re.search(r"kind that is not known \((\w+):", said)
    return f"unforeseen {unforeseen[1]}" if unforeseen else "refused" if said else "loaded"


def main() -> int:
    """Fuzz, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(tempfile.gettempdir()) / "lantern-mutants")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker is not None:
        work(args.seed, range(args.worker, args.mutants), args.folder, args.output)
        return 0
    start = time.monotonic()
    findings = fuzz(args.mutants, args.seed, args.output)
    seconds = time.monotonic() - start
    print(f"{args.mutants} mutants of seed {args.seed} in {seconds:.0f} s, the slowest {findings.slowest:.1f} s")
    print(", ".join(f"{count} {kind}" for kind, count in findings.ends.most_common()))
    print("\n".join([*findings.harm, f"{len(findings.harm)} did harm; if any did, they lie in {args.output}"]))
    return 1 if findings.harm else 0


if __name__ == "__main__":
    sys.exit(main())
