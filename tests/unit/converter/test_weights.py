"""Masks and clusters: the mathematics, in NumPy alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_converter.outcome import Outcome
from edgewright_converter.passes.cluster import Cluster
from edgewright_converter.passes.distill import Distill
from edgewright_converter.passes.lora import Lora
from edgewright_converter.passes.prune import Prune
from edgewright_converter.passes.prune_structured import PruneStructured
from edgewright_converter.passes.qat import Qat
from edgewright_converter.weights.clusters import cluster
from edgewright_converter.weights.gains import with_gains
from edgewright_converter.weights.masks import masks, polynomial


def test_the_polynomial_schedule_begins_at_nothing_and_ends_at_the_target() -> None:
    values = [polynomial(t, 0.8) for t in (-1, 0, 0.25, 0.5, 1, 2)]
    assert values == pytest.approx([0, 0, 0.8 * (1 - 0.75**3), 0.8 * 0.875, 0.8, 0.8])


@given(st.integers(0, 99), st.floats(0.05, 0.95), st.sampled_from(["unstructured", "1x4", "1x16"]), st.booleans())
def test_the_smallest_go_and_as_many_as_asked(seed: int, sparsity: float, pattern: str, shared: bool) -> None:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, scale, shape) for scale, shape in ((1, (32, 6)), (3, (3, 3, 16, 5)))]
    axes = [0, 2]
    found = masks(weights, axes, pattern, sparsity, shared)
    block = {"unstructured": 1, "1x4": 4, "1x16": 16}[pattern]
    zeros = [int((~mask).sum()) for mask in found]
    if shared:
        total = sum(w.size for w in weights) // block
        assert sum(zeros) == round(sparsity * total) * block
    for weight, mask, axis, count in zip(weights, found, axes, zeros, strict=True):
        assert mask.shape == weight.shape
        if not shared:
            assert count == round(sparsity * (weight.size // block)) * block
        rows = np.moveaxis(mask, axis, -1).reshape(-1, block)
        assert (rows == rows[:, :1]).all()  # whole blocks
        means = np.abs(np.moveaxis(weight, axis, -1)).reshape(-1, block).mean(1)
        if 0 < count < weight.size:
            assert means[~rows[:, 0]].max() <= means[rows[:, 0]].min()


def test_a_rest_that_fills_no_block_stays() -> None:
    (mask,) = masks([np.ones((10, 2))], [0], "1x4", 0.99, False)
    assert mask.sum() == 4
    assert mask[8:].all()


def test_two_of_each_four() -> None:
    weight = np.random.default_rng(0).normal(size=(10, 3))
    (mask,) = masks([weight], [0], "2:4", 0.5, False)
    groups = mask[:8].reshape(2, 4, 3)
    assert (groups.sum(1) == 2).all()
    assert mask[8:].all()
    kept = np.where(groups, np.abs(weight[:8].reshape(2, 4, 3)), np.inf).min(1)
    gone = np.where(groups, -np.inf, np.abs(weight[:8].reshape(2, 4, 3))).max(1)
    assert (gone <= kept).all()
    (half,) = masks([weight], [0], "2:4", 0.25, False)
    assert (~half).sum() == 6


@given(st.integers(0, 99), st.integers(2, 40), st.booleans())
def test_clusters_are_means_and_each_weight_takes_the_nearest(seed: int, count: int, sparse: bool) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, 1, (17, 9)).astype(np.float32)
    if sparse:
        weight[rng.random(weight.shape) < 0.6] = 0
    centroids, indices = cluster(weight, count, zero=True)
    assert len(centroids) <= count
    assert (np.diff(centroids) > 0).all()
    new = centroids[indices]
    assert ((new == 0) >= (weight == 0)).all()
    assert np.square(new - weight).mean() <= np.var(weight[weight != 0]) + 1e-9
    nonzero = weight != 0
    nearest = np.abs(weight[nonzero][:, None] - centroids).min(1)
    assert np.allclose(np.abs(new[nonzero] - weight[nonzero]), nearest)


def test_few_values_are_kept_as_they_are() -> None:
    weight = np.array([[0.5, -1.0], [0.5, 2.0]], np.float32)
    centroids, indices = cluster(weight, 4, zero=True)
    assert centroids.tolist() == [-1.0, 0.5, 2.0]
    assert (centroids[indices] == weight).all()


def test_no_gain_is_called_no_gain() -> None:
    outcome = Outcome(
        "prune", {}, 0, 0, float_bytes_before=1000, float_bytes_after=1000,
        compressed_bytes_before=800, compressed_bytes_after=400,
    )  # fmt: skip
    assert with_gains(outcome).hints == (
        "Bytes as stored (float32): 1,000 → 1,000, 1.00×: no gain.",
        "Bytes compressed (float32): 800 → 400, 0.50×.",
        "No kernel skips single zeros or looks up shared values: no gain in latency.",
    )
    assert with_gains(replace(outcome, use="factorize")).hints == ()
    assert with_gains(replace(outcome, float_bytes_before=None)).hints == ()


def test_data_is_needed_only_where_it_is_looked_at() -> None:
    assert not PruneStructured(epochs=0, importance="magnitude").needs_data
    assert PruneStructured(epochs=0, importance="magnitude", kinds=("vocabulary",)).needs_data
    assert PruneStructured(epochs=0).needs_data
    assert Prune().needs_data
    assert not Prune(epochs=0).needs_data
    assert not Cluster(epochs=0).needs_data
    assert not Lora(epochs=0).needs_data
    assert Qat(epochs=0).needs_data
    assert Distill(width=0.5, epochs=0).needs_data


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Prune, {"sparsity": 1.0}),
        (Prune, {"pattern": "3:4"}),
        (Prune, {"pattern": "2:4", "sparsity": 0.75}),
        (Prune, {"schedule": "sudden"}),
        (Prune, {"ramp": 0.0}),
        (Prune, {"scope": "house"}),
        (Prune, {"sparse": True}),
        (Cluster, {"clusters": 1}),
        (Lora, {"rank": 0}),
        (Lora, {"alpha": 0.0}),
        (PruneStructured, {"amount": 1.0}),
        (PruneStructured, {"kinds": ("doors",)}),
        (PruneStructured, {"importance": "luck"}),
        (PruneStructured, {"scope": "house"}),
        (PruneStructured, {"rounds": 0}),
    ],
)
def test_options_are_checked(kind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        kind(**wrong)
