"""Keep the C library's heap between batches, and return it to the system when the device is released. Linux only.

A network's activations are freed and allocated again in every layer. By default glibc may return each such block to
the system. Getting it again, page by page, took a third of a CPU batch's time when it was measured.
"""

from __future__ import annotations

import ctypes
import platform

TRIM_THRESHOLD = -1  # mallopt's numbers for its parameters, from malloc.h
MMAP_THRESHOLD = -3
KEEP_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """Tell glibc to keep freed blocks of up to KEEP_BYTES in the process."""
    libc = _glibc()
    if libc is not None:
        libc.mallopt(TRIM_THRESHOLD, KEEP_BYTES)
        libc.mallopt(MMAP_THRESHOLD, KEEP_BYTES)


def give_freed_memory_back() -> None:
    """Return all free memory to the system now."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
