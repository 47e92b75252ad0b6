import contextlib
import random
import struct

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st
from unit.models import FlatbufferBuilder, tiny_model, tiny_text_model

from edgewright_converter.flatbuffer import Flatbuffer, minimum_runtimes, read, reorder
from edgewright_converter.flattable import Malformed, Table
from edgewright_runtime.errors import InputError

MODELS = {"float32": tiny_model(), "int8": tiny_model("int8"), "text": tiny_text_model()}


@pytest.mark.parametrize("data", MODELS.values(), ids=MODELS)
def test_reads_what_the_generated_schema_reads(data: bytes) -> None:
    ours, theirs = read(data), schema.ModelT.InitFromPackedBuf(data)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    types = {value: name.lower() for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
    assert [(o.name, o.version) for o in ours.operators] == [
        (names[code.builtinCode], code.version) for code in theirs.operatorCodes
    ]
    (graph,) = theirs.subgraphs
    assert len(ours.tensors) == len(graph.tensors)
    for mine, other in zip(ours.tensors, graph.tensors, strict=True):
        buffer = theirs.buffers[other.buffer].data
        assert mine.name == other.name.decode()
        assert mine.shape == tuple(other.shape)
        assert mine.dtype == types[other.type]
        assert mine.size_bytes == (0 if buffer is None else len(buffer))
        scales = () if other.quantization is None else tuple(np.asarray(other.quantization.scale).tolist())
        assert mine.scales == scales
        assert mine.quantized == bool(scales)
    assert [(list(n.inputs), list(n.outputs)) for n in ours.subgraphs[0].nodes] == [
        (list(operator.inputs), list(operator.outputs)) for operator in graph.operators
    ]
    assert ours.signature == theirs.signatureDefs[0].signatureKey.decode()
    assert [name for name, _ in ours.inputs] == [entry.name.decode() for entry in theirs.signatureDefs[0].inputs]
    assert ours.description == theirs.description.decode()


def test_knows_every_operator_and_type_of_the_schema() -> None:
    from edgewright_converter.flatbuffer import _TYPES, _builtin_names

    operators = {name: v for name, v in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    operators.pop("PLACEHOLDER_FOR_GREATER_OP_CODES")
    assert {name: code for code, name in _builtin_names().items()} == operators
    assert {name.upper(): index for index, name in enumerate(_TYPES)} == {
        name: value for name, value in vars(schema.TensorType).items() if not name.startswith("_")
    }


def test_lowest_runtime_is_that_of_the_newest_operator() -> None:
    assert read(tiny_model()).min_runtime == "1.5.0"
    assert read(tiny_model(dense_version=12)).min_runtime == "2.17.0"
    assert minimum_runtimes()["CONV_2D", 8] == "2.15.0"


def test_a_version_that_no_table_has_is_unknown_not_guessed() -> None:
    flatbuffer = read(tiny_model(dense_version=99))
    assert flatbuffer.operators[0].min_runtime is None
    assert flatbuffer.min_runtime is None


@pytest.mark.parametrize(("name", "version", "runtime"), [("RSQRT", 2, "2.15.0"), ("GELU", 2, None)])
def test_int16_kernels_that_came_later_than_their_version_says(name: str, version: int, runtime: str | None) -> None:
    def model(dtype: str) -> Flatbuffer:
        graph = FlatbufferBuilder()
        x, y = (graph.tensor(end, (1, 4), dtype, scale=0.1) for end in ("x", "y"))
        graph.operator(name, version, [x], y)
        return read(graph.build({"x": x}, {"y": y}))

    assert model("int8").min_runtime == minimum_runtimes()[name, version]
    assert model("int16").min_runtime == runtime


@pytest.mark.parametrize("data", MODELS.values(), ids=MODELS)
def test_every_byte_has_one_purpose(data: bytes) -> None:
    flatbuffer = read(data)
    assert sum(flatbuffer.breakdown.values()) == flatbuffer.size_bytes == len(data)
    weights = sum(n for purpose, n in flatbuffer.breakdown.items() if purpose.startswith("weights"))
    assert weights == sum(tensor.size_bytes for tensor in flatbuffer.tensors)


def test_without_a_signature_the_tensors_name_the_ends() -> None:
    graph = FlatbufferBuilder()
    x, w, b, y = (
        graph.tensor("x", (1, 1)),
        graph.tensor("w", (1, 1), data=np.ones(1)),
        graph.tensor("b", (1,), data=np.ones(1)),
        graph.tensor("y", (1, 1)),
    )
    graph.dense(x, w, b, y)
    flatbuffer = read(graph.build({"x": x}, {"y": y}, signature=None))
    assert flatbuffer.signature is None
    assert [name for name, _ in (*flatbuffer.inputs, *flatbuffer.outputs)] == ["x", "y"]


def test_reorder_swaps_the_inputs_and_nothing_else() -> None:
    graph = FlatbufferBuilder()
    a, b, c = (graph.tensor(name, (1, 2)) for name in "abc")
    graph.operator("ADD", 1, [a, b], c, "AddOptions")
    data = graph.build({"a": a, "b": b}, {"c": c})
    swapped = reorder(data, ("b", "a"), ("c",))
    assert read(swapped).subgraphs[0].inputs == (b, a)
    assert reorder(swapped, ("a", "b"), ("c",)) == data
    assert sum(x != y for x, y in zip(data, swapped, strict=True)) == 2
    with pytest.raises(ValueError, match="not"):
        reorder(data, ("a", "a"), ("c",))
    with pytest.raises(InputError, match="'d' always equals another one"):
        reorder(data, ("a", "b"), ("c", "d"))


def test_what_is_no_flatbuffer() -> None:
    for data in (b"", b"PK\3\4 something else", b"\0" * 100):
        with pytest.raises(InputError, match="TFL3"):
            read(data)


@pytest.mark.parametrize("data", MODELS.values(), ids=MODELS)
def test_truncated_or_flipped_bytes_are_read_or_refused_but_never_crash(data: bytes) -> None:
    chance = random.Random(3)
    refused = 0
    for _ in range(400):
        damaged = bytearray(data)
        damaged[chance.randrange(8, len(data))] ^= 1 << chance.randrange(8)
        cut = bytes(damaged[: chance.choice((len(data), chance.randrange(8, len(data))))])
        try:
            flatbuffer = read(cut)
        except InputError:
            refused += 1
        else:
            assert sum(flatbuffer.breakdown.values()) == len(cut)
    assert refused > 50


@given(st.binary(max_size=200))
def test_any_bytes_after_the_marker_give_a_model_or_a_sentence(tail: bytes) -> None:
    with contextlib.suppress(InputError):
        read(b"\x08\0\0\0TFL3" + tail)


def test_an_offset_before_the_beginning_is_not_read_from_the_end() -> None:
    # struct would take a negative position as counted from the end.
    data = struct.pack("<i", 100) + bytes(200)
    with pytest.raises(Malformed):
        Table(data, 0).uint32(0)
