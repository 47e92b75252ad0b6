"""What the board says about itself, and in which state it is.

Each fact is one file of the kernel (or one command) and a pure parser of its text. What a board does not have is None.
"""

import os
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional, TypeVar

T = TypeVar("T")

# Written into the image of an emulated board: a sentence that says what its times are worth.
_EMULATED = Path("/etc/edgewright-emulated")
_CPU = Path("/sys/devices/system/cpu/cpu0/cpufreq")
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


def board_facts() -> dict[str, Any]:
    """What does not change while the board is up. memory_bytes: in all; cores: those that this process may use."""
    libc, libc_version = platform.libc_ver()
    return {
        "model": read_fact(Path("/proc/device-tree/model"), parse_device_tree_model),
        "machine": platform.machine(),
        "cpu": read_fact(Path("/proc/cpuinfo"), parse_cpu),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": read_fact(Path("/proc/meminfo"), parse_memory_bytes),
        "kernel": platform.release(),
        "libc": f"{libc} {libc_version}".strip() or None,
        "python": platform.python_version(),
        "emulated": read_fact(_EMULATED, parse_line),
    }


def board_state() -> dict[str, Any]:
    """What changes from moment to moment and decides what a measurement is worth."""
    return {
        "governor": read_fact(_CPU / "scaling_governor", parse_line),
        "freq_hz": read_fact(_CPU / "scaling_cur_freq", parse_frequency_hz),
        "temperature_c": read_fact(Path("/sys/class/thermal/thermal_zone0/temp"), parse_temperature_c),
        "throttled": _throttled(),
        "load_1min": read_fact(Path("/proc/loadavg"), parse_load_1min),
    }


def process_memory_bytes() -> tuple[Optional[int], Optional[int]]:
    """(resident now, resident at the peak) of this process."""
    status = read_fact(Path("/proc/self/status"), str) or ""
    return parse_status_bytes(status, "VmRSS"), parse_status_bytes(status, "VmHWM")


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


def parse_throttled(text: str) -> list[str]:
    """``throttled=0x50005`` of a Raspberry Pi's vcgencmd, in words; empty while all is well."""
    bits = int(text.strip().partition("=")[2], 16)
    return [meaning for bit, meaning in _THROTTLED_BITS.items() if bits >> bit & 1]


def read_fact(path: Path, parse: Callable[[str], Optional[T]]) -> Optional[T]:
    """The fact in a file of the kernel, None where the file is missing or says something else."""
    try:
        return parse(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, IndexError):
        return None


def _throttled() -> Optional[list[str]]:
    from shutil import which

    if which("vcgencmd") is None:
        return None
    import subprocess

    try:
        command = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True, timeout=5)
        return parse_throttled(command.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
