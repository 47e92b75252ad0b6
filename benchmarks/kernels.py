"""Measures which operators, versions and types the two engines really take; writes the doctor's tables.

    make .venv-tflite/.installed
    .venv-tflite/bin/python benchmarks/kernels.py            # prints what differs from the tables
    .venv-tflite/bin/python benchmarks/kernels.py --write    # and writes them

A version is taken where the engine finds a kernel for it; types are taken where a model of that one operator loads,
allocates and runs. Each engine tries each model in a process that may crash.
"""

import csv
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TABLES = Path(__file__).parents[1] / "converter" / "edgewright_converter"
ENGINES = {"litert": "ai_edge_litert.interpreter", "tflite": "tflite_runtime.interpreter"}
HIGHEST_VERSION = 24
CODES = {name: code for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
DTYPES = ("float32", "float16", "int32", "uint8", "int64", "bool", "int16", "int8")
NUMBERS = ("float32", "float16", "int32", "uint8", "int64", "int16", "int8")
INDICES = ("int32", "int64")
UNARY = (
    "ABS CEIL COS ELU EXP FLOOR LOG LOGICAL_NOT NEG RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 ROUND RSQRT SIGN SIN SQRT "
    "SQUARE ZEROS_LIKE HARD_SWISH"
)
_CODE = {**{name: getattr(schema.TensorType, name.upper()) for name in DTYPES}, "int4": schema.TensorType.INT4}
_QUANTIZED = ("uint8", "int16", "int8", "int4")


@dataclass(frozen=True)
class Role:
    """One tensor of a template. dtypes: those to try, or the number of the input whose dtype it shares; values: of a
    constant; scale: of the quantized dtypes."""

    dtypes: Sequence[str] | int
    shape: tuple[int, ...] = (1, 4, 4, 4)
    values: Any = None
    scale: float = 0.25
    scales: dict[str, tuple[float, int]] = field(default_factory=dict)
    scaled: bool = False  # whatever its dtype, as a bias is


@dataclass(frozen=True)
class Template:
    operator: str
    inputs: tuple[Role, ...]
    outputs: tuple[Role, ...]
    kind: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def signatures(self) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        roles = (*self.inputs, *self.outputs)
        free = [role.dtypes for role in roles if not isinstance(role.dtypes, int)]
        for chosen in itertools.product(*free):
            left, found = list(chosen), []
            for role in roles:
                found.append(found[role.dtypes] if isinstance(role.dtypes, int) else left.pop(0))
            yield tuple(found[: len(self.inputs)]), tuple(found[len(self.inputs) :])


def build(
    operator: str, version: int, inputs: Sequence[tuple[Role, str]], outputs: Sequence[tuple[Role, str]],
    kind: str = "", options: dict[str, Any] | None = None,
) -> bytes:  # fmt: skip
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.subgraphs = 3, [schema.BufferT()], [graph]
    graph.tensors, graph.inputs = [], []
    for number, (role, dtype) in enumerate((*inputs, *outputs)):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = f"t{number}", list(role.shape), _CODE[dtype], 0
        if dtype in _QUANTIZED or (role.scaled and dtype.startswith("int")):
            quantization = tensor.quantization = schema.QuantizationParametersT()
            scale, zero = role.scales.get(dtype, (role.scale, 0))
            quantization.scale, quantization.zeroPoint = [scale], [zero]
        if role.values is not None:
            data = np.broadcast_to(np.asarray(role.values), role.shape)
            raw = data.astype(np.int8).ravel()[::2].tobytes() if dtype == "int4" else data.astype(dtype).tobytes()
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(raw, np.uint8)
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        elif number < len(inputs):
            graph.inputs.append(number)
        graph.tensors.append(tensor)
    code, node = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = CODES[operator], min(CODES[operator], 127), version
    model.operatorCodes, graph.operators = [code], [node]
    node.opcodeIndex, node.inputs = 0, list(range(len(inputs)))
    node.outputs = graph.outputs = list(range(len(inputs), len(inputs) + len(outputs)))
    if kind:
        node.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        node.builtinOptions = getattr(schema, f"{kind}T")()
        for key, value in (options or {}).items():
            setattr(node.builtinOptions, key, value)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _templates() -> Iterator[Template]:
    t, b = Role(DTYPES), Role(0)
    # What a squashing function gives has one scale only.
    squashed = Role(0, scales={"int8": (1 / 256, -128), "uint8": (1 / 256, 0), "int16": (1 / 32768, 0)})
    around = Role(0, scales={"int8": (1 / 128, 0), "uint8": (1 / 128, 128), "int16": (1 / 32768, 0)})
    for name in UNARY.split():
        yield Template(name, (t,), (b,))
    yield Template("LOGISTIC", (Role(DTYPES, scales={"int16": (1 / 4096, 0)}),), (squashed,))
    yield Template("TANH", (Role(DTYPES, scales={"int16": (1 / 4096, 0)}),), (around,))
    yield Template("SOFTMAX", (t,), (squashed,), "SoftmaxOptions", {"beta": 1.0})
    yield Template("LOG_SOFTMAX", (t,), (Role(0, scales={"int8": (16 / 256, 127), "uint8": (16 / 256, 255)}),))
    yield Template("L2_NORMALIZATION", (t,), (around,), "L2NormOptions")
    yield Template("GELU", (t,), (b,), "GeluOptions")
    yield Template("LEAKY_RELU", (t,), (b,), "LeakyReluOptions", {"alpha": 0.1})
    one = Role(0, values=1)
    for name in ["ADD", "SUB", "MUL", "DIV"]:
        yield Template(name, (t, one), (b,), f"{name.capitalize()}Options")
    for name in [
        "MAXIMUM",
        "MINIMUM",
        "POW",
        "FLOOR_DIV",
        "FLOOR_MOD",
        "SQUARED_DIFFERENCE",
        "LOGICAL_AND",
        "LOGICAL_OR",
        "PRELU",
    ]:
        yield Template(name, (t, one), (b,))
    for name in ["EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"]:
        yield Template(name, (t, b), (Role(("bool",)),))
    for name in ("SELECT", "SELECT_V2"):
        yield Template(name, (Role(("bool",)), t, Role(1)), (Role(1),))
    axis = Role(INDICES, (1,), 1)
    for name in ["MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL"]:
        yield Template(name, (t, axis), (Role(0, (1, 4, 4)),), "ReducerOptions")
    for name, code in (("ARG_MAX", schema.TensorType.INT32), ("ARG_MIN", schema.TensorType.INT32)):
        yield Template(name, (t, axis), (Role(("int32",), (1, 4, 4)),),
                       f"{name.title().replace('_', '')}Options", {"outputType": code})  # fmt: skip
        yield Template(name, (t, axis), (Role(("int64",), (1, 4, 4)),),
                       f"{name.title().replace('_', '')}Options", {"outputType": 4})  # fmt: skip
    flat = Role(0, (1, 64))
    yield Template("RESHAPE", (t,), (flat,), "ReshapeOptions", {"newShape": [1, 64]})
    yield Template("RESHAPE", (t, Role(INDICES, (2,), [1, 64])), (flat,), "ReshapeOptions")
    # With int64 it is chance: the kernel reads int32 from it.
    yield Template("TRANSPOSE", (t, Role(("int32",), (4,), [0, 2, 1, 3])), (b,))
    yield Template("SQUEEZE", (t,), (Role(0, (4, 4, 4)),), "SqueezeOptions", {"squeezeDims": [0]})
    yield Template("EXPAND_DIMS", (t, Role(INDICES, (1,), 0)), (Role(0, (1, 1, 4, 4, 4)),))
    yield Template("PACK", (t, b), (Role(0, (2, 1, 4, 4, 4)),), "PackOptions", {"valuesCount": 2, "axis": 0})
    yield Template("UNPACK", (Role(DTYPES, (1, 4)),), (Role(0, (4,)),), "UnpackOptions", {"num": 1, "axis": 0})
    yield Template("CONCATENATION", (t, b), (Role(0, (2, 4, 4, 4)),), "ConcatenationOptions", {"axis": 0})
    half = Role(1, (1, 2, 4, 4))
    yield Template("SPLIT", (Role(("int32",), (), 1), t), (half, half), "SplitOptions", {"numSplits": 2})
    half = Role(0, (1, 2, 4, 4))
    yield Template("SPLIT_V", (t, Role(INDICES, (2,), 2), Role(("int32",), (), 1)), (half, half),
                   "SplitVOptions", {"numSplits": 2})  # fmt: skip
    yield Template("SLICE", (t, Role(INDICES, (4,), 0), Role(1, (4,), [1, 2, 4, 4])), (half,))
    yield Template("STRIDED_SLICE", (t, Role(INDICES, (4,), 0), Role(1, (4,), [1, 2, 4, 4]), Role(1, (4,), 1)), (half,),
                   "StridedSliceOptions")  # fmt: skip
    rows = Role((*DTYPES, "int4"), (4, 4), 1)
    yield Template("GATHER", (rows, Role((*INDICES, "int16"), (2,), 1)), (Role(0, (2, 4)),),
                   "GatherOptions")  # fmt: skip
    yield Template("GATHER_ND", (t, Role((*INDICES, "int16"), (1, 1), 0)), (b,))
    yield Template("EMBEDDING_LOOKUP", (Role(INDICES, (2,), 1), Role((*DTYPES, "int4"), (4, 4), 1)),
                   (Role(("float32", "int8", "uint8"), (2, 4)),))  # fmt: skip
    yield Template("TILE", (t, Role(INDICES, (4,), 1)), (b,))
    pads = Role(INDICES, (4, 2), [[0, 0], [1, 1], [0, 0], [0, 0]])
    wide = Role(0, (1, 6, 4, 4))
    yield Template("PAD", (t, pads), (wide,))
    yield Template("PADV2", (t, pads, Role(0, (1,), 0)), (wide,))
    yield Template("MIRROR_PAD", (t, pads), (wide,), "MirrorPadOptions")
    yield Template("BROADCAST_TO", (t, Role(INDICES, (4,), [2, 4, 4, 4])), (Role(0, (2, 4, 4, 4)),))
    yield Template("FILL", (Role(INDICES, (1,), 4), Role(DTYPES, (), 1)), (Role(1, (4,)),))
    for dtype, code in (("int32", 2), ("int64", 4)):
        yield Template("SHAPE", (t,), (Role((dtype,), (4,)),), "ShapeOptions", {"outType": code})
    yield Template("REVERSE_V2", (t, Role(("int32",), (1,), 1)), (b,))
    yield Template("CUMSUM", (t, Role(INDICES, (), 1)), (b,), "CumsumOptions")
    yield Template("ONE_HOT", (Role(INDICES, (2,)), Role(("int32",), (), 4), Role(DTYPES, (), 1), Role(2, (), 0)),
                   (Role(2, (2, 4)),), "OneHotOptions", {"axis": -1})  # fmt: skip
    yield Template(
        "TOPK_V2",
        (Role(DTYPES, (1, 4)), Role(("int32", "int16"), (), 2)),
        (Role(0, (1, 2)), Role(("int32", "int16"), (1, 2))),
    )
    for dtype in DTYPES:
        yield Template("CAST", (t,), (Role((dtype,)),), "CastOptions", {"inDataType": 0, "outDataType": _CODE[dtype]})
    yield Template("QUANTIZE", (t,), (Role(("int8", "uint8", "int16", "float16", "float32", "int32")),))
    yield Template("DEQUANTIZE", (t,), (Role(("float32", "float16")),))
    small = Role(0, (1, 2, 2, 16))
    yield Template("SPACE_TO_DEPTH", (t,), (small,), "SpaceToDepthOptions", {"blockSize": 2})
    yield Template("DEPTH_TO_SPACE", (t,), (Role(0, (1, 8, 8, 1)),), "DepthToSpaceOptions", {"blockSize": 2})
    yield Template(
        "SPACE_TO_BATCH_ND", (t, Role(("int32",), (2,), 2), Role(("int32",), (2, 2), 0)), (Role(0, (4, 2, 2, 4)),)
    )
    yield Template(
        "BATCH_TO_SPACE_ND", (Role(DTYPES, (4, 2, 2, 4)), Role(("int32",), (2,), 2), Role(("int32",), (2, 2), 0)), (b,)
    )
    for name in ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        kind = f"{name.title().replace('_', '')}Options"
        yield Template(name, (t, Role(("int32",), (2,), 8)), (Role(0, (1, 8, 8, 4)),), kind)
    for name in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"):
        options = {"strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2, "padding": 1}
        yield Template(name, (t,), (Role(0, (1, 2, 2, 4)),), "Pool2DOptions", options)
    data, weight = (
        ("float32", "float16", "int32", "uint8", "int16", "int8"),
        ("float32", "float16", "uint8", "int8", "int4"),
    )
    bias = ("float32", "float16", "int32", "int64")
    stride = {"strideW": 1, "strideH": 1, "padding": 0}
    for biases in ((), (Role(bias, (4,), 0, scale=0.0625, scaled=True),)):
        dense = (Role(data, (1, 4)), Role(weight, (4, 4), 1), *biases)
        yield Template("FULLY_CONNECTED", dense, (Role(data, (1, 4)),), "FullyConnectedOptions")
        conv = (Role(data), Role(weight, (4, 1, 1, 4), 1), *biases)
        yield Template(
            "CONV_2D", conv, (Role(0),), "Conv2DOptions", {**stride, "dilationWFactor": 1, "dilationHFactor": 1}
        )
        depth = (Role(data), Role(weight, (1, 1, 1, 4), 1), *biases)
        yield Template("DEPTHWISE_CONV_2D", depth, (Role(0),), "DepthwiseConv2DOptions",
                       {**stride, "depthMultiplier": 1, "dilationWFactor": 1, "dilationHFactor": 1})  # fmt: skip
        turned = (Role(("int32",), (4,), [1, 4, 4, 4]), Role(weight, (4, 1, 1, 4), 1), Role(data), *biases)
        yield Template("TRANSPOSE_CONV", turned, (Role(2),), "TransposeConvOptions", stride)
    for values in (None, 1):  # a constant right side has kernels of its own
        sides = (Role(DTYPES, (1, 4, 4)), Role((*DTYPES, "int4"), (1, 4, 4), values))
        yield Template(
            "BATCH_MATMUL", sides, (Role(("float32", "int8", "int16", "int32"), (1, 4, 4)),), "BatchMatMulOptions"
        )


class Engine:
    """One engine, asked in child processes. Answers arrive over a pipe; a crash is a no."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._interpreter = import_module(ENGINES[name]).Interpreter
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 2)

    def each(self, models: Sequence[bytes], ask: Any) -> list[bool]:
        """ask: of a model's bytes, True or False or an exception; a child takes up after each crash."""
        answers: list[bool] = []
        while len(answers) < len(models):
            source, sink = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(source)
                for model in models[len(answers) :]:
                    try:
                        answer = ask(self._interpreter, model)
                    except (ValueError, RuntimeError):
                        answer = False
                    os.write(sink, b"1" if answer else b"0")
                os._exit(0)
            os.close(sink)
            with os.fdopen(source, "rb") as pipe:
                answers += [byte == ord("1") for byte in pipe.read()]
            if os.waitpid(child, 0)[1] != 0:
                answers.append(False)
        return answers[: len(models)]


def has_kernel(interpreter: Any, model: bytes) -> bool:
    try:
        interpreter(model_content=model, num_threads=1)
    except ValueError as error:
        # The second: tflite-runtime 2.14 of codes that came after it.
        return "Didn't find op" not in str(error) and "out of range" not in str(error)
    return True


def runs(interpreter: Any, model: bytes) -> bool:
    loaded = interpreter(model_content=model, num_threads=1)
    loaded.allocate_tensors()
    for tensor in loaded.get_input_details():  # some kernels refuse zeros: roots, logarithms, divisions
        loaded.set_tensor(tensor["index"], np.ones(tensor["shape"], tensor["dtype"]))
    loaded.invoke()
    return True


def main() -> None:
    engines = [Engine(name) for name in ENGINES]
    names = sorted(CODES, key=CODES.__getitem__)
    names = [name for name in names if name not in ("CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES")]
    role, highest = Role(("float32",), (1, 4)), dict[str, dict[str, int]]()
    for engine in engines:
        pairs = [(name, version) for name in names for version in range(1, HIGHEST_VERSION + 1)]
        models = [build(name, version, [(role, "float32")], [(role, "float32")]) for name, version in pairs]
        found = [pair for pair, taken in zip(pairs, engine.each(models, has_kernel), strict=True) if taken]
        highest[engine.name] = {name: max((v for n, v in found if n == name), default=0) for name in names}
        gaps = [pair for pair in pairs if pair[1] <= highest[engine.name][pair[0]] and pair not in found]
        print(f"{engine.name}: {len(found)} operator versions; below the highest and missing: {gaps}")
    _table("engine_versions.csv", ["operator", *ENGINES], [[n, *(highest[e][n] for e in ENGINES)] for n in names])
    accepted: dict[str, dict[str, set[str]]] = {}
    measured: dict[str, list[str]] = {}
    for template in _templates():
        signatures = list(template.signatures())
        measured.setdefault(template.operator, []).append(_domain(template))
        for engine in engines:
            version = max(highest[engine.name][template.operator], 1)
            models = [
                build(template.operator, version, list(zip(template.inputs, i, strict=True)),
                      list(zip(template.outputs, o, strict=True)), template.kind, template.options)
                for i, o in signatures
            ]  # fmt: skip
            answers = engine.each(models, runs)
            taken = {_key(i, o) for (i, o), answer in zip(signatures, answers, strict=True) if answer}
            accepted.setdefault(template.operator, {}).setdefault(engine.name, set()).update(taken)
    rows = [[n, ";".join(measured[n]), *(" ".join(sorted(accepted[n][e])) for e in ENGINES)] for n in sorted(accepted)]
    _table("engine_types.csv", ["operator", "measured", *ENGINES], rows)
    for name in sorted(accepted):
        print(f"{name:<24}" + "  ".join(f"{e}: {len(accepted[name][e])}" for e in ENGINES))


def _key(inputs: tuple[str, ...], outputs: tuple[str, ...]) -> str:
    return "+".join(inputs) + ">" + "+".join(outputs)


def _domain(template: Template) -> str:
    """What was tried: for each tensor its dtypes, or the number of the one that it is like."""
    roles = [
        str(r.dtypes) if isinstance(r.dtypes, int) else "|".join(r.dtypes)
        for r in (*template.inputs, *template.outputs)
    ]
    return "+".join(roles[: len(template.inputs)]) + ">" + "+".join(roles[len(template.inputs) :])


def _table(name: str, header: list[str], rows: list[list[Any]]) -> None:
    lines = [header, *([str(cell) for cell in row] for row in rows)]
    path = TABLES / name
    old = list(csv.reader(path.open(encoding="ascii"))) if path.exists() else []
    for line in lines:
        if line not in old:
            print(f"{name}: {','.join(line)[:150]}")
    if "--write" in sys.argv:
        with path.open("w", encoding="ascii", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)


if __name__ == "__main__":
    main()
