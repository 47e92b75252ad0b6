"""Setting up devices: fake ones that lack something, and a real one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgewright.devices import Device
from edgewright.errors import DeviceError, InputError, StorageError
from edgewright.flash import flash
from edgewright.provision import ENGINES, purge, setup
from edgewright.remote import Remote, connect
from edgewright.transports import Answer, FakeTransport, LocalTransport


class Board:
    """A fake device with this Python and machine; each program that edgewright starts there can be made to fail."""

    def __init__(self, folder: Path, python: str = "3.11.2", machine: str = "aarch64", **failing: Answer) -> None:
        self.facts: dict[str, Any] = {"python": python, "machine": machine, "environment": None, "runtime": None}
        self.failing = failing
        self.transport = FakeTransport(folder, {})
        self.transport.programs = _Everything(self._answer)  # type: ignore[assignment]
        self.remote = Remote("kitchen", self.transport)

    def _answer(self, argv: Sequence[str], input: bytes) -> Answer:
        step = self._step(argv)
        if step in self.failing:
            return self.failing[step]
        if step == "use":
            self.facts["environment"] = argv[-1]
        if step == "unpack":
            self.facts["runtime"] = argv[-1]
        document = {"schema": 1, "kind": step, **(self.facts if step == "look" else {})}
        return Answer(json.dumps(document).encode())

    @staticmethod
    def _step(argv: Sequence[str]) -> str:
        """look, unpack, use: of the bootstrap; venv, pip; import; info: of the runtime."""
        if argv[1:3] == ["-m", "venv"]:
            return "venv"
        if "pip" in argv:
            return "pip"
        if argv[2] != "-c":
            return argv[3]
        return "import" if argv[3].startswith("import ") else argv[4]

    @property
    def steps(self) -> list[str]:
        return [self._step(argv) for argv in self.transport.calls]


class _Everything(dict[str, Any]):
    """One answer for all programs."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self._answer = answer

    def get(self, key: str, default: Any = None) -> Any:
        return self._answer


def test_a_fresh_board_gets_everything_and_the_link_only_after_the_import(tmp_path: Path) -> None:
    board = Board(tmp_path)
    report = setup(board.remote)
    assert report.engine == "litert"
    assert len(report.changes) == 2
    assert board.steps == ["look", "venv", "pip", "import", "use", "unpack", "info"]


def test_a_second_time_nothing_changes(tmp_path: Path) -> None:
    board = Board(tmp_path)
    setup(board.remote)
    board.transport.calls.clear()
    assert setup(board.remote).changes == ()
    assert board.steps == ["look", "import", "info"]


def test_an_environment_that_broke_is_made_again(tmp_path: Path) -> None:
    board = Board(tmp_path)
    setup(board.remote)
    board.failing = {"import": Answer(returncode=1)}
    with pytest.raises(DeviceError, match="Python cannot import it"):
        setup(board.remote)
    assert "pip" in board.steps


def test_another_engine_is_another_environment(tmp_path: Path) -> None:
    board = Board(tmp_path)
    setup(board.remote)
    board.transport.calls.clear()
    assert setup(board.remote, engine="tflite").engine == "tflite"
    assert "venv" in board.steps
    (pip,) = [argv for argv in board.transport.calls if "pip" in argv]
    assert pip[-2:] == list(ENGINES["tflite"].requirements)


@pytest.mark.parametrize(
    ("python", "machine", "engine"),
    [
        ("3.9.2", "aarch64", "tflite"),
        ("3.10.1", "aarch64", "litert"),
        ("3.11.2", "armv7l", "tflite"),
        ("3.13.5", "x86_64", "litert"),
    ],
)
def test_the_engine_fits_the_board(tmp_path: Path, python: str, machine: str, engine: str) -> None:
    assert setup(Board(tmp_path, python, machine).remote).engine == engine


@pytest.mark.parametrize(("python", "machine"), [("3.7.3", "aarch64"), ("3.13.5", "armv7l"), ("3.11.2", "riscv64")])
def test_a_board_that_no_engine_fits(tmp_path: Path, python: str, machine: str) -> None:
    board = Board(tmp_path, python, machine)
    with pytest.raises(DeviceError, match=rf"kitchen has Python {python} on {machine}, and litert needs"):
        setup(board.remote)
    assert board.steps == ["look"]


def test_an_engine_that_does_not_fit_or_exist(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="leave out --engine"):
        setup(Board(tmp_path, "3.13.5").remote, engine="tflite")
    with pytest.raises(InputError, match="No engine is called pytorch: choose one of auto, litert, tflite"):
        setup(Board(tmp_path).remote, engine="pytorch")


FAILURES = {
    "venv": (Answer(b"ensurepip is not available", b"", 1), "install python3-venv"),
    "pip": (
        Answer(b"", b"ERROR: Could not find a version\nERROR: No matching distribution", 1),
        "No matching .*network",
    ),
    "look": (Answer(returncode=127), "kitchen has no python3"),
}


@pytest.mark.parametrize("step", FAILURES)
def test_a_step_that_fails_is_told_with_its_remedy(tmp_path: Path, step: str) -> None:
    answer, sentence = FAILURES[step]
    board = Board(tmp_path, **{step: answer})
    with pytest.raises(DeviceError, match=sentence):
        setup(board.remote)
    assert "use" not in board.steps


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    refusal = Answer(json.dumps({"error": "[Errno 30] Read-only file system: 'runtimes'"}).encode())
    with pytest.raises(StorageError, match=r"On kitchen: .*Read-only file system"):
        setup(Board(tmp_path, unpack=refusal).remote)


def test_purge_deletes_what_is_ours_and_nothing_else(kitchen: Remote, bundle: Path, home: Path) -> None:
    flash(bundle, kitchen)
    (home / "diary.txt").write_text("not ours")
    assert "models" in purge(kitchen)
    assert [path.name for path in home.iterdir()] == ["diary.txt"]
    (home / "diary.txt").unlink()
    assert purge(kitchen) == []
    assert not home.exists()


def test_an_interrupted_copy_of_the_runtime_is_repaired(home: Path, kitchen: Remote) -> None:
    (runtime,) = (home / "runtimes").iterdir()
    (runtime / "edgewright_runtime" / "manifest.py").write_text("half a li(")
    runtime.with_suffix(".unfinished").mkdir()
    with pytest.raises(DeviceError, match="run `edgewright device setup kitchen`"):
        kitchen.call("store-list", "--home", kitchen.home)
    kitchen.install_runtime()
    assert kitchen.call("store-list", "--home", kitchen.home)["models"] == []
    assert [path.name for path in (home / "runtimes").iterdir()] == [runtime.name]


def test_a_runtime_damaged_on_its_way_is_refused(tmp_path: Path) -> None:
    remote = Remote("kitchen", LocalTransport(tmp_path / "home"))
    with pytest.raises(StorageError, match="damaged on their way"):
        remote.bootstrap("unpack", "0" * 64, input=b"not it")
    assert not (tmp_path / "home" / "runtimes").exists()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_real_environment_has_the_engine_and_no_tensorflow(tmp_path: Path, bundle: Path, engine: str) -> None:
    device = Device("kitchen", f"local:{tmp_path / 'kitchen'}")
    assert len(setup(device, engine=engine).changes) == 2
    assert setup(device, engine=engine).changes == ()
    with connect(device) as remote:
        engines = remote.call("info")["engines"]
        assert [name for name, version in engines.items() if version] == [engine]
        flash(bundle, remote)
        source = "import importlib.util; print([bool(importlib.util.find_spec(n)) for n in ('tensorflow', 'keras')])"
        completed = remote.transport.run([remote.python, "-I", "-c", source], timeout_s=30)
        assert completed.stdout == b"[False, False]\n"
    purge(device)
    assert not (tmp_path / "kitchen").exists()
