"""What a training has left beside a model: its tokenizer or features, its labels, its data, its task."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Beside:
    """Files of the model's own name, ``kitchen.tokenizer.json`` beside ``kitchen.keras``; None where there is none."""

    tokenizer: Path | None = None
    labels: Path | None = None
    data: Path | None = None
    task: Path | None = None
    features: Path | None = None
    validation: Path | None = None


def beside(model: str | Path) -> Beside:
    """Look for them. labels: only of one head, for a bundle's labels are of one output."""
    path = Path(model)
    if path.suffix not in (".keras", ".h5") or not path.is_file():
        return Beside()
    suffixes = ("tokenizer.json", "labels.json", "data.npz", "task.json", "features.json", "validation.csv")
    tokenizer, labels, data, task, features, validation = (
        found if (found := path.with_name(f"{path.stem}.{suffix}")).is_file() else None for suffix in suffixes
    )
    own = labels if labels is not None and _is_list(labels) else None
    return Beside(tokenizer, own, data, task, features, validation)


def _is_list(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), list)
    except (OSError, ValueError):
        return True  # which is for whoever reads it to say
