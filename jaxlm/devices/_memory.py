"""Keeps freed host memory in the process, so that it is not requested from the system at each step."""

import ctypes
import os
import platform
import re
import sys
from pathlib import Path

# glibc's names for what `mallopt` sets, and Linux's for what `madvise` asks for.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_HUGE_PAGES = 14


def keep_memory(share: float = 0.5) -> bool:
    """Makes this process keep the memory that it frees, in huge pages if the system has them.

    On CPU, XLA allocates the temporary buffers of every call with `malloc` and frees them afterwards. For
    large buffers glibc requests new pages from the system each time; their page faults took a fifth of a
    BERT-base step in bfloat16, and pages of 4 KiB slowed its matrix products too. This function puts
    everything into one heap that is never trimmed, and requests huge pages for it. It reserves addresses, not
    memory: the process holds as much memory as it has used at most.

    Call it before the first computation, because running threads keep their own heaps. It has an effect only
    on Linux with glibc.

    Args:
      share: the size of the reserved address space, as a share of the machine's memory.

    Returns:
      Whether the settings of the memory allocator were changed; always False on other systems.
    """
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    kept = [
        libc.mallopt(option, value)
        for option, value in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1))
    ]
    _reserve(libc, int(share * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    return all(kept)


def _reserve(libc: ctypes.CDLL, num_bytes: int) -> None:
    """Grows the heap without touching it, and requests huge pages for it; failing to grow is no error."""
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free(libc.malloc(num_bytes))
    heap = re.search(
        r"^([0-9a-f]+)-([0-9a-f]+) .*\[heap\]$", Path("/proc/self/maps").read_text(), re.MULTILINE
    )
    if heap:
        start, stop = (int(address, 16) for address in heap.groups())
        libc.madvise(start, stop - start, _HUGE_PAGES)
