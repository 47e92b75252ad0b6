"""Cut a flatbuffer's graph after any of its operators, to see how long the part before the cut takes.

The engines' Python packages have no profiler. But a graph that ends early is a model like any other: its time minus
that of the graph that ends one operator before is what this operator adds. Nothing is written anew. The list of
operators is made shorter in place; the list of outputs, which must hold whatever an operator behind the cut would have
read, is appended at the end, where the graph's table then points; signatures, which name the old outputs, are emptied.

Field numbers are those of TensorFlow Lite's schema.fbs, version 3.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Optional

from .errors import InputError

_OPERATOR_CODES, _SUBGRAPHS, _SIGNATURES = 1, 2, 7
_BUILTIN_CODE = 3
_INPUTS, _OUTPUTS, _OPERATORS = 1, 2, 3
_OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 1, 2


class Graph(NamedTuple):
    """A flatbuffer's main graph. inputs, outputs: indices of tensors; operators: (what it reads, what it writes)."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


def read_graph(model: bytes) -> Graph:
    """Raises InputError where the bytes contradict themselves."""
    with _readable():
        graph = _graph(model)
        operators = tuple(
            (_ints(model, operator, _OPERATOR_INPUTS), _ints(model, operator, _OPERATOR_OUTPUTS))
            for operator in _tables(model, graph, _OPERATORS)
        )
        return Graph(_ints(model, graph, _INPUTS), _ints(model, graph, _OUTPUTS), operators)


def operator_codes(model: bytes) -> set[int]:
    """The builtin operators that the file names, by their number in the schema. Raises InputError as ``read_graph``."""
    with _readable():
        fields = [_field(model, table, _BUILTIN_CODE) for table in _tables(model, _root(model), _OPERATOR_CODES)]
        return {_uint(model, field) for field in fields if field is not None}


def cut(model: bytes, count: int) -> bytes:
    """The same model, ended after its first ``count`` operators. Raises InputError."""
    graph = read_graph(model)
    if not 1 <= count <= len(graph.operators):
        raise InputError(f"The model has {len(graph.operators)} operators, it cannot end after {count}.")
    with _readable():
        table = _graph(model)
        operators, field = _vector(model, table, _OPERATORS), _field(model, table, _OUTPUTS)
        if operators is None or field is None:
            raise InputError("The model has no outputs: convert it again.")
        outputs = _still_wanted(graph, count)
        changed = bytearray(model)
        struct.pack_into("<I", changed, operators, count)
        signatures = _vector(model, _root(model), _SIGNATURES)
        if signatures is not None:
            struct.pack_into("<I", changed, signatures, 0)
        changed += bytes(-len(changed) % 4)
        struct.pack_into("<I", changed, field, len(changed) - field)
        changed += struct.pack(f"<I{len(outputs)}i", len(outputs), *outputs)
        return bytes(changed)


@contextmanager
def _readable() -> Iterator[None]:
    """An offset that leads out of the bytes is the file's fault."""
    try:
        yield
    except (struct.error, IndexError) as error:
        raise InputError("The flatbuffer's graph cannot be read: convert the model again.") from error


def _still_wanted(graph: Graph, count: int) -> list[int]:
    """The tensors that are written before the cut and read behind it, or are the model's own outputs."""
    wanted = set(graph.outputs).union(*(reads for reads, _ in graph.operators[count:]))
    written = [tensor for _, writes in graph.operators[:count] for tensor in writes]
    return [tensor for tensor in written if tensor in wanted]


def _root(model: bytes) -> int:
    return _uint(model, 0)


def _graph(model: bytes) -> int:
    return _tables(model, _root(model), _SUBGRAPHS)[0]


def _field(model: bytes, table: int, number: int) -> Optional[int]:
    """Where a table's field lies; None where it is absent."""
    vtable = table - struct.unpack_from("<i", model, table)[0]
    entry = 4 + 2 * number
    if entry >= struct.unpack_from("<H", model, vtable)[0]:
        return None
    distance: int = struct.unpack_from("<H", model, vtable + entry)[0]
    return table + distance if distance else None


def _vector(model: bytes, table: int, number: int) -> Optional[int]:
    """Where a list lies: its length, then its items."""
    field = _field(model, table, number)
    return None if field is None else field + _uint(model, field)


def _tables(model: bytes, table: int, number: int) -> list[int]:
    vector = _vector(model, table, number)
    if vector is None:
        return []
    items = range(vector + 4, vector + 4 + 4 * _uint(model, vector), 4)
    if items.stop > len(model):
        raise IndexError("a list reaches beyond the end")
    return [item + _uint(model, item) for item in items]


def _ints(model: bytes, table: int, number: int) -> tuple[int, ...]:
    vector = _vector(model, table, number)
    return () if vector is None else struct.unpack_from(f"<{_uint(model, vector)}i", model, vector + 4)


def _uint(model: bytes, position: int) -> int:
    value: int = struct.unpack_from("<I", model, position)[0]
    return value
