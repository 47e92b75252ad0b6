"""One contract for every transport: the parameters below are all that a new one adds."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from edgewright.errors import DeviceError, InputError, StorageError, TransportError
from edgewright.transports import Answer, FakeTransport, LocalTransport, Transport


def _print_arguments(argv: Sequence[str], input: bytes) -> Answer:
    return Answer("".join(f"<{argument}>" for argument in argv[2:]).encode())


FAKE_PROGRAMS = {
    "printf": _print_arguments,
    "cat": lambda argv, input: Answer(input),
    "sleep": Answer(seconds=60),
    "false": Answer(returncode=1),
    "talker": Answer(b"out", b"one\ntwo\nthree", 3),
}
REAL_TALKER = """\
import sys, time
sys.stdout.write("out")
for part in ("one\\ntw", "o\\n", "three"):
    sys.stderr.write(part)
    sys.stderr.flush()
    time.sleep(0.01)
sys.exit(3)
"""


def _local(tmp_path: Path) -> Transport:
    return LocalTransport(tmp_path / "device")


def _fake(tmp_path: Path) -> Transport:
    return FakeTransport(tmp_path / "device", FAKE_PROGRAMS)


@pytest.fixture(params=[_local, _fake])
def transport(request: pytest.FixtureRequest, tmp_path: Path) -> Transport:
    make: Callable[[Path], Transport] = request.param
    return make(tmp_path)


def test_arguments_arrive_as_they_are(transport: Transport) -> None:
    hostile = ["a b", "$HOME", "`id`", "*", "'\"", "ü 中", "a\nb", ""]
    completed = transport.run(["printf", "<%s>", *hostile], timeout_s=10)
    assert completed.stdout.decode() == "".join(f"<{argument}>" for argument in hostile)
    assert completed.returncode == 0


def test_bytes_pass_unchanged(transport: Transport) -> None:
    content = bytes(range(256)) * 4096
    assert transport.run(["cat"], timeout_s=10, input=content).stdout == content


def test_a_failing_program_is_an_answer(transport: Transport) -> None:
    assert transport.run(["false"], timeout_s=10).returncode == 1


def test_a_missing_program_is_127_as_in_a_shell(transport: Transport) -> None:
    assert transport.run(["no-such-program-here"], timeout_s=10).returncode == 127


def test_lines_of_stderr_are_told_whole_and_kept(transport: Transport) -> None:
    lines: list[bytes] = []
    fake = isinstance(transport, FakeTransport)
    argv = ["talker"] if fake else [sys.executable, "-c", REAL_TALKER]
    completed = transport.run(argv, timeout_s=10, on_stderr_line=lines.append)
    assert lines == [b"one", b"two", b"three"]
    assert completed.stderr == b"one\ntwo\nthree"
    assert (completed.stdout, completed.returncode) == (b"out", 3)


def test_a_program_that_takes_too_long(transport: Transport) -> None:
    with pytest.raises(TransportError, match=r"sleep did not end within 0\.05 s"):
        transport.run(["sleep", "60"], timeout_s=0.05)


def test_a_file_there_and_back(transport: Transport, tmp_path: Path) -> None:
    content = os.urandom(200_000)
    (tmp_path / "out").write_bytes(content)
    remote = transport.home / "some" / "folder" / "file"
    transport.put(tmp_path / "out", remote)
    transport.get(remote, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_put_replaces(transport: Transport, tmp_path: Path) -> None:
    remote = PurePosixPath("relative")
    for content in (b"first", b"second"):
        (tmp_path / "out").write_bytes(content)
        transport.put(tmp_path / "out", remote)
    transport.get(remote, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"second"


def test_put_of_nothing(transport: Transport, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot read .*nothing"):
        transport.put(tmp_path / "nothing", transport.home / "file")


def test_put_where_a_file_is_in_the_way(transport: Transport, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"x")
    transport.put(tmp_path / "out", transport.home / "file")
    with pytest.raises(StorageError, match="a part of that path is a file"):
        transport.put(tmp_path / "out", transport.home / "file" / "below")


def test_get_of_nothing_leaves_the_old_file(transport: Transport, tmp_path: Path) -> None:
    (tmp_path / "back").write_bytes(b"old")
    with pytest.raises(DeviceError, match=r"Cannot read .*nothing on the device"):
        transport.get(transport.home / "nothing", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"old"


def test_close_may_be_repeated(transport: Transport) -> None:
    transport.close()
    transport.close()


def test_a_local_device_on_which_nothing_was_written_leaves_no_folder(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for folder in (tmp_path / "new", own):
        transport = LocalTransport(folder)
        assert transport.run(["true"], timeout_s=10).returncode == 0
        transport.close()
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
    transport = LocalTransport(tmp_path / "new")
    transport.run(["touch", "something"], timeout_s=10)
    transport.close()
    assert (tmp_path / "new" / "something").is_file()


def test_the_local_device_does_not_see_this_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    monkeypatch.setenv("VIRTUAL_ENV", "/somewhere")
    monkeypatch.setenv("HTTPS_PROXY", "kept for pip")
    names = _local(tmp_path).run(["env"], timeout_s=10).stdout.decode()
    assert "HTTPS_PROXY" in names
    assert not any(name in names for name in ("PYTHONPATH", "TF_NUM", "VIRTUAL_ENV"))


def test_after_a_time_out_no_process_is_left(tmp_path: Path) -> None:
    transport = _local(tmp_path)
    script = "sleep 60 & echo $! > child; echo started >&2; wait"
    started: list[bytes] = []
    with pytest.raises(TransportError):
        transport.run(["sh", "-c", script], timeout_s=0.5, on_stderr_line=started.append)
    assert started == [b"started"]
    _assert_gone(int((tmp_path / "device" / "child").read_text()))


def test_after_ctrl_c_no_process_is_left(tmp_path: Path) -> None:
    def interrupt(line: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _local(tmp_path).run(
            ["sh", "-c", "echo $$ > pid; echo x >&2; sleep 60"], timeout_s=60, on_stderr_line=interrupt
        )
    _assert_gone(int((tmp_path / "device" / "pid").read_text()))


def test_ctrl_c_while_a_program_is_being_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[int] = []

    class Interrupted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self.pid)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)  # Python calls the handler here

    monkeypatch.setattr("edgewright.transports.local.subprocess.Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        _local(tmp_path).run(["sleep", "60"], timeout_s=60)
    _assert_gone(started[0])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_program_ended_by_a_signal_returns_as_in_a_shell(tmp_path: Path) -> None:
    completed = _local(tmp_path).run(["sh", "-c", "kill -SEGV $$"], timeout_s=10)
    assert completed.returncode == 128 + signal.SIGSEGV


def test_text_that_no_program_can_be_given(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="remove that character"):
        _local(tmp_path).run(["echo", "a\0b"], timeout_s=10)
    with pytest.raises(InputError, match="remove that character"):
        _local(tmp_path).run(["echo", "\ud800"], timeout_s=10)


def test_the_fake_remembers_what_was_run(tmp_path: Path) -> None:
    fake = FakeTransport(tmp_path, {"uname": Answer(b"Linux")})
    assert fake.run(["uname", "-m"], timeout_s=5).stdout == b"Linux"
    assert fake.calls == [["uname", "-m"]]


def _assert_gone(pid: int) -> None:
    """A killed grandchild is reaped by init a moment later."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} still runs")
