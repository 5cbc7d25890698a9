"""Contents of hostile .blend files. Each function spoils a valid file with one latent strip, before it is saved.

The strip is keyed and six frames long, its latent has eight numbers, and all its frames are next to the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
from bpy.types import ImageStrip

from latent_lantern.latent_addon.scene import latent_keys, versions
from latent_lantern.latent_addon.scene.properties import settings_of

Spoil = Callable[[ImageStrip, Path], None]
ROWS = 100_000
"""Rows of the lists in a file. The time that they take shows the time that a million rows would take."""


def stored(strip: ImageStrip) -> Any:
    """The strip's settings as the file stores them. There, no range limits the values."""
    if hasattr(strip, "bl_system_properties_get"):
        return strip.bl_system_properties_get(do_create=True)["latent_lantern"]
    return strip["latent_lantern"]


def _generator(path: str) -> Spoil:
    def spoil(strip: ImageStrip, folder: Path) -> None:
        settings_of(strip).generator = path.format(folder=folder)
        settings_of(strip).sha256 = "0" * 64

    return spoil


def _stored(**values: Any) -> Spoil:
    def spoil(strip: ImageStrip, _folder: Path) -> None:
        group = stored(strip)
        for name, value in values.items():
            if name in group:
                del group[name]  # its type may change
            group[name] = value

    return spoil


def _latent(value: Any) -> Spoil:
    def spoil(strip: ImageStrip, _folder: Path) -> None:
        latent_keys.remove_latent_curves(strip.id_data, strip)
        strip["latent"] = value() if callable(value) else value

    return spoil


def _classes(value: Any) -> Spoil:
    def spoil(strip: ImageStrip, _folder: Path) -> None:
        stored(strip)["num_classes"] = 3
        strip["classes"] = value() if callable(value) else value

    return spoil


def _elements(directory: str, name: str) -> Spoil:
    def spoil(strip: ImageStrip, folder: Path) -> None:
        strip.directory = directory.format(folder=folder)
        for element in strip.elements:
            element.filename = name

    return spoil


def _snapshots(strip: ImageStrip, _folder: Path) -> None:
    for _ in range(ROWS):
        strip.latent_lantern.snapshots.add()


def _snapshot_paths(strip: ImageStrip, folder: Path) -> None:
    settings_of(strip).generator = str(folder)
    for name in ("../../../../etc/passwd", "/dev/zero", "fifo", "\\\\server\\share\\x"):
        row = settings_of(strip).snapshots.add()
        row.name = row.path = row.sha256 = name


def _snapshot_words(strip: ImageStrip, _folder: Path) -> None:
    settings_of(strip).snapshots.add()
    stored(strip)["snapshots"][0]["path"] = b"\xff\xfe"
    stored(strip)["snapshots"][0]["name"] = b"\xff\xfe"


def _lists(_strip: ImageStrip, _folder: Path) -> None:
    manager = bpy.context.window_manager
    for rows in (manager.latent_lantern_library.rows, manager.latent_lantern_trainings.rows):
        for _ in range(ROWS):
            rows.add()
    manager.latent_lantern_library.chosen = manager.latent_lantern_trainings.chosen = ROWS - 1


def _very_long(strip: ImageStrip, _folder: Path) -> None:
    versions.set_handles(strip, 1, 1_000_000)


def _very_long_latent(strip: ImageStrip, _folder: Path) -> None:
    stored(strip)["z_dim"] = 1_000_000
    strip["latent"] = [0.5] * 1_000_000
    versions.set_handles(strip, 1, 1500)


def _far_away(strip: ImageStrip, _folder: Path) -> None:
    versions.set_content_start(strip, -900_000)
    strip.id_data.frame_current = 900_000


def _named(strip: ImageStrip, _folder: Path) -> None:
    strip.name = "../../evil\"]['x\n"
    strip.id_data.name = "//../..\\evil"


def _driver(strip: ImageStrip, folder: Path) -> None:
    settings = f'sequence_editor.strips_all["{strip.name}"]'
    for path in (f'{settings}["latent"]', f"{settings}.latent_lantern.psi"):
        added = strip.id_data.driver_add(path, *((3,) if path.endswith("]") else ()))
        added.driver.type = "SCRIPTED"
        added.driver.expression = f"__import__('pathlib').Path({str(folder / 'sentinel')!r}).touch() or 0.5"


def _driven_for_long(strip: ImageStrip, folder: Path) -> None:
    _driver(strip, folder)
    for _ in range(5000):
        strip.elements.append("x.png")
    versions.set_handles(strip, 1, 5000)


def _script(_strip: ImageStrip, folder: Path) -> None:
    text = bpy.data.texts.new("startup.py")
    text.write(
        f"import pathlib\npathlib.Path({str(folder / 'sentinel')!r}).touch()\ndef register(): pass\nregister()\n"
    )
    text.use_module = True


def _library(strip: ImageStrip, folder: Path) -> None:
    settings_of(strip).generator = "/usr/bin/python3"
    bpy.data.libraries.write(str(folder / "library.blend"), {strip.id_data})
    with bpy.data.libraries.load(str(folder / "library.blend"), link=True) as (there, here):
        here.scenes = there.scenes


def _form(strip: ImageStrip, folder: Path) -> None:
    form = strip.id_data.latent_lantern_training
    form.film, form.pictures, form.start_file = str(folder / "fifo"), "/dev", "/dev/zero"
    form.data_set, form.run_name, form.data_set_name = "--resume=/", "../../evil", "..\\..\\evil\0"
    form.start = "FILE"


def _keys(strip: ImageStrip, _folder: Path) -> None:
    for curve, value in zip(versions.fcurves_of(strip.id_data), (1e38, float("nan"), float("inf")), strict=False):
        curve.keyframe_points[0].co[1] = value
        curve.keyframe_points[0].handle_right = (value, value)


def _output(strip: ImageStrip, folder: Path) -> None:
    strip.id_data.render.filepath = str(folder / "evil_")
    strip.id_data["latent_lantern_working_scene"] = strip.id_data
    bpy.data.images.new("evil", 4, 4).filepath = str(folder / "fifo")


HOSTILE: dict[str, Spoil] = {
    "an interpreter": _generator("/usr/bin/python3"),
    "a checkpoint elsewhere": _generator("{folder}/secret.pkl"),
    "up and out": _generator("//../../../../../../../../etc/passwd"),
    "a device": _generator("/dev/zero"),
    "a pipe": _generator("{folder}/fifo"),
    "a network share": _generator("\\\\server\\share\\x.pkl"),
    "a network share with slashes": _generator("//server/share/x.pkl"),
    "an option": _generator("--help"),
    "an endless path": _generator("/" + "x" * 100_000),
    "a folder of everything": _generator("/"),
    "snapshots that lie elsewhere": _snapshot_paths,
    "too many snapshots": _snapshots,
    "snapshots in no encoding": _snapshot_words,
    "elements up and out": _elements("//../../../../", "../../etc/passwd"),
    "elements in a pipe": _elements("{folder}/", "fifo"),
    "elements on a share": _elements("\\\\server\\share\\", "x.png"),
    "a negative size": _stored(width=-5, height=-(2**31)),
    "an endless size": _stored(width=2**31 - 1, height=2**31 - 1),
    "an endless canvas": _stored(columns=2**31 - 1, rows=2**31 - 1, canvas_step=2**31 - 1),
    "an endless z": _stored(z_dim=2**31 - 1),
    "an endless w": _stored(space=2, num_ws=2**31 - 1, w_dim=2**31 - 1),
    "endless classes": _stored(num_classes=2**31 - 1),
    "negative lengths": _stored(z_dim=-8, num_ws=-1, num_classes=-1),
    "settings that are no numbers": _stored(psi=float("nan"), turn=float("inf"), snapshot=float("nan"), zoom=-1e38),
    "settings that are words": _stored(psi="x", width="x", snapshots="x", noise_seed="x", shadow_figure="x"),
    "words that are numbers": _stored(generator=5, sha256=1.5, generator_name=0),
    "words in no encoding": _stored(generator_name=b"\xff\xfe", sha256=b"\xff", generator=b"\xff\xfe"),
    "choices that are none": _stored(space=99, interpolation=-1, noise=77),
    "a latent of NaN": _latent([float("nan")] * 8),
    "a latent without end": _latent([float("inf"), -1e308] * 4),
    "a latent of no length": _latent([0.5]),
    "a latent that is a word": _latent("eight ch"),
    "a latent that is a number": _latent(3),
    "a latent that is a group": _latent(lambda: {str(n): n for n in range(8)}),
    "a latent that is a list of groups": _latent(lambda: [{"a": n} for n in range(8)]),
    "a latent that is an object": _latent(lambda: bpy.data.objects[0]),
    "a latent that is a truth": _latent([True] * 8),
    "classes that are a word": _classes("abc"),
    "classes that are a number": _classes(3),
    "classes that are an object": _classes(lambda: bpy.data.objects[0]),
    "a strip of a million frames": _very_long,
    "a latent of a million numbers": _very_long_latent,
    "a strip far away": _far_away,
    "wild names": _named,
    "drivers": _driver,
    "drivers of many frames": _driven_for_long,
    "a script": _script,
    "a linked scene": _library,
    "lists of rows": _lists,
    "a form": _form,
    "keys of no value": _keys,
    "an output elsewhere": _output,
}


def make_bait(folder: Path) -> None:
    """Make the files that the contents above refer to: a pipe that blocks anyone who opens it, and a secret file."""
    os.mkfifo(folder / "fifo")
    (folder / "secret.pkl").write_bytes(b"broken: nobody's business")
