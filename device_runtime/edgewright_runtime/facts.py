"""What the board says about itself, and in which state it is.

Each fact is one file of the kernel (or one command) and a pure parser of its text. What a board does not have is None.
``root`` is the folder in which the kernel's files are, for the tests to bring those of any board.
"""

import os
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional, TypeVar

T = TypeVar("T")

_ROOT = Path("/")
# Written into the image of an emulated board: a sentence that says what its times are worth.
_EMULATED = "etc/edgewright-emulated"
_CPUFREQ = "sys/devices/system/cpu/cpufreq"
_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"  # of a Raspberry Pi's kernel, since 4.14
_X86_THROTTLED = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
# The zones that tell about the processor: of a Raspberry Pi, other ARM boards, Intel, AMD. The first zone otherwise.
_CPU_ZONE = re.compile(r"cpu|soc|x86_pkg_temp|k10temp")
# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
_THROTTLED_BITS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
    16: "under-voltage has occurred",
    17: "frequency capping has occurred",
    18: "throttling has occurred",
    19: "soft temperature limit has occurred",
}


def board_facts(root: Path = _ROOT) -> dict[str, Any]:
    """What does not change while the board is up. memory_bytes: in all; memory_limit_bytes, cpu_limit: what a container
    may use of it, in bytes and processors; cores: those that this process may use."""
    libc, libc_version = platform.libc_ver()
    return {
        "model": read_fact(root / "proc/device-tree/model", parse_device_tree_model)
        or read_fact(root / "sys/class/dmi/id/product_name", parse_line),
        "machine": platform.machine(),
        "cpu": read_fact(root / "proc/cpuinfo", parse_cpu),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": read_fact(root / "proc/meminfo", parse_memory_bytes),
        "memory_limit_bytes": read_fact(root / "sys/fs/cgroup/memory.max", int),
        "cpu_limit": read_fact(root / "sys/fs/cgroup/cpu.max", parse_cpu_limit),
        "kernel": platform.release(),
        "libc": f"{libc} {libc_version}".strip() or None,
        "python": platform.python_version(),
        "emulated": read_fact(root / _EMULATED, parse_line),
    }


def board_state(root: Path = _ROOT) -> dict[str, Any]:
    """What changes from moment to moment and decides what a measurement is worth. freq_hz, max_freq_hz: of the fastest
    core now, and what it may reach; throttle_count: of Intel's cores, since the start."""
    policies = sorted((root / _CPUFREQ).glob("policy*"))
    return {
        "governor": read_fact(policies[0] / "scaling_governor", parse_line) if policies else None,
        "freq_hz": _highest(policies, "scaling_cur_freq"),
        "max_freq_hz": _highest(policies, "cpuinfo_max_freq"),
        "temperature_c": _temperature_c(root),
        "throttled": _throttled(root),
        "throttle_count": read_fact(root / _X86_THROTTLED, int),
        "load_1min": read_fact(root / "proc/loadavg", parse_load_1min),
    }


def process_memory_bytes() -> tuple[Optional[int], Optional[int]]:
    """(resident now, resident at the peak) of this process."""
    status = read_fact(Path("/proc/self/status"), str) or ""
    return parse_status_bytes(status, "VmRSS"), parse_status_bytes(status, "VmHWM")


def process_pss_bytes() -> Optional[int]:
    """The resident memory of this process, what it shares divided among those that share it (Linux 4.14)."""
    return read_fact(Path("/proc/self/smaps_rollup"), lambda text: parse_status_bytes(text, "Pss"))


def parse_line(text: str) -> Optional[str]:
    return text.strip() or None


def parse_device_tree_model(text: str) -> Optional[str]:
    """The device tree ends its strings with NUL."""
    return text.rstrip("\0\n") or None


def parse_cpu(text: str) -> Optional[str]:
    """The processor of /proc/cpuinfo: its model's name on x86 and 32-bit ARM, implementer and part on 64-bit ARM."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    if "model name" in fields:
        return fields["model name"]
    if "CPU part" in fields:
        return f"implementer {fields.get('CPU implementer', '?')} part {fields['CPU part']}"
    return None


def parse_memory_bytes(text: str) -> Optional[int]:
    return parse_status_bytes(text, "MemTotal")


def parse_status_bytes(text: str, key: str) -> Optional[int]:
    """One line of /proc/meminfo or /proc/self/status: ``VmHWM:     1234 kB``."""
    match = re.search(rf"^{key}:\s*(\d+) kB$", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def parse_frequency_hz(text: str) -> int:
    """cpufreq speaks in kHz."""
    return int(text) * 1000


def parse_temperature_c(text: str) -> float:
    """The thermal zones speak in thousandths of a degree."""
    return int(text) / 1000


def parse_load_1min(text: str) -> float:
    return float(text.split()[0])


def parse_cpu_limit(text: str) -> Optional[float]:
    """``200000 100000`` of a control group: microseconds that it may run in each so many; ``max`` is no limit."""
    quota, period = text.split()
    return None if quota == "max" else int(quota) / int(period)


def parse_throttled(text: str) -> list[str]:
    """In words: ``throttled=0x50005`` of a Raspberry Pi's vcgencmd, ``50005`` of its kernel. Empty: all is well."""
    bits = int(text.strip().rpartition("=")[2], 16)
    return [meaning for bit, meaning in _THROTTLED_BITS.items() if bits >> bit & 1]


def read_fact(path: Path, parse: Callable[[str], Optional[T]]) -> Optional[T]:
    """The fact in a file of the kernel, None where the file is missing or says something else."""
    try:
        return parse(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, IndexError):
        return None


def _highest(policies: "list[Path]", name: str) -> Optional[int]:
    found = [read_fact(policy / name, parse_frequency_hz) for policy in policies]
    return max((frequency for frequency in found if frequency is not None), default=None)


def _temperature_c(root: Path) -> Optional[float]:
    zones = sorted((root / "sys/class/thermal").glob("thermal_zone*"))
    named = [zone for zone in zones if _CPU_ZONE.search(read_fact(zone / "type", str) or "")]
    return read_fact((named or zones)[0] / "temp", parse_temperature_c) if zones else None


def _throttled(root: Path) -> Optional[list[str]]:
    told = read_fact(root / _THROTTLED, parse_throttled)
    if told is not None or root != _ROOT:
        return told
    from shutil import which

    if which("vcgencmd") is None:
        return None
    import subprocess

    try:
        command = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True, timeout=5)
        return parse_throttled(command.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
