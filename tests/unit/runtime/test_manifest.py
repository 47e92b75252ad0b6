"""manifest.json: canonical, strict, and refused with a sentence wherever it is not."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.models import tiny_bundle

from edgewright_runtime.bundle import Bundle
from edgewright_runtime.errors import BundleError
from edgewright_runtime.manifest import SCHEMA, parse_manifest


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Bundle.open(tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny.ewb", kind="int8")).manifest_bytes


def _canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def test_round_trip(raw: bytes) -> None:
    manifest = parse_manifest(raw)
    assert manifest.to_bytes() == raw
    assert parse_manifest(manifest.to_bytes()) == manifest
    assert _canonical(manifest.to_document()) == raw


def test_a_newer_schema_is_refused_with_the_remedy(raw: bytes) -> None:
    document = {**json.loads(raw), "schema": SCHEMA + 1, "what": "nobody knows yet"}
    with pytest.raises(BundleError, match=f"schema {SCHEMA + 1}.*upgrade edgewright"):
        parse_manifest(_canonical(document))


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a//b", "a/../b", ".x", "a/", "", "a\\b", "a\nb", "é", "manifest.json", "a" * 300]
)
def test_a_path_that_leads_astray_is_refused(raw: bytes, path: str) -> None:
    document = json.loads(raw)
    document["files"].append({**document["files"][0], "path": path})
    with pytest.raises(BundleError):
        parse_manifest(_canonical(document))


def test_a_file_that_is_a_folder_too_is_refused(raw: bytes) -> None:
    document = json.loads(raw)
    document["files"].append({**document["files"][0], "path": "model.tflite/inside"})
    with pytest.raises(BundleError, match="folder"):
        parse_manifest(_canonical(document))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("name", "../tiny"),
        ("name", None),
        ("schema", True),
        ("schema", "1"),
        ("files", []),
        ("variants", []),
        ("variants.0.layout", "gpu"),
        ("variants.0.mode", 8),
        ("variants.0.min_runtime", "new"),
        ("variants.0.inputs.0.shape", [1, -4]),
        ("variants.0.inputs.0.shape", [1, 4.0]),
        ("variants.0.inputs.0.dtype", "float128"),
        ("variants.0.inputs.0.scale", 0.0),
        ("variants.0.inputs.0.scale", None),
        ("variants.0.inputs.0.zero_point", "0"),
        ("golden.atol", []),
        ("golden.atol", [-1.0]),
        ("golden.atol", ["0"]),
        ("golden.inputs", "ab"),
        ("budget.latency_ms", 0),
        ("budget.latency_ms", "1"),
        ("budget.memory_mb", True),
        ("provenance", []),
        ("labels", 3),
        ("labels", "absent.json"),
        ("tokenizer", ["model.tflite"]),
        ("files.0.size_bytes", -1),
        ("files.0.size_bytes", 2**40),
        ("files.0.sha256", "0" * 63),
        ("files.0.extra", 1),
        ("extra", 1),
    ],
)
def test_a_wrong_value_is_refused(raw: bytes, where: str, value: Any) -> None:
    document = json.loads(raw)
    *parents, last = where.split(".")
    target = document
    for key in parents:
        target = target[int(key) if isinstance(target, list) else key]
    target[last] = value
    with pytest.raises(BundleError):
        parse_manifest(_canonical(document))


def test_another_way_to_write_the_same_is_refused(raw: bytes) -> None:
    for other in (raw.strip(), b" " + raw, raw.replace(b":", b": ", 1), json.dumps(json.loads(raw)).encode()):
        with pytest.raises(BundleError):
            parse_manifest(other)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(data=st.binary(max_size=200) | _JSON.map(_canonical))
def test_anything_else_is_a_bundle_error(data: bytes) -> None:
    with pytest.raises(BundleError):
        parse_manifest(data)


@given(
    key=st.sampled_from(["name", "files", "variants", "golden", "labels", "tokenizer", "budget", "schema"]), value=_JSON
)
def test_any_value_anywhere_is_read_or_refused(raw: bytes, key: str, value: Any) -> None:
    document = _canonical({**json.loads(raw), key: value})
    try:
        manifest = parse_manifest(document)
    except BundleError:
        return
    assert manifest.to_bytes() == document


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"schema":' + b"9" * 10_000 + b"}", b'{"schema":NaN}', b"\xff\xfe"])
def test_hostile_json_is_a_bundle_error(data: bytes) -> None:
    with pytest.raises(BundleError):
        parse_manifest(data)


def test_a_missing_layout_is_named(tmp_path: Path) -> None:
    manifest = Bundle.open(tiny_bundle(tmp_path / "tiny.ewb")).manifest
    with pytest.raises(BundleError, match="no edgetpu variant"):
        manifest.variant("edgetpu")


def test_an_encoder_survives(raw: bytes) -> None:
    document = json.loads(raw)
    document["encoder"] = {"variant": document["variants"][0], "golden": document["golden"]}
    manifest = parse_manifest(_canonical(document))
    assert manifest.encoder is not None
    assert manifest.encoder.variant == manifest.variants[0]
    assert manifest.to_bytes() == _canonical(document)


@pytest.mark.parametrize("change", ["half", "missing file", "no golden"])
def test_an_encoder_that_contradicts_the_bundle_is_refused(raw: bytes, change: str) -> None:
    document = json.loads(raw)
    encoder = {"variant": dict(document["variants"][0]), "golden": dict(document["golden"])}
    if change == "half":
        del encoder["golden"]
    elif change == "missing file":
        encoder["variant"]["path"] = "other.tflite"
    else:
        encoder["golden"] = {"inputs": [], "outputs": [], "atol": []}
    document["encoder"] = encoder
    with pytest.raises(BundleError, match="damaged or was edited"):
        parse_manifest(_canonical(document))
