"""``device setup``: an environment with one engine, and the runtime's files. Safe to repeat and to interrupt.

The device needs Python and nothing else: the host fetches the wheels, and sends what the interpreter imports of them as
one file. An environment is a folder of its own, named by what is in it, and the symlink ``venv`` points to it only
after the engine has been imported there: a set-up that fails leaves the device as it was.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewright_runtime.hashing import hash_file, sha256_hex

from .devices import Device
from .engines import Choice, choose, missing_numpy
from .errors import DeviceError, EngineError, StorageError
from .probe import Probe, probe
from .progress import Progress, part, sending, silent
from .remote import Remote, connected
from .runtime_archive import runtime_archive
from .site_archive import FORMAT, site_archive
from .wheels import WheelTag, fetch_wheels

_INSTALL_TIMEOUT_S = 600.0  # 60 MB onto a slow card, and the first import from there
_VENV_TIMEOUT_S = 300.0
_PIP_TIMEOUT_S = 1800.0
_PIP_OPTIONS = ("--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet")


@dataclass(frozen=True)
class SetupReport:
    """What a set-up found and did. python: the version; changes: sentences, empty where all was there already."""

    device: str
    engine: str
    python: str
    machine: str
    home: str
    changes: tuple[str, ...]


def setup(
    device: str | Device | Remote,
    *,
    engine: str = "auto",
    python: str | None = None,
    online: bool = False,
    progress: Progress = silent,
) -> SetupReport:
    """Make a device able to run bundles.

    engine: "litert", "tflite", or "auto" for the first that fits the device. python: the path of the interpreter there,
    instead of the first that fits. online: let the device's own pip install into a virtual environment.

    Raises InputError for an unknown engine, DeviceError where nothing fits the device or the wheels are not to be had,
    EngineError where the device cannot import the engine, StorageError where a disk refuses.
    """
    with connected(device) as remote:
        progress("looking at the device", 0.0)
        facts = probe(remote, python=python)
        choice = choose(remote.name, facts, engine=engine, python=python)
        name = _environment_name(choice, online)
        changes = []
        if facts.environment != name or choice.package.distribution not in (facts.engines or ()):
            make = _install_online if online else _install
            changes.append(make(remote, choice, name, facts, progress))
        progress("copying the runtime", 0.95)
        digest = runtime_archive().digest
        if facts.runtime != digest or not _answers(remote):
            remote.install_runtime()
            remote.call("info")
            changes.append(f"copied the runtime {digest[:12]}")
        progress("done", 1.0)
        return SetupReport(
            remote.name, choice.engine, choice.python.version, choice.machine, str(remote.home), tuple(changes)
        )


def purge(device: str | Device | Remote) -> list[str]:
    """Delete everything that edgewright put on the device; returns the names of what was there."""
    with connected(device) as remote:
        return list(remote.bootstrap("purge")["removed"])


def _environment_name(choice: Choice, online: bool) -> str:
    """The same for whatever makes the same environment."""
    content = [FORMAT, online, choice.requirements, choice.python.path, choice.python.minor, choice.system_numpy]
    return f"{choice.engine}-{sha256_hex(json.dumps(content).encode())[:12]}"


def _install(remote: Remote, choice: Choice, name: str, facts: Probe, progress: Progress) -> str:
    """Send the packages as one file. Returns the change."""
    tag = WheelTag(choice.python.minor, choice.machine)
    progress(f"fetching {' and '.join(choice.requirements)} for Python 3.{tag.minor} on {tag.machine}", 0.05)
    wheels = _fetch(remote, choice, tag)
    progress("packing", 0.45)
    archive = site_archive(wheels, tag.minor)
    _check_room(remote, archive, facts)
    step = part(progress, 0.55, 0.8)
    step(f"sending {archive.stat().st_size / 1e6:.0f} MB", 0.0)
    digest = hash_file(archive)
    remote.transport.put(archive, remote.home / "incoming" / digest, on_sent=sending(step, "sending"))
    progress("installing", 0.8)
    system = "true" if choice.system_numpy else "false"
    arguments = (name, digest, choice.python.path, f"3.{tag.minor}", system, choice.package.module)
    _expect_import(remote, choice, remote.bootstrap("install", *arguments, timeout_s=_INSTALL_TIMEOUT_S))
    return f"installed {choice.package.requirement} for Python {choice.python.version}"


def _fetch(remote: Remote, choice: Choice, tag: WheelTag) -> list[Path]:
    try:
        return fetch_wheels(choice.requirements, tag)
    except DeviceError as error:
        problem = missing_numpy(remote.name, choice)
        if problem is not None and "found for numpy" in str(error):
            raise DeviceError(problem) from error
        raise


def _check_room(remote: Remote, archive: Path, facts: Probe) -> None:
    unpacked_bytes = int.from_bytes(archive.read_bytes()[-4:], "little")  # how a gzip file ends
    needed_bytes = archive.stat().st_size + unpacked_bytes
    if facts.storage_free_bytes is not None and facts.storage_free_bytes < needed_bytes:
        raise StorageError(
            f"{remote.name} has {facts.storage_free_bytes / 1e6:.0f} MB free where {remote.home} is, and the engine "
            f"needs {needed_bytes / 1e6:.0f} MB: free some space there."
        )


def _expect_import(remote: Remote, choice: Choice, answer: dict[str, Any]) -> None:
    """Raises EngineError with what the device's Python said (``Failed`` in bootstrap.py), and what to do about it."""
    reason = answer.get("failed")
    if reason is None:
        return
    library = re.search(r"(lib[\w+-]+)\.so[.\d]*: cannot open shared object file", reason)
    if library:
        remedy = f"install {library[1]} there (Debian: `sudo apt-get install libstdc++6 libgcc-s1`)"
    elif "not found (required by" in reason:
        remedy = "install a newer system there"
    elif reason == "ended by signal 4":
        remedy = "its processor lacks instructions that the engine uses: choose another engine or board"
    else:
        remedy = "try another engine with --engine, or another interpreter with --python"
    raise EngineError(
        f"{choice.package.requirement} is on {remote.name}, but {choice.python.path} cannot import it "
        f"({reason[:300]}): {remedy}."
    )


def _install_online(remote: Remote, choice: Choice, name: str, facts: Probe, progress: Progress) -> str:
    """Let the device make a virtual environment and use its pip. Returns the change."""
    environment = remote.home / "environments" / name
    python = str(environment / "bin/python")
    progress("making the virtual environment", 0.05)
    system = ["--system-site-packages"] if choice.system_numpy else []
    _run(
        remote,
        [choice.python.path, "-m", "venv", "--clear", *system, str(environment)],
        "making a virtual environment",
        "see whether its disk is full, or run it without --online; on Debian, python3-venv is needed there",
        _VENV_TIMEOUT_S,
    )
    progress(f"installing {choice.package.requirement}", 0.3)
    _run(
        remote,
        [python, "-I", "-m", "pip", "install", *_PIP_OPTIONS, *choice.requirements],
        f"installing {' and '.join(choice.requirements)}",
        "see whether the device has a network and room on its disk, or run it without --online",
        _PIP_TIMEOUT_S,
    )
    _expect_import(remote, choice, remote.bootstrap("use", name, choice.package.module, timeout_s=_INSTALL_TIMEOUT_S))
    return f"installed {choice.package.requirement} with the device's own pip"


def _answers(remote: Remote) -> bool:
    try:
        remote.call("info")
    except DeviceError:
        return False
    return True


def _run(remote: Remote, argv: list[str], what: str, remedy: str, timeout_s: float) -> None:
    completed = remote.transport.run(argv, timeout_s=timeout_s)
    if completed.returncode != 0:
        talk = (completed.stderr + completed.stdout).decode("utf-8", "replace")
        lines = [line.strip() for line in talk.splitlines() if line.strip()]
        decisive = [line for line in lines if "error" in line.lower()] or lines or [f"exit code {completed.returncode}"]
        raise DeviceError(f"On {remote.name}, {what} failed ({decisive[-1][:300]}): {remedy}.")
