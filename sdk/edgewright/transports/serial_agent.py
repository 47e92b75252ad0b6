"""What a serial transport runs on the device: serial_link.py and this file, as one program typed into the console.

    python3 -I -S -c "<both>" SESSION BAUD SILENCE_S HOME

It takes the terminal that it is started on, makes it raw, and speaks the link's protocol there until the host says
goodbye, is silent for SILENCE_S seconds, or opens another session. Then whatever it started is ended and the terminal
is as it was. One command at a time: run a program, receive a file, send a file.

Standard library only, syntax of Python 3.9, no f-string with quotes inside (ast.unparse may choose others for them).
"""

# ruff: noqa: PTH100, PTH103, PTH104, PTH108, PTH110, PTH118, PTH120, PTH123, SIM105, SIM115

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import select
import signal
import sys
import termios
import time
import tty
import zlib

from .serial_link import Link, Records

TYPE_CHECKING = False
if TYPE_CHECKING:  # the module itself would take the device's time
    from typing import Any

CHUNK_BYTES = 8 << 10
GATHER_S = 0.004  # a chip hands over some bytes at a time, and each turn costs a small board a millisecond
BACKLOG_BYTES = 32 << 10  # more than this is not read from a program before the line has carried what was
NOT_FOUND, NOT_EXECUTABLE, KILLED = 127, 126, 128  # as a shell reports them
TRIAL_S, FALL_BACK_S, GOODBYE_S = 1.5, 3.0, 1.0
TRIAL_PULSE_S, RAISED_PULSE_S = 0.1, 0.5
BITS = 10  # of a byte on the line, with its start and stop


class Agent:
    """baud: the console's own, to which the line falls back whenever nothing is understood any more."""

    def __init__(self, session: int, baud: int, silence_s: float, home: str) -> None:
        self.terminal = os.open(
            "/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK
        )  # our own: the shell's stays as it is
        self.before = termios.tcgetattr(self.terminal)
        self.home, self.baud, self.silence_s = os.path.abspath(home), baud, silence_s
        self.link = Link(session, False, baud / BITS, silence_s / 4, time.monotonic())
        self.records = Records()
        self.going = b""  # the rest of a frame
        self.leaving_s = self.switch_s = self.trial_s = 0.0
        self.raised = self.next_baud = 0
        self.command = 0
        self.group = 0  # the program's
        self.code: int | None = None
        self.pipes: dict[int, bytes] = {}
        self.receiving: Receiving | None = None
        self.sending: Any = None
        self.wakeup, wakes = os.pipe()
        for descriptor in (self.wakeup, wakes):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wakes)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, lambda *_: sys.exit(1))
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def serve(self) -> None:
        try:
            tty.setraw(self.terminal)
            self.tell(b"i", json.dumps([os.path.realpath(sys.executable), self.home]).encode())
            while self.turn(time.monotonic()):
                pass
        except (OSError, zlib.error):
            pass  # the line has hung up, or the other end is not what it seemed to be
        finally:
            self.end_command()
            try:
                termios.tcsetattr(self.terminal, termios.TCSAFLUSH, self.before)
            except termios.error:
                pass

    def turn(self, now: float) -> bool:
        """Wait for something to do and do it. Returns whether to go on."""
        link = self.link
        if link.stranger or now - link.heard_s > self.silence_s or (self.leaving_s and now > self.leaving_s):
            return False
        if self.leaving_s and not link.unsent() and not self.going:
            termios.tcdrain(self.terminal)
            return False
        self.keep_speed(now)
        self.going = self.going or link.send(now)
        sources = [self.terminal, self.wakeup]
        if link.unsent() < BACKLOG_BYTES:
            sources += self.pipes
            if self.sending:
                self.send_file()
        wait_s = 0.0 if self.sending and link.unsent() < BACKLOG_BYTES else max(0.0, min(link.due() - now, 0.5))
        ready, writable, _ = select.select(sources, [self.terminal] if self.going else [], [], wait_s)
        if writable:
            self.going = self.going[os.write(self.terminal, self.going) :]
        if self.wakeup in ready:
            os.read(self.wakeup, 64)
        if self.terminal in ready:
            time.sleep(GATHER_S)
            data = os.read(self.terminal, 64 << 10)
            if not data:
                return False  # the line has hung up
            for kind, command, body in self.records.unpack(link.receive(data, time.monotonic())):
                self.obey(kind, command, body)
        for pipe in [pipe for pipe in ready if pipe in self.pipes]:
            self.pass_on(pipe)
        self.look_after_program()
        return True

    def tell(self, kind: bytes, body: bytes = b"") -> None:
        self.link.write(self.records.pack(kind, self.command, body))

    def obey(self, kind: bytes, command: int, body: bytes) -> None:
        """Do what a record says. What belongs to a command that is over is of no interest any more."""
        if kind in (b"R", b"P", b"G"):
            self.end_command()
            self.command = command
            try:
                os.makedirs(self.home, exist_ok=True)
                os.chdir(self.home)
                request, _, input = body.partition(b"\0")
                start = {b"R": self.run, b"P": self.receive, b"G": self.send}[kind]
                start(json.loads(request), input)
            except FileExistsError:  # makedirs came upon a file
                self.tell(b"f", b"ENOTDIR")
            except OSError as error:
                self.tell(b"f", errno.errorcode.get(error.errno or 0, "EIO").encode())
        elif kind == b"S":
            known = hasattr(termios, "B" + body.decode())
            self.tell(b"s", b"1" if known else b"0")
            if known:
                self.next_baud, self.switch_s = int(body), time.monotonic() + 0.5
        elif kind == b"Q":
            self.end_command()
            self.command = command
            self.leaving_s = time.monotonic() + GOODBYE_S
            self.tell(b"q")
        elif command == self.command:
            if kind == b"K":
                self.end_command()
                self.tell(b"k")
            elif self.receiving:
                try:
                    self.receiving.obey(kind, body)
                    if self.receiving.left == 0:
                        self.receiving.finish()
                        self.end_command()
                        self.tell(b"x", b"0")
                except OSError as error:
                    self.end_command()
                    self.tell(b"f", errno.errorcode.get(error.errno or 0, "EIO").encode())

    def end_command(self) -> None:
        """Nothing more is told of it, and nothing that it started is left."""
        if self.group:
            self.end_group()
            if self.code is None:
                os.waitpid(self.group, 0)
        for pipe in self.pipes:
            os.close(pipe)
        if self.receiving:
            self.receiving.close()
        if self.sending:
            self.sending[0].close()
        self.group, self.code, self.pipes, self.receiving, self.sending = 0, None, {}, None, None

    # ---- a program

    def run(self, request: dict[str, Any], input: bytes) -> None:
        """Start a program in a process group of its own. Its stdin is ``input``, or a file, deleted once it is open."""
        if request["stdin"]:
            stdin = os.open(request["stdin"], os.O_RDONLY)
            os.unlink(request["stdin"])
        else:
            stdin = os.memfd_create("stdin")
            os.write(stdin, input)
            os.lseek(stdin, 0, os.SEEK_SET)
        argv = [os.fsencode(argument) for argument in request["argv"]]
        out, err = os.pipe(), os.pipe()
        try:
            self.group = os.posix_spawnp(
                argv[0],
                argv,
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, at, to) for to, at in enumerate((stdin, out[1], err[1]))],
                setpgroup=0,
                setsigdef=[signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGQUIT, signal.SIGTSTP],
            )
            self.code = None
            self.pipes = {out[0]: b"o", err[0]: b"e"}
            for pipe in self.pipes:
                os.set_blocking(pipe, False)
        except OSError as error:
            os.close(out[0])
            os.close(err[0])
            self.tell(b"e", argv[0] + b": " + os.strerror(error.errno or 0).lower().encode())
            code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
            self.tell(b"x", str(code).encode())
        finally:
            for descriptor in (stdin, out[1], err[1]):
                os.close(descriptor)

    def pass_on(self, pipe: int) -> bool:
        """Tell what a program printed; returns whether there may be more."""
        try:
            data = os.read(pipe, CHUNK_BYTES)
        except BlockingIOError:
            return False
        if data:
            self.tell(self.pipes[pipe], data)
            return True
        del self.pipes[pipe]
        os.close(pipe)
        return False

    def look_after_program(self) -> None:
        """When it has ended, so does what it started; then comes what is left in the pipes, and the exit code."""
        if self.group and self.code is None:
            ended, status = os.waitpid(self.group, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                self.code = code if code >= 0 else KILLED - code
                self.end_group()
        if self.code is not None:
            for pipe in list(self.pipes):
                while self.link.unsent() < BACKLOG_BYTES and self.pass_on(pipe):
                    pass
                if self.link.unsent() >= BACKLOG_BYTES:
                    return  # more of it later
                if pipe in self.pipes:  # held by somebody who left the group
                    os.close(pipe)
                    del self.pipes[pipe]
            self.tell(b"x", str(self.code).encode())
            self.group, self.code = 0, None

    def end_group(self) -> None:
        try:
            os.killpg(self.group, signal.SIGKILL)
        except ProcessLookupError:
            pass

    # ---- files

    def receive(self, request: dict[str, Any], _: bytes) -> None:
        self.receiving = Receiving(request["path"], request["size"], request["sha256"])
        self.tell(b"h", json.dumps(self.receiving.there()).encode())

    def send(self, request: dict[str, Any], _: bytes) -> None:
        source = open(request["path"], "rb")
        self.tell(b"h", str(os.fstat(source.fileno()).st_size).encode())
        self.sending = (source, hashlib.sha256())

    def send_file(self) -> None:
        source, digest = self.sending
        chunk = source.read(CHUNK_BYTES)
        digest.update(chunk)
        if chunk:
            self.tell(b"d", chunk)
        else:
            source.close()
            self.sending = None
            self.tell(b"x", digest.hexdigest().encode())

    # ---- the line's speed

    def keep_speed(self, now: float) -> None:
        """Change to what the host asked for once all is said; and back, unless it is heard there too."""
        if self.next_baud and (now > self.switch_s or (not self.link.unsent() and not self.going)):
            self.set_baud(self.next_baud)
            self.raised, self.next_baud = (self.next_baud if self.next_baud != self.baud else 0), 0
            self.link.pulse_s = TRIAL_PULSE_S if self.raised else self.silence_s / 4
            self.trial_s = now
            self.link.ping()
        elif self.raised:
            heard_here = self.link.heard_s > self.trial_s
            if heard_here:
                self.link.pulse_s = RAISED_PULSE_S
            if now - max(self.link.heard_s, self.trial_s) > (FALL_BACK_S if heard_here else TRIAL_S):
                self.raised = 0
                self.link.pulse_s = self.silence_s / 4
                self.set_baud(self.baud)

    def set_baud(self, baud: int) -> None:
        speed = self.before[4] if baud == self.baud else getattr(termios, "B" + str(baud))
        state = termios.tcgetattr(self.terminal)
        state[4] = state[5] = speed
        termios.tcsetattr(self.terminal, termios.TCSADRAIN, state)
        self.link.set_rate(baud / BITS)


class Receiving:
    """A file on its way. What has come of it is kept beside its place under its hash: the next try goes on there.

    left: bytes to come; None before the host has said from where.
    """

    def __init__(self, path: str, size: int, sha256: str) -> None:
        self.path, self.size, self.sha256 = path, size, sha256
        self.folder = os.path.dirname(path) or "."
        os.makedirs(self.folder, exist_ok=True)
        self.part = os.path.join(self.folder, "." + sha256[:32] + ".part")
        self.file = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.left: int | None = None

    def there(self) -> list[Any]:
        """How much of it is here, and that part's hash."""
        if self.in_place():
            return [self.size, self.sha256]
        length = min(os.fstat(self.file).st_size, self.size)
        return [length, digest_of(self.file, length)]

    def in_place(self) -> bool:
        """Whether it has arrived before: the host was cut off when it had sent the last byte."""
        try:
            whole = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            return os.fstat(whole).st_size == self.size and digest_of(whole, self.size) == self.sha256
        finally:
            os.close(whole)

    def obey(self, kind: bytes, body: bytes) -> None:
        if kind == b"F" and body == b"%d" % self.size and self.in_place():
            os.unlink(self.part)
            self.left = 0
        elif kind == b"F":
            start = int(body)
            os.ftruncate(self.file, start)
            os.lseek(self.file, start, os.SEEK_SET)
            self.left = self.size - start
        elif kind == b"D" and self.left is not None:
            while body:
                written = os.write(self.file, body)
                body, self.left = body[written:], self.left - written

    def finish(self) -> None:
        """Whole and on the disk at its place; afterwards a power cut cannot undo it. Raises EBADMSG."""
        if os.path.exists(self.part):
            os.fsync(self.file)
            if digest_of(self.file, self.size) != self.sha256:
                os.unlink(self.part)
                raise OSError(errno.EBADMSG, "damaged")
            os.rename(self.part, self.path)
        folder = os.open(self.folder, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def close(self) -> None:
        os.close(self.file)


def digest_of(file: int, length: int) -> str:
    """The SHA-256 of a file's first bytes."""
    os.lseek(file, 0, os.SEEK_SET)
    digest = hashlib.sha256()
    while length > 0:
        chunk = os.read(file, min(length, 64 << 10))
        if not chunk:
            break
        digest.update(chunk)
        length -= len(chunk)
    return digest.hexdigest()


if __name__ == "__main__":
    Agent(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]).serve()
