"""A board in a box: 64-bit Debian for Raspberry Pi's processors, emulated, as an ordinary SSH device on this machine.

It shows that a bundle installs, answers and fits into memory on aarch64. It says nothing about speed: every figure of
time that was measured on it has to be marked as emulated.
"""

from .boards import EmulatedBoard, create, find_board, list_boards, remove, start, stop
from .build import MARKER, MARKER_PATH

__all__ = [
    "MARKER",
    "MARKER_PATH",
    "EmulatedBoard",
    "create",
    "find_board",
    "list_boards",
    "remove",
    "start",
    "stop",
]
