"""The model `linear`: its solution beside liblinear's, the directions it keeps, and that it learns."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewright_converter.language.data import Corpus, split
from edgewright_converter.language.training import Settings, linear
from edgewright_converter.language.training.run import _train
from edgewright_converter.pipeline import convert
from edgewright_runtime.errors import InputError

VOCABULARY = 60
THINGS = ("lamp", "fan", "door", "oven", "radio", "blind")
SAID = {"on": ("start", "light", "open"), "off": ("stop", "end", "shut"), "ask": ("is", "what", "how")}


def texts(count: int = 300) -> tuple[Any, Any]:
    """(texts, length) ids of which a few tell the class, and (texts,) classes."""
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, count)
    x = rng.integers(10, VOCABULARY, (count, 8))
    x[:, 0] = np.where(rng.random(count) < 0.8, 1 + y, 9)
    x[:, 6:] = 0  # padding
    return x.astype(np.int32), y


@pytest.mark.slow
def test_it_is_the_support_vector_machine_that_liblinear_finds() -> None:
    svm = pytest.importorskip("sklearn.svm")
    x, y = texts()
    rows = linear.counted(x)
    positive = np.eye(3, dtype=bool)[y]
    ratio = linear.log_ratios(rows, positive, VOCABULARY)
    table, bias = linear.support_vectors(rows, positive, ratio, np.full(len(x), 0.1), 200, 0)
    counts = np.stack([np.bincount(row, minlength=VOCABULARY) * (np.arange(VOCABULARY) > 0) for row in x])
    for column in range(3):
        peer = svm.LinearSVC(C=0.1, max_iter=10_000, tol=1e-6).fit(counts * ratio[:, column], positive[:, column])
        np.testing.assert_allclose(table[:, column], peer.coef_[0] * ratio[:, column], atol=2e-3)
        assert bias[column] == pytest.approx(peer.intercept_[0], abs=2e-3)
    assert (table[0] == 0).all()  # the padding says nothing


def test_all_directions_but_one_say_everything() -> None:
    x, y = texts()
    rows = linear.counted(x)
    positive = np.eye(3, dtype=bool)[y]
    ratio = linear.log_ratios(rows, positive, VOCABULARY)
    table, _ = linear.support_vectors(rows, positive, ratio, np.full(len(x), 0.1), 5, 0)
    table -= table.mean(1, keepdims=True)
    whole = linear._sums(rows, table)
    errors = []
    for width in (1, 2):
        narrow, kernel = linear._directions(rows, table, width)
        assert (narrow.shape, kernel.shape) == ((VOCABULARY, width), (width, 3))
        errors.append(np.abs(linear._sums(rows, narrow) @ kernel - whole).max())
    assert errors[1] < 1e-4 < errors[0]


def test_a_power_of_the_ratio_keeps_its_sign_and_none_makes_all_alike() -> None:
    x, y = texts()
    rows, positive = linear.counted(x), np.eye(3, dtype=bool)[y]
    whole, root, none = (linear.log_ratios(rows, positive, VOCABULARY, power) for power in (1.0, 0.5, 0.0))
    np.testing.assert_allclose(root * np.abs(root), whole, atol=1e-5)
    np.testing.assert_array_equal(none, np.sign(whole))


def said() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sentences, and what each of them is for."""
    rows = [
        (f"{verb} the {thing} {number} {mark}", label)
        for label, verbs in SAID.items()
        for verb in verbs
        for thing in THINGS
        for number in ("one", "two")
        for mark in ("now", "!")
    ]
    sentences, labels = zip(*rows, strict=True)
    return sentences, labels


@pytest.mark.slow
def test_it_learns_with_hashed_words_and_refuses_what_it_cannot(tmp_path: Path) -> None:
    sentences, labels = said()
    splits = split(Corpus(sentences, {"label": labels}), test=0.3, validation=0.1)
    hashed = {"characters": (3, 3), "whole": True, "signs": True, "stem": 4}
    settings = Settings(model="linear", tokenizer="hashed", vocabulary=500, length=32, tokenizer_options=hashed)
    output = tmp_path / "said.keras"
    trained = _train(splits, output, settings, False, lambda step, share: None)
    assert trained.metrics["test"]["label"]["accuracy"]["value"] > 0.95
    assert trained.parameters == 500 * 2 + 2 * 3 + 3
    two = {"label": labels, "verb": tuple(text.split()[0] for text in sentences)}
    parts = split(Corpus(sentences, two), test=0.3, validation=0.1)
    with pytest.raises(InputError, match=r"answers one question: give one --label"):
        _train(parts, tmp_path / "refused.keras", settings, False, lambda step, share: None)
    for asked in ({"pretrain": "masked"}, {"token_deletion": 0.2}, {"learning_rate": 0.1}):
        (option,) = asked
        with pytest.raises(InputError, match=f"not trained: leave --{option.replace('_', '-')} out"):
            _train(splits, tmp_path / "refused.keras", replace(settings, **asked), False, lambda step, share: None)
    for options, expected in (
        ({"cost": -1}, "cost is -1: expected a"),
        ({"ratio": 2}, "ratio is 2: expected a"),
        ({"codes": 9}, "0 to 8 bytes"),
        ({"kernels": 3}, "no option 'kernels'"),
    ):
        wrong = replace(settings, options=options)
        with pytest.raises(InputError, match=expected):
            _train(splits, tmp_path / "refused.keras", wrong, False, lambda step, share: None)
    assert not list(tmp_path.glob("refused*"))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["int8-fast", "int8-qat"])
def test_with_codes_a_token_is_a_byte_and_the_flatbuffer_answers_alike(tmp_path: Path, recipe: str) -> None:
    sentences, labels = said()
    splits = split(Corpus(sentences, {"label": labels}), test=0.3, validation=0.1)
    settings = Settings(
        model="linear",
        options={"codes": 1, "cost": 0.1},
        tokenizer="hashed",
        vocabulary=20_000,
        length=32,
        tokenizer_options={"characters": (3, 3), "whole": True},
    )
    model = tmp_path / "said.keras"
    trained = _train(splits, model, settings, False, lambda step, share: None)
    assert trained.metrics["test"]["label"]["accuracy"]["value"] > 0.95
    assert trained.parameters == 20_000 + 256 * 2 + 2 * 3 + 3
    bundle = convert(model, output=tmp_path / "said.ewb", recipe=recipe, data=str(trained.files["data"]))
    figures = bundle.manifest.provenance["metrics"]
    assert figures["accuracy_after"] >= figures["accuracy_before"] - 0.02 > 0.93
    (flatbuffer,) = (file for file in bundle.manifest.files if file.path == "model.tflite")
    assert 20_000 < flatbuffer.size_bytes < 26_000
