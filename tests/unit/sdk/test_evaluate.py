"""The same samples here and on devices: equal answers, the figures that they have, and what cannot be scored."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from unit.models import LABELS, FlatbufferBuilder, tiny_bundle, write_bundle

from edgewright.cli.main import cli
from edgewright.errors import InputError
from edgewright.evaluate import FLATBUFFER, evaluate
from edgewright.remote import Remote
from edgewright.scores import save, to_markdown
from edgewright_runtime.bundle import Bundle


def test_a_device_answers_as_the_host_does(kitchen: Remote, bundle: Path, data: Path) -> None:
    found = evaluate(bundle, data=data, devices=[kitchen])
    assert list(found.scores) == [FLATBUFFER, "kitchen"]
    for scores in found.scores.values():
        assert scores.accuracy.value == 0.75
        assert scores.accuracy.low < 0.75 < scores.accuracy.high
        assert scores.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
        assert [row.recall.value for row in scores.per_class] == [0.5, 1.0, 1.0]
        assert scores.classes == tuple(LABELS)
    (agreement,) = found.agreements
    assert (agreement.samples, agreement.unequal_answers, agreement.unequal_inputs) == (4, 0, 0)
    assert agreement.max_difference < 1e-6
    assert found.engines[FLATBUFFER] == found.engines["kitchen"] != ""


def test_a_device_is_asked_once(kitchen: Remote, bundle: Path, data: Path) -> None:
    told: list[str] = []
    with pytest.raises(InputError, match="A device is asked once"):
        evaluate(bundle, data=data, devices=[kitchen, kitchen], progress=lambda step, share: told.append(step))
    assert told == []  # before anything is asked


@pytest.mark.slow
def test_a_device_that_answers_otherwise_is_found_out(kitchen: Remote, bundle: Path, data: Path, home: Path) -> None:
    """Its runtime is replaced by one that takes "on" for "off" and swaps two classes."""
    (runtime,) = (home / "runtimes").glob("*/edgewright_runtime/predict.py")
    text = runtime.read_text()
    changed = text.replace("windows(text.tobytes())", "windows(text.tobytes().replace(b'on', b'off'))")
    assert changed != text
    runtime.write_text(changed)
    found = evaluate(bundle, data=data, devices=[kitchen])
    (agreement,) = found.agreements
    assert (agreement.unequal_answers, agreement.unequal_inputs) == (1, 1)
    assert agreement.max_difference > 0.5
    assert found.scores["kitchen"].accuracy.value == 0.5


def test_only_the_test_part_is_asked_and_any_text_survives(kitchen: Remote, bundle: Path, tmp_path: Path) -> None:
    rows = [
        {"text": "turn on", "label": "lights_on", "split": "train"},
        {"text": "weather \ud800 lone", "label": "weather", "split": "test"},
        {"text": "വെളിച്ചം off 🏳️‍🌈", "label": "lights_off", "split": "test"},
        {"text": "on " + "the " * 200_000, "label": "lights_on", "split": "test"},
    ]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = evaluate(bundle, data=tmp_path / "data.jsonl", devices=[kitchen])
    assert found.scores["kitchen"].samples == 3
    assert found.agreements[0].unequal_inputs == 0
    assert [row.support for row in found.scores["kitchen"].per_class] == [1, 1, 1]


@pytest.mark.slow
def test_arrays_and_quantized_answers(kitchen: Remote, tmp_path: Path) -> None:
    x = np.concatenate([np.eye(3, 4, dtype=np.float32)] * 4)
    for kind in ("float32", "int8"):
        bundle = tiny_bundle(tmp_path / f"{kind}.ewb", kind=kind)
        found = evaluate(bundle, data={"x_test": x, "y_test": [0, 1, 2] * 4}, devices=[kitchen])
        scores = found.scores["kitchen"]
        assert (scores.samples, scores.accuracy.value) == (12, 1.0)
        assert scores.classes == ("0", "1", "2")
        assert found.agreements[0].unequal_inputs is None
        assert scores.calibration_error is not None
        assert scores.calibration_error.value > 0


def test_one_hot_labels_and_a_batch(tmp_path: Path) -> None:
    x, y = np.eye(3, 4, dtype=np.float32), np.eye(3, dtype=np.float32)
    found = evaluate(tiny_bundle(tmp_path / "float.ewb", kind="float32"), data={"x_test": x, "y_test": y})
    assert found.scores[FLATBUFFER].confusion.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert found.agreements == ()


def test_logits_become_probabilities(tmp_path: Path) -> None:
    graph = FlatbufferBuilder()
    x, out = graph.tensor("x:0", (1, 2)), graph.tensor("out:0", (1, 2))
    graph.dense(x, graph.tensor("w", (2, 2), data=5 * np.eye(2)), graph.tensor("b", (2,), data=np.zeros(2)), out)
    bundle = write_bundle(tmp_path / "b.ewb", graph.build({"x": x}, {"logits": out}), [np.eye(2, dtype="f4")[:, None]])
    found = evaluate(bundle, data={"x_test": np.eye(2, dtype="f4"), "y_test": [0, 1]})
    calibration = found.scores[FLATBUFFER].calibration_error
    assert calibration is not None
    assert calibration.value == pytest.approx(1 - 1 / (1 + np.exp(-5)), abs=1e-6)


def test_one_class_only_is_scored_with_a_warning(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("text,label\nlights on,lights_on\non,lights_on\n")
    found = evaluate(bundle, data=tmp_path / "one.csv")
    (warning,) = found.warnings
    assert warning == "Every sample has the label lights_on: these figures say nothing about the other classes."


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("text,label\nhello,greeting\n", r"has the label 'greeting', which tiny does not know: it has lights_on"),
        ("text,kind\nhello,greeting\n", r"has no column label \(labels there: none\)"),
    ],
)
def test_data_that_belongs_to_another_model(bundle: Path, tmp_path: Path, content: str, sentence: str) -> None:
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(InputError, match=sentence):
        evaluate(bundle, data=tmp_path / "bad.csv")


def test_numbers_of_classes_that_do_not_exist(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "float.ewb", kind="float32")
    with pytest.raises(InputError, match="has the label 3, tiny has classes 0 to 2"):
        evaluate(bundle, data={"x_test": np.eye(3, 4), "y_test": [0, 1, 3]})
    (tmp_path / "texts.csv").write_text("text,label\nhello,1\n")
    with pytest.raises(InputError, match="takes no texts"):
        evaluate(bundle, data=tmp_path / "texts.csv")


def test_the_command_s_table_and_documents(kitchen: Remote, bundle: Path, data: Path, tmp_path: Path) -> None:
    shown = CliRunner().invoke(cli, ["evaluate", str(bundle), "--data", str(data), "-o", str(tmp_path / "s.md")])
    assert shown.exit_code == 0, shown.output
    assert "accuracy" in shown.stdout
    assert "0.7500 [0.3006, 0.9544]" in shown.stdout
    markdown = (tmp_path / "s.md").read_text()
    assert "| F1, macro | 0.7778 [" in markdown
    assert "| lights_on | 1 | 1 | 0 |" in markdown
    document = json.loads(CliRunner().invoke(cli, ["evaluate", str(bundle), "--data", str(data), "--json"]).stdout)
    assert document["kind"] == "evaluation"
    assert document["places"][0]["accuracy"]["value"] == 0.75
    assert document["places"][0]["confusion"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_many_classes_list_the_confusions(tmp_path: Path) -> None:
    data = {"x_test": np.eye(3, 4), "y_test": [1, 1, 2]}
    found = evaluate(tiny_bundle(tmp_path / "f.ewb", kind="float32"), data=data)
    assert "| 1 | 1 | 1 | 0 |" in to_markdown(found)
    save(tmp_path / "all.json", found)
    assert json.loads((tmp_path / "all.json").read_text())["bundle"]["id"] == Bundle.open(tmp_path / "f.ewb").id
    with pytest.raises(InputError, match="An evaluation is written as"):
        save(tmp_path / "all.txt", found)
