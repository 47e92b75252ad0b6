"""Augmentation: what each operation does to texts, sounds and pictures, seeded and lazy."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright_converter.language.augment import Augmenter, parse_augmentation
from edgewright_converter.language.augment.audio import (
    AudioAugmenter,
    add_noise,
    shift_pitch,
    shift_time,
    spec_augment,
    stretch,
)
from edgewright_converter.language.augment.keyboards import NEIGHBOUR_KEYS
from edgewright_converter.language.augment.lexicon import embedding, read_synonyms
from edgewright_runtime.errors import InputError

_TEXTS = ("Please turn on the kitchen light.", "I feel cold today, really cold!", "what's the weather like in Bilbo?")
_MANY = _TEXTS * 40


def _changed(augmenter: Augmenter, texts: tuple[str, ...] = _MANY, seed: int = 0) -> list[str]:
    return [text for text, _ in augmenter(texts, None, seed)]


def test_swapping_keeps_the_words_and_deleting_only_drops_some() -> None:
    swapped, fewer = _changed(Augmenter(swap=0.3)), _changed(Augmenter(delete=0.3))
    assert all(sorted(a.split()) == sorted(b.split()) for a, b in zip(swapped, _MANY, strict=True))
    assert sum(a != b for a, b in zip(swapped, _MANY, strict=True)) > 60
    kept = sum(len(text.split()) for text in fewer) / sum(len(text.split()) for text in _MANY)
    assert 0.62 < kept < 0.78  # 0.7, three standard deviations of 720 words around it
    for text, original in zip(fewer, _MANY, strict=True):
        rest = iter(original.split())
        assert text
        assert all(word in rest for word in text.split())  # in order


def test_the_copies_depend_on_the_seed_alone_and_come_one_by_one() -> None:
    augmenter = Augmenter(swap=0.2, delete=0.1, noise=0.05, mix=0.1)
    assert _changed(augmenter) == _changed(augmenter) != _changed(augmenter, seed=1)
    assert list(itertools.islice(augmenter(_MANY, None, 0), 2)) == [(text, None) for text in _changed(augmenter)[:2]]


def test_typos_hit_neighbouring_keys_at_their_rate() -> None:
    text = ("hello world",) * 200
    changed = "".join(_changed(Augmenter(typos=0.1), text))
    differing = [(a, b) for a, b in zip("".join(text), changed, strict=True) if a != b]
    assert 0.08 < len(differing) / 2000 < 0.12
    assert all(b in NEIGHBOUR_KEYS["qwerty"][a] for a, b in differing)
    assert _changed(Augmenter(typos=1.0), ("ലൈറ്റ്",)) == ["ലൈറ്റ്"]
    assert "g" in NEIGHBOUR_KEYS["qwertz"]["z"]
    assert all(a in NEIGHBOUR_KEYS[name][b] for name, keys in NEIGHBOUR_KEYS.items() for a in keys for b in keys[a])


def test_mixing_stays_within_a_class_and_labels_follow() -> None:
    texts, labels = ("a1 a2 a3 a4", "b1 b2 b3", "a5 a6"), ("a", "b", "a")
    for text, label in Augmenter(mix=1.0)(texts * 9, labels * 9, 1):
        assert {word[0] for word in text.split()} == {label}


def test_synonyms_keep_case_and_punctuation_and_back_off_to_neighbours() -> None:
    table = {"please": ("kindly",), "turn": ()}
    near = embedding(["turn", "switch", "sea"], np.array([[1, 0.1], [1, 0], [0, 1]], np.float32))
    augmenter = Augmenter(synonyms=1.0, lexicon=lambda word: table.get(word, ()), embedding=near)
    (text,) = _changed(augmenter, ("Please, turn it.",))
    assert text in ("Kindly, switch it.", "Kindly, sea it.")
    (text,) = _changed(Augmenter(neighbours=1.0, embedding=near), ("Please, turn it.",))
    assert text in ("Please, switch it.", "Please, sea it.")


def test_a_slots_filler_becomes_another_of_that_slot() -> None:
    augmenter = Augmenter(fill=1.0, slots={"area": ["living room", "kitchen"], "name": ["fan", "tv"]})
    assert _changed(augmenter, ("Fan in the Living room, please",)) == ["Tv in the Kitchen, please"]


def test_scripts_without_blanks_change_by_character() -> None:
    (text,) = _changed(Augmenter(delete=0.5), ("打开客厅的灯好吗",))
    assert 0 < len(text) < 8
    assert set(text) <= set("打开客厅的灯好吗")


@settings(max_examples=40)
@given(st.lists(st.text(max_size=20), max_size=4), st.integers(0, 3))
def test_any_text_can_be_changed(texts: list[str], seed: int) -> None:
    augmenter = Augmenter(insert=0.5, swap=0.5, delete=0.5, noise=0.3, typos=0.3, mix=0.5)
    changed = list(augmenter(texts, ["x"] * len(texts), seed))
    assert len(changed) == len(texts)
    assert all(new.strip() or not old.strip() for (new, _), old in zip(changed, texts, strict=True))


def test_wordnet_and_mythes_files(tmp_path: Path) -> None:
    dictionary = tmp_path / "dict"
    dictionary.mkdir()
    for part in ("noun", "verb", "adj", "adv"):
        (dictionary / f"data.{part}").write_text("  1 licence\n")
        (dictionary / f"index.{part}").write_text("  1 licence\n")
    (dictionary / "data.noun").write_text(
        "  1 licence\n00000012 03 n 03 car 0 auto 0 motor_car 0 001 @ 00000099 n 0000 | a vehicle\n"
        "00000099 03 n 02 car 1 railcar 0 000 | a wagon\n"
    )
    (dictionary / "index.noun").write_text("  1 licence\ncar n 2 1 @ 2 1 00000012 00000099\nauto n 1 0 1 0 00000012\n")
    lexicon = read_synonyms(dictionary)
    assert list(lexicon("car")) == ["auto", "motor car"]
    assert list(lexicon("auto")) == ["car", "motor car"]
    assert list(lexicon("ship")) == []
    thesaurus = tmp_path / "th_eu.dat"
    entries = "ISO8859-1\nEtxe|2\n-|bizitegi|eraikin (generic term)|etxé\n-|familia\nbai|0\n"
    thesaurus.write_bytes(entries.encode("latin-1"))
    assert list(read_synonyms(thesaurus)("etxe")) == ["bizitegi", "etxé"]
    thesaurus.write_text("UTF-8\nEtxe|zwei\n")
    with pytest.raises(InputError, match="is damaged"):
        read_synonyms(thesaurus)


def test_an_augmentation_is_parsed_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "slots.toml").write_text('area = ["kitchen", "hall"]\n')
    np.savez(tmp_path / "e.npz", words=np.array(["a", "b"]), vectors=np.eye(2))
    spec = f"swap=0.1, delete=0.05,fill=0.5:{tmp_path}/slots.toml,neighbours=0.2:{tmp_path}/e.npz,keyboard=qwertz"
    augmenter = parse_augmentation(spec)
    assert (augmenter.swap, augmenter.delete, augmenter.fill, augmenter.keyboard) == (0.1, 0.05, 0.5, "qwertz")
    assert augmenter.describe() == "neighbours=0.2,swap=0.1,delete=0.05,fill=0.5"
    assert augmenter.embedding is not None
    assert list(augmenter.embedding("a")) == ["b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("swop=0.1", r"'swop=0.1' is not NAME=PROBABILITY: did you mean swap\?"),
        ("swap", "is not NAME=PROBABILITY"),
        ("swap=much", "has no number: write swap=0.1"),
        ("swap=1.5", r"The probability swap is 1\.5: expected 0 to 1"),
        ("swap=nan", "The probability swap is nan"),
        ("synonyms=0.1", "The probability synonyms needs a file"),
        ("synonyms=0.1:/nowhere/th.dat", "cannot be read: No such file"),
        ("neighbours=0.1:/nowhere.npz", "cannot be read: No such file"),
        ("fill=0.1:/nowhere.toml", "cannot be read: No such file"),
        ("keyboard=dvorak,swap=0.1", "no keyboard 'dvorak': choose one of"),
    ],
)
def test_a_wrong_augmentation_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_augmentation(text)


_RATE = 16_000
_TONE = np.sin(2 * np.pi * 440 * np.arange(_RATE) / _RATE).astype(np.float32)


def _pitch_hz(samples: np.ndarray) -> float:  # type: ignore[type-arg]
    middle = samples[len(samples) // 4 : -len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 18))
    return float(spectrum.argmax() * _RATE / (1 << 18))


def test_noise_has_the_ratio_that_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    hum = np.sin(np.arange(900)).astype(np.float32)
    for noise in (None, hum):
        added = add_noise(_TONE, 10.0, rng, noise) - _TONE
        assert 10 * np.log10(np.mean(_TONE**2) / np.mean(added**2)) == pytest.approx(10.0, abs=0.01)
    assert not add_noise(np.zeros(100, np.float32), 10.0, rng).any()


def test_the_pitch_moves_without_the_length_and_the_length_without_the_pitch() -> None:
    assert _pitch_hz(_TONE) == pytest.approx(440, abs=0.5)
    higher = shift_pitch(_TONE, 3.0)
    assert len(higher) == len(_TONE)
    assert _pitch_hz(higher) == pytest.approx(440 * 2**0.25, rel=0.005)
    for rate in (0.8, 1.25):
        other = stretch(_TONE, rate)
        assert len(other) == round(len(_TONE) / rate)
        assert _pitch_hz(other) == pytest.approx(440, rel=0.005)
        middle = other[len(other) // 4 : -len(other) // 4]
        assert np.sqrt(np.mean(middle**2)) == pytest.approx(np.sqrt(0.5), rel=0.05)


def test_shifting_moves_silence_in() -> None:
    samples = np.arange(1, 5, dtype=np.float32)
    assert shift_time(samples, 1).tolist() == [0, 1, 2, 3]
    assert shift_time(samples, -3).tolist() == [4, 0, 0, 0]
    assert shift_time(samples, 9).tolist() == [0, 0, 0, 0]


def test_masks_cover_whole_frames_and_bands_no_wider_than_asked() -> None:
    features = np.random.default_rng(0).standard_normal((50, 20)).astype(np.float32)
    masked = spec_augment(features, np.random.default_rng(1), value=-9.0, time_width=5, band_width=3)
    hidden = masked == -9.0
    rows, columns = hidden.all(axis=1), hidden.all(axis=0)
    assert (hidden == (rows[:, None] | columns[None, :])).all()
    assert 1 <= rows.sum() <= 10
    assert 1 <= columns.sum() <= 6
    assert (masked[~hidden] == features[~hidden]).all()


def test_an_audio_augmenter_is_seeded_and_keeps_length_and_type() -> None:
    augmenter = AudioAugmenter(noise=0.5, pitch=0.5, rate=0.5, shift=0.5)
    first, again = (augmenter(_TONE, np.random.default_rng(4)) for _ in range(2))
    assert first.dtype == np.float32
    assert len(first) == len(_TONE)
    assert (first == again).all()
    assert (AudioAugmenter()(_TONE, np.random.default_rng(0)) == _TONE).all()
    with pytest.raises(InputError, match="The probability pitch is 2"):
        AudioAugmenter(pitch=2)


@pytest.mark.slow
def test_pictures_are_changed_in_training_alone() -> None:
    from edgewright_converter.language.augment.pictures import picture_layers

    layers = picture_layers(crop=(8, 8), flip="horizontal", rotate=0.1, seed=1)
    pictures = np.random.default_rng(0).random((4, 12, 12, 1)).astype(np.float32)
    assert (np.asarray(layers(pictures, training=False)) == pictures[:, 2:10, 2:10]).all()
    changed = np.asarray(layers(pictures, training=True))
    assert changed.shape == (4, 8, 8, 1)
    assert not (changed == pictures[:, 2:10, 2:10]).all()
    with pytest.raises(InputError, match="No change of the pictures"):
        picture_layers()


def test_words_are_drawn_for_insertions_from_the_corpus() -> None:
    known = {word.strip(".,!?").lower() for text in _MANY for word in text.split()} | {"what's"}
    longer = _changed(Augmenter(insert=0.5))
    assert sum(len(text.split()) for text in longer) > 1.3 * sum(len(text.split()) for text in _MANY)
    assert {word.strip(".,!?").lower() for text in longer for word in text.split()} <= known
