"""task.json: strict, canonical, and a sentence for whatever it is not."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.models import tiny_model, write_bundle

from edgewright_runtime.bundle import Bundle
from edgewright_runtime.errors import BundleError, InputError
from edgewright_runtime.task import OPTIONS, Task, make_task, parse_task


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_kind_is_a_task(kind: str) -> None:
    assert parse_task(make_task(kind).to_json()) == Task(kind)


def test_options_survive() -> None:
    task = make_task("generate", {"temperature": 0.7, "top_k": 0, "stop": ["\n", "ኦ"]})
    assert parse_task(task.to_json()) == task


def test_the_options_may_be_left_out_by_hand() -> None:
    assert parse_task(b' {"kind": "spot"}\n') == Task("spot")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not readable as JSON"),
        (b"\xff", "not readable as JSON"),
        (b"[" * 100_000, "not readable as JSON"),
        (b'"classify"', "no JSON object"),
        (b'{"kind": "classify", "extra": 1}', "no JSON object"),
        (b'{"kind": ["classify"]}', "no task"),
        (b'{"kind": "dream"}', "no task 'dream': expected one of classify, generate"),
        (b'{"kind": "classify", "options": [1]}', "no JSON object"),
        (b'{"kind": "classify", "options": {"top_k": 3}}', "no option 'top_k': expected threshold, unknown"),
        (b'{"kind": "classify", "options": {"threshold": 1.5}}', "threshold .* 1.5: expected a number from 0 to 1"),
        (b'{"kind": "classify", "options": {"threshold": NaN}}', "expected a number from 0 to 1"),
        (b'{"kind": "generate", "options": {"max_tokens": 0}}', "a whole number from 1"),
        (b'{"kind": "generate", "options": {"max_tokens": true}}', "a whole number from 1"),
        (b'{"kind": "generate", "options": {"stop": "x"}}', "a list of texts"),
        (b'{"kind": "generate", "options": {"stop": [""]}}', "a list of texts"),
    ],
)
def test_what_is_no_task_is_refused_with_a_sentence(raw: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_task(raw)


_KEYS = st.sampled_from(["kind", "options", "threshold", "max_tokens"])
_LEAVES = st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["classify", "generate"])


@given(st.recursive(_LEAVES, lambda x: st.lists(x) | st.dictionaries(_KEYS, x)))
def test_no_document_does_more_than_be_refused(document: object) -> None:
    try:
        task = parse_task(json.dumps(document).encode())
    except InputError:
        return
    assert parse_task(task.to_json()) == task


def test_a_bundle_tells_its_task(tmp_path: Path) -> None:
    task = make_task("classify", {"threshold": 0.5})
    assert _bundle(tmp_path, {"task": task.to_json()}).task() == task
    assert _bundle(tmp_path, {}).task() is None
    with pytest.raises(BundleError, match=r"task\.json"):
        _bundle(tmp_path, {"task": b"{}"}).task()


def _bundle(folder: Path, extra: dict[str, bytes]) -> Bundle:
    samples = [np.zeros((1, 1, 4), np.float32)]
    return Bundle.open(write_bundle(folder / "tiny.ewb", tiny_model(), samples, extra=extra))
