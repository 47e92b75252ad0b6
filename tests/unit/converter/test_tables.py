"""Roots of int8 numbers in a table: the same answers as the engine's kernels, in a real engine."""

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from unit.nets import Net, draw, kinds, run

from edgewright_converter.lowering.graph import Model
from edgewright_converter.lowering.integers import quantize_graph
from edgewright_converter.lowering.ranges import measure
from edgewright_converter.lowering.tables import tabulate_roots
from edgewright_converter.lowering.versions import set_versions


def rooted(epsilon: float | None, left: bool = False, shown: bool = False) -> Model:
    """x (1, 9, 16) → 1 / sqrt(mean(x²) + epsilon), as a normalization has it."""
    net = Net((1, 9, 16))
    (x,) = net.inputs
    reducer = schema.ReducerOptionsT()
    reducer.keepDims = True
    variance = net.add("MEAN", [net.times(x, x), np.array([2], np.int32)], (1, 9, 1), reducer)
    number = None if epsilon is None else np.array(epsilon, np.float32)
    shifted = variance if number is None else net.plus(number, variance) if left else net.plus(variance, number)
    root = net.add("RSQRT", [shifted], (1, 9, 1))
    return net.model(root, shifted) if shown else net.model(root)


def integers(model: Model, samples: Any) -> Model:
    ranges = measure(model, samples)
    quantize_graph(
        model.main, ranges, chosen=lambda op: True, bits=lambda op: 8, per_channel=lambda op: True, int8_ends=False
    )
    set_versions(model.main)
    return model


@pytest.mark.parametrize(
    ("epsilon", "left", "shown", "sums"),
    [(0.05, False, False, 0), (0.05, True, False, 0), (None, False, False, 0), (0.05, False, True, 1)],
    ids=["a sum before", "the number first", "no sum", "a sum that is read"],
)
def test_a_table_answers_as_the_kernel(epsilon: float | None, left: bool, shown: bool, sums: int) -> None:
    model = rooted(epsilon, left, shown)
    samples = [{"x0": sample["x0"] * size} for size in (0.1, 0.5, 1, 2) for sample in draw(model)]
    samples.append({"x0": np.zeros((1, 9, 16), np.float32)})
    integers(model, samples[:-1])
    (root,) = (op.output for op in model.main.ops if op.kind == "RSQRT")
    assert root.grid is not None
    step = float(root.grid.scale[0])
    before = run(model, samples)
    tabulate_roots(model.main)
    set_versions(model.main)
    found = kinds(model)
    assert (found["RSQRT"], found["CAST"], found["GATHER"], found["ADD"]) == (0, 1, 1, 1 + sums)
    for one, other in zip(before, run(model, samples), strict=True):
        np.testing.assert_allclose(one[0], other[0], atol=1.01 * step)  # the kernel's own arithmetic is not exact


def test_roots_of_floats_stay() -> None:
    model = rooted(0.05)
    tabulate_roots(model.main)
    assert kinds(model)["RSQRT"] == 1
