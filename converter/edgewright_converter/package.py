"""A checked flatbuffer and all that belongs to it → a bundle, whose bytes depend on nothing but its content."""

import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_runtime.archive import write_archive
from edgewright_runtime.bundle import PACKED
from edgewright_runtime.hashing import sha256_hex
from edgewright_runtime.manifest import Budget, Encoder, FileEntry, Golden, Manifest, Variant

from .data import Array
from .edgetpu.compiler import Compiled
from .job import Finished, Request

MODEL, LABELS, TOKENIZER, TASK = "model.tflite", "labels.json", "tokenizer.json", "task.json"
FEATURES = "features.json"
EDGETPU_MODEL, ENCODER = "model_edgetpu.tflite", "encoder.tflite"
_SMALL_BYTES = 4096


def write_bundle(
    finished: Finished,
    request: Request,
    name: str,
    source_sha256: str,
    path: Path,
    compiled: Compiled | None = None,
) -> Manifest:
    """Write the .ewb and return its manifest. compiled: the variant for an Edge TPU. Raises StorageError where the
    folder refuses."""
    files: dict[str, bytes | Path] = {MODEL: finished.model}
    layouts = {MODEL: "cpu"}
    if compiled is not None:
        files[EDGETPU_MODEL], layouts[EDGETPU_MODEL] = compiled.model, "edgetpu"
    golden = _add_golden(files, finished, "golden")
    encoder = None
    if finished.encoder is not None:
        files[ENCODER] = finished.encoder.model
        variant = _variant(finished.encoder, request, ENCODER, "cpu")
        encoder = Encoder(variant, _add_golden(files, finished.encoder, "golden/encoder"))
    if request.labels is not None:
        files[LABELS] = json.dumps(request.labels, ensure_ascii=False, separators=(",", ":")).encode()
    if request.tokenizer is not None:
        files[TOKENIZER] = request.tokenizer
    if request.task is not None:
        files[TASK] = request.task.to_json()
    if request.features is not None:
        files[FEATURES] = request.features.to_json()
    recipe = request.recipe
    manifest = Manifest(
        name=name,
        files=tuple(
            FileEntry(key, len(data), sha256_hex(data)) for key, data in files.items() if isinstance(data, bytes)
        ),
        variants=tuple(_variant(finished, request, file, layout) for file, layout in layouts.items()),
        golden=golden,
        labels=LABELS if request.labels is not None else None,
        tokenizer=TOKENIZER if request.tokenizer is not None else None,
        task=TASK if request.task is not None else None,
        features=FEATURES if request.features is not None else None,
        encoder=encoder,
        budget=Budget(recipe.budget.latency_ms, recipe.budget.memory_mb),
        provenance=_provenance(finished, request, source_sha256, compiled),
    )
    write_archive(manifest, files, path)
    return manifest


def _variant(finished: Finished, request: Request, file: str, layout: str) -> Variant:
    return Variant(
        path=file,
        layout=layout,
        mode=request.recipe.quantize.mode,
        min_runtime=finished.min_runtime or "",
        inputs=finished.inputs,
        outputs=finished.outputs,
    )


def _provenance(finished: Finished, request: Request, source_sha256: str, compiled: Compiled | None) -> dict[str, Any]:
    """What made this bundle. No time and no path: the same inputs give the same bytes."""
    last = finished.outcomes[-1]
    compiler = {} if compiled is None else {"edgetpu_compiler": compiled.log.to_dict()}
    return {
        **compiler,
        "metrics": {
            "accuracy_before": last.accuracy_before,
            "accuracy_after": last.accuracy_after,
            "difference": finished.difference,
        },
        "outcomes": [outcome.without_times().to_dict() for outcome in finished.outcomes],
        "recipe": request.recipe.to_dict(),
        "seed": request.seed,
        "source_sha256": source_sha256,
        "target": request.target.name,
        "versions": finished.versions,
    }


def _add_golden(files: dict[str, bytes | Path], finished: Finished, folder: str) -> Golden:
    golden = finished.golden
    inputs = _add_arrays(files, f"{folder}/in", golden.inputs)
    return Golden(inputs, _add_arrays(files, f"{folder}/out", golden.outputs), golden.atol)


def _add_arrays(files: dict[str, bytes | Path], prefix: str, arrays: tuple[Array, ...]) -> tuple[str, ...]:
    """Those that shrink to less than half, as nearly empty states do, are stored so."""
    paths = []
    for index, array in enumerate(arrays):
        out = io.BytesIO()
        np.lib.format.write_array(out, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
        raw, packed = out.getvalue(), zlib.compress(out.getvalue(), 9)
        small = len(packed) < len(raw) // 2 and len(raw) > _SMALL_BYTES
        paths.append(f"{prefix}{index}.npy{PACKED if small else ''}")
        files[paths[-1]] = packed if small else raw
    return tuple(paths)
