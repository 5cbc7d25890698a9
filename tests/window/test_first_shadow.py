"""The README's first shadow, made like a new user: by clicks, from the zip to the film."""

from __future__ import annotations

import os
import re
from pathlib import Path

import cv2
import pytest
from harness import BlenderWindow, window
from story import Story

BLENDERS_OWN = re.compile(
    r"\d\d:\d\d\.\d{3}  (blend|render) +\| "  # files read and written, pictures rendered
    r"|\d\d:\d\d\.\d{3}  bpy\.rna +\| WARNING current value .* 'language'"  # Debian's Blender has no translations
    r"|\d\d:\d\d\.\d{3}  reports +\| (Preferences saved|Saved )"
    r"|\d\d:\d\d\.\d{3}  operator +\| Latent keyed at frame"  # what Key reports
    r"|Info: Saved |Info: Preferences saved|Blender quit|Repository data: .* sync required!"
    # The Output scene's strips are scenes; Blender prints this for a scene that has strips but no sound.
    r'|-+$|Failed to add relation "Sequence Scene Audio -> Sequencer"'
    r"|Could not find op_from: ComponentKey\(SCScene, AUDIO\)"
)
"""What Blender itself prints when files are opened, saved and rendered."""


@pytest.fixture
def story(blender: BlenderWindow, folder: Path) -> Story:
    """A Blender with factory settings."""
    return Story(blender, folder)


def install_by_clicks(story: Story) -> None:
    """Get Extensions, the arrow at the top right, Install from Disk."""
    story.person.over("VIEW_3D")
    story.person.keys("ctrl+comma")
    story.blender.until("any(area.type == 'PREFERENCES' for area in windows()[-1].screen.areas)")
    story.blender.run("bpy.context.preferences.active_section = 'EXTENSIONS'")
    story.person.see()
    x, y, width, height = story.blender.look("rectangle('PREFERENCES', 'WINDOW')")
    story.person.click((x + width - 20, y + height - 20))
    story.person.keys("f")
    story.person.choose_file(Path(os.environ["LANTERN_ZIP"]))
    story.blender.until("EXTENSION in bpy.context.preferences.addons")
    story.picture("installed")
    story.blender.run("with bpy.context.temp_override(window=windows()[-1]):\n    bpy.ops.wm.window_close()")


def save_by_keys(story: Story, path: Path) -> None:
    """Save the file for the first time."""
    story.person.over("VIEW_3D")
    story.person.keys("ctrl+s")
    story.person.choose_file(path)
    story.blender.until(f"bpy.data.filepath == {str(path)!r}")


def go_to(story: Story, frame: int) -> None:
    """Press in the ruler above the strips."""
    _, _, _, height = story.blender.look("rectangle('SEQUENCE_EDITOR', 'WINDOW')")
    across, _ = story.place_in_view("SEQUENCE_EDITOR", frame, 1)
    bottom = story.blender.look("rectangle('SEQUENCE_EDITOR', 'WINDOW')")[1]
    story.person.click((across, bottom + height - 12))
    story.blender.until(f"abs(bpy.context.scene.frame_current - {frame}) <= 1")


def draw_glasses(story: Story) -> None:
    """Two rings and a bridge, with the pen."""
    x, y, width, height = story.blender.look("rectangle('VIEW_3D', 'WINDOW')")
    middle, up, size = x + width // 2, y + height // 2, width // 12
    ring = ((-1, 0), (-0.7, 0.7), (0, 1), (0.7, 0.7), (1, 0), (0.7, -0.7), (0, -1), (-0.7, -0.7), (-1, 0.1))
    for side in (-1.4, 1.4):
        places = [(int(middle + size * (side + 1.1 * a)), int(up + size * b)) for a, b in ring]
        story.person.drag(*places)
    story.person.drag((middle - size // 3, up), (middle + size // 3, up))


def test_from_the_zip_to_the_film(story: Story) -> None:
    blender, person = story.blender, story.person
    install_by_clicks(story)
    story.arrange()
    assert blender.look("addon('session.session').session.client.state.name") == "STOPPED"
    story.use_server()
    path = story.folder / "dinner" / "dinner.blend"
    path.parent.mkdir(exist_ok=True)
    save_by_keys(story, path)

    person.press("lantern.add_latent_strip")
    blender.until("strip_rows()")
    story.filled()
    person.over("SEQUENCE_EDITOR")
    person.keys("Home")
    story.picture("strip")
    assert [row[1:] for row in story.strips()] == [(1, 1, 96)]

    first = story.picture("first_picture", "SEQUENCE_EDITOR", "PREVIEW")
    person.press("lantern.randomise(", across=0.25)
    blender.until("not waiting_operators()")
    story.filled()
    second = story.picture("randomised", "SEQUENCE_EDITOR", "PREVIEW")
    assert story.changed(first, second) > 0.02
    person.press("lantern.insert_latent_key")
    assert story.key_frames() == [1]

    assert not blender.look("place_of('SEQUENCE_EDITOR')[1].spaces.active.preview_overlay.show_metadata")

    go_to(story, 24)
    person.press("lantern.randomise(", across=0.25)
    blender.until("not waiting_operators()")
    keys = story.key_frames()
    assert keys[0] == 1 and len(keys) == 2 and abs(keys[1] - 24) <= 1
    story.filled()
    frames = story.shown()
    assert len(set(frames)) == keys[1] and all(name.startswith("c_") for name in frames)
    story.picture("keys")

    person.click(person.header("Shadow", across=0.1))
    story.filled()
    frames = story.shown()
    assert {name[:2] for name in frames} == {"s_"}
    story.picture("shadow")

    person.press("lantern.set_up_drawing")
    blender.until("bpy.context.view_layer.objects.active.mode == 'PAINT_GREASE_PENCIL'")
    before = story.picture("drawing_set_up", "VIEW_3D")
    draw_glasses(story)
    assert story.blender.look("strokes()") == 3
    drawn = story.picture("drawn", "VIEW_3D")
    assert story.changed(before, drawn) > 0.001
    story.picture("drawing")

    blender.run("bpy.context.scene.frame_end = 4")
    person.press("lantern.make_output_scene")
    blender.until("len(bpy.data.scenes) == 2")
    person.press("lantern.render_composite")
    film = story.folder / "dinner" / "dinner.mp4"
    person.choose_file(film)
    blender.until(f"__import__('os').path.exists({str(film)!r})")
    rendering = "addon('session.session').session.state.name == 'RENDERING'"
    blender.until(f"not bpy.app.is_job_running('RENDER') and not {rendering}", 600.0)
    assert blender.look("[window.scene.name for window in bpy.context.window_manager.windows]") == ["Scene", "Output"]
    story.picture("rendered")
    assert frames_of(film) == 4
    blender.run("bpy.ops.wm.save_mainfile()\nbpy.ops.wm.save_userpref()")
    made = {file: file.stat().st_mtime_ns for file in (path.parent / "latent_lantern" / "frames").iterdir()}
    assert blender.quit() == 0
    assert strange(blender.said()) == []

    with window(story.folder, str(path)) as again:
        reopened = Story(again, story.folder)
        again.until("not changes_waiting()")
        assert again.look("EXTENSION in bpy.context.preferences.addons")
        assert reopened.shown() == frames and again.look("strokes()") == 3
        assert again.look("addon('session.session').session.plans.progress(latent_strips()[0])") == [96, 96]
        assert again.look("addon('session.session').session.client.state.name") == "STOPPED"
        assert again.look("len(bpy.data.scenes)") == 2
        reopened.picture("reopened")
        assert again.quit() == 0
        assert strange(again.said()) == []
    assert {file: file.stat().st_mtime_ns for file in (path.parent / "latent_lantern" / "frames").iterdir()} == made


def frames_of(film: Path) -> int:
    """The number of pictures in a film."""
    movie = cv2.VideoCapture(str(film))
    count = 0
    while movie.read()[0]:
        count += 1
    return count


def strange(said: str) -> list[str]:
    """Lines that Blender would not have printed without the extension."""
    return [line for line in said.splitlines() if line.strip() and not BLENDERS_OWN.match(line)]
