"""Tables of texts as arrays: columns text, label (optional), split (optional: train, validation or test)."""

from pathlib import Path
from typing import Any

import numpy as np

from .language.data import read

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")


def read_table(path: Path) -> dict[str, Any]:
    """x_train, y_train, x_test, y_test as arrays of text (labels as whole numbers where all of them are).

    Rows of the validation part are left out. Raises InputError naming the file and the line.
    """
    corpus = read(path)
    parts = corpus.parts or ("train",) * len(corpus)
    labels = corpus.labels.get("label")
    numeric = labels is not None and all(label.lstrip("-").isdecimal() for label in labels)
    found: dict[str, Any] = {}
    for part in ("train", "test"):
        rows = [index for index, own in enumerate(parts) if own == part]
        if rows:
            found[f"x_{part}"] = np.array([corpus.texts[row] for row in rows])
        if rows and labels is not None:
            found[f"y_{part}"] = np.array([labels[row] for row in rows], np.int64 if numeric else str)
    return found
