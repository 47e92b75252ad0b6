"""Scoring a model's answers on the device."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.models import WORDS, FlatbufferBuilder, tiny_bundle, tiny_text_model, words_tokenizer, write_bundle

from edgewright_runtime.answer import classify
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.dataset import load_dataset, score
from edgewright_runtime.errors import InputError
from edgewright_runtime.model import load_model
from edgewright_runtime.predict import pack_pieces

TEXTS = ["lights on", "lights off", "how is the weather", "turn on please"]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return Bundle.open(tiny_bundle(tmp_path / "tiny.ewb"))


def _packed(texts: list[str]) -> dict[str, Any]:
    return pack_pieces("text", [np.frombuffer(text.encode(), np.uint8) for text in texts])


def _accuracy(bundle: Bundle, path: Path, **arrays: Any) -> tuple[float, int]:
    np.savez(path, **arrays)
    with load_model(bundle) as engine:
        result = score(engine, load_dataset(path, bundle))
    assert (result.metric, result.seconds > 0) == ("accuracy", True)
    return result.value, result.count


def test_sentences(bundle: Bundle, tmp_path: Path) -> None:
    assert _accuracy(bundle, tmp_path / "d.npz", **_packed(TEXTS), y=np.array([0, 1, 2, 1])) == (0.75, 4)


def test_long_texts_are_read_in_windows(tmp_path: Path) -> None:
    text = " ".join(["lights off", *["the"] * 40, "weather"])  # the first window holds "off", the last one "weather"
    scores = []
    for pooling in (None, "mean", "max"):
        tokenizer = words_tokenizer(WORDS, 8, pooling=pooling)
        samples = [np.stack([tokenizer.encode(text)[np.newaxis]])]
        path = write_bundle(tmp_path / f"{pooling}.ewb", tiny_text_model(), samples, {"tokenizer": tokenizer.to_json()})
        bundle = Bundle.open(path)
        with load_model(bundle) as engine:
            best = classify(bundle, engine, text, top=3)
            rows = tokenizer.windows(text)
            answers = np.stack([engine.invoke([row[np.newaxis]])[0][0] for row in rows])
        wanted = {None: answers[0], "mean": answers.mean(axis=0), "max": answers.max(axis=0)}[pooling]
        assert [answer["probability"] for answer in best] == pytest.approx(sorted(wanted.tolist(), reverse=True))
        scores.append(
            [
                _accuracy(bundle, tmp_path / "d.npz", **_packed([text, "on"]), y=np.array([label, 0]))[0]
                for label in range(3)
            ]
        )
        assert scores[-1][int(wanted.argmax())] == 1.0
    assert scores[0] == [0.5, 1.0, 0.5]


def test_arrays(bundle: Bundle, tmp_path: Path) -> None:
    tokenizer = bundle.tokenizer()
    assert tokenizer is not None
    ids = np.stack([tokenizer.encode(text) for text in TEXTS]).astype(np.int64)
    assert _accuracy(bundle, tmp_path / "d.npz", **{"x.tokens": ids, "y": np.array([0, 1, 2, 0])}) == (1.0, 4)


def test_real_numbers_for_a_quantized_model(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "int8.ewb", kind="int8"))
    x = np.eye(3, 4, dtype=np.float32)
    assert _accuracy(bundle, tmp_path / "d.npz", **{"x.x": x, "y": np.array([0, 1, 0])}) == (pytest.approx(2 / 3), 3)


def test_one_output_per_sample_is_a_probability_and_batches_are_filled_up(tmp_path: Path) -> None:
    graph = FlatbufferBuilder()
    x, y = graph.tensor("x", (2, 1)), graph.tensor("y", (2, 1))
    graph.operator("LOGISTIC", 1, [x], y)
    model = graph.build({"x": x}, {"y": y})
    bundle = Bundle.open(write_bundle(tmp_path / "binary.ewb", model, [np.zeros((1, 2, 1), np.float32)]))
    x_test = np.array([[3], [-3], [2]], np.float32)
    assert _accuracy(bundle, tmp_path / "d.npz", **{"x.x": x_test, "y": np.array([1, 0, 1])}) == (1.0, 3)


def test_progress_reaches_the_end(bundle: Bundle, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", **_packed(TEXTS), y=np.zeros(4, int))
    seen: list[tuple[int, int]] = []
    with load_model(bundle) as engine:
        score(engine, load_dataset(tmp_path / "d.npz", bundle), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


IDS = np.zeros((2, 8), np.int32)
LABELS = np.array([0, 2])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"lacks x\.tokens: it holds nothing"),
        ({"x": IDS}, r"lacks x\.tokens: it holds x"),
        ({"x.tokens": IDS}, "labels y"),
        ({"x.tokens": IDS, "y": np.zeros(3, int)}, "same number"),
        ({"x.tokens": IDS[:0], "y": LABELS[:0]}, "one at least"),
        ({"x.tokens": np.int32(3), "y": LABELS}, "same number"),
        ({"x.tokens": IDS[:, :7], "y": LABELS}, r"shape \(7,\), the model takes \(8,\)"),
        ({"x.tokens": IDS.astype(float), "y": LABELS}, "tokens is float64"),
        ({"x.tokens": IDS, "y": LABELS.astype(float)}, "whole numbers"),
        ({"x.tokens": IDS, "y": np.array([0, 3])}, "knows 0 to 2"),
        ({"x.tokens": IDS, "y": np.array([0, -1])}, "reach from -1"),
        ({"x.tokens": IDS, "y": np.zeros((2, 1), int)}, "label y has shape"),
        ({"text": np.array([1, 2]), "y": LABELS}, "no text that can be told apart"),
        ({**_packed(["a", "b"]), "y": LABELS[:1]}, "same number"),
    ],
)
def test_data_that_does_not_fit_is_refused(
    bundle: Bundle, tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        _accuracy(bundle, tmp_path / "d.npz", **arrays)


def test_sentences_for_a_model_without_a_tokenizer(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "plain.ewb", kind="float32"))
    with pytest.raises(InputError, match=r"give x\.<input name>"):
        _accuracy(bundle, tmp_path / "d.npz", **_packed(TEXTS), y=np.zeros(4, int))
