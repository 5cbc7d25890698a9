"""What the panels show for which generator; every property and operator that they name exists."""

import json

import bpy
import pytest

from latent_lantern.latent_addon.library.library import library
from latent_lantern.latent_addon.library.panels import GeneratorsPanel, LANTERN_UL_generators
from latent_lantern.latent_addon.panels import CONTENTS
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from latent_lantern.latent_addon.shot.latent_panel import LatentPanel, TransformPanel
from latent_lantern.latent_addon.shot.strip_panel import StripPanel
from latent_lantern.latent_addon.ui import parts
from layout import Layout, drawn, drawn_preferences


def use_facts(stage, **facts):
    stage.use_fake_server("--facts", json.dumps(facts))


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: content.__name__)
def test_every_panel_draws(stage, content):
    drawn(content)
    strip = stage.add_strip(5)
    drawn(content)
    settings_of(strip).show_shadow = True
    settings_of(strip).noise = "SEED"
    session.halt("Something long and unpleasant stands in the way; look at the preferences, for there is much to see.")
    drawn(content)


def test_a_plain_generator_shows_what_it_has(stage):
    stage.add_strip(3)
    latent = drawn(LatentPanel)
    assert {"interpolation", "psi", "cutoff", "noise"} <= set(latent.props)
    assert {"Z", "W", "W+"} <= set(latent.texts)
    assert not {"lantern.set_canvas", "lantern.set_class"} & {name for name, _ in latent.operators}
    assert drawn(TransformPanel) is None
    assert "snapshot" not in drawn(StripPanel).props


def test_a_generator_without_mapping_shows_less_and_a_hint(stage):
    use_facts(stage, spaces=["z"], has_truncation=False, has_noise=False, normalises_z=False, canvas_step=4)
    strip = stage.add_strip(3)
    latent = drawn(LatentPanel)
    assert latent.props == ["interpolation"]
    assert "lantern.set_canvas" in {name for name, _ in latent.operators} and "W" not in latent.texts
    stage.settle()
    assert "turn pale" not in " ".join(drawn(StripPanel).texts)
    settings_of(strip).interpolation = "FCURVE"
    stage.settle()
    assert "turn pale" in " ".join(drawn(StripPanel).texts)


def test_classes_and_transform_are_shown_where_they_are(stage):
    use_facts(stage, num_classes=3, has_transform=True)
    stage.add_strip(3)
    bpy.ops.lantern.set_class(number=2)
    steps = [values["number"] for name, values in drawn(LatentPanel).operators if name == "lantern.set_class"]
    assert steps == [1, 2, 3]
    assert drawn(TransformPanel).props == ["move_x", "move_y", "turn", "zoom"]


def test_a_run_shows_its_snapshot(stage, tmp_path):
    for number in (1, 2):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / f"net-{number}.pkl").write_bytes(b"weights %d" % number)
    strip = stage.add_strip(3, generator=str(tmp_path / "run"))
    panel = drawn(StripPanel)
    assert "snapshot" in panel.props and "net-2 (of 2)" in panel.texts
    settings_of(strip).snapshot = 1.5
    assert "50% from net-1 to net-2 (of 2)" in drawn(StripPanel).texts


def test_the_generators_panel_shows_the_chosen_card(stage, tmp_path):
    assert "Look for Generators" in drawn(GeneratorsPanel).texts
    (tmp_path / "horses.pkl").write_bytes(b"horses")
    (tmp_path / "torn.pkl").write_bytes(b"broken")
    stage.preferences.library_folders.add().path = str(tmp_path)
    bpy.ops.lantern.refresh_library()
    assert "Being looked at ..." in drawn(GeneratorsPanel).texts
    assert session.wait(lambda: not library.looking, 30)
    bpy.context.window_manager.latent_lantern_library.chosen = 1
    panel = drawn(GeneratorsPanel)
    assert "horses" in panel.texts and "Kind: fake" in panel.texts
    chosen = dict(panel.operators)
    assert chosen["lantern.choose_generator"] == {"filepath": str(tmp_path / "horses.pkl")}
    lines = []
    for place in range(3):
        line = Layout()
        LANTERN_UL_generators.draw_item(None, bpy.context, line, None, None, 0, None, "", place)
        lines.append(line.texts)
    assert lines == [["Fake", "16 x 16"], ["horses", "16 x 16"], ["torn.pkl"]]
    bpy.context.window_manager.latent_lantern_library.chosen = 2
    assert "torn.pkl" in "".join(drawn(GeneratorsPanel).texts).replace(" ", "")


def test_the_preferences_draw(preferences, tmp_path):
    preferences.library_folders.add().path = str(tmp_path)
    layout = drawn_preferences(preferences)
    ours = {"server_python", "frame_folder", "budget", "make_automatically", "training_folder", "keep_training"}
    assert {*ours, "path"} == set(layout.props)
    assert ("lantern.remove_library_folder", {"index": 0}) in layout.operators


def test_a_path_is_broken_behind_its_separators(monkeypatch):
    monkeypatch.setattr(parts, "_width", lambda text: 6 * len(text))  # without a window there is no font
    parts._lines.cache_clear()
    path = "/home/paloma/films/the-dinner/latent_lantern/frames/c_06b80477a7608b3396fda631c3a3e58cbd645811.png"
    lines = parts._lines(f"Frames cannot be written to {path}", 200, 11)
    assert "".join(lines).replace(" ", "") == f"Framescannotbewrittento{path}"
    assert len(lines) > 4 and all(len(line) > 3 for line in lines)
    broken = [line for line in lines[:-1] if "/" in line]
    assert broken and all(line[-1] in "/-_" for line in broken)  # the hash at the end is one long word
    parts._lines.cache_clear()
