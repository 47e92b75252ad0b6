"""An id for each character (code point)."""

from collections.abc import Iterator

from .model import Model


class Characters(Model):
    """An id for each known character."""

    kind = "characters"

    def ids(self, text: str) -> Iterator[int]:
        find, unknown = self.ids_of.get, self.unknown
        for character in text:
            yield find(character, unknown)

    def spelling(self, index: int, first: bool) -> bytes:
        return self.vocabulary[index].encode()
