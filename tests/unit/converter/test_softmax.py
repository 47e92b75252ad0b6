"""Where an attention's softmax is written out, and that it stays the same softmax."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from unit.nets import Net, kinds, run

from edgewright_converter.lowering.graph import Model
from edgewright_converter.lowering.softmax import write_out_softmax
from edgewright_converter.lowering.versions import set_versions
from edgewright_converter.targets import get_target, has_slow_softmax


def attention(keys: int, beta: float = 1.0, shown: bool = False, rows: int = 5) -> Model:
    """(1, 2, rows, keys) scores and (1, 2, keys, 6) values → what is mixed; shown: the weights are an output, too."""
    net = Net((1, 2, rows, keys), (1, 2, keys, 6))
    scores, values = net.inputs
    options = schema.SoftmaxOptionsT()
    options.beta = beta
    weights = net.add("SOFTMAX", [scores], scores.shape, options)
    mixed = net.matmul(weights, values)
    return net.model(mixed, weights) if shown else net.model(mixed)


def samples(keys: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 30, (1, 2, 5, keys)).astype(np.float32)
    masked = scores.copy()
    masked[..., 1:] = -1e9
    hidden = np.full_like(scores, -1e9)
    values = rng.normal(0, 1, (1, 2, keys, 6)).astype(np.float32)
    return [{"x0": x, "x1": values} for x in (scores, masked, hidden, 1e4 * scores)]


@pytest.mark.parametrize("keys", [1, 7, 24])
def test_written_out_it_is_the_same_softmax_masks_and_large_scores_included(keys: int) -> None:
    model = attention(keys)
    set_versions(model.main)
    before = run(model, samples(keys))
    write_out_softmax(model.main)
    set_versions(model.main)
    assert kinds(model) == dict.fromkeys(("REDUCE_MAX", "SUB", "EXP", "SUM", "BATCH_MATMUL", "DIV", "MUL"), 1)
    for one, other in zip(before, run(model, samples(keys)), strict=True):
        np.testing.assert_allclose(one[0], other[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [attention(16), attention(32), attention(24, beta=0.5), attention(24, shown=True), attention(24, rows=1)],
    ids=["whole vectors", "two of them", "another base", "weights that are read", "a step of a generation"],
)
def test_where_it_stays(model: Model) -> None:
    write_out_softmax(model.main)
    assert kinds(model)["SOFTMAX"] == 1


def test_a_softmax_whose_range_was_settled_stays() -> None:
    model = attention(24)
    model.main.ops[0].output.range = (0.0, 1.0)
    write_out_softmax(model.main)
    assert kinds(model)["SOFTMAX"] == 1


@pytest.mark.parametrize(
    ("name", "features", "slow"),
    [
        ("local", (), True),
        ("local", ("avx2", "avx512f", "avx512_vnni"), True),
        ("local", ("avx2", "avx_vnni"), False),
        ("local-tflite", (), False),
        ("rpi4", (), False),
    ],
)
def test_for_which_machines(name: str, features: tuple[str, ...], slow: bool) -> None:
    target = replace(get_target(name), machine="x86_64") if name.startswith("local") else get_target(name)
    assert has_slow_softmax(replace(target, cpu_features=features) if features else target) is slow
