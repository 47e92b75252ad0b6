"""The root of every edgewright error, and the branches that can happen on a device.

EdgewrightError               1   a defect of ours when raised bare
├── InputError                3   a file, an array or an option that the user gave
├── BundleError               6   damaged, incomplete, or made by a newer edgewright
├── EngineError               7   not installed, cannot load this model, failed while invoking
├── CheckError                9   the golden samples, a budget or the doctor's check do not hold for this device
└── StorageError             10   read-only or full disk, missing permission

The converter and the SDK add their own branches (see ``edgewright.errors``). Exit code 2 is a usage error, 130 is
Ctrl-C. Every message is one sentence or two: what happened, what was expected, the remedy.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class EdgewrightError(Exception):
    """Base of all errors that edgewright raises on purpose."""

    exit_code = 1


class InputError(EdgewrightError):
    """A file, an array or an option that the user gave cannot be used."""

    exit_code = 3


class BundleError(EdgewrightError):
    """A bundle is damaged, incomplete, or made by a newer edgewright."""

    exit_code = 6


class EngineError(EdgewrightError):
    """An engine is not installed, cannot load a model, or failed while invoking it."""

    exit_code = 7


class CheckError(EdgewrightError):
    """The golden samples or a budget do not hold on this device."""

    exit_code = 9


class StorageError(EdgewrightError):
    """A folder cannot be written: read-only, full, or without permission."""

    exit_code = 10


RUNTIME_ERRORS: dict[str, type[EdgewrightError]] = {
    kind.__name__: kind for kind in (EdgewrightError, InputError, BundleError, EngineError, CheckError, StorageError)
}

_STORAGE_REASONS = {
    errno.ENOSPC: "no space is left on that disk: free some space and try again",
    errno.EDQUOT: "the disk quota is used up: free some space and try again",
    errno.EROFS: "the file system is read-only: choose another folder or remount it writable",
    errno.EIO: "the disk reports an input/output error: check it, it may be dying",
    errno.EACCES: "permission is denied: choose another folder or change its permissions",
    errno.EPERM: "permission is denied: choose another folder or change its permissions",
    errno.ENOENT: "that folder does not exist: create it or choose another",
    errno.EEXIST: "a file is in the way of that folder: choose another path",
    errno.ENOTDIR: "a part of that path is a file, not a folder: choose another path",
    errno.ELOOP: "a symlink is in the way, where edgewright keeps files of its own: remove it",
    errno.ENOTEMPTY: "a folder is in the way of that file: remove it",
    errno.EISDIR: "that path is a folder, not a file: choose another path",
    errno.EFBIG: "the file is too large for that disk: choose another folder",
    errno.ENAMETOOLONG: "the name is too long for that file system: choose a shorter one",
}


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn the operating system's refusals to write into a StorageError. ``what``: the action, e.g. "write out.ewb"."""
    try:
        yield
    except OSError as error:
        reason = _STORAGE_REASONS.get(error.errno or 0)
        if reason is None:
            raise
        raise StorageError(f"Cannot {what}: {reason}.") from error
