"""Every corpus of the examples is what its table says: fetched from a registry, so with the richer tests alone."""

import corpora
import pytest

from edgewright_converter.language.data import split
from edgewright_runtime.errors import InputError

pytestmark = pytest.mark.slow

# name → texts at least, classes, whether there are groups
EXPECTED = {
    "sentiment": (15_000, 2, True),
    "spam": (4_800, 2, False),
    "medical": (50_000, 22, True),
    "languages": (6_000, 110, False),
    "oromo": (10_000, 0, True),
    "basque": (20_000, 0, True),
    "english": (9_000, 0, True),
    "en-es": (20_000, 0, True),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_corpus_has_its_texts_and_splits(name: str) -> None:
    try:
        corpus = corpora.load(name)
    except InputError as error:
        if "Cannot fetch" in str(error) or "not installed" in str(error):
            pytest.skip(str(error))
        raise
    texts, classes, grouped = EXPECTED[name]
    assert len(corpus) >= texts
    assert len(corpus.class_names()) == classes if classes else corpus.labels == {}
    assert (corpus.groups is not None) == grouped
    assert all(text.strip() for text in corpus.texts)
    assert not any("<" in text and "/>" in text for text in corpus.texts[:500])  # no markup is left
    if name == "en-es":
        assert corpus.targets is not None
        known = dict(zip(corpus.texts, corpus.targets, strict=True))
        assert known["Relative humidity"] == "Humedad relativa"
        assert len(known) == len(corpus)
    if name == "spam":  # the others take seconds
        parts = split(corpus)
        assert not set(parts.train.texts) & set(parts.test.texts)


def test_an_unknown_corpus_is_refused_with_the_list() -> None:
    with pytest.raises(InputError, match="no corpus 'klingon': choose one of sentiment, spam"):
        corpora.load("klingon")
