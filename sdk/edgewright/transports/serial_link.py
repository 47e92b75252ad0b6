"""A reliable stream of bytes in both directions over a serial line that flips, drops, doubles, stalls and interrupts.

This same file runs on the host and, sent there, on the device: standard library only, syntax of Python 3.9. It does no
input or output and reads no clock, so it can be tested with any line and any time.

A frame is ``kind session body crc32``. Each one with data has a number; each sending of it a serial of its own, and an
acknowledgement tells the next number awaited, which ones after it are there, and the highest serial seen. A line keeps
the order, so whatever was sent before that serial and is not there is lost, and is sent again at once. Where nothing
comes back at all, a time-out sends the oldest again.

On the line a frame is either binary, between two FLAGs, with some bytes escaped; or text, ``[…]`` in base 85, which
passes where the eighth bit does not. Text it is until the other end has told that a frame with every byte in it came.
Both are looked for in whatever arrives.
"""

from __future__ import annotations

import re
import struct
import zlib
from base64 import b85decode, b85encode

DATA, ACK, PROBE = range(3)
FLAG = b"\xc0"
ESCAPE = b"\xdb"
# Ours, flow control's, and whatever ends a line: where the other end has become a shell again, nothing of a frame is a
# command. A line that swallows another byte never passes the probe, and is served with text. The escape itself comes
# first: encoding goes forwards through the table, decoding backwards.
ESCAPED = {
    byte: ESCAPE + bytes([0x61 + place])
    for place, byte in enumerate((ESCAPE, FLAG, b"\x11", b"\x13", b"\x91", b"\x93", b"\n", b"\r", b"\x0f"))
}
TEXT = re.compile(rb"\[([0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]{10,4000})\]")
SEVEN_BITS = bytes(byte & 0x7F for byte in range(256))

HEAD = struct.Struct(">BH")  # kind, session and whose
NUMBERS = struct.Struct(">II")  # of DATA: number and serial; of ACK: the next number awaited, the highest serial seen
CRC = struct.Struct(">I")
EVERY_BYTE = bytes(range(256))

AHEAD = 128  # frames: how far apart the oldest and the newest on their way may be
SMALLEST, LARGEST = 96, 2048  # bytes of data in a frame
FRAME_S, WINDOW_S = 0.15, 1.5  # of a line's time: what the largest frame takes, and what is on its way at most
LEAST_WINDOW = 8192
FIRST = 256
SHRINK, GROW, FAST_GROW = (
    0.85,
    8,
    64,
)  # of the size of frames, after a lost one, after one that arrived, while none is lost
FIRST_TIMEOUT_S, LEAST_TIMEOUT_S, MOST_TIMEOUT_S = 1.5, 0.4, 4.0
TIMEOUTS_UNTIL_TEXT = 3
TEXT_S = 30.0
LONGEST = 2 * LARGEST + 64  # of a frame on the line


class Flight:
    """A frame on its way. serial, sent_s: of its last sending; lost: known not to have arrived."""

    __slots__ = ("data", "lost", "sent_s", "serial")

    def __init__(self, data: bytes, now: float) -> None:
        self.data, self.serial, self.sent_s, self.lost = data, 0, now, False


class Link:
    """One end. session: both ends' common number, below 0x8000, by which a frame of an earlier session is known; host:
    which end it is, so that an echo of what it sent is nothing that was heard.

    stranger: a frame of another session came; heard_s: when the last frame of this one did; sent, lost, damaged: how
    many frames so far, for whoever chooses the speed.
    """

    def __init__(self, session: int, host: bool, bytes_per_s: float, pulse_s: float, now: float) -> None:
        self._ours, self._theirs = session << 1 | host, session << 1 | (not host)
        self.pulse_s = pulse_s
        self.stranger = False
        self.heard_s = now
        self.sent = self.lost = self.damaged = 0
        self._waiting = bytearray()  # not in a frame yet
        self._flight: dict[int, Flight] = {}
        self._again: list[int] = []
        self._number = self._serial = 0
        self._timer = now
        self._timeouts = self._silent = 0
        self._round_s, self._jitter_s = FIRST_TIMEOUT_S / 2, FIRST_TIMEOUT_S / 8
        self._spoke = now - pulse_s  # a greeting is due
        self._binary_heard = self._binary_passes = False
        self._text_until = self._probe_at = now
        self._probe_wait_s = 1.0
        self._awaited = self._seen = 0
        self._early: dict[int, bytes] = {}
        self._answer_due = False
        self._binary_rest = self._text_rest = b""
        self.set_rate(bytes_per_s)

    def set_rate(self, bytes_per_s: float) -> None:
        """What the line carries, as far as known: for the size of frames and for how much to have on the way."""
        self._largest = int(min(max(bytes_per_s * FRAME_S, SMALLEST), LARGEST))
        self._size = float(min(self._largest, FIRST))
        self._window = max(LEAST_WINDOW, int(bytes_per_s * WINDOW_S))

    def write(self, data: bytes) -> None:
        """Have it sent."""
        self._waiting += data

    def unsent(self) -> int:
        """How many bytes have not arrived, as far as known."""
        return len(self._waiting) + sum(len(entry.data) for entry in self._flight.values())

    def ping(self) -> None:
        """Have an acknowledgement sent even where none is due: a sign of life."""
        self._answer_due = True

    def receive(self, data: bytes, now: float) -> bytes:
        """Take what came over the line; returns what that adds to the stream."""
        *pieces, rest = (self._binary_rest + data).split(FLAG)
        self._binary_rest = rest if len(rest) <= LONGEST else b""
        for piece in pieces:
            if len(piece) > HEAD.size + CRC.size:
                self._take(_unescaped(piece), now, binary=True)
        text = self._text_rest + data.translate(SEVEN_BITS)
        end = 0
        for found in TEXT.finditer(text) if text.count(b"]", len(self._text_rest)) else ():
            end = found.end()
            try:
                self._take(b85decode(found[1]), now, binary=False)
            except ValueError:
                self.damaged += 1
        begun = text.rfind(b"[", end)
        self._text_rest = text[begun:] if begun >= 0 and len(text) - begun <= LONGEST else b""
        stream = b""
        while self._awaited in self._early:
            stream += self._early.pop(self._awaited)
            self._awaited += 1
        return stream

    def send(self, now: float) -> bytes:
        """The next frame for the line, or nothing: then ask again when something came, or at ``due``."""
        if self._answer_due or now >= self._spoke + self.pulse_s:
            return self._acknowledgement(now)
        if not self._binary_passes and now >= self._probe_at and self.unsent():
            self._probe_at, self._probe_wait_s = now + self._probe_wait_s, min(2 * self._probe_wait_s, TEXT_S)
            return _binary(self._sealed(PROBE, EVERY_BYTE))
        if self._flight and now >= self._timer:
            self._time_out(now)
        if self._again:
            return self._data(self._again.pop(0), now)
        on_the_way = sum(len(entry.data) for entry in self._flight.values())
        room = on_the_way < self._window and (not self._flight or self._number - min(self._flight) < AHEAD)
        if self._waiting and room:
            number, self._number = self._number, self._number + 1
            size = int(self._size)
            if not self._flight:
                self._timer = now + self._timeout_s()
            self._flight[number] = Flight(bytes(self._waiting[:size]), now)
            del self._waiting[:size]
            return self._data(number, now)
        return b""

    def due(self) -> float:
        """When there will be something to send, if nothing comes before."""
        pulse = self._spoke + self.pulse_s
        return min(pulse, self._timer) if self._flight else pulse

    def _data(self, number: int, now: float) -> bytes:
        entry = self._flight[number]
        self._serial += 1
        self.sent += 1
        entry.serial, entry.sent_s, entry.lost = self._serial, now, False
        frame = self._sealed(DATA, NUMBERS.pack(number, self._serial) + entry.data)
        return _binary(frame) if self._binary_passes and now >= self._text_until else _text(frame)

    def _acknowledgement(self, now: float) -> bytes:
        self._answer_due, self._spoke = False, now
        there = sum(1 << (number - self._awaited) for number in self._early)
        bits = there.to_bytes((there.bit_length() + 7) // 8, "little")
        numbers = NUMBERS.pack(self._awaited, self._seen)
        return _text(self._sealed(ACK, numbers + bytes([self._binary_heard]) + bits))

    def _sealed(self, kind: int, body: bytes) -> bytes:
        content = HEAD.pack(kind, self._ours) + body
        return content + CRC.pack(zlib.crc32(content))

    def _take(self, frame: bytes, now: float, binary: bool) -> None:
        content, crc = frame[: -CRC.size], frame[-CRC.size :]
        if len(content) < HEAD.size or CRC.pack(zlib.crc32(content)) != crc:
            self.damaged += 1
            return
        kind, session = HEAD.unpack_from(content)
        if session != self._theirs:
            self.stranger |= session != self._ours
            return
        self.heard_s = now
        body = content[HEAD.size :]
        self._binary_heard |= binary
        if kind == ACK:
            awaited, seen = NUMBERS.unpack_from(body)
            self._binary_passes |= bool(body[NUMBERS.size])
            self._acknowledged(awaited, seen, int.from_bytes(body[NUMBERS.size + 1 :], "little"), now)
            return
        self._answer_due = True
        if kind == DATA:
            number, serial = NUMBERS.unpack_from(body)
            self._seen = max(self._seen, serial)
            if self._awaited <= number < self._awaited + AHEAD:
                self._early[number] = body[NUMBERS.size :]

    def _acknowledged(self, awaited: int, seen: int, there: int, now: float) -> None:
        """there: a bit for each frame from the awaited one on."""
        self._silent = 0
        for number, entry in list(self._flight.items()):
            if entry.serial == seen:
                self._measure(now - entry.sent_s)
            if number < awaited or there >> (number - awaited) & 1:
                del self._flight[number]
                self._timeouts, self._timer = 0, now + self._timeout_s()
                if len(entry.data) >= self._size / 2:
                    self._size = min(self._size + (GROW if self.lost else FAST_GROW), self._largest)
            elif entry.serial < seen:
                self._lose(number)
        self._again = [number for number in self._again if number in self._flight]

    def _lose(self, number: int) -> None:
        entry = self._flight[number]
        if not entry.lost:
            entry.lost = True
            self.lost += 1
            self._size = max(self._size * SHRINK, min(SMALLEST, self._largest))
            self._again.append(number)

    def _time_out(self, now: float) -> None:
        """Nothing was acknowledged for too long. The answer to the oldest frame will tell what else is lost."""
        self._timeouts += 1
        self._silent += 1
        self._timer = now + self._timeout_s()
        if self._timeouts % TIMEOUTS_UNTIL_TEXT == 0:
            self._text_until = now + TEXT_S
        if not self._again:
            self._flight[min(self._flight)].lost = False
            self._lose(min(self._flight))

    def _timeout_s(self) -> float:
        patience_s = max(self._round_s + 4 * self._jitter_s, LEAST_TIMEOUT_S)
        return min(patience_s * (1 << min(self._silent, 4)), MOST_TIMEOUT_S)  # no longer where the line lives

    def _measure(self, round_s: float) -> None:
        """RFC 6298's smoothing."""
        self._jitter_s += (abs(round_s - self._round_s) - self._jitter_s) / 4
        self._round_s += (round_s - self._round_s) / 8


def _binary(frame: bytes) -> bytes:
    for byte, pair in ESCAPED.items():
        frame = frame.replace(byte, pair)
    return FLAG + frame + FLAG


def _unescaped(piece: bytes) -> bytes:
    for byte, pair in reversed(ESCAPED.items()):  # the escape last
        piece = piece.replace(pair, byte)
    return piece


def _text(frame: bytes) -> bytes:
    return b"[" + b85encode(frame) + b"]"


RECORD = struct.Struct(">sHI")  # kind, the command that it belongs to, size of the body


class Records:
    """Messages on a stream: ``(kind, command, body)``. Each direction is one deflate stream, which also the many small
    messages share."""

    def __init__(self) -> None:
        self._deflate, self._inflate = zlib.compressobj(), zlib.decompressobj()
        self._arrived = bytearray()

    def pack(self, kind: bytes, command: int, body: bytes = b"") -> bytes:
        content = RECORD.pack(kind, command, len(body)) + body
        return self._deflate.compress(content) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def unpack(self, stream: bytes) -> list[tuple[bytes, int, bytes]]:
        """What is complete by now. Raises zlib.error where the other end is none of ours."""
        self._arrived += self._inflate.decompress(stream)
        records = []
        while len(self._arrived) >= RECORD.size:
            kind, command, size = RECORD.unpack_from(self._arrived)
            if len(self._arrived) < RECORD.size + size:
                break
            records.append((kind, command, bytes(self._arrived[RECORD.size : RECORD.size + size])))
            del self._arrived[: RECORD.size + size]
        return records
