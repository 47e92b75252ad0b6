"""Energy, where the board has a counter for it: what the kernel tells, never an estimate from a data sheet.

RAPL (Intel, AMD: the processor's package) counts energy; so does an hwmon ``energy1_input``. INA219, INA226, INA238
and INA3221, as on power boards for the Raspberry Pi, tell the power of this moment, or voltage and current. Units are
those of the kernel's documentation: admin-guide/pm/powercap and hwmon/sysfs-interface.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

from .facts import read_fact

# Power that is told for a moment is read so often while the model runs; energy that is counted needs two readings.
INTERVAL_S = 0.02


class Reading(NamedTuple):
    """One look at a counter. at_ns: on the monotonic clock; value: microjoules so far, or microwatts now."""

    at_ns: int
    value: int


class Counter(NamedTuple):
    """name: which one, for a person; cumulative: whether it counts energy, else it tells power; read: its value now;
    range_uj: where it begins anew, 0 where it never does."""

    name: str
    cumulative: bool
    read: Callable[[], Optional[int]]
    range_uj: int


def find_counter(root: Path = Path("/")) -> Optional[Counter]:
    """The first counter that this process may read; None where there is none. RAPL is often readable by root only."""
    return next((counter for counter in _counters(root) if counter.read() is not None), None)


def energy_joules(readings: Sequence[Reading], counter: Counter) -> Optional[float]:
    """The energy between the first reading and the last. None from fewer than two."""
    if len(readings) < 2:
        return None
    pairs = list(zip(readings, readings[1:]))
    if counter.cumulative:
        return sum(_grown(before.value, after.value, counter.range_uj) for before, after in pairs) / 1e6
    return sum((before.value + after.value) / 2e6 * (after.at_ns - before.at_ns) / 1e9 for before, after in pairs)


def _grown(before: int, after: int, range_uj: int) -> int:
    return after - before if after >= before else after - before + range_uj


def _counters(root: Path) -> "Iterable[Counter]":
    for zone in sorted((root / "sys/class/powercap").glob("*-rapl:?")):
        name = read_fact(zone / "name", str) or zone.name
        if not name.startswith("psys"):  # of the whole platform, but wrong on many machines
            reach = read_fact(zone / "max_energy_range_uj", int) or 0
            yield Counter(f"RAPL {name.strip()}", True, _reader(zone / "energy_uj"), reach)
    for chip in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        name = (read_fact(chip / "name", str) or "").strip()
        yield Counter(name, True, _reader(chip / "energy1_input"), 0)
        if name.startswith("ina"):
            yield Counter(name, False, _reader(chip / "power1_input"), 0)
            yield Counter(name, False, _product(chip / "in1_input", chip / "curr1_input"), 0)


def _reader(path: Path) -> Callable[[], Optional[int]]:
    return lambda: read_fact(path, int)


def _product(millivolts: Path, milliamperes: Path) -> Callable[[], Optional[int]]:
    """Microwatts."""

    def read() -> Optional[int]:
        volts, amperes = read_fact(millivolts, int), read_fact(milliamperes, int)
        return None if volts is None or amperes is None else volts * amperes

    return read


def energy_document(
    counter: Counter, idle: Sequence[Reading], busy: Sequence[Reading], runs: int
) -> Optional[dict[str, Any]]:
    """What one run of the model took. joules_per_run: of all that the counter sees; above_idle: without what it saw in
    the same time before, when nothing ran."""
    idle_joules, busy_joules = energy_joules(idle, counter), energy_joules(busy, counter)
    if idle_joules is None or busy_joules is None or runs < 1:
        return None
    idle_watts = idle_joules / ((idle[-1].at_ns - idle[0].at_ns) / 1e9)
    seconds = (busy[-1].at_ns - busy[0].at_ns) / 1e9
    return {
        "counter": counter.name,
        "idle_watts": idle_watts,
        "busy_watts": busy_joules / seconds,
        "joules_per_run": busy_joules / runs,
        "above_idle_joules_per_run": (busy_joules - idle_watts * seconds) / runs,
        "runs": runs,
        "seconds": seconds,
    }
