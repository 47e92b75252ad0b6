"""From whatever a Linux console shows to a shell: look, act on what is seen, look again.

A line half typed is thrown away, never run; nothing running there is interrupted before gentler means have failed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import DeviceError, InputError, TransportError
from .serial_link import Link
from .serial_shell import Line, Shell
from .serial_state import State, classify, last_words

PATIENCE_S = 60.0  # a slow board's login with all that its /etc/profile.d does
QUIET_S = 0.35  # without a word until what was said counts as all
_LOGIN_S = 15.0
_REFUSALS = 2  # more, and some systems lock the account; the first may have been the line's fault

ENTER, INTERRUPT, END, RESUME = b"\r", b"\x03", b"\x04", b"\x11"
CLEAR = b"\x05\x15"  # to the end of the line, and all of it away; a plain terminal clears it with the second alone
_PROBE, _PROBED = b" printf 'ew%sx\\n' 42\r", b"ew42x"
_TURNS = {State.PROMPT: 0, State.OTHER: 1}  # how often it must have looked so before a command is typed there
_NUDGES = (CLEAR + ENTER, b"q", RESUME + CLEAR + ENTER, INTERRUPT, CLEAR + ENTER, INTERRUPT + END + ENTER)


@dataclass(frozen=True)
class Login:
    """user: None where nobody is known who could log in; password: asked once, when the console asks for it."""

    user: str | None
    password: Callable[[], str]


class Console:
    """session: the one to be opened, by whose number an agent left by an earlier host knows that its own is over."""

    def __init__(self, line: Line, where: str, login: Login, session: int, patience_s: float = PATIENCE_S) -> None:
        self._line, self._where, self._login, self._session = line, where, login, session
        self._patience_s = patience_s
        self._password: str | None = None
        self._unread = b""

    def shell(self) -> Shell:
        """Log in where that is needed, and start the shell that does exactly what it is told.

        Raises TransportError where nothing answers or what answers is no console, DeviceError where the login is
        refused, InputError where nobody is known who could log in.
        """
        end = time.monotonic() + self._patience_s
        state, seen, logged_in, refusals, nudges = State.SILENCE, b"", False, 0, iter(_NUDGES)
        self._line.write(CLEAR + ENTER)
        known_for = 0
        while time.monotonic() < end:
            heard = listen(self._line, self._unread)
            self._unread = b""
            seen = (seen + heard)[-4000:]
            if self._end_stranger(heard):
                continue
            before, state = state, classify(heard)
            known_for = known_for + 1 if state is before else 0
            if state in (State.REFUSED, State.LOGIN):
                refusals += state is State.REFUSED and logged_in
                if refusals >= _REFUSALS:
                    raise DeviceError(
                        f"{self._where} refuses the login of {self._login.user}: check the user in the device's URI "
                        "and the password."
                    )
                logged_in = self._log_in()
            elif state is State.PASSWORD:
                self._line.write(ENTER)  # of somebody else's login, half done
            elif state is State.CONTINUATION:
                self._line.write(INTERRUPT)
            elif state is State.PYTHON:
                self._line.write(END)
            elif state is State.PAGER:
                self._line.write(b"q")
            elif state in (State.MAINTENANCE, State.BOOTLOADER):
                raise TransportError(
                    f"{self._where} shows {state.value} ({self._last_words(seen)}): let it boot first."
                )
            elif state in (State.PROMPT, State.OTHER) and (known_for >= _TURNS[state]) and self._is_shell():
                return Shell(self._line, replace=logged_in)
            else:
                nudge = next(nudges, None)
                if nudge is None:
                    break
                self._line.write(self._greeting() + nudge if state is State.SILENCE else nudge)
        raise TransportError(self._explain(state, seen))

    def _until(self, wanted: Callable[[bytes], bool], limit_s: float) -> bytes:
        end, heard = time.monotonic() + limit_s, b""
        while (left_s := end - time.monotonic()) > 0 and not wanted(heard):
            heard += self._line.read(min(left_s, 0.2))
        return heard

    def _log_in(self) -> bool:
        """Answer a login prompt; returns whether a password was given."""
        user = self._login.user
        if user is None:
            raise InputError(
                f"{self._where} asks who logs in: give the device a URI with ?user=NAME "
                "(`edgewright device remove` and `device add` change it)."
            )
        self._line.write(user.encode() + ENTER)
        asked = self._until(lambda heard: classify(heard) in (State.PASSWORD, State.PROMPT, State.REFUSED), _LOGIN_S)
        if classify(asked) is State.PROMPT:
            return True  # an account without password
        if classify(asked) is not State.PASSWORD or user.encode() not in asked:
            return False  # damaged on the way: once more
        if self._password is None:
            self._password = self._login.password()
        self._line.write(self._password.encode() + ENTER)
        self._unread = self._until(lambda heard: bool(heard.strip()), _LOGIN_S)
        return True

    def _is_shell(self) -> bool:
        self._line.write(CLEAR + _PROBE)
        return _PROBED in self._until(lambda heard: _PROBED in heard, 3.0)

    def _end_stranger(self, heard: bytes) -> bool:
        """An agent whose host is gone still speaks here: tell it that there is another session."""
        link = Link(self._session, True, 1.0, 1.0, 0.0)
        link.receive(heard, 0.0)
        if link.stranger:
            self._line.write(self._greeting())
        return link.stranger

    def _greeting(self) -> bytes:
        """A frame of our session, which ends an agent that has another."""
        return Link(self._session, True, 1.0, 1.0, 0.0).send(1.0)

    def _last_words(self, seen: bytes) -> str:
        return last_words(seen, self._password)

    def _explain(self, state: State, seen: bytes) -> str:
        if classify(seen) is State.SILENCE:
            remedy = (
                "see whether the device has power, the cable's two data lines are crossed, and its console is on this "
                "port at this speed (on a Raspberry Pi: `sudo raspi-config`, Interface Options, Serial Port)"
            )
            return f"Nothing answers on {self._where}: {remedy}."
        if state is State.GARBLED:
            return f"What comes from {self._where} is garbled: give its console's speed with ?baud= in the URI."
        return (
            f"{self._where} shows no shell and no login prompt but {state.value} ({self._last_words(seen)}): "
            "see what `edgewright device console` shows."
        )


def listen(line: Line, heard: bytes = b"", limit_s: float = 5.0) -> bytes:
    """What is said until it is quiet for a moment. heard: what was said before."""
    end, wait_s = time.monotonic() + limit_s, QUIET_S if heard else 3 * QUIET_S
    while (left_s := end - time.monotonic()) > 0:
        data = line.read(min(wait_s, left_s))
        if not data:
            break
        heard, wait_s = heard + data, QUIET_S
    return heard
