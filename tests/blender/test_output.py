from __future__ import annotations

import wave
from pathlib import Path

import bpy
import numpy as np
import pytest

from latent_lantern.latent_addon.scene import output as output_module
from latent_lantern.latent_addon.scene import versions
from latent_lantern.latent_addon.scene.drawing import Drawing, set_up_drawing
from latent_lantern.latent_addon.scene.output import make_output_scene, output_scene_of, render_composite
from pictures import fill_box, image_strip, noise_picture, read_picture, write_picture

WIDTH, HEIGHT, START, COUNT = 32, 24, 5, 4
BOX = (3, 5, 11, 9)


class Shot:
    """A working scene with `COUNT` pictures from frame `START`, and one filled box drawn over them."""

    def __init__(self, folder: Path, factor: int, flat: bool = False) -> None:
        self.scene = bpy.context.scene
        self.folder = folder
        self.scene.frame_start, self.scene.frame_end = START, START + COUNT - 1
        self.pixels = [self.picture(seed, flat) for seed in range(COUNT)]
        paths = [write_picture(folder / f"p{i}.png", pixels) for i, pixels in enumerate(self.pixels)]
        self.strip = image_strip(self.scene, paths, START)
        self.drawing: Drawing = set_up_drawing(self.scene, WIDTH, HEIGHT, [self.strip], factor=factor)
        fill_box(self.drawing, BOX, START)

    @staticmethod
    def picture(seed: int, flat: bool) -> np.ndarray:
        picture = noise_picture(seed, WIDTH, HEIGHT)
        return np.full_like(picture, 40 * seed) if flat else picture

    def render(self) -> list[np.ndarray]:
        folder = render_composite(self.scene, self.folder / "composite")
        return [read_picture(folder / f"frame_{START + i:04d}.png") for i in range(COUNT)]


def boxed(pixels: np.ndarray, box: tuple[int, int, int, int], margin: int = 0) -> np.ndarray:
    left, top, right, bottom = box
    return pixels[top - margin : bottom + margin, left - margin : right + margin]


def outside(shape: tuple[int, int], box: tuple[int, int, int, int], factor: int) -> np.ndarray:
    """A mask of the area without drawing: everything except the box and the two pixels around it."""
    mask = np.ones(shape, bool)
    left, top, right, bottom = (side * factor for side in box)
    mask[max(0, top - 2) : bottom + 2, max(0, left - 2) : right + 2] = False
    return mask


def test_the_composite_is_the_strip_s_exact_pixels_with_the_drawing_over_them(tmp_path: Path) -> None:
    shot = Shot(tmp_path, factor=1)
    mask = outside((HEIGHT, WIDTH), BOX, 1)
    for rendered, pixels in zip(shot.render(), shot.pixels, strict=True):
        assert (rendered[mask][:, :3] == pixels[mask]).all()
        assert (rendered[..., 3] == 255).all()
        assert boxed(rendered, (BOX[0] + 2, BOX[1] + 1, BOX[2] - 2, BOX[3] - 1)).min() > 235


def test_scaled_pictures_keep_their_place_and_flat_colours(tmp_path: Path) -> None:
    factor = 6
    shot = Shot(tmp_path, factor, flat=True)
    for i in range(COUNT):  # a picture that is black on its left half, so that the scaled edge can be found
        picture = shot.pixels[i].copy()
        picture[:, : WIDTH // 2] = 0
        picture[:, WIDTH // 2 :] = 200
        write_picture(tmp_path / f"p{i}.png", picture)
    for rendered in shot.render():
        row = rendered[-factor, :, 0].astype(int)
        assert rendered.shape == (HEIGHT * factor, WIDTH * factor, 4)
        assert (row[: WIDTH * factor // 2 - 2 * factor] == 0).all()
        assert (row[WIDTH * factor // 2 + 2 * factor :] == 200).all()
        assert abs(int(np.argmax(row > 100)) - WIDTH * factor // 2) <= 1


def test_what_changes_shows_in_the_next_render(tmp_path: Path) -> None:
    shot = Shot(tmp_path, factor=1)
    shot.render()
    moved = (20, 12, 28, 20)
    fill_box(shot.drawing, moved, START)
    fill_box(shot.drawing, BOX, START + 2)
    write_picture(tmp_path / "new.png", noise_picture(99, WIDTH, HEIGHT))
    shot.strip.elements[1].filename = "new.png"
    shot.pixels[1] = noise_picture(99, WIDTH, HEIGHT)

    for i, rendered in enumerate(shot.render()):
        box, other = (moved, BOX) if i < 2 else (BOX, moved)
        assert boxed(rendered, (box[0] + 2, box[1] + 1, box[2] - 2, box[3] - 1)).min() > 235
        assert (boxed(rendered, other)[..., :3] == boxed(shot.pixels[i], other)).all()


def test_a_rewritten_file_is_read_again(tmp_path: Path) -> None:
    shot = Shot(tmp_path, factor=1)
    shot.render()
    pixels = noise_picture(77, WIDTH, HEIGHT)
    write_picture(tmp_path / "p0.png", pixels)
    mask = outside((HEIGHT, WIDTH), BOX, 1)
    assert (shot.render()[0][mask][:, :3] == pixels[mask]).all()


def test_every_strip_of_the_working_scene_is_in_the_composite(tmp_path: Path) -> None:
    shot = Shot(tmp_path, factor=1)
    editor = shot.scene.sequence_editor
    over = noise_picture(50, WIDTH, HEIGHT)
    path = write_picture(tmp_path / "over.png", over)
    editor.strips.new_image("Over", str(path), 4, START + 3, fit_method="ORIGINAL")
    mask = outside((HEIGHT, WIDTH), BOX, 1)
    rendered = shot.render()
    assert (rendered[3][mask][:, :3] == over[mask]).all()
    assert (rendered[2][mask][:, :3] == shot.pixels[2][mask]).all()


def test_making_the_output_scene_again_follows_the_working_scene(tmp_path: Path) -> None:
    shot = Shot(tmp_path, factor=1)
    scene = shot.scene
    output = make_output_scene(scene)
    title = output.sequence_editor.strips.new_image("Title", str(tmp_path / "p0.png"), 7, START)
    before = [strip.name for strip in output.sequence_editor.strips]
    scenes = len(bpy.data.scenes)

    scene.frame_start, scene.frame_end = 101, 140
    scene.render.fps, scene.render.resolution_x = 12, 64
    scene.view_settings.gamma = 1.5
    again = make_output_scene(scene)

    assert again == output and output_scene_of(scene) == output and len(bpy.data.scenes) == scenes
    assert [strip.name for strip in output.sequence_editor.strips] == before and title.channel == 7
    assert (output.frame_start, output.frame_end, output.render.fps, output.render.resolution_x) == (101, 140, 12, 64)
    assert output.view_settings.gamma == 1.5
    for strip in output.sequence_editor.strips:
        if strip.type == "SCENE":
            assert (versions.strip_start(strip), versions.strip_end(strip)) == (101, 141)
            assert versions.content_start(strip) == 101
    scene.frame_start, scene.frame_end = 1, 9
    make_output_scene(scene)
    assert (output.frame_start, output.frame_end) == (1, 9)


def test_a_range_that_grew_is_rendered_whole(tmp_path: Path) -> None:
    shot = Shot(tmp_path, factor=1)
    make_output_scene(shot.scene)
    extra = noise_picture(60, WIDTH, HEIGHT)
    shot.strip.elements.append(write_picture(tmp_path / "extra.png", extra).name)
    shot.scene.frame_start, shot.scene.frame_end = START + 1, START + COUNT
    folder = render_composite(shot.scene, tmp_path / "grown")
    assert len(list(folder.iterdir())) == COUNT
    mask = outside((HEIGHT, WIDTH), BOX, 1)
    assert (read_picture(folder / f"frame_{START + COUNT:04d}.png")[mask][:, :3] == extra[mask]).all()
    assert (read_picture(folder / f"frame_{START + 1:04d}.png")[mask][:, :3] == shot.pixels[1][mask]).all()


def test_strips_that_were_deleted_are_made_again(tmp_path: Path) -> None:
    shot = Shot(tmp_path, factor=1)
    output = make_output_scene(shot.scene)
    strips = output.sequence_editor.strips
    strips.remove(strips["Picture"])
    make_output_scene(shot.scene)
    assert {strip.scene_input: strip.channel for strip in strips} == {"SEQUENCER": 1, "CAMERA": 2}


def test_each_working_scene_has_its_own_output(tmp_path: Path) -> None:
    shot = Shot(tmp_path, factor=1)
    other = bpy.data.scenes.new("Second")
    first, second = make_output_scene(shot.scene), make_output_scene(other)
    assert first != second and output_scene_of(other) == second and output_scene_of(first) is None
    assert second.sequence_editor.strips["Drawing"].mute  # there is no camera yet


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    shot = Shot(tmp_path, factor=1)
    scene, output = shot.scene, make_output_scene(shot.scene)
    scene.frame_set(START + 2)
    output.frame_set(START + 3)
    output.render.filepath = "//mine"
    versions.set_file_format(output.render.image_settings, "FFMPEG")
    output.render.ffmpeg.format, output.render.ffmpeg.codec = "QUICKTIME", "PRORES"
    window_scene = bpy.context.window.scene
    handlers = len(bpy.app.handlers.render_write)
    seen: list[int] = []

    shot.render()
    render_composite(scene, tmp_path / "film.mp4", seen.append)

    assert seen == list(range(START, START + COUNT))
    assert (scene.frame_current, output.frame_current) == (START + 2, START + 3)
    assert (output.render.filepath, output.render.image_settings.file_format) == ("//mine", "FFMPEG")
    assert (output.render.ffmpeg.format, output.render.ffmpeg.codec) == ("QUICKTIME", "PRORES")
    assert bpy.context.window.scene == window_scene
    assert len(bpy.app.handlers.render_write) == handlers
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "composite",
        "film.mp4",
        *(f"p{i}.png" for i in range(4)),
    ]


def test_a_movie_has_every_frame(tmp_path: Path) -> None:
    shot = Shot(tmp_path, factor=4, flat=True)
    movie = render_composite(shot.scene, tmp_path / "new folder" / "film.mp4")
    data = movie.read_bytes()
    assert data[4:8] == b"ftyp" and b"avc1" in data and b"mp4a" not in data
    clip = bpy.data.movieclips.load(str(movie))
    assert (clip.frame_duration, tuple(clip.size)) == (COUNT, (WIDTH * 4, HEIGHT * 4))


def test_a_movie_that_cannot_be_encoded_says_so(tmp_path: Path) -> None:
    shot = Shot(tmp_path, factor=1)
    shot.scene.render.resolution_x = 33
    with pytest.raises(ValueError, match="33 x 24"):
        render_composite(shot.scene, tmp_path / "film.mp4")
    assert not list(tmp_path.glob("film*"))


def write_tone(path: Path, seconds: float) -> Path:
    rate = 48000
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((tone * 32767).astype("<i2").tobytes())
    return path


def mixed_sound(scene: bpy.types.Scene, path: Path) -> tuple[np.ndarray, int]:
    bpy.context.window.scene = scene
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        bpy.context.workspace.sequencer_scene = scene
    bpy.ops.sound.mixdown(filepath=str(path), container="WAV", codec="PCM", format="S16")
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        return np.abs(samples[:, 0] / 32767), file.getframerate()


def test_sound_is_heard_once_and_in_time(tmp_path: Path) -> None:
    shot = Shot(tmp_path, factor=1)
    scene = shot.scene
    scene.frame_end = START + 47
    tone = write_tone(tmp_path / "tone.wav", 0.5)
    scene.sequence_editor.strips.new_sound("Tone", str(tone), 3, START + 12)
    output = make_output_scene(scene)

    alone, rate = mixed_sound(scene, tmp_path / "alone.wav")
    carried, _ = mixed_sound(output, tmp_path / "carried.wav")

    assert carried.max() == pytest.approx(alone.max(), rel=0.05)
    loud = np.nonzero(carried > 0.05)[0] / rate
    assert loud[0] == pytest.approx(12 / 24, abs=0.02) and loud[-1] == pytest.approx(1.0, abs=0.03)
    bpy.context.window.scene = scene
    assert b"mp4a" in render_composite(scene, tmp_path / "film.mp4").read_bytes()


def test_a_failed_render_leaves_the_old_movie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shot = Shot(tmp_path, factor=1)
    (tmp_path / "film.mp4").write_bytes(b"the old one")

    def settings_that_write_elsewhere(output: bpy.types.Scene, path: Path) -> None:
        output_module.render_settings_for_frames(output, tmp_path / "elsewhere")

    monkeypatch.setattr(output_module, "render_settings_for_movie", settings_that_write_elsewhere)
    with pytest.raises(RuntimeError, match="did not finish"):
        render_composite(shot.scene, tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == b"the old one"
