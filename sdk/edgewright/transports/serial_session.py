"""The host's end of the link: two threads keep the line going while callers send records and wait for answers."""

import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Condition, Event, Lock, Thread

from ..errors import TransportError
from .serial_agent import BITS, FALL_BACK_S, RAISED_PULSE_S
from .serial_link import Link, Records
from .serial_port import BREAKS, Port

BACKLOG_BYTES = 32 << 10  # what may wait for the line: more would only be told later that the device refuses
_REOPEN_S = 0.5
_SPEEDS = (921_600, 460_800, 230_400, 115_200)
_ASK_S, _CHANGE_S = 10.0, 2.0

Record = tuple[bytes, bytes]  # kind and body


class Session:
    """number: both ends' own; silence_s: how long nothing may be heard until the line counts as broken. A port that
    vanishes is opened again until then, and nothing is lost; arrived: what was read of the port before."""

    def __init__(self, port: Port, number: int, silence_s: float, arrived: bytes = b"") -> None:
        self.error: TransportError | None = None
        self._port, self._silence_s = port, silence_s
        self._baud = port.address.baud
        self._link = Link(number, True, self._baud / BITS, silence_s / 4, time.monotonic())
        self._records, self._answers = Records(), SimpleQueue[Record | None]()
        self._command = 0
        self._raised, self._bad = 0, set[int]()
        self._granted: bytes | None = None
        self._changed = Condition()  # guards the link
        self._writing = Lock()  # the port's speed does not change while a frame goes out
        self._arrived = bytearray(arrived)
        self._broken, self._ended = Event(), Event()
        self._threads = [
            Thread(target=work, name="edgewright-serial", daemon=True) for work in (self._read, self._serve)
        ]
        for thread in self._threads:
            thread.start()

    # ---- for callers

    def begin(self, kind: bytes, body: bytes) -> None:
        """Start a command: what still comes of an earlier one is none of its answers."""
        with self._changed:
            self._command = (self._command + 1) % 0x10000
            while not self._answers.empty():
                self._answers.get()
        self.say(kind, body)

    def say(self, kind: bytes, body: bytes = b"") -> None:
        """Have a record of the command sent; waits while too much waits for the line. Raises TransportError."""
        with self._changed:
            while self._link.unsent() > BACKLOG_BYTES and self.error is None:
                self._changed.wait(0.5)
            self._check()
            self._link.write(self._records.pack(kind, self._command, body))
            self._changed.notify_all()

    def answer(self, timeout_s: float) -> Record | None:
        """The next record that belongs to the command; None after ``timeout_s``. Raises TransportError."""
        with suppress(Empty):
            record = self._answers.get(timeout=max(0.0, timeout_s))
            if record is not None:
                return record
            self._answers.put(None)  # for whoever else waits
        self._check()
        return None

    def expect(self) -> Record:
        """The next record, whenever it comes: the line's silence ends the waiting."""
        while True:
            record = self.answer(1.0)
            if record is not None:
                return record

    def unsent(self) -> int:
        """Bytes that are on their way."""
        with self._changed:
            return self._link.unsent()

    def close(self, farewell_s: float = 0.0) -> None:
        """End the threads; before, let the other end hear what is still to be said."""
        end = time.monotonic() + farewell_s
        while self.error is None and time.monotonic() < end and (self.unsent() or self._answers.empty()):
            time.sleep(0.01)
        self.error = self.error or TransportError(f"The connection to {self._port.address} is closed: connect again.")
        self._stop()
        for thread in self._threads:
            thread.join()

    @property
    def bytes_per_s(self) -> float:
        """What the line carries at the speed that it has now."""
        return (self._raised or self._baud) / BITS

    # ---- the line's speed

    def raise_speed(self) -> None:
        """Try the highest speed that has not proved bad; the console's own stays where none works."""
        for baud in _SPEEDS:
            if self._baud < baud <= self._port.address.max_baud and baud not in self._bad and self._raised < baud:
                if self._change_speed(baud):
                    return
                self._bad.add(baud)

    def lower_speed(self) -> None:
        """The speed proved bad: take the next lower one."""
        if not self._raised:
            return
        self._bad.add(self._raised)
        lower = [baud for baud in _SPEEDS if self._baud < baud < self._raised and baud not in self._bad]
        if not (lower and self._change_speed(lower[0])):
            self._change_speed(self._baud)

    def _change_speed(self, baud: int) -> bool:
        with self._changed:
            self._granted = None
            self._link.write(self._records.pack(b"S", 0, str(baud).encode()))
            self._changed.notify_all()
        if not self._wait_until(lambda: self._granted is not None, _ASK_S) or self._granted != b"1":
            return False
        time.sleep(0.05)  # the answer is being acknowledged
        with self._changed, self._writing:
            try:
                self._port.drain()
                self._port.set_baud(baud)
            except BREAKS:
                return False
            switched_s = time.monotonic()
            self._raised = baud if baud != self._baud else 0
            self._link.set_rate(baud / BITS)
            self._link.pulse_s = RAISED_PULSE_S if self._raised else self._silence_s / 4
            self._link.ping()
            self._changed.notify_all()
        if self._wait_until(lambda: self._link.heard_s > switched_s + 0.05, _CHANGE_S):
            return True
        with self._changed:
            self._fall_back()
        return False

    def _wait_until(self, true: Callable[[], bool], timeout_s: float) -> bool:
        end = time.monotonic() + timeout_s
        with self._changed:
            while not true() and time.monotonic() < end and self.error is None:
                self._changed.wait(0.05)
            return true()

    def _fall_back(self) -> None:
        self._raised = 0
        self._link.pulse_s = self._silence_s / 4
        self._link.set_rate(self._baud / BITS)
        with self._writing, suppress(*BREAKS):
            self._port.set_baud(self._baud)

    # ---- the threads

    def _read(self) -> None:
        while not self._ended.is_set():
            try:
                data = self._port.read()
            except BREAKS:
                self._broken.set()
                self._ended.wait(_REOPEN_S / 10)
                continue
            if data:
                with self._changed:
                    self._arrived += data
                    self._changed.notify_all()

    def _serve(self) -> None:
        while not self._ended.is_set():
            with self._changed:
                now = time.monotonic()
                data, self._arrived = bytes(self._arrived), bytearray()
                try:
                    self._hear(data, now)
                except Exception as error:  # zlib's, and whatever a foreign agent can make of a record
                    self._fail(f"what it says makes no sense ({error})")
                if now - self._link.heard_s > self._silence_s:
                    self._fail(f"nothing was heard for {self._silence_s:g} s")
                elif self._raised and now - self._link.heard_s > FALL_BACK_S:
                    self._bad.add(self._raised)
                    self._fall_back()
                frame = self._link.send(now)
                if not frame and not self._arrived and not self._broken.is_set():
                    self._changed.wait(min(max(self._link.due() - now, 0.001), 0.5))
            if frame:
                try:
                    with self._writing:
                        self._port.write(frame)
                except BREAKS:
                    self._broken.set()
            if self._broken.is_set():
                if self._port.reopen():
                    self._fall_back()
                    self._broken.clear()
                else:
                    self._ended.wait(_REOPEN_S)

    def _hear(self, data: bytes, now: float) -> None:
        if not data:
            return
        for kind, command, body in self._records.unpack(self._link.receive(data, now)):
            if kind == b"s":
                self._granted = body
            elif command == self._command or kind == b"i":
                self._answers.put((kind, body))
        self._changed.notify_all()

    def _fail(self, reason: str) -> None:
        self.error = self.error or TransportError(
            f"The connection to {self._port.address} broke ({reason}): see whether the cable is plugged in and the "
            f"device has power, then try again; what runs there ends within {self._silence_s:g} s."
        )
        self._stop()

    def _stop(self) -> None:
        self._ended.set()
        self._answers.put(None)
        with self._changed:
            self._changed.notify_all()

    def _check(self) -> None:
        if self.error is not None:
            raise TransportError(str(self.error))
