"""The frozen graph → a flatbuffer: tf.lite's converter for the float model, then the form of each mode and target."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .data import Array
from .doctor import ERROR, examine
from .errors import ConversionError
from .export import Frozen
from .flatbuffer import Flatbuffer, read, reorder
from .lowering import layouts
from .lowering.fileformat import read_model, write_model
from .lowering.markers import Range, mark_ranges
from .lowering.report import NO_TABLE, Table
from .outcome import Skipped
from .passes.quantize import Quantize, left_float, refuse_broken_scales
from .targets import Target

_BY_TENSORFLOW = ("float16", "int16x8")
_MISLOWERED = {"FFT"}  # the converter makes an RFFT2D of it, whose result has another shape


@dataclass(frozen=True)
class Lowered:
    """A flatbuffer, what stayed in float, with the reason, and the table of its layers."""

    model: bytes
    skipped: tuple[Skipped, ...] = ()
    table: Table = NO_TABLE


def lower(
    frozen: Frozen, quantize: Quantize, calibration: tuple[Array, ...], target: Target, sparse: bool = False
) -> Lowered:
    """A flatbuffer with static shapes and named signature, without Flex operators, that the target's runtime has.

    TensorFlow's converter gives the float model; `lowering` does the rest, but for int16 and float16, which are the
    converter's own. calibration: samples in the order of the inputs, (samples, *shape without batch), () for none.
    sparse: of float32, stores weights with blocks of zeros as sparse tensors, which are the converter's own too. Raises
    ConversionError.
    """
    if quantize.needs_data and frozen.loops:
        raise ConversionError(
            f"This SavedModel has a loop (LSTM, GRU or while), and {quantize.mode} of a loop crashes TensorFlow: "
            "give the .keras file instead, whose steps edgewright writes out, or use dynamic-int8."
        )
    mislowered = _MISLOWERED & {node.op for node in _graph(frozen).node}
    if mislowered:
        raise ConversionError(_no_operator(frozen, mislowered))
    if sparse:
        plain = _convert(frozen, quantize, (), (), sparse=True)
        return Lowered(reorder(plain, tuple(spec.name for spec in frozen.inputs), frozen.outputs))
    if quantize.mode in _BY_TENSORFLOW:
        model = read_model(_convert(frozen, quantize, calibration, ()))
        layout = layouts.Layout()
    else:
        graph = _graph(frozen)
        settled = mark_ranges(graph)
        float_model = _convert(
            replace(frozen, graph=graph.SerializeToString(deterministic=True)), quantize, (), settled
        )
        model = read_model(float_model)
        layout = layouts.lay_out(model, quantize, target, frozen.layers, settled, _batches(frozen, calibration))
    named = read(write_model(model, names=True))
    refuse_broken_scales(named)
    skipped = left_float(named, quantize.mode) if quantize.mode in _BY_TENSORFLOW else layout.skipped
    # The converter puts inputs and outputs in an order of its own.
    ordered = reorder(write_model(model), tuple(spec.name for spec in frozen.inputs), frozen.outputs)
    return Lowered(ordered, skipped, layout.table)


def float_layers(frozen: Frozen, quantize: Quantize, target: Target) -> tuple[frozenset[str], frozenset[str]]:
    """See lowering/layouts.py: of the model as it will be lowered. Raises ConversionError."""
    ordered = reorder(_convert(frozen, quantize, (), ()), tuple(spec.name for spec in frozen.inputs), frozen.outputs)
    return layouts.float_layers(read_model(ordered), quantize, target, frozen.layers)


def _convert(
    frozen: Frozen,
    quantize: Quantize,
    calibration: tuple[Array, ...],
    settled: Sequence[Range],
    sparse: bool = False,
) -> bytes:
    """By TensorFlow's converter: in float32, or in one of the modes that are its own."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_concrete_functions([_function(frozen)], tf.Module())
    sets = tf.lite.OpsSet
    converter.target_spec.supported_ops = [sets.TFLITE_BUILTINS]
    converter.allow_custom_ops = bool(settled) or frozen.fused
    if quantize.mode in _BY_TENSORFLOW:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if sparse:
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    if quantize.mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize.mode == "int16x8":
        converter.representative_dataset = lambda: _batches(frozen, calibration)
        converter.target_spec.supported_ops.append(sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8)
    try:
        return bytes(converter.convert())
    except (
        Exception
    ) as error:  # ConverterError, RuntimeError, ValueError: the converter's C++ speaks through all of them
        raise ConversionError(_explain(frozen, str(error), quantize.mode)) from error


def _function(frozen: Frozen) -> Any:
    """The graph as a concrete function whose arguments and results carry the model's own names."""
    import tensorflow as tf

    graph = _graph(frozen)

    def serve(*tensors: Any) -> dict[str, Any]:
        feeds = dict(zip(frozen.input_tensors, tensors, strict=True))
        results = tf.graph_util.import_graph_def(graph, feeds, list(frozen.output_tensors), name="")
        return dict(zip(frozen.outputs, results, strict=True))

    # Positional, for named arguments would be put in alphabetical order.
    specs = [tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in frozen.inputs]
    return tf.function(serve, autograph=False).get_concrete_function(*specs)


def _batches(frozen: Frozen, calibration: tuple[Array, ...]) -> Iterator[dict[str, Array]]:
    batch = frozen.inputs[0].shape[0]
    for start in range(0, (len(calibration[0]) if calibration else 0) - batch + 1, batch):
        yield {spec.name: x[start : start + batch] for spec, x in zip(frozen.inputs, calibration, strict=True)}


def check_runnable(model: bytes, target: Target) -> Flatbuffer:
    """Refuse what the target cannot run. Raises ConversionError with the operator and the remedy."""
    errors = [finding for finding in examine(model, target) if finding.severity == ERROR]
    if errors:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise ConversionError(f"The model cannot run on {target.name}: {errors[0]}{more}.")
    return read(model)


def _explain(frozen: Frozen, message: str, mode: str) -> str:
    unsupported = set(re.findall(r"'tf\.(\w+)' op is neither a custom op nor a flex op", message))
    if unsupported:
        return _no_operator(frozen, unsupported)
    if "Empty min/max" in message:
        tensor = re.search(r"for tensor (\S+)", message)
        return (
            f"The {mode} quantizer cannot handle arithmetic on the integers of {tensor[1] if tensor else 'an input'}: "
            "compute it from floats, outside of the model, or use the recipe int8."
        )
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    decisive = next((line for line in lines if "error:" in line), lines[0] if lines else "no reason given")
    return f"TensorFlow's converter refused the model ({decisive[:400]}): replace the layer that it names."


def _no_operator(frozen: Frozen, operators: set[str]) -> str:
    # Node names are paths of layers: model/layer/…/operator.
    nodes = [node.name.split("/")[1:-1] for node in _graph(frozen).node if node.op in operators]
    layers = sorted({"/".join(path) for path in nodes if path})
    where = f" (layer {', '.join(layers[:3])})" if layers else ""
    return (
        f"No edge runtime has the operator {', '.join(sorted(operators))}{where}: "
        "replace that layer by one of builtin operators, or compute it outside of the model."
    )


def _graph(frozen: Frozen) -> Any:
    import tensorflow as tf

    return tf.compat.v1.GraphDef.FromString(frozen.graph)
