"""Where the frames of the open file lie, and how they come along when it is saved."""

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
    """The folder that the preference `setting` means for the file as it is saved now."""
    if setting.startswith("//") and not bpy.data.filepath:
        path = Path(bpy.app.tempdir, "latent_lantern", "frames")
        return FrameFolder(_slashed(str(path)), path)
    return FrameFolder(_slashed(setting), Path(bpy.path.abspath(setting)))


def frame_folder_for(setting: str, blend: str) -> FrameFolder:
    """The folder that `setting` will mean once the file is saved as `blend`, while it is not yet.

    Blender rebases relative paths from the old file's folder to the new one's while it saves; the directory given here
    is the one that comes out right after that.
    """
    if not setting.startswith("//"):
        return frame_folder(setting)
    path = Path(os.path.dirname(blend), *setting[2:].split("/"))
    if not bpy.data.filepath:
        return FrameFolder(_slashed(setting), path)
    return FrameFolder(_slashed(bpy.path.relpath(str(path))), path)


def _slashed(directory: str) -> str:
    return directory.replace("\\", "/").rstrip("/") + "/"
