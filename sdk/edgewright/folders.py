"""Folders to write into."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from edgewright_runtime.errors import storage_errors


def make_folder(folder: Path) -> None:
    """The folder and those above it. Raises StorageError."""
    with storage_errors(f"make the folder {folder}"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise NotADirectoryError(errno.ENOTDIR, "a file is there", str(folder)) from error


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is gone afterwards. Raises StorageError."""
    with storage_errors("use the folder for temporary files"), TemporaryDirectory(prefix="edgewright-") as folder:
        yield Path(folder)


def user_folder(variable: str, function: str) -> Path:
    """edgewright's folder of one kind: that of the environment's variable, else what platformdirs' function says."""
    if os.environ.get(variable):
        return Path(os.environ[variable])
    import platformdirs

    return Path(getattr(platformdirs, function)("edgewright"))
