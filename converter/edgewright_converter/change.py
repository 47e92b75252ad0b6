"""Folds a recipe's passes over the live Keras model, before it is traced."""

from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .data import Array, Dataset
from .errors import ModelError
from .fitting import InputSpec, fit_inputs, fit_labels
from .interface import interface_of
from .job import Request, Steps
from .outcome import Outcome
from .passes.base import Context, Samples
from .passes.training import strategy_scope
from .recipe import Recipe


def scope(recipe: Recipe) -> Any:
    """Of the tf.distribute strategy that a pass asks for: a model's variables have to be made inside of it."""
    names = [name for name in (getattr(p, "strategy", "") for p in recipe.model_passes) if name]
    return strategy_scope(names[0]) if names else nullcontext()


def change(
    model: Any, data: Dataset, request: Request, steps: Steps, undo: ExitStack
) -> tuple[Any, tuple[Outcome, ...]]:
    """The model after all passes, and what each did. undo: gets what gives a live model back as it was.

    Raises ModelError for a SavedModel, and where a pass that trains gets no samples.
    """
    import keras
    import tensorflow as tf

    passes = request.recipe.model_passes
    if not isinstance(model, keras.Model):
        raise ModelError("The layers of a SavedModel cannot be changed or trained: give the .keras file instead.")
    interface = interface_of(model, request.batch, request.shapes, data)
    weights = [(variable, variable.numpy()) for variable in model.variables]
    undo.callback(lambda: [variable.assign(value) for variable, value in weights])
    inputs = interface.inputs
    few = [x[:1] for x in fit_inputs(data.x_train or data.x_test, inputs, "x_train")]
    (_, output), *others = interface.call([tf.repeat(tf.constant(x), request.batch, axis=0) for x in few])
    classes = output.shape[-1] if not others and len(output.shape) > 1 else None
    outcomes = []
    with TemporaryDirectory(prefix="edgewright-passes-") as folder:
        context = Context(
            interface=interface,
            train=_samples(data.x_train, data.y_train, inputs, classes, "train"),
            test=_samples(data.x_test, data.y_test, inputs, classes, "test"),
            pipeline=data.pipeline,
            quantize=request.recipe.quantize,
            target=request.target,
            seed=request.seed,
            folder=Path(folder),
            report=steps.advance,
            undo=undo,
        )
        for step in passes:
            steps.begin(step.use)
            if step.needs_data and not len(context.train):
                raise ModelError(f"The pass {step.use} trains the model, and the data has no x_train: give some.")
            own = context.folder / step.use
            own.mkdir()
            model, outcome = step.apply(model, replace(context, folder=own))
            outcomes.append(outcome)
    return model, tuple(outcomes)


def _samples(
    x: dict[str, Array], y: Array | None, inputs: tuple[InputSpec, ...], classes: int | None, part: str
) -> Samples:
    arrays = fit_inputs(x, inputs, f"x_{part}")
    return Samples(arrays, y, fit_labels(y, len(arrays[0]) if arrays else 0, classes, f"y_{part}"))
