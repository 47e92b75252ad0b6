"""The models on a device: content-addressed blobs, complete releases, and one symlink that says which is in use.

    HOME/incoming/<sha256>                what has arrived; trusted only after its hash is computed here
    HOME/blobs/<sha256>                   verified content
    HOME/releases/<name>/<bundle id>/     a complete release: hard links to blobs, and manifest.json
    HOME/models/<name>/current, previous  symlinks, each replaced by one rename

Power may go at any instant: what a later step relies on is on the disk before that step, so afterwards the old model or
the new one is there, whole.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

from .archive import MANIFEST
from .bundle import Bundle
from .disk import fsync_file, fsync_folder, make_folder, replacing
from .errors import BundleError, EdgewrightError, InputError, storage_errors
from .hashing import hash_file, sha256_hex
from .manifest import NAME, FileEntry, Manifest, parse_manifest

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class Store:
    """home: the device's folder. Every method that changes it holds a lock, for two to take turns."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._blobs, self._incoming = home / "blobs", home / "incoming"

    def missing(self, hashes: list[str]) -> list[str]:
        """Those of the SHA-256 for which there is no content yet, each once, in the order given. Raises InputError.

        A blob that is there counts only with the right content: a card that lost bits gets them again.
        """
        for sha256 in hashes:
            if not _SHA256.match(sha256):
                raise InputError(f"{sha256!r} is no SHA-256: give 64 hexadecimal digits.")
        return [sha256 for sha256 in dict.fromkeys(hashes) if self._find(sha256) is None]

    def install(self, raw: bytes) -> Path:
        """Assemble the release of this manifest.json from blobs and what has arrived. Returns its folder.

        Raises BundleError where content is missing or damaged, StorageError where the disk refuses.
        """
        manifest = parse_manifest(raw)
        release = self.home / "releases" / manifest.name / sha256_hex(raw)
        with self._locked(), storage_errors(f"install {manifest.name} in {self.home}"):
            for sha256 in sorted({entry.sha256 for entry in manifest.files}):
                self._accept(sha256)
            if release.is_dir():  # perhaps in use: each file is repaired by one rename
                self._fill(release, manifest, raw)
                return release
            make_folder(release.parent)
            unfinished = release.with_name(f".{release.name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            self._fill(unfinished, manifest, raw)
            unfinished.replace(release)
            fsync_folder(release.parent)
        return release

    def activate(self, name: str, bundle_id: str) -> Optional[str]:
        """Make this release the model's current one. Returns the id of the one before, or None. Raises InputError."""
        model, release = self._model(name), self._release(name, bundle_id)
        with self._locked(), storage_errors(f"activate {name} in {self.home}"):
            make_folder(model)
            before = self._id_of(model / "current")
            if before not in (None, bundle_id):
                _point(model / "previous", self._release(name, str(before)))
            _point(model / "current", release)
        return before

    def rollback(self, name: str) -> str:
        """Make the previous release the current one, and the other way round. Returns its id. Raises InputError."""
        model = self._model(name)
        with self._locked(), storage_errors(f"roll back {name} in {self.home}"):
            current, previous = self._id_of(model / "current"), self._id_of(model / "previous")
            if current is None or previous is None:
                raise InputError(f"The model {name} has no previous release: flash one first.")
            # In between both point to the previous one: whole, as everything here must be at any instant.
            _point(model / "current", self._release(name, previous))
            _point(model / "previous", self._release(name, current))
        return previous

    def current(self, name: str) -> Path:
        """The folder of the model in use. Raises InputError."""
        current = self._id_of(self._model(name) / "current")
        if current is None:
            known = ", ".join(sorted(path.name for path in (self.home / "models").glob("*"))) or "none"
            raise InputError(f"There is no model {name} on this device (there: {known}): flash it first.")
        return self._release(name, current)

    def models(self) -> list[dict[str, Any]]:
        """For each model: name, current, previous (ids or None) and releases (id, size_bytes, mode, or a problem)."""
        names = {path.name for folder in ("models", "releases") for path in (self.home / folder).glob("*")}
        return [
            {
                "name": name,
                "current": self._id_of(self._model(name) / "current"),
                "previous": self._id_of(self._model(name) / "previous"),
                "releases": [_describe(path) for path in sorted((self.home / "releases" / name).glob("[0-9a-f]*"))],
            }
            for name in sorted(names)
            if NAME.match(name)
        ]

    def _find(self, sha256: str) -> Optional[Path]:
        """Where this content is, right to the last bit."""
        for path in (self._blobs / sha256, self._incoming / sha256):
            if path.is_file() and hash_file(path) == sha256:
                return path
        return None

    def _accept(self, sha256: str) -> None:
        """Have the content among the blobs, from what has arrived if need be."""
        found = self._find(sha256)
        if found is None:
            raise BundleError(f"The content {sha256[:12]}… is missing or was damaged on its way: flash again.")
        if found.parent == self._incoming:
            fsync_file(found)
            make_folder(self._blobs)
            found.replace(self._blobs / sha256)
            fsync_folder(self._blobs)
        else:
            (self._incoming / sha256).unlink(missing_ok=True)

    def _fill(self, release: Path, manifest: Manifest, raw: bytes) -> None:
        """Give the folder every file that it lacks or has damaged."""
        for entry in manifest.files:
            path = release / entry.path
            if not path.is_file() or hash_file(path) != entry.sha256:
                make_folder(path.parent)
                self._place(entry, path)
        if not (release / MANIFEST).is_file() or (release / MANIFEST).read_bytes() != raw:
            with replacing(release / MANIFEST) as out:
                out.write(raw)
        fsync_folder(release)

    def _place(self, entry: FileEntry, path: Path) -> None:
        blob, link = self._blobs / entry.sha256, path.with_name(f".{path.name}.unfinished")
        link.unlink(missing_ok=True)
        try:
            os.link(blob, link)
        except OSError:  # FAT, and a few network file systems, have no hard links
            with replacing(path) as out, blob.open("rb") as source:
                shutil.copyfileobj(source, out)
        else:
            link.replace(path)
            fsync_folder(path.parent)

    def _model(self, name: str) -> Path:
        if not NAME.match(name):
            raise InputError(f"{name!r} is no name of a model: use letters, digits, dots, dashes and underscores.")
        return self.home / "models" / name

    def _release(self, name: str, bundle_id: str) -> Path:
        release = self.home / "releases" / name / bundle_id
        if not _SHA256.match(bundle_id) or not (release / MANIFEST).is_file():
            raise InputError(f"There is no release {bundle_id[:12]} of {name} on this device: flash it first.")
        return release

    def _id_of(self, link: Path) -> Optional[str]:
        try:
            return link.readlink().name
        except OSError:
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl

        with storage_errors(f"write to {self.home}"):
            make_folder(self.home)
            lock = (self.home / ".lock").open("w")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _point(link: Path, release: Path) -> None:
    """Let the symlink point to the release, relatively (a home may be moved), from one instant to the next."""
    unfinished = link.with_name(f".{link.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    unfinished.symlink_to(os.path.relpath(release, link.parent))
    unfinished.replace(link)
    fsync_folder(link.parent)


def _describe(release: Path) -> dict[str, Any]:
    try:
        bundle = Bundle.open(release)
    except EdgewrightError as error:
        return {"id": release.name, "problem": str(error)}
    return {"id": release.name, "size_bytes": bundle.size_bytes, "mode": bundle.manifest.variants[0].mode}
