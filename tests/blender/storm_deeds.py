"""What the storm does to the server, the disk, files and clocks, and what a person does meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import bpy

import fake_pictures
import stage as staging
from latent_lantern.latent_addon.core.frame_request import frame_order
from latent_lantern.latent_addon.scene import versions
from latent_lantern.latent_addon.scene.properties import settings_of
from latent_lantern.latent_addon.session.session import session
from storm import SIZE, Storm, weights_of

Deed = Callable[[Storm], str | None]
"""Does something and returns a few words about it, or None if there was nothing to do it to."""

_COUNTED = ("crash", "hang", "stop-self", "garble", "close-stdout", "close-stdin")
_PLAIN = ("dribble", "noise", "fork-noise", "lie", "fail-writes")


def kill_server(storm: Storm) -> str | None:
    if session.client.pid is None:
        return None
    number = storm.random.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV))
    os.kill(session.client.pid, number)
    return number.name


def stop_server_for_a_while(storm: Storm) -> str | None:
    pid = session.client.pid
    if pid is None:
        return None
    os.kill(pid, signal.SIGSTOP)
    seconds = storm.random.choice((0.1, 0.4, 1.5))
    storm.run(seconds)
    if session.client.pid == pid:
        os.kill(pid, signal.SIGCONT)
    return f"{seconds} s"


def change_servers(storm: Storm) -> str:
    draw = storm.random
    options: list[object] = []
    for _ in range(draw.choice((1, 1, 2))):
        kind = draw.choice(("counted", "counted", "plain", "slow", "room", "start"))
        if kind == "counted":
            options += [f"--{draw.choice(_COUNTED)}-after", draw.randrange(8)]
        elif kind == "plain":
            options.append(f"--{draw.choice(_PLAIN)}")
        elif kind == "slow":
            options += ["--slow", draw.choice((0.01, 0.05, 0.2))]
        elif kind == "room":
            options += ["--room", draw.choice((0, 1, 8, 33, 40, 90, 120, 160, 1000))]
        else:
            options += draw.choice((["--exit-at-start", 3, "There is no torch."], ["--wrong-version", "pixels"]))
    if draw.random() < 0.5:
        options += ["--once", storm.stage.folder / f"once_{len(storm.journal)}"]
    storm.stage.use_fake_server(*options)
    return " ".join(map(str, options))


def repair_server(storm: Storm) -> str:
    storm.stage.use_fake_server()
    return "good"


def fill_disk(storm: Storm) -> str | None:
    """Leave this many bytes on the small disk, rounded to a page."""
    if storm.disk is None or storm.disk.read_only:
        return None
    left = storm.random.choice((0, 0, 4096, 8192, 20480))
    storm.disk.fill(left)
    return f"{left} bytes left"


def free_disk(storm: Storm) -> str | None:
    if storm.disk is None:
        return None
    storm.disk.set_read_only(False)
    storm.disk.free()
    return "room again"


def lock_disk(storm: Storm) -> str | None:
    if storm.disk is None:
        return None
    storm.disk.set_read_only(True)
    return "read-only"


def remove_folder(storm: Storm) -> str | None:
    if not storm.folder.is_dir() or storm.locked:
        return None
    storm.whole.clear()
    for _ in range(3):  # a server may be writing to it
        shutil.rmtree(storm.folder.resolve(), ignore_errors=True)
    if not storm.folder.is_symlink():
        return "gone"
    link = storm.folder  # now it leads nowhere
    storm.lifts.append(lambda: link.unlink() if link.is_symlink() and not link.exists() else None)
    return "gone, behind its link"


def put_file_in_place_of_folder(storm: Storm) -> str | None:
    if not storm.folder.is_dir() or storm.folder.is_symlink() or storm.locked:
        return None
    folder, whole = storm.folder, dict(storm.whole)
    away = folder.with_name("away")
    if away.exists():
        return None
    storm.whole.clear()
    folder.rename(away)
    try:
        folder.write_text("in the way")
    except OSError:  # the server has made the folder again, or the small disk is full
        if folder.is_file():
            folder.unlink()
        return "moved away"

    def lift() -> None:
        folder.unlink(missing_ok=True)
        away.rename(folder)
        if folder == storm.folder:
            storm.whole = whole

    storm.lifts.append(lift)
    return "file"


def move_folder_behind_a_link(storm: Storm) -> str | None:
    if not storm.folder.is_dir() or storm.folder.is_symlink() or storm.locked:
        return None
    target = storm.folder.with_name(f"elsewhere_{len(storm.journal)}")
    storm.folder.rename(target)
    try:
        storm.folder.symlink_to(target)
    except OSError:  # the server has made the folder again
        storm.whole.clear()
    return "link"


def harm_frames(storm: Storm) -> str | None:
    files = storm.frames()
    if not files or storm.locked:
        return None
    done = []
    for path in storm.random.sample(files, min(len(files), storm.random.choice((1, 2, 5, 100)))):
        del storm.whole[path.name]
        done.append(_harm(storm, path))
    return ", ".join(sorted(set(done)))


def _harm(storm: Storm, path: Path) -> str:
    draw = storm.random
    data = path.read_bytes()
    others = [other for other in storm.frames() if other.name[0] == path.name[0]]
    how = draw.choice(("deleted", "cut", "zeroed", "bytes", "flipped", "other", "link", "other's link", "touched"))
    try:
        if how == "deleted":
            path.unlink()
        elif how == "cut":
            os.truncate(path, draw.randrange(len(data)))
        elif how == "zeroed":
            path.write_bytes(bytes(len(data)))
        elif how == "bytes":
            path.write_bytes(draw.randbytes(draw.randrange(300)))
        elif how == "flipped" and session.plans.store.knows(path.name):
            place = len(data) - 20
            path.write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
            storm.flipped.append(path)
            os.utime(path, ns=(1, path.stat().st_mtime_ns + 10**7))  # late enough for the file system's clock
        elif how == "other" and others:
            shutil.copyfile(draw.choice(others), path)
        elif how == "link":
            path.unlink()
            path.symlink_to(path.with_name("nowhere"))
        elif how == "other's link" and others:
            path.unlink()
            path.symlink_to(draw.choice(others))
        else:
            os.utime(path)
            storm.whole[path.name] = data
            return "touched"
    except OSError as error:  # the small disk is full
        return f"{how}: {error.strerror}"
    return how


def put_folder_in_place_of_frame(storm: Storm) -> str | None:
    files = storm.frames()
    if not files or storm.locked:
        return None
    path = storm.random.choice(files)
    del storm.whole[path.name]
    path.unlink()
    try:
        path.mkdir()
    except OSError:
        return "deleted"
    storm.lifts.append(lambda: path.rmdir() if path.is_dir() and not path.is_symlink() else None)
    return path.name


def another_blender_makes_frames(storm: Storm) -> str | None:
    """Planned frames appear: the server of a second Blender with the same folder has made them."""
    frames = [frame for plan in session.plans.all() for frame in plan.frames if not frame.request.shadow]
    if not frames or not storm.folder.is_dir() or storm.locked:
        return None
    made = 0
    for frame in storm.random.sample(frames, min(3, len(frames))):
        order = frame_order(frame.request, 0, frame.colour, frame.name)
        row = memoryview(frame.request.latent).cast("f").tolist()
        try:
            fake_pictures.write_frame(storm.folder, order, row, SIZE, SIZE, weights_of(frame.request))
            made += 1
        except Exception:  # a full disk, a folder with the frame's name: the second Blender reports it
            return f"{made}, then no more"
    return str(made)


def replace_checkpoint(storm: Storm) -> str | None:
    if storm.checkpoint is None:
        return None
    storm.checkpoint.write_bytes(storm.random.choice((b"broken", b"", b"other weights")))
    storm.lifts.append(lambda: storm.checkpoint.write_bytes(b"weights"))
    return storm.checkpoint.read_bytes().decode() or "empty"


def restore_checkpoint(storm: Storm) -> str | None:
    if storm.checkpoint is None:
        return None
    storm.checkpoint.write_bytes(b"weights")
    return "restored"


def jump_clocks(storm: Storm) -> str:
    """The time of day goes forward or back; the other clock, as after a sleep, only forward."""
    day, sleep = storm.random.choice((-86400.0, -1.0, 3600.0, 1e6)), storm.random.choice((0.0, 15.0, 30000.0))
    storm.clocks.day += day
    storm.clocks.sleep += sleep
    return f"{day:+} s by day, {sleep} s asleep"


def change_truncation(storm: Storm) -> str:
    group = settings_of(storm.strip())
    group.psi = storm.random.choice((0.1, 0.2, 0.3, 0.7, 1.0))
    return f"{group.psi:.1f}"


def change_and_key(storm: Storm) -> str:
    strip = storm.strip()
    bpy.context.scene.sequence_editor.active_strip = strip
    frame = storm.random.randrange(versions.strip_start(strip), versions.strip_end(strip))
    bpy.context.scene.frame_set(frame)
    strip["latent"][storm.random.randrange(staging.Z_DIM)] = storm.random.uniform(-2, 2)
    bpy.ops.lantern.insert_latent_key()
    return f"at {frame}"


def show_shadow(storm: Storm) -> str:
    group = settings_of(storm.strip())
    group.show_shadow = not group.show_shadow
    group.shadow_threshold = storm.random.choice((30.0, 50.0, 70.0))
    return str(group.show_shadow)


def move_playhead(storm: Storm) -> str:
    frame = storm.random.randrange(1, 30)
    bpy.context.scene.frame_set(frame)
    return str(frame)


def trim_strip(storm: Storm) -> str:
    strip = storm.strip()
    start = versions.strip_start(strip)
    end = start + storm.random.randrange(2, 16)
    versions.set_handles(strip, start, end)
    return f"{start} to {end}"


def undo(storm: Storm) -> str | None:
    if storm.steps < 1:
        return None
    storm.steps -= 1
    storm.undone += 1
    bpy.ops.ed.undo()
    return "undo"


def redo(storm: Storm) -> str | None:
    if storm.undone < 1:
        return None
    storm.undone -= 1
    storm.steps += 1
    bpy.ops.ed.redo()
    return "redo"


def cancel(storm: Storm) -> str | None:
    if not session.feeder.busy:
        return None
    bpy.ops.lantern.cancel()
    return "cancelled"


def click_make_frames(storm: Storm) -> str:
    session.make_missing()
    return "clicked"


def save(storm: Storm) -> str:
    wanted = session.plans.files_in_use() & storm.whole.keys()
    target = storm.stage.folder / f"project_{storm.random.randrange(3)}" / "shot.blend"
    target.parent.mkdir(exist_ok=True)
    copy = bool(bpy.data.filepath) and storm.random.random() < 0.3
    before = storm.folder
    bpy.ops.wm.save_as_mainfile(filepath=str(target), copy=copy)
    storm.tick("save")
    if storm.folder != before:
        lost = [name for name in wanted if not (storm.folder / name).is_file()]
        assert not lost, f"{lost} did not come along"
        storm.whole = {name: data for name, data in storm.whole.items() if (storm.folder / name).is_file()}
    return f"{'copy' if copy else 'as'} {target.parent.name}"


def save_on_the_small_disk(storm: Storm) -> str | None:
    """The disk may be full or locked: then the file is not saved, and the frames stay."""
    if storm.disk is None:
        return None
    target = storm.disk.path / "project" / "shot.blend"
    wanted, before = session.plans.files_in_use() & storm.whole.keys(), storm.folder
    try:
        target.parent.mkdir(exist_ok=True)
        bpy.ops.wm.save_as_mainfile(filepath=str(target))
    except (OSError, RuntimeError) as error:
        storm.tick("save")
        assert storm.folder == before
        return f"failed: {error}"
    storm.tick("save")
    lost = [name for name in wanted if not (storm.folder / name).is_file()]
    assert not lost or session.halted, f"{lost} did not come along"
    storm.whole = {name: data for name, data in storm.whole.items() if (storm.folder / name).is_file()}
    return f"saved, {len(lost)} stayed behind"


def open_again(storm: Storm) -> str | None:
    if not bpy.data.filepath or not Path(bpy.data.filepath).is_file():
        return None
    while storm.flipped:  # only a Blender that knew the file before notices a change in the middle
        path = storm.flipped.pop()
        if path.name not in storm.whole and not storm.locked and not path.is_dir():
            path.unlink(missing_ok=True)
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    storm.steps = storm.undone = 0
    pid = session.client.pid
    storm.run(0.1)
    assert session.client.pid in (pid, None), "opening a file started the server"
    session.make_missing()
    return Path(bpy.data.filepath).parent.name


FAULTS: tuple[Deed, ...] = (
    kill_server,
    kill_server,
    stop_server_for_a_while,
    change_servers,
    change_servers,
    change_servers,
    repair_server,
    fill_disk,
    fill_disk,
    free_disk,
    lock_disk,
    remove_folder,
    put_file_in_place_of_folder,
    move_folder_behind_a_link,
    harm_frames,
    harm_frames,
    harm_frames,
    put_folder_in_place_of_frame,
    another_blender_makes_frames,
    replace_checkpoint,
    restore_checkpoint,
    jump_clocks,
)

EDITS: tuple[Deed, ...] = (change_truncation, change_and_key, show_shadow, trim_strip)
"""Each is a step that can be undone."""

OTHER: tuple[Deed, ...] = (
    move_playhead,
    undo,
    redo,
    cancel,
    click_make_frames,
    save,
    save_on_the_small_disk,
    open_again,
)


def do_one(storm: Storm) -> None:
    """Draw a deed, and do it."""
    deed = storm.random.choice(storm.random.choice((FAULTS, FAULTS, EDITS, OTHER)))
    storm.journal.append(deed.__name__)
    said = deed(storm)
    storm.journal[-1] += ": " + (said or "nothing to do")
    if deed in EDITS:
        bpy.ops.ed.undo_push(message=deed.__name__)
        storm.steps += 1
        storm.undone = 0
    time.sleep(storm.random.choice((0.0, 0.0, 0.02)))
