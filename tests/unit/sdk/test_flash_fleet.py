"""Several devices in one command: side by side, each with its own outcome."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from unit.interrupt import interrupted_elsewhere
from unit.models import tiny_bundle

from edgewright.devices import Device, add_device
from edgewright.errors import CheckError, DeviceError, StorageError, TransportError
from edgewright.flash import flash
from edgewright.fleet import side_by_side
from edgewright.remote import Remote
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.store import Store

DEVICES = ["attic", "cellar", "kitchen"]


@pytest.fixture
def homes(prepared_home: Path, tmp_path: Path) -> dict[str, Path]:
    """Three devices in the inventory, ready to be flashed."""
    found = {}
    for name in DEVICES:
        found[name] = Path(shutil.copytree(prepared_home, tmp_path / name, symlinks=True))
        _use_python(found[name], f'exec {sys.executable} "$@"')
        add_device(Device(name, f"local:{found[name]}"))
    return found


def _use_python(home: Path, script: str) -> None:
    python = home / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)


def _until(condition: Callable[[], object]) -> None:
    """Wait for it, for half a minute at most: the interruption comes in any case, and the test's own lines judge."""
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_each_device_has_its_outcome(homes: dict[str, Path]) -> None:
    def work(remote: Remote) -> str:
        if remote.name == "cellar":
            raise StorageError("The cellar is flooded.")
        return remote.name.upper()

    outcomes = side_by_side(["cellar", "nowhere", "attic", Device("kitchen", "local:")], work)
    assert [outcome.device for outcome in outcomes] == ["cellar", "nowhere", "attic", "kitchen"]
    assert [outcome.result for outcome in outcomes] == [None, None, "ATTIC", "KITCHEN"]
    assert [type(outcome.error) for outcome in outcomes] == [StorageError, DeviceError, type(None), type(None)]


def test_none_waits_for_another(homes: dict[str, Path]) -> None:
    """Each only ends when all have begun."""
    all_there = threading.Barrier(3, timeout=10)
    assert all(outcome.error is None for outcome in side_by_side(DEVICES, lambda remote: all_there.wait()))


def test_a_defect_is_no_outcome(homes: dict[str, Path]) -> None:
    def work(remote: Remote) -> None:
        raise ZeroDivisionError("of ours")

    with pytest.raises(ZeroDivisionError, match="of ours"):
        side_by_side(DEVICES, work)


def test_ctrl_c_ends_what_runs_on_every_device(homes: dict[str, Path]) -> None:
    for home in homes.values():
        _use_python(home, f"echo $$ > {home}/pid; exec sleep 60")
    pids: list[int] = []

    def interrupt() -> None:
        for home in homes.values():
            _until(lambda home=home: (home / "pid").is_file() and (home / "pid").read_text().strip())
            pids.append(int((home / "pid").read_text()))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        side_by_side(DEVICES, lambda remote: remote.call("info"))
    assert len(pids) == 3
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_after_ctrl_c_no_further_step_begins(homes: dict[str, Path]) -> None:
    at_work: list[Remote] = []
    errors: list[str] = []

    def work(remote: Remote) -> None:
        try:
            while True:
                remote.transport.run(["true"], timeout_s=10)
                at_work.append(remote)
        except TransportError as error:
            errors.append(str(error))
            raise

    def interrupt() -> None:
        _until(lambda: len({remote.name for remote in list(at_work)}) == 2)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        side_by_side(["attic", "kitchen"], work)
    assert errors == ["The connection to the device is closed: connect again."] * 2


def test_ctrl_c_that_does_not_wake_this_thread(homes: dict[str, Path]) -> None:
    with interrupted_elsewhere(), pytest.raises(KeyboardInterrupt):
        side_by_side(["attic"], lambda remote: remote.transport.run(["sleep", "60"], timeout_s=60))


def test_two_flashes_at_once_never_mix(homes: dict[str, Path], bundle: Path, tmp_path: Path) -> None:
    """Two hosts, three devices: each device ends with one of the two models, whole, and knows the other as before."""
    other = tiny_bundle(tmp_path / "other.ewb", seed=1)
    ids = {Bundle.open(path).id for path in (bundle, other)}
    hosts = [
        threading.Thread(target=side_by_side, args=(DEVICES, lambda remote, path=path: flash(path, remote)))
        for path in (bundle, other)
    ]
    for host in hosts:
        host.start()
    for host in hosts:
        host.join()
    for home in homes.values():
        Bundle.open(Store(home).current("tiny")).verify()
        assert {Store(home).current("tiny").name, Store(home).previous("tiny").name} == ids


def _run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-c", "from edgewright.cli import main; main()", *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def _document(*arguments: object) -> dict[str, Any]:
    return dict(json.loads(_run(*arguments, "--json").stdout))


def test_a_summary_and_an_exit_code(homes: dict[str, Path], bundle: Path) -> None:
    flashed = _run("flash", bundle, *DEVICES)
    assert (flashed.returncode, flashed.stderr) == (0, "")
    lines = [line.split() for line in flashed.stdout.splitlines()]
    assert lines[0] == ["device", "in", "use", "before", "files", "sent", "bytes", "sent", "seconds"]
    short_id = Bundle.open(bundle).id[:12]
    assert [line[:5] for line in lines[1:]] == [[name, "tiny", short_id, "none", "5"] for name in DEVICES]
    flashed = _run("flash", bundle, "kitchen", "nowhere", "attic")
    assert flashed.returncode == 8
    lines = [line.split() for line in flashed.stdout.splitlines()]
    assert [line[0] for line in lines[1:]] == ["kitchen", "nowhere", "attic"]
    assert lines[2][1:] == ["failed:", "DeviceError"]
    assert lines[3][3] == "unchanged"
    assert flashed.stderr.startswith("edgewright: No device is called nowhere")
    assert flashed.stderr.count("\n") == 1


def test_the_first_failure_decides_the_exit_code(homes: dict[str, Path], bundle: Path, tmp_path: Path) -> None:
    failing = tiny_bundle(tmp_path / "failing.ewb", golden_error=0.5)
    for devices, code in ((("kitchen", "nowhere"), CheckError.exit_code), (("nowhere", "kitchen"), 8)):
        assert _run("flash", failing, *devices).returncode == code
    document = _document("flash", failing, "kitchen", "nowhere")
    assert (document["kind"], document["reports"]) == ("flash", [])
    assert [(failure["device"], failure["error"]) for failure in document["failures"]] == [
        ("kitchen", "CheckError"),
        ("nowhere", "DeviceError"),
    ]


def test_rolling_back_and_collecting(homes: dict[str, Path], bundle: Path, tmp_path: Path) -> None:
    for path in (bundle, tiny_bundle(tmp_path / "other.ewb", seed=1), tiny_bundle(tmp_path / "third.ewb", seed=2)):
        assert _run("flash", path, "kitchen").returncode == 0
    assert _run("flash", bundle, "attic").returncode == 0
    rolled = _run("rollback", "tiny", "kitchen")
    assert rolled.stdout.startswith(f"kitchen: tiny {Bundle.open(tmp_path / 'other.ewb').id[:12]} is in use, before ")
    rolled = _run("rollback", "tiny", "kitchen", "attic")
    assert (rolled.returncode, rolled.stderr) == (
        3,
        "edgewright: On attic: The model tiny has no previous release: flash one first.\n",
    )
    assert _run("rollback", "tiny", "attic").returncode == 3
    dry = _run("gc", "kitchen", "--dry-run").stdout
    assert "bytes would be freed, 3 paths\n  releases/tiny/" in dry
    document = _document("gc", "kitchen", "attic")
    assert (document["kind"], document["failures"]) == ("gc", [])
    assert [len(report["removed"]) for report in document["reports"]] == [3, 0]
    assert "0 bytes freed, 0 paths" in _run("gc", "kitchen").stdout
