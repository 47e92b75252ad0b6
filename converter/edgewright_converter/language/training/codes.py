"""A table of many rows in few bytes: each row is a sum of rows of small books, and the table holds their numbers.

Residual quantization (Chen et al. 2010), as fastText.zip compresses its embeddings (Joulin et al. 2016): the first book
is found by k-means over the rows, the next one over what is left of them; then each is found again beside the others.
What counts in the end are sums of rows: the books are moved once more, to where those of the training texts come
nearest to what they were. NumPy alone, and the same on every run.
"""

import numpy as np

from ...data import Array
from ..zoo.counts import CODE_ROWS as ROWS

Rows = list[tuple[Array, Array]]  # of each text: its tokens, each once, and how often it has them

_HELD = 1e-3  # of the texts' mean square: how strongly a book's rows are held where they are
_BLOCK = 4096  # texts
_ROUNDS, _AGAIN, _STEPS = 20, 2, 3  # of k-means; how often each book is found again, and in how many steps


def coded(table: Array, weight: Array, count: int, seed: int) -> tuple[Array, Array]:
    """table: (rows, width) float32; weight: (rows,) what an error in a row costs; count: of the books.

    Returns (rows, count) uint8 numbers, and (count * ROWS, width) float32, the books one after the other. The first row
    of each book is 0, and rows of 0 have no other numbers.
    """
    rng = np.random.default_rng(seed)
    present = table.any(1)
    rest, weight = table[present].astype(np.float32), np.asarray(weight, np.float32)[present]
    books, numbers = [], []
    for _ in range(count):
        book, number = _settle(rest, weight, _begin(rest, weight, rng), _ROUNDS)
        books.append(book)
        numbers.append(number)
        rest = rest - book[number]
    for _ in range(_AGAIN):
        for index in range(count):
            rest = rest + books[index][numbers[index]]
            books[index], numbers[index] = _settle(rest, weight, books[index], _STEPS)
            rest = rest - books[index][numbers[index]]
    found = np.zeros((len(table), count), np.uint8)
    found[present] = np.stack(numbers, 1)
    return found, np.concatenate(books)


def fitted(numbers: Array, books: Array, table: Array, texts: Rows) -> Array:
    """The books, (count * ROWS, width) float32, moved by ridge regression to where the sums over each text's tokens are
    nearest to those of the table. numbers, books: of ``coded``; the first row of each book stays 0.
    """
    place = numbers + np.arange(0, len(books), ROWS)
    square, lack = np.zeros((len(books),) * 2), np.zeros(books.shape)
    for start in range(0, len(texts), _BLOCK):
        block = texts[start : start + _BLOCK]
        used = np.stack([np.bincount(place[t].ravel(), np.repeat(n, place.shape[1]), len(books)) for t, n in block])
        square += used.T @ used
        lack += used.T @ (np.stack([counts @ table[tokens] for tokens, counts in block]) - used @ books)
    moving = np.arange(len(books)) % ROWS > 0
    square[np.diag_indices_from(square)] += max(_HELD * square.diagonal()[moving].mean(), 1e-9)
    moved = books.astype(np.float64)
    moved[moving] += np.linalg.solve(square[np.ix_(moving, moving)], lack[moving])
    return moved.astype(np.float32)


def decoded(numbers: Array, books: Array) -> Array:
    """(rows, width) float32: what the numbers stand for."""
    count = numbers.shape[1]
    rows: Array = books[numbers + np.arange(0, count * ROWS, ROWS)].sum(1)
    return rows


def _begin(rows: Array, weight: Array, rng: np.random.Generator) -> Array:
    """(ROWS, width): 0, and rows drawn by what leaving them out would cost."""
    book = np.zeros((ROWS, rows.shape[1]), np.float32)
    cost = (weight * (rows * rows).sum(1)).astype(np.float64)
    drawn = min(ROWS - 1, int((cost > 0).sum()))
    if drawn:
        book[1 : 1 + drawn] = rows[rng.choice(len(rows), drawn, replace=False, p=cost / cost.sum())]
    return book


def _settle(rows: Array, weight: Array, book: Array, rounds: int) -> tuple[Array, Array]:
    """Lloyd's steps: the book, and the number of the nearest of its rows for each row."""
    for _ in range(rounds):
        number = _nearest(rows, book)
        share = np.bincount(number, weight, ROWS)
        used = share > 0
        used[0] = False  # it stays 0
        for column in range(rows.shape[1]):
            total = np.bincount(number, weight * rows[:, column], ROWS)
            book[used, column] = total[used] / share[used]
    return book, _nearest(rows, book)


def _nearest(rows: Array, book: Array) -> Array:
    nearest: Array = ((book * book).sum(1) / 2 - rows @ book.T).argmin(1)
    return nearest
