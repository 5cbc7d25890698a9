"""The library of generators: filled card by card, when the user asks, and never because a file is opened."""

import bpy
import pytest

import fake_files
from latent_lantern.latent_addon.library.library import library
from latent_lantern.latent_addon.library.properties import library_rows
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session


@pytest.fixture
def nets(stage, tmp_path):
    """A folder of the library: two files, one of them broken, and a run."""
    folder = tmp_path / "nets"
    (folder / "run").mkdir(parents=True)
    (folder / "horses.pkl").write_bytes(b"horses")
    (folder / "torn.pt").write_bytes(b"broken")
    (folder / "notes.txt").write_bytes(b"notes")
    for number in (1, 2, 3):
        (folder / "run" / f"net-{number}.pkl").write_bytes(b"weights %d" % number)
    stage.preferences.library_folders.add().path = str(folder)
    return folder


def look():
    assert bpy.ops.lantern.refresh_library() == {"FINISHED"}
    assert session.wait(lambda: not library.looking, 60)


def test_cards_come_one_by_one(stage, nets):
    stage.use_fake_server("--slow", 0)
    bpy.ops.lantern.refresh_library()
    assert library.looking and [card.name for card in library.cards] == ["Built-in"]
    assert session.wait(lambda: len(library.cards) > 1, 30)
    assert library.looking and library.cards[-1].about is None
    assert session.wait(lambda: not library.looking, 30)
    assert [card.name for card in library.cards] == ["Fake", "horses", "run (3 snapshots)", "torn.pt"]
    assert [row.name for row in library_rows().rows] == [card.name for card in library.cards]
    assert stage.methods().count("library/list") == 1 and stage.methods().count("library/card") == 4
    horses, run, torn = library.cards[1:]
    assert horses.about.sha256 == fake_files.identity(str(nets / "horses.pkl"))[0]
    assert (horses.snapshots, horses.bytes) == (0, 6)
    assert (run.snapshots, run.path, run.bytes) == (3, str(nets / "run"), 27)
    assert torn.about is None and "torn.pt" in torn.error
    assert not session.halted


def test_a_card_is_used(stage, nets):
    strip = stage.add_strip(3)
    look()
    assert bpy.ops.lantern.choose_generator(filepath=library.cards[2].path) == {"FINISHED"}
    assert len(settings_of(strip).snapshots) == 3
    stage.fill()
    added = stage.add_strip(3, start=40, generator=library.cards[1].path)
    assert settings_of(added).generator_name == "horses"
    stage.fill()
    assert bpy.ops.lantern.choose_generator(filepath=library.cards[0].path) == {"FINISHED"}
    assert settings_of(added).generator == "" and settings_of(added).generator_name == "Fake"
    stage.fill()


def test_the_identity_is_copied_only_of_a_known_card(stage, nets):
    look()
    library_rows().chosen = 3
    with pytest.raises(RuntimeError, match="Choose a generator"):
        bpy.ops.lantern.copy_sha256()
    library_rows().chosen = 1
    assert bpy.ops.lantern.copy_sha256() == {"FINISHED"}


def test_refreshing_finds_what_is_new_and_a_folder_that_is_gone_is_named(stage, nets):
    look()
    (nets / "zebras.pkl").write_bytes(b"zebras")
    stage.preferences.library_folders.add().path = str(nets.parent / "nowhere")
    bpy.ops.lantern.refresh_library()
    look()  # the answers to the first search are ignored
    assert [card.name for card in library.cards] == ["Fake", "horses", "run (3 snapshots)", "torn.pt", "zebras"]
    assert len(library.problems) == 1 and "nowhere" in library.problems[0]


def test_without_a_server_the_reason_is_told_once(stage, nets):
    stage.preferences.server_python = "/nowhere/python"
    assert bpy.ops.lantern.refresh_library() == {"FINISHED"}
    assert not library.looking and len(library.problems) == 1 and "/nowhere/python" in library.problems[0]


def test_a_file_that_is_opened_looks_for_nothing_and_brings_no_cards(stage, nets, tmp_path):
    stage.add_strip(3)
    look()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    library_rows().rows.add().name = "in the window manager only"
    stage.ordered()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    session.tick()
    assert stage.methods() == []
    assert [row.name for row in library_rows().rows] == [card.name for card in library.cards]


def test_folders_are_named_and_taken_off(stage, tmp_path):
    folders = stage.preferences.library_folders
    assert bpy.ops.lantern.add_library_folder(directory=str(tmp_path)) == {"FINISHED"}
    assert bpy.ops.lantern.add_library_folder(directory=str(tmp_path)) == {"CANCELLED"}
    assert [folder.path for folder in folders] == [str(tmp_path)]
    assert bpy.ops.lantern.remove_library_folder(index=7) == {"CANCELLED"}
    assert bpy.ops.lantern.remove_library_folder(index=0) == {"FINISHED"}
    assert len(folders) == 0
