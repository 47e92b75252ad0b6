"""The manifest of a bundle: a typed view of manifest.json, strict in both directions.

The manifest is canonical JSON (sorted keys, no spaces, ASCII), so that the same content gives the same bytes and the
bundle's id is simply their SHA-256. Its parts are named tuples: a device reads a manifest at every start, and data
classes take five times as long to define.
"""

import json
import re
from math import isfinite
from typing import Any, NamedTuple, Optional

from .errors import BundleError

SCHEMA = 1
DTYPES = ("float32", "float16", "int8", "uint8", "int16", "int32", "int64", "bool")
LAYOUTS = ("cpu", "edgetpu")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_PATH_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_VERSION = re.compile(r"([0-9]{1,4}(\.[0-9]{1,4}){0,3})?\Z")


class FileEntry(NamedTuple):
    """One file of the bundle. path: relative, forward slashes, no dots; sha256: 64 hexadecimal digits."""

    path: str
    size_bytes: int
    sha256: str


class TensorSpec(NamedTuple):
    """One input or output. shape includes the batch; real = scale * (stored - zero_point) where scale is given."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: Optional[float] = None
    zero_point: Optional[int] = None


class Variant(NamedTuple):
    """One flatbuffer of the bundle. layout: "cpu" or "edgetpu"; mode: "float32", "int8", …; min_runtime: "2.14.0"."""

    path: str
    layout: str
    mode: str
    min_runtime: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Golden(NamedTuple):
    """Samples that any device must answer alike.

    inputs, outputs: paths of .npy files, in the order of the variant's tensors, each (samples, *tensor shape) in the
    tensor's own dtype. atol: for each output, the largest allowed difference in real (dequantized) units.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    atol: tuple[float, ...]


class Encoder(NamedTuple):
    """The graph that reads a translation's source once, before the steps of the variant; its outputs are their inputs
    of the same names."""

    variant: Variant
    golden: Golden


class Budget(NamedTuple):
    """Limits that a device must keep before a model is activated; None is no limit."""

    latency_ms: Optional[float] = None
    memory_mb: Optional[float] = None


class Manifest(NamedTuple):
    """All of manifest.json. labels, tokenizer, task, features: paths of JSON files in the bundle, or None."""

    name: str
    files: tuple[FileEntry, ...]
    variants: tuple[Variant, ...]
    golden: Golden
    labels: Optional[str] = None
    tokenizer: Optional[str] = None
    task: Optional[str] = None
    features: Optional[str] = None
    encoder: Optional[Encoder] = None
    budget: Budget = Budget()
    provenance: dict[str, Any] = {}  # noqa: RUF012 - never changed: a manifest is frozen once it is made
    schema: int = SCHEMA

    def to_document(self) -> dict[str, Any]:
        """Plain JSON objects and lists."""
        return {
            **self._asdict(),
            "files": _documents(self.files),
            "variants": [_variant_document(variant) for variant in self.variants],
            "golden": self.golden._asdict(),
            "encoder": self.encoder
            and {"variant": _variant_document(self.encoder.variant), "golden": self.encoder.golden._asdict()},
            "budget": self.budget._asdict(),
        }

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        text = json.dumps(self.to_document(), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return text.encode("ascii") + b"\n"

    def variant(self, layout: str = "cpu") -> Variant:
        """The flatbuffer for this layout. Raises BundleError where the bundle has none."""
        for variant in self.variants:
            if variant.layout == layout:
                return variant
        raise BundleError(f"Bundle {self.name} has no {layout} variant: convert the model again for this target.")


def _variant_document(variant: Variant) -> dict[str, Any]:
    return {**variant._asdict(), "inputs": _documents(variant.inputs), "outputs": _documents(variant.outputs)}


def _documents(records: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [record._asdict() for record in records]


def parse_manifest(raw: bytes) -> Manifest:
    """Read manifest.json. Raises BundleError where it is no manifest, newer than this code, or contradicts itself."""
    try:
        document = json.loads(raw.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise BundleError("The bundle's manifest is damaged: copy or build the bundle again.") from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if isinstance(schema, int) and not isinstance(schema, bool) and schema > SCHEMA:
        raise BundleError(
            f"The bundle has schema {schema}, this edgewright reads up to {SCHEMA}: "
            "upgrade edgewright here, and run `edgewright device setup` for the device."
        )
    try:
        manifest = _build(document)
        _require(manifest.to_bytes() == raw, "it is not in canonical form")
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BundleError(
            f"The bundle's manifest is damaged or was edited ({error}): copy or build the bundle again."
        ) from error
    return manifest


def _build(document: dict[str, Any]) -> Manifest:
    document = dict(document)
    _require(document.pop("schema") == SCHEMA, "unknown schema")
    files = tuple(FileEntry(**entry) for entry in document.pop("files"))
    variants = tuple(_variant(entry) for entry in document.pop("variants"))
    golden = _golden(document.pop("golden"))
    encoder = document.pop("encoder")
    if encoder is not None:
        _require(set(encoder) == {"variant", "golden"}, "half an encoder")
        encoder = Encoder(_variant(encoder["variant"]), _golden(encoder["golden"]))
    budget = Budget(**document.pop("budget"))
    manifest = Manifest(files=files, variants=variants, golden=golden, encoder=encoder, budget=budget, **document)
    _check(manifest)
    return manifest


def _variant(entry: dict[str, Any]) -> Variant:
    return Variant(inputs=_tensors(entry.pop("inputs")), outputs=_tensors(entry.pop("outputs")), **entry)


def _golden(entry: dict[str, Any]) -> Golden:
    return Golden(**{key: tuple(value) for key, value in entry.items()})


def _tensors(entries: Any) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(**{**entry, "shape": tuple(entry["shape"])}) for entry in entries)


def _check(manifest: Manifest) -> None:
    _require(NAME.match(manifest.name), "bad name")
    _check_files([entry.path for entry in manifest.files])
    for entry in manifest.files:
        _require(type(entry.size_bytes) is int and 0 <= entry.size_bytes < 2**31, "bad size")
        _require(_SHA256.match(entry.sha256), "bad hash")
    graphs = [(variant, manifest.golden) for variant in manifest.variants]
    graphs += [] if manifest.encoder is None else [manifest.encoder]
    named = [path for variant, golden in graphs for path in (variant.path, *golden.inputs, *golden.outputs)]
    extra = (manifest.labels, manifest.tokenizer, manifest.task, manifest.features)
    named += [path for path in extra if path is not None]
    _require(set(named) <= {entry.path for entry in manifest.files}, "it names a file that the bundle does not hold")
    _require(len(manifest.variants) > 0, "no flatbuffer")
    _require(isinstance(manifest.provenance, dict), "bad provenance")
    for limit in manifest.budget:
        _require(limit is None or _is_positive(limit), "bad budget")
    for variant, golden in graphs:
        for atol in golden.atol:
            _require(type(atol) in (int, float) and isfinite(atol) and atol >= 0, "bad tolerance")
        _require(variant.layout in LAYOUTS and NAME.match(variant.mode), "unknown layout or mode")
        _require(_VERSION.match(variant.min_runtime), "bad runtime version")
        _require(len(variant.inputs) == len(golden.inputs) > 0, "golden inputs do not fit the model")
        outputs = len(variant.outputs)
        _require(outputs == len(golden.outputs) == len(golden.atol) > 0, "golden outputs do not fit")
        for tensor in (*variant.inputs, *variant.outputs):
            _check_tensor(tensor)


def _check_files(paths: list[str]) -> None:
    taken = {"manifest.json"}  # as files; what is a folder for one file cannot be another
    folders: set[str] = set()
    for path in paths:
        parts = path.split("/")
        _require(len(path) <= 255 and all(_PATH_PART.match(part) for part in parts), "bad path")
        _require(path not in taken, "a file is listed twice")
        taken.add(path)
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    _require(not taken & folders, "a file is a folder too")


def _check_tensor(tensor: TensorSpec) -> None:
    _require(isinstance(tensor.name, str) and tensor.dtype in DTYPES, "unknown dtype")
    _require(all(type(size) is int and size > 0 for size in tensor.shape), "bad shape")
    _require((tensor.scale is None) == (tensor.zero_point is None), "half a quantization")
    _require(tensor.scale is None or _is_positive(tensor.scale), "bad scale")
    _require(tensor.zero_point is None or type(tensor.zero_point) is int, "bad zero point")


def _is_positive(number: Any) -> bool:
    return type(number) in (int, float) and isfinite(number) and number > 0


def _require(condition: Any, reason: str) -> None:
    if not condition:
        raise ValueError(reason)
