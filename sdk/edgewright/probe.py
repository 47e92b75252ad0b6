"""What a device is, before anything of ours is there: its sshd and a POSIX shell are enough.

Each fact is one command and one pure parser of what it prints. All commands travel in one script, for starting a
command on a device takes longer than most of them. What a device does not tell is None, never zero.
"""

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgewright_runtime.facts import (
    parse_frequency_hz,
    parse_line,
    parse_memory_bytes,
    parse_status_bytes,
    parse_temperature_c,
    parse_throttled,
)

from .bootstrap import AGAIN
from .devices import Device
from .errors import DeviceError
from .remote import Remote, connected

_TIMEOUT_S = 60.0
_CPUFREQ = "/sys/devices/system/cpu/cpu0/cpufreq"
_EDGETPU = "cat /sys/bus/usb/devices/*/uevent; ls /dev/apex_0"
_RECORD = "\x1e"  # ASCII's record separator, in front of what each command prints

# The names of Arm's cores, by the number in /proc/cpuinfo: its technical reference manuals, register MIDR.
_ARM_CORES = {
    0xB76: "ARM1176",
    0xC07: "Cortex-A7",
    0xC09: "Cortex-A9",
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0B: "Cortex-A76",
}

# Tells about the Python that runs it; for Python 3.4 and later, and without an import that takes long. Fields are
# separated by tabs: executable, version, bits, C library, standard or not, then packages as name==version.
_DESCRIBE = """
import os, struct, sys
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION")
except (ValueError, OSError):
    libc = "musl" if "musl" in getattr(sys.implementation, "_multiarch", "") else ""
standard = sys.implementation.name == "cpython" and not getattr(sys, "abiflags", "").strip("m")
fields = [os.path.realpath(sys.executable), "%d.%d.%d" % sys.version_info[:3], str(8 * struct.calcsize("P"))]
fields += [libc or "", "standard" if standard else ""]
for folder in sys.path:
    for name in os.listdir(folder) if os.path.isdir(folder) and os.access(folder, os.R_OK) else ():
        parts = name.split("-")
        if parts[0] in ("numpy", "ai_edge_litert", "tflite_runtime") and name.endswith((".dist-info", ".egg-info")):
            fields.append(parts[0] + "==" + parts[1].rsplit(".dist", 1)[0].rsplit(".egg", 1)[0])
print("\\t".join(fields), flush=True)
"""

# In our own environment: the engines that can be imported there. One that crashes ends the list.
_IMPORT = """
for module in ("ai_edge_litert", "tflite_runtime"):
    try:
        __import__(module + ".interpreter")
    except Exception:
        continue
    print(module, flush=True)
"""

# Those of PATH, pyenv and uv, after the one to look at first. Each is started once, however many names it has; pyenv's
# shims are slow stand-ins for what is found anyway.
_PYTHONS = f"""
tell() {{
    real=$(readlink -f "$1") && [ -x "$real" ] || return
    case "$seen" in *":$real:"*) return ;; esac
    case "$real" in */.pyenv/shims/*) return ;; esac
    seen="$seen:$real:"
    "$real" -I -c {shlex.quote(_DESCRIBE)}
}}
tell "$(command -v "$first")"
[ -z "$only" ] || exit
IFS=:
for folder in $PATH "$HOME"/.pyenv/versions/*/bin "$HOME"/.local/share/uv/python/*/bin; do
    for found in "$folder"/python3 "$folder"/python3.[0-9] "$folder"/python3.[0-9][0-9]; do tell "$found"; done
done
"""


@dataclass(frozen=True)
class Python:
    """An interpreter on a device. path: without links; libc: "glibc 2.36", "musl" or None; packages: their versions.

    is_standard: CPython as the wheels on PyPI expect it: not PyPy, not without its lock.
    """

    path: str
    version: str
    bits: int
    libc: str | None
    is_standard: bool
    packages: dict[str, str]

    @property
    def minor(self) -> int:
        return int(self.version.split(".")[1])


@dataclass(frozen=True)
class Probe:
    """What a device tells about itself. machine: the kernel's; cpu_features: as the kernel names them.

    pythons: the one that edgewright would take first. environment, runtime: names of what ``device setup`` made;
    engines: the versions of what can be imported there. edgetpu: "usb", "pcie", or None where none is attached.
    """

    model: str | None
    system: str | None
    kernel: str | None
    machine: str | None
    bits: int | None
    libc: str | None
    cpu: str | None
    cpu_features: tuple[str, ...] | None
    cores: int | None
    memory_bytes: int | None
    memory_free_bytes: int | None
    storage_free_bytes: int | None
    governor: str | None
    frequency_hz: int | None
    max_frequency_hz: int | None
    temperature_c: float | None
    throttled: list[str] | None
    pythons: tuple[Python, ...]
    environment: str | None
    runtime: str | None
    engines: dict[str, str] | None
    edgetpu: str | None = None

    @property
    def architecture(self) -> str | None:
        """What programs on this device are made for; a 64-bit kernel may carry a 32-bit system."""
        return _architecture(self.machine, self.bits or (self.pythons[0].bits if self.pythons else None))

    def machine_of(self, python: Python) -> str | None:
        """What the packages of this interpreter must be made for."""
        return _architecture(self.machine, python.bits)


def parse_model(text: str) -> str | None:
    """The first of the device tree's model, which ends with NUL, and a PC's product name that there is."""
    return next(filter(None, map(str.strip, re.split("[\0\n]", text))), None)


def parse_system(text: str) -> str | None:
    """PRETTY_NAME of /etc/os-release. https://www.freedesktop.org/software/systemd/man/latest/os-release.html"""
    found = re.search(r"^PRETTY_NAME=(.*)$", text, re.MULTILINE)
    return " ".join(shlex.split(found[1])) or None if found else None


def parse_libc(text: str) -> str | None:
    """``getconf GNU_LIBC_VERSION``, or ``ldd --version`` where that knows no such thing."""
    glibc = re.search(r"^glibc (\d+\.\d+)|^ldd \(.*(?:GLIBC|GNU libc).*\) (\d+\.\d+)", text, re.MULTILINE)
    if glibc:
        return f"glibc {glibc[1] or glibc[2]}"
    musl = re.search(r"^musl libc.*(?:\n.*)??\nVersion (\S+)", text)
    return f"musl {musl[1]}" if musl else None


def parse_cpu(text: str) -> str | None:
    """The name of the first processor in /proc/cpuinfo."""
    part = re.search(r"^CPU part\s*: (0x[0-9a-f]+)$", text, re.MULTILINE)
    if part and int(part[1], 16) in _ARM_CORES and re.search(r"^CPU implementer\s*: 0x41$", text, re.MULTILINE):
        return _ARM_CORES[int(part[1], 16)]
    name = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return name[1].strip() if name else part and f"CPU part {part[1]}"


def parse_cpu_features(text: str) -> tuple[str, ...] | None:
    """Of the first processor in /proc/cpuinfo: "Features" on ARM, "flags" on x86."""
    found = re.search(r"^(?:Features|flags)\s*:(.*)$", text, re.MULTILINE)
    return tuple(sorted(found[1].split())) if found else None


def parse_count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


def parse_free_bytes(text: str) -> int:
    """``df -Pk``: the fourth column of its second line, in KiB. A file system's name may hold spaces."""
    found = re.search(r"\s(\d+)\s+(\d+)\s+(-?\d+)\s+\d+%\s", text.splitlines()[1])
    if found is None:
        raise ValueError(text)
    return int(found[3]) * 1024


def parse_edgetpu(text: str) -> str | None:
    """/dev/apex_0 is the driver's file for PCIe; on USB it is 1a6e:089a until its first use, 18d1:9302 from then on.
    https://coral.ai/docs/accelerator/get-started/"""
    if "/dev/apex_0" in text:
        return "pcie"
    return "usb" if re.search(r"^PRODUCT=(1a6e/89a|18d1/9302)/", text, re.MULTILINE) else None


def parse_target(text: str) -> str | None:
    """The name that a link points to; an environment may be one made again."""
    return parse_line(text.rpartition("/")[2].strip().removesuffix(AGAIN))


def parse_pythons(text: str) -> tuple[Python, ...]:
    """What _DESCRIBE prints, one line for each interpreter; one that prints anything else does not count."""
    pythons: dict[str, Python] = {}
    for line in text.splitlines():
        try:
            path, version, bits, libc, standard, *packages = line.split("\t")
            versions = dict(package.replace("_", "-").split("==") for package in packages)
            pythons.setdefault(path, Python(path, version, int(bits), libc or None, bool(standard), versions))
        except ValueError:
            continue
    return tuple(pythons.values())


def parse_engines(text: str) -> dict[str, str]:
    """What _DESCRIBE and _IMPORT print: the versions of the engines that work."""
    described, *importable = text.splitlines()
    (python,) = parse_pythons(described)
    return {name: version for name, version in python.packages.items() if name.replace("-", "_") in importable}


@dataclass(frozen=True)
class Fact:
    """argv: of the command, which runs in edgewright's folder on the device; parse: of what it prints, pure."""

    argv: tuple[str, ...]
    parse: Callable[[str], Any]


FACTS = {
    "model": Fact(("cat", "/proc/device-tree/model", "/sys/class/dmi/id/product_name"), parse_model),
    "system": Fact(("cat", "/etc/os-release"), parse_system),
    "kernel": Fact(("uname", "-r"), parse_line),
    "machine": Fact(("uname", "-m"), parse_line),
    "bits": Fact(("getconf", "LONG_BIT"), parse_count),
    "libc": Fact(("sh", "-c", "getconf GNU_LIBC_VERSION || ldd --version 2>&1"), parse_libc),
    "cpu": Fact(("cat", "/proc/cpuinfo"), parse_cpu),
    "cpu_features": Fact(("cat", "/proc/cpuinfo"), parse_cpu_features),
    "cores": Fact(("nproc",), parse_count),
    "memory_bytes": Fact(("cat", "/proc/meminfo"), parse_memory_bytes),
    "memory_free_bytes": Fact(("cat", "/proc/meminfo"), lambda text: parse_status_bytes(text, "MemAvailable")),
    "storage_free_bytes": Fact(("df", "-Pk", "."), parse_free_bytes),
    "governor": Fact(("cat", f"{_CPUFREQ}/scaling_governor"), parse_line),
    "frequency_hz": Fact(("cat", f"{_CPUFREQ}/scaling_cur_freq"), parse_frequency_hz),
    "max_frequency_hz": Fact(("cat", f"{_CPUFREQ}/cpuinfo_max_freq"), parse_frequency_hz),
    "temperature_c": Fact(("cat", "/sys/class/thermal/thermal_zone0/temp"), parse_temperature_c),
    "throttled": Fact(("vcgencmd", "get_throttled"), parse_throttled),
    "edgetpu": Fact(("sh", "-c", _EDGETPU), parse_edgetpu),
    "pythons": Fact(("sh", "-c", _PYTHONS), parse_pythons),
    "environment": Fact(("readlink", "venv"), parse_target),
    "runtime": Fact(("readlink", "runtime"), parse_target),
    "engines": Fact(("venv/bin/python", "-I", "-c", _DESCRIBE + _IMPORT), parse_engines),
}
_COMMANDS = tuple(dict.fromkeys(fact.argv for fact in FACTS.values()))

# $1: edgewright's folder on the device, $2: the Python to look at first, $3: not empty to look at no other. Nothing
# but constants is in the script itself.
_START = 'exec </dev/null 2>/dev/null\ncd -- "$1" || cd /\nexport first="$2" only="$3"\n'
SCRIPT = _START + "\n".join(f"printf '\\036'; {shlex.join(argv)}" for argv in _COMMANDS)


def probe(device: str | Device | Remote, *, python: str | None = None) -> Probe:
    """Look at a device, in one round trip. python: the path of the only interpreter to look at.

    Raises DeviceError where the device has no POSIX shell or cannot be reached.
    """
    with connected(device) as remote:
        pythons = (remote.transport.python, "") if python is None else (python, "only")
        argv = ["sh", "-c", SCRIPT, "sh", str(remote.home), *pythons]
        printed = remote.transport.run(argv, timeout_s=_TIMEOUT_S).stdout.decode("utf-8", "replace")
        outputs = dict(zip(_COMMANDS, printed.split(_RECORD)[1:], strict=False))
        if len(outputs) < len(_COMMANDS):
            raise DeviceError(f"{remote.name} ran no POSIX shell to its end: see what `sh -c true` says there.")
        return read(outputs)


def read(outputs: dict[tuple[str, ...], str]) -> Probe:
    """The facts in what the commands printed."""
    return Probe(**{name: _parse(fact, outputs.get(fact.argv, "")) for name, fact in FACTS.items()})


def _parse(fact: Fact, output: str) -> Any:
    empty = () if fact.parse is parse_pythons else None
    if not output.strip():
        return empty
    try:
        return fact.parse(output)
    except (ValueError, IndexError):
        return empty


def _architecture(machine: str | None, bits: int | None) -> str | None:
    """Of a system of so many bits on this kernel."""
    if bits == 32:
        return {"aarch64": "armv7l", "armv8l": "armv7l", "x86_64": "i686"}.get(machine or "", machine)
    return machine
