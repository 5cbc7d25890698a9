"""Make the pictures of docs/first-shadow.md and of panels, with the real server and seeds that look good.

`python3 dev.py pictures` runs this. test_first_shadow.py tests that the steps do what they should.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import BlenderWindow, window
from person import Point
from PIL import Image
from story import Story

pytestmark = pytest.mark.pictures

FAMILY = Path(__file__).resolve().parents[2] / "inference_server" / "weights" / "family_at_dinner"

FIRST, SECOND, BETWEEN = 7, 31, 36
"""Two seeds, and a frame between their keys."""

GLASSES = [(0.115, 0.375), (0.195, 0.375), (0.80, 0.385), (0.88, 0.385)]
"""The eyes of the two large figures at that frame, as fractions of the picture's sides from the upper left corner."""


@pytest.fixture(scope="module")
def blender(folder: Path) -> Iterator[BlenderWindow]:
    """A Blender with room for all panels."""
    with window(folder, "--factory-startup", size=(1800, 1000)) as blender:
        yield blender


@pytest.fixture(scope="module")
def story(arranged: Story) -> Story:
    """One file for all steps."""
    arranged.begin("first_shadow")
    return arranged


def document(story: Story, name: str, picture: Image.Image) -> None:
    """Keep a picture for the documents, as a small file."""
    folder = story.folder / "documents"
    folder.mkdir(exist_ok=True)
    colours = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    colours.save(folder / f"{name}.png", optimize=True)


def both_editors(story: Story) -> Image.Image:
    """The 3D Viewport next to the Sequencer, and the Timeline, including the bar at the top."""
    picture = story.person.see()
    return picture.crop((0, 0, story.person.box("SEQUENCE_EDITOR", "UI")[2], picture.height))


def sidebar(story: Story) -> Image.Image:
    """The sidebar down to its last panel."""
    picture = story.person.see("SEQUENCE_EDITOR", "UI", after=3.0)
    _, end = story.person.panels()[-1]
    top = story.person.box("SEQUENCE_EDITOR", "UI")[1]
    return picture.crop((0, 0, picture.width, story.blender.screen.height - end + 8 - top))


def in_the_picture(story: Story, places: list[tuple[float, float]]) -> list[Point]:
    """The places on the screen of points in the picture behind the drawing, given as fractions of its sides."""
    return [
        tuple(place)
        for place in story.blender.run(
            "from bpy_extras.view3d_utils import location_3d_to_region_2d\n"
            "from mathutils import Vector\n"
            "window, area = place_of('VIEW_3D')\n"
            "region, view = region_of(area, 'WINDOW'), area.spaces.active.region_3d\n"
            "render, drawing = bpy.context.scene.render, bpy.context.object\n"
            "wide, high = render.resolution_x * 0.01, render.resolution_y * 0.01\n"
            "value = []\n"
            f"for x, y in {places!r}:\n"
            "    point = drawing.matrix_world @ Vector(((x - 0.5) * wide, 0.0, (0.5 - y) * high))\n"
            "    at = location_3d_to_region_2d(region, view, point)\n"
            "    value.append((int(window.x + region.x + at.x), int(window.y + region.y + at.y)))"
        )
    ]


def go_to(story: Story, frame: int) -> None:
    """Move the playhead."""
    story.blender.run(f"bpy.context.scene.frame_set({frame})")


def test_0_the_preferences(story: Story) -> None:
    story.blender.run("with context_of('VIEW_3D'):\n    bpy.ops.preferences.addon_show(module=EXTENSION)")
    story.blender.until("len(windows()) == 2")
    assert story.blender.look("addon('session.runtime').runtime.status.state.name") == "NOT_SET_UP"
    shown = story.person.see(after=3.0)  # before the pointer is there and shows a tooltip
    _, up = story.person.find("lantern.set_up_inference", "PREFERENCES", "WINDOW")
    left, _, right, _ = story.person.box("PREFERENCES")
    middle = shown.height - up
    # Only the box: the parts above and below it show paths of this machine.
    document(story, "preferences", shown.crop((left + 8, middle - 95, right - 8, middle + 48)))
    story.blender.run("with context_of('PREFERENCES'):\n    bpy.ops.wm.window_close()")
    story.blender.until("len(windows()) == 1")


def test_1_a_strip(story: Story) -> None:
    story.use_server()
    story.person.over("SEQUENCE_EDITOR", "UI")
    document(story, "first-shadow-1", both_editors(story))
    story.person.press("lantern.add_latent_strip")
    story.blender.until("bool(latent_strips())")
    story.filled()
    assert story.strips()[0][2:] == (1, 96)
    story.person.over("SEQUENCE_EDITOR")
    story.person.keys("Home")
    document(story, "first-shadow-2", both_editors(story))


def test_2_two_keys(story: Story) -> None:
    story.operate(f"lantern.randomise(seed={FIRST})")
    story.person.press("lantern.insert_latent_key")
    story.filled()
    assert story.key_frames() == [1]
    document(story, "first-shadow-3", both_editors(story))
    go_to(story, 60)
    story.operate(f"lantern.randomise(seed={SECOND})")
    story.filled()
    assert story.key_frames() == [1, 60]
    go_to(story, BETWEEN)
    document(story, "first-shadow-4", both_editors(story))
    left, bottom, width, height = story.blender.look("whole('SEQUENCE_EDITOR')")
    shown = story.person.see()
    document(story, "window", shown.crop((left, shown.height - bottom - height, left + width, shown.height - bottom)))


def test_3_the_curves(story: Story) -> None:
    story.person.over("VIEW_3D")
    story.person.keys("shift+F6")
    story.blender.run("place_of('GRAPH_EDITOR')[1].spaces.active.show_region_ui = False")
    story.person.over("GRAPH_EDITOR")
    story.person.keys("Home")
    document(story, "first-shadow-5", both_editors(story))
    story.person.keys("shift+F5")
    assert story.blender.look("place_of('VIEW_3D')[1].type") == "VIEW_3D"


def test_4_the_shadow(story: Story) -> None:
    before = story.shown()
    story.blender.run(
        "settings = addon('scene.properties').settings_of(latent_strips()[0])\n"
        "settings.show_shadow, settings.shadow_softness = True, 1.5\n"
        "settings.shadow_fill_holes, settings.shadow_min_area = 200, 100"
    )
    story.filled()
    assert not set(before) & set(story.shown())
    document(story, "first-shadow-6", both_editors(story))
    document(story, "panels", sidebar(story))


def test_5_the_drawing(story: Story) -> None:
    story.person.press("lantern.set_up_drawing")
    story.blender.until("bpy.context.object and bpy.context.object.mode == 'PAINT_GREASE_PENCIL'")
    story.filled()
    story.person.over("VIEW_3D")
    story.person.keys("Home")
    angles = [2 * math.pi * step / 12 for step in range(13)]
    for x, y in GLASSES:
        ring = [(x + 0.034 * math.cos(angle), y + 0.034 * math.sin(angle)) for angle in angles]
        story.person.drag(*in_the_picture(story, ring))
    assert story.blender.look("strokes()") == len(GLASSES)
    story.person.over("SEQUENCE_EDITOR")
    document(story, "first-shadow-7", both_editors(story))


def test_6_the_film(story: Story) -> None:
    story.person.press("lantern.make_output_scene")
    story.blender.until("len(bpy.data.scenes) == 2")
    rendered = story.folder / "rendered"
    story.blender.run(
        "scene = bpy.context.scene\n"
        f"scene.frame_start = scene.frame_end = {BETWEEN}\n"
        f"addon('scene.output').render_composite(scene, {str(rendered)!r})"
    )
    with Image.open(rendered / f"frame_{BETWEEN:04}.png") as picture:
        assert picture.size == (1024, 1024)
        document(story, "first-shadow-8", picture.convert("RGB").resize((512, 512), Image.Resampling.LANCZOS))


def test_7_the_generators(story: Story) -> None:
    story.use_server()
    mine = story.folder / "Generators"
    shutil.copytree(FAMILY, mine / "Family")
    shutil.copy(FAMILY / "snapshot-000012000.safetensors", mine / "first-blots.safetensors")
    story.blender.run(f"addon('preferences').preferences().library_folders.add().path = {str(mine)!r}")
    story.person.click_with("ctrl", story.person.header("Generators"))
    story.person.press("lantern.refresh_library")
    story.blender.until(
        "len(addon('library.library').library.cards) == 3 and not addon('library.library').library.looking"
    )
    story.blender.run(
        "cards = addon('library.library').library.cards\n"
        "run = next(i for i, card in enumerate(cards) if card.snapshots and card.path)\n"
        "addon('library.properties').library_rows().chosen = run"
    )
    story.person.over("SEQUENCE_EDITOR", "UI", up=0.9)
    story.person.see(after=3.0)  # pictures in a list appear only when they are drawn again
    story.person.over("SEQUENCE_EDITOR")
    document(story, "generators", sidebar(story))
