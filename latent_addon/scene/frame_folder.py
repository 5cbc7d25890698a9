"""Find the folder of the open file's frames, also for a file that is being saved to a new place."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import bpy


@dataclass(frozen=True, slots=True)
class FrameFolder:
    """A folder of frames: `directory` as strips hold it, ending in a slash, and `path` on disk."""

    directory: str
    path: Path


def frame_folder(setting: str) -> FrameFolder:
    """Return the folder that the preference `setting` means for the open file, at the place where it is saved now.

    For a file that is not saved yet, a relative setting means a folder in Blender's temporary folder.
    """
    if setting.startswith("//") and not bpy.data.filepath:
        path = Path(bpy.app.tempdir, "latent_lantern", "frames")
        return FrameFolder(_slashed(str(path)), path)
    return FrameFolder(_slashed(setting), Path(bpy.path.abspath(setting)))


def frame_folder_for(setting: str, blend: str) -> FrameFolder:
    """Return the folder that `setting` will mean when the file has been saved as `blend`, before it is saved.

    While it saves, Blender rewrites relative paths from the old file's folder to the new file's folder. The directory
    returned here is the one that is right after that.
    """
    if not setting.startswith("//"):
        return frame_folder(setting)
    path = Path(os.path.dirname(blend), *setting[2:].split("/"))
    if not bpy.data.filepath:
        return FrameFolder(_slashed(setting), path)
    return FrameFolder(_slashed(bpy.path.relpath(str(path))), path)


def _slashed(directory: str) -> str:
    return directory.replace("\\", "/").rstrip("/") + "/"
