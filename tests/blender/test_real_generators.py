"""Foreign checkpoints, snapshots and projections with the real server: it makes what the add-on orders."""

import json
import os
import subprocess

import bpy
import numpy as np
import pytest

from latent_lantern.latent_addon.library.library import library
from latent_lantern.latent_addon.scene import curves
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from pictures import read_picture
from stage import latents_of, planned
from test_faults import write_checkpoint


@pytest.fixture
def real(stage, server_python):
    """The stage with the real server."""
    session.client.stop()
    stage.preferences.server_python = server_python
    return stage


@pytest.fixture
def fixtures(root):
    """Checkpoints in the original projects' layouts."""
    return root / "tests" / "server" / "fixtures"


def picture_at(strip, index):
    return read_picture(session.plans.store.folder / planned(strip)[index])


def assert_rendered_alike(stage, strip, folder, root, server_python):
    """The sequence file gives the same pictures without Blender, byte for byte."""
    path = folder / "shot.lantern.json"
    assert bpy.ops.lantern.export_sequence(filepath=str(path)) == {"FINISHED"}
    command = [server_python, "-m", "inference_server", "render", str(path), "--out", str(folder / "frames")]
    environment = {"PYTHONPATH": str(root), "PATH": os.environ["PATH"]}
    subprocess.run(command, check=True, env=environment, cwd=folder)
    for i in range(len(planned(strip))):
        theirs = read_picture(folder / "frames" / f"frame_{i + 1:04}.png")
        assert np.array_equal(picture_at(strip, i), theirs)


@pytest.mark.parametrize("name", ["ada_skip", "ada_gray_nonoise", "tf_sg1_128_asym", "sg3t"])
def test_a_foreign_checkpoint_makes_the_frames(real, fixtures, name):
    strip = real.add_strip(2, generator=str(fixtures / f"{name}.pkl"))
    real.fill()
    settings = settings_of(strip)
    with np.load(fixtures / f"{name}.npz") as reference:
        assert settings.z_dim == reference["z"].shape[1]
    picture = picture_at(strip, 0)
    assert picture.shape[:2] == (settings.height, settings.width) and picture.std() > 0


def test_the_picture_is_moved_by_the_generator(real, fixtures):
    strip = real.add_strip(2, generator=str(fixtures / "sg3t.pkl"))
    settings = settings_of(strip)
    assert settings.has_transform
    real.fill()
    still = picture_at(strip, 0)[..., :3].astype(float)
    settings.move_x = 0.25
    real.fill()
    moved = picture_at(strip, 0)[..., :3].astype(float)
    shift = round(0.25 * settings.width)
    inner = slice(shift + 4, -4)
    to_the_right = np.abs(moved[4:-4, inner] - still[4:-4, :-shift][:, 4:-4]).mean()
    to_the_left = np.abs(moved[4:-4, 4 : -shift - 4] - still[4:-4, inner]).mean()
    assert to_the_right < 0.5 * to_the_left


def test_snapshots_are_blended(real, tmp_path, root, server_python):
    run = tmp_path / "run"
    run.mkdir()
    for seed in (1, 2, 3):
        write_checkpoint(server_python, root, run / f"network-snapshot-{seed:06}.safetensors", seed)
    strip = real.add_strip(5, generator=str(run))
    settings = settings_of(strip)
    assert len(settings.snapshots) == 3 and settings.snapshot == 3.0
    for frame, number in ((1, 1.0), (5, 3.0)):
        settings.snapshot = number
        real.scene.keyframe_insert(curves.path_prefix(strip) + ".latent_lantern.snapshot", frame=frame)
    real.fill()
    assert len({picture_at(strip, i).tobytes() for i in range(5)}) == 5
    assert_rendered_alike(real, strip, tmp_path, root, server_python)


def test_projections_are_shown(real, fixtures, tmp_path, root, server_python):
    checkpoint = fixtures / "ada_skip.pkl"
    strip = real.add_strip(3, generator=str(checkpoint))
    with np.load(fixtures / "ada_skip.npz") as reference:
        mixed, z = reference["ws_mix"], reference["z"]
    np.savez(tmp_path / "projected_w.npz", w=mixed[:1])
    assert bpy.ops.lantern.import_latents(filepath=str(tmp_path / "projected_w.npz")) == {"FINISHED"}
    assert settings_of(strip).space == "W+"
    real.fill()
    assert np.allclose(latents_of(strip)[0].reshape(mixed.shape[1:]), mixed[0], atol=2**-16)
    assert_rendered_alike(real, strip, tmp_path, root, server_python)
    bpy.ops.lantern.set_space(space="Z")
    np.save(tmp_path / "z.npy", z)
    assert bpy.ops.lantern.import_latents(filepath=str(tmp_path / "z.npy"), spacing=2) == {"FINISHED"}
    real.fill()


def test_the_library_knows_them(real, fixtures):
    real.preferences.library_folders.add().path = str(fixtures)
    assert bpy.ops.lantern.refresh_library() == {"FINISHED"}
    assert session.wait(lambda: not library.looking, 300)
    assert [card.error for card in library.cards] == [""] * len(library.cards)
    assert library.cards[0].path == "" and len(library.cards) == 1 + len(list(fixtures.glob("*.pkl")))
    assert all(os.path.isfile(card.thumbnail) for card in library.cards)
    assert json.dumps([card.about.to_json() for card in library.cards])


def test_a_file_of_the_library_that_is_no_generator_says_so_on_its_card(real, tmp_path):
    (tmp_path / "torn.pkl").write_bytes(b"\x80\x04weights")
    real.preferences.library_folders.add().path = str(tmp_path)
    bpy.ops.lantern.refresh_library()
    assert session.wait(lambda: not library.looking, 120)
    assert "torn.pkl" in library.cards[-1].error and not session.halted
