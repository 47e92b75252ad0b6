"""The serial ports of this machine, and what answers there."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from serial.tools.list_ports import comports

from ..errors import TransportError
from .serial_address import SerialAddress
from .serial_console import CLEAR, ENTER, listen
from .serial_port import BREAKS, Port
from .serial_state import State, classify, hostname


@dataclass(frozen=True)
class FoundPort:
    """path: of the port; hardware: what the system knows of it; answer: what is at its other end."""

    path: str
    hardware: str
    answer: str

    @property
    def uri(self) -> str:
        return SerialAddress(self.path).uri


def find_ports() -> list[FoundPort]:
    """All ports, and the consoles of the emulated boards that run. Into each of them Enter is pressed."""
    from ..emulator import list_boards

    known = [
        (port.device, port.description if port.description != "n/a" else "unknown hardware")
        for port in sorted(comports())
    ]
    known += [(str(board.serial), f"emulated board {board.name}") for board in list_boards() if board.running]
    with ThreadPoolExecutor(max(1, len(known))) as threads:
        answers = threads.map(look, [path for path, _ in known])
        return [FoundPort(path, hardware, answer) for (path, hardware), answer in zip(known, answers, strict=True)]


def look(path: str) -> str:
    """What is at the other end, at the usual speed."""
    try:
        port = Port(SerialAddress(path))
    except TransportError as error:
        return str(error).partition("(")[2].partition(")")[0]
    try:
        port.write(CLEAR + ENTER)
        heard = listen(port)
    except BREAKS as error:
        return f"broken: {error}"
    finally:
        port.close()
    state, name = classify(heard), hostname(heard)
    return f"{state.value} of {name}" if state is State.LOGIN and name else state.value
