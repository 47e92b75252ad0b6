"""Setting up devices: fake ones that lack something, and a real one."""

import ast
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from click.testing import CliRunner
from unit.models import tiny_bundle
from unit.sdk.stand_in_wheels import make_wheel

from edgewright import bootstrap, provision
from edgewright.bench import bench
from edgewright.cache import Cache
from edgewright.cli.main import cli
from edgewright.devices import Device
from edgewright.errors import DeviceError, EngineError, InputError, StorageError
from edgewright.flash import flash
from edgewright.probe import _COMMANDS, FACTS
from edgewright.provision import purge, setup
from edgewright.remote import Remote, connect
from edgewright.transports import Answer, FakeTransport, LocalTransport
from edgewright.wheels import WheelTag

GIGABYTE = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/root 9 9 1000000 9% /\n"
PYTHON_39 = Path("~/.pyenv/versions/3.9.18/bin/python").expanduser()


class Board:
    """A fake device with this Python; each program that edgewright starts there can be made to answer otherwise.

    The steps that are told apart: probe; install, use, unpack of the bootstrap; venv, pip; info of the runtime.
    """

    def __init__(
        self,
        folder: Path,
        python: str = "3.11.2",
        machine: str = "aarch64",
        bits: int = 64,
        numpy: str = "",
        free: str = GIGABYTE,
        **answers: Answer,
    ) -> None:
        packages = f"\tnumpy=={numpy}" if numpy else ""
        self.facts = {
            "machine": machine,
            "storage_free_bytes": free,
            "pythons": f"/usr/bin/python3\t{python}\t{bits}\tglibc 2.36\tstandard{packages}\n" if python else "",
        }
        self.answers = answers
        self.transport = FakeTransport(folder, {})
        self.transport.programs = _Everything(self._answer)  # type: ignore[assignment]
        self.remote = Remote("kitchen", self.transport)

    def _answer(self, argv: Sequence[str], input: bytes) -> Answer:
        step = self._step(argv)
        if step in self.answers:
            return self.answers[step]
        if step == "probe":
            outputs = {FACTS[name].argv: text for name, text in self.facts.items()}
            return Answer("".join("\x1e" + outputs.get(command, "") for command in _COMMANDS).encode())
        if step in ("install", "use"):
            self.facts["environment"] = f"environments/{argv[6]}"
            engine = argv[-1].partition(".")[0]
            self.facts["engines"] = f"/usr/bin/python3\t3.11.2\t64\tglibc 2.36\tstandard\t{engine}==1.0\n{engine}\n"
        if step == "unpack":
            self.facts["runtime"] = f"runtimes/{argv[-1]}"
        return Answer(json.dumps({"schema": 1, "kind": step}).encode())

    @staticmethod
    def _step(argv: Sequence[str]) -> str:
        if argv[0] == "sh":
            return "probe"
        if argv[1:3] == ["-m", "venv"]:
            return "venv"
        if "pip" in argv:
            return "pip"
        return argv[4] if argv[2] == "-c" else argv[3]

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


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def few_pythons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's machine may have many to look at."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], WheelTag]]:
    """Stand-ins for wheels come at once; what was asked for."""
    asked = []

    def fetch(requirements: Sequence[str], tag: WheelTag) -> list[Path]:
        asked.append(([*requirements], tag))
        with Cache("wheels").workspace():
            return [Cache("wheels").add(make_wheel(tmp_path / "made"))]

    monkeypatch.setattr(provision, "fetch_wheels", fetch)
    return asked


@pytest.mark.usefixtures("fetched")
def test_a_fresh_board_gets_one_file_and_no_tool_of_its_own_is_used(tmp_path: Path) -> None:
    board = Board(tmp_path / "board")
    report = setup(board.remote)
    assert (report.engine, report.python, report.machine) == ("litert", "3.11.2", "aarch64")
    assert len(report.changes) == 2
    assert board.steps == ["probe", "install", "unpack", "info"]
    (sent,) = (tmp_path / "board/incoming").iterdir()
    with tarfile.open(sent) as archive:
        assert "numpy/__init__.py" in archive.getnames()


def test_a_second_time_nothing_changes_and_nothing_is_fetched(tmp_path: Path, fetched: list[Any]) -> None:
    board = Board(tmp_path / "board")
    setup(board.remote)
    board.transport.calls.clear()
    fetched.clear()
    assert setup(board.remote).changes == ()
    assert board.steps == ["probe", "info"]
    assert fetched == []


@pytest.mark.usefixtures("fetched")
def test_an_engine_that_broke_is_sent_again(tmp_path: Path) -> None:
    board = Board(tmp_path / "board")
    setup(board.remote)
    board.facts["engines"] = board.facts["engines"].splitlines()[0]
    assert setup(board.remote).changes == ("installed ai-edge-litert==2.3.0 for Python 3.11.2",)


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize("other", [{"engine": "tflite"}, {"online": True}])
def test_another_engine_or_way_is_another_environment(tmp_path: Path, other: dict[str, Any]) -> None:
    board = Board(tmp_path / "board")
    setup(board.remote)
    before = board.facts["environment"]
    setup(board.remote, **other)
    assert board.facts["environment"] != before


@pytest.mark.parametrize(
    ("python", "machine", "bits", "numpy", "requirements", "tag"),
    [
        ("3.9.2", "aarch64", 64, "", ["tflite-runtime==2.14.0", "numpy==1.26.4"], WheelTag(9, "aarch64")),
        ("3.10.1", "aarch64", 64, "1.24.2", ["ai-edge-litert==2.3.0", "numpy==2.2.6"], WheelTag(10, "aarch64")),
        ("3.11.2", "aarch64", 32, "1.24.2", ["tflite-runtime==2.14.0"], WheelTag(11, "armv7l")),
        ("3.11.2", "armv7l", 32, "", ["tflite-runtime==2.14.0", "numpy==1.26.4"], WheelTag(11, "armv7l")),
        ("3.14.0", "x86_64", 64, "", ["ai-edge-litert==2.3.0", "numpy==2.3.5"], WheelTag(14, "x86_64")),
    ],
)
def test_the_wheels_fit_the_board(
    tmp_path: Path,
    fetched: list[Any],
    python: str,
    machine: str,
    bits: int,
    numpy: str,
    requirements: list[str],
    tag: WheelTag,
) -> None:
    board = Board(tmp_path / "board", python, machine, bits, numpy)
    setup(board.remote)
    assert fetched == [(requirements, tag)]
    (install,) = [argv for argv in board.transport.calls if Board._step(argv) == "install"]
    assert install[9:11] == [f"3.{tag.minor}", "false" if len(requirements) == 2 else "true"]


@pytest.mark.parametrize(("python", "machine"), [("3.7.3", "aarch64"), ("3.11.2", "riscv64"), ("", "aarch64")])
def test_a_board_that_no_engine_fits_is_left_alone(tmp_path: Path, python: str, machine: str) -> None:
    board = Board(tmp_path / "board", python, machine)
    with pytest.raises(DeviceError, match=r"exists for kitchen|kitchen has no Python"):
        setup(board.remote)
    assert board.steps == ["probe"]


def test_a_32_bit_board_without_numpy_is_told_where_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(requirements: Sequence[str], tag: WheelTag) -> list[Path]:
        raise DeviceError("Cannot download it (ERROR: No matching distribution found for numpy==1.26.4): …")

    monkeypatch.setattr(provision, "fetch_wheels", fetch)
    board = Board(tmp_path / "board", machine="armv7l", bits=32)
    with pytest.raises(DeviceError, match=r"has none: install numpy 1.23 to 1.26 there .*apt-get install"):
        setup(board.remote)


@pytest.mark.usefixtures("fetched")
def test_a_full_disk_is_noticed_before_anything_is_sent(tmp_path: Path) -> None:
    board = Board(tmp_path / "board", free=GIGABYTE.replace("1000000", "1"))
    with pytest.raises(StorageError, match=r"kitchen has 0 MB free where .* the engine needs 0 MB: free some space"):
        setup(board.remote)
    assert board.steps == ["probe"]


REASONS = {
    "ImportError: libstdc++.so.6: cannot open shared object file: No such file": r"install libstdc\+\+ there",
    "ImportError: libc.so.6: version `GLIBC_2.34' not found (required by x.so)": "newer system",
    "ended by signal 4": "instructions",
    "no answer within 120 s": "try another engine with --engine",
}


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("online", [False, True])
def test_an_engine_that_cannot_be_imported(tmp_path: Path, reason: str, online: bool) -> None:
    answer = Answer(json.dumps({"failed": reason}).encode())
    board = Board(tmp_path / "board", install=answer, use=answer)
    with pytest.raises(
        EngineError, match=f"ai-edge-litert==2.3.0 is on kitchen, but .* cannot import it .*{REASONS[reason]}"
    ):
        setup(board.remote, online=online)
    assert "unpack" not in board.steps


ONLINE_FAILURES = {
    "venv": (Answer(b"ensurepip is not available", b"", 1), "python3-venv is needed there"),
    "pip": (Answer(b"", b"ERROR: Could not find\nERROR: No matching distribution", 1), "No matching .*network"),
}


@pytest.mark.parametrize("step", ONLINE_FAILURES)
def test_the_devices_own_pip_failing_is_told_with_its_remedy(tmp_path: Path, step: str) -> None:
    answer, sentence = ONLINE_FAILURES[step]
    board = Board(tmp_path, **{step: answer})
    with pytest.raises(DeviceError, match=sentence):
        setup(board.remote, online=True)
    assert "use" not in board.steps


def test_online_the_device_fetches(tmp_path: Path) -> None:
    board = Board(tmp_path / "board", machine="armv7l", bits=32, numpy="1.24.2")
    assert setup(board.remote, online=True).changes[0].endswith("with the device's own pip")
    assert board.steps == ["probe", "venv", "pip", "use", "unpack", "info"]
    venv, pip = board.transport.calls[1:3]
    assert "--system-site-packages" in venv
    assert pip[-1] == "tflite-runtime==2.14.0"


@pytest.mark.usefixtures("fetched")
def test_a_disk_that_refuses(tmp_path: Path) -> None:
    refusal = Answer(json.dumps({"error": "[Errno 30] Read-only file system: 'runtimes'"}).encode())
    with pytest.raises(StorageError, match=r"On kitchen: .*Read-only file system"):
        setup(Board(tmp_path / "board", unpack=refusal).remote)


def test_purge_deletes_what_is_ours_and_nothing_else(kitchen: Remote, bundle: Path, home: Path) -> None:
    flash(bundle, kitchen)
    (home / "diary.txt").write_text("not ours")
    (home / "venv.unfinished").symlink_to("nowhere")
    assert {"models", "venv.unfinished"} <= {*purge(kitchen)}
    assert [path.name for path in home.iterdir()] == ["diary.txt"]
    (home / "diary.txt").unlink()
    assert purge(kitchen) == [".lock"]
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


# What the bootstrap does on the device, here in this process.

Install = Callable[..., dict[str, Any]]


def _stage(home: Path, files: dict[str, Any], name: str) -> list[str]:
    """Put an archive where the host would; returns the arguments of the install command. The engine is engine.py."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, content in files.items():
            entry = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(path)
            if isinstance(content, bytes):
                entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content if isinstance(content, bytes) else b""))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    (home / "incoming").mkdir(parents=True, exist_ok=True)
    (home / "incoming" / digest).write_bytes(buffer.getvalue())
    python, minor = str(Path(sys.executable).resolve()), f"3.{sys.version_info.minor}"
    return ["install", str(home), name, digest, python, minor, "false", "engine"]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Make an environment from these files, as the host would ask for it."""
    return lambda files, name="one": bootstrap.main(*_stage(tmp_path / "home", files, name))


def _files(engine: bytes = b"") -> dict[str, Any]:
    return {"numpy/__init__.py": b"", "engine.py": engine}


def _environments(tmp_path: Path) -> set[str]:
    return {path.name for path in tmp_path.glob("home/environments/*")}


def test_an_environment_is_an_ordinary_virtual_one(tmp_path: Path, install: Install) -> None:
    assert install(_files()) == {}
    python = tmp_path / "home/venv/bin/python"
    source = "import sys, engine; print(sys.prefix != sys.base_prefix, engine.__file__); import click"
    done = subprocess.run([python, "-I", "-c", source], capture_output=True, text=True)
    assert done.stdout.split() == [
        "True",
        str(tmp_path / f"home/venv/lib/python3.{sys.version_info.minor}/site-packages/engine.py"),
    ]
    assert "No module named 'click'" in done.stderr
    assert list((tmp_path / "home/incoming").iterdir()) == []


def test_the_environment_before_goes_only_when_the_new_one_works(tmp_path: Path, install: Install) -> None:
    install(_files())
    assert install(_files(b"import missing"), "two") == {"failed": "ModuleNotFoundError: No module named 'missing'"}
    assert _environments(tmp_path) == {"one"}
    assert (tmp_path / "home/venv").resolve().name == "one"
    assert install(_files(b"import os; os.kill(os.getpid(), 4)"), "two") == {"failed": "ended by signal 4"}
    assert install(_files(), "two") == {}
    assert _environments(tmp_path) == {"two"}
    assert install(_files(b"repaired = True"), "two") == {}
    assert (tmp_path / "home/venv/lib").is_dir()


@pytest.mark.parametrize("path", ["../evil.py", "/tmp/evil.py", "a/../../evil.py", ".."])
def test_an_archive_that_would_write_elsewhere_is_refused(tmp_path: Path, install: Install, path: str) -> None:
    assert "is no plain file of the archive" in install({**_files(), path: b"evil"})["error"]
    assert _environments(tmp_path) == set()
    assert not list(tmp_path.glob("**/evil.py"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_an_archive_with_links_or_devices_is_refused(tmp_path: Path, install: Install, kind: bytes) -> None:
    link = tarfile.TarInfo("numpy/link")
    link.type, link.linkname = kind, "/etc/passwd"
    assert "error" in install({**_files(), "numpy/link": link})
    assert _environments(tmp_path) == set()


def test_an_archive_damaged_on_its_way_is_refused(tmp_path: Path, install: Install) -> None:
    arguments = _stage(tmp_path / "home", _files(), "one")
    (tmp_path / "home/incoming" / arguments[3]).write_bytes(b"less")
    assert bootstrap.main(*arguments) == {"error": "the files were damaged on their way"}
    assert _environments(tmp_path) == set()


@pytest.mark.slow
def test_an_install_that_is_killed_leaves_what_was_there(tmp_path: Path, install: Install) -> None:
    """At 40 moments of its life, then once to its end."""
    home, random, changed = tmp_path / "home", Random(0), 0
    install(_files(), "one")
    for round in range(40):
        name = "two" if round % 2 else "three"
        arguments = _stage(home, {**_files(), **{f"numpy/{n}.py": b"x = 1\n" * 999 for n in range(50)}}, name)
        process = subprocess.Popen([sys.executable, "-I", bootstrap.__file__, *arguments], stdout=subprocess.DEVNULL)
        time.sleep(random.uniform(0.03, 0.3))
        process.kill()
        process.wait()
        subprocess.run([home / "venv/bin/python", "-I", "-c", "import numpy, engine"], check=True)
        changed += (home / "venv").resolve().name == name
    assert 0 < changed < 40
    assert install(_files(), "four") == {}
    assert _environments(tmp_path) == {"four"}
    assert {path.name for path in home.iterdir()} == {".lock", "environments", "incoming", "venv"}


def test_two_hosts_take_turns(tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "LOCK_TIMEOUT_S", 0.01)
    with bootstrap._locked(tmp_path / "home"):
        assert "another host keeps changing it" in install(_files())["error"]
    assert install(_files()) == {}


def test_the_bootstrap_runs_on_the_oldest_python(tmp_path: Path) -> None:
    ast.parse(Path(bootstrap.__file__).read_text(), feature_version=(3, 9))
    if not PYTHON_39.exists():
        pytest.skip(f"there is no {PYTHON_39}")
    with Remote("kitchen", LocalTransport(tmp_path / "home", str(PYTHON_39))) as remote:
        assert remote.bootstrap("holds", "x") == {"there": False}
        remote.install_runtime()
        assert remote.bootstrap("purge")["removed"] == ["runtime", "runtimes", ".lock"]


# The real thing. The wheels come once for all tests.


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wheels")


@pytest.fixture
def real_wheels(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE_HOME", str(wheels))


@pytest.mark.slow
@pytest.mark.usefixtures("real_wheels")
@pytest.mark.parametrize(
    ("engine", "python"), [("litert", None), ("tflite", None), ("tflite", PYTHON_39)], ids=["litert", "tflite", "3.9"]
)
def test_a_real_device_answers_with_what_was_sent(tmp_path: Path, engine: str, python: Path | None) -> None:
    if python is not None and not python.exists():
        pytest.skip(f"there is no {python}")
    device = Device("kitchen", f"local:{tmp_path / 'kitchen'}")
    options: dict[str, Any] = {"engine": engine, "python": python and str(python)}
    assert len(setup(device, **options).changes) == 2
    assert setup(device, **options).changes == ()
    with connect(device) as remote:
        engines = remote.call("info")["engines"]
        assert [name for name, version in engines.items() if version] == [engine]
        bundles = [tiny_bundle(tmp_path / f"{kind}.ewb", kind=kind, name=kind) for kind in ("text", "float32", "int8")]
        for bundle in bundles:
            assert flash(bundle, remote).max_difference < 1e-5
        results = bench(bundles, remote, min_runs=5, min_seconds=0.01)
        assert [result.engine["name"] for result in results] == [engine] * 3
        source = (
            "import importlib.util; print([bool(importlib.util.find_spec(n)) for n in ('tensorflow', 'keras', 'pip')])"
        )
        completed = remote.transport.run([remote.python, "-I", "-c", source], timeout_s=30)
        assert completed.stdout == b"[False, False, False]\n"
    size_bytes = sum(path.stat().st_size for path in (tmp_path / "kitchen/environments").rglob("*") if path.is_file())
    assert size_bytes < 75e6
    purge(device)
    assert not (tmp_path / "kitchen").exists()


@pytest.mark.slow
def test_a_real_environment_made_online(tmp_path: Path, bundle: Path) -> None:
    device = Device("kitchen", f"local:{tmp_path / 'kitchen'}")
    assert len(setup(device, online=True).changes) == 2
    assert setup(device, online=True).changes == ()
    flash(bundle, device)


@pytest.mark.usefixtures("few_pythons")
def test_the_command_line_tells_what_fits(tmp_path: Path) -> None:
    device = f"local:{tmp_path / 'kitchen'}"
    document = json.loads(CliRunner().invoke(cli, ["device", "probe", device, "--json"]).stdout)
    assert (document["kind"], document["fits"]["engine"]) == ("device-probe", "litert")
    shown = CliRunner().invoke(cli, ["device", "probe", device])
    assert "architecture" in shown.stdout
    assert f"Next: edgewright device setup {device}" in shown.stderr


@pytest.mark.usefixtures("few_pythons", "fetched")
def test_the_command_line_sets_up(tmp_path: Path) -> None:
    device = f"local:{tmp_path / 'kitchen'}"
    failed = CliRunner().invoke(cli, ["device", "setup", device])  # the stand-in has no engine
    assert isinstance(failed.exception, EngineError)
    assert "cannot import it (ModuleNotFoundError" in str(failed.exception)
    wrong = CliRunner().invoke(cli, ["device", "setup", device, "--python", "/nowhere"])
    assert "no Python at /nowhere" in str(wrong.exception)


def test_an_engine_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No engine is called pytorch"):
        setup(Board(tmp_path).remote, engine="pytorch")
