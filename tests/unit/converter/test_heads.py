"""Models with several outputs: labels for each, losses for each, in whatever order and form they come."""

from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from edgewright_converter.data import load_data
from edgewright_converter.errors import ModelError
from edgewright_converter.fitting import fit_heads
from edgewright_converter.passes.finetune import Finetune
from edgewright_converter.passes.losses import in_order
from edgewright_converter.passes.prune_structured import PruneStructured
from edgewright_converter.passes.quantize import Quantize
from edgewright_converter.recipe import Recipe
from edgewright_runtime.errors import InputError

RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (256, 6)).astype(np.float32)
KIND, VALUE = X[:, :3].argmax(-1), X[:, 3]
LABELS = {"y_train.kind": KIND, "y_train.value": VALUE}


def test_labels_of_each_output_are_told_apart_and_checked() -> None:
    data = load_data({"x_train": X, **LABELS}, None, None)
    assert data.y_train is None
    assert sorted(data.heads) == ["kind", "value"]
    assert sorted(load_data({"x_train": X, "y_train": {"kind": KIND}}, None, None).heads) == ["kind"]
    (value, numbers), (kind, classes) = fit_heads(data.heads, 256, ("value", "kind"), (1, 3))
    assert value is VALUE
    assert numbers is None
    assert kind is KIND
    np.testing.assert_array_equal(classes, KIND)
    assert fit_heads({}, 256, ("value", "kind"), (1, 3)) == ()
    with pytest.raises(InputError, match=r"y_test\.kind is of one of several outputs"):
        load_data({"x_train": X, "y_test.kind": KIND}, None, None)
    with pytest.raises(InputError, match=r"has y_train\.kind, y_train\.value, but the model's outputs are kind, other"):
        fit_heads(data.heads, 256, ("kind", "other"), (3, 1))
    with pytest.raises(InputError, match=r"y_train\.value has 256 labels for 255 samples"):
        fit_heads(data.heads, 255, ("value", "kind"), (1, 3))
    with pytest.raises(InputError, match=r"y_train\.kind holds the label 2: the model's output has classes 0 to 1"):
        fit_heads(data.heads, 256, ("kind", "value"), (2, 1))


def test_what_is_named_comes_in_the_outputs_order() -> None:
    assert in_order({"b/c": 1, "a": 2}, ("a", "b_c", "d")) == [2, 1, None]
    assert in_order((1, 2), ("a", "b")) == [1, 2]


def build(losses: Any, weights: Any = None, named: bool = False) -> Any:
    import keras

    keras.utils.set_random_seed(0)
    x = keras.Input((6,), name="x")
    h = keras.layers.Dense(16, "relu", name="hidden")(x)
    kind = keras.layers.Dense(3, "softmax", name="kind")(h)
    value = keras.layers.Dense(1, name="value")(h)
    model = keras.Model(x, {"value": value, "kind": kind} if named else [value, kind])
    if losses:
        model.compile(keras.optimizers.Adam(0.1), losses, loss_weights=weights)
    return model


def changed(model: Any, samples: Any, step: Any) -> Any:
    """What the pass made of the model."""
    from edgewright_converter.change import change
    from edgewright_converter.job import Request, Steps
    from edgewright_converter.targets import get_target

    recipe = Recipe("r", (step, Quantize("float32")))
    data = load_data(samples, None, None)
    request = Request(None, data, recipe, get_target("local"), 1, {}, None, None, False, seed=0)
    undo = ExitStack()  # is not called: the weights stay
    return change(model, data, request, Steps(lambda step, share: None, (step.use,)), undo).model


@pytest.mark.slow
def test_a_loss_that_weighs_nothing_keeps_no_units() -> None:
    model = build(BY_NAME, {"kind": 0.0, "value": 1.0})
    for name, unused in (("kind", slice(0, 8)), ("value", slice(8, 16))):
        kernel, bias = model.get_layer(name).get_weights()
        kernel[unused] = 0
        model.get_layer(name).set_weights([kernel, bias])
    smaller = changed(model, {"x_train": X, **LABELS}, PruneStructured(importance="taylor", multiple=4, epochs=0))
    assert not smaller.get_layer("kind").get_weights()[0].any()
    assert (smaller.get_layer("value").get_weights()[0] != 0).all()


def trained(model: Any, samples: Any, step: Any) -> tuple[float, float]:
    """The accuracy of the kind and the mean squared error of the value afterwards."""
    answers = changed(model, samples, step)(X, training=False)
    value, kind = map(np.asarray, (answers["value"], answers["kind"]) if isinstance(answers, dict) else answers)
    return float((kind.argmax(-1) == KIND).mean()), float(((value[:, 0] - VALUE) ** 2).mean())


BY_NAME = {"kind": "sparse_categorical_crossentropy", "value": "mse"}
ROWS = {"kind": "categorical_crossentropy", "value": "mse"}  # which takes one-hot rows
IN_ORDER = ["mse", "sparse_categorical_crossentropy"]
LONG = Finetune(epochs=12, learning_rate=0.02, batch=32)


@pytest.mark.slow
@pytest.mark.parametrize(("losses", "named"), [(BY_NAME, False), (ROWS, True), (IN_ORDER, False)])
def test_each_output_learns_its_own_labels(losses: Any, named: bool) -> None:
    accuracy, error = trained(build(losses, named=named), {"x_train": X, **LABELS}, LONG)
    assert accuracy > 0.9
    assert error < 0.2


@pytest.mark.slow
def test_a_loss_that_weighs_nothing_teaches_nothing() -> None:
    accuracy, error = trained(build(BY_NAME, {"kind": 0.0, "value": 1.0}), {"x_train": X, **LABELS}, LONG)
    assert accuracy < 0.7
    assert error < 0.2


@pytest.mark.slow
def test_a_pipeline_names_them_in_any_order() -> None:
    import tensorflow as tf

    pairs = tf.data.Dataset.from_tensor_slices((X, {"value": VALUE, "kind": KIND}))
    accuracy, error = trained(build(BY_NAME), {"train": pairs.batch(32)}, LONG)
    assert accuracy > 0.9
    assert error < 0.2
    lonely = tf.data.Dataset.from_tensor_slices((X, {"kind": KIND})).batch(32)
    with pytest.raises(ModelError, match="needs labels for each of the outputs value, kind"):
        trained(build(BY_NAME), {"train": lonely}, LONG)


@pytest.mark.slow
def test_units_are_judged_by_all_losses() -> None:
    """Of 16 units each half feeds one output: a unit that feeds none but the other would count for nothing."""
    model = build(BY_NAME)
    for name, unused in (("kind", slice(0, 8)), ("value", slice(8, 16))):
        kernel, bias = model.get_layer(name).get_weights()
        kernel[unused] = 0
        model.get_layer(name).set_weights([kernel, bias])
    step = PruneStructured(importance="taylor", amount=0.5, multiple=4, epochs=0)
    smaller = changed(model, {"x_train": X, **LABELS}, step)
    kept = [(smaller.get_layer(name).get_weights()[0] != 0).any(-1).sum() for name in ("kind", "value")]
    assert sum(kept) == 8
    assert min(kept) > 0


@pytest.mark.slow
def test_what_is_missing_is_told() -> None:
    with pytest.raises(ModelError, match="has the outputs value, kind and was saved without a loss"):
        trained(build(None), {"x_train": X, **LABELS}, LONG)
    with pytest.raises(ModelError, match=r"give y_train\.value and y_train\.kind"):
        trained(build(BY_NAME), {"x_train": X, "y_train": KIND}, LONG)
