"""Two ends of a link on a line that is in memory only: its faults are planned by a seed, and its time is virtual."""

import hashlib
import random
from collections import deque
from dataclasses import dataclass

from edgewright.transports.serial_link import Link

KERNEL = b"\r\n[   12.345678] usb 1-1: new high-speed USB device number 4 using dwc_otg\r\n"
STEP_S = 0.01


@dataclass(frozen=True)
class Faults:
    """rate: how many of the bytes are flipped, dropped or doubled; messages_s, stalls_s: the mean time between kernel
    messages and between stalls of 200 ms; dead: (from, to) in seconds, when nothing passes; seven_bits, flow_control:
    whether the line loses the eighth bit, or swallows XON and XOFF."""

    rate: float = 1e-4
    messages_s: float = 2.0
    stalls_s: float = 2.0
    dead: tuple[float, float] = (0.0, 0.0)
    seven_bits: bool = False
    flow_control: bool = False


class Direction:
    """One way of the line: bytes go in at any time and come out at the line's pace, after its faults."""

    def __init__(self, noise: random.Random, faults: Faults, bytes_per_s: float) -> None:
        self._noise, self._faults, self._bytes_per_s = noise, faults, bytes_per_s
        self._inside: deque[bytes] = deque()
        self.waiting = 0
        self._stalled_until = 0.0
        self.carried = 0

    def put(self, data: bytes) -> None:
        self._inside.append(data)
        self.waiting += len(data)

    def pass_on(self, now: float) -> bytes:
        """What comes out in one step."""
        noise, faults = self._noise, self._faults
        if noise.random() < STEP_S / faults.stalls_s:
            self._stalled_until = now + 0.2
        if now < self._stalled_until:
            return b""
        room, out = int(self._bytes_per_s * STEP_S), bytearray()
        while self._inside and room:
            data = self._inside.popleft()
            out += data[:room]
            if data[room:]:
                self._inside.appendleft(data[room:])
            room -= min(room, len(data))
        self.waiting -= len(out)
        self.carried += len(out)
        if faults.dead[0] <= now < faults.dead[1]:
            return b""
        if noise.random() < STEP_S / faults.messages_s:
            at = noise.randint(0, len(out))
            out[at:at] = KERNEL
        return self._damaged(out)

    def _damaged(self, data: bytearray) -> bytes:
        noise, rate = self._noise, self._faults.rate
        at = int(noise.expovariate(rate)) if rate else len(data)
        while at < len(data):
            kind = noise.randrange(3)
            if kind == 0:
                data[at] ^= 1 << noise.randrange(8)
            elif kind == 1:
                del data[at]
            else:
                data.insert(at, data[at])
            at += 1 + int(noise.expovariate(rate))
        if self._faults.flow_control:
            data = bytearray(byte for byte in data if byte not in (0x11, 0x13, 0x91, 0x93))
        if self._faults.seven_bits:
            data = bytearray(byte & 0x7F for byte in data)
        return bytes(data)


def transfer(
    seed: int, faults: Faults, sizes: tuple[int, int] = (12_000, 4_000), *, bytes_per_s: float = 11_520, limit_s: float
) -> tuple[float, float]:
    """Send random bytes both ways at once. Returns the virtual seconds and the goodput of the first direction as a
    fraction of what the line carries; raises AssertionError where that is wrong in the end or not done by ``limit_s``.
    """
    noise = random.Random(seed)
    contents = [noise.randbytes(size) for size in sizes]
    links = [Link(7, host, bytes_per_s, 1.0, 0.0) for host in (True, False)]
    lines = [Direction(noise, faults, bytes_per_s) for _ in contents]
    arrived, counts = [hashlib.sha256(), hashlib.sha256()], [0, 0]
    for link, content in zip(links, contents, strict=True):
        link.write(content)
    now = 0.0
    first_s = 0.0
    while counts != [*sizes] or any(link.unsent() for link in links):
        assert now < limit_s, f"plan {seed}: {counts} of {sizes} bytes after {now:.1f} s"
        for this, (link, line) in enumerate(zip(links, lines, strict=True)):
            while line.waiting < 256 and (frame := link.send(now)):
                line.put(frame)
            data = links[1 - this].receive(line.pass_on(now), now)
            arrived[this].update(data)
            counts[this] += len(data)
        if not first_s and counts[0] >= sizes[0]:
            first_s = now
        now += STEP_S
    for digest, content in zip(arrived, contents, strict=True):
        assert digest.digest() == hashlib.sha256(content).digest(), f"plan {seed}: the content is another"
    return now, sizes[0] / (max(first_s, STEP_S) * bytes_per_s)
