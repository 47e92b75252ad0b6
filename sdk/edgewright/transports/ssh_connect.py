"""Reach an SSH device and know it: the pinned host key or none, keys and never a password, every failure a sentence.

~/.ssh/config is honoured (HostName, Port, User, IdentityFile, IdentityAgent, ProxyJump, ProxyCommand …). A jump host is
known by the user's own ~/.ssh/known_hosts, as ``ssh`` knows it.
"""

import asyncio
import errno
import os
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh

from ..errors import InputError, TransportError
from .host_keys import HostKey, HostKeys
from .ssh_address import SshAddress

CONNECT_TIMEOUT_S = 15.0
MISSED_SIGNS = 3  # how often a sign of life is due within the time of silence after which a connection counts as broken

# A server with several keys shows the one that the client prefers. Plain keys alone: a certificate would let others
# than the pinned key vouch for the device.
_KEY_FAMILIES = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)
_ALGORITHMS = [name for family in _KEY_FAMILIES for name in family]


def fetch_host_key(address: SshAddress, fingerprint: str | None = None) -> HostKey:
    """The key that the device shows, trusted by nobody yet.

    fingerprint: ``SHA256:…`` of the one expected, of whichever type. Raises TransportError where the device cannot be
    reached or shows another key.
    """
    return asyncio.run(_fetch_host_key(address, fingerprint))


async def _fetch_host_key(address: SshAddress, fingerprint: str | None) -> HostKey:
    shown: list[str] = []
    for preferred in _KEY_FAMILIES:
        client = _Client(None)
        with suppress(asyncssh.HostKeyNotVerifiable):
            await _open(address, client, preferred)
        assert client.shown is not None
        if fingerprint in (None, client.shown.fingerprint):
            return client.shown
        shown += [client.shown.fingerprint] if client.shown.fingerprint not in shown else []
    raise TransportError(
        f"The host key of {address} is {' or '.join(shown)}, not {fingerprint}: see on the device itself which it has, "
        "with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`."
    )


async def connect(
    address: SshAddress, name: str, identity: Path | None, silence_s: float
) -> asyncssh.SSHClientConnection:
    """A connection to the device that has the pinned key. name: the device's, for remedies. Raises TransportError."""
    keys = HostKeys()
    trusted = keys.find(address)
    if trusted is None:
        raise TransportError(
            f"The host key of {address} is not in {keys.path}: run `edgewright device add {name} {address.uri}`, "
            "which shows its fingerprint and asks."
        )
    client = _Client(trusted)
    try:
        return await _open(
            address,
            client,
            _KEY_FAMILIES[-1] if trusted.algorithm == "ssh-rsa" else (trusted.algorithm,),
            keepalive_interval=silence_s / MISSED_SIGNS,
            keepalive_count_max=MISSED_SIGNS - 1,
            **_identity(identity),
        )
    except asyncssh.HostKeyNotVerifiable as error:
        assert client.shown is not None
        raise TransportError(
            f"The host key of {address} has changed: it is {client.shown.fingerprint}, and {keys.path} has "
            f"{trusted.fingerprint}. This may be another machine: only if the device was installed anew, run "
            f"`edgewright device add {name} {address.uri}` again."
        ) from error


class _Client(asyncssh.SSHClient):
    """Trusts one host key, and remembers the one that was shown."""

    def __init__(self, trusted: HostKey | None) -> None:
        self.trusted = trusted
        self.shown: HostKey | None = None

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self.shown = HostKey(key.get_algorithm(), key.public_data)
        return self.shown == self.trusted


async def _open(
    address: SshAddress, client: _Client, preferred: tuple[str, ...], **extra: Any
) -> asyncssh.SSHClientConnection:
    """preferred: algorithms of host keys. Raises HostKeyNotVerifiable where the client does not trust the key that was
    shown, TransportError on all other ways to fail, InputError where the user's own files are to blame."""
    try:
        options = asyncssh.SSHClientConnectionOptions(
            config=(),  # ~/.ssh/config
            host=address.host,
            port=address.port or (),
            username=address.user or (),
            client_factory=lambda: client,
            known_hosts=([], [], []),  # whom to trust is for the client to say
            server_host_key_algs=[*preferred, *(name for name in _ALGORITHMS if name not in preferred)],
            x509_trusted_certs=None,
            preferred_auth=["publickey"],
            gss_host=None,
            agent_forwarding=False,
            x11_forwarding=False,
            request_pty=False,
            encoding=None,
            connect_timeout=CONNECT_TIMEOUT_S,
            **extra,
        )
    except (asyncssh.ConfigParseError, asyncssh.KeyImportError, OSError, ValueError) as error:
        raise InputError(
            f"Cannot use your SSH keys or ~/.ssh/config ({error}): correct that, or name another key with --identity."
        ) from error
    try:
        return await asyncssh.connect(address.host, options=options)
    except (asyncssh.Error, OSError) as error:
        if isinstance(error, asyncssh.HostKeyNotVerifiable) and client.shown is not None:  # not a jump host's
            raise
        if _is_refusal(error, options):
            raise TransportError(await _refusal(address, options)) from error
        raise TransportError(f"Cannot reach {address}: {_reason(error, address)}.") from error


def _identity(file: Path | None) -> dict[str, Any]:
    """The options for one key and no other, from its file or, where that has a passphrase, from the agent."""
    if file is None:
        return {}
    file = file.expanduser()
    if not os.access(file, os.R_OK):
        raise InputError(f"Cannot read the key {file}: check the path given as --identity, and its permissions.")
    for public in (file, file.with_name(f"{file.name}.pub")):
        try:
            known = asyncssh.read_public_key(public)
        except (asyncssh.KeyImportError, OSError):
            continue
        return {"client_keys": [file], "ignore_encrypted": True, "agent_identities": [known.public_data]}
    return {"client_keys": [file], "agent_path": None}


def _is_refusal(error: Exception, options: asyncssh.SSHClientConnectionOptions) -> bool:
    """By the device, that is, and not by a jump host before it."""
    if isinstance(error, asyncssh.PermissionDenied):
        return error.reason.endswith(f" {options.host}")
    return "authentication failures" in str(error)  # an agent had more keys than OpenSSH lets a client try


async def _refusal(address: SshAddress, options: asyncssh.SSHClientConnectionOptions) -> str:
    keys: list[asyncssh.SSHKeyPair] = list(options.client_keys or ())
    if options.agent_path:
        with suppress(OSError, ValueError):  # no agent is running
            async with asyncssh.connect_agent(options.agent_path) as agent:
                keys = [*await agent.get_keys(options.agent_identities), *keys]
    tried = ", ".join(f"{HostKey('', key.public_data).fingerprint} {key.get_comment()}".rstrip() for key in keys)
    if not tried:
        return (
            f"There is no key to offer to {address}, and edgewright uses no passwords: make one with `ssh-keygen` and "
            f"install it with `ssh-copy-id {_target(address)}`; one with a passphrase must be in the agent (`ssh-add`)."
        )
    return (
        f"{address} lets none of the keys log in as {options.username} that were offered ({tried}): install one there "
        f"with `ssh-copy-id {_target(address)}`, or name another with --identity."
    )


def _reason(error: Exception, address: SshAddress) -> str:
    """What went wrong, and what to do about it."""
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT_S:g} s: see whether it is switched on and in this network"
    if isinstance(error, socket.gaierror):
        return "no address is known by that name: check the spelling, and whether it is in this network"
    if _number(error) == errno.ECONNREFUSED:
        return "the connection is refused: see whether an SSH server runs there (`sudo systemctl enable --now ssh`)"
    return f"{error}: see what `ssh {_target(address)}` says"


def _number(error: Exception) -> int | None:
    """The errno; where a name has several addresses, asyncio makes one error of theirs, which has none."""
    named = re.search(r"\[Errno (\d+)\]", str(error))
    return int(named[1]) if named else None


def _target(address: SshAddress) -> str:
    """The address as OpenSSH's own programs take it."""
    return (f"-p {address.port} " if address.port else "") + (f"{address.user}@" if address.user else "") + address.host
