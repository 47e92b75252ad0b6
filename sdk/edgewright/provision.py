"""``device setup``: a virtual environment with one engine, and the runtime's files. Safe to repeat and to interrupt.

An environment is made in a folder of its own, named by what is in it, and the symlink ``venv`` points to it only after
the engine has been imported there: a set-up that fails leaves the device as it was.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from edgewright_runtime.hashing import sha256_hex

from .devices import Device
from .errors import DeviceError, InputError
from .progress import Progress, silent
from .remote import Remote, connected
from .runtime_archive import runtime_archive

_PIP_TIMEOUT_S = 1800.0  # 45 MB and unpacking them on a slow card
_VENV_TIMEOUT_S = 300.0
_PIP_OPTIONS = ("--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet")


@dataclass(frozen=True)
class EnginePackage:
    """What an engine needs. requirements: installed without dependencies; pythons: first and last minor version."""

    requirements: tuple[str, ...]
    module: str
    pythons: tuple[tuple[int, int], tuple[int, int]]
    machines: tuple[str, ...]

    def fits(self, python: tuple[int, int], machine: str) -> bool:
        """Whether there are wheels for this Python and machine."""
        return self.pythons[0] <= python <= self.pythons[1] and machine in self.machines


ENGINES = {
    # 2.3.0 has every operator version of TensorFlow 2.21. Its interpreter imports numpy alone: flatbuffers, protobuf,
    # tqdm and ml_dtypes serve its converter tools.
    "litert": EnginePackage(
        ("ai-edge-litert==2.3.0", "numpy>=1.23.2,<3"),
        "ai_edge_litert.interpreter",
        ((3, 10), (3, 14)),
        ("x86_64", "aarch64"),
    ),
    # The last tflite-runtime; its extension module was built against numpy 1.
    "tflite": EnginePackage(
        ("tflite-runtime==2.14.0", "numpy>=1.23.2,<2"),
        "tflite_runtime.interpreter",
        ((3, 9), (3, 11)),
        ("x86_64", "aarch64", "armv7l"),
    ),
}


@dataclass(frozen=True)
class SetupReport:
    """What a set-up found and did. changes: sentences, empty where everything was there already."""

    device: str
    engine: str
    python: str
    machine: str
    home: str
    changes: tuple[str, ...] = ()


def setup(device: str | Device | Remote, *, engine: str = "auto", progress: Progress = silent) -> SetupReport:
    """Make a device able to run bundles. engine: "litert", "tflite", or "auto" for the first that fits the device.

    Raises InputError for an unknown engine, DeviceError where the device has no Python, network or wheel for it,
    StorageError where it refuses to write.
    """
    with connected(device) as remote:
        progress("looking at the device", 0.0)
        facts = remote.bootstrap("look")
        chosen = _choose(remote.name, engine, facts)
        report = SetupReport(remote.name, chosen, facts["python"], facts["machine"], str(remote.home))
        report = _make_environment(remote, ENGINES[chosen], facts, report, progress)
        return _copy_runtime(remote, facts, report, progress)


def purge(device: str | Device | Remote) -> list[str]:
    """Delete everything that edgewright put on the device; returns the names of what was there."""
    with connected(device) as remote:
        return list(remote.bootstrap("purge")["removed"])


def _choose(name: str, engine: str, facts: dict[str, Any]) -> str:
    if engine != "auto" and engine not in ENGINES:
        raise InputError(f"No engine is called {engine}: choose one of auto, {', '.join(ENGINES)}.")
    for candidate in ENGINES if engine == "auto" else (engine,):
        if ENGINES[candidate].fits(_minor(facts["python"]), facts["machine"]):
            return candidate
    offers = "; ".join(
        f"{candidate} needs Python 3.{first} to 3.{last} on {'/'.join(package.machines)}"
        for candidate, package in ENGINES.items()
        for first, last in [(package.pythons[0][1], package.pythons[1][1])]
    )
    raise DeviceError(
        f"{name} has Python {facts['python']} on {facts['machine']}, and {offers}: install another Python there"
        + (", or leave out --engine." if engine != "auto" else ".")
    )


def _make_environment(
    remote: Remote, package: EnginePackage, facts: dict[str, Any], report: SetupReport, progress: Progress
) -> SetupReport:
    minor = _minor(facts["python"])
    digest = sha256_hex(json.dumps([package.requirements, minor]).encode())
    folder = f"{report.engine}-{digest[:12]}"
    environment = remote.home / "environments" / folder
    python = str(environment / "bin/python")
    if facts["environment"] == folder and _works(remote, python, package):
        return report
    progress("making the virtual environment", 0.05)
    _run(
        remote,
        [remote.transport.python, "-m", "venv", "--clear", str(environment)],
        "making a virtual environment",
        "see whether its disk is full; on Debian, install python3-venv there",
        _VENV_TIMEOUT_S,
    )
    progress(f"installing {package.requirements[0]}", 0.3)
    _run(
        remote,
        [python, "-I", "-m", "pip", "install", *_PIP_OPTIONS, *package.requirements],
        f"installing {' and '.join(package.requirements)}",
        "see whether the device has a network and room on its disk",
        _PIP_TIMEOUT_S,
    )
    if not _works(remote, python, package):
        raise DeviceError(f"{package.requirements[0]} was installed on {remote.name}, but Python cannot import it.")
    remote.bootstrap("use", folder)
    change = f"installed {package.requirements[0]} in a virtual environment"
    return replace(report, changes=(*report.changes, change))


def _copy_runtime(remote: Remote, facts: dict[str, Any], report: SetupReport, progress: Progress) -> SetupReport:
    progress("copying the runtime", 0.9)
    digest = runtime_archive().digest
    if facts["runtime"] == digest and _answers(remote):
        progress("done", 1.0)
        return report
    remote.install_runtime()
    remote.call("info")
    progress("done", 1.0)
    return replace(report, changes=(*report.changes, f"copied the runtime {digest[:12]}"))


def _answers(remote: Remote) -> bool:
    try:
        remote.call("info")
    except DeviceError:
        return False
    return True


def _works(remote: Remote, python: str, package: EnginePackage) -> bool:
    argv = [python, "-I", "-c", f"import numpy, {package.module}"]
    return remote.transport.run(argv, timeout_s=120.0).returncode == 0


def _run(remote: Remote, argv: list[str], what: str, remedy: str, timeout_s: float) -> None:
    completed = remote.transport.run(argv, timeout_s=timeout_s)
    if completed.returncode != 0:
        talk = (completed.stderr + completed.stdout).decode("utf-8", "replace")
        lines = [line.strip() for line in talk.splitlines() if line.strip()]
        decisive = [line for line in lines if "error" in line.lower()] or lines or [f"exit code {completed.returncode}"]
        raise DeviceError(f"On {remote.name}, {what} failed ({decisive[-1][:300]}): {remedy}.")


def _minor(python: str) -> tuple[int, int]:
    major, minor = python.split(".")[:2]
    return int(major), int(minor)
