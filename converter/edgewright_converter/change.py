"""Folds a recipe's passes over the live Keras model, before it is traced."""

from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgewright_runtime.errors import InputError, storage_errors

from .checkpoint_key import keys_of
from .data import Array, Dataset
from .errors import ModelError
from .export import Frozen, freeze
from .fitting import InputSpec, fit_heads, fit_inputs, fit_labels
from .interface import interface_of
from .job import Request, Steps
from .outcome import Outcome
from .passes.base import Context, Samples, Score
from .passes.training import strategy_scope, worker_of
from .recipe import Recipe


def scope(recipe: Recipe) -> Any:
    """Of the tf.distribute strategy that a pass asks for: a model's variables have to be made inside of it."""
    name = _strategy(recipe)
    return strategy_scope(name) if name else nullcontext()


def _strategy(recipe: Recipe) -> str:
    return next((name for name in (getattr(p, "strategy", "") for p in recipe.model_passes) if name), "")


@dataclass(frozen=True)
class Changed:
    """The model after all passes and what each did. states: the model before the first pass and after each, traced.

    first: of the given model, where the recipe has a budget for it.
    """

    model: Any
    outcomes: tuple[Outcome, ...]
    states: tuple[Frozen, ...]
    first: Score


def change(model: Any, data: Dataset, request: Request, steps: Steps, undo: ExitStack) -> Changed:
    """Apply the passes in their order. undo: gets what gives a live model back as it was.

    A pass after which the accuracy is further below that of the first model than the recipe allows is taken back, and
    its outcome says so. Raises ModelError for a SavedModel, and where a pass that trains gets no samples.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise ModelError("The layers of a SavedModel cannot be changed or trained: give the .keras file instead.")
    undo.callback(_restore, _values(model))
    allowed = request.recipe.budget.accuracy_drop
    outcomes: list[Outcome] = []
    with TemporaryDirectory(prefix="edgewright-passes-") as name:
        folders = [Path(name) / str(index) for index, _ in enumerate(request.recipe.model_passes)]
        if request.checkpoints is not None:
            worker = worker_of(_strategy(request.recipe))  # each has a state of its own, in a folder that all may share
            own_keys = [f"{key}-worker-{worker}" if worker else key for key in keys_of(model, data, request)]
            folders = [Path(request.checkpoints) / key for key in own_keys]
        context, frozen = _context(model, data, request, steps, undo)
        first = context.score(model) if allowed is not None else Score()
        if allowed is not None and first.accuracy is None:
            raise InputError("The budget accuracy_drop needs labelled test samples: give x_test and y_test (--data).")
        states = [frozen]
        for step, folder in zip(request.recipe.model_passes, folders, strict=True):
            steps.begin(step.use)
            if step.needs_data and not len(context.train):
                raise ModelError(f"The pass {step.use} trains the model, and the data has no x_train: give some.")
            with storage_errors(f"write checkpoints into {folder}"):
                folder.mkdir(parents=True, exist_ok=True)
            own = ExitStack()
            before = _values(model) if allowed is not None else []
            try:
                other, outcome = step.apply(model, replace(context, folder=folder, undo=own, trainings=count()))
                other_context, frozen = _context(other, data, request, steps, undo)
                _refuse_other_signature(states[0], frozen, step.use)
            except BaseException:
                own.close()
                raise
            after = outcome.accuracy_after
            if after is None and allowed is not None:  # the pass did not measure it
                after = other_context.score(other).accuracy
            outcome = replace(outcome, parameters_before=model.count_params(), parameters_after=other.count_params())
            lost = 0.0 if first.accuracy is None or after is None else first.accuracy - after
            if allowed is not None and lost > allowed / 100:
                own.close()
                _restore(before)
                reason = f"accuracy fell by {lost * 100:.2f} points, the recipe's budget is {allowed:g}"
                outcomes.append(replace(outcome, rolled_back=reason))
                states.append(states[-1])
                continue
            undo.enter_context(own.pop_all())
            model, context = other, other_context
            outcomes.append(outcome)
            states.append(frozen)
    return Changed(model, tuple(outcomes), tuple(states), first)


def _context(model: Any, data: Dataset, request: Request, steps: Steps, undo: ExitStack) -> tuple[Context, Frozen]:
    """What the passes are told about this model: each may have put another one in its place."""
    interface = interface_of(model, request.batch, request.shapes, data)
    frozen = freeze(model, interface, "float32", request.target)
    inputs = frozen.inputs
    train = _samples(data.x_train, data.y_train, inputs, frozen.classes, "train")
    context = Context(
        interface=replace(interface, inputs=inputs),
        train=replace(train, heads=fit_heads(data.heads, len(train), frozen.outputs, frozen.widths)),
        test=_samples(data.x_test, data.y_test, inputs, frozen.classes, "test"),
        unlabelled=fit_inputs(data.x_unlabelled, inputs, "x_unlabelled"),
        pipeline=data.pipeline,
        quantize=request.recipe.quantize,
        target=request.target,
        seed=request.seed,
        folder=Path(),  # of each pass its own
        report=steps.advance,
        undo=undo,
        trust=request.trust,
        outputs=frozen.outputs,
        widths=frozen.widths,
    )
    return context, frozen


def _refuse_other_signature(before: Frozen, after: Frozen, use: str) -> None:
    """Whoever calls the model must not notice. Raises ModelError."""
    was, now = (({(i.name, i.shape, i.dtype) for i in f.inputs}, f.outputs) for f in (before, after))
    if was != now:
        told = [", ".join(f"{n} {d} {s[1:]}" for n, s, d in sorted(i)) + " → " + ", ".join(o) for i, o in (was, now)]
        raise ModelError(
            f"After the pass {use} the model is {told[1]}, before it {told[0]}: "
            "give the student the same names, shapes and dtypes."
        )


def _values(model: Any) -> list[tuple[Any, Array]]:
    return [(variable, variable.numpy()) for variable in model.variables]


def _restore(values: list[tuple[Any, Array]]) -> None:
    for variable, value in values:
        variable.assign(value)


def _samples(
    x: dict[str, Array], y: Array | None, inputs: tuple[InputSpec, ...], classes: int | None, part: str
) -> Samples:
    arrays = fit_inputs(x, inputs, f"x_{part}")
    return Samples(arrays, y, fit_labels(y, len(arrays[0]) if arrays else 0, classes, f"y_{part}"))
