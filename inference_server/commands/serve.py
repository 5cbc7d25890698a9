"""The command `serve`: the conversation with the add-on, over stdin and stdout."""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from typing import Any, BinaryIO


def add_parser(commands: Any, on_device: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    serve = commands.add_parser("serve", parents=[on_device], help="talk JSON-RPC over stdin and stdout")
    serve.add_argument("--idle-seconds", type=float, default=300.0, help="free the device's memory after this long")
    serve.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until the conversation ends; then the process ends, too."""
    # Before anything else can print: what goes to fd 1 from here on goes to stderr.
    messages, output = _claim_pipes()

    from ..serving.service import Service
    from ..terminal.log import log_goes_to

    # Ctrl+C in the terminal that Blender was started from is Blender's to handle; the end of stdin ends the server.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    service = Service(messages, output, options.device, options.idle_seconds, options.compile or None)
    with log_goes_to(service.connection.log):
        code = service.run()
    sys.stderr.flush()
    # The reader thread is in a read of stdin that no orderly exit can interrupt.
    os._exit(code)


def _claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdin and stdout for messages alone; whatever else prints to stdout from now on prints to stderr."""
    messages = os.fdopen(os.dup(0), "rb")
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the process ends without flushing
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return messages, output
