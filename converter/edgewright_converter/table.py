"""Texts and labels from .csv, .tsv and .jsonl: columns text, label (optional), split (optional: train or test)."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")


def read_table(path: Path) -> dict[str, Any]:
    """x_train, y_train, x_test, y_test as arrays of text (labels as whole numbers where all of them are).

    Raises InputError naming the file and the line.
    """
    texts: dict[str, list[str]] = {"train": [], "test": []}
    labels: dict[str, list[str]] = {"train": [], "test": []}
    for line, row in _rows(path):
        split = row.get("split", "train")
        if split not in texts:
            raise InputError(f"{path}:{line}: split is {split!r}: expected 'train' or 'test'.")
        texts[split].append(row["text"])
        if "label" in row:
            labels[split].append(row["label"])
        if len(labels[split]) not in (0, len(texts[split])):
            raise InputError(
                f"{path}:{line}: some rows have a label and some have none: give all of them one, or none."
            )
    if not any(texts.values()):
        raise InputError(f"{path} has no row: expected at least one text.")
    found: dict[str, Any] = {f"x_{part}": np.array(rows) for part, rows in texts.items() if rows}
    numeric = all(label.lstrip("-").isdecimal() for part in labels.values() for label in part)
    found.update({f"y_{part}": np.array(rows, np.int64 if numeric else str) for part, rows in labels.items() if rows})
    return found


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, row) with the columns text, label and split as strings."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".jsonl":
                for line, entry in enumerate(file, 1):
                    if entry.strip():
                        yield line, _strings(json.loads(entry), path, line)
                return
            reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
            if "text" not in (reader.fieldnames or ()):
                raise InputError(
                    f"{path}:1: no column is named text: expected a header with text, label and, if wanted, split."
                )
            for row in reader:
                yield reader.line_num, _strings(row, path, reader.line_num)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text: save it as UTF-8.") from error
    except (csv.Error, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as {path.suffix[1:]}: {error}.") from error
    except OSError as error:
        raise InputError(f"Data file {path} cannot be read: {error.strerror}.") from error


def _strings(entry: Any, path: Path, line: int) -> dict[str, str]:
    if not isinstance(entry, dict) or not isinstance(entry.get("text"), str):
        raise InputError(f"{path}:{line}: this row has no text: expected text and, if wanted, label and split.")
    return {key: str(entry[key]) for key in ("text", "label", "split") if entry.get(key) is not None}
