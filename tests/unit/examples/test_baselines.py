"""What the examples are compared with: each against a small case that is known."""

import math
import random

import baselines
import pytest

from edgewright_converter.language.data import Corpus


def _model(texts: list[list[int]], order: int = 3) -> baselines.KneserNey:
    return baselines.KneserNey(texts, order=order, size=12, begin=0, end=1)


def test_the_probabilities_of_every_context_add_up_to_one() -> None:
    rng = random.Random(0)
    texts = [[rng.choice((2, 3, 4, 5, 5, 5)) for _ in range(rng.randrange(1, 9))] for _ in range(60)]
    model = _model(texts)
    for context in ((0, 0), (5, 5), (2, 3), (9, 10), (5, 11)):
        assert math.fsum(model._probability((*context, unit)) for unit in range(12)) == pytest.approx(1.0)


def test_what_was_seen_costs_less_than_what_was_not() -> None:
    texts = [[2, 3, 4], [2, 3, 4], [2, 3, 5], [6, 3, 4]] * 5
    model = _model(texts)
    assert model.nats([2, 3, 4]) < model.nats([2, 3, 5]) < model.nats([7, 8, 9])


def test_kneser_ney_counts_contexts_not_occurrences() -> None:
    # 4 occurs often but after 3 alone; 5 occurs rarely but after many: in a new context 5 is likelier.
    texts = [[3, 4]] * 20 + [[6, 5], [7, 5], [8, 5], [9, 5]]
    model = _model(texts, order=2)
    assert model._probability((10, 5)) > model._probability((10, 4))


def test_the_linear_model_learns_what_a_word_can_tell() -> None:
    texts = [f"{word} {n:b}" for n in range(40) for word in ("bero", "hotz")]
    corpus = Corpus(tuple(texts), {"label": tuple(text[:4] for text in texts)})
    train, test = corpus.take(range(60)), corpus.take(range(60, 80))
    assert baselines.linear(train, test).all()
    assert baselines.linear(train, test, characters=True).all()
