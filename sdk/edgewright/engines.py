"""The engines' packages, and which of them a device can run: each with what its wheels truly need."""

from dataclasses import dataclass

from .errors import DeviceError, InputError
from .probe import Probe, Python

Version = tuple[int, int]


@dataclass(frozen=True)
class EnginePackage:
    """What an engine needs. pythons: first and last version; glibc: the oldest, by machine; numpy: by Python's minor.

    glibc is what the wheels' libraries ask for (``objdump -p`` on each), for the wheels' names are wrong in both
    directions: ai-edge-litert's for aarch64 says 2.27 and needs 2.34, tflite-runtime's say 2.34 and need 2.27.
    """

    requirement: str
    module: str
    pythons: tuple[Version, Version]
    glibc: dict[str, Version]
    numpy: dict[int, str]

    @property
    def distribution(self) -> str:
        return self.requirement.partition("==")[0]


# numpy is the version that is smallest on the device: 2.2 takes 8 MB less memory than 1.26, and 2.4 is 4 MB larger
# on aarch64. The wheels of 2.3 need glibc 2.27, so only what 2.2 does not serve gets it.
ENGINES = {
    # Has every operator version of TensorFlow 2.21. Its interpreter imports numpy alone: flatbuffers, protobuf, tqdm
    # and ml_dtypes serve its converter tools.
    "litert": EnginePackage(
        "ai-edge-litert==2.3.0",
        "ai_edge_litert.interpreter",
        ((3, 10), (3, 14)),
        {"x86_64": (2, 27), "aarch64": (2, 34)},
        {10: "2.2.6", 11: "2.2.6", 12: "2.2.6", 13: "2.2.6", 14: "2.3.5"},
    ),
    # The last tflite-runtime; its extension module was built against numpy 1.
    "tflite": EnginePackage(
        "tflite-runtime==2.14.0",
        "tflite_runtime.interpreter",
        ((3, 9), (3, 11)),
        {"x86_64": (2, 29), "aarch64": (2, 27), "armv7l": (2, 27)},
        {9: "1.26.4", 10: "1.26.4", 11: "1.26.4"},
    ),
}
NUMPY_MACHINES = ("x86_64", "aarch64")  # there are no wheels for others
_NUMPY_1 = ((1, 23), (2, 0))  # what tflite-runtime accepts of a device's own; with 1.19 it fails


@dataclass(frozen=True)
class Choice:
    """An engine for a device. requirements: pinned; system_numpy: the device's own numpy is used, and none is sent."""

    engine: str
    package: EnginePackage
    python: Python
    machine: str
    requirements: tuple[str, ...]
    system_numpy: bool


def choose(name: str, probe: Probe, *, engine: str = "auto", python: str | None = None) -> Choice:
    """The engine and the Python to use on a device. python: the path of the only one to consider.

    Raises InputError for an unknown engine, DeviceError where nothing exists for the device, with the reasons.
    """
    if engine != "auto" and engine not in ENGINES:
        raise InputError(f"No engine is called {engine}: choose one of auto, {', '.join(ENGINES)}.")
    if python is not None and not probe.pythons:
        raise DeviceError(f"{name} has no Python at {python} that runs: check the path there.")
    for candidate in ENGINES if engine == "auto" else (engine,):
        for found in _by_preference(probe.pythons):
            if _obstacle(ENGINES[candidate], found, probe) is None:
                return _choice(candidate, found, probe)
    raise DeviceError(_nothing_fits(name, probe, engine))


def missing_numpy(name: str, choice: Choice) -> str | None:
    """What to do where numpy is needed and has no wheels, unless this machine's pip knows a place that has one."""
    if choice.machine in NUMPY_MACHINES or choice.system_numpy:
        return None
    own = choice.python.packages.get("numpy")
    return (
        f"There are no wheels of numpy for {choice.machine}, and {choice.python.path} on {name} has "
        f"{f'numpy {own}' if own else 'none'}: install numpy 1.23 to 1.26 there (Raspberry Pi OS 12: `sudo apt-get "
        f"install python3-numpy`), or run `edgewright device setup {name} --online`, or install the 64-bit system."
    )


def _choice(engine: str, python: Python, probe: Probe) -> Choice:
    package, machine = ENGINES[engine], str(probe.machine_of(python))
    numpy = python.packages.get("numpy")
    system = machine not in NUMPY_MACHINES and numpy is not None and _NUMPY_1[0] <= version(numpy) < _NUMPY_1[1]
    pins = () if system else (f"numpy=={package.numpy[python.minor]}",)
    return Choice(engine, package, python, machine, (package.requirement, *pins), system)


def _by_preference(pythons: tuple[Python, ...]) -> list[Python]:
    """The device's usual one, then the newest."""
    return [*pythons[:1], *sorted(pythons[1:], key=lambda python: version(python.version), reverse=True)]


def _obstacle(package: EnginePackage, python: Python, probe: Probe) -> str | None:
    return obstacle(
        package,
        machine=probe.machine_of(python),
        libc=python.libc or probe.libc,
        python=python.version,
        is_standard=python.is_standard,
    )


def obstacle(
    package: EnginePackage, *, machine: str | None, libc: str | None, python: str, is_standard: bool = True
) -> str | None:
    """Why the engine does not run with this Python there, None where nothing speaks against it."""
    libc = libc or "an unknown C library"
    first, last = package.pythons
    if machine not in package.glibc:
        return f"has no wheels for {machine}"
    if not libc.startswith("glibc "):
        return f"needs glibc, and there is {libc}"
    if version(libc[6:]) < package.glibc[machine]:
        return f"needs glibc {_dotted(package.glibc[machine])} or later on {machine}"
    if not is_standard or not first <= version(python) <= last:
        return f"needs CPython {_dotted(first)} to {_dotted(last)}"
    return None


def _nothing_fits(name: str, probe: Probe, engine: str) -> str:
    if not probe.pythons:
        return (
            f"{name} has no Python: install Python 3.9 or later there (no root is needed: unpack a standalone build in "
            f"the home folder), then run `edgewright device setup {name} --python PATH`."
        )
    best = probe.pythons[0]
    machine, libc = probe.machine_of(best), best.libc or probe.libc or "an unknown C library"
    found = " and ".join(python.version for python in probe.pythons)
    obstacles = {
        candidate: [_obstacle(ENGINES[candidate], python, probe) for python in probe.pythons]
        for candidate in (ENGINES if engine == "auto" else (engine,))
    }
    reasons = "; ".join(f"{ENGINES[candidate].requirement} {why[0]}" for candidate, why in obstacles.items())
    fits = [other for other in ENGINES if other not in obstacles and _fits(other, probe)]
    return (
        f"No engine exists for {name} (Python {found} on {machine}, {libc}): {reasons}. "
        f"{_remedy(name, str(machine), libc, fits)}"
    )


def _fits(engine: str, probe: Probe) -> bool:
    return any(_obstacle(ENGINES[engine], python, probe) is None for python in probe.pythons)


def _remedy(name: str, machine: str, libc: str, others: list[str]) -> str:
    if others:
        return f"Leave out --engine: {others[0]} fits this device."
    if machine == "armv6l":
        return "Use a board with a newer processor: a Raspberry Pi Zero 2 W, or a Pi 2 or later."
    if not any(machine in package.glibc for package in ENGINES.values()):
        return "Use a board of another kind: x86-64, 64-bit ARM (aarch64) or 32-bit ARM from version 7 on (armv7l)."
    if not libc.startswith("glibc "):
        return "Use a system with glibc there, such as Raspberry Pi OS or Debian, and not Alpine."
    if version(libc[6:]) < min(package.glibc[machine] for package in ENGINES.values() if machine in package.glibc):
        return "Install a newer system there: Raspberry Pi OS 11 or later, Debian 11 or later, Ubuntu 20.04 or later."
    fitting = [package for package in ENGINES.values() if version(libc[6:]) >= package.glibc.get(machine, (99, 0))]
    first, last = min(package.pythons[0] for package in fitting), max(package.pythons[1] for package in fitting)
    bits = ", or the 64-bit system, which has more choice" if machine == "armv7l" else ""
    return (
        f"Install Python {_dotted(first)} to {_dotted(last)} there{bits} (no root is needed: unpack a standalone build "
        f"in the home folder), then run `edgewright device setup {name} --python PATH`."
    )


def version(text: str) -> Version:
    """The first two numbers of a version."""
    first, second = text.split(".")[:2]
    return int(first), int("".join(digit for digit in second if digit.isdigit()) or 0)


def _dotted(numbers: Version) -> str:
    return f"{numbers[0]}.{numbers[1]}"
