"""Low-rank products: truncated singular value decompositions that weigh errors by the data, and which rank. NumPy.

A product that data x flows through loses E‖x(W − AB)‖², not ‖W − AB‖²: with the inputs' second moment C = E[xᵀx] = SSᵀ
the best A, B come from the decomposition of SᵀW (as in SVD-LLM, Wang et al. 2024). At full rank AB = W whatever C is.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ..data import Array

_RIDGE = 1e-3  # of the mean of C's diagonal: directions that the samples do not have are not free


def root_of(moment: Array | None, size: int) -> Array:
    """S, lower triangular (size, size) with SSᵀ = C, for C (size, size) or None for one that weighs all the same."""
    if moment is None:
        return np.eye(size)
    scaled = moment / max(float(np.trace(moment)) / size, 1e-30)
    root: Array = np.linalg.cholesky(scaled + _RIDGE * np.eye(size))
    return root


def decompose(matrix: Array, left: Array, right: Array | None = None) -> tuple[Array, Array, Array]:
    """matrix: (in, out); left, right: roots of the sides' second moments → A (in, r), s (r,), B (r, out): A·B = matrix.

    s: the weighted singular values, descending; each factor carries √s. The first r columns and rows are the best
    product of rank r.
    """
    weighted = left.T @ matrix.astype(np.float64)
    if right is not None:
        weighted = weighted @ right
    u, s, v = np.linalg.svd(weighted, full_matrices=False)
    a, b = np.linalg.solve(left.T, u * np.sqrt(s)), np.sqrt(s)[:, None] * v
    if right is not None:
        b = np.linalg.solve(right.T, b.T).T
    return a, s, b


def rank_for_energy(s: Array, energy: float) -> int:
    """The smallest rank whose squares of singular values sum up to that fraction of all."""
    squares = np.cumsum(s.astype(np.float64) ** 2)
    if squares[-1] == 0:
        return 1
    return int(np.searchsorted(squares, energy * squares[-1] * (1 - 1e-12)) + 1)


def rounded(rank: int, multiple: int, largest: int) -> int:
    return min(largest, -(-rank // multiple) * multiple)


def energy_for_size(parameters: Callable[[float], int], target: int) -> float:
    """The largest energy, to 1/1000, at which ``parameters(energy)`` are no more than the target; 0 where none is."""
    low, high = 0, 1000
    while low < high:
        middle = (low + high + 1) // 2
        if parameters(middle / 1000) <= target:
            low = middle
        else:
            high = middle - 1
    return low / 1000


def smallest_rank(losses: Callable[[int], float], ranks: Sequence[int], limit: float) -> int:
    """The first of the ascending ranks whose loss is within the limit, by bisection; the last where none is."""
    low, high = 0, len(ranks) - 1
    while low < high:
        middle = (low + high) // 2
        if losses(ranks[middle]) <= limit:
            high = middle
        else:
            low = middle + 1
    return ranks[low]
