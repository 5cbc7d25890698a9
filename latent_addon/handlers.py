"""Where Blender calls the session: the timer, and what happens to the file, its frames and its renders."""

from __future__ import annotations

import logging
from typing import Any

import bpy
from bpy.app.handlers import persistent

from .library.library import library
from .scene import changes, drawing, evaluation
from .session.runtime import runtime
from .session.saving import saving
from .session.session import session
from .training.training import training

logger = logging.getLogger(__name__)

_AT_ONCE = 0.005
_SOON = 0.04
_LATER = 0.1

_WENT_WRONG = "Something in the Lantern itself went wrong. Its log, in the Server panel, has the details."


def timer() -> float:
    """Let the session, the trainings and the runtime work for a moment; return the seconds until the next time."""
    for work, say in (
        (session.tick, session.halt),
        (training.tick, training.fail),
        (_tick_runtime, _give_runtime_up),
    ):
        try:
            work()
        except Exception:
            # Blender removes a timer that raises, and the Lantern would stand still until a restart.
            logger.exception("the work of the timer failed")
            say(_WENT_WRONG)
    return _AT_ONCE if session.plans.behind else _SOON if session.working else _LATER


def _tick_runtime() -> None:
    if runtime.tick():
        session.inference_changed()
        training.inference_changed()


def _give_runtime_up(_reason: str) -> None:
    runtime.close()


@persistent
def on_depsgraph_update(_scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    """An edit: only Actions and Scenes hold what frames depend on, unless drivers or NLA take part."""
    if evaluation.sweeping:
        return
    if depsgraph.id_type_updated("ACTION"):
        changes.mark()
    elif session.plans.swept or depsgraph.id_type_updated("SCENE"):
        changes.hint()


@persistent
def on_undo(_scene: bpy.types.Scene, *_: Any) -> None:
    """Plan again, because undo and redo bring back elements as they were then, and files may have changed since."""
    changes.mark()


@persistent
def on_frame_change(scene: bpy.types.Scene, *_: Any) -> None:
    """Let the picture behind the drawing follow the strip."""
    if not evaluation.sweeping:
        drawing.show_background(scene, session.plans.shown_file(scene))


@persistent
def on_load_pre(*_: Any) -> None:
    """Another file is opened."""
    session.forget_file()


@persistent
def on_load_post(*_: Any) -> None:
    """A file was opened: plan it at the next tick, start nothing."""
    changes.mark()
    library.show()  # instead of the list that the file holds
    training.show()


@persistent
def on_save_pre(path: str, *_: Any) -> None:
    """Bring the frames along."""
    saving.before(path)


@persistent
def on_save_post(*_: Any) -> None:
    """The file has its name now, or was not saved after all."""
    saving.after()


@persistent
def on_render_begin(scene: bpy.types.Scene, *_: Any) -> None:
    """Strips must not change under a render."""
    session.begin_render(scene)


@persistent
def on_frame_render(scene: bpy.types.Scene, *_: Any) -> None:
    """A frame that a strip lacks is made, or noted."""
    session.renders.frame_begins(scene)


@persistent
def on_render_end(*_: Any) -> None:
    """Let the session continue."""
    session.end_render()


_HANDLERS = (
    ("depsgraph_update_post", on_depsgraph_update),
    ("undo_post", on_undo),
    ("redo_post", on_undo),
    ("frame_change_post", on_frame_change),
    ("load_pre", on_load_pre),
    ("load_post", on_load_post),
    ("save_pre", on_save_pre),
    ("save_post", on_save_post),
    ("save_post_fail", on_save_post),
    ("render_init", on_render_begin),
    ("render_pre", on_frame_render),
    ("render_complete", on_render_end),
    ("render_cancel", on_render_end),
)


def register() -> None:
    """Attach the handlers and start the timer."""
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)
    bpy.app.timers.register(timer, first_interval=_LATER, persistent=True)


def unregister() -> None:
    """Stop the timer, take the handlers off, end the server and a set-up that runs."""
    if bpy.app.timers.is_registered(timer):
        bpy.app.timers.unregister(timer)
    for name, handler in reversed(_HANDLERS):
        handlers = getattr(bpy.app.handlers, name)
        if handler in handlers:
            handlers.remove(handler)
    session.shut_down()
    runtime.close()
