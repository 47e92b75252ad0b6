"""Cutting channels out of a model: what is zero may go without a trace, what hangs together goes together."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from edgewright_converter.errors import ModelError
from edgewright_converter.structure.channels import Channels, einsum_axes
from edgewright_converter.structure.selection import Component, chosen, components
from edgewright_converter.structure.vocabulary import is_tail, kept_rows, new_ids

# --- NumPy alone ---


def test_tied_channels_have_one_root_and_meeting_a_fixed_size_pins() -> None:
    channels = Channels()
    a, b, c = (channels.new(name, "units", 3) for name in "abc")
    channels.tie(a, b, "sum")
    assert channels.roots(a).tolist() == channels.roots(b).tolist()
    assert not set(channels.roots(a)) & set(channels.roots(c))
    assert channels.tie(c, None, "meets the input") is None
    assert set(channels.pinned()) == set(channels.roots(c))
    assert components(channels)[1].reason == "meets the input"


def test_splitting_an_axis_frees_whole_heads() -> None:
    channels = Channels()
    units = channels.new("query", "units", 12)
    axes = channels.reshape((None, units), (5, 12), (5, 3, 4), "")
    assert axes[0] is None
    assert axes[2] is None
    assert axes[1] is not None
    roots = channels.roots(units).reshape(3, 4)
    assert len(set(roots[:, 0])) == 3
    assert (roots == roots[:, :1]).all()
    back = channels.reshape(axes, (5, 3, 4), (5, 12), "")
    assert back[1] is not None
    assert (channels.roots(back[1]) == roots.ravel()).all()
    flat = channels.reshape((None, channels.new("conv", "filters", 2)), (3, 2), (6,), "")
    assert flat[0] is not None
    assert (flat[0] == np.tile(flat[0][:2], 3)).all()


def test_einsum_ties_equal_letters() -> None:
    channels = Channels()
    a, b = channels.new("a", "units", 4), channels.new("b", "units", 4)
    assert einsum_axes("ij,jk->ik", [(None, a), (b, None)], channels) == (None, None)
    assert channels.roots(a).tolist() == channels.roots(b).tolist()


def _scored(sizes: list[int]) -> tuple[list[Component], dict[int, float]]:
    parts, first = [], 0
    for index, size in enumerate(sizes):
        parts.append(Component(f"p{index}", "units", np.arange(first, first + size), size))
        first += size
    return parts, {root: float(root % 7 + 1) for root in range(first)}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.floats(0.05, 1), st.integers(1, 8), st.booleans())
def test_each_component_keeps_what_was_asked_for(sizes: list[int], keep: float, multiple: int, share: bool) -> None:
    parts, scores = _scored(sizes)
    gone = chosen(parts, scores, keep, multiple, {part.name: part.total for part in parts}, share)
    for part in parts:
        own = [root for root in part.roots.tolist() if root in gone]
        left = part.total - len(own)
        assert left >= 1
        if not share:
            assert left >= min(part.total, keep * part.total)
            assert left < keep * part.total + multiple + 1
            if own:  # the least important ones
                assert max(scores[r] for r in own) <= min(scores[r] for r in part.roots.tolist() if r not in gone)
        if left >= 2 * multiple and own:
            assert left % multiple == 0
    if share and multiple == 1:
        assert sum(sizes) - len(gone) >= keep * sum(sizes) - 1e-6


def test_ids_of_rows_that_went_share_the_last_row() -> None:
    table = np.arange(12, dtype=np.float32).reshape(6, 2)
    gone = np.array([1, 4])
    kept, ids = kept_rows(table, gone), new_ids(6, gone)
    assert ids.tolist() == [0, 4, 1, 2, 4, 3]
    assert (kept[ids][[0, 2, 3, 5]] == table[[0, 2, 3, 5]]).all()
    assert (kept[ids][[1, 4]] == table[gone].mean(0)).all()
    assert is_tail(np.array([4, 5]), 6)
    assert not is_tail(gone, 6)


# --- on Keras models ---


def _cut(model: Any, amount: float, kinds: tuple[str, ...], seed: int = 0, erase: bool = False) -> tuple[Any, set[int]]:
    """Cut random channels; erase: make them zero in the old model, so that both must agree."""
    from edgewright_converter.structure.cut import cut
    from edgewright_converter.structure.tracing import trace

    found = trace(model, "prune-structured")
    parts = [part for part in components(found.channels) if part.kind in kinds]
    rng = np.random.default_rng(seed)
    scores = {int(root): float(rng.random()) for part in parts for root in part.roots}
    gone = chosen(parts, scores, 1 - amount, 1, {part.name: part.total for part in parts}, False)
    if erase:
        for variable, axes in found.weights.values():
            value = variable.numpy().copy()
            for index, axis in enumerate(axes):
                if axis is not None:
                    zero = np.isin(found.channels.roots(axis), list(gone))
                    np.moveaxis(value, index, 0)[zero] = 0
            variable.assign(value)
    return cut(model, "prune-structured", found, gone, {}), gone


KINDS = ("units", "filters", "heads", "head-units", "recurrent", "embedding")


def _blocks(exact: bool) -> Any:
    import ast
    from pathlib import Path

    # The names alone: importing the models would import TensorFlow while tests are collected.
    source = Path(__file__).with_name("random_models.py").read_text("utf-8")
    names = [n.name for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")]
    left_out = {"build", "tokens", "normalized"} if exact else {"build", "tokens"}
    return st.lists(st.sampled_from([name for name in names if name not in left_out]), min_size=1, max_size=3)


ENDS = st.sampled_from(["flatten", "mean", "first", "last state"])
FEW = settings(
    max_examples=6,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # a failing model says enough, and building smaller ones takes minutes
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@FEW
@given(_blocks(exact=False), ENDS, st.integers(0, 99))
def test_cutting_nothing_keeps_the_function_and_cutting_keeps_the_signature(
    blocks: list[str], end: str, seed: int
) -> None:
    from unit.converter import random_models

    model = random_models.build(blocks, end, seed)
    x = random_models.tokens()
    same, _ = _cut(model, 0.0, KINDS)
    np.testing.assert_allclose(same(x).numpy(), model(x).numpy(), atol=1e-4)
    smaller, gone = _cut(model, 0.5, KINDS, seed)
    assert smaller.count_params() < model.count_params() or not gone
    assert [t.shape for t in smaller.outputs] == [t.shape for t in model.outputs]
    assert [t.dtype for t in smaller.inputs] == [t.dtype for t in model.inputs]
    assert [t.name for t in smaller.inputs] == [t.name for t in model.inputs]
    assert smaller.output_names == model.output_names
    assert np.isfinite(smaller(x).numpy()).all()


@pytest.mark.slow
@FEW
@given(_blocks(exact=True), ENDS, st.integers(0, 99))
def test_channels_that_are_zero_everywhere_go_without_a_trace(blocks: list[str], end: str, seed: int) -> None:
    from unit.converter import random_models

    model = random_models.build(blocks, end, seed)
    x = random_models.tokens()
    smaller, gone = _cut(model, 0.4, KINDS, seed, erase=True)
    assert gone
    np.testing.assert_allclose(smaller(x).numpy(), model(x).numpy(), atol=1e-4)


@pytest.mark.slow
def test_every_block_by_itself_loses_nothing_that_is_zero() -> None:
    from unit.converter import random_models

    x = random_models.tokens()
    for name in random_models.EXACT:
        model = random_models.build([name], "mean", 3)
        x = random_models.tokens()
        smaller, gone = _cut(model, 0.5, KINDS, 3, erase=True)
        assert gone, name
        np.testing.assert_allclose(smaller(x).numpy(), model(x).numpy(), atol=1e-4, err_msg=name)
        assert smaller.count_params() < 0.8 * model.count_params(), name


@pytest.mark.slow
def test_a_layer_without_a_rule_is_left_alone_and_told() -> None:
    from unit.converter import random_models

    from edgewright_converter.structure.tracing import trace

    model = random_models.build(["unknown"], "mean", 0)
    found = trace(model, "prune-structured")
    (reason,) = found.unknown.values()
    assert reason == "edgewright does not know the channels of a Conv1D"
    (units,) = [part for part in components(found.channels) if part.name.startswith("dense") and part.reason]
    assert "goes into conv1d" in units.reason


@pytest.mark.slow
def test_a_subclassed_model_is_refused() -> None:
    from unit.converter import zoo

    from edgewright_converter.structure.tracing import trace

    with pytest.raises(ModelError, match="pass prune-structured rebuilds a model layer by layer, and"):
        trace(zoo.build("subclassed"), "prune-structured")
