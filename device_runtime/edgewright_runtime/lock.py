"""One at a time changes a store: whoever comes second waits a while, and is told for whom.

The lock is the kernel's (flock), on HOME/.lock: it is let go when its process ends, however it ends. What the file says
is for people: the process, the host that asked, and since when by the device's monotonic clock, for the one on the wall
may be decades wrong.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .disk import make_folder
from .errors import StorageError, storage_errors

LOCK = ".lock"
WAIT_S = 60.0
_POLL_S = 0.05


def _nobody(holder: str) -> None:
    pass


@contextmanager
def locked(home: Path, host: str = "", wait_s: float = WAIT_S, tell: Callable[[str], None] = _nobody) -> Iterator[None]:
    """Hold the lock of this home. host: who asks; tell: is told who holds it, where that means to wait.

    Raises StorageError where another still holds it after ``wait_s``, or where the home cannot be written.
    """
    with storage_errors(f"write to {home}"):
        make_folder(home)
        lock = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        _acquire(lock, home, wait_s, tell)
        holder = {"pid": os.getpid(), "host": host, "since": time.monotonic()}
        with suppress(OSError):  # the disk may be full: then it is a lock all the same
            os.ftruncate(lock, 0)
            os.pwrite(lock, json.dumps(holder).encode(), 0)
        yield
    finally:
        os.close(lock)


def _acquire(lock: int, home: Path, wait_s: float, tell: Callable[[str], None]) -> None:
    import fcntl

    deadline, told = time.monotonic() + wait_s, False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = _holder(lock)
        if time.monotonic() > deadline:
            raise StorageError(f"{home} is being changed by {holder}: wait until that has ended, then try again.")
        if not told:
            tell(holder)
            told = True
        time.sleep(_POLL_S)


def _holder(lock: int) -> str:
    """Who holds it, in words."""
    try:
        holder = json.loads(os.pread(lock, 1000, 0))
        if not Path(f"/proc/{holder['pid']}").exists():  # left there by one that was killed
            return "another process"
        asked = f" for {holder['host']}" if holder["host"] else ""
        return f"process {holder['pid']}{asked}, since {max(0.0, time.monotonic() - holder['since']):.0f} s"
    except (ValueError, KeyError, TypeError):  # the new holder has not said so yet
        return "another process"
