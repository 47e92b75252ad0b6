"""The figures agree with scikit-learn's and sacrebleu's, and the intervals hold what they promise."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright_converter.language.metrics import (
    accuracy,
    bits_per_byte,
    bootstrap,
    calibration_error,
    classification,
    confusion,
    modelling,
    perplexity,
    proportion,
    scores,
    translation,
)

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn comes with the extra 'language'")


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60))
def test_figures_agree_with_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, predicted = np.array(pairs).T
    names = [f"class {i}" for i in range(6)]
    found = classification(truth, predicted, names, resamples=3)
    for average in ("macro", "weighted"):
        wanted = sklearn.precision_recall_fscore_support(truth, predicted, average=average, zero_division=0)
        ours = [getattr(getattr(found, name), average).value for name in ("precision", "recall", "f1")]
        np.testing.assert_allclose(ours, wanted[:3], atol=1e-12)
    precision, recall, f1, support = sklearn.precision_recall_fscore_support(
        truth, predicted, labels=range(6), zero_division=0
    )
    for index, row in enumerate(found.per_class):
        assert (row.precision.value, row.recall.value, row.f1.value) == pytest.approx(
            (precision[index], recall[index], f1[index])
        )
        assert row.support == support[index]
    np.testing.assert_array_equal(found.confusion, sklearn.confusion_matrix(truth, predicted, labels=range(6)))
    assert found.accuracy.value == pytest.approx(accuracy(truth, predicted))
    np.testing.assert_allclose(scores(found.confusion)["f1"], f1, atol=1e-12)


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match="do not go together"):
        confusion(np.array([0, 1]), np.array([0]), 2)
    with pytest.raises(ValueError, match="not in 0 … 1"):
        confusion(np.array([0, 2]), np.array([0, 1]), 2)
    with pytest.raises(ValueError, match="no sample"):
        classification(np.array([], int), np.array([], int), ["a"])
    with pytest.raises(ValueError, match="do not go with"):
        calibration_error(np.ones((2, 3)), np.array([0]))


def test_intervals_hold_the_true_figure_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    share, held_accuracy, held_f1 = 0.8, 0, 0
    for _ in range(200):
        truth = rng.integers(0, 2, 150)
        predicted = np.where(rng.random(150) < share, truth, 1 - truth)
        found = classification(truth, predicted, ["no", "yes"], resamples=200)
        held_accuracy += found.accuracy.low <= share <= found.accuracy.high
        held_f1 += found.f1.macro.low <= share <= found.f1.macro.high  # symmetric errors: F1 is the accuracy
    # Of 200 intervals at 95 %, fewer than 180 or all of them hold with a probability below 0.2 % each.
    assert 180 <= held_accuracy < 200
    assert 175 <= held_f1 < 200


def test_a_perfect_share_still_leaves_doubt() -> None:
    found = proportion(20, 20)
    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(0.8389, abs=1e-4)  # Wilson's interval of 20 of 20
    assert proportion(0, 20).high == pytest.approx(1 - 0.8389, abs=1e-4)
    with pytest.raises(ValueError, match="no share"):
        proportion(0, 0)


def test_calibration_error_of_known_cases() -> None:
    sure = np.tile([1.0, 0.0], (10, 1))
    assert calibration_error(sure, np.zeros(10, int)) == 0
    assert calibration_error(sure, np.ones(10, int)) == 1
    half_right = np.array([0] * 7 + [1] * 3)
    assert calibration_error(np.tile([0.7, 0.3], (10, 1)), half_right) == pytest.approx(0)
    assert calibration_error(np.tile([0.9, 0.1], (10, 1)), half_right) == pytest.approx(0.2)


def test_the_same_seed_gives_the_same_interval_and_json_takes_it() -> None:
    truth, predicted = np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2])
    probabilities = np.eye(3)[predicted] * 0.8 + 0.2 / 3
    first = classification(truth, predicted, "abc", probabilities, resamples=50, seed=3)
    again = classification(truth, predicted, "abc", probabilities, resamples=50, seed=3)
    assert json.dumps(first.to_dict()) == json.dumps(again.to_dict())
    assert first.calibration_error is not None
    assert first.calibration_error.low <= first.calibration_error.value <= first.calibration_error.high


def test_perplexity_and_bits_per_byte() -> None:
    assert perplexity(10 * math.log(8), 10) == pytest.approx(8)
    assert bits_per_byte(24 * math.log(2), 8) == pytest.approx(3)
    nats = np.array([4.0, 8.0]) * math.log(2)
    found = modelling(nats, np.array([4, 4]), np.array([8, 8]), resamples=200)
    assert found.perplexity.value == pytest.approx(2**1.5)
    assert found.bits_per_byte.value == pytest.approx(12 / 16)
    assert (found.bits_per_byte.low, found.bits_per_byte.high) == pytest.approx((0.5, 1.0))
    with pytest.raises(ValueError, match="a token at least"):
        modelling(np.zeros(0), np.zeros(0), np.zeros(0))


def test_bootstrap_of_a_mean_is_near_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = bootstrap(lambda rows: float(values[rows].mean()), len(values))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.15)


def test_translation_is_sacrebleus() -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu comes with the extra 'language'")
    references = ["the cat sat on the mat", "a dog runs in the park", "he reads a book every day"]
    hypotheses = ["the cat sat on a mat", "the dog runs in the park", "she reads books every day"]
    found = translation(hypotheses, references, resamples=100)
    assert found.bleu.value == sacrebleu.corpus_bleu(hypotheses, [references]).score
    assert found.chrf.value == sacrebleu.corpus_chrf(hypotheses, [references]).score
    assert found.bleu.low <= found.bleu.value <= found.bleu.high
    assert "version" in found.signature
    assert json.loads(json.dumps(found.to_dict()))["sentences"] == 3
    with pytest.raises(ValueError, match="do not go together"):
        translation(["a"], [])
    hardly = translation([hypotheses[0], "zzz"], [references[0], "b"], resamples=100)  # some resamples have no match
    assert hardly.bleu.low < hardly.bleu.value <= hardly.bleu.high
