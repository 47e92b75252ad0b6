"""A checked flatbuffer and all that belongs to it → a bundle, whose bytes depend on nothing but its content."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_runtime.archive import write_archive
from edgewright_runtime.hashing import sha256_hex
from edgewright_runtime.manifest import Budget, FileEntry, Golden, Manifest, Variant

from .data import Array
from .job import Finished, Request

MODEL, LABELS, TOKENIZER = "model.tflite", "labels.json", "tokenizer.json"


def write_bundle(finished: Finished, request: Request, name: str, source_sha256: str, path: Path) -> Manifest:
    """Write the .ewb and return its manifest. Raises StorageError where the folder refuses."""
    files: dict[str, bytes | Path] = {MODEL: finished.model}
    golden = finished.golden
    inputs = _add_arrays(files, "in", golden.inputs)
    outputs = _add_arrays(files, "out", golden.outputs)
    if request.labels is not None:
        files[LABELS] = json.dumps(request.labels, ensure_ascii=False, separators=(",", ":")).encode()
    if request.tokenizer is not None:
        files[TOKENIZER] = request.tokenizer
    recipe = request.recipe
    manifest = Manifest(
        name=name,
        files=tuple(
            FileEntry(key, len(data), sha256_hex(data)) for key, data in files.items() if isinstance(data, bytes)
        ),
        variants=(
            Variant(
                path=MODEL,
                layout="cpu",
                mode=recipe.quantize.mode,
                min_runtime=finished.min_runtime or "",
                inputs=finished.inputs,
                outputs=finished.outputs,
            ),
        ),
        golden=Golden(inputs, outputs, golden.atol),
        labels=LABELS if request.labels is not None else None,
        tokenizer=TOKENIZER if request.tokenizer is not None else None,
        budget=Budget(recipe.budget.latency_ms, recipe.budget.memory_mb),
        provenance=_provenance(finished, request, source_sha256),
    )
    write_archive(manifest, files, path)
    return manifest


def _provenance(finished: Finished, request: Request, source_sha256: str) -> dict[str, Any]:
    """What made this bundle. No time and no path: the same inputs give the same bytes."""
    last = finished.outcomes[-1]
    return {
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


def _add_arrays(files: dict[str, bytes | Path], prefix: str, arrays: tuple[Array, ...]) -> tuple[str, ...]:
    paths = tuple(f"golden/{prefix}{index}.npy" for index in range(len(arrays)))
    for path, array in zip(paths, arrays, strict=True):
        out = io.BytesIO()
        np.lib.format.write_array(out, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
        files[path] = out.getvalue()
    return paths
