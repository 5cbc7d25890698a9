"""A hostile .blend starts, reads and writes nothing before the user acts, and then only what docs/security.md says."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import bpy
import pytest

from deeds import watched
from hostile_files import HOSTILE, make_bait
from latent_lantern.lantern_protocol import vectors
from latent_lantern.lantern_protocol.answers import Latents
from latent_lantern.latent_addon import handlers
from latent_lantern.latent_addon.library.library import library
from latent_lantern.latent_addon.library.panels import GeneratorsPanel
from latent_lantern.latent_addon.panels import CONTENTS
from latent_lantern.latent_addon.scene.strip import active_latent_strip, latent_strips
from latent_lantern.latent_addon.session.session import session
from latent_lantern.latent_addon.training.training import training
from layout import Layout, drawn
from sockets import family_of, sockets_of

LOOKING = ("os.stat", "os.listdir", "os.scandir")
"""Frames are looked for in the folder in the preferences; trainings in their folder, while the panel is drawn."""

TOO_LONG = 30.0
"""Seconds. Everything here takes less than one second, so only work that takes minutes, or never ends, is found."""


@pytest.fixture
def bait(stage, tmp_path, monkeypatch):
    """A folder with the files that hostile files refer to, and panels that may show any text."""
    folder = tmp_path / "bait"
    folder.mkdir()
    make_bait(folder)
    monkeypatch.setattr(Layout, "label", lambda self, text="", **_: self.texts.append(text))
    return folder


@pytest.fixture(scope="module")
def sound_project(tmp_path_factory) -> Path:
    """The folder of a valid file and its frames, after the first test has made them."""
    return tmp_path_factory.mktemp("sound") / "project"


def spoilt(stage, bait, kind, sound_project) -> Path:
    """A copy of a valid file, spoilt and saved by a Blender without the add-on; then a different file is open."""
    if not sound_project.exists():
        stage.keyed_strip({1: 1, 6: 2}, length=6)
        sound_project.mkdir()
        bpy.ops.wm.save_as_mainfile(filepath=str(sound_project / "shot.blend"))
        session.client.stop()
    blend = stage.folder / "project" / "shot.blend"
    shutil.copytree(sound_project, blend.parent)
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    HOSTILE[kind](active_latent_strip(bpy.context.scene), bait)
    ours = ((bpy.app.handlers.save_pre, handlers.on_save_pre), (bpy.app.handlers.save_post, handlers.on_save_post))
    for those, own in ours:
        those.remove(own)
    bpy.ops.wm.save_mainfile()
    for those, own in ours:
        those.append(own)
    bpy.ops.wm.read_homefile(use_factory_startup=True, app_template="")
    stage.journal_path.unlink(missing_ok=True)
    return blend


def draw_all() -> None:
    for content in CONTENTS:
        drawn(content)


def look_round(blend: Path) -> None:
    """Open a file and do everything that Blender does on its own: the user has asked for nothing here."""
    bpy.ops.wm.open_mainfile(filepath=str(blend), use_scripts=False)
    for _ in range(3):
        handlers.timer()
    draw_all()
    scene = bpy.context.scene
    for frame in (2, 5, scene.frame_current):
        scene.frame_set(frame)
    bpy.context.view_layer.update()
    scene.frame_current = 3
    handlers.timer()
    bpy.ops.ed.undo_push(message="a step")
    bpy.ops.ed.undo_push(message="another")
    bpy.ops.ed.undo()
    bpy.ops.ed.redo()
    handlers.timer()
    draw_all()


def tree(folder: Path) -> dict[str, int]:
    """Everything in a folder, with the time of its last change."""
    return {
        str(Path(where, name)): os.lstat(Path(where, name)).st_mtime_ns
        for where, folders, files in os.walk(folder)
        for name in (*folders, *files)
    }


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_strangers_file(stage, bait, kind, sound_project, tmp_path):
    blend = spoilt(stage, bait, kind, sound_project)
    nothing_happens(stage, blend, tmp_path)
    what_is_asked_for_ends(stage, bait, blend, tmp_path)


def nothing_happens(stage, blend, tmp_path):
    """Nothing is started, read or written before the user acts, and nothing takes long."""
    frames = blend.parent / "latent_lantern" / "frames"
    before, family = tree(tmp_path), family_of(os.getpid())
    started = time.monotonic()
    with watched() as noted:
        look_round(blend)
    assert time.monotonic() - started < TOO_LONG
    looks = {frames, *_shown(frames), stage.preferences.training_path()}
    assert [deed for deed in noted if deed[0] not in LOOKING or Path(deed[1]) not in looks] == []
    assert tree(tmp_path) == before
    assert family_of(os.getpid()) == family
    assert session.client.pid is None and not session.armed
    assert not any("Traceback" in line for line in session.client.log), "\n".join(session.client.log)
    assert session.halted == ""


def _shown(frames: Path) -> list[Path]:
    return list(frames.iterdir())


def what_is_asked_for_ends(stage, bait, blend, tmp_path):
    """Everything that the user asks for ends with frames or a sentence, and writes only frames to their folder."""
    frames = blend.parent / "latent_lantern" / "frames"
    before = tree(tmp_path)
    started = time.monotonic()
    if active_latent_strip(bpy.context.scene) is not None:
        for act in (bpy.ops.lantern.randomise, bpy.ops.lantern.make_frames, bpy.ops.lantern.reload_generator):
            try:
                assert act() <= {"FINISHED", "CANCELLED"}
            except RuntimeError as refusal:
                assert len(str(refusal)) > 20
        session.fill(timeout=TOO_LONG)
    draw_all()
    bpy.ops.wm.save_as_mainfile(filepath=str(blend.with_name("copy.blend")))
    assert time.monotonic() - started < 2 * TOO_LONG
    # Every strip is done, or shows what is wrong with it.
    for strip in latent_strips(bpy.context.scene):
        done, total = session.plans.progress(strip)
        assert done == total or len(session.problem(strip)) > 20
    assert not any("Traceback" in line for line in session.client.log), "\n".join(session.client.log)
    ours = {str(stage.journal_path), str(stage.folder / "python"), str(blend), str(blend.with_name("copy.blend"))}
    changed = {path for path, when in tree(tmp_path).items() if before.get(path) != when} | (
        set(before) - set(tree(tmp_path))
    )
    strange = {path for path in changed - ours if not Path(path).is_relative_to(frames) and Path(path) != blend.parent}
    assert strange == set()
    assert all(Path(path).suffix == ".png" for path in changed if Path(path).parent == frames)
    assert not (bait / "sentinel").exists()


def test_no_word_of_a_file_is_an_option_of_a_command(stage, bait, monkeypatch):
    """The form's texts go to a process as paths and a name; a folder called --resume=/ must not resume anything."""
    orders = []
    monkeypatch.setattr(training, "train", lambda order: orders.append(order) or True)
    monkeypatch.setattr(training, "make_data_set", lambda order: orders.append(order) or True)
    (bait / "--from=x").touch()
    monkeypatch.chdir(bait)
    form = bpy.context.scene.latent_lantern_training
    form.data_set, form.run_name, form.start, form.start_file = "--resume=/", "--resume=/", "FILE", "--from=x"
    form.film, form.data_set_name = "--from=x", "../../evil"
    assert bpy.ops.lantern.start_training() == {"FINISHED"}
    assert bpy.ops.lantern.make_data_set() == {"FINISHED"}
    known = {"--out", "--hours", "--name", "--nice", "--from", "--size", "--crop", "--every"}
    for order in orders:
        words = order.arguments()
        assert {word for word in words if word.startswith("-")} <= known
        assert str(bait / "--from=x") in words
    trained, made = (order.out for order in orders)
    for out, kind in ((trained, "Runs"), (made, "Data Sets")):
        assert out.parent == stage.preferences.training_path() / kind


@pytest.mark.parametrize(
    "facts",
    [
        {"z_dim": "many"},
        {"width": 1 << 40},
        {"height": -1},
        {"default_cutoff": "x"},
        {"spaces": None},
        {"canvas_step": 0.5},
        {"z_dim": 0},
        {"z_dim": 1 << 24},
        {"num_ws": 1 << 24},
        {"num_classes": 1 << 24},
        {"width": 30_000, "height": 30_000},
    ],
    ids=str,
)
def test_a_description_that_is_none_ends_with_a_sentence(stage, facts):
    """The user who asked gets a message at once, and does not wait for something that never comes."""
    stage.use_fake_server("--facts", json.dumps(facts))
    with pytest.raises(RuntimeError, match="answer is of no use"):
        stage.add_strip()
    stage.use_fake_server()
    assert stage.add_strip()


@pytest.mark.parametrize("shape", [(), (8,), (0, 8), (1, 7), (3, 8), (1, 1, 8)], ids=str)
def test_latents_of_another_shape_end_with_a_sentence(stage, shape, monkeypatch):
    strip = stage.add_strip()
    before = list(strip["latent"])

    def lie(fields):
        return read({"latents": vectors.pack_floats(bytes(4 * math.prod(shape)), shape)})

    read = Latents.from_json
    monkeypatch.setattr(Latents, "from_json", lie)
    for space in ("W", "W+"):
        with pytest.raises(RuntimeError, match="answer is of no use"):
            bpy.ops.lantern.set_space(space=space)
    assert list(strip["latent"]) == before
    assert strip.latent_lantern.space == "Z"


def test_a_name_that_no_interface_takes_is_made_fit(stage):
    stage.use_fake_server("--size", "16x16", "--facts", '{"licence": "\\ud800", "origin": "\\ud800"}')
    (stage.folder / "\udcff.pkl").write_bytes(b"weights")  # a file name that is not valid in any encoding
    stage.preferences.library_folders.add().path = str(stage.folder)
    bpy.ops.lantern.refresh_library()
    assert session.wait(lambda: not library.looking, 30)
    assert [card.name for card in library.cards] == ["Fake", "?"], [*library.problems, *session.client.log]
    for place in range(2):
        bpy.context.window_manager.latent_lantern_library.chosen = place
        assert "".join(drawn(GeneratorsPanel).texts).encode()
    assert stage.add_strip(generator=str(stage.folder / "\udcff.pkl"))
    stage.fill()


def test_what_is_done_is_noted(tmp_path):
    """Check that the tests above would notice something."""
    file = tmp_path / "file"
    deeds = {
        "open": lambda: file.write_text("x"),
        "os.stat": file.exists,
        "os.listdir": lambda: os.listdir(tmp_path),
        "os.remove": file.unlink,
        "subprocess.Popen": lambda: subprocess.run(["true"], check=True),
        "socket.__new__": lambda: socket.socket().close(),
    }
    for event, deed in deeds.items():
        with watched() as noted:
            deed()
        assert event in {name for name, _ in noted}
    os.listdir(tmp_path)
    assert "os.listdir" not in {name for name, _ in noted}


def test_blender_and_its_server_open_no_port(stage, server_python):
    """While the real server works, frames arrive and the panels are drawn."""
    session.client.stop()
    stage.preferences.server_python = server_python
    known = set(sockets_of(os.getpid()))
    with watched() as noted:
        stage.add_strip(3)
        stage.fill()
        draw_all()
        family = family_of(os.getpid())
        assert session.client.pid in family
        assert {line for pid in family for line in sockets_of(pid)} <= known
    assert not [deed for deed in noted if deed[0].startswith("socket.")]
    assert not [line for line in known if line.startswith(("tcp", "udp", "raw"))]
