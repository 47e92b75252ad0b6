"""Beyond the answers: a student's hidden layers and attention made like its teacher's while it trains.

Hidden layers: mean squared difference, through a learned projection where the widths differ (FitNets, Romero et al.
2015). Attention: mean squared difference of the attention probabilities, head by head where there are equally many,
else of their mean (TinyBERT, Jiao et al. 2020). Both look at the teacher at every step, which costs its forward pass.
"""

from collections.abc import Callable
from typing import Any

from ..errors import ModelError

Pairs = list[tuple[str, str]]


def matched(
    student: Any, teacher: Any, hidden: Pairs, attention: Pairs, hidden_weight: float, attention_weight: float
) -> Any:
    """A model around the student that adds those losses in training. hidden, attention: (teacher's layer, student's).

    The teacher is not a part of it: its weights stay as they are. Raises ModelError for a layer that is not there, or
    whose output has another length.
    """
    import keras
    import tensorflow as tf

    of_teacher = _insides(teacher, [name for name, _ in hidden], [name for name, _ in attention], "teacher")
    of_student = _insides(student, [name for _, name in hidden], [name for _, name in attention], "student")
    wanted = [tensor.shape for tensor in of_teacher.outputs[1 : 1 + len(hidden)]]
    given = [tensor.shape for tensor in of_student.outputs[1 : 1 + len(hidden)]]
    for (there, here), a, b in zip(hidden, wanted, given, strict=True):
        if a[1:-1] != b[1:-1]:
            raise ModelError(f"The hidden layers {there} {a} and {here} {b} differ in more than their last axis.")
    watch: Callable[[Any], Any] = lambda inputs: of_teacher(inputs, training=False)  # noqa: E731  hidden from Keras

    class Matched(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name=student.name)
            self.inside = of_student
            self.projections = {}
            for index, (there, here) in enumerate(zip(wanted, given, strict=True)):
                if there[-1] != here[-1]:
                    self.projections[str(index)] = keras.layers.Dense(there[-1], use_bias=False)
                    self.projections[str(index)].build(here)

        def call(self, inputs: Any, training: bool = False) -> Any:
            answer, *found = self.inside(inputs, training=training)
            if training:
                sought = [tf.stop_gradient(tensor) for tensor in watch(inputs)[1:]]
                for index, (a, b) in enumerate(zip(sought, found, strict=True)):
                    is_hidden = index < len(hidden)
                    if is_hidden and str(index) in self.projections:
                        b = self.projections[str(index)](b)
                    if not is_hidden and a.shape[1] != b.shape[1]:
                        a, b = tf.reduce_mean(a, 1), tf.reduce_mean(b, 1)
                    square = tf.reduce_mean(tf.math.squared_difference(tf.cast(a, "float32"), tf.cast(b, "float32")))
                    self.add_loss(square * (hidden_weight if is_hidden else attention_weight))
            return answer

    return Matched()


def _insides(model: Any, hidden: list[str], attention: list[str], whose: str) -> Any:
    """The same layers with more outputs: the answer, the hidden layers, the attention (batch, heads, query, key)."""
    import keras

    functional = getattr(model, "_functional", None) or model
    if not hasattr(functional, "_inputs_struct"):
        raise ModelError(f"The {whose} {model.name} is subclassed, so its layers cannot be matched: leave them out.")
    outputs = [functional.outputs[0]]
    outputs += [_node(functional, name, whose).outputs[0] for name in hidden]
    for name in attention:
        node = _node(functional, name, whose)
        if not isinstance(node.operation, keras.layers.MultiHeadAttention):
            raise ModelError(f"Layer {name} of the {whose} is a {type(node.operation).__name__}, not attention.")
        named = {**node.arguments.kwargs, "return_attention_scores": True}
        outputs.append(node.operation(*node.arguments.args, **named)[1])
    return keras.Model(functional._inputs_struct, outputs)


def _node(functional: Any, name: str, whose: str) -> Any:
    for nodes in functional._nodes_by_depth.values():
        for node in nodes:
            if node.operation.name == name:
                return node
    names = ", ".join(layer.name for layer in functional.layers)
    raise ModelError(f"The {whose} has no layer {name!r}: its layers are {names}.")
