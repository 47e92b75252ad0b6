"""One token at a time through a graph that carries its state: inputs and outputs of the same name are the state.

Where both have the same shape, the output is the next step's input. Where they differ, along one axis, the input is a
cache of rows and the output the new row, which belongs at the position of its token.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

import numpy as np

from ..border import from_border, to_border
from ..bundle import Bundle
from ..engines import Array, Engine
from ..errors import InputError
from ..manifest import TensorSpec

SCORES = ("logits", "probabilities")


class Saved(NamedTuple):
    """A place in a text. arrays: of the state by name, of caches the rows so far; scores: for the token after it."""

    position: int
    scores: Optional[Array]
    arrays: dict[str, Array]


class Stepper:
    """The state at a place in a text. position: how many tokens were read; steps: how often the model was invoked.

    context: how many tokens the model can look back on, None where there is no end; vocabulary: how many it scores.
    Raises InputError where the model is none that takes steps.
    """

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self._engine = engine
        self._inputs = {spec.name: index for index, spec in enumerate(engine.inputs)}
        outputs = {spec.name: index for index, spec in enumerate(engine.outputs)}
        found = [name for name in SCORES if name in outputs]
        if not found or "token" not in self._inputs:
            raise InputError(
                f"The model {bundle.manifest.name} does not take one token at a time: convert it with --task generate."
            )
        self._scores = found[0]
        self._scores_at = outputs[found[0]]
        self.vocabulary = engine.outputs[self._scores_at].shape[-1]
        self._state = [(self._inputs[name], index) for name, index in outputs.items() if name in self._inputs]
        self._axes = {source: _axis(engine.inputs[source], engine.outputs[index]) for source, index in self._state}
        sizes = [engine.inputs[source].shape[axis] for source, axis in self._axes.items() if axis is not None]
        self.context = min(sizes) if sizes else None
        self._arrays = [_zeros(spec) for spec in engine.inputs]
        self.position = self.steps = 0
        self.scores: Optional[Array] = None

    def begin(self, memory: Optional[Mapping[str, Array]] = None) -> None:
        """Go to the beginning of a text. memory: what the whole of it refers to, by input, in real numbers."""
        for source in self._axes:
            self._arrays[source] = _zeros(self._engine.inputs[source])
        for name, array in (memory or {}).items():
            index = self._inputs[name]
            self._arrays[index] = to_border(array, self._engine.inputs[index])
        self.position, self.scores = 0, None

    def read(self, tokens: Iterable[int]) -> None:
        """Take these tokens. Raises InputError where the context is full, EngineError where the model fails."""
        for token in tokens:
            if self.context is not None and self.position >= self.context:
                raise InputError(f"The model looks back on {self.context} tokens, these are more: shorten the text.")
            arrays, inputs = self._arrays, self._inputs
            arrays[inputs["token"]][...] = token
            if "position" in inputs:
                arrays[inputs["position"]][...] = self.position
            answers = self._engine.invoke(arrays)
            self.steps += 1
            for source, index in self._state:
                new = self._carried(answers[index], self._engine.outputs[index], self._engine.inputs[source])
                axis = self._axes[source]
                if axis is None:
                    arrays[source] = new
                else:
                    arrays[source][(slice(None),) * axis + (self.position,)] = new.take(0, axis)
            self.position += 1
            self.scores = answers[self._scores_at]

    def log_probabilities(self) -> Array:
        """(vocabulary,) float64: of the token that comes next, after one at least."""
        assert self.scores is not None
        scores = from_border(self.scores, self._engine.outputs[self._scores_at]).astype(np.float64).reshape(-1)
        if self._scores == "probabilities":
            return np.log(np.maximum(scores, 1e-12))
        scores = scores - scores.max()
        answer: Array = scores - np.log(np.exp(scores).sum())
        return answer

    def save(self) -> Saved:
        """This place, to come back to."""
        arrays = {}
        for source, axis in self._axes.items():
            rows = () if axis is None else (slice(None),) * axis + (slice(self.position),)
            arrays[self._engine.inputs[source].name] = self._arrays[source][rows].copy()
        return Saved(self.position, self.scores, arrays)

    def restore(self, saved: Saved) -> None:
        """Come back to a place of the same text or another one; the memory stays."""
        self.begin()  # no row of another text stays behind the position, or answers would depend on it
        for source, axis in self._axes.items():
            rows = () if axis is None else (slice(None),) * axis + (slice(saved.position),)
            self._arrays[source][rows] = saved.arrays[self._engine.inputs[source].name]
        self.position, self.scores = saved.position, saved.scores

    @staticmethod
    def _carried(array: Array, given: TensorSpec, taken: TensorSpec) -> Array:
        """From an output to the input of the next step, which may have another scale."""
        if (given.dtype, given.scale, given.zero_point) == (taken.dtype, taken.scale, taken.zero_point):
            return array
        real = from_border(array, given)
        return to_border(real, taken._replace(shape=real.shape))


def _axis(taken: TensorSpec, given: TensorSpec) -> Optional[int]:
    """Along which a cache has its rows; None for a state that is replaced."""
    differing = [axis for axis, sizes in enumerate(zip(taken.shape, given.shape)) if sizes[0] != sizes[1]]
    return differing[0] if differing else None


def _zeros(spec: TensorSpec) -> Array:
    return np.full(spec.shape, spec.zero_point or 0, spec.dtype)
