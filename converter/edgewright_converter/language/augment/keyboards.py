"""Which keys lie beside which: rows of a layout, each shifted by half a key to the right of the one above it."""

_LAYOUTS = {
    "qwerty": ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm"),
    "qwertz": ("1234567890ß", "qwertzuiopü", "asdfghjklöä", "yxcvbnm"),
    "azerty": ("1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"),
}


def _neighbours(rows: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for row, keys in enumerate(rows):
        for column, key in enumerate(keys):
            places = [(row, column - 1), (row, column + 1), (row - 1, column), (row - 1, column + 1)]
            places += [(row + 1, column - 1), (row + 1, column)]
            found[key] = "".join(rows[r][c] for r, c in places if 0 <= r < len(rows) and 0 <= c < len(rows[r]))
    return found


NEIGHBOUR_KEYS = {name: _neighbours(rows) for name, rows in _LAYOUTS.items()}
