"""Codes of a table's rows: what they stand for, what they cost, and that no pass takes them for weights."""

import numpy as np
import pytest

from edgewright_converter.language.training.codes import ROWS, coded, decoded, fitted


def test_rows_that_a_book_can_hold_come_back_whole() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(ROWS - 1, 6)).astype(np.float32)
    numbers, books = coded(table, np.ones(len(table)), 1, 0)
    assert (numbers.shape, numbers.dtype, books.shape) == ((ROWS - 1, 1), np.uint8, (ROWS, 6))
    np.testing.assert_allclose(decoded(numbers, books), table, atol=1e-5)


def test_each_further_book_comes_nearer() -> None:
    table = np.random.default_rng(1).normal(size=(3000, 8)).astype(np.float32)
    errors = []
    for count in (1, 2, 3):
        numbers, books = coded(table, np.ones(3000), count, 0)
        assert (numbers.shape, books.shape) == ((3000, count), (count * ROWS, 8))
        errors.append(float(((decoded(numbers, books) - table) ** 2).mean()))
    assert errors[0] > 1.5 * errors[1] > 2.25 * errors[2]


def test_rows_of_nothing_are_zero_in_every_book() -> None:
    table = np.random.default_rng(2).normal(size=(1000, 4)).astype(np.float32)
    table[::3] = 0
    numbers, books = coded(table, np.ones(1000), 2, 0)
    assert not numbers[::3].any()
    assert not books.reshape(2, ROWS, 4)[:, 0].any()
    assert not coded(np.zeros((5, 4), np.float32), np.ones(5), 2, 0)[1].any()


def test_what_weighs_more_comes_out_nearer() -> None:
    table = np.random.default_rng(3).normal(size=(4000, 8)).astype(np.float32)
    weight = np.where(np.arange(4000) < 400, 50.0, 1.0)
    numbers, books = coded(table, weight, 1, 0)
    error = ((decoded(numbers, books) - table) ** 2).mean(1)
    assert error[:400].mean() < 0.7 * error[400:].mean()


def test_fitted_books_come_nearer_to_the_sums_of_texts() -> None:
    rng = np.random.default_rng(5)
    table = rng.normal(size=(3000, 6)).astype(np.float32)
    table[0] = 0
    texts = [(rng.choice(3000, 12, replace=False), rng.integers(1, 3, 12).astype(np.float32)) for _ in range(5000)]
    numbers, books = coded(table, np.ones(3000), 2, 0)
    moved = fitted(numbers, books, table, texts)
    assert (moved.shape, moved.dtype) == (books.shape, np.float32)
    assert not moved.reshape(2, ROWS, 6)[:, 0].any()

    def error(own: np.ndarray) -> float:
        wrong = decoded(numbers, own) - table
        return float(np.mean([((counts @ wrong[tokens]) ** 2).mean() for tokens, counts in texts]))

    assert error(moved) < 0.95 * error(books)


def test_the_same_table_gives_the_same_codes() -> None:
    table = np.random.default_rng(4).normal(size=(600, 5)).astype(np.float32)
    first, again = (coded(table, np.ones(600), 2, 7) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


@pytest.mark.slow
def test_passes_do_not_take_codes_for_weights() -> None:
    from edgewright_converter.adapters import Adapters
    from edgewright_converter.fakequant.layers import kernels_of_layer
    from edgewright_converter.language.zoo import build
    from edgewright_converter.structure.factors import factors
    from edgewright_converter.weights.held import kernels

    model = build("linear", vocabulary=300, length=8, heads={"label": 5}, codes=2)
    codes = model.get_layer("token_codes")
    assert codes.dtype == "uint8"
    assert factors(codes, {}) == "its numbers are integers"
    assert kernels_of_layer(codes) == []
    assert [variable.path for variable, _ in kernels(model, ())[0]] == ["token_embedding/embeddings"]
    assert not any("token_codes" in name for name in Adapters.attach(model, rank=1)._layers)
