"""Energy counters, by the files that the kernel's documentation describes; none was read on a real board."""

from pathlib import Path

import pytest
from unit.models import tiny_bundle

from edgewright_runtime.energy import Counter, Reading, energy_document, energy_joules, find_counter
from edgewright_runtime.load import energy
from edgewright_runtime.plan import Plan


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


RAPL = {
    "sys/class/powercap/intel-rapl:0/name": "package-0\n",
    "sys/class/powercap/intel-rapl:0/energy_uj": "1200000\n",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850\n",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": "7\n",
}
INA226 = {"sys/class/hwmon/hwmon1/name": "ina226\n", "sys/class/hwmon/hwmon1/power1_input": "3250000\n"}
INA3221 = {
    "sys/class/hwmon/hwmon0/name": "ina3221\n",
    "sys/class/hwmon/hwmon0/in1_input": "5000\n",
    "sys/class/hwmon/hwmon0/curr1_input": "400\n",
}
INA238 = {"sys/class/hwmon/hwmon0/name": "ina238\n", "sys/class/hwmon/hwmon0/energy1_input": "77\n"}


@pytest.mark.parametrize(
    ("files", "name", "cumulative", "value"),
    [
        (RAPL, "RAPL package-0", True, 1_200_000),
        (INA226, "ina226", False, 3_250_000),
        (INA3221, "ina3221", False, 2_000_000),
        (INA238, "ina238", True, 77),
        ({**INA226, **RAPL}, "RAPL package-0", True, 1_200_000),
    ],
)
def test_the_counters_that_boards_have(
    tmp_path: Path, files: dict[str, str], name: str, cumulative: bool, value: int
) -> None:
    counter = find_counter(_write(tmp_path, files))
    assert counter is not None
    assert (counter.name, counter.cumulative, counter.read()) == (name, cumulative, value)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"sys/class/hwmon/hwmon0/name": "cpu_thermal\n", "sys/class/hwmon/hwmon0/temp1_input": "48000\n"},
        {**INA3221, "sys/class/hwmon/hwmon0/curr1_input": "\n"},
        {"sys/class/powercap/intel-rapl:0/name": "psys\n", "sys/class/powercap/intel-rapl:0/energy_uj": "1\n"},
        {"sys/class/powercap/intel-rapl:0/name": "package-0\n"},  # energy_uj is for root only
    ],
)
def test_no_counter_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    assert find_counter(_write(tmp_path, files)) is None
    assert energy(tmp_path / "never opened.ewb", Plan(), None, tmp_path) is None


def test_energy_that_is_counted_may_begin_anew() -> None:
    counter = Counter("RAPL", True, lambda: None, 1_000_000)
    assert energy_joules([Reading(0, 200_000), Reading(10, 700_000)], counter) == pytest.approx(0.5)
    assert energy_joules([Reading(0, 900_000), Reading(10, 100_000)], counter) == pytest.approx(0.2)
    assert energy_joules([Reading(0, 900_000)], counter) is None


def test_power_is_summed_over_time() -> None:
    meter = Counter("ina226", False, lambda: None, 0)
    readings = [Reading(0, 2_000_000), Reading(500_000_000, 4_000_000), Reading(1_000_000_000, 4_000_000)]
    assert energy_joules(readings, meter) == pytest.approx(1.5 + 2.0)


def test_what_a_run_takes_beside_the_board() -> None:
    meter = Counter("ina226", False, lambda: None, 0)
    idle = [Reading(0, 2_000_000), Reading(1_000_000_000, 2_000_000)]
    busy = [Reading(0, 5_000_000), Reading(2_000_000_000, 5_000_000)]
    document = energy_document(meter, idle, busy, runs=1000)
    assert document is not None
    assert document["joules_per_run"] == pytest.approx(0.01)
    assert document["above_idle_joules_per_run"] == pytest.approx(0.006)
    assert (document["idle_watts"], document["busy_watts"]) == pytest.approx((2, 5))
    assert energy_document(meter, idle, busy, runs=0) is None


def test_a_model_is_run_while_the_counter_is_read(tmp_path: Path) -> None:
    root, bundle = _write(tmp_path / "root", INA226), tiny_bundle(tmp_path / "tiny.ewb")
    document = energy(bundle, Plan(min_seconds=0), None, root)
    assert document is not None
    assert document["busy_watts"] == pytest.approx(3.25)
    assert document["runs"] > 1
    assert document["joules_per_run"] == pytest.approx(3.25 * document["seconds"] / document["runs"], rel=0.01)
