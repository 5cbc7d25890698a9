"""Which scene and strip an operator or panel speaks of."""

from __future__ import annotations

from bpy.types import Context, ImageStrip, Operator, Scene

from ..scene import strip, versions
from ..scene.properties import settings_of


def working_scene(context: Context) -> Scene:
    """The scene whose strips are meant: in the Sequencer the one it shows, elsewhere the window's."""
    area = context.area
    if area is not None and area.type == "SEQUENCE_EDITOR":
        return versions.sequencer_scene(context)
    return context.scene


def current_strip(context: Context) -> ImageStrip | None:
    """The latent strip that is meant, None if there is none."""
    return strip.active_latent_strip(working_scene(context))


def the_strip(context: Context) -> ImageStrip:
    """The latent strip that is meant, where `poll` has seen that there is one."""
    found = current_strip(context)
    assert found is not None
    return found


class StripOperator(Operator):
    """An operator on the current latent strip. any_generator: also on one whose file tells wild things of it."""

    any_generator = False

    @classmethod
    def poll(cls, context: Context) -> bool:
        return poll_strip(cls, context, cls.any_generator)


def poll_strip(operator: type[Operator], context: Context, any_generator: bool) -> bool:
    """Whether there is a strip to work on; the operator tells why not."""
    found = current_strip(context)
    doubt = "" if found is None or any_generator else settings_of(found).doubt()
    if found is None or doubt:
        operator.poll_message_set(doubt or "Select a latent strip in the Sequencer, or add one")
        return False
    return True
