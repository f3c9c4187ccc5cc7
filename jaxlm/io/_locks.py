"""Locks of files that the system lets go of with the process that holds them."""

import fcntl


def wait_for_lock(handle: int) -> bool:
    """Locks an open file for this process when no other holds it; False on a file system without locks.

    Args:
      handle: of the file, from `os.open`.

    Example:
      >>> from jaxlm.io import wait_for_lock
      >>> import os, tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "lock")
      >>> wait_for_lock(os.open(path, os.O_RDWR | os.O_CREAT))
      True
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def try_lock(handle: int) -> bool:
    """Locks an open file for this process and returns True; False where another process holds it.

    The lock ends with the file's closing, or with the process, however that ends. On a file system without
    locks there is none, and the answer is True.

    Args:
      handle: of the file, from `os.open`.

    Example:
      >>> from jaxlm.io import try_lock
      >>> import os, tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "lock")
      >>> first, second = (os.open(path, os.O_RDWR | os.O_CREAT) for _ in range(2))
      >>> try_lock(first), try_lock(second)
      (True, False)
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True
