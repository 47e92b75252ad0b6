"""Beyond the answers: a student's hidden layers and attention made like its teacher's while it trains.

Hidden layers: mean squared difference, through a learned projection where the widths differ (FitNets, Romero et al.
2015). Attention: mean squared difference of the attention probabilities, head by head where there are equally many,
else of their mean (TinyBERT, Jiao et al. 2020). Both look at the teacher at every step, which costs its forward pass.
"""

from collections.abc import Callable
from typing import Any

from ..errors import ModelError

Pairs = list[tuple[str, str]]
Heads = Callable[[list[Any]], Any]


def matched(
    student: Any, teacher: Any, hidden: Pairs, attention: Pairs, hidden_weight: float, attention_weight: float
) -> Any:
    """A model around the student that adds those losses in training. hidden, attention: (teacher's layer, student's).

    The teacher is not a part of it: its weights stay as they are. Raises ModelError for a layer that is not there, or
    whose output has another length.
    """
    import keras
    import tensorflow as tf

    there, teachers_heads = _insides(teacher, [name for name, _ in hidden], [name for name, _ in attention], "teacher")
    here, students_heads = _insides(student, [name for _, name in hidden], [name for _, name in attention], "student")
    wanted, given = ([tensor.shape for tensor in part.outputs[1 : 1 + len(hidden)]] for part in (there, here))
    for pair, a, b in zip(hidden, wanted, given, strict=True):
        if a[1:-1] != b[1:-1]:
            raise ModelError(f"The hidden layers {pair[0]} {a} and {pair[1]} {b} differ in more than their last axis.")

    def watch(inputs: Any) -> tuple[list[Any], list[Any]]:  # a function, for Keras looks into attributes
        _, *values = there(inputs, training=False)
        return values[: len(hidden)], [heads(values[len(hidden) :]) for heads in teachers_heads]

    class Matched(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name=student.name)
            self.inside = here
            self.projections = {}
            for index, (a, b) in enumerate(zip(wanted, given, strict=True)):
                if a[-1] != b[-1]:
                    self.projections[str(index)] = keras.layers.Dense(a[-1], use_bias=False)
                    self.projections[str(index)].build(b)

        def call(self, inputs: Any, training: bool = False) -> Any:
            answer, *values = self.inside(inputs, training=training)
            if training:
                sought_layers, sought_heads = watch(inputs)
                for index, (a, b) in enumerate(zip(sought_layers, values[: len(hidden)], strict=True)):
                    project = self.projections.get(str(index))
                    self.add_loss(hidden_weight * _apart(a, b if project is None else project(b)))
                for a, heads in zip(sought_heads, students_heads, strict=True):
                    b = heads(values[len(hidden) :])
                    if a.shape[1] != b.shape[1]:
                        a, b = tf.reduce_mean(a, 1), tf.reduce_mean(b, 1)
                    self.add_loss(attention_weight * _apart(a, b))
            return answer

    return Matched()


def _apart(a: Any, b: Any) -> Any:
    import tensorflow as tf

    a, b = (tf.cast(tensor, tf.float32) for tensor in (tf.stop_gradient(a), b))
    return tf.reduce_mean(tf.math.squared_difference(a, b))


def _insides(model: Any, hidden: list[str], attention: list[str], whose: str) -> tuple[Any, list[Heads]]:
    """The same layers with more outputs: the answer, the hidden layers, and what goes into the attention layers; and
    for each of those what makes its probabilities (batch, heads, query, key) of these inputs.
    """
    import keras

    functional = getattr(model, "_functional", None) or model
    if not hasattr(functional, "_inputs_struct"):
        raise ModelError(f"The {whose} {model.name} is subclassed, so its layers cannot be matched: leave them out.")
    outputs = [functional.outputs[0], *(_node(functional, name, whose).outputs[0] for name in hidden)]
    nodes = [_node(functional, name, whose) for name in attention]
    for node in nodes:
        if not isinstance(node.operation, keras.layers.MultiHeadAttention):
            kind = type(node.operation).__name__
            raise ModelError(f"Layer {node.operation.name} of the {whose} is a {kind}, not attention.")
    entrances = [tensor for node in nodes for tensor in node.input_tensors]
    return keras.Model(functional._inputs_struct, [*outputs, *entrances]), [_heads(node, entrances) for node in nodes]


def _heads(node: Any, entrances: list[Any]) -> Heads:
    """Keras takes no second call with more outputs into a model, so the layer is called beside it."""

    def heads(values: list[Any]) -> Any:
        arguments, named = node.arguments.fill_in({id(t): v for t, v in zip(entrances, values, strict=True)})
        return node.operation(*arguments, **{**named, "return_attention_scores": True})[1]

    return heads


def _node(functional: Any, name: str, whose: str) -> Any:
    for nodes in functional._nodes_by_depth.values():
        for node in nodes:
            if node.operation.name == name:
                return node
    names = ", ".join(layer.name for layer in functional.layers)
    raise ModelError(f"The {whose} has no layer {name!r}: its layers are {names}.")
