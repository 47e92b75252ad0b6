"""The main job as a new user runs it, in the language with the fewest sentences."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgewright_runtime.plan import LAUNCHES

pytestmark = pytest.mark.slow


def _edgewright(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgewright", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def document(folder: Path) -> dict[str, object]:
    done = _edgewright("demo", "--language", "te", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "te: 2 intents" in done.stderr
    return dict(json.loads(done.stdout))


def test_it_scores_three_bundles_on_the_device(document: dict[str, object]) -> None:
    results = document["results"]
    assert isinstance(results, list)
    assert [result["bundle"]["mode"] for result in results] == ["float32", "dynamic-int8", "int8"]
    for result in results:
        assert result["engine"]["name"] == "litert"
        assert len(result["latency_ns"]) >= 50
        assert result["memory_bytes"]["peak"] > result["memory_bytes"]["interpreter"]
        assert len(result["startup_ns"]["import"]) == LAUNCHES
    # The same sentences through the same tokenizer: a float32 flatbuffer scores what Keras scored.
    assert results[0]["score"]["value"] == pytest.approx(document["keras_accuracy"], abs=1e-9)


def test_it_leaves_model_bundles_results_and_a_page_that_needs_no_network(
    folder: Path, document: dict[str, object]
) -> None:
    made = folder / "edgewright-demo"
    expected = {
        "intents.keras",
        "float32.ewb",
        "dynamic-int8.ewb",
        "int8.ewb",
        "results.json",
        "report.html",
        "intents.test.csv",
    }
    assert expected <= {path.name for path in made.iterdir()}
    page = (made / "report.html").read_text("utf-8")
    assert page.count("<svg") >= 3
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_the_device_has_an_engine_and_no_tensorflow(folder: Path, document: dict[str, object]) -> None:
    installed = {path.name for path in (folder / "edgewright-demo/device").rglob("*") if path.is_dir()}
    assert "ai_edge_litert" in installed
    assert not installed & {"tensorflow", "keras"}


def test_the_flashed_model_answers_a_sentence(folder: Path, document: dict[str, object]) -> None:
    device = f"local:{folder / 'edgewright-demo/device'}"
    row = (folder / "edgewright-demo/intents.test.csv").read_text("utf-8").splitlines()[1].split(",")[0]
    done = _edgewright("run", "intents-int8", device, "--text", row, "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    labels = json.loads(done.stdout)["labels"]
    assert {entry["label"] for entry in labels} == {"HassTurnOn", "HassTurnOff"}


def test_an_unknown_language_is_an_input_error(folder: Path) -> None:
    done = _edgewright("demo", "--language", "tlh", "-o", "other", folder=folder)
    assert done.returncode == 3
    assert "choose one of af, ar" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "other").exists()
