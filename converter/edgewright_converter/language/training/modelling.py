"""Bare text for a language model as a course: each token is to be told from those before it.

The texts stand one after the other, each between a begin and an end, in rows of the model's length; each epoch cuts
the rows at another place. Judged is every text by itself, from its begin on.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError
from edgewright_runtime.task import Task
from edgewright_runtime.text import Tokenizer

from ...data import Array
from ..data import Corpus, Splits
from ..metrics import modelling
from .course import Course, judging
from .noise import token_dropper, token_loss
from .settings import Settings

_CLIP = 1.0  # recurrent layers have steep places
_AT_ONCE = 1 << 24  # logits that are in memory at once


def course(splits: Splits, tokenizer: Tokenizer, settings: Settings) -> Course:
    """Raises InputError where the tokenizer does not say where texts begin and end."""
    if tokenizer.begin_id is None or tokenizer.end_id is None:
        raise InputError("A language model's tokenizer has a begin and an end: train one, or give another.")
    length = tokenizer.max_length
    stream = np.concatenate([framed(tokenizer, text) for text in splits.train.texts])
    seed = settings.seed
    drop = token_dropper(tokenizer, settings, usual=0.0)

    def lesson(epoch: int) -> tuple[int, Callable[[Array], tuple[Any, ...]]]:
        offset = int(np.random.default_rng((seed, 3, epoch)).integers(0, length)) if epoch else 0
        x, y, weights = rows(stream[offset:] if len(stream) > 2 * length else stream, length, tokenizer.pad_id)
        read = drop(x, np.random.default_rng((seed, 1, epoch)))
        return len(x), lambda chosen: (read[chosen], y[chosen], weights[chosen])

    held_out = None
    if len(splits.validation):
        own = np.concatenate([framed(tokenizer, text) for text in splits.validation.texts])
        held_out = rows(own, length, tokenizer.pad_id)
    x, y, _ = rows(stream, length, tokenizer.pad_id)
    arrays = {"x_train": x, "y_train": y}
    if len(splits.test):
        joined = np.concatenate([framed(tokenizer, text) for text in splits.test.texts])
        arrays["x_test"], arrays["y_test"], _ = rows(joined, length, tokenizer.pad_id)
    return Course(
        vocabulary=tokenizer.size,
        length=length,
        heads={},
        outputs={},
        samples=len(x),
        lesson=lesson,
        held_out=held_out,
        loss=lambda: token_loss(settings.smoothing(0.0)),
        saved_loss=token_loss,
        clip=_CLIP,
        judge=judging(splits, lambda model, part: judged(model, part, tokenizer)),
        files={"task.json": Task("generate").to_json()},
        arrays=arrays,
        sizes=f"{splits.train.source}: {len(stream):,} tokens of {len(splits.train):,} texts to train on, "
        f"{len(splits.validation):,} texts to validate, {len(splits.test):,} to test",
    )


def framed(tokenizer: Tokenizer, text: str) -> Array:
    """(n,) int32: begin, all ids of the text, end."""
    return np.array([tokenizer.begin_id, *tokenizer.ids(text), tokenizer.end_id], np.int32)


def rows(stream: Array, length: int, pad: int) -> tuple[Array, Array, Array]:
    """(n,) ids → x and y, (rows, length) int32, y one token further on, and float32 weights, 0 for padding."""
    count = max(1, -(-(len(stream) - 1) // length))
    filled = np.full(count * length + 1, pad, np.int32)
    filled[: len(stream)] = stream
    weights = np.zeros(count * length, np.float32)
    weights[: len(stream) - 1] = 1
    shape = (count, length)
    return filled[:-1].reshape(shape), filled[1:].reshape(shape), weights.reshape(shape)


def judged(model: Any, part: Corpus, tokenizer: Tokenizer) -> dict[str, Any]:
    """Perplexity and bits per byte, with intervals over the texts."""
    x, y, weights, owner = windows([framed(tokenizer, text) for text in part.texts], tokenizer)
    nats = token_nats(model, x, y, weights)
    size_bytes = np.array([len(text.encode("utf-8", "surrogatepass")) for text in part.texts])
    tokens = np.bincount(owner, weights.sum(1), len(part))
    return modelling(np.bincount(owner, nats, len(part)), tokens, size_bytes).to_dict()


def windows(streams: Sequence[Array], tokenizer: Tokenizer) -> tuple[Array, Array, Array, Array]:
    """Each text in rows that overlap by half, so that a token far into it has something before it; it counts once.

    Returns x, y, weights (rows, length), and (rows,) the text that each row is of.
    """
    length, step = tokenizer.max_length, max(1, tokenizer.max_length // 2)
    found: list[tuple[Array, Array, Array]] = []
    owner = []
    for index, stream in enumerate(streams):
        for start in range(0, max(1, len(stream) - 1 - (length - step)), step):
            x, y, weights = rows(stream[start : start + length + 1], length, tokenizer.pad_id)
            if start:
                weights[:, : length - step] = 0
            found.append((x, y, weights))
            owner.append(index)
    x, y, weights = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return x, y, weights, np.array(owner)


def token_nats(model: Any, x: Any, y: Array, weights: Array) -> Array:
    """(rows,) float64: the sum of -log p of the tokens y that count. x: (rows, length), or a tuple of such.

    A model that gives one answer for a row gives it for each of its tokens.
    """
    import keras

    inputs = x if isinstance(x, tuple) else (x,)
    batch = max(1, min(256, _AT_ONCE // (y.shape[1] * int(model.output_shape[-1]))))
    found = []
    for start in range(0, len(y), batch):
        chosen = np.minimum(np.arange(start, start + batch), len(y) - 1)  # one shape, so one trace
        logits = model.predict_on_batch([array[chosen] for array in inputs] if len(inputs) > 1 else inputs[0][chosen])
        if logits.ndim == 2:
            logits = np.broadcast_to(logits[:, None], (*y[chosen].shape, logits.shape[-1]))
        nats = keras.losses.sparse_categorical_crossentropy(y[chosen], logits, from_logits=True)
        found.append((np.asarray(nats, np.float64) * weights[chosen]).sum(1)[: len(y) - start])
    return np.concatenate(found)
