"""Which scene and strip an operator or panel speaks of."""

from __future__ import annotations

from bpy.types import Context, Operator

from ..scene.context import current_strip
from ..scene.properties import settings_of


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
