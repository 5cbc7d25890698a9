"""The cache of conversions, and what is remembered about files: by contents, up to a limit, and never harmful."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import driving
from inference_server.checkpoints import CheckpointError, cache, load_generator
from inference_server.checkpoints.cache import REVISION, ConversionCache, cache_folder
from inference_server.rendering.identities import Identities
from inference_server.terminal.log import log_goes_to
from lantern_protocol.errors import ProtocolError

FIXTURES = Path(__file__).parent / "fixtures"
FOREIGN = [FIXTURES / "ada_skip.pkl", FIXTURES / "sg3r.pkl", FIXTURES / "tf_sg1_128_asym.pkl"]


class Log(list):
    def __call__(self, level: str, text: str) -> None:
        self.append(text)


@pytest.fixture
def log() -> Iterator[Log]:
    said = Log()
    with log_goes_to(said):
        yield said


@pytest.fixture
def conversions(tmp_path: Path) -> ConversionCache:
    return ConversionCache(tmp_path / "conversions")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files that were read in their original format."""
    names: list[str] = []

    def reading(path: Path) -> torch.nn.Module:
        names.append(path.name)
        return load_generator(path)

    monkeypatch.setattr(cache, "load_generator", reading)
    return names


def sha256(path: Path) -> str:
    return driving.generator_of(path)["sha256"]


@pytest.mark.parametrize("path", FOREIGN, ids=lambda path: path.stem)
def test_a_file_is_read_once_and_is_the_same_from_then_on(
    conversions: ConversionCache, reads: list[str], path: Path, log: Log
) -> None:
    assert conversions.info(path, sha256(path)) is None
    first = conversions.load(path, sha256(path))
    second = conversions.load(path, sha256(path))
    assert reads == [path.name] and log == []
    assert second.info == first.info == conversions.info(path, sha256(path))
    assert second.config == first.config
    z = torch.from_numpy(np.random.RandomState(0).randn(2, first.info.z_dim).astype(np.float32))
    with torch.inference_mode():
        pictures = [net.synthesize(net.truncate(net.broadcast(net.map(z)), 0.7, 3), "const") for net in (first, second)]
    assert torch.equal(*pictures)


def test_a_copy_under_another_name_is_the_same_conversion(
    conversions: ConversionCache, reads: list[str], tmp_path: Path
) -> None:
    copy = tmp_path / "renamed.pkl"
    shutil.copy(FOREIGN[0], copy)
    conversions.load(FOREIGN[0], sha256(copy))
    assert conversions.load(copy, sha256(copy)).info.name == "renamed"
    assert len(reads) == 1 and len(list(conversions.folder.iterdir())) == 1


def test_our_own_format_needs_no_conversion(conversions: ConversionCache, tiny: dict) -> None:
    assert conversions.load(Path(tiny["path"]), tiny["sha256"]).info.name == "tiny"
    assert not conversions.folder.exists()


@pytest.mark.parametrize("damage", [b"", b"\x08\0\0\0\0\0\0\0{}      ", None])
def test_a_damaged_conversion_is_made_again(
    conversions: ConversionCache, reads: list[str], log: Log, damage: bytes | None
) -> None:
    path = FOREIGN[0]
    conversions.load(path, sha256(path))
    (kept,) = conversions.folder.iterdir()
    good = kept.read_bytes()
    kept.write_bytes(good[: len(good) // 2] if damage is None else damage)
    for _ in range(2):
        assert conversions.load(path, sha256(path)).info.z_dim == 32
    assert len(reads) == 2 and len(log) == 1 and "made again" in log[0]
    assert len(kept.read_bytes()) == len(good)


def test_a_file_that_changed_after_it_was_hashed_is_not_kept(conversions: ConversionCache) -> None:
    conversions.load(FOREIGN[0], "0" * 64)
    assert list(conversions.folder.iterdir()) == []


def test_without_a_folder_to_write_to_it_works_and_says_so_once(tmp_path: Path, log: Log, reads: list[str]) -> None:
    (tmp_path / "blocked").write_text("a file where the folder would be")
    conversions = ConversionCache(tmp_path / "blocked")
    for _ in range(2):
        assert conversions.load(FOREIGN[0], sha256(FOREIGN[0])).info.z_dim == 32
    assert len(reads) == 2 and len(log) == 1 and "cannot be kept in" in log[0]


@pytest.mark.parametrize("fails", ["full", "while writing", "at the end"])
def test_a_full_disk_leaves_nothing_behind(
    conversions: ConversionCache, log: Log, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def full(*arguments: object) -> None:
        if fails == "while writing":
            Path(arguments[1]).write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    if fails == "full":
        monkeypatch.setattr(cache, "SPARE_BYTES", 1 << 62)
    else:
        name = "save_file" if fails == "while writing" else "os.replace"
        monkeypatch.setattr(f"inference_server.checkpoints.native.{name}", full)
    assert conversions.load(FOREIGN[0], sha256(FOREIGN[0])).info.z_dim == 32
    assert len(log) == 1 and "No space left" in log[0]
    assert list(conversions.folder.iterdir()) == []


def test_the_one_used_longest_ago_goes_first(
    conversions: ConversionCache, reads: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths = [FOREIGN[0], FOREIGN[1], FIXTURES / "ada_resnet.pkl"]
    for age, path in zip((300, 200), paths[:2], strict=True):
        conversions.load(path, sha256(path))
        kept = conversions.folder / f"{sha256(path)}-r{REVISION}.safetensors"
        os.utime(kept, times=(time.time() - age,) * 2)
    conversions.load(paths[0], sha256(paths[0]))  # used just now
    old = conversions.folder / f"{'0' * 64}-r{REVISION - 1}.safetensors"
    old.write_bytes(b"of an older version")
    other = conversions.folder / "notes.txt"
    other.write_text("not ours")
    sizes = sorted(item.stat().st_size for item in conversions.folder.glob("*.safetensors"))
    monkeypatch.setattr(cache, "BUDGET_BYTES", int(2.5 * sizes[-1]))  # of three files of similar size, two fit
    conversions.load(paths[2], sha256(paths[2]))
    kept = {item.name[:64] for item in conversions.folder.glob("*.safetensors")}
    assert kept == {sha256(paths[0]), sha256(paths[2])}
    assert not old.exists() and other.exists()
    monkeypatch.setattr(cache, "BUDGET_BYTES", 10)
    conversions.load(paths[1], sha256(paths[1]))
    assert {item.name[:64] for item in conversions.folder.glob("*.safetensors")} == kept


def test_what_cannot_be_read_is_not_kept(conversions: ConversionCache, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pkl"
    bad.write_bytes(FOREIGN[0].read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"bad\.pkl"):
        conversions.load(bad, sha256(bad))
    assert not conversions.folder.exists() or not list(conversions.folder.iterdir())


@pytest.mark.parametrize(
    ("platform", "variable", "tail"),
    [
        ("linux", "XDG_CACHE_HOME", ""),
        ("win32", "LOCALAPPDATA", ""),
        ("linux", "HOME", ".cache"),
        ("darwin", "HOME", "Library/Caches"),
    ],
)
def test_the_folder_is_the_users_for_caches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, variable: str, tail: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    for name in ("LATENT_LANTERN_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    assert cache_folder() == tmp_path / tail / "latent-lantern" / "generators"


def settled(path: Path) -> Path:
    os.utime(path, times=(1e9, 1e9))
    return path


def test_hashes_outlive_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, store = tmp_path / "net.pkl", tmp_path / "cache" / "identities.json"
    file.write_bytes(b"weights")
    settled(file)
    size, first = Identities(store).of(file)
    assert (size, first) == (7, sha256(file))
    monkeypatch.setattr("inference_server.rendering.identities.sha256_of", lambda path: "f" * 64)
    assert Identities(store).of(file)[1] == first
    file.write_bytes(b"weighty")
    assert Identities(store).of(file)[1] == "f" * 64


def test_a_file_that_may_still_be_written_is_not_remembered(tmp_path: Path) -> None:
    file, store = tmp_path / "net.pkl", tmp_path / "identities.json"
    file.write_bytes(b"weights")
    Identities(store).of(file)
    assert not store.exists()


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a": 3}', b'{"a": [1, 2, 3]}', b"[" * 100_000])
def test_a_damaged_store_does_no_harm(tmp_path: Path, content: bytes) -> None:
    file, store = tmp_path / "net.pkl", tmp_path / "identities.json"
    file.write_bytes(b"weights")
    store.write_bytes(content)
    assert Identities(store).of(settled(file))[1] == sha256(file)
    assert str(file) in json.loads(store.read_bytes())


def test_what_is_no_file_is_said_in_words(tmp_path: Path) -> None:
    identities = Identities(tmp_path / "identities.json")
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("pipe", "not a file"), ("", "a folder"), ("gone.pkl", "is not there")):
        with pytest.raises(ProtocolError, match=words):
            identities.of(tmp_path / name)
