"""What makes a training harder on purpose: tokens that nobody has seen, and truths that are not quite certain."""

from collections.abc import Callable
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError
from edgewright_runtime.text import Tokenizer

from ...data import Array
from ...passes.augment import augment
from .settings import Settings


def token_dropper(
    tokenizer: Tokenizer, settings: Settings, usual: float
) -> Callable[[Array, np.random.Generator], Array]:
    """A function of (rows, length) ids that leaves out a share of them and makes another unknown: the settings', else
    ``usual`` where the tokenizer has an unknown token. Raises InputError where that is asked for and it has none.
    """
    unknown, share, deletion = tokenizer.unknown_id, settings.token_dropout, settings.token_deletion
    if unknown is None and share:
        raise InputError(
            "--token-dropout makes tokens unknown, and this tokenizer knows every text: leave it out, or take "
            "another kind (--tokenizer words, characters, wordpiece, unigram)."
        )
    dropped = 0.0 if unknown is None else usual if share is None else share
    if not dropped and not deletion:
        return lambda x, rng: x
    return lambda x, rng: augment(x, rng, unknown=unknown or 0, dropout=dropped, deletion=deletion, swap=0.0)


def token_loss(smoothing: float = 0.0) -> Any:
    """Cross-entropy of logits over the vocabulary, the mean over the tokens that count.

    smoothing: this share of each truth is spread evenly over the vocabulary (Szegedy et al. 2015, section 7).
    """
    import keras
    from keras import ops

    if not smoothing:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight")

    class Smoothed(keras.losses.Loss):  # type: ignore[misc]
        def call(self, truth: Any, logits: Any) -> Any:
            sure = ops.sparse_categorical_crossentropy(truth, logits, from_logits=True)
            even = ops.logsumexp(logits, axis=-1) - ops.mean(logits, axis=-1)
            return (1 - smoothing) * sure + smoothing * even

    return Smoothed(reduction="mean_with_sample_weight")
