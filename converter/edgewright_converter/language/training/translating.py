"""Texts and their translations as a course: what the translation says next, from the text and what is said so far."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError
from edgewright_runtime.task import Task
from edgewright_runtime.text import Tokenizer

from ...data import Array
from ..data import Corpus, Splits
from ..metrics import perplexity, translation
from .course import Course, judging
from .modelling import token_nats
from .noise import token_dropper, token_loss
from .settings import Settings

JUDGED = 500  # sentences that are translated for BLEU and chrF: the first of the part
_BATCH = 128


def course(splits: Splits, tokenizer: Tokenizer, settings: Settings) -> Course:
    """Raises InputError where there are no translations, or the tokenizer does not say where texts begin and end."""
    if splits.train.targets is None:
        raise InputError(f"{splits.train.source} has no translations: name their column (--target).")
    if tokenizer.begin_id is None or tokenizer.end_id is None:
        raise InputError("A translator's tokenizer has a begin and an end: train one, or give another.")
    source, target, following, weights = pairs(tokenizer, splits.train)

    drop = token_dropper(tokenizer, settings, usual=0.0)

    def lesson(epoch: int) -> tuple[int, Callable[[Array], tuple[Any, ...]]]:
        rng = np.random.default_rng((settings.seed, 1, epoch))
        read, said = drop(source, rng), drop(target, rng)
        return len(source), lambda rows: ((read[rows], said[rows]), following[rows], weights[rows])

    held_out = None
    if len(splits.validation):
        x, so_far, after, own = pairs(tokenizer, splits.validation)
        held_out = ((x, so_far), after, own)
    arrays = {"x_train.source": source, "x_train.target": target, "y_train": following}
    return Course(
        vocabulary=tokenizer.size,
        length=tokenizer.max_length,
        heads={},
        outputs={},
        samples=len(source),
        lesson=lesson,
        held_out=held_out,
        loss=lambda: token_loss(settings.smoothing(0.0)),
        saved_loss=token_loss,
        judge=judging(splits, lambda model, part: judged(model, part, tokenizer)),
        files={"task.json": Task("translate").to_json()},
        arrays=arrays,
        tokens=np.maximum((source != tokenizer.pad_id).sum(1), weights.astype(bool).sum(1)),
        sizes=f"{splits.train.source}: {len(source):,} pairs to train on, {len(splits.validation):,} to validate, "
        f"{len(splits.test):,} to test",
    )


def pairs(tokenizer: Tokenizer, part: Corpus) -> tuple[Array, Array, Array, Array]:
    """source, what is said so far, what comes next, each (n, length) int32, and float32 weights of the last."""
    length = tokenizer.max_length
    so_far, after = (np.full((len(part), length), tokenizer.pad_id, np.int32) for _ in range(2))
    weights = np.zeros((len(part), length), np.float32)
    for index, text in enumerate(part.targets or ()):
        ids = tokenizer.ids(text)[: length - 1]
        so_far[index, 1 : len(ids) + 1] = after[index, : len(ids)] = ids
        so_far[index, 0], after[index, len(ids)] = tokenizer.begin_id or 0, tokenizer.end_id or 0
        weights[index, : len(ids) + 1] = 1
    return np.stack([tokenizer.encode(text) for text in part.texts]), so_far, after, weights


def judged(model: Any, part: Corpus, tokenizer: Tokenizer) -> dict[str, Any]:
    """Perplexity per token of the true translations; BLEU and chrF of what the model says, greedily."""
    source, so_far, after, weights = pairs(tokenizer, part)
    nats = token_nats(model, (source, so_far), after, weights)
    few = part.take(range(min(JUDGED, len(part))))
    said = greedy(model, tokenizer, few.texts)
    own = perplexity(float(nats.sum()), float(weights.sum()))
    return {**translation(said, few.targets or ()).to_dict(), "token_perplexity": own}


def greedy(model: Any, tokenizer: Tokenizer, texts: Sequence[str]) -> list[str]:
    """The most probable token each time. All texts of a batch at once, the whole model for each token."""
    size = model.inputs[1].shape[1]
    found: list[str] = []
    for start in range(0, len(texts), _BATCH):
        own = texts[start : start + _BATCH]
        source = np.zeros((_BATCH, tokenizer.max_length), np.int32)
        source[: len(own)] = [tokenizer.encode(text) for text in own]
        target = np.full((_BATCH, size), tokenizer.pad_id, np.int32)
        target[:, 0] = tokenizer.begin_id
        open_ = np.ones(_BATCH, bool)
        for place in range(size - 1):
            chosen = model.predict_on_batch([source, target])[:, place].argmax(-1)
            open_ &= chosen != tokenizer.end_id
            target[open_, place + 1] = chosen[open_]
            if not open_[: len(own)].any():
                break
        found += [tokenizer.decode(row[1:][row[1:] != tokenizer.pad_id]) for row in target[: len(own)]]
    return found
