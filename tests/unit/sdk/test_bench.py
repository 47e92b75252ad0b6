import json
from pathlib import Path

import numpy as np
import pytest
from unit.models import LABELS, WORDS, tiny_bundle, tiny_text_model, words_tokenizer, write_bundle

from edgewright.bench import bench, pack_data
from edgewright.errors import InputError
from edgewright.flash import flash
from edgewright.remote import Remote
from edgewright.run import run
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.dataset import load_dataset, score
from edgewright_runtime.model import load_model


def test_several_bundles_are_measured_in_their_order(kitchen: Remote, bundle: Path, tmp_path: Path, data: Path) -> None:
    other = tiny_bundle(tmp_path / "other.ewb", name="other", seed=1)
    told: list[tuple[str, float]] = []
    results = bench(
        [bundle, other],
        kitchen,
        data=data,
        launches=1,
        min_runs=20,
        min_seconds=0,
        progress=lambda step, fraction: told.append((step, fraction)),
    )
    assert [result.bundle["name"] for result in results] == ["tiny", "other"]
    for result in results:
        assert len(result.latency_ns) >= 20
        assert result.score is not None
        assert (result.score.value, result.score.count) == (0.75, 4)
        assert result.device == "kitchen"
        assert [operator["operator"] for operator in result.operators] == [
            "GATHER",
            "MEAN",
            "FULLY_CONNECTED",
            "SOFTMAX",
        ]
        assert [operator["bytes"] for operator in result.operators] == [11 * 4 * 4, 4, 12 * 4 + 3 * 4, 0]
    assert results[0].session == results[1].session
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_bench_does_not_change_what_is_in_use(kitchen: Remote, bundle: Path, tmp_path: Path) -> None:
    in_use = flash(bundle, kitchen).bundle_id
    bench(tiny_bundle(tmp_path / "other.ewb", seed=1), kitchen, min_runs=1, min_seconds=0)
    (model,) = kitchen.call("store-list", "--home", kitchen.home)["models"]
    assert model["current"] == in_use


def test_the_same_data_travels_once(kitchen: Remote, bundle: Path, data: Path, home: Path) -> None:
    bench(bundle, kitchen, data=data, min_runs=1, min_seconds=0)
    (sent,) = (home / "data").iterdir()
    before = sent.stat().st_mtime_ns
    bench(bundle, kitchen, data=data, min_runs=1, min_seconds=0)
    assert [path.stat().st_mtime_ns for path in (home / "data").iterdir()] == [before]


def test_a_missing_bundle_is_told_before_any_is_measured(kitchen: Remote, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no bundle"):
        bench([bundle, tmp_path / "missing.ewb"], kitchen)
    assert kitchen.call("store-list", "--home", kitchen.home)["models"] == []


def test_the_test_part_is_scored_and_inputs_find_their_names(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "float.ewb", kind="float32"))
    x = np.eye(3, 4, dtype=np.float32)
    packed = tmp_path / "packed.npz"
    for given in ({"x_test": x}, {"x_test.x": x}):
        packed.write_bytes(pack_data({"x_train": x[:1], "y_train": [0], **given, "y_test": [0, 1, 2]}, bundle))
        arrays = np.load(packed)
        assert np.array_equal(arrays["x.x"], x)
        assert arrays["y"].tolist() == [0, 1, 2]


def test_data_that_cannot_be_scored(tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle(tmp_path / "float.ewb", kind="float32"))
    x = np.eye(3, 4, dtype=np.float32)
    with pytest.raises(InputError, match="no labels to score by"):
        pack_data({"x_test": x}, bundle)
    with pytest.raises(InputError, match="has the inputs image; tiny takes x"):
        pack_data({"x_test.image": x, "y_test": [0, 1, 2]}, bundle)


def test_wrong_shapes_are_told_by_the_device(kitchen: Remote, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "float.ewb", kind="float32")
    with pytest.raises(InputError, match=r"On kitchen: .*shape"):
        bench(bundle, kitchen, data={"x_test": np.zeros((3, 5)), "y_test": [0, 1, 2]}, min_runs=1, min_seconds=0)


def test_run_answers_a_sentence(kitchen: Remote, bundle: Path) -> None:
    answer = run(bundle, kitchen, text="turn the lights on", top=1)
    assert [best["label"] for best in answer["labels"]] == ["lights_on"]
    flash(bundle, kitchen)
    assert run("tiny", kitchen, text="--weather")["labels"][0]["label"] == "weather"


def test_run_answers_arrays(kitchen: Remote, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.array([[2, 0, 0, 0]], np.float32))
    answer = run(tiny_bundle(tmp_path / "int8.ewb", kind="int8"), kitchen, inputs=tmp_path / "in.npz")
    (output,) = answer["outputs"]
    assert output["name"] == "probabilities"
    assert int(np.argmax(output["values"])) == 0
    json.dumps(answer)


def test_run_refuses_what_it_cannot_ask(kitchen: Remote, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give one of them"):
        run(bundle, kitchen)
    with pytest.raises(InputError, match="There is no file"):
        run(bundle, kitchen, inputs=tmp_path / "missing.npz")
    with pytest.raises(InputError, match=r"On kitchen: There is no model nothing .*flash it first"):
        run("nothing", kitchen, text="x")
    with pytest.raises(InputError, match=r"There is no bundle at .*missing\.ewb"):
        run(tmp_path / "missing.ewb", kitchen, text="x")


def test_long_texts_are_scored_in_windows(tmp_path: Path) -> None:
    """What decides about the text stands behind its first window."""
    table, scores = tmp_path / "data.csv", []
    table.write_text("text,label\n" + f"{'the ' * 40}weather weather weather weather,weather\n" * 3)
    for pooling in (None, "max"):
        extra = {
            "labels": json.dumps(LABELS).encode(),
            "tokenizer": words_tokenizer(WORDS, 8, pooling=pooling).to_json(),
        }
        path = tmp_path / f"{pooling}.ewb"
        bundle = Bundle.open(write_bundle(path, tiny_text_model(), [np.zeros((1, 1, 8), np.int32)], extra))
        (tmp_path / "data.npz").write_bytes(pack_data(table, bundle))
        with load_model(bundle) as engine:
            scores.append(score(engine, load_dataset(tmp_path / "data.npz", bundle)))
    assert [(one.value, one.count) for one in scores][1] == (1.0, 3)
    assert scores[0].value < 1
