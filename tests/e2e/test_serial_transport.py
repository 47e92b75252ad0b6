"""The serial transport on pseudo-terminals: a real shell, a real getty and login, and lines that do what lines do."""

import functools
import inspect
import io
import os
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import pytest
import serial
import serial.rfc2217
import unit.sdk.test_transports as contract
from e2e.serial_line import HAS_GETTY, PASSWORD, SerialLine, getty_on, noise, serial_line, shell_on

from edgewright.errors import DeviceError, InputError, StorageError, TransportError
from edgewright.transports import serial_password
from edgewright.transports.serial import SerialTransport
from edgewright.transports.serial_address import SerialAddress
from edgewright.transports.serial_ports import look

pytestmark = pytest.mark.serial
needs_getty = pytest.mark.skipif(not HAS_GETTY, reason="needs root, agetty, login and unshare")

# Every test of the contract, with the fixture ``transport`` of this file.
globals().update(
    {
        name: test
        for name, test in vars(contract).items()
        if name.startswith("test_") and "transport" in inspect.signature(test).parameters
    }
)


@pytest.fixture
def line() -> Iterator[SerialLine]:
    with serial_line() as running:
        yield running


@pytest.fixture
def bash(line: SerialLine, tmp_path: Path) -> Iterator[None]:
    with shell_on(line, tmp_path):
        yield


@pytest.fixture
def transport(line: SerialLine, bash: None, tmp_path: Path) -> Iterator[SerialTransport]:
    opened = _open(line, tmp_path)
    yield opened
    opened.close()


def _open(line: SerialLine, tmp_path: Path, silence_s: float = 10.0, patience_s: float = 40.0) -> SerialTransport:
    address = SerialAddress(str(line.port), home=PurePosixPath(tmp_path / "device"))
    return SerialTransport(address, silence_s=silence_s, patience_s=patience_s)


def _wait_for(true: Callable[[], object], limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def _settings(line: SerialLine) -> list[object]:
    return [*termios.tcgetattr(line._device)[:4]]


def _content(path: Path, size: int = 60_000) -> bytes:
    content = os.urandom(size)
    path.write_bytes(content)
    return content


# ---- the console


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"rm -rf half-typed \x1b[D\x1b[D",
        b"echo 'half\r",
        b"less /etc/services\r",
        b"python3 -q\r",
        b"cat\r",
        b"stty -echo -icrnl\r",
    ],
)
def test_a_shell_is_found_whatever_state_it_is_in(line: SerialLine, bash: None, tmp_path: Path, before: bytes) -> None:
    (tmp_path / "half-typed").mkdir()
    time.sleep(0.5)
    with line.port.open("r+b", buffering=0) as port:
        port.write(before)
        time.sleep(1.0)
    opened = _open(line, tmp_path)
    try:
        assert opened.run(["echo", "here"], timeout_s=10).stdout == b"here\n"
        assert (tmp_path / "half-typed").exists()
    finally:
        opened.close()


def test_afterwards_the_shell_has_its_terminal_back(line: SerialLine, bash: None, tmp_path: Path) -> None:
    time.sleep(0.5)
    before = _settings(line)
    _open(line, tmp_path).close()
    _wait_for(lambda: _settings(line) == before)
    assert look(str(line.port)) == "what looks like a shell's prompt"


def test_even_where_the_agent_was_killed(line: SerialLine, bash: None, tmp_path: Path) -> None:
    time.sleep(0.5)
    before = _settings(line)
    opened = _open(line, tmp_path, silence_s=3.0)
    agent = int(opened.run(["sh", "-c", "echo $PPID"], timeout_s=10).stdout)
    os.kill(agent, signal.SIGKILL)
    with pytest.raises(TransportError, match=r"nothing was heard for 3 s.*see whether the cable is plugged in"):
        opened.run(["true"], timeout_s=30)
    opened.close()
    _wait_for(lambda: _settings(line) == before)
    again = _open(line, tmp_path)
    assert again.run(["echo", "again"], timeout_s=10).stdout == b"again\n"
    again.close()


def test_a_host_that_vanishes_leaves_nothing_running(line: SerialLine, bash: None, tmp_path: Path) -> None:
    time.sleep(0.5)
    before = _settings(line)
    opened = _open(line, tmp_path, silence_s=3.0)
    _vanish_while_running(opened, line, tmp_path)
    _wait_for(lambda: not _alive(int((tmp_path / "device/pid").read_text())))
    _wait_for(lambda: _settings(line) == before)


def test_the_next_host_need_not_wait_for_the_agent_of_the_last(line: SerialLine, bash: None, tmp_path: Path) -> None:
    opened = _open(line, tmp_path, silence_s=300.0)
    _vanish_while_running(opened, line, tmp_path)
    line.mend()
    again = _open(line, tmp_path)
    assert again.run(["echo", "again"], timeout_s=10).stdout == b"again\n"
    assert not _alive(int((tmp_path / "device/pid").read_text()))
    again.close()


def _vanish_while_running(opened: SerialTransport, line: SerialLine, tmp_path: Path) -> None:
    runs = threading.Thread(target=_ignoring, args=(opened, "echo $$ > pid; exec sleep 600"), daemon=True)
    runs.start()
    _wait_for(lambda: (tmp_path / "device/pid").exists() and (tmp_path / "device/pid").read_text())
    line.cut_after = 0
    assert opened._session is not None
    opened._session.close()
    opened._port.close()
    runs.join(20)


def _ignoring(opened: SerialTransport, script: str) -> None:
    with suppress(TransportError):
        opened.run(["sh", "-c", script], timeout_s=60)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_nothing_at_the_other_end(line: SerialLine, tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=r"Nothing answers on /dev/pts/\d+: see whether the device has power"):
        _open(line, tmp_path)
    assert look(str(line.port)) == "nothing answers"


def test_a_program_that_is_no_shell(line: SerialLine, tmp_path: Path) -> None:
    script = "stty -isig -echo; while :; do echo 48.2 C; sleep 0.1; done"
    with shell_on(line, tmp_path, ["sh", "-c", script]), pytest.raises(TransportError, match=r"48\.2 C"):
        _open(line, tmp_path, patience_s=12.0)


def test_a_port_in_use_and_one_that_is_not_there(line: SerialLine, transport: SerialTransport, tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="another program uses it"):
        _open(line, tmp_path)
    with pytest.raises(TransportError, match=r"there is no such port\): `edgewright device add` lists"):
        SerialTransport(SerialAddress("/dev/ttyUSB77"))


# ---- logging in


def _log_in(line: SerialLine, password: str, user: str | None = "pi") -> SerialTransport:
    address = SerialAddress(str(line.port), user=user)
    return SerialTransport(address, name="kitchen", password=lambda: password, silence_s=10)


@needs_getty
def test_a_login_of_ours_ends_with_us(line: SerialLine, tmp_path: Path) -> None:
    with getty_on(line, tmp_path):
        for _ in range(2):
            opened = _log_in(line, PASSWORD)
            assert opened.home == tmp_path / "pi/.edgewright"
            assert opened.run(["sh", "-c", "echo $USER"], timeout_s=10).stdout == b"pi\n"
            opened.close()
        _wait_for(lambda: look(str(line.port)).startswith("a login prompt of"))


@needs_getty
def test_a_refused_login_names_no_password(line: SerialLine, tmp_path: Path) -> None:
    with getty_on(line, tmp_path):
        with pytest.raises(DeviceError, match="refuses the login of pi") as caught:
            _log_in(line, "guessed-secret")
        assert "guessed-secret" not in str(caught.value)
        with pytest.raises(InputError, match=r"asks who logs in: give the device a URI with \?user=NAME"):
            _log_in(line, PASSWORD, user=None)
        _log_in(line, PASSWORD).close()


def test_a_password_comes_from_the_keyring_or_from_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring")
    kept = {("edgewright", "pi@kitchen"): "raspberry"}
    monkeypatch.setattr(keyring, "get_password", lambda service, account: kept.get((service, account)))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert serial_password.password_for("pi", "kitchen") == "raspberry"
    with pytest.raises(InputError, match="keyring set edgewright pi@hall"):
        serial_password.password_for("pi", "hall")


# ---- the line


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: noise(seed),
        lambda seed: lambda data: bytes(byte & 0x7F for byte in data),
        lambda seed: lambda data: data.translate(None, b"\x11\x13"),
    ],
    ids=["noise", "seven bits", "XON and XOFF swallowed"],
)
def test_the_whole_transport_on_a_bad_line(
    line: SerialLine, bash: None, tmp_path: Path, make: "Callable[[int], Callable[[bytes], bytes]]"
) -> None:
    line.to_device, line.to_host = make(1), make(2)
    content = _content(tmp_path / "out")
    opened = _open(line, tmp_path)
    assert opened.run(["cat"], timeout_s=60, input=content).stdout == content
    opened.put(tmp_path / "out", opened.home / "file")
    opened.get(opened.home / "file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    opened.close()


def test_kernel_messages_in_between(line: SerialLine, transport: SerialTransport, tmp_path: Path) -> None:
    def message(data: bytes) -> bytes:
        return data[: len(data) // 2] + b"\r\n[   12.345678] usb 1-1: new device\r\n" + data[len(data) // 2 :]

    content, seen = _content(tmp_path / "out", 300_000), iter(range(1_000_000))
    line.to_host = lambda data: message(data) if next(seen) % 7 == 0 else data
    transport.put(tmp_path / "out", transport.home / "file")
    assert (tmp_path / "device/file").read_bytes() == content


def test_a_cable_that_is_plugged_in_again_in_time(line: SerialLine, transport: SerialTransport, tmp_path: Path) -> None:
    content = _content(tmp_path / "out", 300_000)
    line.passed, line.cut_after = 0, 100_000
    threading.Timer(3.0, line.mend).start()
    transport.put(tmp_path / "out", transport.home / "file")
    assert (tmp_path / "device/file").read_bytes() == content


@pytest.mark.parametrize("how", ["put", "run"])
def test_what_was_sent_is_not_sent_again(line: SerialLine, bash: None, tmp_path: Path, how: str) -> None:
    """Also not by another process, after the line was cut."""
    content = _content(tmp_path / "out", 400_000)

    def transfer(opened: SerialTransport) -> bytes:
        if how == "run":
            return opened.run(["cat"], timeout_s=60, input=content).stdout
        opened.put(tmp_path / "out", opened.home / "file")
        return (tmp_path / "device/file").read_bytes()

    opened = _open(line, tmp_path, silence_s=2.0)
    line.passed, line.cut_after = 0, 300_000
    with pytest.raises(TransportError, match="nothing was heard for 2 s"):
        transfer(opened)
    opened.close()
    time.sleep(1.0)
    line.mend()
    again = _open(line, tmp_path)
    line.passed = 0
    assert transfer(again) == content
    assert line.passed < 200_000
    again.close()
    assert [path.name for path in (tmp_path / "device").rglob("*.part")] == []


def test_a_damaged_rest_is_not_built_upon(transport: SerialTransport, tmp_path: Path) -> None:
    import hashlib

    content = _content(tmp_path / "out")
    rest = tmp_path / "device" / f".{hashlib.sha256(content).hexdigest()[:32]}.part"
    rest.parent.mkdir(exist_ok=True)
    rest.write_bytes(bytes(20_000))  # as a file system may leave it after a power cut
    transport.put(tmp_path / "out", transport.home / "file")
    assert (tmp_path / "device/file").read_bytes() == content


def test_a_device_that_refuses(transport: SerialTransport, tmp_path: Path) -> None:
    _content(tmp_path / "out", 200_000)
    with pytest.raises(StorageError):
        transport.put(tmp_path / "out", PurePosixPath("/proc/no/file"))
    assert transport.run(["echo", "fine"], timeout_s=10).stdout == b"fine\n"


def test_much_output_and_much_input_at_once(transport: SerialTransport) -> None:
    content = os.urandom(1_000_000)
    done = transport.run(["tee", "/dev/stderr"], timeout_s=60, input=content)
    assert (done.stdout, done.stderr) == (content, content)


def test_after_ctrl_c_and_after_close_the_program_is_dead(transport: SerialTransport, tmp_path: Path) -> None:
    def interrupt(line: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        transport.run(["sh", "-c", "echo $$ > pid; echo >&2; sleep 60"], timeout_s=60, on_stderr_line=interrupt)
    assert not _alive(int((tmp_path / "device/pid").read_text()))
    threading.Timer(1.0, transport.close).start()
    with pytest.raises(TransportError, match="is closed: connect again"):
        transport.run(["sh", "-c", "echo $$ > pid; sleep 60"], timeout_s=60)
    _wait_for(lambda: not _alive(int((tmp_path / "device/pid").read_text())))


def test_bytes_arrived_are_told(transport: SerialTransport, tmp_path: Path) -> None:
    _content(tmp_path / "out", 200_000)
    told: list[tuple[int, int]] = []
    transport.put(tmp_path / "out", transport.home / "file", on_sent=lambda *counts: told.append(counts))
    assert told == sorted(told)
    assert told[-1] == (200_000, 200_000)
    assert len(told) > 10


# ---- its speed


def test_a_higher_speed_is_taken_where_it_works_and_left_where_it_does_not(
    line: SerialLine, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """This line garbles everything above 460,800 baud, and whatever the two ends send at different speeds."""
    taken = set()

    def chip(data: bytes) -> bytes:
        speeds = {line.speed(host=True), line.speed(host=False)}
        taken.update(speeds)
        return data if len(speeds) == 1 and max(speeds) <= termios.B460800 else bytes(byte ^ 0x55 for byte in data)

    with line.port.open("r+b", buffering=0) as port:
        for terminal in (port.fileno(), line._device):
            state = termios.tcgetattr(terminal)
            state[4] = state[5] = termios.B115200
            termios.tcsetattr(terminal, termios.TCSANOW, state)
        request.getfixturevalue("bash")  # afterwards, for it goes back to the speed that it was started with
        line.to_device = line.to_host = chip
        opened = _open(line, tmp_path)
        content = _content(tmp_path / "out", 300_000)
        opened.put(tmp_path / "out", opened.home / "file")
        assert (tmp_path / "device/file").read_bytes() == content
        assert {termios.B115200, termios.B460800, termios.B921600} <= taken
        assert line.speed(host=True) == termios.B460800

        limit = termios.B115200  # it gets worse: nothing passes at this speed any more

        def worse(data: bytes) -> bytes:
            speeds = {line.speed(host=True), line.speed(host=False)}
            return data if speeds == {limit} else bytes(byte ^ 0x55 for byte in data)

        line.to_device = line.to_host = worse
        _content(tmp_path / "out", 100_000)
        opened.put(tmp_path / "out", opened.home / "file")
        assert line.speed(host=True) == termios.B115200
        opened.close()
        _wait_for(lambda: line.speed(host=False) == termios.B115200)


# ---- other ports


def test_a_terminal_server_on_the_network(line: SerialLine, bash: None, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, line.port.open("r+b", buffering=0) as port:
        threading.Thread(target=_serve, args=(server, port.fileno()), daemon=True).start()
        address = SerialAddress(
            f"socket://127.0.0.1:{server.getsockname()[1]}", home=PurePosixPath(tmp_path / "device")
        )
        opened = SerialTransport(address, silence_s=10, patience_s=40)
        content = _content(tmp_path / "out")
        opened.put(tmp_path / "out", opened.home / "file")
        assert (tmp_path / "device/file").read_bytes() == content
        opened.close()


def _serve(server: socket.socket, port: int) -> None:
    connection, _ = server.accept()
    with connection:
        while True:
            for ready in select.select([connection, port], [], [])[0]:
                data = connection.recv(4096) if ready is connection else os.read(port, 4096)
                if not data:
                    return
                if ready is connection:
                    while data:
                        data = data[os.write(port, data) :]
                else:
                    connection.sendall(data)


def test_a_terminal_server_that_sets_the_speed_too(line: SerialLine, bash: None, tmp_path: Path) -> None:
    """RFC 2217: Telnet with the port's settings in it, served by pyserial's own half of the protocol."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        _PortWithoutModemLines(str(line.port), 115_200, timeout=0.05) as port,
    ):
        threading.Thread(target=_serve_rfc2217, args=(server, port), daemon=True).start()
        address = SerialAddress(
            f"rfc2217://127.0.0.1:{server.getsockname()[1]}", baud=57_600, home=PurePosixPath(tmp_path / "device")
        )
        opened = SerialTransport(address, silence_s=10, patience_s=40)
        content = _content(tmp_path / "out")
        opened.put(tmp_path / "out", opened.home / "file")
        assert (tmp_path / "device/file").read_bytes() == content
        assert port.baudrate >= 57_600  # what the host asked for reached the port, over the network
        opened.close()


class _PortWithoutModemLines(serial.Serial):
    """A pseudo-terminal: it has a speed, but neither RTS nor DTR."""

    def _update_rts_state(self) -> None:
        pass

    def _update_dtr_state(self) -> None:
        pass


class _ManagerWithoutModemLines(serial.rfc2217.PortManager):
    def check_modem_lines(self, force_notification: bool = False) -> None:
        pass


def _serve_rfc2217(server: socket.socket, port: serial.Serial) -> None:
    connection, _ = server.accept()
    with connection:
        output = connection.makefile("wb", buffering=0)
        manager = _ManagerWithoutModemLines(port, output)

        def to_network() -> None:
            with suppress(OSError, TypeError, serial.SerialException):  # as of a port closed meanwhile
                while True:
                    if data := port.read(port.in_waiting or 1):
                        connection.sendall(b"".join(manager.escape(data)))

        threading.Thread(target=to_network, daemon=True).start()
        with suppress(OSError, TypeError, serial.SerialException):  # as of a port closed meanwhile
            while data := connection.recv(4096):
                port.write(b"".join(manager.filter(data)))


# ---- as a user


def test_the_console_command_is_a_terminal(line: SerialLine, bash: None, tmp_path: Path) -> None:
    import pty

    environment = {**os.environ, "EDGEWRIGHT_CONFIG_HOME": str(tmp_path / "config")}
    edgewright = functools.partial(subprocess.run, env=environment, capture_output=True, text=True, timeout=60)
    program = [sys.executable, "-m", "edgewright", "device"]
    assert edgewright([*program, "add", "attic", f"serial://{line.port}"]).returncode == 0
    refused = edgewright([*program, "console", "attic"], stdin=subprocess.DEVNULL)
    assert (refused.returncode, "needs a terminal" in refused.stderr) == (2, True)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*program, "console", "attic"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as shown:
        os.close(theirs)
        seen = b""
        while b"Ctrl-]" not in seen:
            seen += os.read(ours, 1000)
        time.sleep(1.0)
        os.write(ours, b"echo $((6*7))ok\r")
        while b"42ok" not in seen:
            seen += os.read(ours, 1000)
        os.write(ours, b"\x1d")
        assert shown.wait(20) == 0
    os.close(ours)
