"""The report on data: each number against a corpus where it is known."""

import json

import pytest

from edgewright_converter.language.data import Corpus, describe, split
from edgewright_converter.language.tokenization import train_tokenizer

_TRAIN = Corpus(
    ("turn on the light", "turn on the light", "Turn on the light!", "good bye", "see you", "\u0065\u0301t\ufffd"),
    {"label": ("on", "on", "off", "bye", "bye", "bye")},
    source="train.csv",
)
_TEST = Corpus(("turn on the light", "farewell you", "..."), {"label": ("on", "bye", "never")})


def test_sizes_lengths_vocabulary_and_duplicates() -> None:
    report = describe({"train": _TRAIN, "test": _TEST})
    train, test = report.parts
    assert (train.texts, test.texts) == (6, 3)
    assert train.lengths["words"] == (1, 2, 4, 4, 4)
    assert train.lengths["bytes"][-1] == 18
    assert (train.distinct_words, train.words_seen_once) == (9, 5)
    assert (train.empty, test.empty) == (0, 1)
    assert (train.unnormalized, train.replaced) == (1, 1)
    assert train.unseen_words is None
    assert test.unseen_words == pytest.approx(1 / 6)  # "farewell" of six words
    assert (report.exact, report.near) == (2, 1)
    assert report.shared_exact == {"train/test": 1}
    assert report.shared_near == {"train/test": 0}
    assert report.contradictions == 0
    assert [(entry.name, dict(entry.texts)) for entry in report.classes] == [
        ("bye", {"train": 3, "test": 1}),
        ("never", {"train": 0, "test": 1}),
        ("off", {"train": 1, "test": 0}),
        ("on", {"train": 2, "test": 1}),
    ]


def test_findings_name_what_to_do() -> None:
    said = " ".join(describe({"train": _TRAIN, "test": _TEST}).findings)
    assert "1 of 3 test texts are in train too (1 to the letter)" in said
    assert "1 classes (never) of label have no text in train: no model can learn them" in said
    assert "1 classes (off) of label have no text in test" in said
    assert "1 of 3 test texts have no word" in said
    assert "1 of 6 train texts hold U+FFFD" in said
    assert "There is one label only, 'x'" in " ".join(describe(Corpus(("a", "b"), {"label": ("x", "x")})).findings)


def test_the_same_text_with_two_labels_is_a_contradiction() -> None:
    report = describe(Corpus(("a b", "a b", "c d"), {"label": ("x", "y", "x")}))
    assert report.contradictions == 1
    assert any("no model can get both right" in sentence for sentence in report.findings)


def test_a_tokenizer_shows_what_it_does_not_know_and_what_it_cuts() -> None:
    tokenizer = train_tokenizer(_TRAIN.texts, kind="words", size=100, max_length=3)
    train, test = describe({"train": _TRAIN, "test": _TEST}, tokenizer).parts
    assert (train.unknown_tokens, train.cut) == (0.0, 0.5)
    assert test.unknown_tokens == pytest.approx(1 / 6)
    assert test.lengths["tokens"][-1] == 4


def test_a_split_repeats_nothing_and_is_plain_json() -> None:
    corpus = Corpus(tuple(f"text {n:b}" for n in range(99)), {"label": ("a", "b", "c") * 33})
    report = describe(split(corpus))
    assert [part.name for part in report.parts] == ["train", "validation", "test"]
    assert set(report.shared_exact.values()) == {0}
    assert report.evenness == {"label": pytest.approx(1.0)}
    assert json.loads(json.dumps(report.to_dict()))["parts"][0]["texts"] == report.parts[0].texts
