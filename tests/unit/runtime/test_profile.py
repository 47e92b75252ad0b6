"""Graphs that end early: they load, and compute what the whole graph computes on its way."""

from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.models import FlatbufferBuilder, tiny_model, tiny_text_model, wide_model

from edgewright_runtime.cut import cut, read_graph
from edgewright_runtime.engines import open_engine
from edgewright_runtime.errors import InputError
from edgewright_runtime.profile import MAX_CUTS, _ends, growing


def test_every_cut_computes_what_the_graph_computes_there() -> None:
    model, x = wide_model(3, 16, 2), np.random.default_rng(0).normal(0, 1, (2, 16)).astype(np.float32)
    random, expected = np.random.default_rng(0), x
    for count in (1, 2, 3):
        kernel = random.normal(0, 16**-0.5, (16, 16)).astype(np.float32)
        expected = expected @ kernel.T + kernel[0]
        with open_engine(cut(model, count), "litert") as engine:
            (answer,) = engine.invoke([x])
        np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


def test_a_cut_hands_out_whatever_is_read_behind_it() -> None:
    """x → a → b → a + b: after the second operator both are outputs, in the order in which they were written."""
    graph = FlatbufferBuilder()
    x, a, b, y = (graph.tensor(name, (1, 4)) for name in "xaby")
    graph.softmax(x, a)
    graph.softmax(a, b)
    graph.operator("ADD", 1, [a, b], y, "AddOptions")
    model = graph.build({"x": x}, {"y": y})
    assert [len(read_graph(cut(model, count)).operators) for count in (1, 2, 3)] == [1, 2, 3]
    assert read_graph(cut(model, 2)).outputs == (a, b)
    assert read_graph(cut(model, 3)).outputs == (y,)
    x_value = np.array([[0, 1, 2, 3]], np.float32)
    with open_engine(cut(model, 2), "litert") as engine, open_engine(model, "litert") as whole:
        first, second = engine.invoke([x_value])
        np.testing.assert_allclose(first + second, whole.invoke([x_value])[0], rtol=1e-6)


@pytest.mark.parametrize(
    "model", [tiny_model(), tiny_model("int8"), tiny_text_model()], ids=["float32", "int8", "text"]
)
def test_the_uncut_graph_stays_as_it_is(model: bytes) -> None:
    graph = read_graph(model)
    assert read_graph(cut(model, len(graph.operators))) == graph
    for count in range(1, len(graph.operators)):
        with open_engine(cut(model, count), "litert") as engine:
            (spec,) = engine.inputs
            answers = engine.invoke([np.zeros(spec.shape, spec.dtype)])
            assert [answer.shape for answer in answers] == [spec.shape for spec in engine.outputs]


def test_a_cut_behind_the_end_is_refused() -> None:
    for count in (0, 3):
        with pytest.raises(InputError, match="has 2 operators"):
            cut(tiny_model(), count)


@settings(max_examples=200)
@given(place=st.integers(0, 599), value=st.integers(0, 255), length=st.integers(8, 600))
def test_damage_is_an_input_error_or_harmless(place: int, value: int, length: int) -> None:
    damaged = bytearray(tiny_model()[:length])
    damaged[min(place, len(damaged) - 1)] = value
    with suppress(InputError):  # and no other one
        cut(bytes(damaged), 1)


def test_parts_are_as_many_as_the_board_has_time_for() -> None:
    assert _ends(3) == [1, 2, 3]
    ends = _ends(485)
    assert len(ends) == MAX_CUTS
    assert ends == sorted(set(ends))
    assert ends[-1] == 485


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40))
def test_pooled_times_never_fall_and_keep_their_sum(values: list[float]) -> None:
    pooled = growing(values)
    assert all(one <= two + 1e-6 for one, two in pairwise(pooled))
    assert sum(pooled) == pytest.approx(sum(values), abs=1e-3)
    assert growing(sorted(values)) == pytest.approx(sorted(values))
