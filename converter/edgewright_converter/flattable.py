"""Bounds-checked access to one flatbuffer table: the least of the format that reading a model takes.

A table starts with the signed distance back to its vtable; the vtable lists, for each field, the distance from the
table's start, 0 where the field is absent (https://flatbuffers.dev/internals). Every access is checked, because the
bytes may be hostile.
"""

import struct
from dataclasses import dataclass


class Malformed(Exception):
    """An offset points outside of the bytes, or a text is not UTF-8."""


def root_table(data: bytes) -> "Table":
    """The table that the first four bytes point to."""
    return Table(data, _unpack("<I", data, 0))


@dataclass(frozen=True)
class Table:
    """The table at byte ``start`` of ``data``. Absent fields give the default."""

    data: bytes
    start: int

    def int8(self, field: int) -> int:
        return self._scalar(field, "<b", 0)

    def int32(self, field: int, default: int = 0) -> int:
        return self._scalar(field, "<i", default)

    def uint32(self, field: int) -> int:
        return self._scalar(field, "<I", 0)

    def uint64(self, field: int) -> int:
        return self._scalar(field, "<Q", 0)

    def table(self, field: int) -> "Table | None":
        position = self._position(field)
        return None if position is None else Table(self.data, self._follow(position))

    def tables(self, field: int) -> "list[Table]":
        first, count = self.vector(field, 4)
        return [Table(self.data, self._follow(first + 4 * index)) for index in range(count)]

    def numbers(self, field: int, form: str) -> tuple[float, ...]:
        """form: of one number, as ``struct`` names it. Without NumPy, which takes longer to import than most models to
        read."""
        first, count = self.vector(field, struct.calcsize("<" + form))
        return struct.unpack_from(f"<{count}{form}", self.data, first)

    def ints(self, field: int) -> tuple[int, ...]:
        return tuple(int(value) for value in self.numbers(field, "i"))

    def vector_bytes(self, field: int) -> int:
        """The length of a vector of bytes."""
        return self.vector(field, 1)[1]

    def string(self, field: int) -> str:
        first, count = self.vector(field, 1)
        try:
            return self.data[first : first + count].decode()
        except UnicodeDecodeError as error:
            raise Malformed("a name is not UTF-8") from error

    def vector(self, field: int, item_size: int) -> tuple[int, int]:
        """Where a list lies: (first byte, number of items); (0, 0) where the field is absent."""
        position = self._position(field)
        if position is None:
            return 0, 0
        start = self._follow(position)
        count = _unpack("<I", self.data, start)
        if start + 4 + count * item_size > len(self.data):
            raise Malformed("a list reaches beyond its end")
        return start + 4, count

    def _scalar(self, field: int, form: str, default: int) -> int:
        position = self._position(field)
        return default if position is None else _unpack(form, self.data, position)

    def _position(self, field: int) -> int | None:
        vtable = self.start - _unpack("<i", self.data, self.start)
        entry = 4 + 2 * field
        if entry >= _unpack("<H", self.data, vtable):
            return None
        distance = _unpack("<H", self.data, vtable + entry)
        return self.start + distance if distance else None

    def _follow(self, position: int) -> int:
        return position + _unpack("<I", self.data, position)


_FORMS = {form: struct.Struct(form) for form in ("<b", "<H", "<i", "<I", "<Q")}


def _unpack(form: str, data: bytes, position: int) -> int:
    compiled = _FORMS[form]
    # struct would read a negative position from the end.
    if not 0 <= position <= len(data) - compiled.size:
        raise Malformed("an offset points outside of it")
    value: int = compiled.unpack_from(data, position)[0]
    return value
