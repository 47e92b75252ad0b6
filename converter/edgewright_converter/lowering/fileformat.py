"""Between the bytes of a TFLite file and a Model that can be changed.

What is written is as small as the format allows: lists, scales and options that are the same lie in the file once,
which is what a model of written-out steps consists of; names that nobody asks for are left out.
"""

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from .graph import DTYPE_CODES, DTYPES, Array, Graph, Grid, Model, Op, Tensor

_ALIGNMENT = 16  # the schema's force_align of a buffer's bytes, which the generated classes forget
_SIGNATURE = "serving_default"


def read_model(data: bytes) -> Model:
    """Only what TensorFlow's converter writes: one signature, or none, buffers inside of the file."""
    from ai_edge_litert import schema_py_generated as schema

    file = schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
    kinds = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    graphs = []
    for subgraph in file.subgraphs:
        tensors = [_tensor(t, file.buffers[t.buffer].data) for t in subgraph.tensors]
        ops = []
        for operator in subgraph.operators or ():
            code = file.operatorCodes[operator.opcodeIndex]
            inputs = [tensors[i] if i >= 0 else None for i in _numbers(operator.inputs)]
            outputs = [tensors[i] for i in _numbers(operator.outputs)]
            kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
            options = operator.builtinOptions if operator.builtinOptions is not None else operator.builtinOptions2
            ops.append(Op(kind, inputs, outputs, options, code.version, kept=(code.customCode, operator)))
        ends = [[tensors[i] for i in _numbers(end)] for end in (subgraph.inputs, subgraph.outputs)]
        graphs.append(Graph(ops, *ends))
    main, signatures = file.subgraphs[0], file.signatureDefs or ()
    names = []
    for end, maps in ((main.inputs, "inputs"), (main.outputs, "outputs")):
        known = {m.tensorIndex: m.name.decode() for m in getattr(signatures[0], maps)} if signatures else {}
        names.append(tuple(known.get(i, (main.tensors[i].name or b"").decode()) for i in _numbers(end)))
    return Model(graphs, *names)


def _numbers(values: Any) -> list[int]:
    return [] if values is None else [int(v) for v in values]


def _tensor(table: Any, data: Any) -> Tensor:
    dtype, shape = DTYPES.get(table.type, f"type {table.type}"), tuple(_numbers(table.shape))
    quantization, grid = table.quantization, None
    if quantization is not None and quantization.scale is not None and len(quantization.scale):
        scale = np.array(quantization.scale, np.float32)
        zero = quantization.zeroPoint
        zeros = np.zeros(len(scale), np.int64) if zero is None else np.resize(np.array(zero, np.int64), len(scale))
        grid = Grid(scale, zeros, quantization.quantizedDimension)
    array = None
    if data is not None and len(data) and dtype in DTYPE_CODES:
        raw = np.asarray(data, np.uint8)
        array = _unpack_int4(raw, shape) if dtype == "int4" else raw.view(dtype).reshape(shape).copy()
    return Tensor((table.name or b"").decode(), shape, dtype, array, grid, None, bool(table.isVariable), table)


def _unpack_int4(raw: Array, shape: tuple[int, ...]) -> Array:
    nibbles = np.stack([raw & 15, raw >> 4], -1).reshape(-1)[: int(np.prod(shape))].astype(np.int8)
    return np.where(nibbles > 7, nibbles - 16, nibbles).astype(np.int8).reshape(shape)


def pack_int4(values: Array) -> Array:
    """Two in a byte, the first in the lower half; a row may end inside of a byte."""
    nibbles = (values.reshape(-1) & 15).astype(np.uint8)
    nibbles = np.append(nibbles, np.zeros(len(nibbles) % 2, np.uint8))
    return nibbles[::2] | (nibbles[1::2] << 4)


def write_model(model: Model, names: bool = False) -> bytes:
    """names: of the tensors, for whoever reads the file; the signature has those of inputs and outputs either way."""
    return _Writer().write(model, names)


def _code(op: Op) -> tuple[str, int, Any]:
    return op.kind, op.version, op.kept[0] if op.kept else None


class _Writer:
    def __init__(self) -> None:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema

        self.schema, self.builder = schema, flatbuffers.Builder(1 << 16)
        self.memo: dict[Hashable, int] = {}
        self.codes: dict[tuple[str, int, Any], int] = {}
        self.buffers: dict[bytes, int] = {b"": 0}

    def write(self, model: Model, names: bool) -> bytes:
        builder, schema = self.builder, self.schema
        # The most frequent operator has the code 0, which takes no bytes where it is used.
        counts = Counter(_code(op) for graph in model.graphs for op in graph.ops)
        self.codes = {code: number for number, (code, _) in enumerate(counts.most_common())}
        graphs, indices = [], []
        for graph in model.graphs:
            table, index = self._graph(graph, names)
            graphs.append(table)
            indices.append(index)
        signature = self._signature(model, indices[0])
        buffers = self._offsets([self._buffer(data) for data in self.buffers])
        codes = self._offsets([self._code(*code) for code in self.codes])
        subgraphs, signatures = self._offsets(graphs), self._offsets([signature])
        schema.ModelStart(builder)
        schema.ModelAddVersion(builder, 3)
        schema.ModelAddOperatorCodes(builder, codes)
        schema.ModelAddSubgraphs(builder, subgraphs)
        schema.ModelAddBuffers(builder, buffers)
        schema.ModelAddSignatureDefs(builder, signatures)
        builder.Finish(schema.ModelEnd(builder), b"TFL3")
        return bytes(builder.Output())

    def _graph(self, graph: Graph, names: bool) -> tuple[int, dict[Tensor, int]]:
        builder, schema = self.builder, self.schema
        index = {tensor: number for number, tensor in enumerate(graph.tensors())}
        tensors = self._offsets([self._tensor(t, names) for t in index])
        operators = self._offsets([self._operator(op, index) for op in graph.ops])
        inputs, outputs = (self._ints([index[t] for t in end]) for end in (graph.inputs, graph.outputs))
        schema.SubGraphStart(builder)
        schema.SubGraphAddTensors(builder, tensors)
        schema.SubGraphAddInputs(builder, inputs)
        schema.SubGraphAddOutputs(builder, outputs)
        schema.SubGraphAddOperators(builder, operators)
        return int(schema.SubGraphEnd(builder)), index

    def _tensor(self, tensor: Tensor, names: bool) -> int:
        builder, schema = self.builder, self.schema
        data = b""
        if tensor.data is not None:
            array = pack_int4(tensor.data) if tensor.dtype == "int4" else tensor.data
            data = np.ascontiguousarray(array).tobytes()
        buffer = self.buffers.setdefault(data, len(self.buffers))
        shape = self._ints(tensor.shape)
        name = self._string(tensor.name) if names else None
        quantization = None if tensor.grid is None else self._grid(tensor.grid)
        variants = tensor.kept.variantTensors if tensor.kept is not None else None
        # Inside of loops some sizes are open, which keeps the delegate's hands off.
        open_shape = tensor.kept.shapeSignature if tensor.kept is not None else None
        signature = self._ints(open_shape) if open_shape is not None and len(open_shape) else None
        packed = self._offsets([variant.Pack(builder) for variant in variants]) if variants else None
        schema.TensorStart(builder)
        schema.TensorAddShape(builder, shape)
        schema.TensorAddBuffer(builder, buffer)
        if name is not None:
            schema.TensorAddName(builder, name)
        if quantization is not None:
            schema.TensorAddQuantization(builder, quantization)
        if signature is not None:
            schema.TensorAddShapeSignature(builder, signature)
        if packed is not None:
            schema.TensorAddVariantTensors(builder, packed)
        # Single bytes last, or each would be filled up to four. A shape that has sizes has a rank.
        schema.TensorAddType(builder, DTYPE_CODES[tensor.dtype])
        if tensor.variable:
            schema.TensorAddIsVariable(builder, True)
        if not tensor.shape and tensor.kept is not None and tensor.kept.hasRank:
            schema.TensorAddHasRank(builder, True)
        return int(schema.TensorEnd(builder))

    def _operator(self, op: Op, index: dict[Tensor, int]) -> int:
        builder, schema = self.builder, self.schema
        _, kept = op.kept or (None, None)
        code = self.codes[_code(op)]
        inputs = self._ints([-1 if t is None else index[t] for t in op.inputs])
        outputs = self._ints([index[t] for t in op.outputs])
        intermediates = self._ints([index[t] for t in op.intermediates]) if op.intermediates else None
        program = None
        if kept is not None and kept.customOptions is not None:
            program = builder.CreateByteVector(bytes(kept.customOptions))
        options, kind, second = None, 0, False
        if op.options is not None:
            name = type(op.options).__name__.removesuffix("T")
            second = not hasattr(schema.BuiltinOptions, name)
            kind = getattr(schema.BuiltinOptions2 if second else schema.BuiltinOptions, name)
            options = self._options(op.options)
        schema.OperatorStart(builder)
        schema.OperatorAddOpcodeIndex(builder, code)
        schema.OperatorAddInputs(builder, inputs)
        schema.OperatorAddOutputs(builder, outputs)
        if options is not None and second:
            schema.OperatorAddBuiltinOptions2Type(builder, kind)
            schema.OperatorAddBuiltinOptions2(builder, options)
        elif options is not None:
            schema.OperatorAddBuiltinOptionsType(builder, kind)
            schema.OperatorAddBuiltinOptions(builder, options)
        if program is not None:
            schema.OperatorAddCustomOptions(builder, program)
        if intermediates is not None:
            schema.OperatorAddIntermediates(builder, intermediates)
        return int(schema.OperatorEnd(builder))

    def _options(self, options: Any) -> int:
        key = (type(options).__name__, repr(sorted(vars(options).items(), key=lambda item: item[0])))
        return self._once(key, lambda: options.Pack(self.builder))

    def _code(self, kind: str, version: int, custom: Any) -> int:
        builder, schema = self.builder, self.schema
        code = getattr(schema.BuiltinOperator, kind)
        name = builder.CreateString(custom) if custom else None
        schema.OperatorCodeStart(builder)
        schema.OperatorCodeAddDeprecatedBuiltinCode(builder, min(code, 127))
        if name is not None:
            schema.OperatorCodeAddCustomCode(builder, name)
        schema.OperatorCodeAddVersion(builder, version)
        schema.OperatorCodeAddBuiltinCode(builder, code)
        return int(schema.OperatorCodeEnd(builder))

    def _grid(self, grid: Grid) -> int:
        builder, schema = self.builder, self.schema

        def make() -> int:
            scale = builder.CreateNumpyVector(grid.scale.astype("<f4"))
            zero = self._once(("zero", grid.zero.tobytes()), lambda: builder.CreateNumpyVector(grid.zero.astype("<i8")))
            schema.QuantizationParametersStart(builder)
            schema.QuantizationParametersAddScale(builder, scale)
            schema.QuantizationParametersAddZeroPoint(builder, zero)
            schema.QuantizationParametersAddQuantizedDimension(builder, grid.axis)
            return int(schema.QuantizationParametersEnd(builder))

        return self._once(("grid", grid.scale.tobytes(), grid.zero.tobytes(), grid.axis), make)

    def _buffer(self, data: bytes) -> int:
        builder, schema = self.builder, self.schema
        vector = None
        if data:
            builder.StartVector(1, len(data), _ALIGNMENT)
            builder.head = head = builder.Head() - len(data)
            builder.Bytes[head : head + len(data)] = data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))

    def _signature(self, model: Model, index: dict[Tensor, int]) -> int:
        builder, schema = self.builder, self.schema
        maps = []
        for names, tensors in ((model.inputs, model.main.inputs), (model.outputs, model.main.outputs)):
            entries = []
            for name, tensor in zip(names, tensors, strict=True):
                text = self._string(name)
                schema.TensorMapStart(builder)
                schema.TensorMapAddName(builder, text)
                schema.TensorMapAddTensorIndex(builder, index[tensor])
                entries.append(schema.TensorMapEnd(builder))
            maps.append(self._offsets(entries))
        key = self._string(_SIGNATURE)
        schema.SignatureDefStart(builder)
        schema.SignatureDefAddInputs(builder, maps[0])
        schema.SignatureDefAddOutputs(builder, maps[1])
        schema.SignatureDefAddSignatureKey(builder, key)
        return int(schema.SignatureDefEnd(builder))

    def _offsets(self, offsets: list[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def _ints(self, values: Any) -> int:
        key = ("ints", tuple(values))
        return self._once(key, lambda: self.builder.CreateNumpyVector(np.array(values, "<i4")))

    def _string(self, text: str) -> int:
        return self._once(("text", text), lambda: self.builder.CreateString(text))

    def _once(self, key: Hashable, make: Callable[[], int]) -> int:
        if key not in self.memo:
            self.memo[key] = make()
        return self.memo[key]
