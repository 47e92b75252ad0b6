"""A shell that does exactly what it is told, on a line that may damage any byte.

One line typed at an ordinary prompt starts it: a loop in POSIX sh, without echo, prompt, line editing or history. It
runs a line only if that has the right checksum, each line only once, and tells the result with a checksum of its own,
as often as asked. Lines are short printable ASCII: a terminal interprets all else, and cuts off after 4,095 bytes.
"""

import re
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ..errors import TransportError
from .base import Completed
from .quoting import command_line

LINE_BYTES = 2000
_ANSWER_S = 1.5  # without one, the line is typed again: first after this, then each time after twice as long
_START_S = 10.0
_ANSWER = re.compile(rb"\[ew (\d+) ([^\]]*) (\d+) (\d+)\]")
_REFUSED = b"[ew?]"

# s: the terminal's settings; w: what ends a loop whose host is gone; j: the last line's number; r: its result. No
# single quote and no exclamation mark: what is typed passes through an interactive shell first.
_LOOP = (
    's=$(stty -g); (sleep 90; kill -1 $$) >/dev/null 2>&1 & w=$!; trap "kill \\$w; stty $s" 0; trap "exit 1" 1 2 15; '
    "stty icanon icrnl isig -echo -ixon -ixoff; exec 2>/dev/null; j=0; r=0; "
    'p() { printf "\\n[ew %s %s %s]\\n" "$j" "$r" "$(printf %s "$j $r" | cksum)"; }; p; '
    'while read -r c n i l; do if [ "$(printf %s "$i $l" | cksum)" = "$c $n" ]; then '
    'if [ "$i" -ne "$j" ]; then j=$i; r=; eval "$l"; fi; p; else printf "\\n[ew%s]\\n" "?"; fi; done'
)

# The program's stdout and stderr as hexadecimal numbers behind o and e, its exit code behind c.
_CAPTURE = (
    'h() { od -An -v -tx1 | while read -r q; do printf "%s %s;" $1 "$q"; done; }; '
    'r=$( { { { ( eval "exec $x" ) </dev/null 3>&- 4>&-; printf "c %s;" "$?" >&3; } 2>&4 | h o >&3; } '
    "4>&1 | h e; } 3>&1 )"
)


class Line(Protocol):
    """A serial port as the console needs it."""

    def read(self, timeout_s: float) -> bytes:
        """What comes next; nothing after ``timeout_s``."""
        ...

    def write(self, data: bytes) -> None: ...


class Shell:
    """The loop, once it runs. replace: whether it takes the place of the shell that it is typed into, which then ends
    with it: a login of ours is over when we are gone, however we go. Raises TransportError where it does not start."""

    def __init__(self, line: Line, *, replace: bool) -> None:
        self._line, self._number, self._heard, self._refused = line, 0, b"", False
        for _ in range(3):
            line.write(b" " + (b"exec " if replace else b"") + b"sh -c '" + _LOOP.encode() + b"'\r")
            if self._answer(0, _START_S) is not None:
                return
            line.write(b"\x03")
        raise TransportError(
            "The console's shell does not run a POSIX sh with stty and cksum: install coreutils there."
        )

    def do(self, command: str, timeout_s: float = 180.0) -> str:
        """Run a command line of printable ASCII in the loop itself; returns what it left in the variable r."""
        self._number += 1
        typed = self._typed(command)
        end, patience_s = time.monotonic() + timeout_s, _ANSWER_S
        while (left_s := end - time.monotonic()) > 0:
            self._line.write(typed)
            self._refused = False
            result = self._answer(self._number, min(patience_s, left_s))
            if result is not None:
                return result
            if not self._refused:
                patience_s *= 2  # a slow device gets no more than it can read
        raise TransportError(f"The console did not answer within {timeout_s:g} s: see whether the device is busy.")

    def run(self, argv: Sequence[str], timeout_s: float = 60.0) -> Completed:
        """Run a program; any bytes but NUL pass in its arguments, and all in what it prints. It reads no input."""
        self.assign("x", command_line(argv))
        told: dict[str, str] = {"o": "", "e": "", "c": "0"}
        for entry in self.do(_CAPTURE, timeout_s).split(";")[:-1]:
            kind, _, content = entry.strip().partition(" ")
            told[kind] = content if kind == "c" else told[kind] + " " + content
        return Completed(int(told["c"]), bytes.fromhex(told["o"]), bytes.fromhex(told["e"]))

    def assign(self, variable: str, content: bytes) -> None:
        """content: any bytes but NUL, with no newline at the end."""
        self.do(f"{variable}=")
        for piece in re.findall(r"(?:\\\d{3}|[^\\]){1,160}", "".join(map(_harmless, content))):
            self.do(f"{variable}=${variable}'{piece}'")
        self.do(f'{variable}=$(printf "${variable}")')

    def set(self, variable: str, text: str) -> None:
        """text: one line of printable ASCII without single quote."""
        self.do(f"{variable}=")
        for start in range(0, len(text), LINE_BYTES):
            self.do(f"{variable}=${variable}'{text[start : start + LINE_BYTES]}'")

    def leave_to(self, command: str, begun: Callable[[bytes], object], timeout_s: float) -> bytes:
        """Run a last command, which has the terminal to itself; the loop ends with it. Returns what it said until it
        has ``begun``. Raises TransportError where that does not happen."""
        self._number += 1
        typed = self._typed(f"kill $w; w=; {command}; exit")
        self._line.write(typed)
        end, again, heard = time.monotonic() + timeout_s, time.monotonic() + timeout_s / 2, b""
        while not begun(heard):
            now = time.monotonic()
            if now > end:
                raise TransportError(
                    f"The console did not start {command.split()[0]} within {timeout_s:g} s: try again."
                )
            heard += self._line.read(0.5)
            if _REFUSED in heard or now > again:
                again, heard = end, b""
                self._line.write(typed)
        return heard

    def _typed(self, command: str) -> bytes:
        text = f"{self._number} {command}".encode()
        return b"%d %d %s\n" % (*cksum(text), text)

    def _answer(self, number: int, timeout_s: float) -> str | None:
        end = time.monotonic() + timeout_s
        while (left_s := end - time.monotonic()) > 0:
            self._heard = self._heard[-(1 << 20) :] + self._line.read(left_s)
            for found in _ANSWER.finditer(self._heard):
                told = found[1] + b" " + found[2].replace(b"\r", b"")
                if (int(found[3]), int(found[4])) == cksum(told) and int(found[1]) == number:
                    self._heard = self._heard[found.end() :]
                    return told.partition(b" ")[2].decode()
            if _REFUSED in self._heard:
                self._heard, self._refused = b"", True
                return None
        return None


def cksum(data: bytes) -> tuple[int, int]:
    """POSIX cksum: its CRC, and the number of bytes. https://pubs.opengroup.org/onlinepubs/9799919799/utilities/cksum.html"""
    crc = 0
    length, size = len(data), b""
    while length:
        size += bytes([length & 0xFF])
        length >>= 8
    for byte in data + size:
        crc = (crc << 8) & 0xFFFFFFFF ^ _TABLE[crc >> 24 ^ byte]
    return crc ^ 0xFFFFFFFF, len(data)


def _crc_of(byte: int) -> int:
    crc = byte << 24
    for _ in range(8):
        crc = (crc << 1) & 0xFFFFFFFF ^ (0x04C11DB7 if crc & 0x80000000 else 0)
    return crc


_TABLE = [_crc_of(byte) for byte in range(256)]


def _harmless(byte: int) -> str:
    """A byte for printf's format: itself where no terminal, shell or printf makes anything else of it."""
    character = chr(byte)
    return character if character.isascii() and (character.isalnum() or character in "/._-=:,") else f"\\{byte:03o}"
