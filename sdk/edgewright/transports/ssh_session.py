"""One command on an SSH connection, from its start to its end."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import asyncssh

from .background import Tell

_KILL_TIMEOUT_S = 5.0
_SIGN_OF_LIFE = b"."


class Session(asyncssh.SSHClientSession[bytes]):
    """Collects what a command says. tell: gets each line of stderr, without its end, as it arrives."""

    def __init__(self, tell: Tell) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._error: Exception | None = None
        self._tell = tell
        self._told = 0  # bytes of stderr
        self._ended = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    async def converse(
        self,
        connection: asyncssh.SSHClientConnection,
        line: bytes,
        pieces: Iterable[bytes],
        timeout_s: float,
        pulse_s: float,
    ) -> int:
        """Run a command line, send it the pieces, then a sign of life every ``pulse_s``; returns the exit code.

        A negative code is a signal's. When this is left in another way, stdin has been closed and the command's end
        been waited for. Raises TimeoutError, or asyncssh.Error or ConnectionError where the connection breaks.
        """
        # asyncssh's own annotation knows text only, but a command is bytes to SSH.
        channel, _ = await connection.create_session(lambda: self, line)  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(timeout_s):
                with suppress(BrokenPipeError):  # the command has ended without reading to the end
                    for piece in pieces:
                        channel.write(piece)
                        await self._writable.wait()
                while not await _is_set(self._ended, pulse_s):
                    with suppress(BrokenPipeError):
                        channel.write(_SIGN_OF_LIFE)
        finally:
            if not self._ended.is_set():
                with suppress(BrokenPipeError):
                    channel.write_eof()
                await _is_set(self._ended, _KILL_TIMEOUT_S)
            channel.abort()
        code = channel.get_returncode()
        if self._error is not None or code is None:
            raise ConnectionError(self._error or "it was closed")
        return code

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if datatype is None:
            self.stdout += data
        else:
            self.stderr += data
            self._tell_lines(self.stderr.rfind(b"\n", self._told) + 1)

    def eof_received(self) -> bool:
        return True  # our side stays open: its end would end the command

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = exc
        self._tell_lines(len(self.stderr))
        self._writable.set()
        self._ended.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _tell_lines(self, end: int) -> None:
        for line in bytes(self.stderr[self._told : end]).splitlines():
            self._tell(line)
        self._told = max(self._told, end)


async def _is_set(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for it, at most that long."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), timeout_s)
    return event.is_set()
