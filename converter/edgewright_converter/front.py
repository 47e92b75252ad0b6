"""The first half of a conversion, wherever Keras is: load, change, trace, and ask Keras what it answers."""

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from edgewright_runtime.errors import InputError
from edgewright_runtime.text import Tokenizer

from .change import Changed, change, scope
from .data import Array, Dataset, load_data
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
        prepared = _trace(model, data, tokenizer, request, steps)
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
    batch = _batch_for_keras(interface, fitted.probes, request.batch)
    reference = ask(interface, fitted.probes, batch)
    accuracy = None
    if fitted.truth is not None:
        (outputs,) = ask(interface, fitted.test, batch).values()
        accuracy = float((predicted(outputs) == fitted.truth).mean())
    return Prepared(frozen, fitted, reference, accuracy, interface.weight_bytes)


def _batch_for_keras(interface: Interface, probes: tuple[Array, ...], batch: int) -> int:
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
    if spec.ids is not None and len(tokenizer.vocabulary) > spec.ids:
        raise InputError(
            f"The tokenizer knows {len(tokenizer.vocabulary)} words, the model's embedding has {spec.ids} rows: "
            "give the tokenizer that the model was trained with."
        )
