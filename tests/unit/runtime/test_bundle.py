"""A bundle opened, as a file and as a release folder: nothing comes out of it unverified."""

from pathlib import Path

import numpy as np
import pytest
from unit.models import LABELS, tiny_bundle, tiny_text_model, write_bundle

from edgewright_runtime.bundle import Bundle, write_archive
from edgewright_runtime.errors import BundleError, InputError
from edgewright_runtime.hashing import sha256_hex


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path / "tiny.ewb"))


@pytest.fixture
def release(bundle: Bundle, tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    for entry in bundle.manifest.files:
        path = folder / entry.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bundle.read(entry.path))
    (folder / "manifest.json").write_bytes(bundle.manifest_bytes)
    return folder


def test_a_release_folder_is_the_same_bundle(bundle: Bundle, release: Path) -> None:
    opened = Bundle.open(str(release))
    opened.verify()
    assert opened.id == bundle.id == sha256_hex(bundle.manifest_bytes)
    assert opened.labels() == bundle.labels() == LABELS
    variant = opened.manifest.variant()
    assert opened.model_path_or_bytes(variant) == release / "model.tflite"
    assert bundle.model_path_or_bytes(variant) == tiny_text_model()
    assert opened.size_bytes == sum(path.stat().st_size for path in release.rglob("*") if path.is_file())
    assert bundle.size_bytes == bundle.path.stat().st_size


def test_golden_samples_have_the_shapes_of_the_model(bundle: Bundle) -> None:
    (tokens,), (probabilities,) = bundle.golden()
    assert (tokens.shape, tokens.dtype) == ((3, 1, 8), np.int32)
    assert (probabilities.shape, probabilities.dtype) == ((3, 1, 3), np.float32)
    assert probabilities.argmax(-1).ravel().tolist() == [0, 1, 2]


def test_the_tokenizer_comes_out_ready(bundle: Bundle) -> None:
    tokenizer = bundle.tokenizer()
    assert tokenizer is not None
    assert tokenizer.encode("The lights, please").tolist() == [6, 2, 8, 0, 0, 0, 0, 0]


def test_a_bundle_without_labels_and_tokenizer(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "plain.ewb", kind="float32"))
    assert bundle.labels() is None
    assert bundle.tokenizer() is None


@pytest.mark.parametrize("damage", ["flip", "shorten", "lengthen", "remove"])
def test_a_damaged_file_of_a_release_is_not_used(release: Path, damage: str) -> None:
    path = release / "model.tflite"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-9] ^= 1
    elif damage == "shorten":
        del data[-1]
    else:
        data += b"\0"
    path.write_bytes(data)
    if damage == "remove":
        path.unlink()
    opened = Bundle.open(release)
    assert opened.labels() == LABELS  # what is whole can be read
    for use in (
        opened.verify,
        lambda: opened.read("model.tflite"),
        lambda: opened.model_path_or_bytes(opened.manifest.variant()),
    ):
        with pytest.raises(BundleError, match=r"model\.tflite"):
            use()


def test_an_archive_changed_after_it_was_opened_is_not_used(bundle: Bundle) -> None:
    data = bytearray(bundle.path.read_bytes())
    data[data.find(b"TFL3")] ^= 1
    bundle.path.write_bytes(data)
    with pytest.raises(BundleError, match="damaged"):
        bundle.read("model.tflite")


@pytest.mark.parametrize(
    ("extra", "use"),
    [
        ({"labels": b'["a", 1]'}, "labels"),
        ({"labels": b'{"a": 1}'}, "labels"),
        ({"labels": b"\xff"}, "labels"),
        ({"labels": b"[" * 100_000}, "labels"),
        ({"tokenizer": b"{}"}, "tokenizer"),
        ({"tokenizer": b"nothing"}, "tokenizer"),
    ],
)
def test_content_that_is_whole_but_wrong_is_refused(tmp_path: Path, extra: dict[str, bytes], use: str) -> None:
    samples = np.zeros((1, 1, 8), np.int32)
    bundle = Bundle.open(write_bundle(tmp_path / "x.ewb", tiny_text_model(), [samples], extra))
    with pytest.raises(BundleError, match=f"{use}.json .* not what the manifest promises"):
        getattr(bundle, use)()


@pytest.mark.parametrize("instead", ["golden/out0.npy", "labels.json"])
def test_golden_samples_that_do_not_fit_are_refused(bundle: Bundle, tmp_path: Path, instead: str) -> None:
    golden = bundle.manifest.golden._replace(inputs=(instead,))
    files = {entry.path: bundle.read(entry.path) for entry in bundle.manifest.files}
    write_archive(bundle.manifest._replace(golden=golden), files, tmp_path / "wrong.ewb")
    with pytest.raises(BundleError, match="not what the manifest promises"):
        Bundle.open(tmp_path / "wrong.ewb").golden()


def test_a_bundle_without_any_golden_sample_is_refused(tmp_path: Path) -> None:
    none = np.zeros((0, 1, 8), np.int32)
    with pytest.raises(BundleError, match="not what the manifest promises"):
        Bundle.open(write_bundle(tmp_path / "none.ewb", tiny_text_model(), [none])).golden()


def test_extract_writes_what_is_asked_for_by_hash(bundle: Bundle, tmp_path: Path) -> None:
    model = next(entry for entry in bundle.manifest.files if entry.path == "model.tflite")
    assert bundle.extract(tmp_path / "some", only=[model.sha256]) == {model.sha256: tmp_path / "some" / model.sha256}
    assert [path.name for path in (tmp_path / "some").iterdir()] == [model.sha256]
    everything = bundle.extract(tmp_path / "all")
    assert set(everything) == {entry.sha256 for entry in bundle.manifest.files}
    assert all(sha256_hex(path.read_bytes()) == sha256 for sha256, path in everything.items())


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("absent.ewb", None, InputError, "no bundle at"),
        ("text.ewb", b"hello", BundleError, "no edgewright bundle"),
        ("empty.ewb", b"", BundleError, "no edgewright bundle"),
        ("empty.zip", b"PK\5\6" + bytes(18), BundleError, "no edgewright bundle"),
        ("huge.ewb", b"PK\3\4" + b"\xff" * 100, BundleError, "damaged"),
    ],
)
def test_what_is_no_bundle(
    tmp_path: Path, name: str, content: bytes | None, error: type[Exception], message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        Bundle.open(tmp_path / name)


def test_what_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no release folder"):
        Bundle.open(tmp_path)
    with pytest.raises(InputError, match="Cannot read"):
        Bundle.open(tmp_path / ("x" * 300))
