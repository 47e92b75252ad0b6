"""Keras → a frozen graph with static shapes: the one way through the converter that neither crashes nor loses weights.

`from_keras_model` fails on loops and dict inputs, and a concrete function of live variables gives a flatbuffer without
weights; so the variables become constants and control flow stays as it is (LSTM's WHILE breaks when it is lowered).
"""

from dataclasses import dataclass, replace
from typing import Any

from .errors import ModelError
from .fitting import InputSpec
from .gathers import plain_gathers
from .interface import Interface
from .lowering.recurrent import BLOCK
from .plain import fuses, plain_layers, recurrent_layers, unrolled_steps
from .splits import slice_partial_splits
from .static import make_static
from .targets import Target


@dataclass(frozen=True)
class Frozen:
    """graph: a serialized GraphDef. inputs, outputs: by name; *_tensors: the same in the graph, e.g. "Identity:0".

    widths: the size of each output's last axis, None where there is only the batch. layers: names of the Keras layers,
    () where there are none. form: of the recurrent layers, with the reason; "" without. fused: some of them are one
    operator each, which `lowering` writes.
    """

    graph: bytes
    inputs: tuple[InputSpec, ...]
    input_tensors: tuple[str, ...]
    outputs: tuple[str, ...]
    output_tensors: tuple[str, ...]
    widths: tuple[int | None, ...]
    loops: bool
    layers: tuple[str, ...] = ()
    form: str = ""
    fused: bool = False

    @property
    def classes(self) -> int | None:
        """The width of the only output."""
        return self.widths[0] if len(self.widths) == 1 else None


def freeze(model: Any, interface: Interface, mode: str, target: Target) -> Frozen:
    """Trace the model once, at its final size. mode: of the quantization that follows."""
    import contextlib

    import keras
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    names: list[str] = []

    def serve(*tensors: Any) -> list[Any]:
        # The same tensor under two names would come out of the converter as one output.
        outputs = list(
            {id(tensor): (name, tensor) for name, tensor in reversed(interface.call(list(tensors)))}.values()
        )
        names[:] = [name for name, _ in reversed(outputs)]
        half = (tf.float16, tf.bfloat16, tf.float64)
        return [tf.cast(t, "float32") if t.dtype in half else tf.identity(t) for _, t in reversed(outputs)]

    specs = [tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in interface.inputs]
    unrolled, fused = unrolled_steps(mode, target), fuses(mode, target)
    with plain_layers(model, mode, unrolled, fused) if isinstance(model, keras.Model) else contextlib.nullcontext():
        traced = tf.function(serve, autograph=False).get_concrete_function(*specs)
    frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    batch = interface.inputs[0].shape[0]
    graph, outputs = frozen.graph.as_graph_def(), frozen.outputs
    # Frozen, what a function returns, as a convolution in groups does, has lost its shape.
    shapes = [tensor.shape for tensor in traced.outputs]
    loops = any(node.op in ("While", "StatelessWhile") for node in graph.node)
    fused = fused and any(node.op == BLOCK for node in graph.node)
    if loops and not isinstance(model, keras.Model):
        graph = make_static(frozen, batch)
        with tf.Graph().as_default():
            outputs = tf.graph_util.import_graph_def(graph, {}, [tensor.name for tensor in outputs], name="")
        shapes = [tensor.shape for tensor in outputs]
    for name, shape in zip(names, shapes, strict=True):
        if not shape.is_fully_defined() or shape[:1] != [batch]:
            raise ModelError(f"Output {name} has the shape {shape}: expected fixed sizes, the batch of {batch} first.")
    for node in [*graph.node, *(node for function in graph.library.function for node in function.node_def)]:
        node.attr.pop("_gradient_op_type", None)  # a custom gradient is known to this process alone, and of no use
    if mode in ("int8", "int8-fast", "int4"):
        slice_partial_splits(graph, frozen.graph)
    ids = plain_gathers(graph)
    placeholders = [tensor.op.name for tensor in frozen.inputs]
    return Frozen(
        graph=graph.SerializeToString(deterministic=True),
        inputs=tuple(replace(s, ids=ids.get(p)) for s, p in zip(interface.inputs, placeholders, strict=True)),
        input_tensors=tuple(tensor.name for tensor in frozen.inputs),
        outputs=tuple(names),
        output_tensors=tuple(tensor.name for tensor in outputs),
        widths=tuple(shape[-1] if shape.rank > 1 else None for shape in shapes),
        loops=loops,
        layers=tuple(layer.name for layer in model._flatten_layers()) if isinstance(model, keras.Model) else (),
        form=_form(model, loops, fused),
        fused=fused,
    )


def _form(model: Any, loops: bool, fused: bool) -> str:
    """Of the recurrent layers, and why; "" where there are none."""
    import keras

    if fused:
        return "recurrent layers: an LSTM as one operator, the only form an Edge TPU takes; other steps written out"
    if loops:
        return "recurrent layers: a WHILE loop, the smallest form"
    if not isinstance(model, keras.Model) or not recurrent_layers(model):
        return ""
    return "recurrent layers: steps written out, which spares the loop's own work and takes integers; larger"
