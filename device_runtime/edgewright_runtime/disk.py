"""Files that survive a power cut: complete or not there at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import storage_errors


def fsync_folder(folder: Path) -> None:
    """Make the folder's own entries (a rename, a new name) durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_file(path: Path) -> None:
    """Make the file's content durable."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def make_folder(folder: Path) -> None:
    """The folder and those above it, durable. What is there already stays as it is."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        fsync_folder(folder.parent)


@contextmanager
def replacing(path: Path, mark: str = "") -> Iterator[IO[bytes]]:
    """A binary file to write that takes ``path``'s place when the block ends well, and vanishes otherwise (Ctrl-C too).

    mark: tells this writer from others that may write the same file meanwhile.
    Raises StorageError where the folder refuses.
    """
    # Beside the target, for the last step to be one rename; a fixed name, for a crash to leave one file, not many.
    unfinished = path.with_name(f".{path.name}{mark}.unfinished")
    with storage_errors(f"write {path}"):
        try:
            unfinished.unlink(missing_ok=True)
            with unfinished.open("xb") as out:  # not through a symlink that somebody left there
                yield out
                out.flush()
                os.fsync(out.fileno())
            unfinished.replace(path)
            fsync_folder(path.parent)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
