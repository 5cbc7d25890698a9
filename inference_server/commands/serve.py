"""The command `serve`: answer the add-on's requests over stdin and stdout."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from typing import Any, BinaryIO


def add_parser(commands: Any, on_device: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    serve = commands.add_parser("serve", parents=[on_device], help="answer JSON-RPC requests over stdin and stdout")
    serve.add_argument("--idle-seconds", type=float, default=300.0, help="free the device's memory after this time")
    serve.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Answer requests until stdin ends, then end the process."""
    # Done before anything else can print: from now on, text for file descriptor 1 goes to stderr.
    messages, output = _claim_pipes()

    from ..serving.service import Service
    from ..terminal.log import log_goes_to

    # Blender handles Ctrl+C in the terminal that it was started from; the server ends when stdin ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    service = Service(messages, output, options.device, options.idle_seconds, options.compile or None)
    with log_goes_to(service.connection.log):
        code = service.run()
    sys.stderr.flush()
    # The reader thread waits in a read of stdin, which a normal exit cannot interrupt.
    os._exit(code)


def _claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return stdin and stdout, for messages only. From now on, everything printed to stdout goes to stderr."""
    messages = os.fdopen(os.dup(0), "rb")
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the process ends without flushing
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return messages, output
