"""Operators on the current latent strip, and when they are enabled."""

from __future__ import annotations

from bpy.types import Context, Operator

from ..scene.context import current_strip, why_not_editable, working_scene
from ..scene.properties import settings_of


class StripOperator(Operator):
    """An operator on the current latent strip.

    any_generator: whether it also works on a strip whose file gives numbers that no generator can have.
    """

    any_generator = False

    @classmethod
    def poll(cls, context: Context) -> bool:
        return poll_strip(cls, context, cls.any_generator)


def poll_scene(operator: type[Operator], context: Context) -> bool:
    """Return whether the working scene can be edited; if not, set the message that the disabled button shows."""
    hindrance = why_not_editable(working_scene(context))
    if hindrance:
        operator.poll_message_set(hindrance)
    return not hindrance


def poll_strip(operator: type[Operator], context: Context, any_generator: bool) -> bool:
    """Return whether there is a strip to work on; if not, set the message that the disabled button shows."""
    found = current_strip(context)
    if found is None:
        operator.poll_message_set("Select a latent strip in the Sequencer, or add one")
        return False
    doubt = "" if any_generator else settings_of(found).doubt()
    if doubt:
        operator.poll_message_set(doubt)
        return False
    return poll_scene(operator, context)
