"""What a console's last words say about who is listening there. Pure, so that captured output can test it."""

import re
from enum import Enum

_ANSI = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[\[(][0-9;?]*[ -/]*[@-~]|\x1b[=>78NOMc]")
_RUBBED_OUT = re.compile(r"[^\x08]\x08|^\x08+")
_KERNEL = re.compile(r"\[ *\d+\.\d{6}\] .*")
_PASSWORD_WORDS = "password|passwort|passphrase|kennwort|mot de passe|contraseña|senha|wachtwoord|lösenord|hasło|пароль"


class State(Enum):
    """What is at the other end of the line."""

    SILENCE = "nothing answers"
    GARBLED = "what answers is garbled"
    LOGIN = "a login prompt"
    PASSWORD = "a password prompt"
    REFUSED = "a refused login"
    PROMPT = "what looks like a shell's prompt"
    CONTINUATION = "a half-typed command"
    PYTHON = "an interactive Python"
    PAGER = "a pager"
    MAINTENANCE = "a system in maintenance mode"
    BOOTLOADER = "a boot loader"
    OTHER = "a program that is no shell"


_LAST_LINE = (
    (State.LOGIN, r"(?i)\b(login|user ?name)\s?: ?$"),
    (State.PASSWORD, rf"(?i)({_PASSWORD_WORDS})\b[^:]{{0,40}}\s?: ?$"),
    (State.BOOTLOADER, r"(?i)^(=>|u-boot=?>|uboot>|grub>|hit any key|barebox.*:/) ?"),
    (State.PAGER, r"(?i)(--more--.*|\(end\)|^lines \d+-\d+.*|^:|^-- more --|press .* to continue.*) ?$"),
    (State.PYTHON, r"^(>>>|\.\.\.) $"),
    (State.CONTINUATION, r"^((dquote|quote|bquote|cmdsubst|cmdand|cmdor|heredoc|for|while|if|then|do)*> ?|\? )$"),
    (State.PROMPT, r"[$#%>❯»] ?$"),
)


def readable(output: bytes) -> str:
    """Without a terminal's control sequences and without what the kernel says in between."""
    text = _ANSI.sub("", output.decode("utf-8", "replace")).replace("\r", "").replace("\0", "").replace("\a", "")
    while _RUBBED_OUT.search(text):
        text = _RUBBED_OUT.sub("", text)
    return _KERNEL.sub("", text)


def classify(output: bytes) -> State:
    """By what came last."""
    text = readable(output)
    if not re.sub(r"\^[@-_]", "", text).strip(" q\n\t"):
        return State.SILENCE  # or no more than a terminal's echo of the keys that we press
    odd = sum(not (character.isprintable() or character in "\n\t\x1b") or character == "\ufffd" for character in text)
    if odd > 0.3 * len(text):
        return State.GARBLED
    if re.search(r"(?i)\b(press enter for maintenance|for maintenance\b.*|control-d to continue)", text[-200:]):
        return State.MAINTENANCE
    lines = [line for line in text.split("\n") if line.strip()] or [""]
    for state, pattern in _LAST_LINE:
        if re.search(pattern, lines[-1]):
            incorrect = re.search(r"(?i)(login|authentication) (incorrect|failure|failed)", text)
            return State.REFUSED if state is State.LOGIN and incorrect else state
    return State.OTHER


def hostname(output: bytes) -> str | None:
    """Of a login prompt: ``raspberrypi login:``."""
    found = re.search(r"(\S+) login: ?$", readable(output).rstrip("\n"))
    return found[1] if found else None


def last_words(output: bytes, secret: str | None = None) -> str:
    """The last lines for an error's text, without the secret."""
    text = readable(output)
    if secret:
        text = text.replace(secret, "…")
    lines = ["".join(filter(str.isprintable, line)).strip() for line in text.split("\n")]
    return " / ".join([line for line in lines if line][-3:])[-300:] or "nothing"
