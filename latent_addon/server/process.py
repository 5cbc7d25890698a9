"""One run of the server process: its pipes, the three threads that serve them, and its end.

The threads only move bytes between the pipes and queues; nothing here calls back into the add-on. A run is never
reused: starting the server again makes a new ServerProcess, so what is left in an old run's queues cannot get mixed in.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, cast

from ...lantern_protocol import errors, framing

INBOX_LIMIT = 4096
LOG_LINES = 500
_LOG_LINE_BYTES = 4096


def has_ended(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait up to `timeout` seconds for a process to end; return whether it has."""
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        return False
    return True


class ServerProcess:
    """A running server. Raises OSError if the command cannot be started at all.

    inbox: messages (dict), output that is no message (ProtocolError), and at its end None, once, after the server has
    closed its output. After each item, call `taken()`, so that the reader continues. stderr_lines: the newest lines;
    take them with popleft.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None):
        self._popen = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=None if environment is None else dict(environment),
            # Not the extension's folder: Windows locks the working folder of a running process against an upgrade.
            cwd=tempfile.gettempdir(),
            start_new_session=os.name == "posix",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self.pid = self._popen.pid
        self.inbox: queue.SimpleQueue[dict[str, Any] | errors.ProtocolError | None] = queue.SimpleQueue()
        self.stderr_lines: deque[str] = deque(maxlen=LOG_LINES)
        self.last_line = ""
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._free_places = threading.Semaphore(INBOX_LIMIT)
        self._closing = False
        self._threads = [
            threading.Thread(target=target, name=f"lantern-{name}", daemon=True)
            for name, target in (("stderr", self._read_stderr), ("reader", self._read), ("writer", self._write))
        ]
        for thread in self._threads:
            thread.start()

    def send(self, data: bytes) -> None:
        """Queue bytes for the server's stdin. Never waits, whether the server reads or not."""
        self._outbox.put(data)

    def taken(self) -> None:
        """Tell the reader that one thing has been taken from the inbox."""
        self._free_places.release()

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the process runs."""
        return self._popen.poll()

    def close(self) -> None:
        """Let the server end on its own: its messages are dropped, and its stdin closes after what is queued."""
        self._closing = True
        self._free_places.release()
        self._outbox.put(None)

    def terminate(self) -> None:
        """Ask the process to end now."""
        if self._popen.poll() is None:
            self._popen.terminate()

    def kill(self) -> None:
        """End the process and its children at once. Does not wait; the reader thread collects the exit code."""
        self.close()
        if self._popen.returncode is not None and not self._threads[1].is_alive():
            return  # Everything has ended, and a different process may have this id now.
        if os.name != "posix":
            self._popen.kill()
            return
        # The group may be empty already. If only a zombie is left in it, macOS says "not permitted".
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the process to end; return whether it has."""
        return has_ended(self._popen, timeout)

    def join(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the threads, which end when the process does."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            # A garbage collection, and with it the finalizer that calls this, can run in any thread.
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _read(self) -> None:
        assert self._popen.stdout is not None
        try:
            with self._popen.stdout as stream:
                for message in framing.read_messages(cast(BinaryIO, stream)):
                    self._free_places.acquire()
                    if self._closing:
                        self._free_places.release()  # read the rest, so that the server can end, and drop it
                    else:
                        self.inbox.put(message)
            # The last line and the exit code must be known at the end. Wait here: the main thread must not.
            self._threads[0].join(0.5)
            self.wait(1.0)
        finally:
            self.inbox.put(None)
            self._outbox.put(None)
        self._popen.wait()  # A server that only closed its output is killed now, and must not stay a zombie.

    def _read_stderr(self) -> None:
        assert self._popen.stderr is not None
        with self._popen.stderr as stream:
            while line := stream.readline(_LOG_LINE_BYTES):
                # A progress bar returns to the start of its line; the last state is the one worth keeping.
                text = line.decode("utf-8", "replace").rstrip().rpartition("\r")[2]
                if text:
                    self.stderr_lines.append(text)
                    self.last_line = text

    def _write(self) -> None:
        assert self._popen.stdin is not None
        if hasattr(signal, "pthread_sigmask"):
            # As a program, Python ignores SIGPIPE. A program that embeds it, such as Blender, may not ignore it, and
            # would be ended when it writes to a dead server.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        # An OSError means that the server has ended, also while closing. The reader notices the end and reports it.
        with contextlib.suppress(OSError), self._popen.stdin as stream:
            while (data := self._outbox.get()) is not None:
                stream.write(data)
                stream.flush()
