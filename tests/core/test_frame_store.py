"""The frame store on a real disk."""

import os
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frame_bytes import frame
from latent_lantern.latent_addon.core import png
from latent_lantern.latent_addon.core.frame_store import FrameStore, StoreError


@pytest.fixture
def store(tmp_path: Path) -> FrameStore:
    return FrameStore(tmp_path / "latent_lantern" / "frames")


def put(store: FrameStore, name: str, size: int = 200, age: float = 0.0) -> None:
    store.write(name, frame(name, size))
    stat = (store.folder / name).stat()
    os.utime(store.folder / name, (stat.st_atime - age, stat.st_mtime - age))


def look_into_all(store: FrameStore) -> None:
    store.refresh()
    while store.unchecked:
        store.look_closer()


def test_looking_makes_no_folder(store):
    store.refresh()
    assert store.names() == set()
    assert store.enforce_budget(0, ()).files == 0
    assert not store.folder.exists()


def test_names_follow_the_folder(store):
    put(store, "c_1.png")
    store.refresh()
    assert store.names() == {"c_1.png"}
    (store.folder / "c_2.png").write_bytes(b"made by someone else")
    store.refresh()
    assert store.names() == {"c_1.png", "c_2.png"}
    (store.folder / "c_1.png").unlink()
    store.refresh()
    assert store.names() == {"c_2.png"}
    (store.folder / "c_2.png").unlink()
    store.folder.rmdir()
    store.refresh()
    assert store.names() == set()


def test_a_full_folder_is_read_seldom(store, monkeypatch):
    """With a clock of the test: a look that takes one second is not repeated for fifty seconds."""
    put(store, "c_1.png")
    now = [1000.0]
    looks = []

    def slow_look(folder):
        looks.append(now[0])
        now[0] += 1.0
        os.utime(folder, (now[0], now[0]))  # and somebody changes it all the time
        return set()

    monkeypatch.setattr("latent_lantern.latent_addon.core.frame_store.time.monotonic", lambda: now[0])
    monkeypatch.setattr("latent_lantern.latent_addon.core.frame_store._frame_names", slow_look)
    for _ in range(200):
        store.names()
        now[0] += 1.0
    assert 3 <= len(looks) <= 4


def test_only_frames_count(store):
    put(store, "placeholder_8x8.png")
    put(store, "notes.txt")
    store.refresh()
    assert store.names() == set()


def test_writing_is_whole_or_not_at_all(store, monkeypatch):
    put(store, "c_1.png")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StoreError, match=r"No space left.*preferences"):
        store.write("c_2.png", b"data")
    assert os.listdir(store.folder) == ["c_1.png"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="file"):
        FrameStore(tmp_path / "file" / "frames").write("c_1.png", b"")


def test_note_made_believes_only_what_is_there(store):
    put(store, "c_1.png")
    assert store.note_made(["c_1.png", "c_2.png"]) == ["c_1.png"]
    store.refresh()
    assert store.names() == {"c_1.png"}


@pytest.mark.parametrize("linkable", [True, False])
def test_adopting_brings_frames_and_keeps_what_is_here(store, tmp_path, monkeypatch, linkable):
    other = FrameStore(tmp_path / "other")
    put(other, "c_1.png", 203)
    put(other, "c_2.png", 204)
    put(other, "c_cut.png")
    (other.folder / "c_cut.png").write_bytes(frame("c_cut.png")[:-1])
    put(store, "c_2.png", 209)
    (store.folder / "c_1.png").write_bytes(b"damaged")
    if not linkable:

        def other_disk(source, target):
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", other_disk)
    assert store.adopt(other.folder, {"c_1.png", "c_2.png", "c_gone.png", "c_cut.png"}) == 1
    store.refresh()
    assert store.names() == {"c_1.png", "c_2.png"}
    assert [(store.folder / f"c_{i}.png").stat().st_size for i in (1, 2)] == [203, 209]
    assert (other.folder / "c_1.png").exists()
    assert not [name for name in os.listdir(store.folder) if name.startswith(".part")]


def test_only_what_is_whole_elsewhere_is_left(store, tmp_path):
    other = FrameStore(tmp_path / "other")
    for name in ("c_1.png", "c_2.png", "c_3.png"):
        put(store, name)
    put(other, "c_1.png")
    (other.folder / "c_2.png").write_bytes(b"half")
    store.refresh()
    store.leave_to(other)
    assert sorted(os.listdir(store.folder)) == ["c_2.png", "c_3.png"] and store.names() == {"c_2.png", "c_3.png"}
    other.refresh()
    other.leave_to(FrameStore(other.folder))
    assert sorted(os.listdir(other.folder)) == ["c_1.png", "c_2.png"]  # the folder itself does not count as elsewhere


def test_the_budget_takes_the_oldest_first_and_nothing_in_use(store):
    for i in range(6):
        put(store, f"c_{i}.png", 200, age=100.0 * (6 - i))
    look_into_all(store)
    removed = store.enforce_budget(600, {"c_0.png", "c_1.png"})
    store.refresh()
    assert store.names() == {"c_0.png", "c_1.png", "c_5.png"}
    assert (removed.files, removed.bytes, removed.over) == (3, 600, 0)


def test_a_budget_smaller_than_what_is_shown_says_so(store):
    for i in range(3):
        put(store, f"s_{i}.png", 200)
    look_into_all(store)
    removed = store.enforce_budget(200, {f"s_{i}.png" for i in range(3)})
    assert (removed.files, removed.over) == (0, 400)
    store.refresh()
    assert len(store.names()) == 3


def test_within_the_budget_nothing_goes(store):
    put(store, "c_0.png", 200)
    look_into_all(store)
    assert store.size() == 200 and store.enforce_budget(200, ()).files == 0


def test_the_budget_counts_and_takes_only_what_is_whole(store):
    for name in ("c_0.png", "c_1.png"):
        put(store, name, 200)
    (store.folder / "c_2.png").symlink_to("nowhere")
    (store.folder / "c_3.png").write_bytes(b"half of a frame")
    look_into_all(store)
    (store.folder / "c_1.png").unlink()  # by someone else, just now
    assert store.size() == 400
    assert store.enforce_budget(0, ()).files == 2
    assert sorted(os.listdir(store.folder)) == ["c_2.png", "c_3.png"] and store.size() == 0


def test_something_in_the_way_of_the_folder_is_said_in_words(tmp_path):
    (tmp_path / "frames").symlink_to("nowhere")
    with pytest.raises(StoreError, match="something that is no folder is in the way"):
        FrameStore(tmp_path / "frames").write("c_1.png", b"")


def test_discarded_frames_are_gone(store):
    put(store, "c_0.png")
    store.discard(["c_0.png", "c_never.png"])
    store.refresh()
    assert store.names() == set() and os.listdir(store.folder) == []


def test_the_placeholder_is_a_picture_written_once(store):
    name = store.placeholder(96, 64)
    assert name == "placeholder_96x64.png"
    with Image.open(store.folder / name) as picture:
        assert picture.size == (96, 64)
        y, x = np.mgrid[:64, :96]
        lines = ((x + y) % 8 == 0)[..., None]
        assert (np.asarray(picture.convert("RGB")) == np.where(lines, png.LINE, png.GROUND)).all()
    before = (store.folder / name).stat().st_mtime_ns
    assert store.placeholder(96, 64) == name
    assert (store.folder / name).stat().st_mtime_ns == before


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (4096, 4096)])
def test_placeholders_of_any_size_are_read_by_others(size):
    with Image.open(BytesIO(png.placeholder(*size))) as picture:
        assert picture.size == size
        assert {colour for _, colour in picture.convert("RGB").getcolors()} <= {png.LINE, png.GROUND}


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (33, 64)])
def test_png_files_are_read_by_others(size):
    pixels = np.random.RandomState(1).randint(0, 256, (*size, 3), dtype=np.uint8)
    data = png.encode_png(pixels)
    assert (np.asarray(Image.open(BytesIO(data))) == pixels).all()
    assert zlib.crc32(data[12:29]) == int.from_bytes(data[29:33], "big")
