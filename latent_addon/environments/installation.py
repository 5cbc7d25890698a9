"""Look at, plan, make, repair and remove the private environment of the inference server."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from . import planning
from .attempt import PATIENCE, Attempt
from .builds import Build
from .checking import run_check
from .children import Children, Stopped
from .failures import Failed, forbidden
from .locks import Busy, held
from .pythons import Python
from .record import LOCK, LOG, RECORD, Record, leftovers
from .standing import ALLOW_LONG_PATHS, is_too_long, read_standing, short_enough
from .states import Checked, SetupPlan, SetupState, SetupStatus

__all__ = ["Build", "Checked", "Python", "Setup", "SetupPlan", "SetupState", "SetupStatus"]

LOG_LINES = 1000


class Setup:
    """The private environment in `folder`. No method waits or starts a process, unless its docstring says so.

    folder: holds the environment and the files that belong to it; made by `start`, never before.
    server_root: the folder that holds `inference_server`, with its pins in `inference_server/requirements`.
    blender_python: Blender's own interpreter, the last choice to make the environment from; None excludes it.
    """

    def __init__(self, folder: Path, server_root: Path, blender_python: Path | None = None):
        self.folder = short_enough(folder)
        """Where the environment is: not always in the folder that was asked for, see `short_enough`."""
        self.server_root = server_root
        self.blender_python = blender_python
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        """The newest lines of the set-up's log; also kept in `log_file`."""
        self._lock = threading.Lock()
        self._standing = SetupStatus(SetupState.NOT_SET_UP)
        self._problem = ""
        """Why the last set-up here has failed; shown until there is a different environment, or a new attempt."""
        self._problem_beside: Record | None = None
        self._attempt: Attempt | None = None
        self._removing = False
        self._plan: SetupPlan | None = None
        self._checked: Checked | None = None
        self._trial: Children | None = None
        self._threads: dict[str, threading.Thread] = {}

    @property
    def log_file(self) -> Path:
        """The log file of the last set-up; it does not exist before the first set-up."""
        return self.folder / LOG

    @property
    def status(self) -> SetupStatus:
        """The state as of the last `look`, or of the set-up that runs. Any thread may ask."""
        with self._lock:
            attempt, standing = self._attempt, self._standing
            if self._removing:
                return SetupStatus(SetupState.REMOVING, doing="Removing the environment", free=standing.free)
        if attempt is None:
            return standing
        progress = attempt.progress
        return SetupStatus(
            SetupState.INSTALLING,
            step=max(progress.step, 1),
            steps=len(progress.steps),
            doing=progress.doing or progress.steps[0].doing,
            detail=progress.detail,
            fraction=progress.fraction,
            base=str(attempt.python),
            build=attempt.plan.build.name,
            free=standing.free,
        )

    @property
    def busy(self) -> bool:
        """Whether a set-up or a removal runs in this process."""
        with self._lock:
            return self._attempt is not None or self._removing

    def look(self) -> SetupStatus:
        """Read the disk again (milliseconds) and return the status. Does nothing while `busy`."""
        if not self.busy:
            if not self.log:
                self._recall_log()
            standing = self._read()
            with self._lock:
                self._standing = standing
        return self.status

    def builds(self) -> Sequence[Build]:
        """Return the builds that the user can choose on this kind of machine; the first is for processors alone."""
        return planning.build_choices()

    def plan(self, build: str = "", wheels: Path | None = None, python: Path | None = None) -> SetupPlan:
        """Return what `start` would do. Runs the Pythons of this machine and the driver's tool: may take seconds.

        build: the key of a build, "" chooses the one that fits the machine. wheels: a folder to install from, instead
        of the network. python: the one to make the environment from, None to search for one.
        """
        plan = planning.make_plan(self.folder, self.server_root, self.blender_python, build, wheels, python)
        if not plan.problem and is_too_long(self.folder):
            plan = replace(plan, problem=f"The path {self.folder} is too long for Windows. {ALLOW_LONG_PATHS}")
        return plan

    def begin_planning(self, build: str = "", wheels: Path | None = None, python: Path | None = None) -> None:
        """Do the same as `plan` in a thread; `planned` has the result. A newer call replaces an older one."""

        def work() -> None:
            plan = self.plan(build, wheels, python)
            with self._lock:
                if self._threads.get("planning") is threading.current_thread():
                    self._plan = plan

        with self._lock:
            self._plan = None
        self._begin("planning", work)

    @property
    def planning(self) -> bool:
        """Whether a plan is being made."""
        return self._runs("planning")

    @property
    def planned(self) -> SetupPlan | None:
        """The newest plan; None as long as there is none."""
        with self._lock:
            return self._plan

    def start(self, plan: SetupPlan) -> None:
        """Make the environment in a thread; `status` shows the progress. An old one stays until the new one is ready.

        Repairing and setting up again are the same. Raises ValueError if the plan has a problem or if `busy`.
        """
        if plan.problem or plan.python is None:
            raise ValueError(plan.problem or planning.NO_PYTHON)
        attempt = Attempt(self.folder, self.server_root, plan, self.log.append)
        with self._lock:
            if self._attempt is not None or self._removing:
                raise ValueError("A set-up is running already.")
            self._attempt = attempt
            self._problem = ""
        self.log.clear()
        self._begin("making", lambda: self._make(attempt))

    def cancel(self) -> None:
        """Stop the set-up and delete what it has made; an environment from before stays. Does not wait."""
        with self._lock:
            attempt = self._attempt
        if attempt is not None:
            attempt.children.stop()

    def remove(self) -> None:
        """Delete the environment and everything that belongs to it, in a thread. Raises ValueError if `busy`."""
        with self._lock:
            if self._attempt is not None or self._removing:
                raise ValueError("A set-up is running already.")
            self._removing = True
            self._problem = ""
        self._begin("making", self._remove)

    def _make(self, attempt: Attempt) -> None:
        problem = ""
        try:
            attempt.run()
        except Failed as failed:
            problem = str(failed)
        except (Stopped, Busy):
            pass  # The status shows another Blender as long as it is busy.
        except Exception as error:  # a thread's error would be lost, and the set-up would never end
            problem = f"The set-up failed: {type(error).__name__}: {error}"
            raise
        finally:
            self._settle(problem)

    def _remove(self) -> None:
        problem = ""
        try:
            problem = self._delete()
        finally:
            self._settle(problem)

    def _delete(self) -> str:
        """Delete the add-on's files in the folder, the record first; return why some are left, "" if none is."""
        if not self.folder.exists():
            return ""
        try:
            with held(self.folder / LOCK, PATIENCE):
                (self.folder / RECORD).unlink(missing_ok=True)
                for path in leftovers(self.folder, None):
                    shutil.rmtree(path, ignore_errors=True)
                self.log_file.unlink(missing_ok=True)
        except Busy:
            return ""  # The status shows the other Blender as long as it is busy.
        except OSError as error:
            return forbidden(error.filename or self.folder)
        if leftovers(self.folder, None):
            return f"Some files in {self.folder} are still in use. Close other Blenders, then press Remove again."
        with contextlib.suppress(OSError):
            (self.folder / LOCK).unlink()
            self.folder.rmdir()  # only if it is empty: files that others have put there stay
        return ""

    def _settle(self, problem: str) -> None:
        _, self._problem_beside = read_standing(self.folder, self.server_root)
        self._problem = problem
        standing = self._read()
        # All at once: else another thread could see the old state, as if the set-up had made nothing.
        with self._lock:
            self._standing = standing
            self._attempt = None
            self._removing = False

    def _read(self) -> SetupStatus:
        standing, record = read_standing(self.folder, self.server_root)
        if standing.elsewhere or not self._problem:
            return standing
        if record != self._problem_beside:
            self._problem = ""
            return standing
        return replace(standing, message=self._problem)

    def check(self, python: Path) -> None:
        """Run `python -m inference_server check` with the user's own Python in a thread; `checked` has the result."""
        trial = Children()

        def work() -> None:
            try:
                checked = run_check(trial, python, self.server_root, lambda line: None)
            except Stopped:
                return
            with self._lock:
                if self._trial is trial:
                    self._checked = checked

        with self._lock:
            before, self._trial, self._checked = self._trial, trial, None
        if before is not None:
            before.stop()
        self._begin("checking", work)

    @property
    def checking(self) -> bool:
        """Whether a Python is being checked."""
        return self._runs("checking")

    @property
    def checked(self) -> Checked | None:
        """The result of the newest check; None as long as there is none."""
        with self._lock:
            return self._checked

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the threads; return whether all have ended. For tests, background Blender and dev.py."""
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in threads)

    def close(self) -> None:
        """End the children at once, because Blender is closing; the next set-up deletes what is half made."""
        with self._lock:
            attempt, trial = self._attempt, self._trial
            self._plan = None
            self._threads.pop("planning", None)
        if attempt is not None:
            attempt.keep_unfinished = True
            attempt.children.stop()
        if trial is not None:
            trial.stop()

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=f"lantern-{name}", daemon=True)
        with self._lock:
            self._threads[name] = thread
            thread.start()

    def _runs(self, name: str) -> bool:
        with self._lock:
            thread = self._threads.get(name)
        return thread is not None and thread.is_alive()

    def _recall_log(self) -> None:
        """Read the log of a set-up that ran before this Blender was started."""
        with contextlib.suppress(OSError), self.log_file.open(encoding="utf-8", errors="replace") as file:
            self.log.extend(line.rstrip("\n") for line in file)
