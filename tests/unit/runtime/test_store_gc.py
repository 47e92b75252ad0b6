"""Collecting garbage: what is in use, and what was before, stays; the rest goes, and its bytes are counted right."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from unit.models import tiny_bundle

import edgewright_runtime
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.claim import CLAIM, FRESH_S
from edgewright_runtime.garbage import collect
from edgewright_runtime.request import pack_request
from edgewright_runtime.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home")


def _flash(store: Store, seed: int, name: str = "tiny") -> Bundle:
    bundle = Bundle.open(tiny_bundle(store.home.parent / f"{name}{seed}.ewb", seed=seed, name=name))
    store.receive([bundle.read(entry.path) for entry in bundle.manifest.files])
    assert store.accept(bundle.manifest.files) == []
    store.assemble(bundle.manifest_bytes)
    store.activate(name, bundle.id)
    return bundle


def _bytes_on_disk(home: Path) -> int:
    return sum({path.lstat().st_ino: path.lstat().st_size for path in home.rglob("*") if path.is_file()}.values())


def _age(path: Path, seconds: float = 2 * FRESH_S) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def test_what_is_in_use_or_was_before_stays(store: Store) -> None:
    oldest, old, new = (_flash(store, seed) for seed in (0, 1, 2))
    other = _flash(store, 3, "other")
    before = _bytes_on_disk(store.home)
    planned = collect(store, dry_run=True)
    assert _bytes_on_disk(store.home) == before
    done = collect(store)
    assert done == {**planned, "dry_run": False}
    gone = {entry.sha256 for entry in oldest.manifest.files}
    gone -= {entry.sha256 for bundle in (old, new, other) for entry in bundle.manifest.files}
    assert len(gone) == 2  # the model and its answers; the rest is what all have in common
    assert set(done["removed"]) == {f"releases/tiny/{oldest.id}", *(f"blobs/{sha256}" for sha256 in gone)}
    assert before - _bytes_on_disk(store.home) == done["freed_bytes"] > 0
    for name, kept in (("tiny", new), ("other", other)):
        assert store.current(name).name == kept.id
        Bundle.open(store.current(name)).verify()
    assert store.previous("tiny").name == old.id
    assert collect(store)["removed"] == []


def test_what_interrupted_commands_left_goes(store: Store) -> None:
    bundle = _flash(store, 0)
    for left in (
        "releases/tiny/.0123.unfinished/golden/in0.npy",
        "releases/never-used/0123/manifest.json",
        "models/tiny/.current.unfinished",
        "blobs/.abc.unfinished",
        "blobs/deadbeef",
        "incoming/.123.unfinished",
        "incoming/abc",
        "data/abc.npz",
    ):
        path = store.home / left
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
        _age(path)
    done = collect(store)
    assert done["freed_bytes"] == 8 * 5
    assert len(done["removed"]) == 8
    assert store.current("tiny").name == bundle.id
    assert not (store.home / "releases/never-used").exists()
    for folder in ("incoming", "data"):
        assert list((store.home / folder).iterdir()) == []
    assert [path.name for path in (store.home / "releases/tiny").iterdir()] == [bundle.id]


@pytest.mark.parametrize("age_s", [0, FRESH_S - 5])
def test_what_has_just_arrived_stays(store: Store, age_s: float) -> None:
    _flash(store, 0)
    (store.home / "incoming" / "abc").write_bytes(b"12345")
    _age(store.home / "incoming" / "abc", age_s)
    done = collect(store)
    assert (done["removed"], done["fresh"]) == ([], 1)
    assert (store.home / "incoming" / "abc").exists()


@pytest.mark.parametrize("clock", [0.0, 4e9], ids=["in 1970", "in 2096"])
def test_a_clock_that_is_wrong_keeps_nothing_for_ever(
    store: Store, clock: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    _flash(store, 0)
    (store.home / "incoming" / "abc").write_bytes(b"12345")
    monkeypatch.setattr(time, "time", lambda: clock)
    assert collect(store)["removed"] == ["incoming/abc"]


def test_a_model_whose_release_is_damaged_is_left_alone(store: Store) -> None:
    bundle = _flash(store, 0)
    (store.current("tiny") / "manifest.json").write_bytes(b"{}")
    done = collect(store)
    assert all(path.startswith("blobs/") for path in done["removed"])
    assert done["freed_bytes"] == 0  # the release has links of its own to their content
    assert (store.current("tiny") / "model.tflite").read_bytes() == bundle.read("model.tflite")


def test_symlinks_are_deleted_not_followed(store: Store, tmp_path: Path) -> None:
    _flash(store, 0)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"12345")
    (store.home / "blobs" / "planted").symlink_to(outside / "precious")
    (store.home / "releases" / "planted").symlink_to(outside)
    (store.home / "releases" / "tiny" / "0123").symlink_to(outside)
    (store.home / "data").symlink_to(outside)
    _age(outside / "precious")
    assert set(collect(store)["removed"]) == {"blobs/planted", "releases/planted", "releases/tiny/0123"}
    assert (outside / "precious").read_bytes() == b"12345"


def test_an_empty_home(store: Store) -> None:
    assert collect(store) == {"removed": [], "freed_bytes": 0, "fresh": 0, "dry_run": False}


@contextmanager
def _held_elsewhere(path: Path) -> Iterator[None]:
    """Another process runs with it, and is killed in the end."""
    program = "import sys, pathlib, edgewright_runtime.claim as c; c.hold(pathlib.Path(sys.argv[1])); print(); input()"
    environment = {**os.environ, "PYTHONPATH": str(Path(edgewright_runtime.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_a_release_about_to_be_measured_stays(store: Store) -> None:
    measured = Bundle.open(tiny_bundle(store.home.parent / "measured.ewb", seed=7))
    request = pack_request(measured.manifest_bytes, [measured.read(entry.path) for entry in measured.manifest.files])
    command = [sys.executable, "-m", "edgewright_runtime", "store-install", "--home", str(store.home)]
    environment = {**os.environ, "PYTHONPATH": str(Path(edgewright_runtime.__file__).parents[1])}
    subprocess.run(command, input=request, env=environment, check=True, capture_output=True)
    release = store.home / "releases" / "tiny" / measured.id
    done = collect(store)
    assert (done["removed"], done["fresh"]) == ([], 1)
    Bundle.open(release).verify()
    _age(release / CLAIM)
    assert "releases/tiny" in collect(store)["removed"]
    assert not release.exists()


def test_what_is_being_measured_stays_until_that_process_ends(store: Store) -> None:
    oldest, *_ = (_flash(store, seed) for seed in (0, 1, 2))
    release = store.home / "releases" / "tiny" / oldest.id
    data = store.home / "data" / "samples.npz"
    data.parent.mkdir()
    data.write_bytes(b"samples")
    _age(data)
    with _held_elsewhere(release), _held_elsewhere(data):
        done = collect(store)
        assert (done["removed"], done["fresh"]) == ([], 2)
    removed = collect(store)["removed"]
    assert {f"releases/tiny/{oldest.id}", "data/samples.npz"} <= set(removed)
