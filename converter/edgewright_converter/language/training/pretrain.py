"""What a model learns from bare text before it learns the task: to fill in hidden tokens, or to say the next one.

masked    a share of the tokens is hidden, as in BERT (Devlin et al. 2018): of these 80 % become the mask (or the
          unknown token, where the tokenizer has no mask), 10 % any other token, 10 % stay. A model that answers for
          each token tells a hidden one where it stands; one that answers for the text tells all of them at once, by
          the same features that it will tell classes by
causal    each token is to be told from those before it
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError
from edgewright_runtime.text import Tokenizer

from ...data import Array
from ..data import Splits
from ..metrics import bootstrap, perplexity
from ..zoo import ZOO
from .course import Course, Lesson
from .modelling import token_nats
from .noise import token_loss
from .settings import Settings

HIDDEN = {"tokens": 0.15, "text": 0.4}  # by what answers: a text of five words with one hidden says little of itself
_TO_MASK, _TO_ANY = 0.8, 0.1
HEAD = "vocabulary"


def lesson(tokenizer: Tokenizer, texts: Sequence[str], model: str, how: str, seed: int) -> tuple[int, Lesson]:
    """How many samples there are, and the lesson: x and y (n, length) int32 with weights (n, length) float32."""
    share = HIDDEN[ZOO[model].pretraining[how]]
    x = np.concatenate([_rows(tokenizer, text) for text in texts])

    def masked(epoch: int) -> tuple[int, Callable[[Array], tuple[Any, ...]]]:
        changed, hidden = hide(x, tokenizer, np.random.default_rng((seed, 2, epoch)), share)
        return len(x), lambda rows: (changed[rows], x[rows], hidden[rows].astype(np.float32))

    def causal(epoch: int) -> tuple[int, Callable[[Array], tuple[Any, ...]]]:
        following = np.concatenate([x[:, 1:], np.full((len(x), 1), tokenizer.pad_id, x.dtype)], 1)
        real = np.not_equal(following, tokenizer.pad_id).astype(np.float32)
        return len(x), lambda rows: (x[rows], following[rows], real[rows])

    return len(x), masked if how == "masked" else causal


def course(splits: Splits, tokenizer: Tokenizer, settings: Settings) -> Course:
    """Bare text alone: a backbone for later trainings."""
    model = settings.model or "text-cnn"
    require(model, settings.pretrain)
    samples, own = lesson(tokenizer, splits.train.texts, model, settings.pretrain, settings.seed)
    held_out = None
    if len(splits.validation):
        count, held = lesson(tokenizer, splits.validation.texts, model, settings.pretrain, settings.seed)
        held_out = held(0)[1](np.arange(count))
    return Course(
        vocabulary=tokenizer.size,
        length=tokenizer.max_length,
        heads={},
        outputs={HEAD: tokenizer.size},
        samples=samples,
        lesson=own,
        held_out=held_out,
        loss=lambda: loss(model, settings.pretrain),
        saved_loss=token_loss,
        judge=lambda trained: {} if held_out is None else {"validation": _judged(trained, held_out)},
        sizes=f"{splits.train.source}: {len(splits.train):,} texts to train on, {len(splits.validation):,} to validate",
        options=answering(model, settings.pretrain),
        is_pretraining=True,
    )


def require(model: str, how: str) -> None:
    """Raises InputError where that model cannot learn so."""
    if how not in ZOO[model].pretraining:
        kinds = " or ".join(ZOO[model].pretraining) or "none"
        raise InputError(f"The model {model} cannot be pre-trained {how}: what it can is {kinds}.")


def answering(model: str, how: str) -> dict[str, Any]:
    """Options of ``build`` for a body that learns so: logits over the vocabulary, of each token or of the text."""
    return {"answers": ZOO[model].pretraining[how], "causal": how == "causal", "activation": None}


def loss(model: str, how: str) -> Any:
    """Cross-entropy of the logits with ids (n, length), the mean over those that count.

    Where the text has one answer, (n, vocabulary), it is that for each of its hidden tokens.
    """
    if ZOO[model].pretraining[how] == "tokens":
        return token_loss()
    import keras
    from keras import ops

    class OfTheText(keras.losses.Loss):  # type: ignore[misc]
        def call(self, truth: Any, logits: Any) -> Any:
            return -ops.take_along_axis(ops.log_softmax(logits), ops.cast(truth, "int32"), axis=-1)

    return OfTheText(reduction="mean_with_sample_weight")


def _judged(model: Any, held_out: tuple[Any, ...]) -> dict[str, Any]:
    """The perplexity of the tokens to be told, without its bytes: hidden tokens are no text."""
    x, y, weights = held_out
    own, tokens = token_nats(model, x, y, weights), weights.sum(1)
    found = bootstrap(lambda rows: perplexity(own[rows].sum(), tokens[rows].sum()), len(own))
    return {"perplexity": found.to_dict(), "tokens": int(tokens.sum())}


def hide(x: Array, tokenizer: Tokenizer, rng: np.random.Generator, share: float) -> tuple[Array, Array]:
    """x: (n, length) ids → the same with a share hidden, (n, length) bool where. Each row with a token hides one."""
    real = np.not_equal(x, tokenizer.pad_id)
    score = np.where(real, rng.random(x.shape), 2.0)
    hidden = score < share
    hidden[np.arange(len(x)), score.argmin(1)] = real.any(1)
    how = rng.random(x.shape)
    mask = tokenizer.mask_id if tokenizer.mask_id is not None else tokenizer.unknown_id
    changed = np.where(hidden & (how < _TO_MASK), x.dtype.type(mask or 0), x)
    swap = hidden & (how >= _TO_MASK) & (how < _TO_MASK + _TO_ANY)
    return np.where(swap, rng.integers(0, tokenizer.size, x.shape, x.dtype), changed), hidden


def _rows(tokenizer: Tokenizer, text: str) -> Array:
    """All of a long text, in rows that do not overlap."""
    ids = np.asarray(tokenizer.ids(text), np.int32)
    if len(ids) <= tokenizer.room:
        return tokenizer.encode(text)[None]
    rows = -(-len(ids) // tokenizer.max_length)
    filled = np.full(rows * tokenizer.max_length, tokenizer.pad_id, np.int32)
    filled[: len(ids)] = ids
    return filled.reshape(rows, tokenizer.max_length)
