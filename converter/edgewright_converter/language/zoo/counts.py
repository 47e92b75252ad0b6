"""What the models of encoders.py consist of, layer by layer in their order."""

from collections.abc import Callable, Iterator
from typing import Any

from edgewright_runtime.errors import InputError

from . import parts
from .parts import Part

CODE_ROWS, _CODES = 256, 8  # rows that a code, a byte, chooses from; and codes of a token at most
HEAD_SIZE = 16  # of an attention head, where its number is not given


def filters(width: int, kernels: tuple[int, ...]) -> list[int]:
    """2 * width filters, shared out evenly."""
    share, rest = divmod(2 * width, len(kernels))
    return [share + (index < rest) for index in range(len(kernels))]


def bag(*, vocabulary: int, classes: int, width: int, depth: int, **rest: Any) -> Iterator[Part]:
    yield from _entrance(vocabulary, width, **rest)
    yield parts.plain(rest["length"] * width)
    for _ in range(depth):
        yield parts.dense(width, width)
    yield parts.dense(width, classes)


def directions(width: int, classes: int) -> int:
    """Numbers of a linear model's token, fewer than classes: what adds the same to all of them says nothing."""
    return max(1, min(width, classes - 1))


def linear_rows(vocabulary: int, codes: int) -> int:
    """Rows of a linear model's table: one for each token, or 256 for each of the codes that a token has. Raises
    InputError for codes that cannot be."""
    if type(codes) is not int or not 0 <= codes <= _CODES:
        raise InputError(f"The codes of a linear model are 0 to {_CODES} bytes for a token, not {codes!r}.")
    return codes * CODE_ROWS if codes else vocabulary


def linear(*, vocabulary: int, classes: int, width: int, length: int, codes: int, **rest: Any) -> Iterator[Part]:
    own, rows = directions(width, classes), linear_rows(vocabulary, codes)
    if codes:
        yield Part(bytes=vocabulary * codes)
        yield parts.plain(length * codes, operators=2)
    yield parts.embedding(rows, own)
    yield parts.plain(length * own * max(1, codes))
    yield parts.dense(own, classes)


def cnn(
    *, vocabulary: int, length: int, classes: int, width: int, depth: int, kernels: tuple[int, ...], **rest: Any
) -> Iterator[Part]:
    yield from _entrance(vocabulary, width, length=length, **rest)
    for layer in range(depth):
        for size, outputs in zip(kernels, filters(width, kernels), strict=True):
            yield parts.convolution(size, width if layer == 0 else 2 * width, outputs, length)
    yield parts.dense(2 * width, classes)


def recurrent(gates: int) -> Callable[..., Iterator[Part]]:
    def count(
        *, vocabulary: int, length: int, classes: int, width: int, depth: int, bidirectional: bool, **rest: Any
    ) -> Iterator[Part]:
        yield from _entrance(vocabulary, width, length=length, **rest)
        ways = 2 if bidirectional else 1
        for layer in range(depth):
            for _ in range(ways):
                yield parts.recurrent(width if layer == 0 else ways * width, width, gates, length)
        yield parts.dense(ways * width, classes)

    return count


def transformer(
    *,
    vocabulary: int,
    length: int,
    classes: int,
    width: int,
    depth: int,
    attention_heads: int | None,
    hidden: int | None,
    sharing: str,
    **rest: Any,
) -> Iterator[Part]:
    yield from _entrance(vocabulary, width, length=length, **rest)
    yield parts.embedding(length, width)
    heads = attention_heads or max(1, width // HEAD_SIZE)
    inner = heads * max(1, width // heads)
    for index in range(depth):
        block = [
            parts.dense(width, 3 * inner, positions=length),
            parts.plain(2 * length * length * inner, operators=8),
            parts.dense(inner, width, positions=length),
            parts.norm(width),
            parts.dense(width, hidden or 2 * width, positions=length),
            parts.dense(hidden or 2 * width, width, positions=length),
            parts.norm(width),
        ]
        yield from block if index == 0 or sharing != "albert" else [part.again() for part in block]
    yield parts.dense(width, classes)


def _entrance(vocabulary: int, width: int, *, embedding: int | None, length: int, **rest: Any) -> Iterator[Part]:
    yield parts.embedding(vocabulary, embedding or width)
    if embedding:
        yield parts.dense(embedding, width, positions=length, bias=False)


def gpt(
    *, vocabulary: int, length: int, width: int, depth: int, attention_heads: int | None, **rest: Any
) -> Iterator[Part]:
    yield parts.embedding(vocabulary, width)
    yield parts.embedding(length, width)
    for _ in range(depth):
        yield from _attention(width, attention_heads, length, length)
        yield from _feed_forward(width, length)
    yield parts.norm(0)
    yield parts.tied(vocabulary, width, length)


def lstm_lm(
    *, vocabulary: int, length: int, width: int, depth: int, embedding: int | None, **rest: Any
) -> Iterator[Part]:
    rows = embedding or width
    yield parts.embedding(vocabulary, rows)
    for layer in range(depth):
        yield parts.recurrent(width if layer else rows, width, 4, length)
    yield parts.dense(width, rows, positions=length)
    yield parts.tied(vocabulary, rows, length)


def translator(
    *,
    vocabulary: int,
    length: int,
    target_length: int | None,
    width: int,
    depth: int,
    attention_heads: int | None,
    hidden: int | None,
    **rest: Any,
) -> Iterator[Part]:
    size = target_length or length
    yield parts.embedding(vocabulary, width)
    yield parts.embedding(length, width)
    yield parts.embedding(size, width)
    for _ in range(depth):
        yield from _attention(width, attention_heads, length, length)
        yield from _feed_forward(width, length, hidden)
    for _ in range(depth):
        yield from _attention(width, attention_heads, size, size)
        yield from _attention(width, attention_heads, size, length)
        yield from _feed_forward(width, size, hidden)
    yield parts.norm(width)
    yield parts.norm(0)
    yield parts.tied(vocabulary, width, size)


def _attention(width: int, heads: int | None, queries: int, keys: int) -> Iterator[Part]:
    """With the normalization before it."""
    count = heads or max(1, width // HEAD_SIZE)
    inner = count * max(1, width // count)
    yield parts.norm(width)
    yield parts.dense(width, inner, positions=queries)
    yield parts.dense(width, 2 * inner, positions=keys)
    yield parts.plain(2 * queries * keys * inner, operators=8)
    yield parts.dense(inner, width, positions=queries)


def _feed_forward(width: int, positions: int, hidden: int | None = None) -> Iterator[Part]:
    between = hidden or 4 * width
    yield parts.norm(width)
    yield parts.dense(width, between, positions=positions)
    yield parts.dense(between, width, positions=positions)
