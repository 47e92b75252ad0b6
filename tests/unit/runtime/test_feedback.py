import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright_runtime.errors import InputError
from edgewright_runtime.feedback import LEAST_BYTES, Feedback, Settings, models

ID = "a" * 64


@pytest.fixture
def log(tmp_path: Path) -> Feedback:
    return Feedback(tmp_path, "intents")


def _note(log: Feedback, text: str, probability: float = 0.3, threshold: float | None = None) -> bool:
    return log.note(ID, text, "lights_on", probability, threshold)


def test_nothing_is_noted_until_it_is_asked_for(log: Feedback, tmp_path: Path) -> None:
    assert not _note(log, "hello")
    assert list(tmp_path.iterdir()) == []
    assert log.status()["on"] is False
    assert models(tmp_path) == []


def test_texts_are_noted_only_where_they_are_opted_in_to(log: Feedback) -> None:
    log.turn_on(Settings())
    assert _note(log, "my secret")
    (entry,) = log.entries()
    assert set(entry) == {"at", "bundle", "guess", "probability"}
    assert b"secret" not in (log.folder / "log.jsonl").read_bytes()
    log.turn_on(Settings(texts=True))
    assert _note(log, "known to be kept")
    assert [entry.get("text") for entry in log.entries()] == [None, "known to be kept"]
    assert (log.status()["entries"], log.status()["with_text"]) == (2, 1)
    log.turn_off()
    assert not _note(log, "later")
    assert len(log.entries()) == 2


def test_what_is_uncertain(log: Feedback) -> None:
    log.turn_on(Settings())
    assert [_note(log, "x", p) for p in (0.49, 0.5, 0.9)] == [True, False, False]
    assert [_note(log, "x", p, threshold=0.8) for p in (0.79, 0.8)] == [True, False]
    log.turn_on(Settings(below=0.95))
    assert [_note(log, "x", p, threshold=0.8) for p in (0.94, 0.95)] == [True, False]


def test_the_folder_is_for_its_owner_alone(log: Feedback) -> None:
    log.turn_on(Settings(texts=True))
    _note(log, "x")
    assert stat.S_IMODE(log.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((log.folder / "log.jsonl").stat().st_mode) == 0o600


def test_the_log_is_bounded_and_the_newest_stays(log: Feedback) -> None:
    log.turn_on(Settings(texts=True, max_bytes=LEAST_BYTES))
    for number in range(500):
        assert _note(log, f"text number {number}")
        assert log.size_bytes() <= LEAST_BYTES
    texts = [entry["text"] for entry in log.entries()]
    assert texts == [f"text number {number}" for number in range(500 - len(texts), 500)]
    assert len(texts) > 25


@settings(max_examples=40)
@given(st.lists(st.text(max_size=5000), min_size=1, max_size=8))
def test_any_text_leaves_lines_that_can_be_read(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    log = Feedback(tmp_path_factory.mktemp("home"), "m")
    log.turn_on(Settings(texts=True, max_bytes=LEAST_BYTES))
    noted = [_note(log, text) for text in texts]
    entries = log.entries()
    assert log.size_bytes() <= LEAST_BYTES
    assert len(entries) <= sum(noted)
    assert entries[-1:] == [] or all(isinstance(entry["text"], str) for entry in entries)
    for entry in entries:
        assert "\0" not in entry["text"]
        entry["text"].encode("utf-8")


def test_a_megabyte_is_cut(log: Feedback) -> None:
    log.turn_on(Settings(texts=True))
    assert _note(log, "ü" * 1_000_000)
    assert log.entries()[0]["text"] == "ü" * 1024


def test_a_line_that_power_cut_off_costs_itself_alone(log: Feedback) -> None:
    log.turn_on(Settings(texts=True))
    _note(log, "one")
    _note(log, "two")
    whole = (log.folder / "log.jsonl").read_bytes()
    (log.folder / "log.jsonl").write_bytes(whole[:-9])
    _note(log, "three")
    assert [entry["text"] for entry in log.entries()] == ["one", "three"]


def test_what_others_wrote_there_is_no_entry(log: Feedback) -> None:
    log.turn_on(Settings(texts=True))
    (log.folder / "log.jsonl").write_bytes(b'\xff\n[]\n{"at": 1}\n' + b"[" * 100_000 + b"\n")
    _note(log, "real")
    assert [entry["text"] for entry in log.entries()] == ["real"]


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"texts": "yes"}', b'{"below": 0.5, "more": 1}', b'{"max_bytes": "1"}'])
def test_settings_that_cannot_be_read_note_nothing(log: Feedback, raw: bytes) -> None:
    log.turn_on(Settings(texts=True))
    (log.folder / "settings.json").write_bytes(raw)
    assert not _note(log, "x")


def test_no_symlink_is_followed_and_no_full_disk_matters(log: Feedback, tmp_path: Path) -> None:
    log.turn_on(Settings(texts=True))
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    (log.folder / "log.jsonl").symlink_to(victim)
    assert not _note(log, "x")
    assert victim.read_text() == "mine\n"


def test_what_was_never_on_cannot_be_turned_off(log: Feedback, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="intents has no log on this device"):
        log.turn_off()
    assert list(tmp_path.iterdir()) == []


def test_clearing_keeps_it_on(log: Feedback) -> None:
    log.turn_on(Settings(texts=True))
    _note(log, "x")
    assert log.clear() > 50
    assert log.entries() == []
    assert log.status()["on"] is True
    assert log.clear() == 0


@pytest.mark.parametrize(
    "wrong", [{"below": 0.0}, {"below": 1.5}, {"max_bytes": 100}, {"max_bytes": 1 << 30}]
)
def test_settings_that_cannot_be(log: Feedback, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        log.turn_on(Settings(**wrong))
    assert not log.folder.exists()


def test_names_stay_in_their_folder(tmp_path: Path) -> None:
    for name in ("../x", "", "a/b", ".hidden"):
        with pytest.raises(InputError, match="is no name of a model"):
            Feedback(tmp_path, name)


def test_several_processes_write_whole_lines(log: Feedback) -> None:
    log.turn_on(Settings(texts=True, max_bytes=1 << 20))
    children = []
    for child in range(4):
        pid = os.fork()
        if pid == 0:
            for number in range(50):
                _note(log, f"{child} {number}")
            os._exit(0)
        children.append(pid)
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
    texts = [entry["text"] for entry in log.entries()]
    assert sorted(texts) == sorted(f"{child} {number}" for child in range(4) for number in range(50))
    assert len((log.folder / "log.jsonl").read_text().splitlines()) == 200
    json.loads((log.folder / "log.jsonl").read_text().splitlines()[0])
