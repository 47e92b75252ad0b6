"""The lowering's parts on small graphs that are built here, run in a real engine. No TensorFlow."""

import itertools
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import example, given
from hypothesis import strategies as st
from unit.nets import Net, draw, kinds, normal, run, same

from edgewright_converter.flatbuffer import read
from edgewright_converter.lowering.dense import give_biases, unfold_products
from edgewright_converter.lowering.dynamic import quantize_weights
from edgewright_converter.lowering.fileformat import pack_int4, read_model, write_model
from edgewright_converter.lowering.graph import Graph, Grid, Model, Op, Tensor
from edgewright_converter.lowering.integers import quantize_graph
from edgewright_converter.lowering.masks import saturate_masks
from edgewright_converter.lowering.ops import options
from edgewright_converter.lowering.ranges import activation_grid, measure
from edgewright_converter.lowering.rewrite import rewrite
from edgewright_converter.lowering.versions import set_versions
from edgewright_converter.lowering.weights import (
    LIMITS,
    dense_axis,
    quantized,
    restored,
    symmetric_scale,
)


def attention() -> Model:
    """As tf.lite writes it: three projections, the scores computed from the right and turned afterwards."""
    net = Net((1, 6, 8))
    (x,) = net.inputs
    query, key, value = (net.dense(x, normal(8, 8), normal(8)) for _ in range(3))
    turned = net.matmul(net.heads(key, 2, (0, 2, 1, 3)), net.heads(query, 2, (0, 2, 3, 1)))
    scores = net.transpose(turned, (0, 1, 3, 2))
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    weights = net.add("SOFTMAX", [scores], scores.shape, options)
    return net.model(net.matmul(weights, net.heads(value, 2, (0, 2, 1, 3))))


def steps(count: int = 5) -> Model:
    """Dense layers on each step of a sequence, each with a constant added after the sum."""
    net = Net((count, 1, 4), (1, 3))
    sequence, state = net.inputs
    options = schema.UnpackOptionsT()
    options.num, options.axis = count, 0
    parts = [Tensor(f"net/unstack/{n}", (1, 4), "float32") for n in range(count)]
    net.ops.append(Op("UNPACK", [sequence], parts, options))
    kernel, recurrent, bias = (Tensor.constant("k", normal(*shape)) for shape in ((3, 4), (3, 3), (3,)))
    for part in parts:
        fully = schema.FullyConnectedOptionsT()
        y, z = (Tensor(f"net/cell/{name}", (1, 3), "float32") for name in "yz")
        net.ops += [
            Op("FULLY_CONNECTED", [part, kernel], [y], fully),
            Op("FULLY_CONNECTED", [state, recurrent], [z], fully),
        ]
        state = net.add("TANH", [net.plus(net.plus(y, z), bias)], (1, 3))
    return net.model(state)


def test_one_dense_layer_for_query_key_and_value() -> None:
    model = attention()
    samples = draw(model)
    before, counted = run(model, samples), kinds(model)
    assert (counted["FULLY_CONNECTED"], counted["RESHAPE"], counted["TRANSPOSE"]) == (3, 3, 4)
    rewrite(model.main)
    counted = kinds(model)
    assert counted == {"FULLY_CONNECTED": 1, "RESHAPE": 1, "TRANSPOSE": 1, "SPLIT": 1, "BATCH_MATMUL": 2, "SOFTMAX": 1}
    assert not any(op.options.adjX for op in model.main.ops if op.kind == "BATCH_MATMUL")
    same(before, run(model, samples))


@pytest.mark.parametrize("difference", ["range", "choice"])
def test_what_differs_in_range_or_choice_is_not_merged(difference: str) -> None:
    model = attention()
    for number, op in enumerate(op for op in model.main.ops if op.kind == "FULLY_CONNECTED"):
        if difference == "range":  # settled for what it becomes
            model.main.users()[op.output][0].output.range = (-number - 1.0, 1.0)
        else:
            op.choice = ("float32", "int8", "int4")[number]
    samples = draw(model)
    before = run(model, samples)
    rewrite(model.main)
    assert kinds(model)["FULLY_CONNECTED"] == 3
    same(before, run(model, samples))


def test_a_layer_on_each_step_is_applied_to_the_sequence_once() -> None:
    model = steps()
    samples = draw(model)
    before = run(model, samples)
    assert (kinds(model)["FULLY_CONNECTED"], kinds(model)["ADD"]) == (10, 10)
    rewrite(model.main)
    assert (kinds(model)["FULLY_CONNECTED"], kinds(model)["ADD"]) == (6, 5)
    same(before, run(model, samples))


def test_gain_and_shift_go_into_the_dense_layer_behind_only_if_nothing_else_reads_them() -> None:
    for other_reader in (False, True):
        net = Net((1, 6, 8))
        scaled = net.plus(net.times(net.inputs[0], normal(8)), Tensor.constant("shift", normal(8)))
        model = net.model(net.dense(scaled, normal(4, 8), normal(4)), *([scaled] if other_reader else []))
        samples = draw(model)
        before = run(model, samples)
        rewrite(model.main)
        assert (kinds(model)["MUL"], kinds(model)["ADD"]) == ((1, 1) if other_reader else (0, 0))
        same(before, run(model, samples))


def test_what_is_written_is_read_again_and_has_no_names_no_dead_weights_and_each_constant_once() -> None:
    net = Net((1, 4))
    weights, bias = normal(64, 4), normal(64)
    a, b = net.dense(net.inputs[0], weights, bias), net.dense(net.inputs[0], weights.copy(), bias.copy())
    net.dense(net.inputs[0], normal(500, 4))  # nobody reads it
    model = net.model(a, b)
    model.main.prune()
    data = write_model(model)
    assert len(data) < weights.nbytes + bias.nbytes + 1000
    assert {tensor.name for tensor in read(data).tensors} == {""}
    assert [name for name, _ in read(data).inputs] == ["x0"]
    again = read_model(data)
    assert write_model(again) == data
    samples = draw(model)
    same(run(model, samples), run(again, samples), atol=0)
    assert {t.name for t in read(write_model(model, names=True)).tensors} >= {"x0", "net/layer_0/FULLY_CONNECTED"}


def test_constants_are_aligned_as_the_schema_asks() -> None:
    net = Net((1, 4))
    model = net.model(net.dense(net.inputs[0], normal(5, 4), normal(5)), net.dense(net.inputs[0], normal(7, 4)))
    data = write_model(model)
    for op in model.main.ops:
        for tensor in op.inputs[1:]:
            assert tensor is not None
            assert tensor.data is not None
            assert data.index(tensor.data.tobytes()) % 16 == 0


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=40), st.sampled_from([8, 4]))
@example([272.703125, 805.4375], 8)  # which lie on one grid, within a thousandth of a step
def test_weights_on_a_grid_come_out_as_the_same_integers(values: list[float], bits: int) -> None:
    array = np.array(values, np.float32).reshape(1, -1)
    for axis in (None, 0, 1):
        tensor = quantized(Tensor.constant("w", array), bits, axis)
        assert tensor.data is not None
        assert np.abs(tensor.data).max() <= LIMITS[bits]
        real = restored(tensor)
        step = symmetric_scale(array, bits, axis).max()
        assert np.abs(real - array).max() <= step * 0.5001
        np.testing.assert_array_equal(quantized(Tensor.constant("w", real), bits, axis).data, tensor.data)


@given(st.lists(st.integers(-8, 7), min_size=1, max_size=33))
def test_two_four_bit_numbers_lie_in_a_byte(values: list[int]) -> None:
    packed = pack_int4(np.array(values, np.int8))
    assert len(packed) == (len(values) + 1) // 2
    low, high = (packed & 15).astype(int), (packed >> 4).astype(int)
    found = np.stack([low, high], -1).reshape(-1)[: len(values)]
    assert [v - 16 if v > 7 else v for v in found.tolist()] == values


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_zero_lies_on_every_activation_grid(a: float, b: float) -> None:
    grid = activation_grid(min(a, b), max(a, b))
    assert -128 <= int(grid.zero[0]) <= 127
    assert grid.scale[0] > 0
    low, high = (float(grid.scale[0]) * (q - int(grid.zero[0])) for q in (-128, 127))
    step = float(grid.scale[0])
    assert low <= min(a, b, 0) + step
    assert high >= max(a, b, 0) - step


def everything(model: Model, **options: Any) -> Model:
    ranges = measure(model, draw(model, 50))
    every = {"chosen": lambda op: True, "bits": lambda op: 8, "per_channel": lambda op: True} | options
    quantize_graph(model.main, ranges, **every)
    set_versions(model.main)
    return model


@pytest.mark.parametrize(
    ("left", "right", "turned"),
    [
        ((1, 3, 16, 20), (1, 3, 16, 20), True),
        ((1, 3, 16, 16), (1, 3, 16, 20), False),
        ((2, 2, 16, 16), (2, 2, 16, 20), False),
        ((1, 16, 16), (1, 16, 20), False),
    ],
)
def test_a_product_in_int8_is_a_dense_layer_for_each_matrix(
    left: tuple[int, ...], right: tuple[int, ...], turned: bool
) -> None:
    def product() -> Model:
        net = Net(left, right)
        a, b = net.inputs
        if turned:
            options = schema.BatchMatMulOptionsT()
            options.adjY = True
            return net.model(net.add("BATCH_MATMUL", [a, b], (*a.shape[:-1], b.shape[-2]), options))
        return net.model(net.matmul(a, b))

    model, samples = product(), draw(product())
    quantize_graph(model.main, measure(model, samples), lambda op: True, lambda op: 8, lambda op: True)
    set_versions(model.main)
    before, step = run(model, samples), float(next(op for op in model.main.ops if op.inputs[1:]).output.grid.scale[0])  # type: ignore[union-attr]
    unfold_products(model.main)
    set_versions(model.main)
    counted = kinds(model)
    assert (counted["BATCH_MATMUL"], counted["FULLY_CONNECTED"]) == (0, np.prod(left[:-2]))
    apart = np.abs(np.array(before) - np.array(run(model, samples)))
    assert apart.max() < 1.01 * step
    assert (apart > 0.5 * step).mean() < 0.01  # those that lie halfway


def test_small_constant_and_float_products_stay() -> None:
    net = Net((1, 2, 8, 8), (1, 2, 8, 8))
    small = net.model(net.matmul(*net.inputs))
    quantize_graph(small.main, measure(small, draw(small)), lambda op: True, lambda op: 8, lambda op: True)
    net = Net((1, 2, 32, 32), (1, 2, 32, 32))
    floats = net.model(net.matmul(*net.inputs))
    for model in (small, floats):
        unfold_products(model.main)
        assert kinds(model)["BATCH_MATMUL"] == 1


def test_scales_by_channel_come_with_a_bias_for_the_old_runtime() -> None:
    net = Net((1, 6, 8))
    model = net.model(net.dense(net.inputs[0], normal(8, 8)))
    samples = draw(model)
    quantize_graph(model.main, measure(model, samples), lambda op: True, lambda op: 8, lambda op: True)
    set_versions(model.main)
    before = run(model, samples)
    give_biases(model.main)
    set_versions(model.main)
    (dense,) = (op for op in model.main.ops if op.kind == "FULLY_CONNECTED")
    assert len(dense.input(1).grid.scale) == 8  # type: ignore[union-attr]
    assert (dense.input(2).dtype, dense.constant(2).tolist()) == ("int32", [0] * 8)
    same(before, run(model, samples))


@pytest.mark.parametrize("make", [attention, steps])
def test_every_operator_in_int8_answers_as_the_float_model(make: Any) -> None:
    model = make()
    samples = draw(model, 20)
    rewrite(model.main)
    before = run(model, samples)
    everything(model)
    floats = {op.kind for op in model.main.ops for t in op.outputs if t.dtype == "float32"}
    assert floats == {"DEQUANTIZE"}
    a, b = np.array(before).ravel(), np.array(run(model, samples)).ravel()
    assert 10 * np.log10((a**2).sum() / ((a - b) ** 2).sum()) > 20


def test_a_range_of_the_training_is_kept_exactly() -> None:
    net = Net((1, 8))
    y = net.dense(net.inputs[0], normal(8, 8), normal(8))
    y.range, net.inputs[0].range = (-2.0, 3.1), (-4.0, 4.0)
    model = everything(net.model(net.add("GELU", [y], y.shape, schema.GeluOptionsT())))
    dense = next(op for op in model.main.ops if op.kind == "FULLY_CONNECTED")
    assert dense.output.grid is not None
    assert dense.output.grid.same(activation_grid(-2.0, 3.1))
    assert dense.input(0).grid is not None
    assert dense.input(0).grid.same(activation_grid(-4.0, 4.0))


def test_borders_stand_only_where_floats_meet_integers() -> None:
    net = Net((1, 8))
    first = net.dense(net.inputs[0], normal(8, 8))
    between = net.add("SIN", [first], first.shape)
    model = everything(net.model(net.dense(between, normal(8, 8))))
    assert [op.kind for op in model.main.ops] == [
        "QUANTIZE",
        "FULLY_CONNECTED",
        "DEQUANTIZE",
        "SIN",
        "QUANTIZE",
        "FULLY_CONNECTED",
        "DEQUANTIZE",
    ]
    net = Net((1, 8))
    model = everything(net.model(net.dense(net.dense(net.inputs[0], normal(8, 8)), normal(8, 8))), int8_ends=True)
    assert [op.kind for op in model.main.ops] == ["FULLY_CONNECTED", "FULLY_CONNECTED"]
    assert [t.dtype for t in (*model.main.inputs, *model.main.outputs)] == ["int8", "int8"]


def test_joined_tensors_share_the_scale_of_the_result() -> None:
    net = Net((1, 8))
    a, b = (net.dense(net.inputs[0], normal(8, 8) * size) for size in (1, 5))
    joined = net.add("CONCATENATION", [a, b], (1, 16), schema.ConcatenationOptionsT())
    joined_op = net.ops[-1]
    joined_op.options.axis = 1
    model = everything(net.model(joined))
    assert kinds(model)["QUANTIZE"] == 1  # of the model's input
    (join,) = [op for op in model.main.ops if op.kind == "CONCATENATION"]
    for tensor in join.inputs:
        assert tensor is not None
        assert tensor.grid is not None
        assert tensor.grid.same(join.output.grid)


def test_a_constant_mask_becomes_one_sum_that_saturates() -> None:
    net = Net((1, 2, 4, 4))
    (scores,) = net.inputs
    reducer = schema.ReducerOptionsT()
    reducer.keepDims = True
    lowest = net.add("REDUCE_MIN", [scores, np.array([3], np.int32)], (1, 2, 4, 1), reducer)
    fill = net.add("SUB", [lowest, np.float32(12)], lowest.shape, schema.SubOptionsT())
    mask = np.tril(np.ones((4, 4), bool))
    chosen = net.add("SELECT_V2", [mask, scores, fill], scores.shape, schema.SelectV2OptionsT())
    model = net.model(chosen)
    samples = draw(model, 20)
    before = np.array(run(model, samples))[:, 0]
    ranges = measure(model, samples)
    saturate_masks(model.main, ranges)
    quantize_graph(model.main, ranges, lambda op: True, lambda op: 8, lambda op: True)
    assert kinds(model) == {"QUANTIZE": 1, "ADD": 1, "DEQUANTIZE": 1}
    after = np.array(run(model, samples))[:, 0]
    low, high = ranges[chosen]
    step = (high - low) / 255
    assert np.abs(after - before)[..., mask].max() <= 2 * step
    assert (after[..., ~mask] <= low + step).all()


@pytest.mark.parametrize(("runtime", "scales", "version"), [((2, 21), 64, 12), ((2, 14), 1, 5)])
def test_scales_per_channel_only_where_the_runtime_reads_them(
    runtime: tuple[int, ...], scales: int, version: int
) -> None:
    net = Net((1, 3, 32))
    model = net.model(net.dense(net.inputs[0], normal(64, 32), normal(64)))
    samples = draw(model)
    before = run(model, samples)
    quantize_weights(model.main, lambda op: 8, runtime)
    set_versions(model.main)
    (dense,) = model.main.ops
    grid = dense.input(1).grid
    assert isinstance(grid, Grid)
    assert (len(grid.scale), dense.version) == (scales, version)
    same(before, run(model, samples), atol=0.3)


@pytest.mark.parametrize(("rows", "columns", "scales"), [(600, 64, 1), (600, 200, 600), (64, 64, 64)])
def test_many_narrow_outputs_have_one_scale_unless_trained_with_more(rows: int, columns: int, scales: int) -> None:
    weights = normal(rows, columns)
    assert dense_axis(Tensor.constant("w", weights), 8) == (None if scales == 1 else 0)
    assert dense_axis(Tensor.constant("w", weights), 4) == 0
    trained = quantized(Tensor.constant("w", weights), 8, 0)
    assert dense_axis(Tensor.constant("w", restored(trained)), 8) == 0
    whole = quantized(Tensor.constant("w", weights), 8, None)
    assert dense_axis(Tensor.constant("w", restored(whole)), 8) is None


@pytest.mark.parametrize(("columns", "dtype"), [(32, "int4"), (33, "int8")])
@pytest.mark.parametrize("trained", [False, True])
def test_rows_of_four_bits_share_no_byte_and_have_no_zero_points(columns: int, dtype: str, trained: bool) -> None:
    table = normal(200, columns)
    if trained:
        table = restored(quantized(Tensor.constant("t", table), 4, None))
    ids, rows = Tensor("ids", (1, 9), "int32"), Tensor("rows", (1, 9, columns), "float32")
    gather = Op("GATHER", [Tensor.constant("t", table), ids], [rows], options("Gather", axis=0, batchDims=0), 2)
    model = Model([Graph([gather], [ids], [rows])], ("ids",), ("rows",))
    quantize_weights(model.main, lambda op: 4, (2, 21))
    set_versions(model.main)
    assert model.main.ops[0].input(0).dtype == dtype
    x = np.arange(9, dtype=np.int32)[None] * 20
    same([[table[x]]], run(model, [{"ids": x}]), atol=1e-6 if trained and dtype == "int4" else 0.3)
    values = 200 * columns // 2 if dtype == "int4" else 200 * columns
    assert len(write_model(model)) < values + (0 if trained or dtype == "int8" else 800) + 1000


@pytest.mark.parametrize(("widths", "kinds_after"), [((4, 4, 4), {"SPLIT": 1}), ((4, 8), {"STRIDED_SLICE": 2})])
def test_slices_that_share_a_tensor_out_are_one_split(widths: tuple[int, ...], kinds_after: dict[str, int]) -> None:
    net = Net((1, 12))
    bounds = np.cumsum((0, *widths))
    parts = []
    for begin, end in reversed(list(itertools.pairwise(bounds))):
        inner = [np.array(v, np.int32) for v in ((0, begin), (0, end), (1, 1))]
        masks = options("StridedSlice", beginMask=1, endMask=1)
        parts.append(net.add("STRIDED_SLICE", [net.inputs[0], *inner], (1, int(end - begin)), masks))
    model = net.model(*parts)
    samples = draw(model)
    before = run(model, samples)
    rewrite(model.main)
    assert kinds(model) == kinds_after
    same(before, run(model, samples), atol=0)


def test_steps_have_one_grid_where_their_ranges_are_alike() -> None:
    """Three applications of one layer; what is made of the second lies in a hundredth of the others' range."""
    net = Net((1, 8), (1, 8), (1, 8))
    weights, bias = Tensor.constant("w", normal(8, 8)), Tensor.constant("b", normal(8))
    ends = [
        net.add("ELU", [net.times(net.dense(x, weights, bias), np.float32(factor))], (1, 8))
        for x, factor in zip(net.inputs, (1.0, 0.01, 1.1), strict=True)
    ]
    model = net.model(*ends)
    ranges = measure(model, draw(model, 30))
    quantize_graph(model.main, ranges, lambda op: True, lambda op: 8, lambda op: True)
    grids = {kind: [op.output.grid for op in model.main.ops if op.kind == kind] for kind in kinds(model)}
    for kind in ("MUL", "ELU"):
        first, second, third = grids[kind]
        assert first is not None
        assert first.same(third)
        assert not first.same(second)


def test_constants_are_one_tensor_only_with_the_same_numbers_and_grid() -> None:
    numbers, grids = np.array([1, 2], np.int8), (Grid.single(0.5), Grid.single(0.5), Grid.single(0.25))
    constants = [Tensor.constant("c", numbers.copy(), grid=grid) for grid in grids]
    constants.append(Tensor.constant("c", numbers.reshape(2, 1), grid=grids[0]))
    ends = [Tensor("y", (2,), "int8") for _ in constants]
    graph = Graph([Op("ADD", [c, c], [end]) for c, end in zip(constants, ends, strict=True)], [], ends)
    graph.share_constants()
    assert [op.input(1) for op in graph.ops] == [constants[0], constants[0], *constants[2:]]


def test_parts_with_one_settled_range_are_joined_on_it() -> None:
    net = Net((1, 8))
    parts = [net.dense(net.inputs[0], normal(8, 8), normal(8)) for _ in range(2)]
    for part in parts:
        part.range = (-3.0, 5.0)
    model = net.model(net.add("CONCATENATION", parts, (1, 16), options("Concatenation", axis=1)))
    quantize_graph(model.main, measure(model, draw(model)), lambda op: True, lambda op: 8, lambda op: True)
    assert kinds(model) == {"QUANTIZE": 1, "FULLY_CONNECTED": 2, "CONCATENATION": 1, "DEQUANTIZE": 1}


@pytest.mark.parametrize(("width", "scales"), [(16, 1), (64, 300)])
def test_a_narrow_table_in_four_bits_has_one_scale_that_ends_where_most_is_won(width: int, scales: int) -> None:
    net = Net()
    table = normal(300, width)
    table[7, 0] = 12.0  # a grid that reached this far would have one point for all others
    gather = schema.GatherOptionsT()
    net.inputs = [Tensor("ids", (1, 9), "int32")]
    model = net.model(net.add("GATHER", [table, net.inputs[0]], (1, 9, width), gather))
    samples = [{"ids": np.arange(10, 19, dtype=np.int32)[np.newaxis]}]
    before = run(model, samples)
    quantize_weights(model.main, lambda op: 4, (2, 18))
    set_versions(model.main)
    tables = [op.input(0) for op in model.main.ops if op.kind == "GATHER"]
    assert [table.dtype for table in tables] == (["int4"] if scales == 1 else ["int4", "float32"])
    (error,) = (np.abs(a[0] - b[0]).mean() for a, b in zip(before, run(model, samples), strict=True))
    assert error < 0.25 * np.abs(before[0][0]).mean()
    assert len(write_model(model)) < 300 * width // 2 + 4 * scales + 1500


def test_large_constants_are_stored_in_integers_and_gathered_as_such() -> None:
    net = Net((1, 40, 32))
    model = net.model(net.plus(net.inputs[0], Tensor.constant("positions", normal(1, 40, 32))))
    samples = draw(model)
    before = run(model, samples)
    quantize_weights(model.main, lambda op: 8, (2, 21))
    set_versions(model.main)
    assert kinds(model) == {"DEQUANTIZE": 1, "ADD": 1}
    same(before, run(model, samples), atol=0.05)
    assert len(write_model(model)) < 40 * 32 + 1500
