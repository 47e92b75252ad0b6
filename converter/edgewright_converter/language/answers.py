"""What Keras answers to the samples that a device is asked: the reference of an evaluation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..data import Array, Dataset

Progress = Callable[[str, float], None]


def keras_answers(
    source: str | Path,
    inputs: dict[str, Array],
    *,
    trust: bool = False,
    timeout_s: float = 3600.0,
    progress: Progress = lambda step, fraction: None,
) -> dict[str, Array]:
    """For each output, by name, (n, …) real numbers, computed in a process of its own.

    source: as ``convert`` takes a model; inputs: by name, (n, *shape without the batch); a single one goes to a single
    input, whatever that is called. Raises InputError, ModelError, ConversionError.
    """
    from ..isolation import run_isolated
    from ..load import kind_of

    kind_of(source)
    arguments = (str(source), inputs, trust)
    answers: dict[str, Array] = run_isolated(_answer_in_child, arguments, timeout_s, progress, "evaluation in Keras")
    return answers


def _answer_in_child(source: str, inputs: dict[str, Array], trust: bool, tell: Progress) -> dict[str, Array]:
    import contextlib

    import keras

    from ..fitting import PROBE_SAMPLES, fit_inputs
    from ..front import ask, batch_for_keras
    from ..interface import interface_of
    from ..load import load_model
    from ..plain import full_precision

    tell("load the model", 0.0)
    model: Any = load_model(source, trust)
    with full_precision(model) if isinstance(model, keras.Model) else contextlib.nullcontext():
        data = Dataset(x_test={"": next(iter(inputs.values()))} if len(inputs) == 1 else inputs)
        interface = interface_of(model, 1, {}, data)
        samples = fit_inputs(data.x_test, interface.inputs, "x")
        tell("ask Keras", 0.3)
        return ask(interface, samples, batch_for_keras(interface, tuple(x[:PROBE_SAMPLES] for x in samples), 1))
