"""A walk along the model's graph that does one step, and for a second input the part that is done once before."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ModelError
from ..structure.graph import walk
from . import rules
from .rules import State

_READ = object()  # stands for what a source gave: the step finds it in its memory
_LATER = object()  # stands for what depends on the tokens of the target


@dataclass
class Stepper:
    """A causal model: ids (batch, length) to scores for what comes next, (batch, length, vocabulary); or with a source,
    the first of two inputs, a translator. It says how its layers are connected.

    integers: whether attention is for an integer mode. Raises ModelError where a layer has no form for one token.
    """

    model: Any
    integers: bool = False
    states: dict[str, tuple[int, ...]] = field(default_factory=dict)  # shapes by name, without the batch
    memory: dict[str, tuple[int, ...]] = field(default_factory=dict)
    context: int = 0  # how many tokens the caches hold; 0: there is no cache, and no end
    output: str = "logits"

    def __post_init__(self) -> None:
        import tensorflow as tf

        self._graph = getattr(self.model, "_functional", None) or self.model
        inputs = self._graph.inputs
        translates = len(inputs) == 2
        if len(inputs) not in (1, 2) or any(len(t.shape) != 2 or "int" not in t.dtype for t in inputs):
            raise ModelError(
                f"Model {self.model.name} does not take token ids (batch, length) alone, or a source and a target of "
                "those: expected a causal model, or a translator."
            )
        if len(self._graph.outputs) != 1:
            raise ModelError(f"Model {self.model.name} has {len(self._graph.outputs)} outputs: expected one of scores.")
        self.length = inputs[-1].shape[1]
        self.source_length = inputs[0].shape[1] if translates else None
        if None in (self.length, *(t.shape[1] for t in inputs)):
            raise ModelError(f"Model {self.model.name} takes texts of any length: fix it with keras.Input((length,)).")
        self._crossings: dict[tuple[int, str], str] = {}  # (number of the operation, argument) → name in memory
        memory = self.read(tf.ones((1, self.source_length), "int32")) if translates else {}
        self.memory = {name: tuple(value.shape[1:]) for name, value in memory.items()}
        state = self._state(tf.zeros((1, 1), "int32"), {})
        scores = self._walk(tf.ones((1, 1), "int32"), state, memory)
        self.states = state.shapes
        self.context = self.length if state.bounded else 0
        if len(scores.shape) not in (2, 3):
            raise ModelError(f"Model {self.model.name} answers {tuple(scores.shape)}: expected scores of each token.")

    def read(self, source: Any) -> dict[str, Any]:
        """The part of a translator that depends on its source alone, by name. source: (batch, length) int32."""
        import keras
        import tensorflow as tf

        found: list[Any] = []
        number = 0

        def visit(operation: Any, args: Any, kwargs: Any, outputs: Any) -> list[Any]:
            nonlocal number
            number += 1
            leaves = keras.tree.flatten([args, kwargs])
            if not any(leaf is _LATER for leaf in leaves):
                return list(keras.tree.flatten(operation(*args, **_inference(operation, kwargs))))
            crossing: dict[str, Any] = {}
            if _is_attention(operation) and any(_is_tensor(leaf) for leaf in leaves):
                crossing = rules.remember(operation, args, kwargs)
            elif any(_is_tensor(leaf) for leaf in leaves):
                crossing = {str(index): leaf for index, leaf in enumerate(leaves) if _is_tensor(leaf)}
            for argument, value in crossing.items():
                index = next((i for i, other in enumerate(found) if other is value), len(found))
                self._crossings[number, argument] = f"memory_{index}"
                found[index:] = found[index:] or [value]
            return [_LATER] * len(outputs)

        walk(self._graph, [source, _LATER], visit)
        return {
            f"memory_{index}": tf.cast(value, "float32") if value.dtype == "bool" else value
            for index, value in enumerate(found)
        }

    def step(self, token: Any, position: Any, states: Mapping[str, Any], memory: Mapping[str, Any]) -> dict[str, Any]:
        """token, position: (batch, 1) int32. Returns the scores (batch, vocabulary) and the states by name."""
        state = self._state(position, states)
        scores = self._walk(token, state, memory)
        return {self.output: scores if len(scores.shape) == 2 else scores[:, 0], **state.found}

    def _state(self, position: Any, given: Mapping[str, Any]) -> State:
        return State(position, self.length, self.integers, given, {}, {})

    def _walk(self, token: Any, state: State, memory: Mapping[str, Any]) -> Any:
        import keras

        number = 0

        def visit(operation: Any, args: Any, kwargs: Any, outputs: Any) -> list[Any]:
            nonlocal number
            number += 1
            leaves = keras.tree.flatten([args, kwargs])
            if any(leaf is _READ for leaf in leaves):
                if not any(_is_tensor(leaf) for leaf in leaves):
                    return [_READ] * len(outputs)
                crossing = {a: memory[name] for (n, a), name in self._crossings.items() if n == number}
                if _is_attention(operation):
                    query = kwargs.get("query", args[0] if args else None)
                    return [rules.attend_to(operation, state, query, crossing)]
                filled = [crossing[str(index)] if leaf is _READ else leaf for index, leaf in enumerate(leaves)]
                args, kwargs = keras.tree.pack_sequence_as([args, kwargs], filled)
            rule = rules.rule_of(operation)
            if rule is not None:
                return [rule(operation, state, args, kwargs)]
            return list(keras.tree.flatten(operation(*args, **_inference(operation, kwargs))))

        sources = [] if self.source_length is None else [_READ]
        (scores,) = walk(self._graph, [*sources, token], visit)
        return scores


def _is_tensor(leaf: Any) -> bool:
    import tensorflow as tf

    return bool(tf.is_tensor(leaf))


def _is_attention(operation: Any) -> bool:
    import keras

    return isinstance(operation, keras.layers.MultiHeadAttention | keras.layers.GroupQueryAttention)


def _inference(operation: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Layers that behave otherwise in training are told that this is none."""
    return {**kwargs, "training": False} if getattr(operation, "_call_has_training_arg", False) else kwargs
