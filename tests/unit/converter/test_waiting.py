"""Waiting for another process's words, and for Ctrl-C."""

import os
import time
from collections.abc import Iterator

import pytest
from unit.interrupt import interrupted_elsewhere

from edgewright_converter.waiting import readable


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_words_and_the_deadline(pipe: tuple[int, int]) -> None:
    entry, end = pipe
    assert not readable(entry, time.monotonic() - 1)
    assert not readable(entry, time.monotonic() + 0.01)
    os.write(end, b"x")
    assert readable(entry, time.monotonic() - 1)


def test_ctrl_c_that_does_not_wake_this_thread(pipe: tuple[int, int]) -> None:
    with interrupted_elsewhere(), pytest.raises(KeyboardInterrupt):
        readable(pipe[0], time.monotonic() + 60)
