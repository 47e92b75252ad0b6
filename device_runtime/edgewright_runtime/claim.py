"""What is neither current nor previous may still be wanted: a release about to be measured, or being measured now.

Whoever installs one without using it leaves a claim, a file whose date counts for a while; whoever runs it holds a
shared lock on its manifest, which the kernel lets go when that process ends, however it ends. The same lock holds data.
"""

import os
import time
from pathlib import Path

from .archive import MANIFEST

CLAIM = ".claimed"
FRESH_S = 600.0


def claim(release: Path) -> None:
    """Keep this release for the next minutes. Raises OSError."""
    path = release / CLAIM
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644))
    os.utime(path)


def hold(path: Path) -> None:
    """Keep a release's folder, or a file, for as long as this process lives."""
    import fcntl

    try:
        descriptor = os.open(path / MANIFEST if path.is_dir() else path, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # never closed: the end of the process does that
    except OSError:  # it is not there, which others tell better, or its file system knows no locks
        return


def is_wanted(release: Path) -> bool:
    """Whether someone claimed this release a moment ago, or runs it."""
    return is_fresh(release / CLAIM) or is_held(release / MANIFEST)


def is_fresh(path: Path) -> bool:
    """Whether the file is new. A wrong clock does no harm: what is dated in the future is not new."""
    try:
        return 0 <= time.time() - path.lstat().st_mtime < FRESH_S
    except OSError:
        return False


def is_held(path: Path) -> bool:
    """Whether another process holds this file."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(descriptor)
    return False
