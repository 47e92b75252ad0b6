"""The models on a device: whole at any instant, whatever is interrupted and whatever arrives."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from unit.models import tiny_bundle

from edgewright_runtime import disk, store
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.errors import BundleError, InputError, StorageError
from edgewright_runtime.store import Store


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def _bundle(tmp_path: Path, seed: int = 0) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path / f"{seed}.ewb", seed=seed))


def _send(bundle: Bundle, home: Path) -> None:
    hashes = [entry.sha256 for entry in bundle.manifest.files]
    bundle.extract(home / "incoming", only=Store(home).missing(hashes))


def _flash(bundle: Bundle, home: Path) -> None:
    _send(bundle, home)
    Store(home).install(bundle.manifest_bytes)
    Store(home).activate(bundle.manifest.name, bundle.id)


def test_flashing(tmp_path: Path, home: Path) -> None:
    old, new = _bundle(tmp_path), _bundle(tmp_path, seed=1)
    _flash(old, home)
    release = Store(home).current("tiny")
    assert release == home / "releases" / "tiny" / old.id
    Bundle.open(release).verify()
    assert list((home / "incoming").iterdir()) == []
    assert (release / "model.tflite").stat().st_nlink == 2  # the blob itself, not a copy
    _flash(new, home)
    assert Store(home).current("tiny").name == new.id
    assert Store(home).models() == [
        {
            "name": "tiny",
            "current": new.id,
            "previous": old.id,
            "releases": [
                {
                    "id": bundle.id,
                    "size_bytes": Bundle.open(home / "releases/tiny" / bundle.id).size_bytes,
                    "mode": "float32",
                }
                for bundle in sorted((old, new), key=lambda bundle: bundle.id)
            ],
        }
    ]


def test_only_what_is_missing_travels(tmp_path: Path, home: Path) -> None:
    old, new = _bundle(tmp_path), _bundle(tmp_path, seed=1)
    hashes = [entry.sha256 for entry in old.manifest.files]
    assert Store(home).missing([*hashes, *hashes]) == hashes
    _flash(old, home)
    assert Store(home).missing(hashes) == []
    different = {entry.path for entry in new.manifest.files if Store(home).missing([entry.sha256])}
    assert different == {"model.tflite", "golden/out0.npy"}


def test_a_home_can_be_moved(tmp_path: Path, home: Path) -> None:
    _flash(_bundle(tmp_path), home)
    home.rename(tmp_path / "moved")
    Bundle.open(tmp_path / "moved" / "models" / "tiny" / "current").verify()


def test_a_blob_that_lost_bits_is_sent_again_and_repairs_the_release(tmp_path: Path, home: Path) -> None:
    bundle = _bundle(tmp_path)
    _flash(bundle, home)
    model = next(entry.sha256 for entry in bundle.manifest.files if entry.path == "model.tflite")
    blob = home / "blobs" / model
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    assert Store(home).missing([model]) == [model]
    with pytest.raises(BundleError, match="damaged"):
        Bundle.open(Store(home).current("tiny")).verify()
    _flash(bundle, home)
    Bundle.open(Store(home).current("tiny")).verify()


def test_what_was_damaged_on_its_way_is_not_installed(tmp_path: Path, home: Path) -> None:
    bundle = _bundle(tmp_path)
    _send(bundle, home)
    arrived = next((home / "incoming").iterdir())
    arrived.write_bytes(arrived.read_bytes()[:-1])
    with pytest.raises(BundleError, match="missing or was damaged on its way"):
        Store(home).install(bundle.manifest_bytes)
    assert not (home / "releases").exists()
    _flash(bundle, home)


def test_a_disk_without_hard_links_gets_copies(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    _flash(_bundle(tmp_path), home)
    release = Store(home).current("tiny")
    Bundle.open(release).verify()
    assert (release / "model.tflite").stat().st_nlink == 1


def test_rollback_goes_back_and_forth(tmp_path: Path, home: Path) -> None:
    old, new = _bundle(tmp_path), _bundle(tmp_path, seed=1)
    _flash(old, home)
    with pytest.raises(InputError, match="no previous release"):
        Store(home).rollback("tiny")
    _flash(new, home)
    for expected in (old.id, new.id):
        assert Store(home).rollback("tiny") == expected
        assert Store(home).current("tiny").name == expected
    _flash(new, home)  # once more the same: what was previous stays
    assert Store(home).rollback("tiny") == old.id


def test_a_current_release_that_is_gone_is_replaced(tmp_path: Path, home: Path) -> None:
    old, new = _bundle(tmp_path), _bundle(tmp_path, seed=1)
    _flash(old, home)
    shutil.rmtree(Store(home).current("tiny"))
    with pytest.raises(InputError, match="no release"):
        Store(home).current("tiny")
    _flash(new, home)
    assert Store(home).current("tiny").name == new.id
    assert Store(home).models()[0]["previous"] is None


def test_two_take_turns(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = _bundle(tmp_path)
    point, tried = store._point, []

    def try_the_lock(link: Path, release: Path) -> None:
        other = os.open(home, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)
        tried.append(link.name)
        point(link, release)

    monkeypatch.setattr(store, "_point", try_the_lock)
    _flash(bundle, home)
    assert tried == ["current"]


class _PowerCut(BaseException):
    """No code runs after it, so nothing may catch it."""


def _steps(monkeypatch: pytest.MonkeyPatch, cut_at: int) -> list[str]:
    """Let the power go at the given change of the disk; without, count them."""
    done: list[str] = []

    def counted(module: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(module, name)

        def step(*arguments: Any, **options: Any) -> Any:
            done.append(name)
            if len(done) > cut_at:
                raise _PowerCut
            return original(*arguments, **options)

        monkeypatch.setattr(module, name, step)

    for module, name in (
        (os, "link"),
        (os, "fsync"),
        (Path, "replace"),
        (Path, "mkdir"),
        (Path, "symlink_to"),
        (Path, "unlink"),
        (shutil, "rmtree"),
    ):
        counted(module, name)
    return done


def test_power_may_go_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Bundle.open(tiny_bundle(tmp_path / "old.ewb", kind="float32"))
    new = Bundle.open(tiny_bundle(tmp_path / "new.ewb", kind="float32", golden_error=1e-5))
    start = tmp_path / "start"
    _flash(old, start)
    _send(new, start)

    def flash(home: Path) -> None:
        Store(home).install(new.manifest_bytes)
        Store(home).activate("tiny", new.id)

    def at_power_cut(step: int) -> tuple[Path, int]:
        home = Path(shutil.copytree(start, tmp_path / f"cut{step}", symlinks=True))
        with monkeypatch.context() as patch:
            done = _steps(patch, step)
            with contextlib.suppress(_PowerCut):
                flash(home)
        return home, len(done)

    _, total = at_power_cut(10_000)
    assert total > 20
    found = set()
    for step in range(total):
        home, _ = at_power_cut(step)
        bundle = Bundle.open(home / "models" / "tiny" / "current")
        bundle.verify()
        found.add(bundle.id)
        flash(home)  # and afterwards the same command succeeds
        assert Bundle.open(Store(home).current("tiny")).id == new.id
        shutil.rmtree(home)
    assert found == {old.id, new.id}


def test_content_is_on_the_disk_before_it_is_relied_on(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = _bundle(tmp_path)
    _send(bundle, home)
    order: list[str] = []
    for module, name in ((store, "fsync_file"), (store, "fsync_folder"), (disk, "fsync_folder")):
        original = getattr(module, name)
        monkeypatch.setattr(
            module,
            name,
            lambda path, original=original, name=name: (order.append(f"{name} {path.name}"), original(path)),
        )
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, to: (order.append(f"replace {to.name}"), replace(path, to))[1])
    Store(home).install(bundle.manifest_bytes)
    Store(home).activate("tiny", bundle.id)
    for entry in bundle.manifest.files:
        assert order.index(f"fsync_file {entry.sha256}") < order.index(f"replace {entry.sha256}")
    last_blob = max(order.index(f"replace {entry.sha256}") for entry in bundle.manifest.files)
    assert last_blob < order.index("fsync_folder blobs", last_blob) < order.index(f"replace {bundle.id}")
    assert order.index(f"fsync_folder .{bundle.id}.unfinished") < order.index(f"replace {bundle.id}")
    assert order.index(f"replace {bundle.id}") < order.index("fsync_folder tiny") < order.index("replace current")
    assert order[-1] == "fsync_folder tiny"


@pytest.mark.parametrize("name", ["../tiny", "", ".hidden", "a/b", "a" * 65, "tiny\n"])
def test_a_name_that_leads_astray_is_refused(home: Path, name: str) -> None:
    for use in (Store(home).current, Store(home).rollback, lambda name: Store(home).activate(name, "0" * 64)):
        with pytest.raises(InputError, match="no name of a model"):
            use(name)


@pytest.mark.parametrize("bundle_id", ["0" * 64, "../../etc", "", "0" * 63])
def test_only_an_installed_release_is_activated(tmp_path: Path, home: Path, bundle_id: str) -> None:
    _flash(_bundle(tmp_path), home)
    with pytest.raises(InputError, match="no release"):
        Store(home).activate("tiny", bundle_id)


def test_what_is_no_hash_is_refused(home: Path) -> None:
    for sha256 in ("../secret", "0" * 63, "A" * 64, "0" * 64 + "\n"):
        with pytest.raises(InputError, match="no SHA-256"):
            Store(home).missing([sha256])


def test_a_model_that_is_not_there(tmp_path: Path, home: Path) -> None:
    assert Store(home).models() == []
    with pytest.raises(InputError, match=r"no model kitchen on this device \(there: none\)"):
        Store(home).current("kitchen")
    _flash(_bundle(tmp_path), home)
    with pytest.raises(InputError, match=r"\(there: tiny\)"):
        Store(home).current("kitchen")


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="Cannot write to"):
        Store(tmp_path / "file" / "home").install(_bundle(tmp_path).manifest_bytes)


def test_a_release_that_is_damaged_is_listed_with_its_problem(tmp_path: Path, home: Path) -> None:
    bundle = _bundle(tmp_path)
    _flash(bundle, home)
    manifest = Store(home).current("tiny") / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[1:])
    (release,) = Store(home).models()[0]["releases"]
    assert release["id"] == bundle.id
    assert "damaged" in release["problem"]
