"""A threshold for a wanted precision: on hand-made answers, on a bundle, and what it does to an evaluation."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.models import TASK, tiny_bundle

from edgewright.errors import InputError
from edgewright.evaluate import FLATBUFFER, evaluate
from edgewright.scores import to_markdown
from edgewright.threshold import choose, choose_for, parse_threshold, with_threshold
from edgewright_runtime.bundle import Bundle

CONFIDENCE = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
RIGHT = np.array([True, True, False, True, False])


@pytest.mark.parametrize(
    ("wanted", "value", "precision", "coverage"),
    [(1.0, 0.75, 1.0, 0.4), (0.75, 0.55, 0.75, 0.8), (0.6, 0.5, 0.6, 1.0), (0.1, 0.5, 0.6, 1.0)],
)
def test_most_are_answered_that_the_precision_allows(
    wanted: float, value: float, precision: float, coverage: float
) -> None:
    found = choose(CONFIDENCE, RIGHT, wanted)
    assert found.value == pytest.approx(value)
    assert found.coverage == coverage
    assert found.precision is not None
    assert found.precision.value == pytest.approx(precision)
    assert found.precision.low < found.precision.value


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9, 1.0]), st.booleans()), min_size=1), st.floats(0.01, 1))
def test_what_is_promised_is_what_the_value_does(pairs: list[tuple[float, bool]], wanted: float) -> None:
    confidence, right = np.array([p for p, _ in pairs]), np.array([r for _, r in pairs])
    try:
        found = choose(confidence, right, wanted)
    except InputError:
        for value in confidence:  # none would do
            assert right[confidence >= value].mean() < wanted
        return
    reach = confidence >= found.value
    assert found.precision is not None
    assert right[reach].mean() == pytest.approx(found.precision.value)
    assert found.precision.value >= wanted - 1e-12
    assert reach.mean() == pytest.approx(found.coverage)
    for value in confidence:  # a lower one would not do
        if value < found.value:
            assert right[confidence >= value].mean() < wanted


def test_a_precision_that_no_threshold_reaches() -> None:
    with pytest.raises(InputError, match=r"No threshold makes 0\.9 .*the best makes 0\.500"):
        choose(np.array([0.9, 0.8]), np.array([False, True]), 0.9)


def test_what_is_written_for_a_threshold() -> None:
    assert parse_threshold("0.8") == (0.8, None)
    assert parse_threshold("precision=0.95") == (None, 0.95)
    for wrong in ("", "0", "1.1", "recall=0.5", "precision=", "precision=2", "high"):
        with pytest.raises(InputError, match="is no probability"):
            parse_threshold(wrong)


def test_the_bundle_s_task_gets_it(tmp_path: Path) -> None:
    plain = tiny_bundle(tmp_path / "plain.ewb")
    with_threshold(plain, tmp_path / "with.ewb", 0.75, "none")
    bundle = Bundle.open(tmp_path / "with.ewb")
    bundle.verify()
    task = bundle.task()
    assert task is not None
    assert (task.kind, task.options) == ("classify", {"threshold": 0.75, "unknown": "none"})
    with_threshold(tmp_path / "with.ewb", tmp_path / "again.ewb", 0.5)
    changed = Bundle.open(tmp_path / "again.ewb").task()
    assert changed is not None
    assert changed.options == {"threshold": 0.5, "unknown": "none"}


def test_chosen_on_validation_data_and_shown_in_the_evaluation(tmp_path: Path) -> None:
    rows = ["on,lights_on", "off,lights_off", "weather,weather", "zzz,weather", "please,lights_off", "how,lights_on"]
    (tmp_path / "validation.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    bundle = Bundle.open(tiny_bundle(tmp_path / "tiny.ewb", task=TASK))
    chosen = choose_for(bundle, tmp_path / "validation.csv", 1.0)
    assert chosen.coverage == pytest.approx(0.5, abs=0.2)
    assert 0.3 < chosen.value < 0.99
    found = evaluate(bundle.path, data=tmp_path / "validation.csv")
    selective = found.selective[FLATBUFFER]
    assert selective.threshold == 0.9
    assert selective.answered.value == 0.5
    assert selective.right is not None
    assert selective.right.value == 1.0
    assert "| threshold 0.9: answered | 0.5000" in to_markdown(found)
