"""A device that only plays its part: test your own code against it, without a board and without waiting.

    device = FakeTransport(tmp_path, {"uname": Answer(b"Linux")})
    device.run(["uname", "-m"], timeout_s=5).stdout    # b"Linux"
    device.calls                                       # [["uname", "-m"]]

Files are real, in a folder; programs are answers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import TransportError
from .base import PROGRAM_NOT_FOUND, Completed, Sent, nobody_counts
from .local import LocalTransport


@dataclass(frozen=True)
class Answer:
    """What a program answers, and after how long: ``seconds`` are not waited for, only held against the time-out."""

    stdout: bytes = b""
    stderr: bytes = b""
    returncode: int = 0
    seconds: float = 0.0


Program = Answer | Callable[[Sequence[str], bytes], Answer]


class FakeTransport(LocalTransport):
    """programs: by argv[0], an Answer or a function of (argv, input) that makes one. calls: every argv so far."""

    def __init__(self, folder: Path, programs: Mapping[str, Program]) -> None:
        super().__init__(folder, python="python3")
        self.programs = dict(programs)
        self.calls: list[list[str]] = []

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        input: bytes = b"",
        on_stderr_line: Callable[[bytes], None] | None = None,
        on_sent: Sent = nobody_counts,
    ) -> Completed:
        self.calls.append(list(argv))
        program = self.programs.get(argv[0])
        if program is None:
            return Completed(PROGRAM_NOT_FOUND, b"", f"{argv[0]}: not found".encode())
        answer = program if isinstance(program, Answer) else program(argv, input)
        if answer.seconds > timeout_s:
            raise TransportError(f"{argv[0]} did not end within {timeout_s:g} s on the device: try again.")
        if on_stderr_line is not None:
            for line in answer.stderr.splitlines():
                on_stderr_line(line)
        return Completed(answer.returncode, answer.stdout, answer.stderr)
