"""The second half of a conversion: lower, check against the target, compare with Keras, choose golden samples."""

from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

from edgewright_runtime import __version__
from edgewright_runtime.errors import EdgewrightError, InputError

from . import check
from .cost import Cost, cost_of
from .errors import ConversionError
from .export import Frozen
from .job import Finished, Prepared, Request, Steps
from .lower import check_runnable, lower
from .outcome import Outcome
from .passes.quantize import Quantize
from .weights.gains import COUNTED, with_gains


def finish(prepared: Prepared, request: Request, steps: Steps) -> Finished:
    """Raises ConversionError where the model cannot be lowered, cannot run on the target, or answers otherwise."""
    frozen, fitted, quantize = prepared.frozen, prepared.fitted, request.recipe.quantize
    steps.begin("convert")
    lowered = lower(frozen, quantize, fitted.calibration, request.target, request.recipe.sparse)
    model = lowered.model
    flatbuffer = check_runnable(model, request.target)
    limit = request.recipe.budget.size_bytes
    if limit is not None and len(model) > limit:
        raise ConversionError(
            f"The flatbuffer has {len(model)} bytes, the recipe's budget is {limit}: use a smaller model or recipe."
        )
    steps.begin("compare")
    outcomes = _with_costs(prepared, request)
    names = tuple(spec.name for spec in frozen.inputs)
    accuracy = None
    with check.engine_for(model) as engine:
        apart = check.difference(engine, names, fitted.probes, prepared.reference)
        if quantize.mode == "float32" and apart > check.FLOAT_LIMIT:
            raise ConversionError(
                f"The flatbuffer's answers differ from Keras' by {apart:.2g}, at most {check.FLOAT_LIMIT} is accepted: "
                "look for a layer that draws random numbers, or for sizes that depend on the values."
            )
        if fitted.truth is not None:
            accuracy = check.accuracy(engine, names, fitted.test, fitted.truth, steps.advance)
        _keep_accuracy(prepared.accuracy_given, accuracy, request.recipe.budget.accuracy_drop)
        golden = check.golden(model, engine, names, fitted.probes, quantize.mode)
        inputs, outputs = engine.inputs, engine.outputs
    outcome = Outcome(
        use=quantize.use,
        options={"form": frozen.form, **asdict(quantize)},
        weight_bytes_before=prepared.weight_bytes,
        weight_bytes_after=sum(size for purpose, size in flatbuffer.breakdown.items() if purpose.startswith("weights")),
        accuracy_before=prepared.accuracy,
        accuracy_after=accuracy,
        skipped=lowered.skipped,
        layers=lowered.table.rows,
        hints=lowered.table.hints,
    )
    return Finished(
        model=model,
        min_runtime=flatbuffer.min_runtime,
        inputs=inputs,
        outputs=outputs,
        golden=golden,
        difference=apart,
        outcomes=(*outcomes, outcome),
        versions=_versions(),
        encoder=None if prepared.encoder is None else finish(prepared.encoder, request, steps),
        seconds=steps.end(),
    )


def _with_costs(prepared: Prepared, request: Request) -> tuple[Outcome, ...]:
    """Each pass with what the model cost before and after it, as a float32 flatbuffer on this machine.

    A pass that leaves the number of parameters alone, and makes none of them equal, leaves the cost alone. From
    the pass on that asks for sparse tensors, zeros are stored as those.
    """
    found: list[Outcome] = []
    sparse = False
    cost = _cost(prepared.states[0], prepared, request) if prepared.outcomes else None
    for outcome, state in zip(prepared.outcomes, prepared.states[1:], strict=True):
        before = cost
        changed = outcome.parameters_after != outcome.parameters_before or outcome.use in COUNTED
        if changed and not outcome.rolled_back:
            sparse = sparse or (request.recipe.sparse and bool(outcome.options.get("sparse")))
            cost = _cost(state, prepared, request, sparse)
        values: dict[str, Any] = {}
        for when, one in (("before", before), ("after", cost)):
            if one is not None:
                values |= {f"macs_{when}": one.macs, f"latency_us_{when}": one.latency_us}
                values |= {f"float_bytes_{when}": one.size_bytes, f"compressed_bytes_{when}": one.compressed_bytes}
        found.append(with_gains(replace(outcome, **values)))
    return tuple(found)


def _cost(state: Frozen, prepared: Prepared, request: Request, sparse: bool = False) -> Cost | None:
    """None where only a later pass makes it runnable."""
    try:
        model = lower(state, Quantize("float32"), (), request.target, sparse).model
        probes = (prepared.whole or prepared.fitted).probes
        return cost_of(model, tuple(spec.name for spec in state.inputs), probes)
    except EdgewrightError:
        return None


def _keep_accuracy(given: float | None, accuracy: float | None, allowed: float | None) -> None:
    """Raises InputError where the budget cannot be judged, ConversionError where it is broken."""
    if allowed is None:
        return
    if given is None or accuracy is None:
        raise InputError("The budget accuracy_drop needs labelled test samples: give x_test and y_test (--data).")
    if given - accuracy > allowed / 100:
        raise ConversionError(
            f"The flatbuffer's accuracy is {accuracy:.4f}, the given model's {given:.4f}: "
            f"{(given - accuracy) * 100:.2f} points less, "
            f"the recipe's budget is {allowed:g}: quantize less, or allow more (accuracy_drop)."
        )


def _versions() -> dict[str, str]:
    import keras
    import tensorflow as tf

    return {
        "ai-edge-litert": version("ai-edge-litert"),
        "edgewright": __version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
    }
