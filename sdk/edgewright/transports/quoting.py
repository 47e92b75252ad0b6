"""The one place where arguments become a shell's text: an SSH server hands every command to the user's login shell."""

from collections.abc import Sequence

from ..errors import InputError

MAX_BYTES = (128 << 10) - 1024  # Linux gives each argument of a program 128 KiB, and to the shell the line is one

# Single quotes keep everything as it is. A single quote itself, and the backslash, which fish knows even there, stand
# between double quotes, where every shell reads them alike.
_OUTSIDE = str.maketrans({"'": "'\"'\"'", "\\": "'\"\\\\\"'"})


def command_line(argv: Sequence[str]) -> bytes:
    """What a POSIX shell, zsh or fish takes apart into exactly these arguments.

    Raises InputError where no program can be given them: a NUL, half a surrogate pair, or more than MAX_BYTES.
    """
    try:
        line = " ".join(f"'{argument.translate(_OUTSIDE)}'" for argument in argv).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InputError(f"Cannot pass this text to the device ({error}): remove that character.") from error
    if b"\0" in line:
        raise InputError("Cannot pass this text to the device (embedded null byte): remove that character.")
    if len(line) > MAX_BYTES:
        raise InputError(f"The arguments are {len(line)} bytes and the device takes {MAX_BYTES}: put them in a file.")
    return line
