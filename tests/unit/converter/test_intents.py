"""The sentences of the demo: every language, no leak between train and test."""

import pytest

from edgewright_converter.language import intents
from edgewright_runtime.errors import InputError

pytest.importorskip("hassil", reason="the extra 'demo' is not installed")


def test_every_language_of_the_package_gives_both_sides_of_the_split() -> None:
    codes = intents.languages()
    assert len(codes) == 65
    for code in ("en", "eu", "ml", "te", "zh-CN"):
        data = intents.load(code, draws_per_template=2)
        assert data.train_texts
        assert data.test_texts
        assert len(data.train_texts) == len(data.train_labels)
        assert len(data.test_texts) == len(data.test_labels)
        assert set(data.test_labels) <= set(data.train_labels) <= set(range(len(data.labels)))
        assert not set(data.train_texts) & set(data.test_texts)


def test_english_has_all_intents_and_states_its_sizes() -> None:
    data = intents.load("en", draws_per_template=1)
    assert len(data.labels) == 42
    assert set(data.train_labels) == set(range(42))
    assert data.train_templates + data.test_templates == 862
    assert data.sizes().startswith(f"en: 42 intents, {len(data.train_texts)} sentences of {data.train_templates}")


def test_the_same_seed_gives_the_same_sentences_and_another_seed_others() -> None:
    first, again, other = (intents.load("cy", seed=seed, draws_per_template=2) for seed in (0, 0, 1))
    assert first == again
    assert first.test_texts != other.test_texts


def test_a_slot_of_the_users_home_is_filled_with_our_names() -> None:
    texts = " ".join(intents.load("en", draws_per_template=4).train_texts)
    assert "kitchen" in texts
    assert "{" not in texts
    assert "<" not in texts


def test_an_unknown_language_is_refused_with_the_list() -> None:
    with pytest.raises(InputError, match="choose one of af, ar"):
        intents.load("tlh")
