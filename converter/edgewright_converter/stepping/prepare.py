"""States to quantize and to compare with, and the check that the steps of a model answer as the whole of it does."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..data import Array, Dataset
from ..errors import ModelError
from ..fitting import CALIBRATION_SAMPLES, PROBE_SAMPLES, Fitted, InputSpec, fit_inputs
from ..interface import Interface
from .step import Stepper

_TEXTS = 16  # that are read side by side, to take states from
_EARLY = PROBE_SAMPLES // 2  # probes from the first tokens of a text, whose caches are nearly empty
_CALIBRATION_BYTES = 1 << 28
_LIMIT = 1e-4  # of max |steps - whole| / max(1, max |whole|)


@dataclass(frozen=True)
class Part:
    """A graph of its own, and what fits it."""

    interface: Interface
    fitted: Fitted


def parts(model: Any, whole: Interface, data: Dataset, integers: bool, seed: int) -> tuple[Part, Part | None]:
    """One step of the model; and of a translator what reads its source. whole: the model's own interface.

    integers: whether attention is for an integer mode. Raises ModelError where the model cannot take steps or answers
    otherwise when it does, InputError where the data does not fit it.
    """
    stepper = Stepper(model, integers)
    texts = _texts(whole, data, model.outputs[0].shape[-1], seed)
    reader = None
    memory: dict[str, Array] = {}
    if stepper.source_length is not None:
        reader = Part(_reading(stepper, whole), _fitted_source(texts[0]))
        memory = _numpy(stepper.read(_tensor(texts[0])))
    step = _stepping(stepper, whole)
    return Part(step, _take_steps(stepper, step, texts, memory, np.random.default_rng(seed))), reader


def _texts(whole: Interface, data: Dataset, vocabulary: int, seed: int) -> tuple[Array, ...]:
    """(texts, length) int32 for each input, from the data where there is some."""
    rng = np.random.default_rng(seed)
    inputs = tuple(replace(spec, ids=vocabulary) for spec in whole.inputs)
    given = fit_inputs(data.x_train or data.x_test, inputs, "x_train" if data.x_train else "x_test")
    if not given:
        return tuple(rng.integers(1, vocabulary, (_TEXTS, spec.shape[1])).astype(np.int32) for spec in inputs)
    rows = np.resize(rng.permutation(len(given[0]))[:_TEXTS], _TEXTS)
    return tuple(array[rows].astype(np.int32) for array in given)


def _take_steps(
    stepper: Stepper, step: Interface, texts: tuple[Array, ...], memory: Mapping[str, Array], rng: np.random.Generator
) -> Fitted:
    """Walk along the texts, side by side, and keep what some of the steps are given."""
    import tensorflow as tf

    target = texts[-1]
    whole = np.asarray(stepper.model([*map(_tensor, texts)] if len(texts) > 1 else _tensor(target), training=False))
    if (whole >= 0).all() and np.allclose(whole.sum(-1), 1, atol=1e-3):
        stepper.output = "probabilities"
    each = whole.ndim == 3  # or only of the last token
    lengths = np.maximum((target != 0).sum(1), 1) if each else np.full(len(target), stepper.length)
    picks = _picks(lengths, _count(step), rng)
    names = [spec.name for spec in step.inputs]
    compiled = tf.function(lambda *tensors: dict(step.call(list(tensors))), autograph=False)
    states = {name: np.zeros((len(target), *shape), np.float32) for name, shape in stepper.states.items()}
    kept: dict[tuple[int, int], list[Array]] = {}
    apart = 0.0
    for time in range(int(lengths.max())):
        given = {"token": target[:, time : time + 1], "position": np.full((len(target), 1), time, np.int32)}
        given = {**given, **memory, **states}
        kept |= {(row, time): [given[name][row].copy() for name in names] for row in picks.get(time, ())}
        answer = _numpy(compiled(*(tf.constant(given[name]) for name in names)))
        if each or time == stepper.length - 1:
            wanted = whole[:, time] if each else whole
            apart = max(apart, float(np.abs(answer[stepper.output] - wanted)[time < lengths].max(initial=0.0)))
        for name, state in states.items():
            if answer[name].shape == state.shape:
                states[name] = answer[name]
            else:
                state[:, :, time : time + 1] = answer[name]
    apart /= max(1.0, float(np.abs(whole).max()))
    if not apart <= _LIMIT:
        raise ModelError(
            f"Token by token the model answers otherwise than at once (difference {apart:.2g}): one of its layers "
            "looks at later tokens, or sees padding through a mask (mask_zero): build it of causal layers, without "
            "masks."
        )
    chosen = [kept[pick] for pick in sorted(kept, key=lambda pick: (pick[1], pick[0]))]
    probes = _early_and_late(chosen)
    return Fitted(_stack(chosen), _stack(probes))


def _picks(lengths: Array, count: int, rng: np.random.Generator) -> dict[int, list[int]]:
    """Which texts' steps are kept, by time: the first few of one, and a random choice of all."""
    pairs = [(row, time) for row, length in enumerate(lengths) for time in range(length)]
    longest = int(lengths.argmax())
    chosen = {pairs[index] for index in rng.permutation(len(pairs))[:count]}
    chosen |= {(longest, time) for time in range(min(_EARLY, int(lengths.max())))}
    picks: dict[int, list[int]] = {}
    for row, time in sorted(chosen):
        picks.setdefault(time, []).append(row)
    return picks


def _early_and_late(steps: list[list[Array]]) -> list[list[Array]]:
    """The probes: golden samples are the first of them, and an empty cache takes no place in a bundle."""
    late = [steps[index] for index in np.linspace(_EARLY, len(steps) - 1, PROBE_SAMPLES - _EARLY).astype(int)]
    return [*steps[:_EARLY], *late] if len(steps) > _EARLY else steps


def _count(step: Interface) -> int:
    size = sum(4 * int(np.prod(spec.shape)) for spec in step.inputs)
    return max(PROBE_SAMPLES, min(CALIBRATION_SAMPLES, _CALIBRATION_BYTES // size))


def _stack(steps: list[list[Array]]) -> tuple[Array, ...]:
    return tuple(np.stack(arrays) for arrays in zip(*steps, strict=True))


def _fitted_source(source: Array) -> Fitted:
    return Fitted((source,), (source,))


def _stepping(stepper: Stepper, whole: Interface) -> Interface:
    inputs = [InputSpec("token", (1, 1), "int32")]
    if stepper.context:
        inputs.append(InputSpec("position", (1, 1), "int32"))
    shapes = {**stepper.memory, **stepper.states}
    inputs += [InputSpec(name, (1, *shape), "float32") for name, shape in shapes.items()]
    names = [spec.name for spec in inputs]

    def call(tensors: list[Any]) -> list[tuple[str, Any]]:
        given = dict(zip(names, tensors, strict=True))
        token = given.pop("token")
        position = given.pop("position", None)
        answer = stepper.step(token, token * 0 if position is None else position, given, given)
        return list(answer.items())

    return Interface(tuple(inputs), call, whole.weight_bytes, True, lambda tensors: tensors)


def _reading(stepper: Stepper, whole: Interface) -> Interface:
    inputs = (InputSpec("source", (1, stepper.source_length or 0), "int32"),)
    return Interface(inputs, lambda t: list(stepper.read(t[0]).items()), 0, True, lambda tensors: tensors)


def _tensor(array: Array) -> Any:
    import tensorflow as tf

    return tf.constant(array, "int32")


def _numpy(tensors: Mapping[str, Any]) -> dict[str, Array]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}
