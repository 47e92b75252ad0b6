"""A probed device as a target, so that one doctor serves boards by their name and boards as they stand there."""

from edgewright_converter.targets import RUNTIMES, Target

from .engines import ENGINES, choose
from .errors import DeviceError
from .probe import Probe, Python

_FROM = {
    "engine": "what is installed, or else fits",
    "machine": "uname -m, and the bits of its Python",
    "memory_mb": "/proc/meminfo",
    "edgetpu": "/sys/bus/usb, /dev/apex_0",
    "model": "/proc/device-tree/model",
    "system": "/etc/os-release",
    "python": "the interpreter itself",
    "glibc": "getconf GNU_LIBC_VERSION",
    "cpu": "/proc/cpuinfo",
    "cpu_features": "/proc/cpuinfo",
    "storage_mb": "df",
}


def target_of(name: str, probe: Probe, *, engine: str = "auto") -> Target:
    """engine: "auto" for what is installed there, or else what would be. A device that no engine fits is a target all
    the same, with tflite-runtime; the doctor tells why it will not do."""
    python = probe.pythons[0] if probe.pythons else None
    if engine == "auto":
        installed = [key for key, package in ENGINES.items() if package.distribution in (probe.engines or ())]
        engine, python = (installed[0], python) if installed else _fitting(name, probe)
    libc = (python and python.libc) or probe.libc or ""
    found = Target(
        name=name,
        engine=engine,
        runtime=RUNTIMES[engine],
        machine=(probe.machine_of(python) if python else probe.architecture) or "unknown",
        memory_mb=_whole(probe.memory_bytes),
        edgetpu=probe.edgetpu is not None,
        board=name,
        model=probe.model,
        system=probe.system,
        python=".".join(python.version.split(".")[:2]) if python else None,
        glibc=libc.removeprefix("glibc ") if libc.startswith("glibc ") else None,
        cpu=probe.cpu,
        cpu_features=probe.cpu_features or (),
        storage_mb=_whole(probe.storage_free_bytes),
        sources={},
    )
    known = {key: f"{name}: {source}" for key, source in _FROM.items() if getattr(found, key) not in (None, ())}
    found.sources.update(known)
    return found


def _fitting(name: str, probe: Probe) -> tuple[str, Python | None]:
    try:
        choice = choose(name, probe)
        return choice.engine, choice.python
    except DeviceError:
        return "tflite", probe.pythons[0] if probe.pythons else None


def _whole(size_bytes: int | None) -> int | None:
    return None if size_bytes is None else max(1, round(size_bytes / 1e6))
