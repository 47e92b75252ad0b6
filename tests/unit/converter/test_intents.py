"""The sentences of the demo: every language, groups by template, the same with the same seed."""

import pytest

from edgewright_converter.language.data import intents, read, split
from edgewright_runtime.errors import InputError

pytest.importorskip("hassil", reason="the extra 'demo' is not installed")


def test_languages_of_every_script_give_both_sides_of_a_split_by_template() -> None:
    assert len(intents.languages()) == 65
    for code in ("en", "eu", "ml", "te", "zh-CN"):
        parts = split(intents.read(code, draws_per_template=2), validation=0)
        train, test = parts.train, parts.test
        assert len(train)
        assert len(test)
        assert set(test.labels["label"]) <= set(train.labels["label"])
        assert not set(train.texts) & set(test.texts)
        assert train.groups is not None
        assert test.groups is not None
        assert not set(train.groups) & set(test.groups)


def test_english_has_all_intents_and_templates() -> None:
    corpus = read("intents:en")
    assert len(corpus.class_names()) == 42
    assert corpus.groups is not None
    assert 800 < len(set(corpus.groups)) <= 862  # a template whose every sentence another gave before has none left
    labels = corpus.labels["label"]
    assert all(group.startswith(f"{label}/") for group, label in zip(corpus.groups, labels, strict=True))


def test_the_same_seed_gives_the_same_sentences_and_another_seed_others() -> None:
    first, again, other = (intents.read("cy", seed=seed, draws_per_template=2) for seed in (0, 0, 1))
    assert first == again
    assert first.texts != other.texts


def test_a_slot_of_the_users_home_is_filled_with_our_names() -> None:
    texts = " ".join(intents.read("en", draws_per_template=4).texts)
    assert "kitchen" in texts
    assert "{" not in texts
    assert "<" not in texts


def test_an_unknown_language_is_refused_with_the_list() -> None:
    with pytest.raises(InputError, match="choose one of af, ar"):
        read("intents:tlh")
