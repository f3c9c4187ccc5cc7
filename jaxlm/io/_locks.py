"""Locks of files, which the system releases when the process ends."""

import fcntl


def wait_for_lock(handle: int) -> bool:
    """Waits until no other process holds the lock of an open file, and takes it.

    Args:
      handle: the descriptor of the open file, from `os.open`.

    Returns:
      True once this process holds the lock; False at once on a file system without locks.

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
    """Takes the lock of a file through its open handle, unless another handle holds it.

    The lock is released when the file is closed or the process ends.

    Args:
      handle: the descriptor of the open file, from `os.open`.

    Returns:
      False if another handle holds the lock, of this process or of another one. True if this handle now holds
      it, or if the file system has no locks.

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
