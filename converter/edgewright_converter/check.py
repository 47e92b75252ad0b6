"""Runs a flatbuffer beside what Keras answered: how far apart they are, how often it is right, golden samples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewright_runtime.border import from_border, to_border
from edgewright_runtime.engines import Engine, open_engine
from edgewright_runtime.errors import EngineError
from edgewright_runtime.manifest import TensorSpec

from .data import Array
from .errors import ConversionError
from .fitting import predicted

FLOAT_LIMIT = 1e-4
GOLDEN_SAMPLES = 8
_GOLDEN_BYTES = 1 << 20
# Floats are summed in another order by every kernel, and each engine rounds an integer half its own way.
_SPREADS = 4.0


@dataclass(frozen=True)
class Golden:
    """What any device must answer: arrays (samples, *tensor shape) at the flatbuffer's border, atol in real units."""

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    atol: tuple[float, ...]


def open_checked(model: bytes) -> Engine:
    """The flatbuffer in the engine that knows all of TensorFlow 2.21's operators. Raises ConversionError."""
    try:
        return open_engine(model, "litert")
    except EngineError as error:
        if "cannot load" not in str(error):
            raise
        raise ConversionError(f"The flatbuffer that TensorFlow made does not load: {error}") from error


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
    """max |a - b| / max(1, max |b|) over all outputs, a from the engine, b from Keras. Raises ConversionError for NaN."""
    found = [np.concatenate(parts) for parts in zip(*answers(engine, names, samples), strict=True)]
    worst = 0.0
    for spec, a in zip(engine.outputs, found, strict=True):
        b = reference[spec.name].astype(np.float64)
        if not np.isfinite(b).all():
            raise ConversionError(
                f"Keras itself answers NaN or infinity at output {spec.name}: repair the model's weights."
            )
        apart = float(np.abs(a.astype(np.float64) - b).max() / max(1.0, np.abs(b).max())) if b.size else 0.0
        if not np.isfinite(apart):
            raise ConversionError(f"The flatbuffer answers NaN or infinity at output {spec.name} where Keras does not.")
        worst = max(worst, apart)
    return worst


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

    A bundle's bytes are proven by their hashes; the golden samples prove the engine. Right engines differ as two sets
    of kernels differ, which is measured here: with XNNPACK and without. Four times that, and never less than float32's
    usual noise or one step of the output's scale, lets them pass and stops one that computes something else.
    """
    order = [names.index(spec.name) for spec in engine.inputs]
    batch = engine.inputs[0].shape[0]
    size = sum(samples[index][:batch].nbytes for index in order)
    count = max(2, min(GOLDEN_SAMPLES, _GOLDEN_BYTES // max(size, 1), len(samples[0]) // batch))
    feeds = []
    for number in range(count):
        rows = np.arange(number * batch, (number + 1) * batch) % len(samples[0])
        feeds.append([to_border(samples[i][rows], spec) for i, spec in zip(order, engine.inputs, strict=True)])
    expected = [engine.invoke(feed) for feed in feeds]
    plain = _without_delegate(model)
    spreads = [0.0] * len(engine.outputs)
    for feed, answer in zip(feeds, expected, strict=True):
        for index, (a, b) in enumerate(zip(answer, plain(feed), strict=True)):
            spec = engine.outputs[index]
            apart = np.abs(from_border(a, spec).astype(np.float64) - from_border(b, spec)).max() if a.size else 0.0
            spreads[index] = max(spreads[index], float(apart))
    reals = [
        np.concatenate([from_border(answer[index], spec) for answer in expected])
        for index, spec in enumerate(engine.outputs)
    ]
    return Golden(
        inputs=tuple(np.stack([feed[index] for feed in feeds]) for index in range(len(order))),
        outputs=tuple(np.stack([answer[index] for answer in expected]) for index in range(len(engine.outputs))),
        atol=tuple(
            _tolerance(spread, real, spec, mode)
            for spread, real, spec in zip(spreads, reals, engine.outputs, strict=True)
        ),
    )


def _tolerance(spread: float, real: Array, spec: TensorSpec, mode: str) -> float:
    magnitude = max(1.0, float(np.abs(real.astype(np.float64)).max())) if real.size else 1.0
    # A quantized graph that ends in floats still answers in steps of its last scale, of which there are 256.
    floor = FLOAT_LIMIT if mode in ("float32", "float16") else 1 / 128
    step = 2 * spec.scale if spec.scale is not None else 0.0
    # Four digits, so that the last bits of one machine's spread do not change the bundle.
    return float(f"{max(_SPREADS * spread, floor * magnitude, step):.3g}")


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
        interpreter.invoke()
        return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]

    return invoke
