"""The event loop behind SSH, as its callers see it."""

import asyncio

import pytest
from unit.interrupt import interrupted_elsewhere

from edgewright.transports.background import BackgroundLoop


def test_ctrl_c_that_does_not_wake_this_thread() -> None:
    cancelled = []

    async def work(tell: object) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    loop = BackgroundLoop()
    with interrupted_elsewhere(), pytest.raises(KeyboardInterrupt):
        loop.wait(work)
    loop.close()
    assert cancelled == [True]
