import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from unit.models import tiny_bundle, tiny_model, wide_model, write_bundle

from edgewright.errors import BundleError, CheckError, EngineError, InputError, StorageError, TransportError
from edgewright.flash import change, flash
from edgewright.gc import collect_garbage
from edgewright.remote import Remote
from edgewright.rollback import rollback
from edgewright.transports import Completed, LocalTransport
from edgewright_runtime.bundle import Bundle, write_archive
from edgewright_runtime.hashing import sha256_hex
from edgewright_runtime.lock import locked
from edgewright_runtime.manifest import Budget, FileEntry


def _current(remote: Remote, name: str = "tiny") -> str | None:
    models = remote.call("store-list", "--home", remote.home)["models"]
    return next((model["current"] for model in models if model["name"] == name), None)


def test_a_bundle_is_in_use_afterwards(kitchen: Remote, bundle: Path) -> None:
    told: list[tuple[str, float]] = []
    report = flash(bundle, kitchen, progress=lambda step, fraction: told.append((step, fraction)))
    opened = Bundle.open(bundle)
    assert _current(kitchen) == report.bundle_id == opened.id
    assert (report.device, report.name, report.previous) == ("kitchen", "tiny", None)
    assert report.blobs_sent == 5
    assert report.sent_bytes == sum(entry.size_bytes for entry in opened.manifest.files)
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_only_what_is_missing_travels(kitchen: Remote, bundle: Path, tmp_path: Path) -> None:
    first = flash(bundle, kitchen)
    again = flash(bundle, kitchen)
    assert (again.blobs_sent, again.sent_bytes, again.previous) == (0, 0, first.bundle_id)
    other = flash(tiny_bundle(tmp_path / "other.ewb", seed=1), kitchen)
    assert other.blobs_sent == 2  # the model and its answers; labels, tokenizer and golden inputs are there
    assert other.previous == first.bundle_id


def _wrong_answers(path: Path) -> Path:
    return tiny_bundle(path, seed=1, golden_error=0.5)


def _too_slow(path: Path) -> Path:
    return tiny_bundle(path, seed=1, budget=Budget(latency_ms=1e-6))


def _unknown_operator(path: Path) -> Path:
    good = tiny_bundle(path, kind="float32")
    opened = Bundle.open(good)
    files: dict[str, Any] = {entry.path: opened.read(entry.path) for entry in opened.manifest.files}
    files["model.tflite"] = tiny_model(dense_version=99)
    return _rebuilt(opened, files, path)


def _rebuilt(bundle: Bundle, files: dict[str, bytes], path: Path) -> Path:
    entries = tuple(FileEntry(name, len(data), sha256_hex(data)) for name, data in files.items())
    write_archive(bundle.manifest._replace(files=entries), files, path)
    return path


@pytest.mark.parametrize(
    ("make", "error"), [(_wrong_answers, CheckError), (_too_slow, CheckError), (_unknown_operator, EngineError)]
)
def test_a_failing_model_is_never_in_use(
    kitchen: Remote, bundle: Path, tmp_path: Path, make: Any, error: type[Exception]
) -> None:
    before = flash(bundle, kitchen).bundle_id
    with pytest.raises(error, match="On kitchen: "):
        flash(make(tmp_path / "failing.ewb"), kitchen, check=False)
    assert _current(kitchen) == before


def test_the_doctor_refuses_before_anything_is_sent(kitchen: Remote, tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match=r"tiny will not run on kitchen, so nothing was sent\. FULLY_CONNECTED in logits"
    ):
        flash(_unknown_operator(tmp_path / "failing.ewb"), kitchen)
    assert [path for path in Path(kitchen.home).rglob("*") if path.parent.name in ("incoming", "blobs")] == []


def test_a_damaged_bundle_touches_no_device(tmp_path: Path, bundle: Path) -> None:
    raw = bytearray(bundle.read_bytes())
    raw[len(raw) // 2] ^= 1
    bundle.write_bytes(raw)
    device = Remote("kitchen", LocalTransport(tmp_path / "untouched"))
    with pytest.raises(BundleError):
        flash(bundle, device)
    assert not (tmp_path / "untouched").exists()
    with pytest.raises(InputError, match="There is no bundle"):
        flash(tmp_path / "missing.ewb", device)


class _CutOff(LocalTransport):
    """A way to a device that breaks after ``steps`` commands and files."""

    steps = 0

    def _step(self) -> None:
        if self.steps == 0:
            raise TransportError("The connection is gone.")
        self.steps -= 1

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        self._step()
        return super().run(argv, **options)

    def put(self, local: Path, remote: PurePosixPath, **options: Any) -> None:
        self._step()
        super().put(local, remote)


STEPS = 2  # of a flash that sends only small files: the question, and the answer with the files


@pytest.mark.parametrize("steps", range(STEPS + 1))
def test_a_connection_that_breaks_leaves_the_old_model_or_the_new(
    kitchen: Remote, bundle: Path, tmp_path: Path, steps: int
) -> None:
    old = flash(bundle, kitchen).bundle_id
    other = tiny_bundle(tmp_path / "other.ewb", seed=1)
    new = Bundle.open(other).id
    transport = _CutOff(Path(kitchen.home))
    transport.steps = steps
    cut_off = Remote("kitchen", transport, kitchen.python)
    if steps < STEPS:
        with pytest.raises(TransportError):
            flash(other, cut_off)
    else:
        flash(other, cut_off)
    assert _current(kitchen) == (old if steps < STEPS else new)
    assert kitchen.call("verify", "tiny", "--home", kitchen.home)["golden"]
    assert flash(other, kitchen).bundle_id == _current(kitchen) == new


def _large_bundle(path: Path) -> Path:
    """Two megabytes of weights, which travel as a file."""
    sample = np.ones((1, 1, 700), np.float32)
    return write_bundle(path, wide_model(1, 700), [sample], name="large")


class _Counting(LocalTransport):
    """Knows what passed: the commands' input, and the paths of files."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.inputs: list[int] = []
        self.put_paths: list[str] = []

    def run(self, argv: Sequence[str], **options: Any) -> Completed:
        self.inputs.append(len(options.get("input", b"")))
        return super().run(argv, **options)

    def put(self, local: Path, remote: PurePosixPath, **options: Any) -> None:
        self.put_paths.append(remote.relative_to(self.home).as_posix())
        super().put(local, remote)


def test_small_files_travel_with_the_question_and_large_ones_alone(kitchen: Remote, home: Path, tmp_path: Path) -> None:
    bundle = _large_bundle(tmp_path / "large.ewb")
    transport = _Counting(home)
    report = flash(bundle, Remote("kitchen", transport, kitchen.python))
    opened = Bundle.open(bundle)
    model = next(entry.sha256 for entry in opened.manifest.files if entry.path == "model.tflite")
    assert transport.put_paths == [f"incoming/{model}"]
    assert len(transport.inputs) == 2
    assert (report.blobs_sent, report.sent_bytes) == (3, sum(entry.size_bytes for entry in opened.manifest.files))
    again = _Counting(home)
    flash(bundle, Remote("kitchen", again, kitchen.python))
    assert again.put_paths == []
    assert len(again.inputs) == 1
    assert again.inputs[0] < 1000


def test_what_was_damaged_on_the_way_is_sent_again(kitchen: Remote, home: Path, tmp_path: Path) -> None:
    class Damaging(LocalTransport):
        times = 1

        def put(self, local: Path, remote: PurePosixPath, **options: Any) -> None:
            super().put(local, remote)
            if self.times:
                self.times -= 1
                Path(remote).write_bytes(b"damaged")

    bundle = _large_bundle(tmp_path / "large.ewb")
    transport = Damaging(home)
    flash(bundle, Remote("kitchen", transport, kitchen.python))
    assert _current(kitchen, "large") == Bundle.open(bundle).id
    shutil.rmtree(home / "blobs")
    transport.times = 100
    with pytest.raises(TransportError, match=r"kitchen does not arrive undamaged \(model.tflite\): check"):
        flash(bundle, Remote("kitchen", transport, kitchen.python))
    assert kitchen.call("verify", "large", "--home", kitchen.home)["golden"]


def test_a_device_that_stops_answering(kitchen: Remote, bundle: Path, home: Path, tmp_path: Path) -> None:
    """In the middle of the last step: it has all it needs, and the host gives up."""
    old = flash(bundle, kitchen).bundle_id

    class Silent(LocalTransport):
        calls = 0

        def run(self, argv: Sequence[str], **options: Any) -> Completed:
            self.calls += 1
            silent = ["sh", "-c", "sleep 60"] if self.calls == 2 else argv
            return super().run(silent, **{**options, "timeout_s": 0.2 if self.calls == 2 else 60})

    with pytest.raises(TransportError, match=r"did not end within 0\.2 s on the device: see whether"):
        flash(tiny_bundle(tmp_path / "other.ewb", seed=1), Remote("kitchen", Silent(home), kitchen.python))
    assert _current(kitchen) == old


def test_rolling_back(kitchen: Remote, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="On kitchen: There is no model tiny"):
        rollback("tiny", kitchen)
    old = flash(bundle, kitchen).bundle_id
    new = flash(tiny_bundle(tmp_path / "other.ewb", seed=1), kitchen).bundle_id
    report = rollback("tiny", kitchen)
    assert (report.device, report.name, report.bundle_id, report.previous) == ("kitchen", "tiny", old, new)
    assert _current(kitchen) == old
    assert rollback("tiny", kitchen).bundle_id == new


def test_rolling_back_to_what_is_damaged_by_now(kitchen: Remote, bundle: Path, home: Path, tmp_path: Path) -> None:
    old = flash(bundle, kitchen).bundle_id
    new = flash(tiny_bundle(tmp_path / "other.ewb", seed=1), kitchen).bundle_id
    model = home / "releases" / "tiny" / old / "model.tflite"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    with pytest.raises(BundleError, match=r"On kitchen: model\.tflite .* is damaged"):
        rollback("tiny", kitchen)
    assert _current(kitchen) == new


def test_collecting_garbage(kitchen: Remote, bundle: Path, home: Path, tmp_path: Path) -> None:
    oldest = flash(bundle, kitchen).bundle_id
    for seed in (1, 2):
        flash(tiny_bundle(tmp_path / "other.ewb", seed=seed), kitchen)
    planned = collect_garbage(kitchen, dry_run=True)
    assert planned.dry_run
    assert (home / "releases" / "tiny" / oldest).exists()
    done = collect_garbage(kitchen)
    assert (done.device, done.removed, done.freed_bytes) == ("kitchen", planned.removed, planned.freed_bytes)
    assert f"releases/tiny/{oldest}" in done.removed
    assert done.freed_bytes > 1000
    assert kitchen.call("verify", "tiny", "--home", kitchen.home)["golden"]


def test_two_hosts_take_turns(kitchen: Remote, bundle: Path, home: Path, tmp_path: Path) -> None:
    """The first is in the middle of its flash, with the lock, when the second comes."""
    other = tiny_bundle(tmp_path / "other.ewb", seed=1)
    told: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        with locked(home, "attic"):
            second = pool.submit(flash, other, kitchen, progress=lambda step, fraction: told.append(step))
            while not told or not told[-1].startswith("waiting for"):
                time.sleep(0.01)
                assert not second.done()
            assert _current(kitchen) is None
        second.result()
    assert f"waiting for process {os.getpid()} for attic, since 0 s" in told
    assert _current(kitchen) == Bundle.open(other).id


def test_a_host_that_keeps_the_lock_is_named(kitchen: Remote, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        locked(home, "attic"),
        pytest.raises(StorageError, match=f"On kitchen: .* is being changed by process {os.getpid()} for attic, since"),
    ):
        change(kitchen, "store-gc", "--wait", "0")
