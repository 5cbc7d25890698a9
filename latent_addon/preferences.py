"""The add-on's preferences: the Python of inference, the disk space of frames, the folders of frames, generators and
trainings."""

import os
import sys
from pathlib import Path

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, IntProperty, StringProperty
from bpy.types import AddonPreferences, Context, PropertyGroup

from .scene import changes

ROOT_PACKAGE = __package__.rpartition(".")[0]
DEFAULT_FOLDER = "//latent_lantern/frames"

AUTOMATIC = "AUTOMATIC"
_BUILDS = (
    ("cpu", "Processors", "Runs on every machine, but slowly"),
    ("cu126", "NVIDIA, CUDA 12.6", "For NVIDIA cards, older ones and older drivers too"),
    ("cu130", "NVIDIA, CUDA 13.0", "For NVIDIA cards with a driver of 2025 or later"),
    ("rocm", "AMD, ROCm", "For AMD cards under Linux"),
    ("mps", "Apple, Metal", "For Macs with Apple's own processors"),
)
_BUILDS_OF_SYSTEM = {"darwin": {"mps"}, "win32": {"cpu", "cu126", "cu130"}}
BUILDS = (
    (AUTOMATIC, "Automatic", "What fits this machine best", 0),
    *(
        (key, name, description, number)
        for number, (key, name, description) in enumerate(_BUILDS, 1)
        if key in _BUILDS_OF_SYSTEM.get(sys.platform, {"cpu", "cu126", "cu130", "rocm"})
    ),
)
"""The builds of PyTorch that can be chosen on this operating system; see `environments.builds`."""

DEFAULT_TRAINING_FOLDER = os.path.join(os.path.expanduser("~"), "Latent Lantern")
"""Not in the Documents folder, which is often copied to a cloud: trainings take gigabytes."""


def _changed(_self: AddonPreferences, _context: Context) -> None:
    changes.mark()


# Blender reads the annotations as objects: no `from __future__ import annotations` in this file.
class LibraryFolder(PropertyGroup):
    """A folder in which generators are looked for."""

    path: StringProperty(
        name="Folder",
        description="Folder in which generators are looked for, when Look for Generators is pressed",
        subtype="DIR_PATH",
    )


class PreferencesProperties:
    """The properties of the preferences. `setup.preferences_panel` has the class that Blender gets."""

    server_python: StringProperty(
        name="Own Python",
        description="A Python 3.11 or later that has torch, numpy, safetensors, pillow and scipy, to use instead of "
        "what Set Up Inference installs. Empty: use what Set Up Inference installs",
        subtype="FILE_PATH",
    )
    setup_build: EnumProperty(
        name="PyTorch",
        description="Which PyTorch to install",
        items=BUILDS,
    )
    setup_python: StringProperty(
        name="Made From",
        description="The Python, 3.11 to 3.14, that the folder of inference is made from. Empty: the best one that "
        "is found on this machine, else Blender's own",
        subtype="FILE_PATH",
    )
    wheels_folder: StringProperty(
        name="Folder of Wheels",
        description="Install from the wheels in this folder, without a network. Empty: download them",
        subtype="DIR_PATH",
    )
    show_choices: BoolProperty(name="Choices", description="Show what can be chosen before setting up")
    show_setup_log: BoolProperty(name="Log", description="Show what the set-up has printed last")
    frame_folder: StringProperty(
        name="Frame Folder",
        description="Where frames are kept. // is the folder of the .blend. Until it is first saved, "
        "frames are in a temporary folder; they move when you save",
        default=DEFAULT_FOLDER,
        subtype="DIR_PATH",
        options={"PATH_SUPPORTS_BLEND_RELATIVE"},
        update=_changed,
    )
    budget: IntProperty(
        name="Frame Budget (GB)",
        description="If frames take more than this, the oldest that no strip of the open file shows are deleted",
        default=20,
        min=1,
        soft_max=500,
    )
    make_automatically: BoolProperty(
        name="Make Frames Automatically",
        description="Make missing frames when keys or settings change, after the Lantern was used in the open file",
        default=True,
    )

    library_folders: CollectionProperty(type=LibraryFolder)

    training_folder: StringProperty(
        name="Training Folder",
        description="Where data sets and trainings are kept, and found again. It is made when it is first needed",
        default=DEFAULT_TRAINING_FOLDER,
        subtype="DIR_PATH",
    )
    keep_training: BoolProperty(
        name="Keep Training When Blender Closes",
        description="Let data sets and trainings that were started here continue without Blender; the next Blender "
        "finds them again. Otherwise they stop when Blender closes, and save what they have",
        default=True,
    )

    def library_paths(self) -> list[str]:
        """Return the folders in which generators are looked for, as absolute paths."""
        return [bpy.path.abspath(folder.path) for folder in self.library_folders if folder.path]

    def training_path(self) -> Path:
        """Return the folder of data sets and trainings, as an absolute path; it may not exist yet."""
        return Path(os.path.abspath(bpy.path.abspath(self.training_folder or DEFAULT_TRAINING_FOLDER)))


def preferences() -> PreferencesProperties:
    """Return the add-on's preferences."""
    return bpy.context.preferences.addons[ROOT_PACKAGE].preferences
