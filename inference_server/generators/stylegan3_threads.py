"""Divide many small pieces of work among threads; each thread computes its pieces alone.

PyTorch divides every single operation among its threads, and waits for all of them at the end of each operation. With
small operations it is much faster if each thread has its own pieces, most of all on a computer that is also busy with
other work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from typing import Any

import torch

_lock = Lock()
_pool: tuple[int, ThreadPoolExecutor] | None = None


def share_out(work: Callable[..., None], pieces: Iterable[tuple[Any, ...]]) -> None:
    """Call ``work(*piece)`` for every piece, on as many threads as PyTorch may use; return when all are done.

    The pieces must not depend on each other. No gradients are recorded.
    """
    threads = torch.get_num_threads()
    listed = list(pieces)
    if threads == 1 or len(listed) < 2:
        with torch.no_grad():
            for piece in listed:
                work(*piece)
        return
    is_inference = torch.is_inference_mode_enabled()

    def run(piece: tuple[Any, ...]) -> None:
        with torch.inference_mode(is_inference), torch.no_grad():
            work(*piece)

    for _ in _executor(threads).map(run, listed):
        pass


def _executor(threads: int) -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None or _pool[0] != threads:
            if _pool is not None:
                _pool[1].shutdown(wait=False)
            executor = ThreadPoolExecutor(threads, thread_name_prefix="tiles")
            started = Barrier(threads + 1)

            def alone() -> None:
                # This sets the number for this thread. But threads that start later would use it too, so all threads
                # start here, and then the number is set back below.
                torch.set_num_threads(1)
                started.wait()

            for _ in range(threads):
                executor.submit(alone)
            started.wait()
            torch.set_num_threads(threads)
            _pool = (threads, executor)
        return _pool[1]
