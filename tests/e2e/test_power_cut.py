"""The power goes, and the disk forgets: everything that was not synced may be gone, or be there, in any mixture.

A model of such a disk follows a real command: for each change that the command makes, it works out what may be found
after a power cut at that instant. A synced folder has the names of then, a synced file the content of then; each later
name is there or not, as chance will have it, and unsynced content is garbage. The worst case is that nothing unsynced
is there. This is more than any file system forgets, so it holds for all of them.
"""

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from e2e.disk_changes import before_each_change
from unit.models import tiny_bundle

from edgewright_runtime import deploy
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.errors import InputError
from edgewright_runtime.garbage import collect
from edgewright_runtime.lock import locked
from edgewright_runtime.request import Request
from edgewright_runtime.store import Store

MEMORY = Path("/dev/shm")
MIXTURES = 3  # beside the worst case, at each change
SEED = 20

pytestmark = pytest.mark.skipif(
    not os.access(MEMORY, os.W_OK), reason="an inode must not come back: it needs a file system in memory"
)


class Entry(NamedTuple):
    """A name in a folder. inode: of a file or folder; target: of a symlink."""

    kind: str
    inode: int = 0
    target: str = ""


Names = dict[str, Entry]


class ForgetfulDisk:
    """What of a folder is certain to be there after a power cut, while a command changes it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._names: dict[int, Names] = {}  # of folders, when last synced
        self._content: dict[int, bytes] = {}  # of files, likewise
        for path in [root, *root.rglob("*")]:
            if not path.is_symlink():
                self.sync(path)

    def sync(self, path: Path) -> None:
        inode = path.stat().st_ino
        if path.is_dir():
            self._names[inode] = _names(path)
        else:
            self._content[inode] = path.read_bytes()

    def after_power_cut(self, target: Path, chance: random.Random | None) -> None:
        """Write to ``target`` what may be found: the worst case, or with ``chance`` a mixture."""
        now = {path.stat().st_ino: _names(path) for path in [self._root, *self._root.rglob("*")] if _is_folder(path)}
        self._write(self._root.stat().st_ino, target, now, chance)

    def _write(self, inode: int, target: Path, now: dict[int, Names], chance: random.Random | None) -> None:
        target.mkdir()
        synced, latest = self._names.get(inode, {}), now.get(inode, {})
        for name in sorted({*synced, *latest}):
            entry = synced.get(name) if chance is None or chance.random() < 0.5 else latest.get(name)
            path = target / name
            if entry is None:
                continue
            if entry.kind == "folder":
                self._write(entry.inode, path, now, chance)
            elif entry.kind == "symlink":
                path.symlink_to(entry.target)
            else:
                path.write_bytes(self._content.get(entry.inode, b"garbage"))


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _names(folder: Path) -> Names:
    names = {}
    for path in folder.iterdir():
        if path.is_symlink():
            names[path.name] = Entry("symlink", target=os.readlink(path))  # noqa: PTH115
        else:
            names[path.name] = Entry("folder" if path.is_dir() else "file", path.stat().st_ino)
    return names


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as found:
        yield Path(found)


@pytest.fixture
def old(folder: Path) -> Bundle:
    return Bundle.open(tiny_bundle(folder / "old.ewb"))


@pytest.fixture
def new(folder: Path) -> Bundle:
    return Bundle.open(tiny_bundle(folder / "new.ewb", seed=1))


@cache
def _request(bundle: Bundle) -> Request:
    return Request(bundle.manifest_bytes, tuple(bundle.read(entry.path) for entry in bundle.manifest.files))


def _flash(home: Path, bundle: Bundle) -> None:
    with locked(home):
        deploy.flash(Store(home), _request(bundle), lambda release: {}, lambda step: None)


def _roll_back(home: Path) -> None:
    with locked(home):
        deploy.roll_back(Store(home), "tiny", lambda release: {}, lambda step: None)


def _collect(home: Path) -> None:
    with locked(home):
        collect(Store(home))


def _current(home: Path) -> str | None:
    try:
        bundle = Bundle.open(Store(home).current("tiny"))
    except InputError:
        assert not (home / "models" / "tiny" / "current").is_symlink()
        return None
    bundle.verify()
    return bundle.id


def _cut_at_each_change(
    folder: Path, work: Callable[[Path], None], allowed: set[str | None], after: str, recover: Callable[[Path], None]
) -> set[str | None]:
    """Do the work in folder/home, and look at what may be left at each change. Returns the models found in use."""
    home, left = folder / "home", folder / "left"
    disk, chance, found = ForgetfulDisk(home), random.Random(SEED), set()
    changes = 0

    def look(allowed: set[str | None]) -> None:
        for mixture in range(1 + MIXTURES):
            disk.after_power_cut(left, chance if mixture else None)
            current = _current(left)
            assert current in allowed
            found.add(current)
            recover(left)
            assert _current(left) == after
            shutil.rmtree(left)

    with pytest.MonkeyPatch.context() as patch:
        busy = False

        def step() -> None:
            nonlocal busy, changes
            if not busy:
                busy, changes = True, changes + 1
                look(allowed)
                busy = False

        before_each_change(step, patch.setattr)
        stepped_fsync = os.fsync

        def fsync(descriptor: int) -> None:
            stepped_fsync(descriptor)
            path = Path(f"/proc/self/fd/{descriptor}").resolve()
            if not busy and path.is_relative_to(home):
                disk.sync(path)

        patch.setattr(os, "fsync", fsync)
        work(home)
    assert changes >= 10
    look({after})  # what has been reported as done stays done
    return found


def test_during_the_first_flash(folder: Path, new: Bundle) -> None:
    (folder / "home").mkdir()
    found = _cut_at_each_change(
        folder, lambda home: _flash(home, new), {None, new.id}, new.id, lambda home: _flash(home, new)
    )
    assert found == {None, new.id}


def test_during_a_flash_over_another_model(folder: Path, old: Bundle, new: Bundle) -> None:
    _flash(folder / "home", old)
    found = _cut_at_each_change(
        folder, lambda home: _flash(home, new), {old.id, new.id}, new.id, lambda home: _flash(home, new)
    )
    assert found == {old.id, new.id}


def test_during_a_flash_of_what_arrived_as_files(folder: Path, old: Bundle, new: Bundle) -> None:
    _flash(folder / "home", old)
    new.extract(folder / "home" / "incoming")
    found = _cut_at_each_change(
        folder, lambda home: _flash(home, new), {old.id, new.id}, new.id, lambda home: _flash(home, new)
    )
    assert found == {old.id, new.id}


def test_during_a_flash_without_hard_links(
    folder: Path, old: Bundle, new: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    _flash(folder / "home", old)
    found = _cut_at_each_change(
        folder, lambda home: _flash(home, new), {old.id, new.id}, new.id, lambda home: _flash(home, new)
    )
    assert found == {old.id, new.id}


def test_during_a_rollback(folder: Path, old: Bundle, new: Bundle) -> None:
    _flash(folder / "home", old)
    _flash(folder / "home", new)
    found = _cut_at_each_change(folder, _roll_back, {old.id, new.id}, old.id, lambda home: _flash(home, old))
    assert found == {old.id, new.id}


def test_during_a_collection(folder: Path, old: Bundle, new: Bundle) -> None:
    _flash(folder / "home", old)
    _flash(folder / "home", new)
    third = Bundle.open(tiny_bundle(folder / "third.ewb", seed=2))
    _flash(folder / "home", third)
    found = _cut_at_each_change(folder, _collect, {third.id}, third.id, _collect)
    assert found == {third.id}


def test_the_disk_does_forget(folder: Path) -> None:
    """The proof is worth as much as the disk: a file that is not synced is lost, and so is a name."""
    home, left = folder / "home", folder / "left"
    home.mkdir()
    (home / "synced").write_bytes(b"old")
    disk = ForgetfulDisk(home)
    for name in ("synced", "new"):
        (home / f".{name}").write_bytes(b"new")
        (home / f".{name}").replace(home / name)
    disk.after_power_cut(left, None)
    assert {path.name: path.read_bytes() for path in left.iterdir()} == {"synced": b"old"}
    shutil.rmtree(left)
    disk.sync(home)
    disk.after_power_cut(left, None)
    assert {path.name: path.read_bytes() for path in left.iterdir()} == {"synced": b"garbage", "new": b"garbage"}
