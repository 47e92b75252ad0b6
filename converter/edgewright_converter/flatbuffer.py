"""Reads a TFLite flatbuffer: operators with versions and the runtime that has them, tensors, what the bytes are for.

Needs neither TensorFlow nor an engine. Field numbers are those of TensorFlow Lite's schema.fbs, version 3.
"""

import csv
import functools
import struct
from collections import Counter
from dataclasses import dataclass
from importlib import resources

from edgewright_runtime.errors import InputError

from .flattable import Malformed, Table, root_table
from .targets import version_key

_TYPES = (
    *("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64"),
    *("complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16", "int2", "uint4"),
    *("float8_e4m3fn", "float8_e5m2"),
)
_CUSTOM = 32
# The int16 quantizer writes versions that are too low for these; None: some runtime after 2.14, no table says which.
_INT16_SINCE = {"GELU": None, "RSQRT": "2.15.0", "TILE": None}


@dataclass(frozen=True)
class Operator:
    """One operator code of the model. min_runtime: "2.14.0", or None where no table says so."""

    name: str
    version: int
    count: int
    min_runtime: str | None


@dataclass(frozen=True)
class Tensor:
    """One tensor of a subgraph. size_bytes: of its constant data, 0 for activations; scales: () if not quantized."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    size_bytes: int
    scales: tuple[float, ...]

    @property
    def quantized(self) -> bool:
        return bool(self.scales)


@dataclass(frozen=True)
class Node:
    """One operation. inputs, outputs: indices into the subgraph's tensors; -1 is an omitted optional input."""

    operator: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    version: int = 1


@dataclass(frozen=True)
class Subgraph:
    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Flatbuffer:
    """A TFLite model. signature: its first signature's key, or None.

    inputs, outputs: (name, tensor) in the signature's order; the tensors' own names where there is no signature.
    min_runtime: oldest runtime that has every operator, or None where one is unknown.
    breakdown: bytes by purpose; the values add up to size_bytes.
    """

    size_bytes: int
    description: str
    operators: tuple[Operator, ...]
    subgraphs: tuple[Subgraph, ...]
    signature: str | None
    inputs: tuple[tuple[str, Tensor], ...]
    outputs: tuple[tuple[str, Tensor], ...]
    metadata: tuple[str, ...]
    min_runtime: str | None
    breakdown: dict[str, int]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors of all subgraphs."""
        return tuple(tensor for subgraph in self.subgraphs for tensor in subgraph.tensors)


def read(data: bytes) -> Flatbuffer:
    """Read a whole model. Raises InputError where the bytes are no TFLite model or contradict themselves."""
    if data[4:8] != b"TFL3":
        raise InputError("This is no TFLite flatbuffer (the marker TFL3 is missing): expected a .tflite file.")
    try:
        return _read(data)
    except (Malformed, IndexError, OverflowError, MemoryError) as error:
        raise InputError(f"The flatbuffer is damaged ({error}): convert or download the model again.") from error


def reorder(data: bytes, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> bytes:
    """The same model with its inputs and outputs in this order, given by their names in the signature.

    Raises InputError for an output that TensorFlow merged with another, whose numbers are the same in every run.
    """
    model = root_table(data)
    graph, signature = model.tables(2)[0], model.tables(7)[0]
    changed = bytearray(data)
    for names, ends, maps in ((inputs, 1, 0), (outputs, 2, 1)):
        index = {entry.string(0): entry.uint32(1) for entry in signature.tables(maps)}
        start, count = graph.vector(ends, 4)
        if merged := set(names) - set(index):
            raise InputError(
                f"The output {min(merged)!r} always equals another one, and TensorFlow's converter makes one of both: "
                "leave it out of the model."
            )
        wanted = [index[name] for name in names]
        if sorted(wanted) != sorted(graph.ints(ends)):
            raise ValueError(f"the flatbuffer's ends are {sorted(index)}, not {sorted(names)}")
        changed[start : start + 4 * count] = struct.pack(f"<{count}i", *wanted)
    return bytes(changed)


def _read(data: bytes) -> Flatbuffer:
    model = root_table(data)
    codes = [_operator_code(code) for code in model.tables(1)]
    buffers = [_buffer_size(buffer) for buffer in model.tables(4)]
    subgraphs = tuple(_subgraph(table, codes, buffers) for table in model.tables(2))
    if not subgraphs:
        raise Malformed("it has no graph")
    counts = Counter(index for table in model.tables(2) for index in _operator_indices(table))
    runtimes = minimum_runtimes() | {
        (name, version): _INT16_SINCE[name]
        for name, version in codes
        if name in _INT16_SINCE and _computes_int16(name, subgraphs)
    }
    operators = tuple(
        Operator(name, version, counts[index], runtimes.get((name, version)))
        for index, (name, version) in enumerate(codes)
    )
    signature, inputs, outputs = _signature(model, subgraphs)
    known = [operator.min_runtime for operator in operators if operator.min_runtime is not None]
    metadata = [(table.string(0), table.uint32(1)) for table in model.tables(6)]
    return Flatbuffer(
        size_bytes=len(data),
        description=model.string(3),
        operators=operators,
        subgraphs=subgraphs,
        signature=signature,
        inputs=inputs,
        outputs=outputs,
        metadata=tuple(name for name, _ in metadata),
        min_runtime=max(known, key=version_key) if known and len(known) == len(operators) else None,
        breakdown=_breakdown(len(data), model, subgraphs, buffers, {index for _, index in metadata}),
    )


@functools.cache
def minimum_runtimes() -> dict[tuple[str, int], str]:
    """(operator, version) → oldest runtime. From op_versions.csv, our own measurements of the runtimes' registries."""
    return {(row["operator"], int(row["version"])): row["min_runtime"] for row in _rows("op_versions.csv")}


@functools.cache
def _builtin_names() -> dict[int, str]:
    return {int(row["code"]): row["operator"] for row in _rows("builtin_operators.csv")}


def _rows(name: str) -> list[dict[str, str]]:
    with resources.files(__package__).joinpath(name).open(encoding="ascii") as file:
        return list(csv.DictReader(file))


def _operator_code(table: Table) -> tuple[str, int]:
    # Codes over 127 live in the newer field only; older files fill in only the older one.
    code = max(table.int8(0), table.int32(3))
    name = _builtin_names().get(code, f"BUILTIN_{code}")
    if code == _CUSTOM:
        name = table.string(1) or "CUSTOM"
    return name, table.int32(2, default=1)


def _buffer_size(table: Table) -> int:
    # Models over 2 GB keep their data after the flatbuffer, as offset and size.
    return table.uint64(2) if table.uint64(1) > 1 else table.vector_bytes(0)


def _operator_indices(subgraph: Table) -> list[int]:
    return [operator.uint32(0) for operator in subgraph.tables(3)]


def _computes_int16(operator: str, subgraphs: tuple[Subgraph, ...]) -> bool:
    return any(
        graph.tensors[index].dtype == "int16"
        for graph in subgraphs
        for node in graph.nodes
        if node.operator == operator
        for index in node.outputs
        if index >= 0
    )


def _subgraph(table: Table, codes: list[tuple[str, int]], buffers: list[int]) -> Subgraph:
    tensors = tuple(_tensor(entry, buffers) for entry in table.tables(0))
    nodes = tuple(
        Node(codes[operator.uint32(0)][0], operator.ints(1), operator.ints(2), codes[operator.uint32(0)][1])
        for operator in table.tables(3)
    )
    inputs, outputs = table.ints(1), table.ints(2)
    for index in (*inputs, *outputs, *(i for node in nodes for i in (*node.inputs, *node.outputs))):
        if not -1 <= index < len(tensors):
            raise Malformed("it names a tensor that it does not hold")
    return Subgraph(tensors, nodes, inputs, outputs)


def _tensor(table: Table, buffers: list[int]) -> Tensor:
    kind, buffer = table.int8(1), table.uint32(2)
    quantization = table.table(4)
    return Tensor(
        name=table.string(3),
        shape=table.ints(0),
        dtype=_TYPES[kind] if 0 <= kind < len(_TYPES) else f"type {kind}",
        size_bytes=buffers[buffer],
        scales=quantization.numbers(2, "f") if quantization else (),
    )


def _signature(
    model: Table, subgraphs: tuple[Subgraph, ...]
) -> tuple[str | None, tuple[tuple[str, Tensor], ...], tuple[tuple[str, Tensor], ...]]:
    for table in model.tables(7):
        graph = subgraphs[table.uint32(4)]
        ends = [
            tuple((entry.string(0), graph.tensors[entry.uint32(1)]) for entry in table.tables(field))
            for field in (0, 1)
        ]
        return table.string(2), ends[0], ends[1]
    graph = subgraphs[0]
    inputs, outputs = (
        tuple((graph.tensors[index].name, graph.tensors[index]) for index in end)
        for end in (graph.inputs, graph.outputs)
    )
    return None, inputs, outputs


def _breakdown(
    size: int, model: Table, subgraphs: tuple[Subgraph, ...], buffers: list[int], metadata: set[int]
) -> dict[str, int]:
    """Bytes by purpose: constants and custom programs by operator, metadata, and the graph's own description."""
    owner: dict[int, str] = dict.fromkeys(metadata, "metadata")
    for table, graph in zip(model.tables(2), subgraphs, strict=True):
        indices = [entry.uint32(2) for entry in table.tables(0)]
        for node in graph.nodes:
            for tensor in node.inputs:
                if tensor >= 0:
                    owner.setdefault(indices[tensor], f"weights of {node.operator}")
    purposes: Counter[str] = Counter()
    for index, count in enumerate(buffers):
        if count:
            purposes[owner.get(index, "unused buffers")] += count
    for table, graph in zip(model.tables(2), subgraphs, strict=True):
        for operator, node in zip(table.tables(3), graph.nodes, strict=True):
            if custom := operator.vector_bytes(5):
                purposes[f"program of {node.operator}"] += custom
    purposes["graph"] = size - sum(purposes.values())
    if purposes["graph"] < 0:
        raise Malformed("its buffers overlap")
    return dict(sorted(purposes.items(), key=lambda item: (-item[1], item[0])))
