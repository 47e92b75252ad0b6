"""A split leaks nothing: not a group, not a repetition; and says what it could not do."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright_converter.language.data import Corpus, split
from edgewright_converter.language.data.duplicates import canonical, near_duplicates
from edgewright_runtime.errors import InputError

_LONG = "the committee will meet on monday to talk about the roof of the old school in the village"


def _corpus(sizes: dict[str, int], **more: object) -> Corpus:
    rng = random.Random(0)
    labels = tuple(label for label, size in sizes.items() for _ in range(size))
    texts = tuple(f"{label} " + "".join(rng.choices("aeioukst", k=16)) for label in labels)
    return Corpus(texts, {"label": labels}, **more)  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xyz")), min_size=2, max_size=60),
    st.integers(0, 5),
    st.booleans(),
)
def test_no_text_and_no_group_is_on_two_sides(rows: list[tuple[str, str]], seed: int, grouped: bool) -> None:
    texts, labels = zip(*rows, strict=True)
    groups = tuple(f"g{ord(text) % 4}{label}" for text, label in rows) if grouped else None
    splits = split(Corpus(texts, {"label": labels}, groups=groups), test=0.3, validation=0.2, seed=seed)
    parts = [part for _, part in splits.items()]
    assert len(splits.train)
    for left in range(3):
        for right in range(left):
            assert not set(map(canonical, parts[left].texts)) & set(map(canonical, parts[right].texts))
            if grouped:
                assert not set(parts[left].groups or ()) & set(parts[right].groups or ())
    if not grouped:
        assert sum(map(len, parts)) == len(rows)


def test_each_class_has_its_share_on_each_side() -> None:
    splits = split(_corpus({"a": 500, "b": 100, "c": 20}), test=0.2, validation=0.1)
    assert splits.test.class_counts() == {"a": 100, "b": 20, "c": 4}
    assert splits.validation.class_counts() == {"a": 50, "b": 10, "c": 2}
    assert splits.notes == ()


def test_the_same_seed_gives_the_same_split() -> None:
    corpus = _corpus({"a": 50, "b": 50})
    assert split(corpus, seed=3) == split(corpus, seed=3)
    assert split(corpus, seed=3).test.texts != split(corpus, seed=4).test.texts


def test_what_several_groups_say_is_left_out_of_the_test_and_told() -> None:
    texts = tuple(f"{text} {number}" for number in "abcdefghij" for text in ("only here", "Shared!"))
    texts = tuple("shared" if "Shared" in text else text for text in texts)
    splits = split(Corpus(texts, groups=tuple(str(n // 2) for n in range(20))), test=0.3, validation=0)
    assert "shared" in splits.train.texts
    assert "shared" not in splits.test.texts
    assert splits.notes == ("3 of 6 test texts are left out: other groups, on other sides, say the same.",)


def test_a_class_with_one_group_stays_in_training_and_is_named() -> None:
    corpus = Corpus(("p q", "r s", "t u", "v w"), {"label": ("x", "x", "x", "y")}, groups=("1", "2", "3", "4"))
    splits = split(corpus, test=0.4, validation=0)
    assert "v w" in splits.train.texts
    assert "1 of 2 classes have no test text, for they have too few groups" in splits.notes[0]
    assert splits.notes[0].endswith(": y.")


def test_a_corpus_that_says_its_parts_is_believed_and_gives_a_validation_part() -> None:
    parts = ("train",) * 80 + ("test",) * 20
    corpus = _corpus({"a": 100}, parts=parts)
    splits = split(corpus, validation=0.25)
    assert splits.test.texts == corpus.texts[80:]
    assert len(splits.validation) == 20
    assert set(splits.train.texts) | set(splits.validation.texts) == set(corpus.texts[:80])


def test_bad_shares_and_too_little_are_refused() -> None:
    with pytest.raises(InputError, match=r"test 0\.6 and validation 0\.4 must be from 0 to below 1"):
        split(_corpus({"a": 9}), test=0.6, validation=0.4)
    with pytest.raises(InputError, match="has no text"):
        split(Corpus(()))
    with pytest.raises(InputError, match="leaves no text to train on"):
        split(Corpus(("a",), parts=("test",)))


def test_what_cannot_be_learned_is_refused() -> None:
    with pytest.raises(InputError, match="Every training text of data has the label 'a'"):
        split(_corpus({"a": 20})).require_classes()
    corpus = Corpus(("p", "q", "r"), {"label": ("x", "y", "z")}, parts=("train", "train", "test"))
    with pytest.raises(InputError, match="No training text of data has the label z, which others have"):
        split(corpus, validation=0).require_classes()
    assert split(_corpus({"a": 20, "b": 20})).require_classes() == ("a", "b")


def test_near_duplicates_are_found_and_others_are_not() -> None:
    texts = [
        *("Turn on the light!", "turn on the LIGHT", "turn off the light", "set it to 20", "set it to 45"),
        *(_LONG, _LONG.replace("village", "city"), "the committee will not meet, so the roof of the school stays"),
        *("!", "?"),
    ]
    assert near_duplicates(texts) == [0, 0, 2, 3, 3, 5, 5, 7, 8, 9]


def test_every_near_duplicate_of_a_large_corpus_is_found() -> None:
    rng = random.Random(0)
    words = [f"w{rng.getrandbits(40):x}" for _ in range(3000)]
    texts = [" ".join(rng.choices(words, k=30)) for _ in range(500)]
    copies = [" ".join([*text.split()[:-1], "other"]) for text in texts]  # Jaccard 27/29
    assert near_duplicates(texts + copies) == list(range(500)) * 2
