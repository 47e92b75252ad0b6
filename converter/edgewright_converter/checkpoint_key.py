"""Under which name a pass keeps its checkpoints: whatever its result depends on is in it."""

import json
from dataclasses import asdict
from typing import Any

from edgewright_runtime import __version__
from edgewright_runtime.hashing import sha256_hex

from .data import Dataset
from .job import Request


def keys_of(model: Any, data: Dataset, request: Request) -> list[str]:
    """One for each pass on the model, e.g. "distill-1f0c…": the model, the data, the seed, and the passes so far.

    A pipeline counts with its first samples; of files that a pass names, only their names do.
    """
    digest = sha256_hex(f"{__version__} {_model(model)} {_data(data)} {request.seed}".encode())
    found = []
    for step in request.recipe.model_passes:
        options = json.dumps({"use": step.use, **asdict(step)}, sort_keys=True)  # type: ignore[call-overload]
        digest = sha256_hex(f"{digest} {options}".encode())
        found.append(f"{step.use}-{digest[:16]}")
    return found


def _model(model: Any) -> str:
    try:
        build = model.to_json()
    except Exception:  # a subclassed model that has no configuration
        build = type(model).__name__
    return sha256_hex(build.encode() + b"".join(weight.tobytes() for weight in model.get_weights()))


def _data(data: Dataset) -> str:
    labels = [{} if y is None else {"": y} for y in (data.y_train, data.y_test)]
    parts = [data.x_train, data.x_test, data.x_unlabelled, *labels]
    arrays = [(name, array) for part in parts for name, array in sorted(part.items())]
    return sha256_hex(b"".join(f"{n}{a.shape}{a.dtype}".encode() + a.tobytes() for n, a in arrays))
