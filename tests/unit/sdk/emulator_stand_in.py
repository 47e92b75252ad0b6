"""What runs in QEMU's place: goes to the background, holds its pid file, greets like an SSH server, and listens to the
power switch, as QEMU with a board in it does. $STAND_IN makes it refuse, die, mute (never greets) or stubborn.
"""

import fcntl
import os
import signal
import socket
import sys
import threading
from pathlib import Path


def main(arguments: list[str], behaviour: str) -> None:
    folder = Path(arguments[arguments.index("-pidfile") + 1]).parent
    port = next(int(part.split(":")[2].rstrip("-")) for part in arguments if "hostfwd=tcp:" in part)
    if behaviour == "refuse":
        sys.exit("qemu-system-aarch64: cannot set up guest memory 'ram': Cannot allocate memory")
    try:
        server = socket.create_server(("127.0.0.1", port))
    except OSError:
        sys.exit(f"-netdev user: Could not set up host forwarding rule 'tcp:127.0.0.1:{port}-:22'")
    print("char device redirected to /dev/pts/321 (label console)", flush=True)
    ready, tell = os.pipe()
    if os.fork():
        os.read(ready, 1)
        return
    os.setsid()
    for standard in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), standard)
    pid_file = (folder / "pid").open("w")
    fcntl.lockf(pid_file, fcntl.LOCK_EX)
    (folder / "console.log").write_text("".join(f"[{second:4}.0] a line\n" for second in range(20)))
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    power = os.open(folder / "power", os.O_RDWR)
    os.write(tell, b"!")
    if behaviour == "die":
        return
    if behaviour != "mute":
        threading.Thread(target=greet, args=(server,), daemon=True).start()
    while behaviour == "stubborn" or b"off" not in os.read(power, 100):
        pass


def greet(server: socket.socket) -> None:
    while True:
        connection, _ = server.accept()
        connection.sendall(b"SSH-2.0-stand-in\r\n")
        connection.close()


if __name__ == "__main__":
    main(sys.argv[1:], os.environ.get("STAND_IN", ""))
