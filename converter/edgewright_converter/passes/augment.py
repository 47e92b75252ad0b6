"""Sentences of token ids, slightly changed: more for a teacher to say something about. NumPy alone.

Padding is 0 and stands at the tail or at the head, as the user's own samples have it.
"""

import numpy as np

from ..data import Array

PAD = 0


def augment(
    tokens: Array, rng: np.random.Generator, *, unknown: int, dropout: float, deletion: float, swap: float
) -> Array:
    """tokens: (samples, length) ids → the same shape and dtype, each row changed by chance.

    dropout: share of tokens that become ``unknown``; deletion: that vanish, what follows moves up; swap: that change
    places with the next. A row never loses its last token.
    """
    tokens = _swap(tokens, rng, swap) if swap else tokens
    real = np.not_equal(tokens, PAD)
    dropped = np.less(rng.random(tokens.shape), dropout) & real
    tokens = np.where(dropped, np.asarray(unknown, tokens.dtype), tokens)
    if not deletion:
        return tokens
    gone = np.less(rng.random(tokens.shape), deletion) & real
    gone &= np.any(real & ~gone, axis=1, keepdims=True)
    return _without(tokens, gone)


def _swap(tokens: Array, rng: np.random.Generator, share: float) -> Array:
    tokens = tokens.copy()
    chosen = np.less(rng.random(tokens.shape), share)
    for left in range(tokens.shape[1] - 1):
        a, b = tokens[:, left].copy(), tokens[:, left + 1].copy()
        both = chosen[:, left] & (a != PAD) & (b != PAD)
        tokens[:, left], tokens[:, left + 1] = np.where(both, b, a), np.where(both, a, b)
    return tokens


def _without(tokens: Array, gone: Array) -> Array:
    """What is gone is filled from where the padding stands."""
    at_head = (tokens[:, :1] == PAD) & (tokens != PAD).any(1, keepdims=True)
    rank = np.where(at_head, -gone.astype(int), gone.astype(int))  # stable: the gone ones go to the padding's end
    order = np.argsort(rank, axis=1, kind="stable")
    return np.take_along_axis(np.where(gone, PAD, tokens), order, 1)
