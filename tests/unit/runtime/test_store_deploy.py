"""Flashing and rolling back on the device: whole, checked, and only then in use."""

import ctypes
import os
from pathlib import Path
from typing import Any

import pytest
from unit.models import tiny_bundle

from edgewright_runtime import deploy
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.errors import BundleError, CheckError, EngineError, InputError, StorageError
from edgewright_runtime.isolated import isolated
from edgewright_runtime.request import Request
from edgewright_runtime.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "home").mkdir()  # as the lock does
    return Store(tmp_path / "home")


@pytest.fixture
def old(tmp_path: Path) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path / "old.ewb"))


@pytest.fixture
def new(tmp_path: Path) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path / "new.ewb", seed=1))


def _whole(bundle: Bundle) -> Request:
    return Request(bundle.manifest_bytes, tuple(bundle.read(entry.path) for entry in bundle.manifest.files))


def _good(release: Path) -> dict[str, Any]:
    return {"golden": release.name}


def _bad(release: Path) -> dict[str, Any]:
    raise CheckError("It answers otherwise.")


def _crashing(release: Path) -> dict[str, Any]:
    return isolated(lambda: {"never": ctypes.string_at(0)})


def _flash(store: Store, bundle: Bundle, check: deploy.Check = _good) -> dict[str, Any]:
    return deploy.flash(store, _whole(bundle), check, lambda step: None)


def _roll_back(store: Store, check: deploy.Check = _good) -> dict[str, Any]:
    return deploy.roll_back(store, "tiny", check, lambda step: None)


def test_the_manifest_alone_is_a_question(store: Store, old: Bundle, new: Bundle) -> None:
    answer = deploy.flash(store, Request(old.manifest_bytes, ()), _bad, lambda step: None)
    assert answer["missing"] == [entry.sha256 for entry in old.manifest.files]
    assert set(answer["device"]) == {"engines", "machine", "memory_bytes", "free_bytes"}
    assert not (store.home / "releases").exists()


def test_what_is_there_is_in_use_after_one_round(store: Store, old: Bundle, new: Bundle) -> None:
    _flash(store, old)
    _flash(store, new)
    steps: list[str] = []
    answer = deploy.flash(store, Request(old.manifest_bytes, ()), _good, steps.append)
    assert answer == {
        "missing": [],
        "id": old.id,
        "name": "tiny",
        "path": str(store.home / "releases" / "tiny" / old.id),
        "golden": old.id,
        "previous": new.id,
    }
    assert steps == ["assembling", "checking", "switching over"]
    assert list((store.home / "incoming").iterdir()) == []


def test_what_is_not_wanted_is_not_used(store: Store, old: Bundle, new: Bundle) -> None:
    request = Request(old.manifest_bytes, (*_whole(old).contents, b"something else"))
    deploy.flash(store, request, _good, lambda step: None)
    assert sorted(path.name for path in (store.home / "blobs").iterdir()) == sorted(
        entry.sha256 for entry in old.manifest.files
    )


@pytest.mark.parametrize(("check", "error"), [(_bad, CheckError), (_crashing, EngineError)])
def test_a_release_that_fails_its_check_is_never_in_use(
    store: Store, old: Bundle, new: Bundle, check: deploy.Check, error: type[Exception]
) -> None:
    with pytest.raises(error):
        _flash(store, old, check)
    with pytest.raises(InputError, match="no model tiny"):
        store.current("tiny")
    _flash(store, old)
    with pytest.raises(error):
        _flash(store, new, check)
    assert store.current("tiny").name == old.id
    _flash(store, new)
    with pytest.raises(error):
        _roll_back(store, check)
    assert store.current("tiny").name == new.id
    assert store.previous("tiny").name == old.id


def test_rolling_back_and_forth(store: Store, old: Bundle, new: Bundle) -> None:
    with pytest.raises(InputError, match="no model tiny"):
        _roll_back(store)
    _flash(store, old)
    with pytest.raises(InputError, match="no previous release"):
        _roll_back(store)
    _flash(store, new)
    assert _roll_back(store) == {"name": "tiny", "id": old.id, "previous": new.id, "golden": old.id}
    assert _roll_back(store) == {"name": "tiny", "id": new.id, "previous": old.id, "golden": new.id}


def test_no_room_is_told_before_anything_is_sent(store: Store, old: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    real, needed = os.statvfs, sum({entry.sha256: entry.size_bytes for entry in old.manifest.files}.values())

    def leave(free: int) -> None:
        monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([1, 1, 0, 0, free, *list(real(path))[5:]]))

    leave(needed - 1)
    with pytest.raises(StorageError, match=r"0\.0 MB of free space, the bundle needs 0\.0 MB: free some"):
        deploy.install(store, Request(old.manifest_bytes, ()))
    leave(needed)
    assert deploy.install(store, Request(old.manifest_bytes, ()))["missing"]


def test_a_damaged_manifest_changes_nothing(store: Store, old: Bundle) -> None:
    with pytest.raises(BundleError):
        deploy.flash(store, Request(old.manifest_bytes[:-5], ()), _good, lambda step: None)
    assert list(store.home.iterdir()) == []
