"""Disks that are full or read-only, permissions, symlinks, a clock in 1970: one sentence, and the old model serves."""

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.models import tiny_bundle, wide_model, write_bundle

from edgewright_runtime import deploy
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.errors import EdgewrightError, StorageError
from edgewright_runtime.garbage import collect
from edgewright_runtime.isolated import isolated
from edgewright_runtime.lock import locked
from edgewright_runtime.request import Request
from edgewright_runtime.store import Store

NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")


@pytest.fixture
def old(tmp_path: Path) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path / "old.ewb"))


@pytest.fixture
def new(tmp_path: Path) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path / "new.ewb", seed=1))


@pytest.fixture
def large(tmp_path: Path) -> Bundle:
    """The same model's next release, of a megabyte."""
    sample = np.ones((1, 1, 500), np.float32)
    return Bundle.open(write_bundle(tmp_path / "large.ewb", wide_model(1, 500), [sample]))


@cache
def _request(bundle: Bundle) -> Request:
    return Request(bundle.manifest_bytes, tuple(bundle.read(entry.path) for entry in bundle.manifest.files))


def _flash(home: Path, bundle: Bundle) -> None:
    with locked(home):
        answer = deploy.flash(Store(home), _request(bundle), _check, lambda step: None)
    assert answer["missing"] == []


def _check(release: Path) -> dict[str, Any]:
    Bundle.open(release).verify()
    return {}


def _serves(home: Path, bundle: Bundle) -> bool:
    current = Bundle.open(home / "models" / "tiny" / "current")
    current.verify()
    return current.id == bundle.id


def _is_one_sentence(error: pytest.ExceptionInfo[StorageError]) -> bool:
    message = str(error.value)
    return message.count("\n") == 0 and message.endswith(".") and "Errno" not in message


@contextmanager
def _tmpfs(folder: Path, size_bytes: int) -> Iterator[Path]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this root may not mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@needs_root
def test_a_full_disk(tmp_path: Path, old: Bundle, new: Bundle, large: Bundle) -> None:
    with _tmpfs(tmp_path / "disk", 512 << 10) as disk:
        home = disk / "home"
        _flash(home, old)
        with pytest.raises(StorageError, match="no space is left on that disk: free some") as error:
            _flash(home, large)
        assert _is_one_sentence(error)
        assert _serves(home, old)
        # Not a byte left, not even for the lock to say whose it is.
        with pytest.raises(OSError, match="No space"):
            (disk / "ballast").write_bytes(bytes(512 << 10))
        with pytest.raises(StorageError, match="no space is left on that disk") as error:
            _flash(home, new)
        assert _is_one_sentence(error)
        assert _serves(home, old)
        (disk / "ballast").unlink()
        _flash(home, new)
        assert _serves(home, new)


@needs_root
def test_a_read_only_file_system(tmp_path: Path, old: Bundle, new: Bundle) -> None:
    with _tmpfs(tmp_path / "disk", 1 << 20) as disk:
        home = disk / "home"
        _flash(home, old)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(StorageError, match="the file system is read-only") as error:
            _flash(home, new)
        assert _is_one_sentence(error)
        assert _serves(home, old)


@contextmanager
def _public_folder() -> Iterator[Path]:
    """One in which any user may work: pytest's own are private."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "home").mkdir(mode=0o777)
        (Path(folder) / "home").chmod(0o777)
        yield Path(folder) / "home"


def _as_nobody(work: Any) -> Any:
    """In a process that permissions count for."""

    def unprivileged() -> dict[str, Any]:
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return {"result": work()}

    return isolated(unprivileged)["result"]


@pytest.mark.parametrize("place", ["", "blobs", "releases/tiny", "models/tiny", "incoming"])
def test_a_folder_without_permission(old: Bundle, new: Bundle, place: str) -> None:
    _request(old), _request(new)  # read now, by a user who may
    with _public_folder() as home, ExitStack() as afterwards:
        _as_nobody(lambda: _flash(home, old))
        owner = (home / "blobs").stat().st_uid
        (home / place).chmod(0o555)
        if os.geteuid() == 0:
            os.chown(home / place, 0, 0)
        (home / ".lock").chmod(0o444 if place == "" else 0o644)
        afterwards.callback((home / place).chmod, 0o755)
        with pytest.raises(StorageError, match="permission is denied: choose another folder or change") as error:
            _as_nobody(lambda: _flash(home, new))
        assert _is_one_sentence(error)
        assert _serves(home, old)
        (home / place).chmod(0o755)
        (home / ".lock").chmod(0o644)
        if os.geteuid() == 0:
            os.chown(home / place, owner, owner)
        _as_nobody(lambda: _flash(home, new))
        assert _serves(home, new)


def test_a_quota(tmp_path: Path, old: Bundle, new: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each place where a file system that keeps quotas may refuse."""
    home = tmp_path / "home"
    _flash(home, old)

    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    for step in ("mkdir", "fsync", "symlink", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, refuse)
            with pytest.raises(StorageError, match="the disk quota is used up: free some space") as error:
                _flash(home, new)
            assert _is_one_sentence(error)
        assert _serves(home, old)
    _flash(home, new)
    assert _serves(home, new)


@pytest.mark.parametrize(
    "place",
    [
        "blobs",
        "incoming",
        "releases",
        "releases/tiny",
        "releases/tiny/NEW",
        "releases/tiny/NEW/golden",
        "models",
        "models/tiny",
    ],
)
def test_a_symlink_in_place_of_a_folder_leads_nowhere(tmp_path: Path, old: Bundle, new: Bundle, place: str) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    _flash(home, old)
    planted = home / place.replace("NEW", new.id)
    if planted.exists():
        shutil.copytree(planted, outside, symlinks=True)
        shutil.rmtree(planted)
    else:
        outside.mkdir()
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.symlink_to(outside)
    before = _listing(outside)
    with pytest.raises(StorageError, match="is a symlink, where edgewright keeps files of its own: remove it") as error:
        _flash(home, new)
    assert _is_one_sentence(error)
    assert _listing(outside) == before
    with locked(home), suppress(StorageError):
        collect(Store(home))
    assert _listing(outside) == before
    planted.unlink(missing_ok=True)
    _flash(home, new)
    assert _serves(home, new)


def test_a_symlink_in_place_of_a_file_is_replaced(tmp_path: Path, old: Bundle, new: Bundle) -> None:
    """Even where it points to the right content: that is somebody else's, and may change."""
    home, outside = tmp_path / "home", tmp_path / "outside"
    outside.mkdir()
    _flash(home, old)
    _flash(home, new)
    release = home / "releases" / "tiny" / new.id
    for path in [*(home / "blobs").iterdir(), *(path for path in release.rglob("*") if path.is_file())]:
        elsewhere = outside / path.relative_to(home).as_posix().replace("/", "_")
        path.rename(elsewhere)
        path.symlink_to(elsewhere)
    (home / "incoming" / new.manifest.files[0].sha256).symlink_to(next(outside.iterdir()))
    (release / ".manifest.json.unfinished").symlink_to(outside / "written")
    (home / "models" / "tiny" / ".current.unfinished").symlink_to(outside / "written")
    before = _listing(outside)
    _flash(home, new)
    assert _serves(home, new)
    assert _listing(outside) == before
    blobs = [home / "blobs" / entry.sha256 for entry in new.manifest.files]
    assert not [path for path in [*blobs, *release.rglob("*")] if path.is_symlink()]


@pytest.mark.parametrize("link", ["current", "previous"])
def test_a_symlink_of_ours_that_leads_out_is_not_followed(tmp_path: Path, old: Bundle, new: Bundle, link: str) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    _flash(home, old)
    _flash(home, new)
    shutil.copytree(home / "releases" / "tiny" / old.id, outside / ("0" * 64))
    (home / "models" / "tiny" / link).unlink()
    (home / "models" / "tiny" / link).symlink_to(outside / ("0" * 64))
    with pytest.raises(EdgewrightError, match="no release 0000"):
        getattr(Store(home), link)("tiny")
    _flash(home, old)
    assert _serves(home, old)


@pytest.mark.parametrize("place", ["releases/tiny/NEW/model.tflite", "models/tiny/current", "blobs/MODEL"])
def test_a_folder_in_place_of_a_file(tmp_path: Path, old: Bundle, new: Bundle, place: str) -> None:
    home = tmp_path / "home"
    _flash(home, old)
    model = next(entry.sha256 for entry in new.manifest.files if entry.path == "model.tflite")
    planted = home / place.replace("NEW", new.id).replace("MODEL", model)
    planted.unlink(missing_ok=True)
    planted.mkdir(parents=True)
    with pytest.raises(StorageError, match="that path is a folder, not a file") as error:
        _flash(home, new)
    assert _is_one_sentence(error)
    planted.rmdir()
    _flash(home, new)
    assert _serves(home, new)


def test_a_clock_in_1970(tmp_path: Path, old: Bundle, new: Bundle) -> None:
    """A board without a battery starts there, and jumps when it finds a network."""
    home = tmp_path / "home"
    _flash(home, old)
    for path in home.rglob("*"):
        os.utime(path, (0, 0), follow_symlinks=False)
    _flash(home, new)
    assert _serves(home, new)
    assert Store(home).previous("tiny").name == old.id
    with locked(home):
        assert collect(Store(home))["removed"] == []


def _listing(folder: Path) -> dict[str, bytes | str | None]:
    """Every path with its content, or where it points to."""

    def content(path: Path) -> bytes | str | None:
        if path.is_symlink():
            return os.readlink(path)  # noqa: PTH115
        return path.read_bytes() if path.is_file() else None

    return {str(path.relative_to(folder)): content(path) for path in folder.rglob("*")}
