"""The second half of a conversion: lower, check against the target, compare with Keras, choose golden samples."""

from importlib.metadata import version

from edgewright_runtime import __version__

from . import check
from .errors import ConversionError
from .job import Finished, Prepared, Request, Steps
from .lower import check_runnable, lower
from .outcome import Outcome
from .passes.quantize import left_float, refuse_broken_scales


def finish(prepared: Prepared, request: Request, steps: Steps) -> Finished:
    """Raises ConversionError where the model cannot be lowered, cannot run on the target, or answers otherwise."""
    frozen, fitted, quantize = prepared.frozen, prepared.fitted, request.recipe.quantize
    steps.begin("convert")
    model = lower(frozen, quantize, fitted.calibration, request.target, request.recipe.sparse)
    flatbuffer = check_runnable(model, request.target)
    refuse_broken_scales(flatbuffer)
    limit = request.recipe.budget.size_bytes
    if limit is not None and len(model) > limit:
        raise ConversionError(
            f"The flatbuffer has {len(model)} bytes, the recipe's budget is {limit}: use a smaller model or recipe."
        )
    steps.begin("compare")
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
        golden = check.golden(model, engine, names, fitted.probes, quantize.mode)
        inputs, outputs = engine.inputs, engine.outputs
    outcome = Outcome(
        use=quantize.use,
        options={"mode": quantize.mode, "border": quantize.border},
        weight_bytes_before=prepared.weight_bytes,
        weight_bytes_after=sum(size for purpose, size in flatbuffer.breakdown.items() if purpose.startswith("weights")),
        accuracy_before=prepared.accuracy,
        accuracy_after=accuracy,
        skipped=left_float(flatbuffer, quantize.mode),
    )
    return Finished(
        model=model,
        min_runtime=flatbuffer.min_runtime,
        inputs=inputs,
        outputs=outputs,
        golden=golden,
        difference=apart,
        outcomes=(*prepared.outcomes, outcome),
        versions=_versions(),
        seconds=steps.end(),
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
