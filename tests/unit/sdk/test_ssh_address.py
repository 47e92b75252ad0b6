from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.errors import InputError
from edgewright.transports.ssh_address import DEFAULT_HOME, SshAddress

ADDRESSES = {
    "ssh://kitchen": SshAddress("kitchen"),
    "ssh://pi@Kitchen.local:2222": SshAddress("Kitchen.local", "pi", 2222),
    "ssh://pi@10.0.0.7/srv/edgewright": SshAddress("10.0.0.7", "pi", None, PurePosixPath("/srv/edgewright")),
    "ssh://pi@kitchen/~/below/login": SshAddress("kitchen", "pi", None, PurePosixPath("below/login")),
    "ssh://kitchen/a%20folder": SshAddress("kitchen", None, None, PurePosixPath("/a folder")),
    "ssh://[fe80::1%eth0]:22": SshAddress("fe80::1%eth0", None, 22),
}


@pytest.mark.parametrize("uri", ADDRESSES)
def test_a_uri_is_taken_apart_and_put_together(uri: str) -> None:
    assert SshAddress.parse(uri) == ADDRESSES[uri]
    assert SshAddress.parse(uri).uri == uri


def test_an_end_slash_is_no_folder() -> None:
    assert SshAddress.parse("ssh://kitchen/").home == DEFAULT_HOME


@pytest.mark.parametrize(
    "uri",
    [
        "ssh:",
        "ssh:kitchen",
        "ssh://",
        "ssh://pi@",
        "ssh://-oProxyCommand=id",
        "ssh://-l@kitchen",
        "ssh://kitchen:ssh",
        "ssh://kitchen:99999",
        "ssh://kit chen",
        "ssh://kitchen?identity=x",
        "ssh://kitchen#x",
        "ssh://[::1",
        "http://kitchen",
    ],
)
def test_what_is_no_address(uri: str) -> None:
    with pytest.raises(InputError, match=r"no SSH device's URI.*: write ssh://"):
        SshAddress.parse(uri)


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError, match="must not hold a password: write ssh://pi@kitchen") as raised:
        SshAddress.parse("ssh://pi:raspberry@kitchen")
    assert "raspberry" not in str(raised.value)


@given(st.text(), st.sampled_from(["", "//", "//pi@kitchen/", "//pi@kitchen:2/~/"]))
def test_any_text_is_an_address_or_refused(text: str, start: str) -> None:
    try:
        address = SshAddress.parse(f"ssh:{start}{text}")
    except InputError:
        return
    assert SshAddress.parse(address.uri) == address


@pytest.mark.parametrize("rest", ["@[", "@kitchen:x", "@kitchen:99999", "@-x", "@kitchen?x"])
def test_not_even_in_a_malformed_one_is_a_password_repeated(rest: str) -> None:
    with pytest.raises(InputError) as raised:
        SshAddress.parse(f"ssh://pi:raspberry{rest}")
    assert "raspberry" not in str(raised.value)
