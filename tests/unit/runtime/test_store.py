"""The models on a device: whole at any instant, whatever is interrupted and whatever arrives."""

import os
import shutil
from pathlib import Path

import pytest
from unit.models import tiny_bundle

from edgewright_runtime import disk, store
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.errors import BundleError, InputError, StorageError
from edgewright_runtime.manifest import FileEntry
from edgewright_runtime.store import Store


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def _bundle(tmp_path: Path, seed: int = 0) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path / f"{seed}.ewb", seed=seed))


def _missing(home: Path, bundle: Bundle) -> list[str]:
    """Paths in the bundle."""
    missing = Store(home).accept(bundle.manifest.files)
    return [entry.path for entry in bundle.manifest.files if entry.sha256 in missing]


def _flash(bundle: Bundle, home: Path) -> None:
    bundle.extract(home / "incoming", only=Store(home).accept(bundle.manifest.files))
    assert Store(home).accept(bundle.manifest.files) == []
    Store(home).assemble(bundle.manifest_bytes)
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


def test_only_what_is_missing_is_asked_for(tmp_path: Path, home: Path) -> None:
    old, new = _bundle(tmp_path), _bundle(tmp_path, seed=1)
    everything = [entry.path for entry in old.manifest.files]
    assert _missing(home, old) == everything
    twice = FileEntry("another/name", 0, old.manifest.files[0].sha256)
    assert Store(home).accept([*old.manifest.files, twice]) == [entry.sha256 for entry in old.manifest.files]
    _flash(old, home)
    assert _missing(home, old) == []
    assert _missing(home, new) == ["model.tflite", "golden/out0.npy"]


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
    assert _missing(home, bundle) == ["model.tflite"]
    with pytest.raises(BundleError, match="damaged"):
        Bundle.open(Store(home).current("tiny")).verify()
    _flash(bundle, home)
    Bundle.open(Store(home).current("tiny")).verify()


def test_what_was_damaged_on_its_way_is_asked_for_again(tmp_path: Path, home: Path) -> None:
    bundle = _bundle(tmp_path)
    bundle.extract(home / "incoming")
    model = home / "incoming" / bundle.manifest.files[0].sha256
    model.write_bytes(model.read_bytes()[:-1])
    assert _missing(home, bundle) == ["model.tflite"]
    Store(home).receive([bundle.read("model.tflite")])
    assert _missing(home, bundle) == []


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
        Store(home).roll_back("tiny")
    _flash(new, home)
    for expected, before in ((old.id, new.id), (new.id, old.id)):
        assert Store(home).roll_back("tiny") == before
        assert Store(home).current("tiny").name == expected
    _flash(new, home)  # once more the same: what was previous stays
    assert Store(home).roll_back("tiny") == new.id
    assert Store(home).current("tiny").name == old.id


def test_rolling_back_from_a_release_that_is_gone(tmp_path: Path, home: Path) -> None:
    old, new = _bundle(tmp_path), _bundle(tmp_path, seed=1)
    _flash(old, home)
    _flash(new, home)
    shutil.rmtree(Store(home).current("tiny"))
    assert Store(home).roll_back("tiny") == new.id
    assert Store(home).current("tiny").name == old.id
    with pytest.raises(InputError, match="no previous release"):
        Store(home).roll_back("tiny")


def test_a_current_release_that_is_gone_is_replaced(tmp_path: Path, home: Path) -> None:
    old, new = _bundle(tmp_path), _bundle(tmp_path, seed=1)
    _flash(old, home)
    shutil.rmtree(Store(home).current("tiny"))
    with pytest.raises(InputError, match="no release"):
        Store(home).current("tiny")
    _flash(new, home)
    assert Store(home).current("tiny").name == new.id
    assert Store(home).models()[0]["previous"] is None


def test_content_is_on_the_disk_before_it_is_relied_on(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = _bundle(tmp_path)
    bundle.extract(home / "incoming")
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
    Store(home).accept(bundle.manifest.files)
    Store(home).assemble(bundle.manifest_bytes)
    Store(home).activate("tiny", bundle.id)
    for entry in bundle.manifest.files:
        assert order.index(f"fsync_file {entry.sha256}") < order.index(f"replace {entry.sha256}")
        assert order.index(f"fsync_file {entry.sha256}") < order.index(f"replace {bundle.id}")
    assert order.index(f"fsync_folder .{bundle.id}.unfinished") < order.index(f"replace {bundle.id}")
    assert order.index(f"replace {bundle.id}") < order.index("fsync_folder tiny") < order.index("replace current")
    assert order[-1] == "fsync_folder tiny"


@pytest.mark.parametrize("name", ["../tiny", "", ".hidden", "a/b", "a" * 65, "tiny\n"])
def test_a_name_that_leads_astray_is_refused(home: Path, name: str) -> None:
    for use in (Store(home).current, Store(home).roll_back, lambda name: Store(home).activate(name, "0" * 64)):
        with pytest.raises(InputError, match="no name of a model"):
            use(name)


@pytest.mark.parametrize("bundle_id", ["0" * 64, "../../etc", "", "0" * 63])
def test_only_an_installed_release_is_activated(tmp_path: Path, home: Path, bundle_id: str) -> None:
    _flash(_bundle(tmp_path), home)
    with pytest.raises(InputError, match="no release"):
        Store(home).activate("tiny", bundle_id)


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
        Store(tmp_path / "file" / "home").receive([b"content"])
    with pytest.raises(StorageError, match="Cannot install tiny"):
        Store(tmp_path / "file" / "home").assemble(_bundle(tmp_path).manifest_bytes)


def test_a_release_that_is_damaged_is_listed_with_its_problem(tmp_path: Path, home: Path) -> None:
    bundle = _bundle(tmp_path)
    _flash(bundle, home)
    manifest = Store(home).current("tiny") / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[1:])
    (release,) = Store(home).models()[0]["releases"]
    assert release["id"] == bundle.id
    assert "damaged" in release["problem"]
