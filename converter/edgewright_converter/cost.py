"""What a Keras model costs once it is a flatbuffer: bytes, multiplications, and its time beside another one's."""

import zlib
from statistics import median
from time import perf_counter_ns
from typing import Any

import numpy as np

from edgewright_runtime.border import to_border

from .check import engine_for
from .data import Array, Dataset
from .errors import ConversionError
from .export import freeze
from .flatbuffer import Subgraph, read
from .interface import Interface, interface_of
from .lower import lower
from .outcome import Cost
from .passes.base import Context
from .passes.quantize import Quantize
from .plain import full_precision

_ROUNDS, _ROUND_NS = 15, 20_000_000


def interface_for(model: Any, context: Context) -> Interface:
    """The interface of a model that a pass has built: its inputs are those of the one before, size by size."""
    graph = getattr(model, "_functional", None) or model
    if not hasattr(graph, "_inputs_struct"):
        return context.interface
    shapes = {
        spec.name: [spec.shape[axis] for axis, size in enumerate(tensor.shape) if size is None and axis > 0]
        for spec, tensor in zip(context.interface.inputs, graph.inputs, strict=True)
    }
    return interface_of(model, context.interface.inputs[0].shape[0], shapes, Dataset())


def flatbuffer_of(model: Any, context: Context, mode: str = "float32", sparse: bool = False) -> bytes:
    """The model as it would be converted. mode: one that needs no data. Raises ConversionError."""
    with full_precision(model):
        frozen = freeze(model, interface_for(model, context), mode)
    return lower(frozen, Quantize(mode), (), context.target, sparse)


def multiplications(model: bytes) -> int | None:
    """Multiply-accumulates of one run; None where a loop decides how many there are."""
    graphs = read(model).subgraphs
    if any(node.operator == "WHILE" for node in graphs[0].nodes):
        return None
    return sum(_multiplications(graphs[0], node) for node in graphs[0].nodes)


def _multiplications(graph: Subgraph, node: Any) -> int:
    shapes = [graph.tensors[index].shape for index in node.inputs if index >= 0]
    result = int(np.prod(graph.tensors[node.outputs[0]].shape))
    if node.operator == "FULLY_CONNECTED":
        return result * shapes[1][-1]
    if node.operator == "CONV_2D":
        return result * int(np.prod(shapes[1][1:]))
    if node.operator == "DEPTHWISE_CONV_2D":
        return result * int(np.prod(shapes[1][1:3]))
    if node.operator == "BATCH_MATMUL":
        return result * shapes[0][-1]
    return 0


def compare(models: list[bytes], context: Context) -> list[float]:
    """Median µs of one run of each, by turns, one thread; the best of several rounds, for the machine is shared."""
    samples = context.test.x or context.train.x
    names = [spec.name for spec in context.interface.inputs]
    times: list[list[float]] = [[] for _ in models]
    with engine_pair(models) as engines:
        feeds = [[to_border(_first(samples, names, s, context), s) for s in engine.inputs] for engine in engines]
        for round_ in range(_ROUNDS + 2):
            for engine, feed, found in zip(engines, feeds, times, strict=True):
                taken: list[int] = []
                until = perf_counter_ns() + _ROUND_NS
                while not taken or perf_counter_ns() < until:
                    began = perf_counter_ns()
                    engine.invoke(feed)
                    taken.append(perf_counter_ns() - began)
                if round_ >= 2:
                    found.append(median(taken) / 1000)
    return [min(found) for found in times]


def engine_pair(models: list[bytes]) -> Any:
    from contextlib import ExitStack, contextmanager

    @contextmanager
    def opened() -> Any:
        with ExitStack() as stack:
            yield [stack.enter_context(engine_for(model)) for model in models]

    return opened()


def _first(samples: tuple[Array, ...], names: list[str], spec: Any, context: Context) -> Array:
    batch = spec.shape[0]
    if not samples:
        return np.zeros(spec.shape, np.float32 if spec.scale is not None else spec.dtype)
    chosen = samples[names.index(spec.name)]
    return np.resize(chosen, (batch, *chosen.shape[1:])) if len(chosen) < batch else chosen[:batch]


def costs(before: tuple[int, bytes | None], after: tuple[int, bytes | None], context: Context) -> tuple[Cost, Cost]:
    """Each the number of parameters and the flatbuffer, None where there is none."""
    if before[1] is None or after[1] is None:
        return Cost(before[0]), Cost(after[0])
    times = compare([before[1], after[1]], context)
    first, second = (
        Cost(parameters, multiplications(model), len(model), len(zlib.compress(model, 9)), time)
        for (parameters, model), time in zip((before, after), times, strict=True)
        if model is not None
    )
    return first, second


def measured(model: Any, context: Context) -> tuple[int, bytes | None]:
    """Parameters and the float32 flatbuffer, for `costs`; None instead where the model does not convert as it is."""
    try:
        return int(model.count_params()), flatbuffer_of(model, context)
    except ConversionError:  # the conversion itself will say why
        return int(model.count_params()), None


def weight_bytes(model: Any) -> int:
    """As Keras holds them."""
    return sum(int(np.prod(v.shape)) * np.dtype(_plain(v.dtype)).itemsize for v in model.weights)


def _plain(dtype: str) -> str:
    return "float16" if dtype == "bfloat16" else dtype
