import pytest
from unit.models import FlatbufferBuilder, tiny_model

from edgewright_converter.errors import ConversionError
from edgewright_converter.flatbuffer import Flatbuffer, read
from edgewright_converter.passes.quantize import left_float, refuse_broken_scales


def one(operator: str, dtype: str, scales: tuple[float, float]) -> Flatbuffer:
    graph = FlatbufferBuilder()
    x, y = (graph.tensor(name, (1, 4), dtype, scale=scale) for name, scale in zip("xy", scales, strict=True))
    graph.operator(operator, 1, [x], y)
    return read(graph.build({"x": x}, {"y": y}))


def test_what_stayed_float_is_told_by_layer() -> None:
    graph = FlatbufferBuilder()
    x = graph.tensor("x", (1, 4))
    first, second, y = (graph.tensor(name, (1, 4)) for name in ("net/block/norm/Rsqrt;net/x", "net/block/norm/a", "y"))
    graph.operator("RSQRT", 1, [x], first)
    graph.operator("RSQRT", 1, [first], second)
    graph.operator("QUANTIZE", 1, [second], y)
    flatbuffer = read(graph.build({"x": x}, {"y": y}))
    (skipped,) = left_float(flatbuffer, "int8")
    assert skipped.what == "RSQRT in block/norm (2 times)"
    assert "int8" in skipped.reason
    assert left_float(flatbuffer, "float32") == ()
    assert left_float(read(tiny_model("int8")), "int8") == ()


def test_a_scale_in_which_everything_vanishes_is_refused() -> None:
    with pytest.raises(ConversionError, match="SELECT_V2 at y has a scale of 4e"):
        refuse_broken_scales(one("SELECT_V2", "int8", (0.1, 4e6)))
    refuse_broken_scales(one("SELECT_V2", "int8", (0.1, 0.1)))
    refuse_broken_scales(read(tiny_model("int8")))


def test_a_sum_that_overflows_int16_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"keras\.ops\.sum"):
        refuse_broken_scales(one("SUM", "int16", (0.1, 0.1)))
    refuse_broken_scales(one("SUM", "int16", (0.1, 0.4)))
    refuse_broken_scales(one("SUM", "int8", (0.1, 0.1)))
