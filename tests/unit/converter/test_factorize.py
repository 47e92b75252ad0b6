"""Products of lower rank: the mathematics in NumPy, and that a full rank keeps every model's function."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_converter.passes.factorize import Factorize, worthwhile
from edgewright_converter.structure.lowrank import (
    decompose,
    energy_for_size,
    rank_for_energy,
    root_of,
    rounded,
    smallest_rank,
)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99), st.booleans())
def test_full_rank_is_exact_whatever_the_data(rows: int, columns: int, seed: int, both: bool) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, columns))
    x, y = rng.normal(size=(30, rows)) * rng.uniform(0.01, 10, rows), rng.normal(size=(30, columns))
    right = root_of(y.T @ y, columns) if both else None
    a, s, b = decompose(matrix, root_of(x.T @ x, rows), right)
    np.testing.assert_allclose(a @ b, matrix, atol=1e-6)
    assert (np.diff(s) <= 1e-9).all()


def test_weighing_by_the_data_loses_less_on_the_data() -> None:
    rng = np.random.default_rng(0)
    matrix, x = rng.normal(size=(20, 15)), rng.normal(size=(500, 20)) * np.geomspace(0.01, 10, 20)

    def error(left: Any) -> float:
        a, _, b = decompose(matrix, left)
        return float(((x @ (matrix - a[:, :6] @ b[:6])) ** 2).sum())

    assert error(root_of(x.T @ x, 20)) < 0.2 * error(root_of(None, 20))


def test_ranks() -> None:
    s = np.array([3.0, 2.0, 1.0, 0.0])
    assert [rank_for_energy(s, energy) for energy in (0.5, 9 / 14, 0.9, 13 / 14, 1.0)] == [1, 1, 2, 2, 3]
    assert rank_for_energy(np.zeros(3), 0.9) == 1
    assert [rounded(rank, 4, 10) for rank in (1, 4, 5, 9)] == [4, 4, 8, 10]
    assert energy_for_size(lambda energy: int(100 * energy), 37) == pytest.approx(0.379, abs=1e-3)
    assert energy_for_size(lambda energy: 50, 37) == 0
    assert smallest_rank(lambda rank: 1 / rank, [1, 2, 4, 8], 0.3) == 4
    assert smallest_rank(lambda rank: 1.0, [1, 2], 0.3) == 2


@pytest.mark.parametrize(
    "wrong", [{"rank_by": "luck"}, {"energy": 0.0}, {"size": 1.5}, {"tolerance": -1.0}, {"multiple": 0}]
)
def test_options_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Factorize(**wrong)


def test_data_is_needed_only_for_training_and_judging() -> None:
    assert Factorize().needs_data
    assert Factorize(epochs=0, rank_by="sensitivity").needs_data
    assert not Factorize(epochs=0).needs_data


def _factorized(model: Any, part: float, flow: dict[int, Any]) -> tuple[Any, int]:
    """Every product at that part of its full rank, worthwhile or not; how many there are."""
    from edgewright_converter.structure.factors import Plan, factors
    from edgewright_converter.structure.graph import built_layers, rebuild

    plan, count = Plan(), 0
    for layer in built_layers(model):
        products = factors(layer, flow)
        for factor in products if isinstance(products, list) else ():
            plan.add(factor, max(1, round(part * len(factor.spectrum))))
            count += 1
    new, made = rebuild(model, "factorize", plan.replace)
    for layer in built_layers(model):
        if id(layer) in plan.fill:
            plan.fill[id(layer)]()
        else:
            for source, target in zip(layer.variables, made[id(layer)].variables, strict=True):
                target.assign(source.numpy())
    return new, count


@pytest.mark.slow
def test_full_rank_keeps_the_function_of_every_model() -> None:
    from unit.converter import random_models, zoo

    x = random_models.tokens()
    for name in random_models.BLOCKS:
        model = random_models.build([name], "last state", 5)
        same, count = _factorized(model, 1.0, {})
        assert count >= 3, name
        np.testing.assert_allclose(same(x).numpy(), model(x).numpy(), atol=1e-4, err_msg=name)
        assert same.output_names == model.output_names
        assert [t.name for t in same.inputs] == [t.name for t in model.inputs]
    model = zoo.build("sequential")
    same, _ = _factorized(model, 1.0, {})
    floats = zoo.samples("sequential")["x_train"]
    np.testing.assert_allclose(same(floats).numpy(), model(floats).numpy(), atol=1e-4)


@pytest.mark.slow
def test_what_is_written_into_a_layer_for_measuring_is_what_its_factors_compute() -> None:
    from unit.converter import random_models

    from edgewright_converter.structure.factors import factors
    from edgewright_converter.structure.graph import built_layers

    x = random_models.tokens()
    for name in ("attention", "products", "convolution", "lstm"):
        model = random_models.build([name], "flatten", 1)
        low, _ = _factorized(model, 0.4, {})
        for layer in built_layers(model):
            products = factors(layer, {})
            for factor in products if isinstance(products, list) else ():
                factor.write(*factor.at(max(1, round(0.4 * len(factor.spectrum)))))
        np.testing.assert_allclose(low(x).numpy(), model(x).numpy(), atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_a_thin_layer_is_left_alone() -> None:
    from unit.converter import zoo

    from edgewright_converter.structure.factors import factors

    (dense,) = [layer for layer in zoo.build("functional").layers if layer.name == "classes"]
    products = factors(dense, {})
    assert isinstance(products, list)
    assert not worthwhile(products[0], 3)
    assert worthwhile(products[0], 1)
