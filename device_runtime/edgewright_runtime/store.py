"""The models on a device: content-addressed blobs, complete releases, and one symlink that says which is in use.

    HOME/incoming/<sha256>                what has arrived; trusted only after its hash is computed here
    HOME/blobs/<sha256>                   verified content
    HOME/releases/<name>/<bundle id>/     a complete release: hard links to blobs, and manifest.json
    HOME/models/<name>/current, previous  symlinks, each replaced by one rename

Power may go at any instant: what a later step relies on is on the disk before that step, so afterwards the old model or
the new one is there, whole. No other symlink is followed: it would lead out of the store.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Optional

from .archive import MANIFEST
from .bundle import Bundle
from .disk import fsync_file, fsync_folder, make_folder, replacing
from .errors import EdgewrightError, InputError, StorageError, storage_errors
from .hashing import hash_file, sha256_hex
from .manifest import NAME, FileEntry, Manifest, parse_manifest

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class Store:
    """home: the device's folder. Whoever changes it holds its lock (lock.py) meanwhile.

    Every method that changes it raises StorageError where the disk refuses, or where a symlink is in the way.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    def receive(self, contents: Iterable[bytes]) -> None:
        """Let content arrive that did not come as a file. Nothing relies on it yet, so nothing is synced."""
        with storage_errors(f"write to {self.home}"):
            for content in contents:
                make_folder(self._own("incoming"))
                path = self.home / "incoming" / sha256_hex(content)
                path.unlink(missing_ok=True)
                try:
                    with path.open("xb") as out:
                        out.write(content)
                except OSError:
                    path.unlink(missing_ok=True)  # a full disk keeps no halves
                    raise

    def accept(self, entries: Iterable[FileEntry]) -> list[str]:
        """Have the content among the blobs, from what has arrived if need be. Returns the SHA-256 that are missing.

        A blob that is there counts only with the right content: a card that lost bits gets them again.
        """
        missing = []
        with storage_errors(f"write to {self.home}"):
            blobs, incoming = self._own("blobs"), self._own("incoming")
            for sha256 in dict.fromkeys(entry.sha256 for entry in entries):
                if _holds(blobs / sha256, sha256):
                    (incoming / sha256).unlink(missing_ok=True)
                elif _holds(incoming / sha256, sha256):
                    fsync_file(incoming / sha256)
                    make_folder(blobs)
                    (incoming / sha256).replace(blobs / sha256)  # its folder is not synced: a release has its own names
                else:
                    missing.append(sha256)
        return missing

    def assemble(self, raw: bytes) -> Path:
        """Make the release of this manifest.json, whose content is among the blobs. Returns its folder.

        Raises BundleError where the manifest is damaged.
        """
        manifest, bundle_id = parse_manifest(raw), sha256_hex(raw)
        with storage_errors(f"install {manifest.name} in {self.home}"):
            release = self._own("releases", manifest.name, bundle_id)
            if release.is_dir():  # perhaps in use: each file is repaired by one rename
                self._fill(release, manifest, raw)
                return release
            make_folder(release.parent)
            unfinished = release.with_name(f".{bundle_id}.unfinished")
            remove(unfinished)
            unfinished.mkdir()
            self._fill(unfinished, manifest, raw)
            unfinished.replace(release)
            fsync_folder(release.parent)
        return release

    def activate(self, name: str, bundle_id: str) -> Optional[str]:
        """Make this release the model's current one. Returns the id of the one before, or None. Raises InputError."""
        model, release = self._model(name), self._release(name, bundle_id)
        with storage_errors(f"activate {name} in {self.home}"):
            make_folder(model)
            before = _id_of(model / "current")
            if before not in (None, bundle_id) and self._has(name, str(before)):
                _point(model / "previous", self._release(name, str(before)))
            _point(model / "current", release)
        return before

    def roll_back(self, name: str) -> Optional[str]:
        """Make the previous release the current one, and the other way round. Returns the id of what was the current
        one. Raises InputError."""
        model, release = self._model(name), self.previous(name)
        with storage_errors(f"roll back {name} in {self.home}"):
            before = _id_of(model / "current")
            # In between both point to the previous one: whole, as everything here must be at any instant.
            _point(model / "current", release)
            if self._has(name, str(before)):
                _point(model / "previous", self._release(name, str(before)))
        return before

    def current(self, name: str) -> Path:
        """The folder of the model in use. Raises InputError."""
        current = _id_of(self._model(name) / "current")
        if current is None:
            known = ", ".join(sorted(path.name for path in (self.home / "models").glob("*"))) or "none"
            raise InputError(f"There is no model {name} on this device (there: {known}): flash it first.")
        return self._release(name, current)

    def previous(self, name: str) -> Path:
        """The folder of the model in use before, whether or not the current one is still whole. Raises InputError."""
        current, previous = (_id_of(self._model(name) / link) for link in ("current", "previous"))
        if current is None:
            self.current(name)
        if previous in (None, current):
            raise InputError(f"The model {name} has no previous release: flash one first.")
        return self._release(name, str(previous))

    def models(self) -> list[dict[str, Any]]:
        """For each model: name, current, previous (ids or None) and releases (id, size_bytes, mode, or a problem)."""
        names = {path.name for folder in ("models", "releases") for path in (self.home / folder).glob("*")}
        return [
            {
                "name": name,
                "current": _id_of(self._model(name) / "current"),
                "previous": _id_of(self._model(name) / "previous"),
                "releases": [_describe(path) for path in sorted((self.home / "releases" / name).glob("[0-9a-f]*"))],
            }
            for name in sorted(names)
            if NAME.match(name)
        ]

    def _fill(self, release: Path, manifest: Manifest, raw: bytes) -> None:
        """Give the folder every file that it lacks or has damaged."""
        touched = {release}
        for entry in manifest.files:
            blob, path = self.home / "blobs" / entry.sha256, release / entry.path
            folder = self._own(*path.parent.relative_to(self.home).parts)
            make_folder(folder)
            touched.add(folder)
            if not _is_link_to(blob, path) and not _holds(path, entry.sha256):
                _place(blob, path)
        if not _is_file(release / MANIFEST) or (release / MANIFEST).read_bytes() != raw:
            with replacing(release / MANIFEST) as out:
                out.write(raw)
        for folder in touched:
            fsync_folder(folder)

    def _own(self, *parts: str) -> Path:
        """The path below home, unless a symlink would lead out of it."""
        path = self.home
        for part in parts:
            path = path / part
            if path.is_symlink():
                raise StorageError(f"{path} is a symlink, where edgewright keeps files of its own: remove it.")
        return path

    def _model(self, name: str) -> Path:
        if not NAME.match(name):
            raise InputError(f"{name!r} is no name of a model: use letters, digits, dots, dashes and underscores.")
        return self._own("models", name)

    def _release(self, name: str, bundle_id: str) -> Path:
        if not self._has(name, bundle_id):
            raise InputError(f"There is no release {bundle_id[:12]} of {name} on this device: flash it first.")
        return self._own("releases", name, bundle_id)

    def _has(self, name: str, bundle_id: str) -> bool:
        return bool(_SHA256.match(bundle_id)) and _is_file(self._own("releases", name, bundle_id) / MANIFEST)


def remove(path: Path) -> None:
    """Delete a file, a symlink or a whole folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_file(path: Path) -> bool:
    """A regular file itself, not what a symlink points to."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _holds(path: Path, sha256: str) -> bool:
    """Whether the file is there, right to the last bit."""
    return _is_file(path) and hash_file(path) == sha256


def _is_link_to(blob: Path, path: Path) -> bool:
    return _is_file(path) and os.path.samestat(blob.lstat(), path.lstat())


def _place(blob: Path, path: Path) -> None:
    link = path.with_name(f".{path.name}.unfinished")
    link.unlink(missing_ok=True)
    try:
        os.link(blob, link)
    except OSError:  # FAT, and a few network file systems, have no hard links
        with replacing(path) as out, blob.open("rb") as source:
            shutil.copyfileobj(source, out)
    else:
        link.replace(path)


def _id_of(link: Path) -> Optional[str]:
    try:
        return link.readlink().name
    except OSError:
        return None


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
