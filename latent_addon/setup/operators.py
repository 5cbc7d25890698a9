"""Operators of Set Up Inference: plan, install, repair, remove; or use the user's own Python."""

import bpy
from bpy.props import StringProperty
from bpy.types import Context, Event, Operator
from bpy_extras.io_utils import ImportHelper

from ..environments.installation import SetupState
from ..preferences import preferences
from ..server.launch import python_of_folder
from ..session.runtime import runtime
from ..session.session import session
from .reloading import reload_soon

TIMEOUT = 4 * 3600.0
"""Seconds that operators without a window wait for a set-up; over a slow connection, gigabytes take hours."""


class SetUpOperator(Operator):
    """An operator that changes the private environment. Nothing may use the environment meanwhile."""

    @classmethod
    def poll(cls, _context: Context) -> bool:
        if runtime.own:
            cls.poll_message_set("Your own Python is used. Clear it first")
        elif runtime.changing:
            cls.poll_message_set("It is being changed already")
        elif any(user.working for user in runtime.users):
            cls.poll_message_set("A training uses it. Stop the training first")
        else:
            return True
        return False

    def _unused(self) -> bool:
        """End the server and return True. If a job is running, maybe of another Blender, report it, return False."""
        folder = next(filter(None, (user.at_work() for user in runtime.users)), None)
        if folder is not None:
            self.report(
                {"ERROR"}, f"A job is running in {folder}, and may need what would be replaced. Stop the job first."
            )
            return False
        session.leave_python()
        return True

    def _finish(self) -> set[str]:
        """Wait for the set-up to end, in Blender without a window, and report how it ended."""
        done = runtime.wait(TIMEOUT, print)
        session.inference_changed()
        status = runtime.status
        if not done:
            runtime.cancel()
            self.report({"ERROR"}, "The set-up takes too long and was cancelled.")
        elif status.state is not SetupState.READY:
            self.report({"ERROR"}, status.message or runtime.problem)
        elif status.message:
            self.report({"ERROR"}, status.message)
        else:
            self.report({"INFO"}, f"Inference is ready: {status.device}, PyTorch {status.torch}")
            return {"FINISHED"}
        return {"CANCELLED"}


class LANTERN_OT_set_up_inference(SetUpOperator):
    """Find out what has to be installed to make frames on this machine, and ask before anything is downloaded"""

    bl_idname = "lantern.set_up_inference"
    bl_label = "Set Up Inference"

    def invoke(self, _context: Context, _event: Event) -> set[str]:
        runtime.ask()
        return {"FINISHED"}

    def execute(self, _context: Context) -> set[str]:
        runtime.ask()
        runtime.wait(TIMEOUT)
        if runtime.hindrance:
            self.report({"ERROR"}, runtime.hindrance)
            runtime.cancel()
            return {"CANCELLED"}
        if not self._unused():
            runtime.cancel()
            return {"CANCELLED"}
        runtime.install()
        return self._finish()


class LANTERN_OT_install_inference(SetUpOperator):
    """Install what is shown above. You can continue to work meanwhile, and you can cancel"""

    bl_idname = "lantern.install_inference"
    bl_label = "Install"

    @classmethod
    def poll(cls, context: Context) -> bool:
        if not super().poll(context):
            return False
        if runtime.hindrance:
            cls.poll_message_set(runtime.hindrance.rstrip("."))
            return False
        return True

    def invoke(self, _context: Context, _event: Event | None) -> set[str]:
        if not self._unused():
            return {"CANCELLED"}
        runtime.install()
        return {"FINISHED"}

    def execute(self, context: Context) -> set[str]:
        return self._finish() if self.invoke(context, None) == {"FINISHED"} else {"CANCELLED"}


class LANTERN_OT_cancel_set_up(Operator):
    """Stop, and remove what was begun. What was ready before stays"""

    bl_idname = "lantern.cancel_set_up"
    bl_label = "Cancel Set-Up"

    @classmethod
    def poll(cls, _context: Context) -> bool:
        status = runtime.status
        if runtime.planning or runtime.plan or (status.state is SetupState.INSTALLING and not status.elsewhere):
            return True
        cls.poll_message_set("Nothing is being set up here")
        return False

    def execute(self, _context: Context) -> set[str]:
        runtime.cancel()
        return {"FINISHED"}


class LANTERN_OT_remove_inference(SetUpOperator):
    """Delete what Set Up Inference has installed. Frames, generators and trainings stay"""

    bl_idname = "lantern.remove_inference"
    bl_label = "Remove"

    @classmethod
    def poll(cls, context: Context) -> bool:
        if not super().poll(context):
            return False
        status = runtime.status
        if status.state is SetupState.NOT_SET_UP and not status.leftovers:
            cls.poll_message_set("Nothing is set up")
            return False
        return True

    def invoke(self, context: Context, event: Event) -> set[str]:
        return context.window_manager.invoke_confirm(
            self,
            event,
            title="Remove what Set Up Inference has installed?",
            message="Frames, generators and trainings stay.",
            confirm_text="Remove",
        )

    def execute(self, _context: Context) -> set[str]:
        if not self._unused():
            return {"CANCELLED"}
        runtime.remove()
        if bpy.app.background:
            runtime.wait(TIMEOUT)
            if runtime.status.state is not SetupState.NOT_SET_UP:
                self.report({"ERROR"}, runtime.status.message or runtime.problem)
                return {"CANCELLED"}
        return {"FINISHED"}


class LANTERN_OT_reload_extension(Operator):
    """Load the add-on again: another Blender has installed a different version. Your preferences and strips stay"""

    bl_idname = "lantern.reload_extension"
    bl_label = "Repair"

    def execute(self, _context: Context) -> set[str]:
        reload_soon()
        return {"FINISHED"}


class LANTERN_OT_copy_set_up_log(Operator):
    """Copy what the set-up has printed to the clipboard"""

    bl_idname = "lantern.copy_set_up_log"
    bl_label = "Copy Log"

    def execute(self, context: Context) -> set[str]:
        log = list(runtime.setup.log)
        context.window_manager.clipboard = "\n".join(log)
        self.report({"INFO"}, f"{len(log)} lines copied")
        return {"FINISHED"}


class LANTERN_OT_show_network_settings(Operator):
    """Show the preference that allows Blender to go online"""

    bl_idname = "lantern.show_network_settings"
    bl_label = "Network Settings"

    @classmethod
    def poll(cls, _context: Context) -> bool:
        if bpy.app.online_access_override and not bpy.app.online_access:
            cls.poll_message_set("Blender was started with --offline-mode. Start it again without that option")
            return False
        return True

    def execute(self, _context: Context) -> set[str]:
        return set(bpy.ops.screen.userpref_show("INVOKE_DEFAULT", section="SYSTEM"))


class TryingOperator(Operator):
    """An operator that tries the user's own Python."""

    def _try(self) -> set[str]:
        problem = runtime.problem
        if not problem:
            runtime.check_own()
            if not bpy.app.background:
                return {"FINISHED"}
            runtime.wait(TIMEOUT)
            problem = runtime.checked.problem if runtime.checked else "The Python was not tried."
        if problem:
            self.report({"ERROR"}, problem)
            return {"CANCELLED"}
        checked = runtime.checked
        self.report(
            {"INFO"}, f"It can be used: {checked.device_name}, PyTorch {checked.torch}, Python {checked.version}"
        )
        session.inference_changed()
        return {"FINISHED"}


class LANTERN_OT_use_own_python(TryingOperator, ImportHelper):
    """Choose a Python that has torch, or its environment's folder, instead of Set Up Inference. It is tried at once"""

    bl_idname = "lantern.use_own_python"
    bl_label = "Use My Own Python"

    filter_glob: StringProperty(default="*", options={"HIDDEN"})

    @classmethod
    def poll(cls, _context: Context) -> bool:
        if runtime.changing:
            cls.poll_message_set("Inference is being set up. Cancel that first")
            return False
        return True

    def execute(self, context: Context) -> set[str]:
        chosen = self.filepath  # pyright: ignore[reportAttributeAccessIssue]
        session.leave_python()
        preferences().server_python = python_of_folder(chosen) or chosen
        context.preferences.is_dirty = True
        return self._try()


class LANTERN_OT_try_own_python(TryingOperator):
    """Run your own Python to find out its versions, its device, and whether it can make a picture"""

    bl_idname = "lantern.try_own_python"
    bl_label = "Try It"

    @classmethod
    def poll(cls, _context: Context) -> bool:
        if not runtime.own:
            cls.poll_message_set("No Python of your own is chosen")
            return False
        if runtime.checking:
            cls.poll_message_set("It is being tried")
            return False
        return True

    def execute(self, _context: Context) -> set[str]:
        return self._try()


class LANTERN_OT_stop_using_own_python(Operator):
    """Go back to what Set Up Inference installs"""

    bl_idname = "lantern.stop_using_own_python"
    bl_label = "Stop Using My Own Python"

    def execute(self, context: Context) -> set[str]:
        session.leave_python()
        preferences().server_python = ""
        context.preferences.is_dirty = True
        return {"FINISHED"}


BLENDER_CLASSES = (
    LANTERN_OT_set_up_inference,
    LANTERN_OT_install_inference,
    LANTERN_OT_cancel_set_up,
    LANTERN_OT_remove_inference,
    LANTERN_OT_reload_extension,
    LANTERN_OT_copy_set_up_log,
    LANTERN_OT_show_network_settings,
    LANTERN_OT_use_own_python,
    LANTERN_OT_try_own_python,
    LANTERN_OT_stop_using_own_python,
)
