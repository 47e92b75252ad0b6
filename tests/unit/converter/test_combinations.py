"""Several passes in one recipe: which orders are refused and why, budgets, what is taken back, what each cost."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from unit.models import tiny_model, wide_model

from edgewright_converter.checkpoint_key import keys_of
from edgewright_converter.cost import macs_of
from edgewright_converter.data import from_mapping
from edgewright_converter.errors import ConversionError, ModelError, RecipeError
from edgewright_converter.job import Request, Steps
from edgewright_converter.outcome import Outcome
from edgewright_converter.passes.base import Context
from edgewright_converter.passes.distill import Distill
from edgewright_converter.passes.finetune import Finetune
from edgewright_converter.passes.qat import Qat
from edgewright_converter.passes.quantize import Quantize
from edgewright_converter.passes.training import TrainingOptions
from edgewright_converter.recipe import Budgets, Recipe, parse_recipe
from edgewright_converter.targets import get_target
from edgewright_runtime.errors import InputError


@pytest.mark.parametrize(
    ("passes", "says"),
    [
        ((Quantize("int8"), Distill(width=0.5)), "'distill' cannot follow 'quantize': nothing can"),
        ((Distill(width=0.5), Distill(width=0.5)), "'distill' cannot follow 'distill', for once is enough"),
    ],
)
def test_senseless_orders_are_refused_with_the_reason(passes: Any, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        Recipe("r", passes)


def test_an_earlier_pass_that_would_be_lost_is_named_with_the_reason() -> None:
    @dataclass(frozen=True)
    class Prune(TrainingOptions):
        use: ClassVar[str] = "prune"
        before: ClassVar[tuple[str, ...]] = ("quantize",)

    with pytest.raises(RecipeError, match="'distill' cannot follow 'prune', for it trains a new model"):
        Recipe("r", (Prune(), Distill(width=0.5)))  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="'finetune' cannot follow 'prune', for it would train away"):
        Recipe("r", (Prune(), Finetune()))  # type: ignore[arg-type]


def test_sensible_orders_are_taken_from_a_file() -> None:
    text = """
        [[passes]]
        use = "finetune"
        [[passes]]
        use = "distill"
        width = 0.5
        teachers = ["a.keras"]
        [[passes]]
        use = "finetune"
        [[passes]]
        use = "quantize"
        mode = "int8"
        [budget]
        accuracy_drop = 0.5
    """
    recipe = parse_recipe(text, "a.toml")
    assert [p.use for p in recipe.passes] == ["finetune", "distill", "finetune", "quantize"]
    assert recipe.budget.accuracy_drop == 0.5
    with pytest.raises(RecipeError, match=r"a\.toml:3: student: give one"):
        parse_recipe('\n[[passes]]\nuse = "distill"', "a.toml")


def test_multiplications_are_counted_in_the_flatbuffer() -> None:
    assert macs_of(tiny_model()) == 3 * 4
    assert macs_of(wide_model(layers=3, width=16, batch=2)) == 2 * 3 * 16 * 16


# From here on with Keras.


@dataclass(frozen=True)
class Spoil:
    """Halves the layer's size or sets the kernel to zero, and leaves a trace to be undone."""

    use: ClassVar[str] = "spoil"
    before: ClassVar[tuple[str, ...]] = ("finetune", "quantize")
    needs_data: ClassVar[bool] = False
    rename: bool = False
    undone: ClassVar[list[str]] = []

    def apply(self, model: Any, context: Context) -> tuple[Any, Outcome]:
        import keras

        context.undo.callback(lambda: self.undone.append("undone"))
        before = context.score(model)
        kernel, *_ = model.layers[-1].weights
        kernel.assign(np.zeros(kernel.shape))
        if self.rename:
            x = keras.Input((6,), name="other")
            model = keras.Model(x, keras.layers.Dense(3, name="y")(x))
        after = context.score(model)
        return model, Outcome("spoil", {}, 0, 0, before.accuracy, after.accuracy)


def model_and_data() -> tuple[Any, dict[str, Any]]:
    import keras

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(0, 1, (600, 6)).astype(np.float32)
    y = x[:, :3].argmax(-1)
    entrance = keras.Input((6,), name="x")
    dense = keras.layers.Dense(3, name="y")
    model = keras.Model(entrance, dense(entrance))
    dense.set_weights([np.eye(6, 3), np.zeros(3)])  # it knows the task, and says logits
    return model, {"x_train": x[:400], "y_train": y[:400], "x_test": x[400:], "y_test": y[400:]}


def request_for(data: dict[str, Any], *passes: Any, drop: float | None = None) -> Request:
    recipe = Recipe("r", passes, budget=Budgets(accuracy_drop=drop))
    return Request(None, from_mapping(data), recipe, get_target("local"), 1, {}, None, None, False, 0)


def steps(request: Request) -> Steps:
    return Steps(lambda step, share: None, tuple(p.use for p in request.recipe.model_passes))


@pytest.mark.slow
def test_a_pass_that_breaks_the_accuracy_budget_is_taken_back_and_the_next_one_goes_on() -> None:
    from edgewright_converter.back import finish
    from edgewright_converter.front import prepare

    model, data = model_and_data()
    weights = model.get_weights()
    Spoil.undone.clear()
    request = request_for(data, Spoil(), Finetune(epochs=1), Quantize("float32"), drop=1.0)
    finished = finish(prepare(model, request, steps(request)), request, steps(request))
    spoil, finetune, quantize = finished.outcomes
    assert spoil.rolled_back is not None
    assert "the recipe's budget is 1" in spoil.rolled_back
    assert Spoil.undone == ["undone"]
    assert finetune.rolled_back is None
    assert finetune.accuracy_before == 1.0
    assert quantize.accuracy_after is not None
    assert quantize.accuracy_after > 0.98
    assert (finetune.parameters_before, finetune.parameters_after) == (21, 21)
    assert (finetune.macs_before, finetune.macs_after) == (18, 18)
    assert finetune.latency_us_after is not None
    assert 0 < finetune.latency_us_after < 1e5
    assert finetune.float_bytes_after is not None
    assert finetune.without_times().latency_us_after is None
    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))


@pytest.mark.slow
def test_without_a_budget_a_bad_pass_stays_and_with_one_the_flatbuffer_is_judged_too() -> None:
    from edgewright_converter.back import _keep_accuracy, finish
    from edgewright_converter.front import prepare

    model, data = model_and_data()
    request = request_for(data, Spoil(), Quantize("float32"))
    spoil, quantize = finish(prepare(model, request, steps(request)), request, steps(request)).outcomes
    assert spoil.rolled_back is None
    assert quantize.accuracy_after is not None
    assert quantize.accuracy_after < 0.6
    with pytest.raises(ConversionError, match=r"0\.9400, the given model's 0\.9500: 1\.00 points less"):
        _keep_accuracy(0.95, 0.94, 0.5)
    _keep_accuracy(0.95, 0.9451, 0.5)
    unlabelled = {"x_train": data["x_train"], "y_train": data["y_train"]}
    request = request_for(unlabelled, Finetune(epochs=0), drop=1.0)
    with pytest.raises(InputError, match="needs labelled test samples"):
        prepare(model, request, steps(request))


@pytest.mark.slow
def test_a_pass_that_changes_the_signature_is_refused() -> None:
    from edgewright_converter.change import change

    model, data = model_and_data()
    request = request_for({"x_train": data["x_train"]}, Spoil(rename=True))
    says = r"After the pass spoil the model is other float32 \(6,\)"
    with ExitStack() as undo, pytest.raises(ModelError, match=says):
        change(model, request.data, request, steps(request), undo)


@pytest.mark.slow
def test_checkpoints_are_named_after_all_that_the_result_depends_on() -> None:
    model, data = model_and_data()

    def keys(seed: int = 0, **changed: Any) -> list[str]:
        request = request_for({**data, **changed}, Finetune(epochs=1), Distill(width=0.5))
        request = Request(**{**vars(request), "seed": seed})
        return keys_of(model, request.data, request)  # type: ignore[arg-type]

    first = keys()
    assert [key.split("-")[0] for key in first] == ["finetune", "distill"]
    assert first == keys()
    assert set(first).isdisjoint(keys(seed=1))
    assert set(first).isdisjoint(keys(y_train=data["y_train"][::-1]))
    model.layers[-1].set_weights([np.ones((6, 3)), np.zeros(3)])
    assert set(first).isdisjoint(keys())

    def for_numbers(step: Any, mode: str) -> list[str]:
        request = request_for(data, step, Quantize(mode))
        return keys_of(model, request.data, request)

    assert for_numbers(Qat(), "int8") != for_numbers(Qat(), "int4")  # it trains for the numbers that follow
    assert for_numbers(Finetune(), "int8") == for_numbers(Finetune(), "int4")
