from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from unit.models import tiny_bundle, tiny_model

from edgewright.errors import BundleError, CheckError, EngineError, InputError, TransportError
from edgewright.flash import flash
from edgewright.remote import Remote
from edgewright.transports import Completed, LocalTransport
from edgewright_runtime.bundle import Bundle, write_archive
from edgewright_runtime.hashing import sha256_hex
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
        flash(make(tmp_path / "failing.ewb"), kitchen)
    assert _current(kitchen) == before


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

    def put(self, local: Path, remote: PurePosixPath) -> None:
        self._step()
        super().put(local, remote)


STEPS = 6  # of a flash that sends two files: missing, put, put, install, verify, activate


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


def test_what_was_damaged_on_the_way_is_refused(kitchen: Remote, bundle: Path, home: Path) -> None:
    class Damaging(LocalTransport):
        def put(self, local: Path, remote: PurePosixPath) -> None:
            super().put(local, remote)
            Path(remote).write_bytes(b"damaged")

    with pytest.raises(BundleError, match="damaged on its way: flash again"):
        flash(bundle, Remote("kitchen", Damaging(home), kitchen.python))
    assert _current(kitchen) is None
    assert flash(bundle, kitchen).blobs_sent == 5
