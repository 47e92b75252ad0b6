"""Board facts: pure parsers over what boards print; a new board adds its text to boards.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgewright_runtime import facts

PARSERS = {
    "model": facts.parse_device_tree_model,
    "cpu": facts.parse_cpu,
    "memory": facts.parse_memory_bytes,
    "frequency": facts.parse_frequency_hz,
    "temperature": facts.parse_temperature_c,
    "governor": facts.parse_line,
    "throttled": facts.parse_throttled,
    "load": facts.parse_load_1min,
}
BOARDS = json.loads(Path(__file__).with_name("boards.json").read_text())


@pytest.mark.parametrize(
    ("fact", "text", "expected"),
    [
        pytest.param(fact, *text_and_value, id=f"{board}-{fact}")
        for board, found in BOARDS.items()
        for fact, text_and_value in found.items()
    ],
)
def test_parsers(fact: str, text: str, expected: Any) -> None:
    assert PARSERS[fact](text) == expected


def test_this_board() -> None:
    board, state = facts.board_facts(), facts.board_state()
    assert board["cores"] >= 1
    assert board["memory_bytes"] > 1 << 20
    assert state["load_1min"] >= 0
    json.dumps([board, state])


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"no number\n", None])
def test_what_cannot_be_read_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "fact"
    if content is not None:
        path.write_bytes(content)
    for parse in (facts.parse_frequency_hz, facts.parse_temperature_c, facts.parse_load_1min):
        assert facts.read_fact(path, parse) is None


def test_a_board_that_tells_about_throttling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "vcgencmd"
    command.write_text('#!/bin/sh\ntest "$1" = get_throttled && echo throttled=0x4\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert facts.board_state()["throttled"] == ["throttled"]
    command.write_text("#!/bin/sh\necho VCHI initialization failed\n")
    assert facts.board_state()["throttled"] is None


def test_the_memory_of_this_process() -> None:
    now, peak = facts.process_memory_bytes()
    assert now is not None
    assert peak is not None
    assert 1 << 20 < now <= peak


def test_an_emulated_board_says_so_and_a_real_one_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_EMULATED", tmp_path / "marker")
    assert facts.board_facts()["emulated"] is None
    (tmp_path / "marker").write_text("qemu: times say nothing\n")
    assert facts.board_facts()["emulated"] == "qemu: times say nothing"
