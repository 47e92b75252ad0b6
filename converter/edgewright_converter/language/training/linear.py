"""The model `linear` is not trained by gradients but solved: support vector machines on naive Bayes' features.

Each class is told from the rest by a linear support vector machine with a squared hinge, over the counts of a text's
tokens, each times the logarithm of how much more often the class has the token than the rest (Wang and Manning 2012),
or a power of it: with the option `ratio` below 1 rare tokens count more, with 0 all alike. `cost` is what an error
costs: how much a training text may bend the weights. All classes are solved at once by dual coordinate descent (Hsieh
et al. 2008). What comes out is a number for each token and class; `width` directions of it, those that matter most for
the training texts, are what the model keeps. With `codes` a token has so many bytes instead, numbers of rows that
tokens share (codes.py). NumPy alone, and the same on every run.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError

from ...data import Array
from ..zoo import ZOO
from .codes import Rows, coded, decoded, fitted
from .course import Course
from .settings import Settings

_PASSES = 20  # over the texts, where no number of epochs is given
_PAD = 0
_EVENNESS = 0.75  # of a token's frequency: what its code weighs, for texts to come have more of the rare ones
_OF_TRAINING = (
    *("learning_rate", "label_smoothing", "token_dropout", "token_deletion", "augment", "patience"),
    *("pretrain", "backbone", "strategy", "precision"),
)
_SHARPNESS = np.geomspace(0.05, 20.0, 60)  # of the softmax: tried on what is held out


def check(settings: Settings, questions: int) -> None:
    """Raises InputError for what the model cannot do, and for what would go unheeded where nothing is trained.

    questions: how many labels a text has.
    """
    if questions > 1:
        raise InputError("The model linear answers one question: give one --label, or choose bag-of-embeddings.")
    options = {**ZOO["linear"].options, **settings.options}
    if not _is_number(options["cost"]) or not 0 < options["cost"] < float("inf"):
        raise InputError(
            f"The model linear's cost is {options['cost']!r}: expected a number greater than 0, such as 0.01."
        )
    if not _is_number(options["ratio"]) or not 0 <= options["ratio"] <= 1:
        raise InputError(f"The model linear's ratio is {options['ratio']!r}: expected a power from 0 to 1.")
    for name in _OF_TRAINING:
        if getattr(settings, name) != getattr(Settings, name):
            raise InputError(
                f"The model linear is solved at once, not trained: leave --{name.replace('_', '-')} out, or choose "
                "bag-of-embeddings."
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def solve(model: Any, course: Course, settings: Settings, report: Callable[[float], None]) -> int:
    """Give the new zoo model its weights; returns the passes over the texts."""
    passes = _PASSES if settings.epochs is None else settings.epochs
    (classes,) = course.outputs.values()
    count, pick = course.lesson(0)
    x, one_hot, *given = pick(np.arange(count))
    rows = counted(x)
    options = {**ZOO["linear"].options, **settings.options}
    cost = options["cost"] * (np.ones(count) if not given else given[0])
    # Of two classes one is enough: what speaks for it speaks against the other.
    columns = one_hot[:, 1:] if classes == 2 else one_hot
    ratio = log_ratios(rows, columns > 0, course.vocabulary, options["ratio"])
    table, bias = support_vectors(rows, columns > 0, ratio, cost, passes, settings.seed, report)
    if classes == 2:
        table, bias = np.concatenate([-table, table], 1), np.concatenate([-bias, bias])
    table, bias = table - table.mean(1, keepdims=True), bias - bias.mean()
    narrow, kernel = _directions(rows, table, model.get_layer("token_embedding").output.shape[-1])
    weights = {"token_embedding": narrow}
    if options["codes"]:
        weight = _frequencies(rows, len(narrow)) ** _EVENNESS
        numbers, books = coded(narrow, weight, options["codes"], settings.seed)
        books = fitted(numbers, books, narrow, rows)
        # In integers all numbers have one scale: every direction fills it.
        largest = np.maximum(np.abs(books).max(0), np.finfo(np.float32).tiny)
        books, kernel = books / largest, kernel * largest[:, None]
        weights = {"token_codes": numbers, "token_embedding": books}
        narrow = decoded(numbers, books)
    if course.held_out is None:
        held, truth = rows, one_hot
    else:
        held, truth = counted(course.held_out[0]), course.held_out[1]
    sharp = _sharpness(_sums(held, narrow) @ kernel + bias, truth.argmax(1))
    for name, value in weights.items():
        model.get_layer(name).set_weights([value])
    (head,) = (layer for layer in model.layers if layer.name in model.output_names)
    head.set_weights([kernel * sharp, bias * sharp])
    return passes


def counted(x: Array) -> Rows:
    """x: (texts, length) ids, padded with 0."""
    found = [np.unique(row[row != _PAD], return_counts=True) for row in x]
    return [(tokens, counts.astype(np.float32)) for tokens, counts in found]


def support_vectors(
    rows: Rows,
    positive: Array,
    ratio: Array,
    cost: Array,
    passes: int,
    seed: int,
    report: Callable[[float], None] = lambda share: None,
) -> tuple[Array, Array]:
    """positive: (texts, columns) bool, which texts each column is to find; ratio: (vocabulary, columns), what a token
    counts; cost: (texts,) of an error.

    Returns (vocabulary, columns) float32, what a token says for each column, and (columns,) float32, the bias.
    """
    sign = np.where(positive, 1.0, -1.0).astype(np.float32)
    texts, columns = sign.shape
    soft = (0.5 / np.asarray(cost, np.float32))[:, None]
    weights, bias = np.zeros_like(ratio), np.zeros(columns, np.float32)
    alpha = np.zeros((texts, columns), np.float32)
    rng = np.random.default_rng(seed)
    for step in range(passes):
        for text in rng.permutation(texts):
            tokens, counts = rows[text]
            features = counts[:, None] * ratio[tokens]
            own = weights[tokens]
            gradient = sign[text] * ((features * own).sum(0) + bias) - 1 + soft[text] * alpha[text]
            curvature = (features * features).sum(0) + 1 + soft[text]
            better = np.maximum(alpha[text] - gradient / curvature, 0)
            change = (better - alpha[text]) * sign[text]
            alpha[text] = better
            weights[tokens] = own + features * change
            bias += change
        report((step + 1) / passes)
    return weights * ratio, bias


def log_ratios(rows: Rows, positive: Array, vocabulary: int, power: float = 1.0) -> Array:
    """(vocabulary, columns) float32: log of a token's share among the texts that the column finds, by that among the
    others; each token counts once more than it was seen. power: of its size, the sign stays."""
    tokens, counts = _joined(rows)
    owner = np.repeat(np.arange(len(rows)), [len(tokens) for tokens, _ in rows])
    every = 1 + _frequencies(rows, vocabulary)
    ratio = np.empty((vocabulary, positive.shape[1]), np.float32)
    for column in range(positive.shape[1]):
        own = np.bincount(tokens, counts * positive[owner, column], vocabulary)
        own, others = 1 + own, every - own
        ratio[:, column] = np.log(own / own.sum()) - np.log(others / others.sum())
    return ratio if power == 1 else np.sign(ratio) * np.abs(ratio) ** np.float32(power)


def _joined(rows: Rows) -> tuple[Array, Array]:
    return np.concatenate([tokens for tokens, _ in rows]), np.concatenate([counts for _, counts in rows])


def _frequencies(rows: Rows, vocabulary: int) -> Array:
    """(vocabulary,): how often all texts together have each token."""
    tokens, counts = _joined(rows)
    return np.bincount(tokens, counts, vocabulary)


def _directions(rows: Rows, table: Array, width: int) -> tuple[Array, Array]:
    """(vocabulary, width) and (width, classes), whose product is nearest to the table in what it says of the texts."""
    said = _sums(rows, table)
    _, vectors = np.linalg.eigh(said.T.astype(np.float64) @ said)
    kernel = vectors[:, ::-1][:, :width].T.astype(np.float32)
    return table @ kernel.T, kernel


def _sums(rows: Rows, table: Array) -> Array:
    """(texts, columns): the sum over a text's tokens."""
    return np.stack([counts @ table[tokens] for tokens, counts in rows])


def _sharpness(scores: Array, truth: Array) -> float:
    """The factor of the scores at which a softmax of them is least surprised by the truth (Guo et al. 2017)."""

    def surprise(factor: float) -> float:
        scaled = scores.astype(np.float64) * factor
        scaled -= scaled.max(1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(truth)), truth]).mean())

    return float(min(_SHARPNESS, key=surprise))
