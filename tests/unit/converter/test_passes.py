"""Passes on the Keras model: their order, what they are given, and that a live model comes back as it was."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from edgewright_converter.data import from_mapping
from edgewright_converter.errors import RecipeError
from edgewright_converter.job import Request, Steps
from edgewright_converter.outcome import LayerOutcome, Outcome, Skipped
from edgewright_converter.passes.base import Context, are_probabilities, cross_entropy
from edgewright_converter.passes.quantize import Quantize
from edgewright_converter.passes.training import TrainingOptions, train, worker_of
from edgewright_converter.recipe import Recipe
from edgewright_converter.targets import get_target
from edgewright_runtime.errors import InputError


@dataclass(frozen=True)
class Longer(TrainingOptions):
    """Trains on."""

    use: ClassVar[str] = "longer"
    before: ClassVar[tuple[str, ...]] = ("quantize",)

    def apply(self, model: Any, context: Context) -> tuple[Any, Outcome]:
        before = context.score(model)
        train(model, context, self)
        after = context.score(model)
        return model, Outcome(
            "longer", {}, 0, 0, before.accuracy, after.accuracy, loss_before=before.loss, loss_after=after.loss
        )


def test_the_order_of_passes_is_checked() -> None:
    assert Recipe("a", (Longer(), Quantize("float16"))).model_passes == (Longer(),)
    with pytest.raises(RecipeError, match="'longer' cannot follow 'quantize': nothing can"):
        Recipe("a", (Quantize("float16"), Longer()))
    with pytest.raises(RecipeError, match="'longer' cannot follow 'longer', for once is enough: only quantize can"):
        Recipe("a", (Longer(), Longer()))


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": -1}, {"batch": 0}, {"learning_rate": 0.0}, {"strategy": "all"}, {"mixed_precision": "half"}],
)
def test_options_of_a_training_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Longer(**wrong)


def test_of_several_workers_one_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def worker(cluster: dict[str, list[str]], kind: str, index: int) -> int:
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}))
        return worker_of("multiworker")

    two, led = {"worker": ["a:1", "b:1"]}, {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    assert [worker(two, "worker", index) for index in (0, 1)] == [0, 1]
    assert [worker(led, *task) for task in (("chief", 0), ("worker", 0), ("worker", 1))] == [0, 1, 2]
    assert worker_of("mirrored") == 0
    monkeypatch.setenv("TF_CONFIG", "[]")
    with pytest.raises(InputError, match="TF_CONFIG is not what"):
        worker_of("multiworker")
    monkeypatch.delenv("TF_CONFIG")
    assert worker_of("multiworker") == 0


def test_cross_entropy_of_probabilities_logits_and_one_probability() -> None:
    rng = np.random.default_rng(0)
    logits, truth = rng.normal(0, 2, (50, 7, 4)), rng.integers(0, 4, (50, 7))
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.mean([np.log(p[i, j, truth[i, j]]) for i in range(50) for j in range(7)])
    assert cross_entropy(logits, truth) == pytest.approx(expected)
    assert cross_entropy(p, truth) == pytest.approx(expected)
    assert are_probabilities(p)
    assert not are_probabilities(logits)
    one = np.array([[0.9], [0.2]])
    assert cross_entropy(one, np.array([1, 0])) == pytest.approx(-np.log([0.9, 0.8]).mean())
    assert cross_entropy(np.log(one / (1 - one)), np.array([1, 0])) == pytest.approx(-np.log([0.9, 0.8]).mean())


def test_an_outcome_survives_json() -> None:
    outcome = Outcome(
        "qat", {"weights": 8}, 4, 4, 0.5, 0.6, (Skipped("a", "b"),), 1.0, 0.9, (LayerOutcome("x", "Dense"),)
    )
    assert Outcome.from_dict(outcome.to_dict()) == outcome


@pytest.mark.slow
def test_a_pass_trains_and_a_live_model_is_left_as_it_was() -> None:
    import keras

    from edgewright_converter.back import finish
    from edgewright_converter.front import prepare

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (600, 6)).astype(np.float32)
    y = x[:, :3].argmax(-1)
    data = {"x_train": x[:400], "y_train": y[:400], "x_test": x[400:], "y_test": y[400:]}
    entrance = keras.Input((6,), name="x")
    model = keras.Model(entrance, keras.layers.Dense(3)(keras.layers.Dense(16, activation="relu")(entrance)))
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1))
    optimizer, weights = model.optimizer, [w.copy() for w in model.get_weights()]
    told: list[tuple[str, float]] = []
    recipe = Recipe("long", (Longer(epochs=8, learning_rate=0.5), Quantize("float32")))
    request = Request(None, from_mapping(data), recipe, get_target("local"), 1, {}, None, None, False, seed=0)
    steps = Steps(lambda step, share: told.append((step, share)), ("longer",))
    finished = finish(prepare(model, request, steps), request, steps)
    longer, quantize = finished.outcomes
    assert longer.accuracy_before is not None
    assert longer.accuracy_after is not None
    assert longer.accuracy_after > max(0.9, longer.accuracy_before + 0.2)
    assert longer.loss_before is not None
    assert longer.loss_after is not None
    assert longer.loss_after < longer.loss_before
    assert quantize.accuracy_after == pytest.approx(longer.accuracy_after)
    assert finished.difference < 1e-5
    assert model.optimizer is optimizer
    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert len({share for step, share in told if step == "longer"}) > 10


@pytest.mark.slow
@pytest.mark.parametrize("form", ["a list of one", "a list", "a dict"])
def test_a_pass_trains_whatever_the_model_takes_its_inputs_in(form: str) -> None:
    import keras

    from edgewright_converter.back import finish
    from edgewright_converter.front import prepare

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    taken = {"a list of one": [a], "a list": [a, b], "a dict": {"a": a, "b": b}}[form]
    joined = keras.layers.Concatenate()([a, b]) if len(taken) > 1 else a
    model = keras.Model(taken, keras.layers.Dense(2)(joined))
    x = {name: rng.normal(0, 1, (300, size)).astype(np.float32) for name, size in (("a", 4), ("b", 3))}
    y = (x["a"][:, 0] > 0).astype(np.int32)
    data: dict[str, Any] = {"y_train": y, "y_test": y}
    for name in list(x)[: len(taken)]:
        data |= {f"x_train.{name}": x[name], f"x_test.{name}": x[name]}
    recipe = Recipe("long", (Longer(epochs=4, learning_rate=0.1, patience=4), Quantize("float32")))
    request = Request(None, from_mapping(data), recipe, get_target("local"), 1, {}, None, None, False, seed=0)
    steps = Steps(lambda step, share: None, ("longer",))
    longer, _ = finish(prepare(model, request, steps), request, steps).outcomes
    assert longer.accuracy_after is not None
    assert longer.accuracy_after > 0.9
