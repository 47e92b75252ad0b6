"""What consoles show, URIs, and the shell that does exactly what it is told."""

import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edgewright import progress
from edgewright.devices import Device
from edgewright.errors import InputError, TransportError
from edgewright.transports.serial_address import SerialAddress
from edgewright.transports.serial_shell import _LOOP, Shell, cksum
from edgewright.transports.serial_state import State, classify, hostname, last_words

SHOWN = [
    (b"\r\nRaspbian GNU/Linux 11 raspberrypi ttyS0\r\n\r\nraspberrypi login: ", State.LOGIN),
    (b"\r\nMendel GNU/Linux 5 undefined-eft ttymxc0\r\n\r\nundefined-eft login: ", State.LOGIN),
    (b"kitchen login: [   42.000001] usb 1-1: new device\r\n\r\nkitchen login: ", State.LOGIN),
    (b"pi\r\nPassword: ", State.PASSWORD),
    (b"pi\r\nPasswort: ", State.PASSWORD),
    (b"\r\nLogin incorrect\r\nraspberrypi login: ", State.REFUSED),
    (b"Linux raspberrypi 6.1\r\n\x1b[?2004hpi@raspberrypi:~$ ", State.PROMPT),
    (b"\x1b]0;pi@kitchen: ~\x07\x1b[01;32mpi@kitchen\x1b[00m:\x1b[01;34m~ $\x1b[00m ", State.PROMPT),
    (b"/ # \x1b[6n", State.PROMPT),
    (b"[root@board ~]# ", State.PROMPT),
    (b"pi@raspberrypi:~$ echo 'half\r\n> ", State.CONTINUATION),
    (b"Type help() for help.\r\n>>> ", State.PYTHON),
    (b"lines 1-23/57 (END)", State.PAGER),
    (b"--More--(12%)", State.PAGER),
    (b"text\r\n:", State.PAGER),
    (b"Give root password for maintenance\r\n(or press Control-D to continue): ", State.MAINTENANCE),
    (b"Hit any key to stop autoboot:  3 ", State.BOOTLOADER),
    (b"\r\nU-Boot> ", State.BOOTLOADER),
    (b"", State.SILENCE),
    (b"^E\x08 \x08\x08 \x08\r\n", State.SILENCE),
    (b"\xff\xfe\xf8\x80\x86\xe6\x98\xfe\x00\xe6", State.GARBLED),
    (b"14:03:07 temperature 48.2 C\r\n14:03:08 temperature 48.1 C\r\n", State.OTHER),
]


@pytest.mark.parametrize(("output", "state"), SHOWN)
def test_what_a_console_shows_is_known(output: bytes, state: State) -> None:
    assert classify(output) is state


def test_the_names_in_it_and_no_secrets() -> None:
    assert hostname(b"Debian\r\n\r\nkitchen login: ") == "kitchen"
    assert last_words(b"a\r\nb\r\n\x1b[1mraspberry\x1b[0m pi\r\n", "raspberry") == "a / b / … pi"


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("serial:///dev/ttyUSB0", SerialAddress("/dev/ttyUSB0")),
        ("serial:///dev/ttyUSB0?baud=9600&user=pi", SerialAddress("/dev/ttyUSB0", 9600, user="pi")),
        ("serial:///dev/serial/by-id/usb-FTDI%20x-if00", SerialAddress("/dev/serial/by-id/usb-FTDI x-if00")),
        (
            "rfc2217://10.0.0.7:4000?ign_set_control&baud=9600",
            SerialAddress("rfc2217://10.0.0.7:4000?ign_set_control", 9600),
        ),
        ("socket://10.0.0.7:4001?user=root", SerialAddress("socket://10.0.0.7:4001", user="root")),
        ("serial:///dev/ttyS0?baud=1500000", SerialAddress("/dev/ttyS0", 1_500_000, 1_500_000)),
    ],
)
def test_uris(uri: str, address: SerialAddress) -> None:
    assert SerialAddress.parse(uri) == address
    assert SerialAddress.parse(address.uri) == address


@pytest.mark.parametrize(
    "uri",
    [
        "serial://ttyUSB0",
        "serial:ttyUSB0",
        "serial:///dev/x?baud=fast",
        "serial:///dev/x?speed=9600",
        "serial:///dev/x?user=a%20b",
    ],
)
def test_no_uris(uri: str) -> None:
    with pytest.raises(InputError, match=r"serial:///dev/ttyUSB0|usually 115200"):
        Device("attic", uri)


@pytest.mark.parametrize("uri", ["socket://pi:secret@10.0.0.7:4001", "serial:///dev/ttyUSB0?user=pi&password=secret"])
def test_a_uri_holds_no_password(uri: str) -> None:
    with pytest.raises(InputError, match="must not hold a password") as caught:
        SerialAddress.parse(uri)
    assert "secret" not in str(caught.value)


@settings(max_examples=20)
@given(st.binary(max_size=300))
def test_the_checksum_is_that_of_posix(data: bytes) -> None:
    told = subprocess.run(["cksum"], input=data, capture_output=True, check=True).stdout
    assert cksum(data) == tuple(map(int, told.split()[:2]))


class Pipes:
    """A line to the loop without a terminal; ``damage`` is done to what is typed and to what is told."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process, self.typed, self.damage = process, 0, iter(())

    def read(self, timeout_s: float) -> bytes:
        assert self.process.stdout is not None
        ready = select.select([self.process.stdout], [], [], timeout_s)[0]
        return self._pass(os.read(self.process.stdout.fileno(), 65536)) if ready else b""

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        if b"sh -c" not in data:  # it runs already
            self.typed += 1
            self.process.stdin.write(self._pass(data[:-1]) + b"\n")
            self.process.stdin.flush()

    def _pass(self, data: bytes) -> bytes:
        place = next(self.damage, None)
        return data if place is None or not data else data[: place % len(data)] + b"~" + data[place % len(data) + 1 :]


@contextmanager
def _shell(*argv: str) -> Iterator[tuple[Shell, Pipes]]:
    with subprocess.Popen([*argv, "-c", _LOOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        pipes = Pipes(process)
        yield Shell(pipes, replace=False), pipes
        assert process.stdin is not None
        process.stdin.close()


ARGUMENT = st.binary(max_size=40).map(lambda data: os.fsdecode(data.replace(b"\0", b"")))


@pytest.mark.parametrize("shell", [["dash"], ["bash"], ["busybox", "sh"]])
def test_any_argument_but_nul_arrives_and_any_output_comes_back(shell: list[str]) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"there is no {shell[0]}")
    with _shell(*shell) as (running, _):

        @settings(max_examples=15, suppress_health_check=list(HealthCheck))
        @given(st.lists(ARGUMENT, max_size=5), st.integers(0, 255))
        @example(["-n", "'", "\\", "!!", "$x", "`id`", "a\n\n", "\x03\x04\x15", "%s\\0", "\udcff\udc80", "中"], 7)
        def exactly(arguments: list[str], code: int) -> None:
            script = 'printf "%s\\0" "$@"; printf "\\001\\377\\n\\n" >&2; exit ' + str(code)
            done = running.run(["sh", "-c", script, "sh", *arguments])
            assert done.stdout == b"".join(os.fsencode(argument) + b"\0" for argument in arguments or [""])
            assert done.stderr == b"\x01\xff\n\n"
            assert done.returncode == code

        exactly()


def test_programs_that_do_not_run_and_builtins_that_are_none() -> None:
    with _shell("sh") as (running, _):
        assert running.run(["no-such-program"]).returncode == 127
        assert running.run(["exit", "3"]).returncode == 127
        assert running.run(["sh", "-c", "kill -9 $$"]).returncode == 137
        assert running.run(["cat"]).stdout == b""


def test_a_damaged_line_is_typed_again_and_nothing_runs_twice(tmp_path: object) -> None:
    with _shell("sh") as (running, pipes):
        running.do("k=0")
        before = pipes.typed
        pipes.damage = iter([5, None, 12, None, None, 9])
        assert running.do("k=$((k+1)); r=$k") == "1"
        assert pipes.typed > before + 1
        assert running.do("r=$k") == "1"


def test_a_shell_that_does_not_answer_is_told() -> None:
    class Deaf:
        def read(self, timeout_s: float) -> bytes:
            return b"[ew?]"

        def write(self, data: bytes) -> None:
            """Nobody reads it."""

    with pytest.raises(TransportError, match="does not run a POSIX sh with stty and cksum"):
        Shell(Deaf(), replace=False)


def test_progress_tells_bytes_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = [100.0], []
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    tell = progress.sending(lambda step, fraction: told.append((step, fraction)), "sending model.tflite")
    for seconds, arrived in ((0.0, 500_000), (10.0, 600_000), (90.0, 2_000_000)):
        now[0] = 100.0 + seconds
        tell(arrived, 2_000_000)
    assert told == [
        ("sending model.tflite: 0.5 of 2.0 MB", 0.25),
        ("sending model.tflite: 0.6 of 2.0 MB, 10.0 kB/s, 2:20 left", 0.3),
        ("sending model.tflite: 2.0 of 2.0 MB, 16.7 kB/s, 0:00 left", 1.0),
    ]


def test_a_question_stops_what_is_drawn() -> None:
    class Bar:
        calls: ClassVar[list[str]] = []

        def start(self) -> None:
            self.calls.append("start")

        def stop(self) -> None:
            self.calls.append("stop")

    with progress.drawing(Bar()), progress.terminal_to_ourselves():
        assert Bar.calls == ["stop"]
    with progress.terminal_to_ourselves():
        assert Bar.calls == ["stop", "start"]
