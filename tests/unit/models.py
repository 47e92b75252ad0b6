"""Small flatbuffers and bundles, made in milliseconds without TensorFlow.

``tiny_model`` is a dense classifier, ``tiny_text_model`` a text classifier, ``tiny_bundle`` either in a bundle.
``FlatbufferBuilder`` makes any other model, ``write_bundle`` puts it into a bundle.
"""

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from edgewright_runtime.bundle import write_archive
from edgewright_runtime.engines import open_engine
from edgewright_runtime.hashing import sha256_hex
from edgewright_runtime.manifest import Budget, FileEntry, Golden, Manifest, Variant
from edgewright_runtime.text import Cleaning, Tokenizer
from edgewright_runtime.text.words import Words

LABELS = ["lights_on", "lights_off", "weather"]
TASK = b'{"kind":"classify","options":{"threshold":0.9,"unknown":"none of these"}}\n'
WORDS = ["lights", "on", "off", "weather", "the", "turn", "please", "is", "how"]
TOKENS = 8
_TYPES = {"float32": 0, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9, "float16": 1}


class FlatbufferBuilder:
    """One subgraph with one signature, in the order of the calls."""

    def __init__(self) -> None:
        self._model = schema.ModelT()
        self._model.version = 3
        self._model.description = "edgewright test"
        self._model.buffers = [schema.BufferT()]
        self._model.operatorCodes = []
        self._graph = schema.SubGraphT()
        self._graph.name = "main"
        self._graph.tensors, self._graph.operators = [], []
        self._model.subgraphs = [self._graph]

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        data: np.ndarray[Any, Any] | None = None,
        scale: float | None = None,
        zero_point: int = 0,
        variable: bool = False,
    ) -> int:
        """Add a tensor, a constant where ``data`` is given; returns its index."""
        tensor = schema.TensorT()
        tensor.isVariable = variable
        tensor.name, tensor.shape, tensor.type = name, list(shape), _TYPES[dtype]
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            self._model.buffers.append(buffer)
            tensor.buffer = len(self._model.buffers) - 1
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def operator(
        self, name: str, version: int, inputs: Sequence[int], output: int, kind: str = "", **options: Any
    ) -> None:
        """Add an operator. kind: the name of its options in the schema's BuiltinOptions, where it has any."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), version
        self._model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self._model.operatorCodes) - 1
        operator.inputs, operator.outputs = list(inputs), [output]
        if kind:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = getattr(schema, f"{kind}T")()
            for key, value in options.items():
                setattr(operator.builtinOptions, key, value)
        self._graph.operators.append(operator)

    def dense(self, x: int, weights: int, bias: int, output: int, version: int = 1) -> None:
        self.operator("FULLY_CONNECTED", version, [x, weights, bias], output, "FullyConnectedOptions")

    def softmax(self, x: int, output: int, version: int = 1) -> None:
        self.operator("SOFTMAX", version, [x], output, "SoftmaxOptions", beta=1.0)

    def build(
        self, inputs: dict[str, int], outputs: dict[str, int], signature: str | None = "serving_default"
    ) -> bytes:
        """inputs, outputs: indices by the name in the signature, in the subgraph's order."""
        self._graph.inputs, self._graph.outputs = list(inputs.values()), list(outputs.values())
        if signature is not None:
            definition = schema.SignatureDefT()
            definition.signatureKey, definition.subgraphIndex = signature, 0
            definition.inputs = _tensor_maps(inputs)
            definition.outputs = _tensor_maps(outputs)
            self._model.signatureDefs = [definition]
        builder = flatbuffers.Builder(4096)
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def _tensor_maps(indices: dict[str, int]) -> list[Any]:
    maps = []
    for name, index in indices.items():
        maps.append(schema.TensorMapT())
        maps[-1].name, maps[-1].tensorIndex = name, index
    return maps


def lstm_model() -> bytes:
    """x (1, 3, 2) → the state after each of 3 steps (1, 3, 2), of an operator whose state outlasts a run."""
    rng = np.random.default_rng(0)
    graph = FlatbufferBuilder()
    x, out = graph.tensor("x:0", (1, 3, 2)), graph.tensor("out:0", (1, 3, 2))
    kernels = [graph.tensor(f"w{n}", (2, 2), data=rng.normal(0, 1, (2, 2))) for n in range(8)]
    biases = [graph.tensor(f"b{n}", (2,), data=rng.normal(0, 1, 2)) for n in range(4)]
    states = [graph.tensor(f"s{n}", (1, 2), variable=True) for n in range(2)]
    inputs = [x, *kernels, -1, -1, -1, *biases, -1, -1, *states, -1, -1, -1, -1]
    options = "UnidirectionalSequenceLSTMOptions"
    graph.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", 1, inputs, out, options, fusedActivationFunction=4)
    return graph.build({"x": x}, {"states": out})


def tiny_model(border: str = "float32", dense_version: int | None = None) -> bytes:
    """x (1, 4) → dense → softmax → probabilities (1, 3).

    border: "float32" or "int8" (then everything inside is int8 too); dense_version: of FULLY_CONNECTED, to make a
    model that no engine knows.
    """
    weights = np.array([[3, 0, 0, 1], [0, 3, 0, 1], [0, 0, 3, 1]], np.float32)
    graph = FlatbufferBuilder()
    if border == "float32":
        x, out = graph.tensor("x:0", (1, 4)), graph.tensor("out:0", (1, 3))
        w, b = graph.tensor("w", (3, 4), data=weights), graph.tensor("b", (3,), data=np.zeros(3))
        logits = graph.tensor("logits", (1, 3))
        versions = (dense_version or 1, 1)
    else:
        x = graph.tensor("x:0", (1, 4), "int8", scale=0.05, zero_point=-3)
        w = graph.tensor("w", (3, 4), "int8", weights * 40, scale=0.025)
        b = graph.tensor("b", (3,), "int32", np.zeros(3), scale=0.05 * 0.025)
        logits = graph.tensor("logits", (1, 3), "int8", scale=0.2)
        out = graph.tensor("out:0", (1, 3), "int8", scale=1 / 256, zero_point=-128)
        versions = (dense_version or 4, 2)
    graph.dense(x, w, b, logits, versions[0])
    graph.softmax(logits, out, versions[1])
    return graph.build({"x": x}, {"probabilities": out})


def tiny_text_model(tokens: int = TOKENS, seed: int = 0) -> bytes:
    """tokens (1, 8) int32 → embedding → mean → dense → softmax → probabilities (1, 3).

    It knows three classes by the words "on", "off" and "weather"; seed: of a small noise, to make two models differ.
    """
    embedding = np.random.default_rng(seed).normal(0, 0.01, (len(WORDS) + 2, 4)).astype(np.float32)
    for column, word in enumerate(("on", "off", "weather")):
        embedding[2 + WORDS.index(word), column] = 30
    graph = FlatbufferBuilder()
    ids = graph.tensor("serving_default_tokens:0", (1, tokens), "int32")
    table = graph.tensor("embedding", embedding.shape, data=embedding)
    axis = graph.tensor("axis", (1,), "int32", np.array([1]))
    weights = graph.tensor("w", (3, 4), data=np.eye(3, 4))
    bias = graph.tensor("b", (3,), data=np.zeros(3))
    looked_up, mean = graph.tensor("looked_up", (1, tokens, 4)), graph.tensor("mean", (1, 4))
    logits, out = graph.tensor("logits", (1, 3)), graph.tensor("StatefulPartitionedCall:0", (1, 3))
    graph.operator("GATHER", 1, [table, ids], looked_up, "GatherOptions")
    graph.operator("MEAN", 1, [looked_up, axis], mean, "ReducerOptions")
    graph.dense(mean, weights, bias, logits)
    graph.softmax(logits, out)
    return graph.build({"tokens": ids}, {"probabilities": out})


def wide_model(layers: int, width: int, batch: int = 1) -> bytes:
    """x (batch, width) → dense … dense → y (batch, width): layers * width² weights, to have something to measure."""
    random = np.random.default_rng(0)
    graph = FlatbufferBuilder()
    x = y = graph.tensor("x:0", (batch, width))
    for layer in range(layers):
        kernel = random.normal(0, width**-0.5, (width, width)).astype(np.float32)
        weights = graph.tensor(f"w{layer}", kernel.shape, data=kernel)
        bias = graph.tensor(f"b{layer}", (width,), data=kernel[0])
        before, y = y, graph.tensor(f"y{layer}", (batch, width))
        graph.dense(before, weights, bias, y)
    return graph.build({"x": x}, {"y": y})


def tiny_tokenizer() -> bytes:
    """The JSON document of the tokenizer that belongs to ``tiny_text_model``."""
    return words_tokenizer(WORDS, TOKENS).to_json()


def words_tokenizer(words: Iterable[str], length: int, **settings: Any) -> Tokenizer:
    """A tokenizer that knows these words, in small letters, from the id 2 on."""
    model = Words(("[PAD]", "[UNK]", *words), {"pad": 0, "unknown": 1})
    return Tokenizer(model, length, cleaning=Cleaning(lowercase=True), **settings)


def tiny_bundle(
    path: Path,
    *,
    kind: str = "text",
    name: str = "tiny",
    model: bytes | None = None,
    mode: str | None = None,
    seed: int = 0,
    budget: Budget | None = None,
    golden_error: float = 0.0,
    provenance: dict[str, Any] | None = None,
    task: bytes | None = None,
) -> Path:
    """Write an .ewb to ``path`` and return the path.

    kind: "text" (labels and tokenizer; tokens int32 (1, 8) → (1, 3)), "float32" or "int8" (x (1, 4) → (1, 3));
    model: another flatbuffer with the same border; golden_error: added to the expected outputs, to make a bundle that
    fails its check.
    """
    extra = {}
    if kind == "text":
        model = model or tiny_text_model(seed=seed)
        samples = np.zeros((3, 1, TOKENS), np.int32)
        samples[:, 0, :3] = [[7, 6, 3], [7, 6, 4], [10, 9, 5]]  # "turn the on", "turn the off", "how is weather"
        extra = {"labels": json.dumps(LABELS).encode(), "tokenizer": tiny_tokenizer()}
        extra |= {} if task is None else {"task": task}
    elif kind == "float32":
        model = model or tiny_model()
        samples = np.eye(3, 4, dtype=np.float32)[:, None] * 2
    else:
        model = model or tiny_model("int8")
        samples = (np.eye(3, 4)[:, None] * 40 - 3).astype(np.int8)
    return write_bundle(
        path,
        model,
        [samples],
        extra,
        name=name,
        mode=mode or ("int8" if kind == "int8" else "float32"),
        atol=2 / 256 if kind == "int8" else 1e-3,
        budget=budget or Budget(),
        golden_error=golden_error,
        provenance=provenance or {},
    )


def write_bundle(
    path: Path,
    model: bytes,
    samples: Sequence[np.ndarray[Any, Any]],
    extra: dict[str, bytes] | None = None,
    *,
    name: str = "tiny",
    mode: str = "float32",
    atol: float = 1e-3,
    budget: Budget | None = None,
    golden_error: float = 0.0,
    provenance: dict[str, Any] | None = None,
) -> Path:
    """Any flatbuffer in a bundle. samples: for each input (n, *its shape); extra: labels, tokenizer, task, as JSON."""
    with open_engine(model, "litert") as engine:
        inputs, outputs = engine.inputs, engine.outputs
    expected = [array if golden_error == 0 else _shift(array, golden_error) for array in _expected(model, samples)]
    files = {"model.tflite": model}
    files |= {f"golden/in{index}.npy": _npy(array) for index, array in enumerate(samples)}
    files |= {f"golden/out{index}.npy": _npy(array) for index, array in enumerate(expected)}
    files |= {f"{kind}.json": data for kind, data in (extra or {}).items()}
    manifest = Manifest(
        name=name,
        files=tuple(FileEntry(file, len(data), sha256_hex(data)) for file, data in files.items()),
        variants=(Variant("model.tflite", "cpu", mode, "1.14.0", inputs, outputs),),
        golden=Golden(
            tuple(f"golden/in{index}.npy" for index in range(len(inputs))),
            tuple(f"golden/out{index}.npy" for index in range(len(outputs))),
            (atol,) * len(outputs),
        ),
        **{kind: f"{kind}.json" for kind in extra or {}},
        budget=budget or Budget(),
        provenance=provenance or {},
    )
    write_archive(manifest, files, path)
    return path


def _shift(array: np.ndarray[Any, Any], error: float) -> np.ndarray[Any, Any]:
    if array.dtype.kind == "f":
        return array + np.asarray(error, array.dtype)
    limits = np.iinfo(array.dtype)
    return np.clip(array.astype(int) + int(error), limits.min, limits.max).astype(array.dtype)


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=(1, 0), allow_pickle=False)
    return out.getvalue()


def _expected(model: bytes, samples: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    """What the stock interpreter answers, for the golden samples to be independent of our engines."""
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    answers = []
    for index in range(len(samples[0])):
        for tensor, array in zip(inputs, samples, strict=True):
            interpreter.set_tensor(tensor["index"], array[index])
        interpreter.invoke()
        answers.append([interpreter.get_tensor(tensor["index"]) for tensor in outputs])
    return [np.array([answer[index] for answer in answers]) for index in range(len(outputs))]
