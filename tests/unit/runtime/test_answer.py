"""One question, one answer."""

from pathlib import Path

import numpy as np
import pytest
from unit.models import LABELS, FlatbufferBuilder, tiny_bundle, tiny_text_model, tiny_tokenizer, write_bundle

from edgewright_runtime.answer import classify, compute
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.errors import InputError
from edgewright_runtime.model import load_model

SAMPLES = [np.zeros((1, 1, 8), np.int32)]


def test_labels_come_best_first(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "x.ewb"))
    with load_model(bundle) as engine:
        answers = classify(bundle, engine, "what's the weather like?")
        assert classify(bundle, engine, "what's the weather like?", top=1) == answers[:1]
    assert answers[0]["label"] == "weather"
    assert {answer["label"] for answer in answers} == set(LABELS)
    assert sum(answer["probability"] for answer in answers) == pytest.approx(1)
    assert answers == sorted(answers, key=lambda answer: -answer["probability"])


def _binary_model() -> bytes:
    """tokens (1, 8) → the logistic function of the first token - 3, (1, 1)."""
    graph = FlatbufferBuilder()
    tokens, real = graph.tensor("tokens", (1, 8), "int32"), graph.tensor("real", (1, 8))
    weights = graph.tensor("w", (1, 8), data=np.array([[1] + [0] * 7]))
    bias = graph.tensor("b", (1,), data=np.array([-3]))
    logit, out = graph.tensor("logit", (1, 1)), graph.tensor("out", (1, 1))
    graph.operator("CAST", 1, [tokens], real)
    graph.dense(real, weights, bias, logit)
    graph.operator("LOGISTIC", 1, [logit], out)
    return graph.build({"tokens": tokens}, {"out": out})


def test_one_probability_is_that_of_the_second_of_two_labels(tmp_path: Path) -> None:
    extra = {"labels": b'["no", "yes"]', "tokenizer": tiny_tokenizer()}
    bundle = Bundle.open(write_bundle(tmp_path / "x.ewb", _binary_model(), SAMPLES, extra))
    with load_model(bundle) as engine:
        yes, no = classify(bundle, engine, "weather")  # token 5, so 2 for yes
    assert (yes["label"], no["label"]) == ("yes", "no")
    assert yes["probability"] == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)
    assert yes["probability"] + no["probability"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("extra", "labels"),
    [({}, {"0", "1", "2"}), ({"labels": b'["a","b","c"]'}, {"a", "b", "c"}), ({"labels": b'["a"]'}, None)],
)
def test_labels_may_be_missing_but_not_too_few(
    tmp_path: Path, extra: dict[str, bytes], labels: set[str] | None
) -> None:
    extra = {**extra, "tokenizer": tiny_tokenizer()}
    bundle = Bundle.open(write_bundle(tmp_path / "x.ewb", tiny_text_model(), SAMPLES, extra))
    with load_model(bundle) as engine:
        if labels is None:
            with pytest.raises(InputError, match="1 labels, the model 3 classes"):
                classify(bundle, engine, "on")
        else:
            assert {answer["label"] for answer in classify(bundle, engine, "on")} == labels


def test_a_tokenizer_of_another_length_is_refused(tmp_path: Path) -> None:
    extra = {"tokenizer": tiny_tokenizer().replace(b'"max_length":8', b'"max_length":9')}
    bundle = Bundle.open(write_bundle(tmp_path / "x.ewb", tiny_text_model(), SAMPLES, extra))
    with load_model(bundle) as engine, pytest.raises(InputError, match=r"shape \(9,\), the model expects \(1, 8\)"):
        classify(bundle, engine, "on")


def test_arrays_by_name(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "x.ewb"))
    np.savez(tmp_path / "in.npz", tokens=np.array([3, 0, 0, 0, 0, 0, 0, 0]), other=np.zeros(1))
    with load_model(bundle) as engine:
        (output,) = compute(engine, tmp_path / "in.npz")
        np.savez(tmp_path / "in.npz", other=np.zeros(1))
        with pytest.raises(InputError, match="lacks tokens: it holds other"):
            compute(engine, tmp_path / "in.npz")
    assert {key: output[key] for key in ("name", "shape", "dtype")} == {
        "name": "probabilities",
        "shape": [1, 3],
        "dtype": "float32",
    }
    assert int(np.argmax(output["values"])) == 0
