"""Convolutions with one scale for all channels: made equally large without a change of what is computed."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st
from unit.converter.test_lowering import everything
from unit.nets import Net, draw, run, same

from edgewright_converter.fakequant import grids
from edgewright_converter.fakequant.equalize import Layer, equalize
from edgewright_converter.lowering.channels import equalize_channels
from edgewright_converter.lowering.graph import Model, Tensor
from edgewright_converter.lowering.weights import channel_axis, quantized, restored

UNEQUAL = np.geomspace(0.01, 3, 8).astype(np.float32)  # sizes of eight channels


def normal(*shape: int) -> Any:
    return np.random.default_rng(shape).normal(0, 1, shape).astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 2))
def test_a_chain_computes_the_same_and_its_channels_are_equally_large(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, 1, (6, 6)) * rng.lognormal(0, spread, (6, 1)) for _ in range(3)]
    layers = [Layer(w.astype(np.float32), np.zeros(6, np.float32), 0, 1) for w in weights]

    def answer(x: Any) -> Any:
        for layer in layers:
            x = np.maximum(layer.weights.astype(np.float64) @ x + layer.bias[:, None], 0)
        return x

    x = rng.normal(0, 1, (6, 20))
    before = answer(x)
    equalize(layers, [(0, 1), (1, 2)])
    np.testing.assert_allclose(answer(x), before, rtol=1e-4, atol=1e-4 * before.max())
    for first, second in ((0, 1), (1, 2)):
        sizes = np.abs(layers[first].weights).max(1), np.abs(layers[second].weights).max(0)
        np.testing.assert_allclose(*sizes, rtol=0.05)


def test_no_bias_becomes_the_largest_and_what_is_never_used_keeps_its_size() -> None:
    small = Layer(np.array([[1e-4], [1.0], [0.0]], np.float32), np.array([3.0, 4.0, 0.5], np.float32), 0, 1)
    behind = Layer(np.ones((1, 3), np.float32), np.zeros(1, np.float32), 0, 1)
    (divided,) = equalize([small, behind], [(0, 1)])
    np.testing.assert_allclose(divided, [0.75, 1, 1], rtol=1e-3)  # else the nearly constant first one is 400
    np.testing.assert_allclose(small.bias, [4, 4, 0.5], rtol=1e-3)


@pytest.mark.parametrize(("columns", "moved"), [(191, True), (192, False)])
def test_layers_of_many_weights_a_channel_are_left_alone(columns: int, moved: bool) -> None:
    first = Layer(normal(8, columns) * UNEQUAL[:, None], np.zeros(8, np.float32), 0, 1)
    second = Layer(normal(4, 8, 24), np.zeros(4, np.float32), 0, 1)
    (divided,) = equalize([first, second], [(0, 1)])
    assert (divided != 1).any() == moved


@pytest.mark.parametrize("bits", [4, 8])
def test_channels_share_a_scale_where_they_are_few_numbers_each_and_alike(bits: int) -> None:
    alike, unequal, wide = normal(8, 64), normal(8, 64) * UNEQUAL[:, None], normal(8, 192)
    assert grids.channels_share(alike, (1,), bits)
    assert not grids.channels_share(unequal, (1,), bits)
    assert not grids.channels_share(np.append(alike, alike[:1] / 1000, axis=0), (1,), bits)  # which would be all zeros
    assert not grids.channels_share(wide, (1,), bits)
    assert grids.channels_share(np.zeros((8, 64), np.float32), (1,), bits)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("axis", [0, None])
def test_what_a_training_has_settled_stays(bits: int, axis: int | None) -> None:
    trained = restored(quantized(Tensor.constant("w", normal(8, 5, 5, 4)), bits, axis))
    assert channel_axis(Tensor.constant("w", trained), 0, bits) == axis


def test_four_bits_that_were_not_trained_so_keep_their_scales() -> None:
    weights = Tensor.constant("w", normal(8, 5, 5, 4))
    assert channel_axis(weights, 0, 8) is None
    assert channel_axis(weights, 0, 4) == 0


def convolutions(activation: int = 1) -> tuple[Net, list[Tensor]]:
    """An ordinary convolution, a depthwise one, a pointwise one; the first two with channels of all sizes."""
    net = Net((1, 6, 6, 3))
    once = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, "padding": 0}

    def add(kind: str, x: Tensor, weights: Any, sizes: Any, fused: int, **more: int) -> Tensor:
        options = getattr(schema, f"{'Depthwise' * kind.startswith('D')}Conv2DOptionsT")()
        for key, value in {**once, **more, "fusedActivationFunction": fused}.items():
            setattr(options, key, value)
        return net.add(kind, [x, weights, sizes * normal(8)], (1, 6, 6, 8), options)

    one = np.ones(8, np.float32)
    first = add("CONV_2D", net.inputs[0], normal(8, 3, 3, 3) * UNEQUAL[:, None, None, None], UNEQUAL, activation)
    second = add("DEPTHWISE_CONV_2D", first, normal(1, 3, 3, 8) / UNEQUAL, one, activation, depthMultiplier=1)
    third = add("CONV_2D", second, normal(8, 1, 1, 8), one, 0)
    return net, [first, second, third]


def scales(model: Model) -> list[int]:
    return [len(op.input(1).grid.scale) for op in model.main.ops if "CONV" in op.kind]  # type: ignore[union-attr]


def test_equalized_convolutions_of_integers_have_one_scale_and_lose_nothing_by_it() -> None:
    net, (*_, last) = convolutions()
    model = net.model(last)
    samples = draw(model, 20)
    before = run(model, samples)
    equalize_channels(model.main, set(model.main.ops))
    same(before, run(model, samples), atol=1e-3)
    everything(model)
    assert scales(model) == [1, 1, 1]
    assert grids.sqnr_db(np.array(before), np.array(run(model, samples))) > 30


def test_channels_keep_their_scales_for_a_compiler_that_asks_for_them() -> None:
    net, (*_, last) = convolutions()
    model = net.model(last)
    equalize_channels(model.main, set(model.main.ops))
    assert scales(everything(model, sharing=False)) == [8, 8, 8]


@pytest.mark.parametrize("why", ["read twice", "an output", "another activation", "left float", "a settled range"])
def test_channels_keep_their_size_where_something_else_would_see_it(why: str) -> None:
    net, tensors = convolutions(activation=3 if why == "another activation" else 1)
    ends = [tensors[-1]]
    if why == "read twice":
        ends += [net.plus(tensor, tensor) for tensor in tensors[:2]]
    if why == "an output":
        ends += tensors[:2]
    if why == "a settled range":
        for tensor in tensors:
            tensor.range = (0.0, 1.0)
    model = net.model(*ends)
    kept = [op.inputs[1] for op in model.main.ops]
    equalize_channels(model.main, set() if why == "left float" else set(model.main.ops))
    assert [op.inputs[1] for op in model.main.ops] == kept


def test_weights_of_a_layer_that_is_called_twice_stay_stored_once() -> None:
    """Each call is read by another layer, for which its channels would have other sizes."""
    net, (first, second, _) = convolutions()
    once, reader = net.ops[:2]
    again, other = first.like("again"), second.like("other")
    shared = dataclasses.replace(once, inputs=[*once.inputs], outputs=[again])
    weights = Tensor.constant("other", reader.constant(1)[..., ::-1] * 2)
    net.ops = [
        once,
        reader,
        shared,
        dataclasses.replace(reader, inputs=[again, weights, reader.input(2)], outputs=[other]),
    ]
    model = net.model(second, other)
    equalize_channels(model.main, set(model.main.ops))
    assert len({op.constant(1).tobytes() for op in model.main.ops}) == 3
