"""The password for a console: from the system's keyring, else asked on the terminal. It is kept nowhere else."""

import getpass
import sys
from threading import Lock

from ..errors import InputError
from ..progress import terminal_to_ourselves

SERVICE = "edgewright"
_asking = Lock()  # several devices, one terminal


def password_for(user: str, device: str) -> str:
    """device: its name, or its URI where it has none. Raises InputError where nobody can be asked."""
    account = f"{user}@{device}"
    kept = _from_keyring(account)
    if kept is not None:
        return kept
    if not sys.stdin.isatty():
        raise InputError(
            f"Nobody is here to be asked for the password of {account}: put it into the system's keyring with "
            f"`keyring set {SERVICE} {account}` (pip install 'edgewright[keyring]')."
        )
    with _asking, terminal_to_ourselves():
        return getpass.getpass(f"Password of {account}: ")


def _from_keyring(account: str) -> str | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        return keyring.get_password(SERVICE, account)
    except (KeyringError, RuntimeError):  # locked, or there is none on this system
        return None
