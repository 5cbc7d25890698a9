"""The choices in the training panel: which pictures, how long. Kept in the scene; used when a button is pressed.

The list of data sets and trainings in the training folder belongs to the window manager, and is never read from a file.
"""

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)
from bpy.types import PropertyGroup, Scene, WindowManager

from ..jobs.commands import LARGEST, PLAIN_SIZES, SMALLEST, STEP

OTHER_SIZE = "OTHER"


# Blender reads the annotations as objects: no `from __future__ import annotations` in this file.
class TrainingForm(PropertyGroup):
    """The choices for making a data set and for starting a training."""

    source: EnumProperty(
        name="Source",
        description="Where the pictures come from",
        items=[
            ("FILM", "Film", "Frames of a film"),
            ("FOLDER", "Folder", "The pictures in a folder and in the folders inside it"),
            (
                "STRIP",
                "Selected Strip",
                "Frames of the selected image strip, or film of the selected movie strip",
            ),
        ],
    )
    film: StringProperty(name="Film", description="Film whose frames are taken", subtype="FILE_PATH")
    pictures: StringProperty(name="Folder", description="Folder of pictures", subtype="DIR_PATH")
    every: IntProperty(
        name="Every",
        description="Use one frame out of this many. Neighbouring frames are very similar, and frames that are nearly "
        "equal are left out in any case",
        default=4,
        min=1,
        soft_max=100,
    )
    size: EnumProperty(
        name="Size",
        description="Side of the pictures in pixels. Twice the side takes about four times as long to train",
        items=[
            *((str(side), f"{side} x {side}", f"Pictures of {side} x {side} pixels") for side in PLAIN_SIZES),
            (OTHER_SIZE, "Other", "Another size, which need not be square"),
        ],
        default="256",
    )
    width: IntProperty(
        name="Width",
        description="Width of the pictures in pixels; a multiple of 32",
        default=512,
        min=SMALLEST,
        max=LARGEST,
        step=STEP,
        subtype="PIXEL",
    )
    height: IntProperty(
        name="Height",
        description="Height of the pictures in pixels; a multiple of 32",
        default=256,
        min=SMALLEST,
        max=LARGEST,
        step=STEP,
        subtype="PIXEL",
    )
    crop: EnumProperty(
        name="Crop",
        description="Which part of each picture is taken",
        items=[
            ("centre", "Centre", "The middle, as large as it fits"),
            ("smart", "Smart", "The part where there is most to see"),
            ("fit", "Whole Picture", "The whole picture, on a plain ground if its shape is different"),
        ],
    )
    ground: FloatVectorProperty(
        name="Ground",
        description="Colour behind transparent parts, behind figures that are cut out, and next to a whole picture",
        subtype="COLOR_GAMMA",
        min=0.0,
        max=1.0,
    )
    use_key: BoolProperty(
        name="Cut Out Figures", description="Make the colour of a screen behind the figures transparent (chroma key)"
    )
    key: FloatVectorProperty(
        name="Screen",
        description="Colour of the screen behind the figures",
        subtype="COLOR_GAMMA",
        default=(0.0, 1.0, 0.0),
        min=0.0,
        max=1.0,
    )
    trim: BoolProperty(name="Trim", description="Cut each picture to its figure, without the transparent part round it")
    mirror: BoolProperty(
        name="Mirror",
        description="Show each picture mirrored too: twice as many pictures, but left and right lose their meaning",
    )
    data_set_name: StringProperty(name="Name", description="Name of the data set; if empty, the name of its source")

    data_set: StringProperty(
        name="Data Set", description="Folder of the data set to train on; empty for the newest one", subtype="DIR_PATH"
    )
    kind: EnumProperty(
        name="Kind",
        description="What kind of generator is trained",
        items=[
            ("AUTO", "Automatic", "Light on a processor, StyleGAN2 on a graphics card", "NONE", 2),
            (
                "glu",
                "Light",
                "Learns fastest: good pictures within minutes, and smooth ways between latents",
                "NONE",
                3,
            ),
            ("stylegan2", "StyleGAN2", "The best pictures after days of training on a graphics card", "NONE", 0),
            ("dcgan", "DCGAN", "Small and quick, rougher pictures", "NONE", 1),
        ],
        default="AUTO",
    )
    start: EnumProperty(
        name="Start From",
        description="What the training begins with",
        items=[
            ("NOTHING", "Nothing", "Learn from the pictures alone"),
            (
                "STRIP",
                "Strip's Generator",
                "Continue from the selected strip's generator: its style drifts to the new pictures",
            ),
            ("FILE", "File", "Continue from a checkpoint file"),
        ],
    )
    start_file: StringProperty(
        name="Checkpoint", description="Checkpoint that the training begins with", subtype="FILE_PATH"
    )
    hours: FloatProperty(
        name="Hours",
        description="About how long to train. You can stop it and continue it at any time",
        default=4.0,
        min=0.02,
        soft_max=72.0,
        step=50,
        precision=2,
    )
    run_name: StringProperty(name="Name", description="Name of the generator; if empty, the name of the data set")

    def picture_size(self) -> tuple[int, int]:
        """Return the width and height of the pictures in pixels."""
        return (self.width, self.height) if self.size == OTHER_SIZE else (int(self.size), int(self.size))


class TrainingRow(PropertyGroup):
    """One training of the list. `name` comes from PropertyGroup."""

    folder: StringProperty()


class TrainingRows(PropertyGroup):
    """The rows of the list, and the chosen one."""

    rows: CollectionProperty(type=TrainingRow)
    chosen: IntProperty(name="Training", description="The training that is shown", min=0)


def training_form(scene: Scene) -> TrainingForm:
    """Return the scene's form."""
    return scene.latent_lantern_training  # pyright: ignore[reportAttributeAccessIssue]


def training_rows() -> TrainingRows:
    """Return the list of the open window manager."""
    return bpy.context.window_manager.latent_lantern_trainings


def register() -> None:
    """Attach the form to scenes and the list to the window manager."""
    Scene.latent_lantern_training = PointerProperty(type=TrainingForm)  # pyright: ignore[reportAttributeAccessIssue]
    rows = PointerProperty(type=TrainingRows)
    WindowManager.latent_lantern_trainings = rows  # pyright: ignore[reportAttributeAccessIssue]


def unregister() -> None:
    """Remove both again."""
    del WindowManager.latent_lantern_trainings  # pyright: ignore[reportAttributeAccessIssue]
    del Scene.latent_lantern_training  # pyright: ignore[reportAttributeAccessIssue]
