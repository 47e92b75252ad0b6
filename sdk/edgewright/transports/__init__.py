"""The ways to a device. Bytes only; a command is a list of arguments and never passes through a shell's string."""

from .base import Completed, Transport
from .fake import Answer, FakeTransport
from .local import LocalTransport

__all__ = ["Answer", "Completed", "FakeTransport", "LocalTransport", "Transport"]
