"""Examples at small size, whole: training, conversion, a device, and the same answers there."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import keywords
import run
from tasks import TASKS, thin

from edgewright_converter.language.data import Corpus, split

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


def test_intents_answer_alike_on_the_host_and_the_device(folder: Path) -> None:
    pytest.importorskip("hassil", reason="the extra 'demo' is not installed")
    task = TASKS["intents-eu"]
    from edgewright_converter.language.data import intents

    corpus = thin(intents.read("eu", draws_per_template=6), 1500)
    row = run.example(replace(task, settings=replace(task.settings, epochs=6)), folder, splits=split(corpus))
    assert row.classes > 30
    assert row.bundle_bytes <= task.bytes_limit
    assert (row.unequal_inputs, row.unequal_answers) == (0, 0)
    assert row.device.value > 0.5  # of dozens of classes; the most frequent one is 8 %
    assert row.other.value > 0.5


@pytest.mark.parametrize("name", ["sentiment", "medical", "languages", "spam"])
def test_texts_are_classified_alike_on_the_host_and_the_device(folder: Path, name: str) -> None:
    task = TASKS[name]
    pools = {"good": "fine bright lovely great", "bad": "awful dull broken poor", "odd": "blue square seven round"}
    texts = {
        f"{first} {second} {thing}!": label
        for label, pool in pools.items()
        for first in pool.split()
        for second in pool.split()
        for thing in ("film", "book", "phone")
    }
    corpus = Corpus(tuple(texts), {"label": tuple(texts.values())})
    settings = replace(task.settings, vocabulary=1500, length=48, epochs=6, batch=16)
    row = run.example(replace(task, settings=settings), folder, splits=split(corpus, test=0.3))
    assert row.bundle_bytes < 25_000
    assert (row.unequal_inputs, row.unequal_answers) == (0, 0)
    assert row.device.value > 0.8


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng, which speaks the keywords, is not installed")
def test_keywords_are_heard_alike_on_the_host_and_the_device(folder: Path) -> None:
    task = TASKS["keywords"]
    keywords.synthesize(folder / "recordings", speakers=12)
    row = run.example(replace(task, settings=replace(task.settings, batch=16)), folder)
    assert row.bundle_bytes <= task.bytes_limit
    assert row.unequal_answers == 0
    assert row.device.value > 0.3  # of ten classes


def test_a_language_model_and_kneser_ney_are_judged_over_the_same_units(folder: Path) -> None:
    task = TASKS["english"]
    colours, left, right = ("old", "new", "red"), "abcdefgh", "ijklmn"
    sentences = [f"the {a} {b} sees the {c} house" for a in colours for b in left for c in right]
    settings = replace(task.settings, width=32, length=32, epochs=40, batch=16, learning_rate=1e-2)
    row = run.example(replace(task, settings=settings), folder, splits=split(Corpus(tuple(sentences)), test=0.2))
    assert row.bundle_bytes <= task.bytes_limit
    assert 0 < row.device.value < 2.0  # untrained it is 4.6
    assert 0 < row.other.value < 1.0
