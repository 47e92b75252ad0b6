"""Texts and their classes as a course, for one head or several."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError
from edgewright_runtime.pooling import pool
from edgewright_runtime.text import Tokenizer

from ...data import Array
from ..data import Corpus, Splits
from ..metrics import classification
from ..zoo.encoders import plain
from .course import Course, Lesson, judging
from .noise import token_dropper
from .settings import Settings


def course(splits: Splits, tokenizer: Tokenizer, settings: Settings) -> Course:
    """Raises InputError where there is nothing to tell apart."""
    if not splits.train.labels:
        raise InputError(
            f"{splits.train.source} has no labels, and a classifier needs them: name their column (--label), or train "
            "a language model (--model gpt), or a backbone (--pretrain masked)."
        )
    heads = {head: splits.require_classes(head) for head in splits.train.labels}
    train = encoded(tokenizer, splits.train.texts)
    y = _indices(splits.train, heads)
    weights = _weights(splits.train, heads, settings.class_weights)
    validation = splits.validation
    held_out = None
    if len(validation):
        x, owner = encoded(tokenizer, validation.texts)
        held_out = (x, _one_hot(_indices(validation, heads), heads, owner))
    return Course(
        vocabulary=tokenizer.size,
        length=tokenizer.max_length,
        heads=heads,
        outputs={head: len(names) for head, names in heads.items()},
        samples=len(train[0]),
        lesson=_lesson(splits.train, tokenizer, heads, train, y, weights, settings),
        held_out=held_out,
        loss=lambda: _loss(len(heads), settings.smoothing(0.1)),
        judge=judging(splits, lambda model, part: judged(model, part, tokenizer, heads)),
        files={
            "labels.json": _json(next(iter(heads.values())) if len(heads) == 1 else dict(heads)),
        },
        arrays=_arrays(splits, tokenizer, heads),
        sizes=_sizes(splits, heads),
    )


def encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[Array, Array]:
    """(rows, max_length) int32 and (rows,) the text that each row is of: one for each, or its windows."""
    windows = [tokenizer.windows(text) for text in texts]
    owner = np.repeat(np.arange(len(windows)), [len(window) for window in windows])
    return np.concatenate(windows), owner


def judged(
    model: Any, part: Corpus, tokenizer: Tokenizer, heads: Mapping[str, tuple[str, ...]]
) -> dict[str, dict[str, Any]]:
    """Head → its figures on that part, with intervals; of long texts the pooled answers count."""
    x, owner = encoded(tokenizer, part.texts)
    answers = model.predict(x, batch_size=256, verbose=0)
    found = {}
    for (head, names), rows in zip(heads.items(), [answers] if len(heads) == 1 else answers, strict=True):
        pooled = pool(rows.astype(np.float32), np.bincount(owner).tolist(), tokenizer.pooling)
        truth = _indices(part, {head: names})[head]
        figures = classification(truth, pooled.argmax(-1), names, pooled).to_dict()
        del figures["confusion"]  # `edgewright evaluate` shows it; of hundreds of classes it is most of the file
        found[head] = figures
    return found


def _lesson(
    train: Corpus,
    tokenizer: Tokenizer,
    heads: Mapping[str, tuple[str, ...]],
    encoded_once: tuple[Array, Array],
    y: Mapping[str, Array],
    weights: Mapping[str, Array] | None,
    settings: Settings,
) -> Lesson:
    augmented = _augmented(train, settings) if settings.augment else None
    drop = token_dropper(tokenizer, settings, usual=0.1)

    def lesson(epoch: int) -> tuple[int, Callable[[Array], tuple[Any, ...]]]:
        rng = np.random.default_rng((settings.seed, 1, epoch))
        if augmented is None:
            x, owner = encoded_once
        else:
            texts, source = augmented(epoch)
            x, of_text = encoded(tokenizer, texts)
            owner = source[of_text]
        x = drop(x, rng)

        def pick(rows: Array) -> tuple[Any, ...]:
            classes = _one_hot(y, heads, owner[rows])
            if weights is None:
                return x[rows], classes
            own = tuple(weights[head][owner[rows]] for head in heads)
            return x[rows], classes, own if len(own) > 1 else own[0]

        return len(x), pick

    return lesson


def _augmented(train: Corpus, settings: Settings) -> Callable[[int], tuple[list[str], Array]]:
    """Epoch → changed texts, and for each the training text whose labels it has."""
    from ..augment import parse_augmentation

    augmenter = parse_augmentation(settings.augment)
    places = [str(index) for index in range(len(train))]

    def draw(epoch: int) -> tuple[list[str], Array]:
        pairs = list(augmenter(train.texts, places, settings.seed + 1_000_003 * epoch))
        return [text for text, _ in pairs], np.array([int(place or 0) for _, place in pairs], np.int64)

    return draw


def _indices(part: Corpus, heads: Mapping[str, tuple[str, ...]]) -> dict[str, Array]:
    numbers = {head: {name: index for index, name in enumerate(names)} for head, names in heads.items()}
    return {head: np.array([numbers[head][label] for label in part.labels[head]], np.int64) for head in heads}


def _one_hot(y: Mapping[str, Array], heads: Mapping[str, tuple[str, ...]], rows: Array) -> Any:
    """One (rows, classes) float32 for each head; not in a tuple where there is one head."""
    found = tuple(np.eye(len(names), dtype=np.float32)[y[head][rows]] for head, names in heads.items())
    return found if len(found) > 1 else found[0]


def _weights(train: Corpus, heads: Mapping[str, tuple[str, ...]], wanted: bool) -> dict[str, Array] | None:
    """Head → (texts,) float32, whose mean is 1."""
    if not wanted:
        return None
    found = {}
    for head in heads:
        own = train.class_weights(head)
        found[head] = np.array([own[label] for label in train.labels[head]], np.float32)
    return found


def _loss(heads: int, smoothing: float) -> Any:
    import keras

    losses = [keras.losses.CategoricalCrossentropy(label_smoothing=smoothing) for _ in range(heads)]
    return losses if heads > 1 else losses[0]


def _arrays(splits: Splits, tokenizer: Tokenizer, heads: Mapping[str, tuple[str, ...]]) -> dict[str, Array]:
    """x_train, y_train, x_test, y_test as `convert` takes them; of a model with several heads no y_test."""
    found: dict[str, Array] = {}
    for name, part in (("train", splits.train), ("test", splits.test)):
        if not len(part):
            continue
        x, owner = encoded(tokenizer, part.texts)
        found[f"x_{name}"] = x
        for head, y in _indices(part, heads).items():
            if len(heads) == 1:
                found[f"y_{name}"] = y[owner].astype(np.int32)
            elif name == "train":
                found[f"y_train.{plain(head)}"] = y[owner].astype(np.int32)
    return found


def _sizes(splits: Splits, heads: Mapping[str, tuple[str, ...]]) -> str:
    classes = ", ".join(f"{len(names)} classes of {head}" for head, names in heads.items())
    parts = ", ".join(
        f"{len(part):,} to {name}"
        for name, part in zip(
            ("train on", "validate", "test"), (splits.train, splits.validation, splits.test), strict=True
        )
        if len(part)
    )
    return f"{splits.train.source}: {classes}; texts: {parts}"


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8") + b"\n"
