"""A child that crashes, hangs or ends. It does so while it loads the data, which is before TensorFlow is imported."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgewright_converter.errors import ConversionError
from edgewright_converter.isolation import decisive_lines
from edgewright_converter.pipeline import convert
from edgewright_runtime.errors import EdgewrightError, InputError

CODE = """
import ctypes, os, signal, sys, time
from pathlib import Path
here = Path(__file__).parent

def make(): ...
def abort(): print("about to", flush=True); os.abort()
def segfault(): ctypes.string_at(0)
def killed(): os.kill(os.getpid(), signal.SIGKILL)
def leave(): sys.exit(3)
def leave_quietly(): os._exit(0)
def broken(): raise KeyError("my own mistake")
def hang():
    (here / "pid").write_text(str(os.getpid()))
    time.sleep(600)
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "code.py"
    path.write_text(CODE)
    return path


def fail(code: Path, name: str, **options: Any) -> EdgewrightError:
    with pytest.raises(EdgewrightError) as caught:
        convert(f"{code}:make", data=f"{code}:{name}", output=code.parent / "out.ewb", **options)
    assert sorted(path.name for path in code.parent.iterdir() if path.suffix not in ("", ".py")) == []
    return caught.value


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("abort", "crashed (abort)"),
        ("segfault", "crashed (segmentation fault)"),
        ("killed", "was killed, most likely for lack of memory"),
        ("leave", "ended with exit code 3"),
        ("leave_quietly", "ended with exit code 0"),
    ],
)
def test_the_end_of_the_child_is_told_with_its_step(code: Path, name: str, says: str) -> None:
    error = fail(code, name)
    assert type(error) is ConversionError
    assert error.exit_code == 5
    assert str(error).startswith("In the step 'load the data' the conversion ")
    assert says in str(error)


def test_a_crash_shows_where_python_was_and_keeps_the_log(code: Path) -> None:
    error = fail(code, "abort")
    assert isinstance(error, ConversionError)
    assert "in abort" in str(error)
    assert "about to" in error.log


def test_a_mistake_in_the_users_code_is_told_with_its_line(code: Path) -> None:
    error = fail(code, "broken")
    assert type(error) is ConversionError
    assert "'load the data' failed with KeyError at code.py:12: 'my own mistake'" in str(error)


def test_errors_made_on_purpose_keep_their_class(code: Path) -> None:
    assert type(fail(code, "missing")) is InputError


def test_time_out(code: Path) -> None:
    error = fail(code, "hang", timeout_s=6)  # enough for the child to get there on a busy machine
    assert "took longer than 6 s and was stopped in the step 'load the data'" in str(error)
    assert not alive(int((code.parent / "pid").read_text()))


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_the_child_does_not_outlive_its_parent(code: Path, signal_number: int) -> None:
    script = f"""
from edgewright_converter.pipeline import convert
try:
    convert({str(code)!r} + ":make", data={str(code)!r} + ":hang", output={str(code.parent / "out.ewb")!r})
except KeyboardInterrupt:
    raise SystemExit(130)
"""
    environment = {**os.environ, "TMPDIR": str(code.parent / "tmp")}
    (code.parent / "tmp").mkdir()
    parent = subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE)
    pid = code.parent / "pid"
    wait_for(lambda: pid.exists() and pid.read_text() != "")
    parent.send_signal(signal_number)
    _, words = parent.communicate(timeout=20)
    assert parent.returncode == (130 if signal_number == signal.SIGINT else -signal.SIGKILL), words
    wait_for(lambda: not alive(int(pid.read_text())))
    assert not (code.parent / "out.ewb").exists()
    if signal_number == signal.SIGINT:
        assert list((code.parent / "tmp").iterdir()) == []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Any) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within 20 s")


def test_decisive_lines_leave_out_the_chatter() -> None:
    log = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795313044.412201    7443 port.cc:153] oneDNN custom operations are on.
2026-11-22 02:00:00.123456: F tensorflow/core/x.cc:12] Check failed: a == b (1 vs. 2)
Fatal Python error: Aborted

Thread 0x00007f8f7f5c6b80 (most recent call first):
  File "/x/worker.py", line 51 in _end_with_parent

Current thread 0x00007f8f7f5c6b81 (most recent call first):
  File "/x/calibrator.py", line 257 in calibrate
  File "/x/lite.py", line 762 in _quantize
Extension modules: numpy, failed_module (total: 45)
"""
    assert decisive_lines(log) == [
        "F tensorflow/core/x.cc:12] Check failed: a == b (1 vs. 2)",
        "Fatal Python error: Aborted",
        'File "/x/calibrator.py", line 257 in calibrate',
    ]
    assert decisive_lines("") == []
