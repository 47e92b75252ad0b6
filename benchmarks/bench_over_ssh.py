"""Does `edgewright bench` over SSH report what a bench started on the device by hand reports?

    python benchmarks/bench_over_ssh.py

The device is this machine, behind an OpenSSH server. Both take turns on the same release, with the same settings;
compared are the medians of neighbours in time, whose ratio may differ from 1 by 3 %. Exit code 1 where it differs by
more. It needs OpenSSH's sshd.
"""

import argparse
import getpass
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from flash import HAS_OPENSSH, make_environment, openssh_server, wide_model, write_bundle

from edgewright.devices import Device, add_device
from edgewright.remote import Remote
from edgewright.transports import LocalTransport
from edgewright.transports.host_keys import HostKeys
from edgewright.transports.ssh_address import SshAddress
from edgewright_runtime.bundle import Bundle
from edgewright_runtime.quantiles import percentile

LIMIT = 0.03
CLI = [sys.executable, "-c", "from edgewright.cli import main; main()"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each bench")
    arguments = parser.parse_args()
    if not HAS_OPENSSH:
        print("skipped: there is no OpenSSH server on this machine (Debian: openssh-server)")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.update(EDGEWRIGHT_CONFIG_HOME=str(folder / "config"), HOME=name)
        with openssh_server(folder / "server") as server:
            HostKeys().pin(SshAddress("127.0.0.1", getpass.getuser(), server.port), server.host_key)
            uri = f"ssh://{getpass.getuser()}@127.0.0.1:{server.port}{folder / 'home'}"
            add_device(Device("here", uri, str(server.client_key)))
            make_environment(folder / "home/venv")
            Remote("here", LocalTransport(folder / "home"), sys.executable).install_runtime()
            samples = np.random.default_rng(0).normal(0, 1, (4, 32, 256)).astype(np.float32)
            model = wide_model(layers=8, width=256, batch=32)
            bundle = write_bundle(folder / "wide.ewb", model, [samples], name="wide")
            subprocess.run([*CLI, "flash", str(bundle), "here"], check=True, stdout=subprocess.DEVNULL)
            return compare(bundle, folder / "home", arguments.rounds, arguments.seconds)


def compare(bundle: Path, home: Path, rounds: int, seconds: float) -> int:
    limits = ["--min-seconds", str(seconds)]
    release = home / "releases/wide" / Bundle.open(bundle).id
    commands = {
        "over SSH": [*CLI, "bench", str(bundle), "here", "--json", *limits],
        "by hand": [str(home / "venv/bin/python"), str(home / "runtime"), "bench", str(release), *limits],
    }
    found: dict[str, list[float]] = {kind: [] for kind in commands}
    for turn in range(rounds):
        for kind in sorted(commands, reverse=bool(turn % 2)):
            found[kind].append(median_ms(commands[kind]))
        print("   ".join(f"{kind} {found[kind][-1]:.3f} ms" for kind in commands), flush=True)
    ours, by_hand = (median(found[kind]) for kind in commands)
    ratio = median(a / b for a, b in zip(*found.values(), strict=True))
    print(f"medians {ours:.3f} and {by_hand:.3f} ms; median ratio of neighbours {ratio:.3f}, limit ±{LIMIT:.0%}")
    return 0 if abs(ratio - 1) <= LIMIT else 1


def median_ms(command: Sequence[str]) -> float:
    document = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    (result,) = document["results"]
    return percentile(result["latency_ns"], 50) / 1e6


if __name__ == "__main__":
    sys.exit(main())
