"""The first half of a conversion, wherever Keras is: load, change, trace, and ask Keras what it answers."""

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError
from edgewright_runtime.text import Tokenizer

from .change import Changed, change, scope
from .data import Array, Dataset, load_data
from .errors import ModelError
from .export import freeze
from .fitting import fit, predicted
from .interface import Interface, interface_of
from .job import Prepared, Request, Steps
from .passes.base import Score
from .plain import full_precision

_MANY = 128  # samples that Keras answers at once


def prepare(model: Any, request: Request, steps: Steps) -> Prepared:
    """model: a live keras.Model, or None to load ``request.source``. Raises what is wrong with the user's files."""
    tokenizer = None if request.tokenizer is None else Tokenizer.from_json(request.tokenizer)
    steps.begin("load the data")
    data = load_data(request.data, tokenizer, list(request.labels) if request.labels else None)
    steps.begin("load the model")
    if model is None:
        from .load import load_model

        assert request.source is not None
        with scope(request.recipe):
            model = load_model(request.source, request.trust, compiled=bool(request.recipe.model_passes))
    import keras

    with ExitStack() as undo:
        changed = Changed(model, (), (), Score())
        if request.recipe.model_passes:
            changed = change(model, data, request, steps, undo)
            model = changed.model
        if isinstance(model, keras.Model):
            undo.enter_context(full_precision(model))
        trace = _trace_steps if request.steps_through else _trace
        prepared = trace(model, data, tokenizer, request, steps)
        given = changed.first.accuracy if changed.outcomes else prepared.accuracy
        return replace(prepared, outcomes=changed.outcomes, states=changed.states, accuracy_given=given)


def _trace(model: Any, data: Dataset, tokenizer: Tokenizer | None, request: Request, steps: Steps) -> Prepared:
    steps.begin("trace the model")
    interface = interface_of(model, request.batch, request.shapes, data)
    frozen = freeze(model, interface, request.recipe.quantize.mode, request.target)
    classes = frozen.classes
    _check_companions(request, tokenizer, frozen.inputs, classes)
    fitted = fit(data, frozen.inputs, classes, request.seed)
    steps.begin("ask Keras")
    batch = batch_for_keras(interface, fitted.probes, request.batch)
    reference = ask(interface, fitted.probes, batch)
    accuracy = None
    if fitted.truth is not None:
        (outputs,) = ask(interface, fitted.test, batch).values()
        accuracy = float((predicted(outputs) == fitted.truth).mean())
    return Prepared(frozen, fitted, reference, accuracy, interface.weight_bytes)


def _trace_steps(model: Any, data: Dataset, tokenizer: Tokenizer | None, request: Request, steps: Steps) -> Prepared:
    """Of a model that generates or translates: the graph of one token, and the one that reads a translator's source."""
    from .stepping.prepare import Part, parts

    steps.begin("trace the model")
    mode = request.recipe.quantize.mode
    check_model(model, request)
    whole = interface_of(model, request.batch, request.shapes, data)
    step, encoder = parts(model, whole, data, mode in ("int8", "int16x8"), request.seed)
    vocabulary = model.outputs[0].shape[-1]
    if tokenizer is not None and tokenizer.size > vocabulary:
        raise InputError(
            f"The tokenizer knows {tokenizer.size} tokens, the model scores {vocabulary}: "
            "give the tokenizer that the model was trained with."
        )

    if tokenizer is not None and encoder is not None:
        length = whole.inputs[0].shape[1]
        if tokenizer.max_length != length or tokenizer.begin_id is None or tokenizer.end_id is None:
            raise InputError(
                f"The tokenizer gives {tokenizer.max_length} ids, the model's source takes {length}: expected as many, "
                "and a begin and an end among the special tokens."
            )

    def traced(part: Part) -> Prepared:
        frozen = freeze(model, part.interface, mode, request.target)
        reference = ask(part.interface, part.fitted.probes, len(part.fitted.probes[0]))
        frozen = replace(frozen, form="")
        return Prepared(frozen, part.fitted, reference, None, part.interface.weight_bytes)

    probes = fit(data, whole.inputs, None, request.seed)
    return replace(traced(step), whole=probes, encoder=None if encoder is None else traced(encoder))


def check_model(model: Any, request: Request) -> None:
    """Raises ModelError or InputError where the model is none for the request's task."""
    from .structure.graph import is_nested

    assert request.task is not None
    kind, inputs = request.task.kind, {"generate": 1, "translate": 2}[request.task.kind]
    if not is_nested(model):
        raise ModelError(
            f"To {kind}, a model says how its layers are connected, which a SavedModel and a subclassed model do not: "
            "give a .keras file of a model that was built with keras.Model(inputs, outputs)."
        )
    if len(model.inputs) != inputs:
        expected = "one input, the text so far" if inputs == 1 else "two inputs, the source and the target so far"
        raise ModelError(f"Model {model.name} has {len(model.inputs)} inputs, a model to {kind} has {expected}.")
    if request.batch != 1 or request.labels is not None:
        raise InputError(f"A model to {kind} takes one text and has no labels: leave --batch and --labels out.")


def batch_for_keras(interface: Interface, probes: tuple[Array, ...], batch: int) -> int:
    """Many samples at once, for eager Keras is slow; but the flatbuffer's own batch where the model takes no other one,
    or where the samples of a batch have to do with each other."""
    few = tuple(x[: 2 * batch] for x in probes)
    if not interface.batched or len(few[0]) == batch:
        return batch
    alone = ask(interface, few, batch)
    try:
        together = ask(interface, few, 2 * batch)
    except Exception:  # whatever a model raises that was written for one batch
        return batch
    same = all(np.allclose(together[name], alone[name], 1e-4, 1e-4) for name in alone)
    return max(batch, _MANY) if same else batch


def ask(interface: Interface, samples: tuple[Array, ...], batch: int) -> dict[str, Array]:
    """What the untouched model answers, by output name; the last batch is filled up with its last sample."""
    import tensorflow as tf

    count = len(samples[0])
    batch = min(batch, count) if interface.batched else batch
    found: dict[str, list[Array]] = {}
    for start in range(0, count, batch):
        rows = np.minimum(np.arange(start, start + batch), count - 1)
        tensors = [tf.constant(x[rows]) for x in samples]
        for name, output in interface.call(tensors):
            found.setdefault(name, []).append(tf.convert_to_tensor(output).numpy()[: count - start])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _check_companions(request: Request, tokenizer: Tokenizer | None, inputs: Any, classes: int | None) -> None:
    """Labels and tokenizer must belong to this model. Raises InputError."""
    if request.labels is not None and classes is not None and len(request.labels) != max(classes, 2):
        raise InputError(
            f"There are {len(request.labels)} labels, but the model's output has {classes} classes: give each a label."
        )
    if request.features is not None:
        shape = request.features.shape
        if len(inputs) != 1 or inputs[0].shape[1:] not in (shape, (*shape, 1)):
            taken = ", ".join(f"{spec.name} {spec.shape[1:]}" for spec in inputs)
            raise InputError(
                f"The features are {shape[0]} frames of {shape[1]} numbers, the model takes {taken}: give the features "
                "that the model was trained with."
            )
    if tokenizer is None:
        return
    if len(inputs) != 1:
        raise InputError(
            f"A tokenizer goes with a model of one input, this one has {len(inputs)}: leave --tokenizer out."
        )
    (spec,) = inputs
    if spec.shape[1:] != (tokenizer.max_length,):
        raise InputError(
            f"The tokenizer gives {tokenizer.max_length} ids, the model's input {spec.name} takes {spec.shape[1:]}: "
            "give the tokenizer that the model was trained with."
        )
    if spec.ids is not None and tokenizer.size > spec.ids:
        raise InputError(
            f"The tokenizer has {tokenizer.size} ids, the model's embedding has {spec.ids} rows: "
            "give the tokenizer that the model was trained with."
        )
