"""Killed at any moment, a device serves its old model or the new one, whole; the next flash succeeds; nothing leaks.

Real processes are killed: the device's own commands before each single change of the disk, and in the middle of each
write; commands and hosts at random times. ``test_power_cut`` is about what a disk forgets besides.
"""

import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from e2e.disk_changes import before_each_change
from unit.models import tiny_bundle

from edgewright.flash import flash
from edgewright.remote import Remote
from edgewright.runtime_archive import runtime_archive
from edgewright.transports import LocalTransport
from edgewright_runtime.__main__ import execute
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.check import check_golden
from edgewright_runtime.claim import FRESH_S
from edgewright_runtime.errors import InputError
from edgewright_runtime.model import load_model
from edgewright_runtime.request import pack_request
from edgewright_runtime.store import Store

COMMANDS_KILLED, HOSTS_KILLED = 100, 40
SEED = 20

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Bundles:
    old: Bundle
    new: Bundle


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """In memory, where there is such a place: a fsync costs nothing there, and a killed process loses nothing."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as found:
        yield Path(found)


@pytest.fixture(scope="module")
def bundles(folder: Path) -> Bundles:
    old, new = (tiny_bundle(folder / f"{seed}.ewb", seed=seed) for seed in (0, 1))
    return Bundles(Bundle.open(old), Bundle.open(new))


@cache
def _request(bundle: Bundle) -> bytes:
    return pack_request(bundle.manifest_bytes, [bundle.read(entry.path) for entry in bundle.manifest.files])


def _command(home: Path, *arguments: str, stdin: bytes = b"") -> int:
    """Run a command of the device's runtime in a process of its own; returns how it ended."""
    return _in_child(lambda: _execute([*arguments, "--home", str(home), "--wait", "10"], stdin))


def _execute(arguments: list[str], stdin: bytes) -> int:
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin))
    return execute(arguments)


def _in_child(work: Callable[[], int]) -> int:
    child = os.fork()
    if child == 0:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        sys.stdout = io.TextIOWrapper(io.BytesIO())
        code = 99
        with suppress(BaseException):
            code = work()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _flash(home: Path, bundle: Bundle) -> int:
    return _command(home, "store-flash", stdin=_request(bundle))


def _current(home: Path) -> str | None:
    """The id of the model in use, which opens, verifies and answers; None where there is none."""
    try:
        bundle = Bundle.open(Store(home).current("tiny"))
    except InputError:
        assert not (home / "models" / "tiny" / "current").is_symlink()
        return None
    bundle.verify()
    with load_model(bundle) as engine:
        check_golden(engine, bundle)
    return bundle.id


def _age(home: Path) -> None:
    """Nothing is new any more."""
    for folder in ("incoming", "data"):
        for path in (home / folder).glob("*"):
            os.utime(path, (time.time() - 2 * FRESH_S,) * 2, follow_symlinks=False)


def _collected(home: Path) -> set[str]:
    """Every path that is left after collecting garbage."""
    _age(home)
    assert _command(home, "store-gc") == 0
    return {path.relative_to(home).as_posix() for path in home.rglob("*")}


def _kill_before_change(number: int) -> None:
    """Let this process be killed before its change of the disk of that number, from 0."""
    changes = 0

    def step() -> None:
        nonlocal changes
        if changes == number:
            os.kill(os.getpid(), signal.SIGKILL)
        changes += 1

    before_each_change(step)


def _no_links() -> None:
    """As on FAT."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    os.link = refuse


@dataclass(frozen=True)
class Scenario:
    """before: makes the home; arguments, stdin: of the command that is killed; at_least: how many changes it makes."""

    name: str
    before: Callable[[Path, Bundles], None]
    command: Callable[[Bundles], tuple[list[str], bytes]]
    at_least: int
    prepare: Callable[[], None] = lambda: None


def _nothing(home: Path, bundles: Bundles) -> None:
    home.mkdir()


def _old(home: Path, bundles: Bundles) -> None:
    assert _flash(home, bundles.old) == 0


def _old_and_arrived(home: Path, bundles: Bundles) -> None:
    _old(home, bundles)
    bundles.new.extract(home / "incoming")


def _old_again(home: Path, bundles: Bundles) -> None:
    """In use, with a damaged file, and its blob gone."""
    _new_over_old(home, bundles)
    assert _flash(home, bundles.old) == 0
    shutil.rmtree(home / "blobs")
    damaged = home / "releases" / "tiny" / bundles.new.id / "labels.json"
    damaged.unlink()
    damaged.write_bytes(b"[]")


def _new_over_old(home: Path, bundles: Bundles) -> None:
    _old(home, bundles)
    assert _flash(home, bundles.new) == 0


def _much_to_collect(home: Path, bundles: Bundles) -> None:
    for bundle in (bundles.new, bundles.old):
        assert _flash(home, bundle) == 0
    for number in range(3):
        release = home / "releases" / "tiny" / (f"{number}" * 64)
        shutil.copytree(home / "releases" / "tiny" / bundles.new.id, release)
    for leftover in ("incoming/a", "data/b.npz", "blobs/c", "releases/tiny/.d.unfinished/e", "models/tiny/.f"):
        (home / leftover).parent.mkdir(parents=True, exist_ok=True)
        (home / leftover).write_bytes(b"leftover")
    _age(home)


def _flashing(bundles: Bundles) -> tuple[list[str], bytes]:
    return ["store-flash"], _request(bundles.new)


def _asking(bundles: Bundles) -> tuple[list[str], bytes]:
    return ["store-flash"], pack_request(bundles.new.manifest_bytes)


def _rolling_back(bundles: Bundles) -> tuple[list[str], bytes]:
    return ["store-rollback", "tiny"], b""


def _collecting(bundles: Bundles) -> tuple[list[str], bytes]:
    return ["store-gc"], b""


SCENARIOS = [
    Scenario("the first flash", _nothing, _flashing, 45),
    Scenario("a flash over another model", _old, _flashing, 35),
    Scenario("a flash of what arrived as files", _old_and_arrived, _asking, 35),
    Scenario("a flash that repairs", _old_again, _flashing, 30),
    Scenario("a flash without hard links", _old, _flashing, 40, _no_links),
    Scenario("a rollback", _new_over_old, _rolling_back, 10),
    Scenario("a collection", _much_to_collect, _collecting, 30),
]


def test_the_points_are_enough() -> None:
    assert sum(scenario.at_least for scenario in SCENARIOS) + COMMANDS_KILLED + HOSTS_KILLED >= 300


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_killed_before_each_change(folder: Path, bundles: Bundles, scenario: Scenario) -> None:
    start, home = folder / "start", folder / "home"
    for leftover in (start, home):
        shutil.rmtree(leftover, ignore_errors=True)
    scenario.before(start, bundles)
    before = _current(start)
    arguments, stdin = scenario.command(bundles)

    def killed(number: int) -> int:
        def work() -> int:
            scenario.prepare()
            _kill_before_change(number)
            return _execute([*arguments, "--home", str(home)], stdin)

        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(start, home, symlinks=True)
        return _in_child(work)

    assert killed(1_000_000) == 0
    after, expected = _current(home), _collected(home)
    found, points = set(), 0
    while (code := killed(points)) != 0:
        assert code == -signal.SIGKILL
        found.add(_current(home))
        assert _command(home, *arguments, stdin=stdin) == 0 or arguments[0] == "store-rollback"
        assert arguments[0] == "store-rollback" or _current(home) == after
        if arguments[0] == "store-flash":
            assert _collected(home) == expected
        assert _flash(home, bundles.new) == 0
        assert _current(home) == bundles.new.id
        points += 1
    assert points >= scenario.at_least
    assert found == {before, after}


def _runtime(folder: Path) -> Path:
    Remote("device", LocalTransport(folder), sys.executable).install_runtime()
    return folder / "runtimes" / runtime_archive().digest


def test_commands_killed_at_random(folder: Path, bundles: Bundles) -> None:
    """One device, killed again and again without being tidied in between."""
    runtime, home, moments = _runtime(folder / "device"), folder / "shot", random.Random(SEED)
    (folder / "request").write_bytes(b"")
    in_use, found = {None}, set()
    for point in range(COMMANDS_KILLED):
        bundle = (bundles.old, bundles.new)[point % 2]
        (folder / "request").write_bytes(_request(bundle))
        command = [sys.executable, "-I", str(runtime), "store-flash", "--home", str(home)]
        with (folder / "request").open("rb") as stdin:
            started = time.monotonic()
            process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL, start_new_session=True)
        if point == 0:
            process.wait()
            duration = time.monotonic() - started
        else:
            time.sleep(moments.uniform(0.2, 1.2) * duration)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        in_use = {*in_use, bundle.id} if point else {bundle.id}
        current = _current(home)
        assert current in in_use
        found.add((current == bundle.id, process.returncode))
        in_use = {current}
    assert {code for _, code in found} >= {-signal.SIGKILL}
    assert {new for new, _ in found} == {True, False}  # the moments were neither all too early nor all too late
    assert _flash(home, bundles.new) == _flash(home, bundles.old) == 0
    left = _collected(home)
    shutil.rmtree(folder / "clean", ignore_errors=True)
    assert _flash(folder / "clean", bundles.new) == _flash(folder / "clean", bundles.old) == 0
    assert left == _collected(folder / "clean")


def test_hosts_killed_at_random(folder: Path, bundles: Bundles) -> None:
    home, moments, found = folder / "device", random.Random(SEED), set()
    _runtime(home)

    def host(bundle: Bundle) -> int:
        flash(bundle.path, Remote("device", LocalTransport(home), sys.executable))
        return 0

    started = time.monotonic()
    assert _in_child(lambda: host(bundles.old)) == 0
    duration = time.monotonic() - started
    for point in range(HOSTS_KILLED):
        bundle = (bundles.new, bundles.old)[point % 2]
        before = _current(home)
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                host(bundle)
            os._exit(0)
        time.sleep(moments.uniform(0.0, 1.1) * duration)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        _wait_for_orphans(home)
        current = _current(home)
        assert current in (before, bundle.id)
        found.add(current == bundle.id)
        if point % 10 == 0:
            assert host(bundle) == 0
            assert _current(home) == bundle.id
    assert found == {True, False}
    for bundle in (bundles.new, bundles.old):
        assert host(bundle) == 0
    left = _collected(home)
    shutil.rmtree(folder / "clean", ignore_errors=True)
    assert _flash(folder / "clean", bundles.new) == _flash(folder / "clean", bundles.old) == 0
    runtimes = {path for path in left if path.startswith("runtime")}
    assert left - runtimes == _collected(folder / "clean")


def _wait_for_orphans(home: Path) -> None:
    """A local device's command outlives a host that was killed, and ends by itself."""

    def commands() -> list[str]:
        lines = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                lines.append((process / "cmdline").read_text())
        return [line for line in lines if f"\0{home}" in line]

    while commands():
        time.sleep(0.01)
