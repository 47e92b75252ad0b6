"""Under which name a pass keeps its checkpoints: whatever its result depends on is in it."""

import json
from dataclasses import asdict
from typing import Any

from edgewright_runtime import __version__
from edgewright_runtime.hashing import sha256_hex

from .data import Dataset
from .job import Request
from .targets import has_quick_integers


def keys_of(model: Any, data: Dataset, request: Request) -> list[str]:
    """One for each pass on the model, e.g. "distill-1f0c…": the model, the data, the seed, and the passes so far.

    A pipeline counts with its first samples; of files that a pass names, only their names do.
    """
    digest = sha256_hex(f"{__version__} {_model(model)} {_data(data)} {request.seed}".encode())
    found = []
    for step in request.recipe.model_passes:
        settings = {"use": step.use, **asdict(step)}  # type: ignore[call-overload]
        if step.use == "qat":  # it trains for the numbers that follow
            quick = has_quick_integers(request.target)
            settings |= {"numbers": asdict(request.recipe.quantize), "edgetpu": request.target.edgetpu, "quick": quick}
        options = json.dumps(settings, sort_keys=True)
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
    parts = [data.x_train, data.x_test, data.x_unlabelled, data.heads, *labels]
    arrays = [(name, array) for part in parts for name, array in sorted(part.items())]
    return sha256_hex(b"".join(f"{n}{a.shape}{a.dtype}".encode() + a.tobytes() for n, a in arrays))
