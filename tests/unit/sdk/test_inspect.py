import json
from pathlib import Path

import pytest
from unit.models import tiny_bundle, tiny_model

from edgewright.errors import BundleError, InputError
from edgewright.inspect import inspect
from edgewright_runtime.bundle import Bundle


def test_a_bundle_shows_its_manifest_and_its_model(bundle: Path) -> None:
    report = inspect(bundle)
    assert report.bundle is not None
    assert report.size_bytes == bundle.stat().st_size
    (flatbuffer,) = report.flatbuffers.values()
    assert [operator.name for operator in flatbuffer.operators] == ["GATHER", "MEAN", "FULLY_CONNECTED", "SOFTMAX"]
    document = json.loads(json.dumps(report.to_dict()))
    assert document["bundle"]["id"] == Bundle.open(bundle).id
    assert document["bundle"]["name"] == "tiny"
    described = document["flatbuffers"]["model.tflite"]
    assert sum(described["breakdown"].values()) == described["size_bytes"]


def test_a_bare_flatbuffer(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(tiny_model("int8", dense_version=99))
    report = inspect(path)
    assert report.bundle is None
    assert report.flatbuffers["model.tflite"].min_runtime is None  # nobody knows version 99


def test_a_damaged_bundle_is_refused(tmp_path: Path) -> None:
    path = tiny_bundle(tmp_path / "tiny.ewb")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError):
        inspect(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"not a model at all", b"\x00" * 4096])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError):
        inspect(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot read .*missing"):
        inspect(tmp_path / "missing.tflite")
    with pytest.raises(InputError, match="is a folder without"):
        inspect(tmp_path)


def test_where_an_edge_tpu_would_run_it(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(tiny_model("int8"))
    placed = inspect(path).edgetpu()["model.tflite"]
    assert [(entry["operator"], entry["on_tpu"]) for entry in placed] == [("FULLY_CONNECTED", True), ("SOFTMAX", True)]
    path.write_bytes(tiny_model())
    placed = inspect(path).edgetpu()["model.tflite"]
    assert placed[0]["reason"] == "float32 is no quantized 8-bit type"
