"""A frame's file holds its own name and shows that it is whole; no other file is taken for a frame."""

from __future__ import annotations

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frame_bytes import frame
from latent_lantern.lantern_protocol.frame_files import is_frame, look, sign, stamp_of
from latent_lantern.latent_addon.core import png
from latent_lantern.latent_addon.core.frame_store import FrameStore

NAME = "c_" + "0123456789" * 4 + ".png"
OTHER = "c_" + "1234567890" * 4 + ".png"


@pytest.fixture
def store(tmp_path: Path) -> FrameStore:
    return FrameStore(tmp_path)


def look_until_settled(store: FrameStore) -> bool:
    """Look into every file, one file per call; return whether any name appeared or disappeared."""
    store.refresh()
    changed = [store.look_closer(0.0) for _ in range(2 * len(os.listdir(store.folder)) + 4)]
    return any(changed)


def test_a_signed_picture_is_the_same_picture() -> None:
    pixels = np.random.RandomState(1).randint(0, 256, (9, 7, 3), dtype=np.uint8)
    with Image.open(BytesIO(sign(png.encode_png(pixels), NAME))) as picture:
        picture.load()
        assert (np.asarray(picture) == pixels).all()
        assert picture.text == {}  # Blender writes every text over the picture in its previews


def test_the_name_is_in_a_chunk_that_every_reader_of_png_skips() -> None:
    file, chunks, place = sign(png.encode_png(np.zeros((4, 4, 3), np.uint8)), NAME), [], 8
    while place < len(file):
        (length,), kind = struct.unpack(">I", file[place : place + 4]), file[place + 4 : place + 8]
        content, end = file[place + 8 : place + 8 + length], place + 12 + length
        assert struct.unpack(">I", file[end - 4 : end]) == (zlib.crc32(kind + content),)
        chunks.append((kind, content if kind not in (b"IHDR", b"IDAT") else b""))
        place = end
    # Small first letter: not needed to show the picture; small second: private; capital fourth: not to be copied.
    assert chunks == [(b"IHDR", b""), (b"laMP", b"Latent Lantern\0" + NAME.encode()), (b"IDAT", b""), (b"IEND", b"")]


def test_a_frame_of_the_first_releases_is_still_a_frame(tmp_path: Path) -> None:
    plain, path = png.encode_png(np.zeros((4, 4, 3), np.uint8)), tmp_path / NAME
    text = b"tEXtLatent Lantern\0" + NAME.encode()
    old = plain[:33] + struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text)) + plain[33:]
    path.write_bytes(old)
    assert is_frame(path, NAME, thoroughly=True)
    assert not is_frame(path, OTHER)
    for length in range(len(old)):
        path.write_bytes(old[:length])
        assert not is_frame(path, NAME), length


def test_a_frame_cut_off_anywhere_is_none(tmp_path: Path) -> None:
    path, whole = tmp_path / NAME, frame(NAME)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert not is_frame(path, NAME), length
    path.write_bytes(whole)
    assert is_frame(path, NAME)
    path.write_bytes(whole + b"\0")
    assert not is_frame(path, NAME)


def test_every_changed_byte_is_found_by_a_thorough_look(tmp_path: Path) -> None:
    path, whole = tmp_path / NAME, frame(NAME)
    for place in range(len(whole)):
        if 16 <= place < 33:
            continue  # the size and colours in the header: the length of the pixels shows the same
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert not is_frame(path, NAME, thoroughly=True), place


@pytest.mark.parametrize("content", [b"", bytes(200), b"GIF89a" + bytes(200), frame(OTHER)], ids=str)
def test_what_is_not_the_frame_of_that_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert not is_frame(tmp_path / NAME, NAME)


def test_a_picture_without_a_name_is_no_frame(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(png.encode_png(np.zeros((4, 4, 3), np.uint8)))
    assert not is_frame(tmp_path / NAME, NAME)


def test_nothing_but_plain_files_is_opened(tmp_path: Path) -> None:
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / NAME)  # opening it would wait for ever
        assert not is_frame(tmp_path / NAME, NAME)
        (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    assert not is_frame(tmp_path / NAME, NAME)
    (tmp_path / NAME).rmdir()
    (tmp_path / NAME).symlink_to("/dev/zero")
    assert stamp_of(tmp_path / NAME) is None and not is_frame(tmp_path / NAME, NAME)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).symlink_to(tmp_path / OTHER)
    assert not is_frame(tmp_path / NAME, NAME)
    (tmp_path / OTHER).write_bytes(frame(NAME))
    assert is_frame(tmp_path / NAME, NAME)


def test_a_damaged_file_in_the_folder_is_soon_no_frame(store: FrameStore) -> None:
    for name in (NAME, OTHER):
        store.write(name, frame(name))
    (store.folder / OTHER).write_bytes(frame(OTHER)[:100])
    store.refresh()
    assert store.names() == {NAME, OTHER} and store.unchecked
    assert look_until_settled(store)
    assert not store.unchecked and store.names() == {NAME}  # in this order: `names` may read the folder again
    assert not look_until_settled(store)


def damage_in_place(path: Path) -> None:
    """Different pixels and nothing else: neither the size nor the folder's time shows the change."""
    with path.open("r+b") as file:
        file.seek(-30, os.SEEK_END)
        file.write(b"damage")


@pytest.mark.parametrize("how", [damage_in_place, lambda path: os.truncate(path, 150), Path.unlink])
def test_damage_to_a_known_frame_is_noticed_and_its_mending_too(store: FrameStore, how: object) -> None:
    store.write(NAME, frame(NAME))
    look_until_settled(store)
    assert store.names() == {NAME}
    os.utime(store.folder / NAME, ns=(1, 1))
    look_until_settled(store)
    assert store.names() == {NAME}  # touched, and the same to the last byte
    how(store.folder / NAME)
    look_until_settled(store)
    assert store.names() == set()
    store.write(NAME, frame(NAME))
    look_until_settled(store)
    assert store.names() == {NAME}


def test_doubt_looks_at_every_file_again(store: FrameStore) -> None:
    names = {f"c_{i:040}.png" for i in range(20)}
    for name in names:
        store.write(name, frame(name))
    look_until_settled(store)
    assert not store.unchecked
    store.doubt()
    assert store.unchecked
    for _ in names:
        assert store.unchecked
        store.look_closer(0.0)  # one file per call, however short the time
    assert not store.unchecked


def test_the_server_is_not_believed_about_a_damaged_file(store: FrameStore) -> None:
    store.write(NAME, frame(NAME)[:-1])
    store.write(OTHER, frame(OTHER))
    assert store.note_made([NAME, OTHER]) == [OTHER]
    assert store.names() == {OTHER}


def test_a_damaged_placeholder_is_written_again(store: FrameStore) -> None:
    name = store.placeholder(8, 8)
    whole = (store.folder / name).read_bytes()
    (store.folder / name).write_bytes(whole[:40])
    assert store.placeholder(8, 8) == name
    assert (store.folder / name).read_bytes() == whole


def test_a_change_within_a_tick_of_the_clock_is_seen(store: FrameStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system whose clock stands still for a while, and differs from this computer's clock."""
    monkeypatch.setattr(store, "_look_again", 0.0)
    store.write(NAME, frame(NAME))
    os.utime(store.folder, ns=(5, 5))
    store.refresh()
    store.write(OTHER, frame(OTHER))
    os.utime(store.folder, ns=(5, 5))
    store.refresh()
    assert store.names() == {NAME, OTHER}


def test_a_look_that_took_hours_is_no_reason_to_look_away_for_days(
    store: FrameStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine slept in the middle of it."""
    now = [1000.0]
    monkeypatch.setattr("latent_lantern.latent_addon.core.frame_store.time.monotonic", lambda: now[0])

    def asleep(folder: Path) -> set[str]:
        now[0] += 8 * 3600
        return set()

    with monkeypatch.context() as sleeping:
        sleeping.setattr("latent_lantern.latent_addon.core.frame_store._frame_names", asleep)
        store.refresh()
    store.write(NAME, frame(NAME))
    now[0] += 61
    assert store.names() == {NAME}


def test_a_full_folder_is_read_in_parts_and_nothing_is_missed(
    store: FrameStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a clock that advances by a second whenever it is read, so that each part is as small as possible."""
    now = [1000.0]

    def later() -> float:
        now[0] += 1.0
        return now[0]

    monkeypatch.setattr("latent_lantern.latent_addon.core.frame_store.time.monotonic", later)
    store.folder.mkdir(exist_ok=True)
    names = [f"c_{i:040}.png" for i in range(3500)]
    for name in names:
        (store.folder / name).write_bytes(b"")
    assert len(store.names()) == 3500  # the first time at once: existing frames must not be made again
    (store.folder / "c_new.png").write_bytes(b"")
    os.utime(store.folder, ns=(1, 1))
    sizes = []
    while "c_new.png" not in store.names():
        sizes.append(len(store.names()))
        now[0] += 1000.0
        if len(sizes) == 2:  # in the middle of it
            store.write(NAME, frame(NAME))
            assert store.note_made([NAME]) == [NAME]
            store.discard(names[:1])
    assert len(sizes) >= 3 and min(sizes) >= 3500
    assert store.names() == {*names[1:], NAME, "c_new.png"}


def test_news_is_what_came_and_went_unasked(store: FrameStore) -> None:
    def news() -> bool:
        store.refresh()
        look_until_settled(store)
        return store.take_news()

    store.write(NAME, frame(NAME))
    assert store.note_made([NAME]) == [NAME]
    assert not news()  # the server has reported it
    store.write(OTHER, frame(OTHER))
    assert news()
    os.truncate(store.folder / OTHER, 5)
    assert news()
    store.write(OTHER, frame(OTHER))
    store.refresh()
    look_until_settled(store)
    assert store.note_made([OTHER]) == [OTHER]  # seen before it was reported
    assert not news()
    (store.folder / NAME).unlink()
    assert store.note_made([NAME]) == []
    assert news()
    store.discard([OTHER])
    assert news()
    assert not news()


def test_a_look_reads_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / NAME
    path.write_bytes(frame(NAME, 1_000_000))
    read, sizes = os.read, []

    def counted(file: int, size: int) -> bytes:
        data = read(file, size)
        sizes.append(len(data))
        return data

    monkeypatch.setattr("latent_lantern.lantern_protocol.frame_files.os.read", counted)
    assert look(path, NAME) is not None
    assert sum(sizes) < 200
