"""A wire between a client and a server that can be cut, or pulled: then nothing passes any more and nobody is told."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from edgewright.transports.background import BackgroundLoop


class Wire:
    """port: where to connect to instead. cut_after: after how many bytes from the client it breaks by itself."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.cut_after: int | None = None
        self._target_port = target_port
        self._intact = asyncio.Event()
        self._intact.set()
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = BackgroundLoop()

    def cut(self) -> None:
        """Both ends are told."""
        self._loop.wait(lambda tell: self._cut())

    def pull(self) -> None:
        """Neither end is told."""
        self._loop.wait(lambda tell: self._pull())

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._writers += [writer, far_writer]
        await asyncio.gather(
            self._pass(reader, far_writer, counted=True), self._pass(far_reader, writer, counted=False)
        )

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        passed = 0
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                await self._intact.wait()
                passed += len(data)
                if counted and self.cut_after is not None and passed > self.cut_after:
                    await self._cut()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _pull(self) -> None:
        self._intact.clear()


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    """A wire to a port of this machine."""
    wire = Wire(port)
    server = wire._loop.wait(lambda tell: wire.listen())
    try:
        yield wire
    finally:
        wire.cut()
        server.close()
        wire._loop.close()
