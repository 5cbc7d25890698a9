"""What happens to frames when the file is saved: they come along to where it will lie."""

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
        """The temporary folder that is being saved away from."""

    def before(self, blend: str) -> None:
        """Bring the frames along to where the file is being saved, and let the strips name that place.

        They are linked or copied: whether the file will be saved there is not known yet. At the first save all frames
        come along, and leave the temporary folder once that has gone well; at Save As elsewhere, those in use.
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
                if state.plan is not None:  # else its frames are not known, nor is its size to be believed
                    store.placeholder(*settings_of(image_strip).picture_size())
                if state.plan is not None or first:
                    image_strip.directory = target.directory
        except StoreError as error:
            session.halt(str(error))

    def after(self) -> None:
        """Let the strips name the folder of the open file: after a Save Copy, or a failure, it is not that one."""
        session.find_folder()
        session.plans.name_folder()
        if self._left is not None and bpy.data.filepath:
            self._left.leave_to(session.plans.store)
        self._left = None
        changes.mark()


saving = Saving()
