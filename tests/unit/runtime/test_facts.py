"""Board facts: pure parsers over what boards print; a new board adds its text to boards.json."""

import json
from pathlib import Path

import pytest

from edgewright_runtime import facts

BOARDS = json.loads(Path(__file__).with_name("boards.json").read_text())


@pytest.mark.parametrize("board", BOARDS)
def test_boards(board: str, tmp_path: Path) -> None:
    """boards.json: what is in a board's files, where that is known from, and what is to be made of it."""
    assert BOARDS[board]["origin"]
    for name, text in BOARDS[board]["files"].items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found, state = facts.board_facts(tmp_path), facts.board_state(tmp_path)
    assert {name: found[name] for name in BOARDS[board]["facts"]} == BOARDS[board]["facts"]
    assert state == BOARDS[board]["state"]


def test_the_words_of_a_raspberry_pi() -> None:
    """The same bits from its kernel's file and from vcgencmd."""
    expected = ["under-voltage", "throttled", "under-voltage has occurred", "throttling has occurred"]
    assert facts.parse_throttled("50005\n") == facts.parse_throttled("throttled=0x50005\n") == expected
    assert facts.parse_throttled("throttled=0x0\n") == facts.parse_throttled("0\n") == []


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
    shared = facts.process_pss_bytes()
    assert shared is None or 1 << 20 < shared <= peak


def test_an_emulated_board_says_so_and_a_real_one_says_nothing(tmp_path: Path) -> None:
    assert facts.board_facts(tmp_path)["emulated"] is None
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/edgewright-emulated").write_text("qemu: times say nothing\n")
    assert facts.board_facts(tmp_path)["emulated"] == "qemu: times say nothing"
