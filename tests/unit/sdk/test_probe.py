"""What a device tells about itself: captured output of many boards; a new board adds a file, not code."""

import json
import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.engines import choose, missing_numpy
from edgewright.errors import DeviceError, InputError
from edgewright.probe import FACTS, Probe, probe, read
from edgewright.remote import Remote
from edgewright.transports import Answer, Completed, FakeTransport, LocalTransport

BOARDS = {path.stem: json.loads(path.read_text()) for path in Path(__file__).parent.glob("fixtures/boards/*.json")}


@pytest.fixture(autouse=True)
def few_pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's machine may have many to look at."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))


def _read(board: str) -> Probe:
    return read({FACTS[name].argv: text for name, text in BOARDS[board]["outputs"].items()})


@pytest.mark.parametrize("board", BOARDS)
def test_the_facts_of_a_board(board: str) -> None:
    found = _read(board)
    facts: dict[str, Any] = {**asdict(found), "architecture": found.architecture}
    facts["pythons"] = [python.version for python in found.pythons]
    assert json.loads(json.dumps(facts)) == BOARDS[board]["expected"]


@pytest.mark.parametrize("board", BOARDS)
def test_the_engine_that_fits_a_board(board: str) -> None:
    fits, problem = BOARDS[board]["fits"], BOARDS[board]["problem"]
    if problem is None:
        choice = choose("kitchen", _read(board))
        assert [choice.engine, list(choice.requirements), choice.python.path] == list(fits.values())
        assert choice.system_numpy == (len(choice.requirements) == 1)
    else:
        with pytest.raises(DeviceError) as raised:
            choose("kitchen", _read(board))
        assert problem in str(raised.value)


NUMBERS = [name for name, value in BOARDS["rpi5-64bit"]["expected"].items() if isinstance(value, int | float)]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("output", ["", " \n", "cat: no such file", "\ufffd\0\t", "MemTotal: much", "a\nb c d e f"])
def test_what_is_no_number_is_unknown(name: str, output: str) -> None:
    """Never zero, never a crash."""
    assert asdict(read({FACTS[name].argv: output}))[name] is None


@given(st.sampled_from(sorted(FACTS)), st.text() | st.from_regex(r"\APRETTY_NAME=.*|.*\t3\.\d+\.\d\t(32|64)\t.*"))
def test_no_output_is_too_strange(name: str, output: str) -> None:
    found = read({FACTS[name].argv: output})
    json.dumps(asdict(found))
    with suppress(DeviceError):
        choose("kitchen", found)


def test_a_board_that_tells_nothing() -> None:
    found = read({})
    assert {value for name, value in asdict(found).items() if name != "pythons"} == {None}
    assert found.pythons == ()
    assert found.architecture is None


def test_one_round_trip_tells_about_this_machine(kitchen: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    run = kitchen.transport.run

    def count(argv: Sequence[str], **options: Any) -> Completed:
        calls.append(argv)
        return run(argv, **options)

    monkeypatch.setattr(kitchen.transport, "run", count)
    found = probe(kitchen)
    assert len(calls) == 1
    assert found.machine == platform.machine()
    assert found.kernel == platform.release()
    assert found.memory_bytes is not None
    assert found.storage_free_bytes is not None
    assert found.runtime is not None  # the fixture has copied it there, but no engine
    assert found.environment is None
    assert found.engines is None
    assert platform.python_version() in [python.version for python in found.pythons]
    assert all(Path(python.path).resolve() == Path(python.path) for python in found.pythons)


def test_only_the_python_that_is_asked_for(kitchen: Remote) -> None:
    (python,) = probe(kitchen, python=sys.executable).pythons
    assert python.path == str(Path(sys.executable).resolve())
    assert probe(kitchen, python="/nowhere/python3").pythons == ()


def test_a_home_that_is_hostile_to_shells(tmp_path: Path) -> None:
    home = tmp_path / "it's $(touch x); * `"
    found = probe(Remote("kitchen", LocalTransport(home)))
    assert found.storage_free_bytes
    assert not list(tmp_path.glob("**/x"))


@pytest.mark.parametrize("answer", [Answer(b"", b"sh: not found", 127), Answer(b"Welcome!\n", b"", 1)])
def test_a_device_without_a_shell(tmp_path: Path, answer: Answer) -> None:
    with pytest.raises(DeviceError, match="kitchen ran no POSIX shell"):
        probe(Remote("kitchen", FakeTransport(tmp_path, {"sh": answer})))


def test_an_engine_asked_for_by_name() -> None:
    found = _read("pc-ubuntu")
    with pytest.raises(DeviceError, match=r"needs CPython 3.9 to 3.11. Leave out --engine: litert fits this device"):
        choose("kitchen", found, engine="tflite")
    with pytest.raises(InputError, match="No engine is called pytorch: choose one of auto, litert, tflite"):
        choose("kitchen", found, engine="pytorch")
    with pytest.raises(DeviceError, match="no Python at /nowhere that runs"):
        choose("kitchen", replace(found, pythons=()), python="/nowhere")


def test_numpy_that_must_come_from_the_system() -> None:
    board = _read("rpi3-32bit")
    assert "has none: install numpy 1.23 to 1.26 there" in str(missing_numpy("kitchen", choose("kitchen", board)))
    old = replace(board, pythons=(replace(board.pythons[0], packages={"numpy": "1.19.5"}),))
    assert "has numpy 1.19.5: install" in str(missing_numpy("kitchen", choose("kitchen", old)))
    for other in ("rpi4-32bit-on-64bit-kernel", "rpi5-64bit"):
        assert missing_numpy("kitchen", choose("kitchen", _read(other))) is None


def test_another_python_is_taken_where_the_usual_one_does_not_do() -> None:
    found = _read("rpi5-32bit-trixie")
    more = [replace(found.pythons[0], path=f"/opt/python3.{minor}", version=f"3.{minor}.1") for minor in (9, 11, 10)]
    choice = choose("kitchen", replace(found, pythons=(*found.pythons, *more)))
    assert choice.python.path == "/opt/python3.11"


@pytest.mark.parametrize("strange", [{"is_standard": False}, {"libc": "musl"}, {"libc": "glibc 2.26"}])
def test_a_python_that_wheels_do_not_fit(strange: dict[str, Any]) -> None:
    found = _read("pc-ubuntu")
    with pytest.raises(DeviceError, match="No engine exists for kitchen"):
        choose("kitchen", replace(found, pythons=(replace(found.pythons[0], **strange),)))
