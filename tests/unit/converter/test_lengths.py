"""Batches of texts of like length: nothing is lost, little is padded, and the model's answers stay what they were."""

import numpy as np
import pytest

from edgewright_converter.language.training.lengths import alike, any_length


def test_batches_are_of_like_length_and_in_no_order() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 25, 1000)
    order = rng.permutation(1000)
    found = alike(order, lengths, 32, np.random.default_rng(1))
    assert sorted(found) == sorted(order)
    assert (found == alike(order, lengths, 32, np.random.default_rng(1))).all()
    padded, before = (
        sum(lengths[rows].max() * len(rows) for rows in np.split(own, range(32, 1000, 32))) for own in (found, order)
    )
    assert padded < 1.15 * lengths.sum() < before / 1.5
    means = [lengths[rows].mean() for rows in np.split(found[:992], 31)]
    assert (np.diff(means) < 0).any()
    assert (np.diff(means) > 0).any()


def test_fewer_rows_than_a_batch_stay_together() -> None:
    found = alike(np.array([2, 0, 1]), np.array([3, 1, 2]), 8, np.random.default_rng(0))
    assert found.tolist() == [1, 2, 0]


@pytest.mark.slow
def test_short_texts_are_answered_as_when_they_are_padded() -> None:
    from edgewright_converter.language.zoo import build

    model = build("translator", vocabulary=30, length=9, heads={}, width=16, depth=1)
    rng = np.random.default_rng(0)
    source, target = (rng.integers(1, 30, (3, 9)).astype(np.int32) for _ in range(2))
    source[:, 5:] = target[:, 4:] = 0
    whole = model.predict([source, target], verbose=0)
    short = any_length(model)
    np.testing.assert_allclose(short.predict([source[:, :5], target[:, :5]], verbose=0), whole[:, :5], atol=1e-5)
    assert [a is b for a, b in zip(short.weights, model.weights, strict=True)] == [True] * len(model.weights)


@pytest.mark.slow
def test_an_epoch_gives_its_own_samples_no_longer_than_their_longest() -> None:
    from edgewright_converter.language.training.course import batches
    from edgewright_converter.passes.training import TrainingOptions

    tokens = np.arange(20) % 7 + 1
    there = (np.arange(9) < tokens[:, None]).astype(np.int32)

    def lesson(epoch: int) -> tuple[int, object]:
        return 20, lambda rows: (there[rows] * (epoch + 1), there[rows])

    found = list(batches(lesson, None, TrainingOptions(epochs=2, batch=5), tokens).train(0))  # type: ignore[arg-type]
    assert len(found) == 8
    for number, (x, y) in enumerate(found):
        longest = int(y.numpy().sum(1).max())
        assert x.shape == y.shape == (5, longest)
        assert x.numpy().max() == 1 + number // 4
    assert sum(int(y.numpy().sum()) for _, y in found) == 2 * tokens.sum()
