"""Make the demo film as a person would, with the add-on's own buttons: python3 dev.py demo

A family at dinner, from the built-in generator: four seeds are keyed on a latent strip, turned into shadows on a
painted wall, and drawn over in Grease Pencil on twos. The film is a loop: its last frame leads to its first.

It writes to the output folder: latent_lantern_demo.mp4; latent_lantern_demo.blend, which renders the film again; and
latent_lantern_demo.png, a contact sheet. What has not changed since the last time is used again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import animator
import bpy
import numpy as np
import paper
import wall
from bl_ext.user_default.latent_lantern.latent_addon.scene import drawing as lantern_drawing
from bl_ext.user_default.latent_lantern.latent_addon.scene import output as lantern_output
from bl_ext.user_default.latent_lantern.latent_addon.scene import versions
from contact_sheet import contact_sheet
from pixels import read_picture, resized, write_picture
from screen import counted, progress, quiet, say

NAME = "latent_lantern_demo"
FPS, FRAMES, ON = 24, 96, 2
"""`ON` means "on twos": each picture stays for two frames."""

SEEDS = (27, 11, 4, 25)
PSI = 1.0  # no truncation: the arms go all the way up
POSE, HOLD = 24, 7
"""Frames from pose to pose, and for how many of them a pose is held."""

SHADOW = {
    "shadow_threshold": 50.0,
    "shadow_softness": 1.0,
    "shadow_fill_holes": 14,
    "shadow_min_area": 24,
    "shadow_figure": (0.078, 0.067, 0.063, 1.0),
    "shadow_ground": (0.078, 0.067, 0.063, 0.0),  # clear, so that the wall shows through
}
SHEET_FRAME = 77


@dataclass(frozen=True)
class Place:
    """Where everything is written."""

    folder: Path

    def __post_init__(self) -> None:
        self.parts.mkdir(parents=True, exist_ok=True)

    @property
    def parts(self) -> Path:
        """The folder for the parts of the film; the add-on's frames are in its folder `frames`."""
        return self.folder / "latent_lantern"

    def file(self, suffix: str) -> Path:
        """Return the path of one of the results."""
        return self.folder / f"{NAME}{suffix}"


def main() -> None:
    """Make everything that does not exist yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder for the film (demo/)")
    parser.add_argument("--generator", default="", help="a checkpoint of yours instead of the built-in generator")
    parser.add_argument("--server-python", help="Python with torch; the extension's preference if not given")
    options = parser.parse_args()
    if options.server_python:
        name = lantern_drawing.__package__.partition(".latent_addon")[0]
        bpy.context.preferences.addons[name].preferences.server_python = options.server_python
    place = Place(options.output.resolve())
    began = time.monotonic()
    with quiet(place.parts / "blender.log"):
        make(place, options.generator)
    say(f"done in {time.monotonic() - began:.0f} s")


def make(place: Place, generator: str) -> None:
    """Make the scene; then save and render it, unless the same was rendered before."""
    working_file = place.file(".part.blend")  # in the folder from the start, because frames go next to the .blend
    bpy.ops.wm.save_as_mainfile(filepath=str(working_file))
    try:
        scene, strip = make_strip(generator)
        hang_wall(scene, place)
        colours = fill(place, strip, "frames in colour")
        strip.latent_lantern.show_shadow = True
        shadows = fill(place, strip, "shadows")
        bpy.ops.lantern.set_up_drawing()
        strokes = draw(scene, strip, colours, shadows)
        bpy.ops.lantern.make_output_scene()
        frames = [path.name for path in (*colours, *shadows)]
        digest = hashlib.sha256(repr((strokes, frames, bpy.app.version)).encode()).hexdigest()
        if is_made(place, digest):
            say(f"nothing has changed: {NAME}.mp4, .blend and .png are kept as they are")
            return
        save(scene, place)
        render(scene, place)
        k = SHEET_FRAME - scene.frame_start
        sheet = contact_sheet(scene, place.file(".mp4"), colours[k], shadows[k], SHEET_FRAME)
        write_picture(place.file(".png"), sheet)
        say(f"contact sheet: {place.file('.png')}")
        (place.parts / "made.json").write_text(json.dumps({"sha256": digest, "files": hashes(place)}, indent=1))
    finally:
        for left in (working_file, working_file.with_suffix(".blend1")):
            left.unlink(missing_ok=True)


def make_strip(generator: str) -> tuple[bpy.types.Scene, bpy.types.ImageStrip]:
    """Add the latent strip and key the seeds: each pose is held, then leads to the next, and the last to the first."""
    scene = bpy.context.scene
    scene.name = "Supper"
    scene.render.fps, scene.render.fps_base = FPS, 1.0
    scene.frame_start, scene.frame_end = 1, FRAMES
    scene.frame_set(1)
    say("starting the inference server")
    bpy.ops.lantern.add_latent_strip(generator=generator, length=FRAMES, seed=SEEDS[0])
    strip = scene.sequence_editor.active_strip
    for k in range(len(SEEDS) + 1):
        for frame in (1 + k * POSE, 1 + k * POSE + HOLD):
            if frame <= FRAMES + 1:
                scene.frame_set(frame)
                bpy.ops.lantern.randomise(seed=SEEDS[k % len(SEEDS)])
                bpy.ops.lantern.insert_latent_key()
    scene.frame_set(1)
    strip.latent_lantern.psi = PSI
    for name, value in SHADOW.items():
        setattr(strip.latent_lantern, name, value)
    say(f"keyed seeds {', '.join(map(str, SEEDS))} over {FRAMES} frames at {FPS} fps")
    return scene, strip


def hang_wall(scene: bpy.types.Scene, place: Place) -> None:
    """Put a painted wall below the strip, its light flickering on twos."""
    side = lantern_drawing.FINE_SIDE
    write_picture(place.parts / "wall.png", wall.painted(side))
    strips = scene.sequence_editor.strips
    channel = max(strip.channel for strip in strips)
    for strip in strips:
        strip.channel += 1
    back = strips.new_image("Wall", "//latent_lantern/wall.png", channel, scene.frame_start, fit_method="FIT")
    versions.set_handles(back, scene.frame_start, scene.frame_end + 1)
    flicker = np.random.default_rng(5)
    for frame in range(scene.frame_start, scene.frame_end + 1, ON):
        back.color_multiply = 1.0 + flicker.uniform(-0.025, 0.025)
        back.keyframe_insert("color_multiply", frame=frame)


def fill(place: Place, strip: bpy.types.ImageStrip, what: str) -> list[Path]:
    """Make the strip's frames; return its files, one for each frame."""
    frames = place.parts / "frames"
    before = count_files(frames)
    with counted(lambda: f"{what}: {count_files(frames) - before} made"):
        bpy.ops.lantern.make_frames()
    names = [element.filename for element in strip.elements]
    made = count_files(frames) - before
    say(f"{what}: {len(set(names))} pictures on {len(names)} frames, {made} made now")  # a held pose is one picture
    return [frames / name for name in names]


def draw(scene: bpy.types.Scene, strip: bpy.types.ImageStrip, colours: list[Path], shadows: list[Path]) -> str:
    """Draw the whole film on twos; return a digest of every stroke."""
    settings = strip.latent_lantern
    stage = lantern_drawing.set_up_drawing(scene, settings.width, settings.height, [strip])
    scene.grease_pencil_settings.aa_samples = 1  # the lines stay smooth, and without a GPU it takes a third of the time
    strip.strobe = ON  # the shadow on twos too, so that line and shadow stay together
    count = FRAMES // ON
    sheets: dict[int, animator.Sheet] = {}
    for number in range(count):
        shadow = read_picture(shadows[number * ON])[..., 3] / 255
        luma = read_picture(colours[number * ON])[..., :3] @ (0.299, 0.587, 0.114) / 255
        seen = resized(shadow, animator.SIDE), resized(luma, animator.SIDE)
        sheets[1 + number * ON] = animator.draw(*seen, number, count)
        progress(f"drawing {number + 1} of {count}")
    scale = settings.width / animator.SIDE
    paper.write_drawings(stage, "Ink", {frame: sheet.ink for frame, sheet in sheets.items()}, scale)
    paper.write_drawings(stage, "Colour", {frame: sheet.colour for frame, sheet in sheets.items()}, scale)
    digest = hashlib.sha256()
    strokes = [stroke for sheet in sheets.values() for stroke in (*sheet.ink, *sheet.colour)]
    for stroke in strokes:
        digest.update(stroke.points.round(3).tobytes() + stroke.radius.round(3).tobytes() + stroke.ink.encode())
    say(f"{count} drawings, {len(strokes)} strokes")
    return digest.hexdigest()


def save(scene: bpy.types.Scene, place: Place) -> None:
    """Save the .blend as a user should find it: at the first frame, with the drawing seen through its camera."""
    output = lantern_output.make_output_scene(scene)
    output.render.filepath = f"//{NAME}.mp4"
    scene.frame_set(scene.frame_start)
    for area in bpy.context.window.screen.areas:
        if area.type == "VIEW_3D":
            area.spaces.active.region_3d.view_perspective = "CAMERA"
    bpy.ops.wm.save_as_mainfile(filepath=str(place.file(".blend")), relative_remap=True)
    say(f"saved {place.file('.blend')}")


def render(scene: bpy.types.Scene, place: Place) -> None:
    """Render the Output scene."""
    began = time.monotonic()

    def rendered(_scene: bpy.types.Scene, *_: object) -> None:
        nonlocal done
        done += 1
        progress(f"rendering {done} of {FRAMES}, {(time.monotonic() - began) / done:.1f} s a frame")

    done = 0
    bpy.app.handlers.render_write.append(rendered)
    try:
        bpy.ops.lantern.render_composite(filepath=str(place.file(".mp4")))
    finally:
        bpy.app.handlers.render_write.remove(rendered)
    say(f"film: {place.file('.mp4')}, {place.file('.mp4').stat().st_size / 1e6:.1f} MB")


def hashes(place: Place) -> dict[str, str]:
    """Return the SHA-256 of each result, "" if it does not exist, to notice when one is gone or has changed."""
    files = [place.file(suffix) for suffix in (".mp4", ".blend", ".png")]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "" for file in files}


def is_made(place: Place, digest: str) -> bool:
    """Return whether all results exist, unchanged, and were made from what `digest` stands for."""
    try:
        made = json.loads((place.parts / "made.json").read_text())
    except (OSError, ValueError):
        return False
    return made.get("sha256") == digest and made.get("files") == hashes(place)


def count_files(folder: Path) -> int:
    """Return how many frames are in a folder."""
    return sum(1 for file in folder.glob("*.png")) if folder.is_dir() else 0


if __name__ == "__main__":
    main()
