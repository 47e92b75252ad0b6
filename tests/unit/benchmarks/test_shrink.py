"""What the shrinking benchmark learns from never meets what it is scored on, and its limits can fail."""

import os

import numpy as np
from shrink import PCQAT, Row, checks, told
from shrink_tasks import LENGTH, STRETCH, Task, windows


def test_windows_for_learning_share_no_word_with_those_for_the_test() -> None:
    ids = np.arange(25 * STRETCH + 7)
    x, y = windows(ids, {0, 1, 2, 3, 5, 6, 7, 8}, 8)
    x_test, y_test = windows(ids, {9}, LENGTH)
    assert not set(np.union1d(x, y)) & set(np.union1d(x_test, y_test))
    assert (y == x + 1).all()
    assert set(x_test.ravel() // STRETCH % 10) == {9}
    assert len(x) > 3.9 * len(windows(ids, {0, 1, 2, 3, 5, 6, 7, 8}, LENGTH)[0])


def test_our_row_is_held_against_the_teacher_and_against_tfmot() -> None:
    noise = os.urandom(1000)
    rows = [
        Row("float32", 4 * noise, accuracy=0.9, us=10.0),
        Row(PCQAT, noise, accuracy=0.95, us=4.0),
        Row("edgewright", noise[:450], accuracy=0.949, us=2.0),
    ]
    found = {name: value <= limit for name, value, limit in checks(Task("any", "", 0.1, 0.5, 0.0), rows)}
    assert found == {
        "bytes": False,
        "latency": True,
        "accuracy lost": True,
        f"compressed bytes, of {PCQAT}": True,
        f"latency, of {PCQAT}": True,
        f"accuracy lost, of {PCQAT}": False,
    }


def test_a_limit_that_does_not_hold_is_returned_so() -> None:
    assert told("bytes", 0.1, 0.1)
    assert not told("bytes", 0.2, 0.1)
