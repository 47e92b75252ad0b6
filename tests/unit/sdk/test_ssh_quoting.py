"""Arguments through real shells and back."""

import shutil
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgewright.errors import InputError
from edgewright.transports.quoting import MAX_BYTES, command_line

HOSTILE = ["", "-n", "--", "a b", "\n", "a\n\nb\n", "'", "''", '"', "\\", "\\\\'\"\\", "a\\", "$HOME", "`id`", "$(id)"]
HOSTILE += ["*", "~", "!!", "#", ";", "&", "|", "<", ">", "(", "{a,b}", "\t\r\v", "ü 中 🥧 മലയാളം", "\udcff\udc80", "%s"]
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


def _through(shell: list[str], argv: list[str]) -> list[str]:
    line = command_line(["env", "printf", "%s\\0", *argv])
    output = subprocess.run([*shell, "-c", line], capture_output=True, check=True).stdout
    return output.decode("utf-8", "surrogateescape").split("\0")[:-1]


@settings(max_examples=40)
@given(st.lists(st.one_of(TEXT, st.sampled_from(HOSTILE)), min_size=1, max_size=20))
@example(HOSTILE)
def test_a_posix_shell_takes_any_arguments_apart_as_they_were(argv: list[str]) -> None:
    assert _through(["sh"], argv) == argv


@pytest.mark.parametrize("shell", [["bash"], ["dash"], ["zsh"], ["fish"], ["busybox", "sh"]])
def test_other_login_shells_do_so_too(shell: list[str]) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"there is no {shell[0]}")
    text = [argument for argument in HOSTILE if argument.isprintable() or argument.isspace()]
    assert _through(shell, text) == text


def test_a_word_is_never_an_option_a_variable_or_a_comment() -> None:
    assert command_line(["echo", "it's", "a\\b"]) == b"""'echo' 'it'"'"'s' 'a'"\\\\"'b'"""


@pytest.mark.parametrize("argument", ["a\0b", "\ud800"])
def test_what_no_program_can_be_given(argument: str) -> None:
    with pytest.raises(InputError, match="remove that character"):
        command_line(["echo", argument])


def test_more_than_a_device_takes() -> None:
    with pytest.raises(InputError, match=f"the device takes {MAX_BYTES}: put them in a file"):
        command_line(["echo", "x" * MAX_BYTES])
    line = command_line(["true", "x" * (MAX_BYTES - len("'true' ''"))])
    assert subprocess.run(["sh", "-c", line]).returncode == 0
