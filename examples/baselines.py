"""What one would use instead, trained on the same texts: TF-IDF with a linear model, and a Kneser-Ney 5-gram model."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgewright_converter.language.data import Corpus
from edgewright_runtime.text.words import words

Array = np.ndarray[Any, np.dtype[Any]]


def linear(train: Corpus, test: Corpus, *, characters: bool = False) -> Array:
    """(test texts,) whether each answer of TF-IDF and a linear support vector machine is right.

    Words and pairs of words, or with ``characters`` runs of 1 to 4 characters within words; the 200,000 most frequent.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    if characters:
        vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, max_features=200_000)
    else:
        # The words as edgewright sees them: the vectorizer's own pattern tears Malayalam apart at its vowel signs.
        vectorizer = TfidfVectorizer(
            ngram_range=(1, 2), tokenizer=_words, token_pattern=None, sublinear_tf=True, max_features=200_000
        )
    model = make_pipeline(vectorizer, LinearSVC())
    model.fit(train.texts, train.labels["label"])
    return np.asarray(model.predict(test.texts) == np.asarray(test.labels["label"]))


def linear_sounds(x_train: Array, y_train: Array, x_test: Array, y_test: Array) -> Array:
    """(test recordings,) whether a linear support vector machine over their features, each scaled, is right."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    model = make_pipeline(StandardScaler(), LinearSVC())
    model.fit(x_train.reshape(len(x_train), -1), y_train)
    return np.asarray(model.predict(x_test.reshape(len(x_test), -1)) == y_test)


def nearest(train: Sequence[str], test: Sequence[str]) -> Array:
    """(test texts,) the place of the training text whose TF-IDF of words is nearest by cosine."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(tokenizer=_words, token_pattern=None, sublinear_tf=True)
    known = vectorizer.fit_transform(train)
    return np.asarray((vectorizer.transform(test) @ known.T).argmax(axis=1)).ravel()


def _words(text: str) -> list[str]:
    return list(words(text))


class KneserNey:
    """Interpolated modified Kneser-Ney (Chen and Goodman 1999, section 3) over any units, all orders up to ``order``.

    texts: sequences of ids; begin: stands before each, end: after each. size: of the vocabulary: each unit of it,
    never seen ones too, has a share of the lowest order's mass.
    """

    def __init__(self, texts: Sequence[Sequence[int]], *, order: int = 5, size: int, begin: int, end: int) -> None:
        self.order, self.size, self.begin, self.end = order, size, begin, end
        counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]
        for text in texts:
            padded = self._padded(text)
            for at in range(order - 1, len(padded)):
                counts[order - 1][tuple(padded[at - order + 1 : at + 1])] += 1
        # Below the highest order, an n-gram counts once for each different unit before it.
        for length in range(order - 1, 0, -1):
            for gram in counts[length]:
                counts[length - 1][gram[1:]] += 1
        self._levels = [_Level(table) for table in counts]

    def _padded(self, text: Sequence[int]) -> list[int]:
        return [self.begin] * (self.order - 1) + list(text) + [self.end]

    def nats(self, text: Sequence[int]) -> float:
        """The sum of -log p over the text's units and its end."""
        padded = self._padded(text)
        return -sum(
            math.log(self._probability(tuple(padded[at - self.order + 1 : at + 1])))
            for at in range(self.order - 1, len(padded))
        )

    def _probability(self, gram: tuple[int, ...]) -> float:
        probability = 1.0 / self.size
        for length, level in enumerate(self._levels, 1):
            probability = level.probability(gram[-length:], probability)
        return probability


class _Level:
    """One order: counts, the mass after each context, and how much of it is for the order below."""

    def __init__(self, counts: Counter[tuple[int, ...]]) -> None:
        self.counts = counts
        of_counts = Counter(min(count, 4) for count in counts.values())
        n1, n2, n3, n4 = (of_counts[k] or 1 for k in (1, 2, 3, 4))
        y = n1 / (n1 + 2 * n2)
        raw = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        # Small corpora can give discounts beyond a count's own size.
        self.discounts = tuple(min(max(d, 0.1), k - 0.1) for k, d in enumerate(raw, 1))
        self.total: dict[tuple[int, ...], int] = defaultdict(int)
        self.held: dict[tuple[int, ...], float] = defaultdict(float)
        for gram, count in counts.items():
            self.total[gram[:-1]] += count
            self.held[gram[:-1]] += self._discount(count)

    def _discount(self, count: int) -> float:
        return self.discounts[min(count, 3) - 1]

    def probability(self, gram: tuple[int, ...], lower: float) -> float:
        total = self.total.get(gram[:-1], 0)
        if not total:
            return lower
        count = self.counts.get(gram, 0)
        own = count - self._discount(count) if count else 0.0
        return (own + self.held[gram[:-1]] * lower) / total
