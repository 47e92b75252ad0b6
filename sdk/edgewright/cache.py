"""Files that are costly to have twice, kept for the next time: <cache>/<SHA-256 of the content>/<file name>.

What is damaged does not count and is deleted. Everything in the folder may be deleted at any time.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from edgewright_runtime.errors import storage_errors
from edgewright_runtime.hashing import hash_file

from .folders import make_folder, user_folder


class Cache:
    """name: of the part of the cache, below the user's cache folder or $EDGEWRIGHT_CACHE_HOME."""

    def __init__(self, name: str) -> None:
        self.folder = user_folder("EDGEWRIGHT_CACHE_HOME", "user_cache_dir") / name

    def find(self, fits: Callable[[str], bool]) -> Path | None:
        """A file whose name fits, right to the last bit."""
        for path in sorted(self.folder.glob("*/*")):
            if fits(path.name):
                if hash_file(path) == path.parent.name:
                    return path
                shutil.rmtree(path.parent, ignore_errors=True)
        return None

    def add(self, file: Path) -> Path:
        """Move a file of ``workspace`` here; returns its new place. Raises StorageError."""
        with storage_errors(f"write to {self.folder}"):
            place = self.folder / hash_file(file)
            place.mkdir(exist_ok=True)
            return file.replace(place / file.name)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A folder to make files for ``add`` in. One process at a time: the next one finds what this one added."""
        make_folder(self.folder)
        with storage_errors(f"write to {self.folder}"):
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # let go when it is closed, or with the process
                for abandoned in self.folder.glob(".*"):
                    shutil.rmtree(abandoned, ignore_errors=True)
                with TemporaryDirectory(dir=self.folder, prefix=".") as folder:
                    yield Path(folder)
            finally:
                os.close(descriptor)
