"""Which weights become zero, by magnitude. NumPy.

Patterns, along the axis that a product sums over (the rows of a Keras kernel, the columns of a flatbuffer's):

unstructured   single weights
2:4            two of each four
1x4, 1x16      blocks of 4 or 16: those of the engine's sparse kernels for float32 and for int8
"""

from collections.abc import Sequence

import numpy as np

from ..data import Array

BLOCKS = {"unstructured": 1, "1x4": 4, "1x16": 16}
PATTERNS = ("unstructured", "2:4", "1x4", "1x16")


def polynomial(progress: float, final: float, power: float = 3.0) -> float:
    """The sparsity at that progress, 0 to 1: s·(1 − (1 − t)³) of Zhu & Gupta 2017, from zero."""
    t = min(1.0, max(0.0, progress))
    return float(final * (1 - (1 - t) ** power))


def block_scores(weights: Array, axis: int, block: int) -> Array:
    """Mean |w| of each block along the axis, (others, blocks); weights that fill no block are left out."""
    rows = np.abs(np.moveaxis(weights, axis, -1).astype(np.float64)).reshape(-1, weights.shape[axis])
    whole = rows.shape[1] // block * block
    scores: Array = rows[:, :whole].reshape(len(rows), -1, block).mean(-1)
    return scores


def mask_of(keep: Array, weights: Array, axis: int, block: int) -> Array:
    """keep: (others, blocks) bool → weights' shape, True for what stays; a rest that fills no block stays."""
    size = weights.shape[axis]
    full = np.ones((keep.shape[0], size), bool)
    full[:, : keep.shape[1] * block] = np.repeat(keep, block, 1)
    others = [n for index, n in enumerate(weights.shape) if index != axis % weights.ndim]
    return np.moveaxis(full.reshape(*others, size), -1, axis)


def masks(weights: Sequence[Array], axes: Sequence[int], pattern: str, sparsity: float, shared: bool) -> list[Array]:
    """A mask for each, of the shape of its weights, False where it becomes zero.

    sparsity: the fraction of zeros, of each, or with ``shared`` of all together by one threshold. 2:4 is always half:
    before its sparsity of 0.5 is reached, the smallest of the groups' lower halves go first.
    """
    if pattern == "2:4":
        return [_two_of_four(w, axis, min(1.0, sparsity / 0.5)) for w, axis in zip(weights, axes, strict=True)]
    block = BLOCKS[pattern]
    scores = [block_scores(w, axis, block) for w, axis in zip(weights, axes, strict=True)]
    if shared:
        sizes = [s.size for s in scores]
        flat = _lowest(np.concatenate([s.ravel() for s in scores]), sparsity)
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        kept = [~part.reshape(s.shape) for part, s in zip(parts, scores, strict=True)]
    else:
        kept = [~_lowest(s.ravel(), sparsity).reshape(s.shape) for s in scores]
    return [mask_of(k, w, axis, block) for k, w, axis in zip(kept, weights, axes, strict=True)]


def _lowest(scores: Array, fraction: float) -> Array:
    """True for exactly that many of the smallest; earlier ones first among equals."""
    chosen = np.zeros(scores.shape, bool)
    chosen[np.argsort(scores, kind="stable")[: round(fraction * scores.size)]] = True
    return chosen


def _two_of_four(weights: Array, axis: int, share: float) -> Array:
    rows = np.abs(np.moveaxis(weights, axis, -1).astype(np.float64)).reshape(-1, weights.shape[axis])
    whole = rows.shape[1] // 4 * 4
    groups = rows[:, :whole].reshape(-1, 4)
    lower = np.argsort(groups, -1, kind="stable")[:, :2]
    values = np.take_along_axis(groups, lower, -1)
    drop = np.zeros(groups.shape, bool)
    np.put_along_axis(drop, lower, _lowest(values.ravel(), share).reshape(values.shape), -1)
    keep = np.ones(rows.shape, bool)
    keep[:, :whole] = ~drop.reshape(len(rows), whole)
    others = [n for index, n in enumerate(weights.shape) if index != axis % weights.ndim]
    return np.moveaxis(keep.reshape(*others, weights.shape[axis]), -1, axis)
