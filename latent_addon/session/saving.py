"""Brings frames along when the file is saved: to the frame folder of the place where it is saved."""

from __future__ import annotations

import bpy

from ..core.frame_store import FrameStore, StoreError
from ..preferences import preferences
from ..scene import changes
from ..scene.frame_folder import frame_folder_for
from ..scene.properties import settings_of
from .session import session


class Saving:
    """One for each Blender; Blender calls `before` and `after` each time that the file is saved."""

    def __init__(self) -> None:
        self._left: FrameStore | None = None
        """The store of the temporary folder, during the first save; else None."""

    def before(self, blend: str) -> None:
        """Bring frames to the frame folder of the place where the file is being saved, and let the strips name it.

        Frames are linked or copied, because it is not known yet whether the save will succeed. At the first save, all
        frames are brought, and after the save they are deleted from the temporary folder. At Save As to a different
        place, only the frames in use are brought.
        """
        self._left = None
        session.showing.show_arrived(at_once=True)
        plans = session.plans
        if not blend or not plans.all():
            return
        target = frame_folder_for(preferences().frame_folder, blend)
        if target.path == plans.folder.path:
            return
        first = not bpy.data.filepath
        store = FrameStore(target.path)
        try:
            names = plans.store.names()  # without those that were found damaged
            if not first:
                names = names & session.files_in_use()
            store.adopt(plans.folder.path, names)
            if first:
                self._left = plans.store
            for _scene, image_strip, state in plans.strips():
                if state.plan is not None:  # else its frames are unknown, and its size is not trusted
                    store.placeholder(*settings_of(image_strip).picture_size())
                if state.plan is not None or first:
                    image_strip.directory = target.directory
        except StoreError as error:
            session.halt(str(error))

    def after(self) -> None:
        """Let strips name the open file's folder; after Save Copy or a failure, `before` has set a different one."""
        session.find_folder()
        session.plans.name_folder()
        if self._left is not None and bpy.data.filepath:
            self._left.leave_to(session.plans.store)
        self._left = None
        changes.mark()


saving = Saving()
