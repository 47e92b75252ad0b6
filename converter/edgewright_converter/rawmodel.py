"""What `flatbuffer.read` leaves out of a model: options, constants, sparsity, open shapes; looked up when asked for.

Field numbers are those of TensorFlow Lite's schema.fbs, version 3. Indices are those of a Flatbuffer's subgraphs. Made
for bytes that `flatbuffer.read` has accepted; still raises Malformed where they contradict themselves.
"""

import struct

from .flattable import Malformed, Table, root_table

_BYTES = {
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool", "float8_e4m3fn", "float8_e5m2"), 1),
    "complex128": 16,
}
_PACKED_BITS = {"int4": 4, "uint4": 4, "int2": 2}
_INTEGERS = {"int32": "i", "int64": "q", "int16": "h", "int8": "b", "uint8": "B"}


def tensor_bytes(shape: tuple[int, ...], dtype: str) -> int | None:
    """What a dense tensor of fixed sizes takes; None for types of no fixed size."""
    count = 1
    for size in shape:
        count *= size
    if dtype in _PACKED_BITS:
        return (count * _PACKED_BITS[dtype] + 7) // 8
    return count * _BYTES[dtype] if dtype in _BYTES else None


class RawModel:
    """One model's bytes."""

    def __init__(self, data: bytes) -> None:
        model = root_table(data)
        self._data = data
        self._buffers = model.tables(4)
        graphs = model.tables(2)
        self._tensors = [graph.tables(0) for graph in graphs]
        self._nodes = [graph.tables(3) for graph in graphs]

    def constant(self, graph: int, tensor: int) -> bytes | None:
        """The tensor's data, None where it is computed."""
        buffer = self._buffers[self._tensors[graph][tensor].uint32(2)]
        if buffer.uint64(1) > 1:  # after the flatbuffer
            start, size = buffer.uint64(1), buffer.uint64(2)
        else:
            start, size = buffer.vector(0, 1)
        if start + size > len(self._data):
            raise Malformed("a constant lies beyond its end")
        return self._data[start : start + size] if size else None

    def integers(self, graph: int, tensor: int, dtype: str) -> tuple[int, ...] | None:
        """A constant of whole numbers; None where it is computed or of another type."""
        raw = self.constant(graph, tensor)
        if raw is None or dtype not in _INTEGERS:
            return None
        count = len(raw) // struct.calcsize("<" + _INTEGERS[dtype])
        return struct.unpack_from(f"<{count}{_INTEGERS[dtype]}", raw)

    def options(self, graph: int, node: int) -> Table | None:
        """The builtin options, whose fields are those of the operator's table in the schema."""
        return self._nodes[graph][node].table(4)

    def is_variable(self, graph: int, tensor: int) -> bool:
        return self._tensors[graph][tensor].int8(5) != 0

    def is_sparse(self, graph: int, tensor: int) -> bool:
        return self._tensors[graph][tensor].table(6) is not None

    def open_shape(self, graph: int, tensor: int) -> tuple[int, ...]:
        """The shape with -1 where the model leaves a size open; () where it leaves none open."""
        return self._tensors[graph][tensor].ints(7)

    def zero_points(self, graph: int, tensor: int) -> tuple[int, ...]:
        quantization = self._tensors[graph][tensor].table(4)
        return () if quantization is None else tuple(int(value) for value in quantization.numbers(3, "q"))
