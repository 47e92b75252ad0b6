"""A model that is trained for integers learns what it answered in float: distances, each kind of model, refusals."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright_converter.errors import ModelError
from edgewright_converter.passes.qat import Qat
from edgewright_converter.passes.quantize import Quantize
from edgewright_converter.passes.teacher import Teacher, distance_of
from edgewright_converter.recipe import Recipe

RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (256, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 256)  # has nothing to do with X
FAR = {"epochs": 4, "learning_rate": 0.01, "batch": 32}  # labels would lead elsewhere


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_the_share_is_checked(share: float) -> None:
    with pytest.raises(ValueError, match="distillation must be from 0 to 1"):
        Qat(distillation=share)


def softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_classes_are_apart_by_their_divergence_and_numbers_by_their_squares() -> None:
    a, b = RNG.normal(0, 2, (2, 5, 4, 3)).astype(np.float32)
    p, q = softmax(a), softmax(b)
    wanted = (p * np.log(p / q)).sum(-1).mean()
    assert float(distance_of(a, classes=True)(a, b)) == pytest.approx(wanted, rel=1e-4)
    assert float(distance_of(p)(p, q)) == pytest.approx(wanted, rel=1e-4)
    assert float(distance_of(a)(a, b)) == pytest.approx(((a - b) ** 2).mean(), rel=1e-4)
    one, other = 1 / (1 + np.exp(-a[..., :1])), 1 / (1 + np.exp(-b[..., :1]))
    wanted = (one * np.log(one / other) + (1 - one) * np.log((1 - one) / (1 - other))).mean()
    assert float(distance_of(one)(one, other)) == pytest.approx(wanted, rel=1e-3)
    assert float(distance_of(one, numbers=True)(one, other)) == pytest.approx(((one - other) ** 2).mean(), rel=1e-4)
    assert float(distance_of(p)(p, p)) == pytest.approx(0, abs=1e-6)


def test_weights_and_masks_of_samples_are_heeded_and_outputs_summed_up() -> None:
    import tensorflow as tf

    a, b = RNG.normal(0, 1, (2, 4, 3, 2)).astype(np.float32)
    error = ((a - b) ** 2).mean(-1)
    single, double = (
        Teacher(lambda x, n=n: [a] * n, (distance_of(a),) * n, 1.0) for n in (1, 2)
    )  # what they answer to anything
    weights = np.repeat(np.array([[0, 1, 2, 1]], np.float32).T, 3, 1)
    assert float(single.distance(None, b, weights)) == pytest.approx((error * weights).mean(), rel=1e-4)
    assert float(double.distance(None, [b, a], None)) == pytest.approx(error.mean(), rel=1e-4)
    found = float(double.distance(None, {"p": b, "q": b}, {"p": weights, "q": 0 * weights}))
    assert found == pytest.approx((error * weights).mean(), rel=1e-4)
    masked = tf.constant(b)
    masked._keras_mask = tf.constant([[True, False, True]] * 4)
    assert float(single.distance(None, masked, None)) == pytest.approx(error[:, [0, 2]].mean(), rel=1e-4)


def build(outputs: tuple[str, ...] = ("softmax",), kind: Any = None) -> Any:
    import keras

    keras.utils.set_random_seed(0)
    x = keras.Input((6,), name="x")
    h = keras.layers.Dropout(0.3)(keras.layers.Dense(16, "relu", name="hidden")(x))
    ends = [keras.layers.Dense(3, end, name=f"{end}_{n}")(h) for n, end in enumerate(outputs)]
    model = (kind or keras.Model)(x, ends[0] if len(ends) == 1 else ends)
    for variable in model.trainable_variables:
        variable.assign(variable * 2.0)
    return model


def trained(model: Any, samples: Any, qat: Qat, folder: Path | None = None, report: Any = None) -> tuple[Any, Any, Any]:
    """Its outcome, its answers to X afterwards, rounded, and those of the model that was given."""
    import keras

    from edgewright_converter.change import change
    from edgewright_converter.data import load_data
    from edgewright_converter.job import Request, Steps
    from edgewright_converter.targets import get_target

    def answers() -> list[Any]:
        return [np.asarray(output) for output in keras.tree.flatten(model(X, training=False))]

    before, data = answers(), load_data(samples, None, None)
    request = Request(
        None, data, Recipe("r", (qat, Quantize("int8"))), get_target("local"), 1, {}, None, None, False, seed=0,
        checkpoints=None if folder is None else str(folder),
    )  # fmt: skip
    with ExitStack() as undo:
        found = change(model, data, request, Steps(report or (lambda step, share: None), ("qat",)), undo)
        return found.outcomes[0], answers(), before


def apart(one: list[Any], other: list[Any]) -> float:
    """The mean difference of the output that differs most, of numbers from 0 to 1 or some more."""
    return max(float(np.abs(a - b).mean()) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("end", ["softmax", "linear"])
def test_it_stays_what_it_was_whatever_the_labels_say(end: str) -> None:
    samples = {"x_train": X, "y_train": Y}
    outcome, after, before = trained(build((end,)), samples, Qat(**FAR))
    assert outcome.options["distillation"] == 1
    assert not outcome.skipped
    drawn = trained(build((end,)), samples, Qat(distillation=0, **FAR))[1]
    between = trained(build((end,)), samples, Qat(distillation=0.5, **FAR))[1]
    assert apart(after, before) < min(apart(between, before), apart(drawn, before)) / 5


@pytest.mark.slow
def test_no_label_is_needed_and_several_outputs_are_learned() -> None:
    """Labels, where there are some, have no part: the weights are the same without."""
    labelled = trained(build(), {"x_train": X, "y_train": Y}, Qat(**FAR))[1]
    unlabelled = trained(build(), {"x_train": X}, Qat(**FAR))[1]
    np.testing.assert_allclose(labelled[0], unlabelled[0], atol=1e-3)
    _, after, before = trained(build(("softmax", "linear")), {"x_train": X}, Qat(patience=1, **FAR))
    assert apart(after, before) < 0.2
    with pytest.raises(ModelError, match="no y_train"):
        trained(build(), {"x_train": X}, Qat(distillation=0.9, **FAR))


def test_numbers_are_learned_too() -> None:
    numbers = RNG.normal(0, 5, (256, 3)).astype(np.float32)
    _, after, before = trained(build(("linear",)), {"x_train": X, "y_train": numbers}, Qat(**FAR))
    assert apart(after, before) < 0.2


def test_a_pipeline_is_answered_batch_by_batch() -> None:
    import tensorflow as tf

    weights = np.ones(256, np.float32)
    pipeline = tf.data.Dataset.from_tensor_slices(({"x": X.astype(np.float64)}, Y, weights)).batch(48)
    outcome, after, before = trained(build(), pipeline, Qat(distillation=0.99, **FAR))
    assert not outcome.skipped
    assert apart(after, before) < 0.2


def test_a_pipeline_without_shapes_is_refused() -> None:
    import tensorflow as tf

    def forget(x: Any, y: Any) -> Any:
        return tf.numpy_function(lambda a: a, [x], tf.float32), y

    with pytest.raises(ModelError, match="does not say the shapes of its batches"):
        trained(build(), tf.data.Dataset.from_tensor_slices((X, Y)).batch(32).map(forget), Qat())


@pytest.mark.slow
def test_a_model_with_steps_of_its_own_learns_what_they_say() -> None:
    import keras

    class Stubborn(keras.Model):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    samples = {"x_train": X, "y_train": Y}
    outcome, after, before = trained(build(kind=Stubborn), samples, Qat(**FAR))
    (skipped,) = outcome.skipped
    assert (skipped.what, "train_step of its own" in skipped.reason) == ("distillation", True)
    assert apart(after, before) > 3 * apart(trained(build(), samples, Qat(**FAR))[1], before)


@pytest.mark.slow
def test_a_training_that_was_killed_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    class EndError(Exception):
        pass

    def interrupt(step: str, share: float) -> None:
        if step == "qat" and share > 0.6:  # in the third epoch
            raise EndError

    samples, qat = {"x_train": X, "y_train": Y}, Qat(**FAR)
    with pytest.raises(EndError):
        trained(build(), samples, qat, tmp_path, interrupt)
    (state,) = tmp_path.glob("qat-*/training-0.npz")
    assert int(np.load(state)["epoch"]) == 2
    resumed = trained(build(), samples, qat, tmp_path)[1]
    np.testing.assert_allclose(resumed[0], trained(build(), samples, qat)[1][0], atol=1e-3)
