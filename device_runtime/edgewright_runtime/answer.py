"""One question to a model, one answer: from a sentence to its labels, or from arrays to arrays."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np

from .border import from_border, load_arrays, to_border
from .bundle import Bundle
from .engines import Engine
from .errors import InputError
from .pooling import pool

if TYPE_CHECKING:
    from .task import Task

UNKNOWN = "unknown"


def classify(bundle: Bundle, engine: Engine, text: Union[str, bytes], top: int = 5) -> list[dict[str, Any]]:
    """The ``top`` best labels for a sentence, best first: label, probability. Raises InputError where it cannot."""
    tokenizer = bundle.tokenizer()
    if tokenizer is None:
        raise InputError(f"The model {bundle.manifest.name} takes no sentences (no tokenizer): give it --inputs.")
    if top < 1:
        raise InputError(f"The number of labels to show is at least one, not {top}.")
    if len(engine.inputs) != 1 or len(engine.outputs) != 1:
        raise InputError(f"The model {bundle.manifest.name} has several inputs or outputs: give it --inputs.")
    spec = engine.outputs[0]
    if len(spec.shape) != 2:
        raise InputError(f"The model {bundle.manifest.name} answers {spec.shape}, not one class: give it --inputs.")
    rows = tokenizer.windows(text)
    answers = [from_border(engine.invoke([to_border(row, engine.inputs[0])])[0], spec)[0] for row in rows]
    probabilities = pool(np.stack(answers), [len(rows)], tokenizer.pooling)[0].tolist()
    if len(probabilities) == 1:  # of the second of two classes
        probabilities = [1 - probabilities[0], probabilities[0]]
    labels = bundle.labels() or [str(index) for index in range(len(probabilities))]
    if len(labels) != len(probabilities):
        raise InputError(f"The bundle has {len(labels)} labels, the model {len(probabilities)} classes: convert again.")
    best = sorted(range(len(labels)), key=lambda index: -probabilities[index])[:top]
    return [{"label": labels[index], "probability": probabilities[index]} for index in best]


def decide(best: dict[str, Any], task: Optional["Task"]) -> dict[str, Any]:
    """What the best label comes to by the task's threshold: "answer", the label or what stands for none of them; and
    "threshold", None where every answer counts."""
    options = task.options if task is not None else {}
    threshold = options.get("threshold")
    known = threshold is None or best["probability"] >= threshold
    return {"answer": best["label"] if known else options.get("unknown", UNKNOWN), "threshold": threshold}


def compute(engine: Engine, path: Path) -> list[dict[str, Any]]:
    """The outputs for the arrays of an .npz, one for each input's name; real numbers are (de)quantized at the border.

    Returns for each output: name, shape, dtype (of the numbers given), values as nested lists. Raises InputError.
    """
    arrays = load_arrays(path)
    missing = [spec.name for spec in engine.inputs if spec.name not in arrays]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}: it holds {', '.join(sorted(arrays)) or 'nothing'}.")
    answers = engine.invoke([to_border(arrays[spec.name], spec) for spec in engine.inputs])
    outputs = [(spec, from_border(answer, spec)) for spec, answer in zip(engine.outputs, answers)]
    return [
        {"name": spec.name, "shape": list(array.shape), "dtype": array.dtype.name, "values": array.tolist()}
        for spec, array in outputs
    ]
