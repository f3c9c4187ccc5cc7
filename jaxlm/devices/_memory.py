"""Host memory that is kept between steps instead of being asked from the system anew."""

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
    """Makes this process keep the memory that it frees, in huge pages where the system has them.

    On CPU, XLA takes the temporary buffers of every call from `malloc` and gives them back after it. For
    buffers of this size glibc asks the system for fresh pages each time, and the faults on them took a
    fifth of a BERT-base step in bfloat16; pages of 4 KiB slowed its products besides. Here everything
    comes from one heap that is never trimmed and for which huge pages are asked. Addresses are reserved,
    not memory: what the process holds is the most that it ever used at once.

    Call it before the first computation, since threads that have begun keep their own heaps. Only Linux with
    glibc is touched.

    Args:
      share: of the machine's memory, how much address space to reserve for huge pages.

    Returns:
      Whether anything was changed.
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
    """Grows the heap, untouched, and asks for huge pages in all of it; less memory than that is no error."""
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
