"""Figures of a classifier, from its confusion matrix. Averages as scikit-learn's: a figure of 0/0 is 0.

Macro averages go over the classes that occur, as truth or as an answer. Resampling the texts is drawing the cells of
the confusion matrix anew, multinomially, which costs no more for many texts than for few.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...data import Array
from .intervals import RESAMPLES, Measure, bootstrap, proportion, spread

BINS = 15
_AT_ONCE = 1 << 22  # cells of resampled matrices that are in memory at once


@dataclass(frozen=True)
class Average:
    """macro: each class counts the same; weighted: by how many texts it has."""

    macro: Measure
    weighted: Measure


@dataclass(frozen=True)
class ClassScores:
    """support: texts that are of this class; predicted: that were taken for it."""

    name: str
    support: int
    predicted: int
    precision: Measure
    recall: Measure
    f1: Measure


@dataclass(frozen=True)
class Classification:
    """confusion: (classes, classes) int64, a row for each true class; calibration_error: None without probabilities."""

    classes: tuple[str, ...]
    samples: int
    accuracy: Measure
    precision: Average
    recall: Average
    f1: Average
    per_class: tuple[ClassScores, ...]
    confusion: Array
    calibration_error: Measure | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {**asdict(self), "classes": list(self.classes), "confusion": self.confusion.tolist()}


def classification(
    truth: Array,
    predicted: Array,
    classes: Sequence[str],
    probabilities: Array | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Classification:
    """truth, predicted: (samples,) indices into classes; probabilities: (samples, classes) of the model's answers.

    Raises ValueError where there is no sample, or a shape or an index does not fit.
    """
    table = confusion(truth, predicted, len(classes))
    samples = int(table.sum())
    if samples == 0:
        raise ValueError("there is no sample to score")
    occurs = (table.sum(0) + table.sum(1)) > 0
    drawn = _resampled(table, resamples, seed)
    own = _figures(*_margins(table[None]), occurs)
    others = _figures(*drawn, occurs)

    def average(name: str) -> Average:
        macro, weighted = (f"{name}_macro", f"{name}_weighted")
        return Average(spread(own[macro][0], others[macro]), spread(own[weighted][0], others[weighted]))

    def single(name: str, index: int) -> Measure:
        return spread(own[name][0, index], others[name][:, index])

    per_class = tuple(
        ClassScores(
            name,
            int(table[index].sum()),
            int(table[:, index].sum()),
            single("precision", index),
            single("recall", index),
            single("f1", index),
        )
        for index, name in enumerate(classes)
    )
    calibration = None
    if probabilities is not None:
        calibration = _calibration(np.asarray(probabilities), np.asarray(truth), resamples, seed)
    hits = int(np.trace(table))
    return Classification(
        classes=tuple(classes),
        samples=samples,
        accuracy=proportion(hits, samples),
        precision=average("precision"),
        recall=average("recall"),
        f1=average("f1"),
        per_class=per_class,
        confusion=table,
        calibration_error=calibration,
    )


def accuracy(truth: Array, predicted: Array) -> float:
    """The share of equal entries of two arrays of the same shape."""
    return float((np.asarray(truth) == np.asarray(predicted)).mean())


def confusion(truth: Array, predicted: Array, classes: int) -> Array:
    """(classes, classes) int64: how many texts of class i were taken for class j. Raises ValueError for no class."""
    truth, predicted = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(f"{truth.shape} true classes and {predicted.shape} answers do not go together")
    both = np.concatenate([truth, predicted])
    if both.size and (both.min() < 0 or both.max() >= classes):
        raise ValueError(f"a class is {both.min()} or {both.max()}, not in 0 … {classes - 1}")
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def scores(table: Array) -> dict[str, Array]:
    """precision, recall, f1 of each class, (classes,) float64, from a confusion matrix."""
    figures = _figures(*_margins(table[None]), np.ones(len(table), bool))
    return {key: figures[key][0] for key in ("precision", "recall", "f1")}


def calibration_error(probabilities: Array, truth: Array, bins: int = BINS) -> float:
    """Expected calibration error (Naeini et al. 2015): mean distance of confidence and accuracy over equal-width bins.

    probabilities: (samples, classes); truth: (samples,).
    """
    return _ece(*_confidences(probabilities, truth, bins), bins)


def _margins(tables: Array) -> tuple[Array, Array, Array]:
    """(n, classes, classes) → hits, support, predicted, each (n, classes)."""
    return np.diagonal(tables, axis1=1, axis2=2), tables.sum(2), tables.sum(1)


def _resampled(table: Array, resamples: int, seed: int) -> tuple[Array, Array, Array]:
    """The margins of that many tables, drawn from this one's non-empty cells."""
    classes, samples = len(table), int(table.sum())
    rows, columns = np.nonzero(table)
    shares = table[rows, columns] / samples
    hit = rows == columns
    rng = np.random.default_rng(seed)
    found: list[list[Array]] = []
    step = max(1, _AT_ONCE // max(1, len(rows)))
    for start in range(0, resamples, step):
        for counts in rng.multinomial(samples, shares, min(step, resamples - start)):
            found.append(
                [
                    np.bincount(rows[hit], counts[hit], classes),
                    np.bincount(rows, counts, classes),
                    np.bincount(columns, counts, classes),
                ]
            )
    hits, support, predicted = (np.array(part) for part in zip(*found, strict=True))
    return hits, support, predicted


def _figures(hits: Array, support: Array, predicted: Array, occurs: Array) -> dict[str, Array]:
    figures = {
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, support + predicted),
    }
    weights = support / support.sum(1, keepdims=True)
    for name in ("precision", "recall", "f1"):
        figures[f"{name}_macro"] = figures[name][:, occurs].mean(1)
        figures[f"{name}_weighted"] = (figures[name] * weights).sum(1)
    return figures


def _ratio(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)


def _confidences(probabilities: Array, truth: Array, bins: int) -> tuple[Array, Array]:
    """(samples,) bin of each answer, and by how much its confidence exceeds its being right."""
    probabilities, truth = np.asarray(probabilities, np.float64), np.asarray(truth)
    if probabilities.ndim != 2 or probabilities.shape[:1] != truth.shape:
        raise ValueError(f"{probabilities.shape} probabilities do not go with {truth.shape} true classes")
    confidence = probabilities.max(1)
    excess = confidence - (probabilities.argmax(1) == truth)
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1), excess


def _ece(found: Array, excess: Array, bins: int) -> float:
    return float(np.abs(np.bincount(found, excess, bins)).sum() / len(found))


def _calibration(probabilities: Array, truth: Array, resamples: int, seed: int) -> Measure:
    found, excess = _confidences(probabilities, truth, BINS)
    return bootstrap(lambda rows: _ece(found[rows], excess[rows], BINS), len(found), resamples=resamples, seed=seed)
