"""Every change that a Python program makes to the disk, one by one."""

import io
import os
from collections.abc import Callable
from typing import Any

_CHANGES = ("fsync", "ftruncate", "link", "mkdir", "pwrite", "rename", "replace", "rmdir", "symlink", "unlink")


class _Torn(io.BufferedWriter):
    """A file whose writes can stop half way."""

    step: Callable[[], None]

    def write(self, data: Any) -> int:
        half = len(data) // 2
        super().write(data[:half])
        self.flush()
        self.step()
        return half + super().write(data[half:])


def before_each_change(step: Callable[[], None], set_attribute: Callable[[Any, str, Any], None] = setattr) -> None:
    """Call ``step`` before each change from now on, and in the middle of each write of a file.

    set_attribute: a monkeypatch's, where it is to end.
    """

    def stepping(change: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*arguments: Any, **options: Any) -> Any:
            step()
            return change(*arguments, **options)

        return stepped

    for name in _CHANGES:
        set_attribute(os, name, stepping(getattr(os, name)))
    real_open = io.open

    def torn_open(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if not set(mode) & set("wxa"):
            return real_open(file, mode, *arguments, **options)
        assert "b" in mode
        step()
        opened = _Torn(io.FileIO(file, mode.replace("b", "")))
        opened.step = step
        return opened

    set_attribute(io, "open", torn_open)  # what pathlib opens with
