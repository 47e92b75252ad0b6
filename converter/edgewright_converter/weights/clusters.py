"""Weight sharing: k-means in one dimension, exact where it counts and fast. NumPy."""

import numpy as np

from ..data import Array

_ROUNDS = 50


def cluster(weights: Array, count: int, zero: bool) -> tuple[Array, Array]:
    """weights: any shape → centroids (≤ count,) ascending, and the index of each weight's centroid, same shape, int32.

    Starts from quantiles mixed with an even grid (density and range, as Han et al. 2016 compare) and iterates Lloyd's
    step to its end. zero: weights that are zero keep a centroid of exactly zero, so that sparsity survives.
    """
    flat = weights.ravel().astype(np.float64)
    present = np.unique(flat)
    if len(present) <= count:
        return present, np.searchsorted(present, weights).astype(np.int32)
    pinned = zero and bool((flat == 0).any())
    free = flat[flat != 0] if pinned else flat
    k = count - pinned
    quantiles = np.quantile(free, (np.arange(k) + 0.5) / k)
    centroids = np.unique((quantiles + np.linspace(free.min(), free.max(), k)) / 2)
    ordered = np.sort(free)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    for _ in range(_ROUNDS):
        edges = np.searchsorted(ordered, (centroids[1:] + centroids[:-1]) / 2)
        bounds = np.concatenate([[0], edges, [len(ordered)]])
        sizes = np.diff(bounds)
        means = np.diff(sums[bounds])[sizes > 0] / sizes[sizes > 0]
        if len(means) == len(centroids) and np.allclose(means, centroids, rtol=1e-9, atol=0):
            break
        centroids = np.unique(means)
    if pinned:
        centroids = np.unique(np.concatenate([centroids, [0.0]]))
    indices = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, flat)
    if pinned:
        at = int(np.flatnonzero(centroids == 0)[0])
        indices[flat == 0] = at
    return centroids, indices.reshape(weights.shape).astype(np.int32)
