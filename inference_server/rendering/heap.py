"""The C library's heap on Linux: kept between batches, given back when the device is released.

A network's activations are freed and asked for again with every layer. By default glibc may hand each such block back
to the system, and fetching it again, page by page, was measured at a third of a CPU batch's time.
"""

from __future__ import annotations

import ctypes
import platform

TRIM_THRESHOLD = -1  # mallopt's names for its parameters, from malloc.h
MMAP_THRESHOLD = -3
KEEP_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """Have blocks of up to KEEP_BYTES stay in the process once they are freed."""
    libc = _glibc()
    if libc is not None:
        libc.mallopt(TRIM_THRESHOLD, KEEP_BYTES)
        libc.mallopt(MMAP_THRESHOLD, KEEP_BYTES)


def give_freed_memory_back() -> None:
    """Return what is free to the system now."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
