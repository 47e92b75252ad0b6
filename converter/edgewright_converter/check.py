"""Runs a flatbuffer beside what Keras answered: how far apart they are, how often it is right, golden samples."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright_runtime.border import from_border, to_border
from edgewright_runtime.engines import Engine, open_engine
from edgewright_runtime.errors import EngineError

from .data import Array
from .errors import ConversionError
from .fitting import predicted
from .flatbuffer import Flatbuffer, read

FLOAT_LIMIT = 1e-4
GOLDEN_SAMPLES = 8
_GOLDEN_BYTES, _GOLDEN_ANSWER_BYTES = 1 << 15, 1 << 14
_LARGE_BYTES = 1 << 12  # of golden floats that are rounded, for then they are stored in half of their bytes


@dataclass(frozen=True)
class Golden:
    """What any device must answer: arrays (samples, *tensor shape) at the flatbuffer's border, atol in real units."""

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    atol: tuple[float, ...]


@contextmanager
def engine_for(model: bytes) -> Iterator[Engine]:
    """The flatbuffer in the engine that knows all of TensorFlow 2.21's operators.

    Raises ConversionError where it does not load or run there, EngineError where the engine is not installed.
    """
    try:
        with open_engine(model, "litert") as engine:
            yield engine
    except EngineError as error:
        if isinstance(error.__cause__, ImportError):
            raise
        raise ConversionError(
            f"TensorFlow made a flatbuffer that does not run ({error.__cause__ or error}): "
            "use the recipe float32 or dynamic-int8, or replace the layer that makes that operator."
        ) from error


def answers(engine: Engine, names: tuple[str, ...], samples: tuple[Array, ...]) -> Iterator[list[Array]]:
    """Real outputs for batch after batch. names: of the samples; the last batch is filled up with its last sample."""
    order = [names.index(spec.name) for spec in engine.inputs]
    batch = engine.inputs[0].shape[0]
    for start in range(0, len(samples[0]), batch):
        rows = np.minimum(np.arange(start, start + batch), len(samples[0]) - 1)
        feeds = [to_border(samples[index][rows], spec) for index, spec in zip(order, engine.inputs, strict=True)]
        kept = min(batch, len(samples[0]) - start)
        outputs = zip(engine.invoke(feeds), engine.outputs, strict=True)
        yield [from_border(output, spec)[:kept] for output, spec in outputs]


def difference(
    engine: Engine, names: tuple[str, ...], samples: tuple[Array, ...], reference: dict[str, Array]
) -> float:
    """max |a - b| / max(1, max |b|) over all outputs, a from the engine, b from Keras.

    Raises ConversionError for NaN, and where an output has little to do with Keras': a float whose error is more than
    half of its own spread, an integer that is wrong more often than right.
    """
    found = [np.concatenate(parts) for parts in zip(*answers(engine, names, samples), strict=True)]
    return max(_apart(a, reference[spec.name], spec.name) for spec, a in zip(engine.outputs, found, strict=True))


def _apart(a: Array, b: Array, name: str) -> float:
    whole = b.dtype.kind in "biu"
    a, b = a.astype(np.float64), b.astype(np.float64)
    if not np.isfinite(b).all():
        raise ConversionError(f"Keras itself answers NaN or infinity at output {name}: repair the model's weights.")
    errors, magnitude = np.abs(a - b), max(1.0, float(np.abs(b).max()))
    if not np.isfinite(errors).all():
        raise ConversionError(
            f"The flatbuffer answers NaN or infinity at output {name}, Keras does not: use more bits."
        )
    typical = float(np.sqrt(np.mean(errors**2)))
    if (errors > 0).mean() > 0.5 if whole else typical > max(float(b.std()) / 2, magnitude / 100):
        raise ConversionError(
            f"The flatbuffer's output {name} has little to do with Keras' (error {typical:.2g}, spread of the answers "
            f"{b.std():.2g}): give data like the real one, use more bits, or look for a layer that draws at random."
        )
    return float(errors.max()) / magnitude


def accuracy(
    engine: Engine, names: tuple[str, ...], samples: tuple[Array, ...], truth: Array, progress: Callable[[float], None]
) -> float:
    """The fraction of right answers of a model with one output."""
    found = []
    for (output,) in answers(engine, names, samples):
        found.append(predicted(output))
        if len(found) % 256 == 0:
            progress(len(found) * len(found[0]) / len(truth))
    return float((np.concatenate(found) == truth).mean())


def golden(model: bytes, engine: Engine, names: tuple[str, ...], samples: tuple[Array, ...], mode: str) -> Golden:
    """Samples at the border, the engine's answers, and how far another device's may be from them.

    The bundle's bytes are proven by their hashes; the golden samples prove the engine. Right engines differ as two sets
    of kernels do: this one's with XNNPACK and without, which answer as tflite-runtime 2.14 does. Four times that
    difference, and never less than two steps of the output's own scale (16 where there are 65,536 of them), lets right
    engines pass and stops a wrong one. Large floats are rounded: inputs to 8 bits, answers to an eighth of what they
    may differ by.
    """
    order = [names.index(spec.name) for spec in engine.inputs]
    batch = engine.inputs[0].shape[0]
    size = sum(samples[index][:batch].nbytes for index in order)
    answer = sum(4 * int(np.prod(spec.shape)) for spec in engine.outputs)
    fitting = min(_GOLDEN_BYTES // max(size, 1), _GOLDEN_ANSWER_BYTES // max(answer, 1))
    count = max(2, min(GOLDEN_SAMPLES, fitting, len(samples[0]) // batch))
    feeds = []
    for number in range(count):
        rows = np.arange(number * batch, (number + 1) * batch) % len(samples[0])
        borders = [to_border(samples[i][rows], spec) for i, spec in zip(order, engine.inputs, strict=True)]
        feeds.append([_rounded(array, float(np.abs(array).max(initial=0.0)) / 127) for array in borders])
    plain = _without_delegate(model)
    expected, others = (
        [np.stack(parts) for parts in zip(*map(invoke, feeds), strict=True)] for invoke in (engine.invoke, plain)
    )
    steps = output_steps(read(model))
    atol = tuple(
        _tolerance(from_border(a, spec), from_border(b, spec), steps[spec.name], mode)
        for a, b, spec in zip(expected, others, engine.outputs, strict=True)
    )
    return Golden(
        inputs=tuple(np.stack(parts) for parts in zip(*feeds, strict=True)),
        outputs=tuple(_rounded(array, limit / 8) for array, limit in zip(expected, atol, strict=True)),
        atol=atol,
    )


def _rounded(array: Array, step: float) -> Array:
    """Large float32 on a grid of a power of two, at most ``step`` apart: half of their bits are then zeros."""
    if array.dtype != np.float32 or array.nbytes < _LARGE_BYTES or not 0 < step < np.inf:
        return array
    grid = np.float32(2.0 ** np.floor(np.log2(step)))
    return np.round(array / grid) * grid


def _tolerance(a: Array, b: Array, step: float | None, mode: str) -> float:
    spread = float(np.abs(a.astype(np.float64) - b).max())
    # Where no scale tells the step: float32's own noise, or one of the 256 steps that int8 has.
    relative = FLOAT_LIMIT if mode in ("float32", "float16") else 1 / 256
    steps = 16 if mode == "int16x8" else 2
    floor = steps * step if step is not None else relative * float(np.abs(a.astype(np.float64)).max())
    return float(f"{max(4 * spread, floor, 1e-6):.2g}")


def output_steps(flatbuffer: Flatbuffer) -> dict[str, float | None]:
    """The scale in which each output is counted; one that is dequantized at the end has the scale from before."""
    graph = flatbuffer.subgraphs[0]
    dequantized = {node.outputs[0]: node.inputs[0] for node in graph.nodes if node.operator == "DEQUANTIZE"}
    steps: dict[str, float | None] = {}
    for (name, _), index in zip(flatbuffer.outputs, graph.outputs, strict=True):
        scales = graph.tensors[dequantized.get(index, index)].scales
        steps[name] = scales[0] if scales else None
    return steps


def _without_delegate(model: bytes) -> Callable[[list[Array]], list[Array]]:
    """The same engine with its plain kernels, in the same order of inputs and outputs."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter: Any = Interpreter(
        model_content=model,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()

    def invoke(feeds: list[Array]) -> list[Array]:
        for detail, feed in zip(interpreter.get_input_details(), feeds, strict=True):
            interpreter.set_tensor(detail["index"], feed)
        interpreter.reset_all_variables()
        interpreter.invoke()
        return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]

    return invoke
