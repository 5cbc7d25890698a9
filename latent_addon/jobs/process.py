"""The process of a job. It may outlive Blender; while Blender runs, its end is noticed.

The process does not tell Blender what it does. That is read in its folder, as for a job that another Blender started.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from ..server import sentences
from ..server.process import has_ended
from .found import LOG_FILE, Launch, last_words


class TrainingProcess:
    """A process that works in `folder` and prints to `log`, the folder's log file, opened for appending.

    The caller closes `log`. Raises OSError if the command cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: BinaryIO):
        self.folder = folder
        self._log = folder / LOG_FILE
        self._log_start = log.seek(0, os.SEEK_END)
        # A status file holds the time at which its job wrote it. An older one is not from this process.
        self._since = time.time()
        self._popen = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            # Not the extension's folder: Windows locks the working folder of a running process.
            cwd=tempfile.gettempdir(),
            # Ctrl+C in Blender's terminal, or the end of its session, must not end the job.
            start_new_session=True,
            creationflags=_windows_flags(),
        )

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._popen.poll() is None

    def launch(self) -> Launch:
        """Return the state of the process. Reads the log if the process has ended with an error."""
        code = self._popen.poll()
        if not code:
            return Launch(self._since, code is None)
        said = last_words(self._log, self._log_start)
        return Launch(self._since, False, sentences.job_ended(code, said), spoke=code > 0 and bool(said))

    def terminate(self) -> None:
        """End the process at once. For one that is still starting, and so has nothing to save."""
        if self.alive:
            self._popen.terminate()

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the process to end; return whether it has."""
        return has_ended(self._popen, timeout)


def _windows_flags() -> int:
    # A hidden console, not no console (DETACHED_PROCESS): without one, each of its child processes would open one.
    names = ("CREATE_NO_WINDOW", "CREATE_NEW_PROCESS_GROUP", "BELOW_NORMAL_PRIORITY_CLASS")
    flags = 0
    for name in names:
        flags |= getattr(subprocess, name, 0)
    return flags
