"""The link, on lines with planned faults and virtual time, and the agent as it is sent."""

import ast
import subprocess
import sys

import pytest
from e2e.fault_line import Faults, transfer
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.transports.serial_link import ESCAPED, Link, Records, _binary, _text, _unescaped
from edgewright.transports.serial_program import program, source

CLEAN = Faults(rate=0, messages_s=1e9, stalls_s=1e9)
WORLDS = {
    "noise, messages, stalls": Faults(),
    "seven bits": Faults(seven_bits=True),
    "XON and XOFF swallowed": Faults(flow_control=True),
    "dead for 7 s": Faults(dead=(0.5, 7.5)),
    "ten times the noise": Faults(rate=1e-3),
}
LIMIT_S = 180.0  # virtual; a transfer takes two seconds


@pytest.mark.parametrize("faults", WORLDS.values(), ids=WORLDS)
def test_everything_arrives_as_it_was(faults: Faults) -> None:
    for seed in range(15):
        transfer(seed, faults, limit_s=LIMIT_S)


@pytest.mark.serial
@pytest.mark.parametrize("faults", WORLDS.values(), ids=WORLDS)
def test_everything_arrives_as_it_was_in_a_thousand_plans(faults: Faults) -> None:
    for seed in range(1000 if faults == Faults() else 100):
        transfer(1000 + seed, faults, limit_s=LIMIT_S)


def test_a_clean_line_is_used_to_the_full() -> None:
    _, goodput = transfer(1, CLEAN, (200_000, 0), limit_s=60)
    assert goodput > 0.92


def test_a_noisy_line_keeps_most_of_its_rate() -> None:
    _, goodput = transfer(1, Faults(messages_s=1e9, stalls_s=1e9), (200_000, 0), limit_s=60)
    assert goodput > 0.75


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=300), max_size=8))
def test_garbage_is_never_taken_for_anything(pieces: list[bytes]) -> None:
    link = Link(1, True, 11_520, 1.0, 0.0)
    for piece in pieces:
        assert link.receive(piece, 1.0) == b""
    assert not link.stranger
    assert link.heard_s == 0.0


@settings(max_examples=200)
@given(st.binary(min_size=1, max_size=400))
def test_no_byte_of_a_frame_means_anything_to_a_terminal(frame: bytes) -> None:
    inside = _binary(frame)[1:-1]
    assert not [byte for byte in ESCAPED if byte != b"\xdb" and byte in inside]
    assert _unescaped(inside) == frame
    assert _text(frame).isascii()
    assert _text(frame).decode().isprintable()


def test_a_frame_of_another_session_is_known_as_such() -> None:
    old, new = Link(1, False, 11_520, 1.0, 0.0), Link(2, True, 11_520, 1.0, 0.0)
    assert old.receive(b"login: " + new.send(1.0) + b"\r\n", 1.0) == b""
    assert old.stranger


def test_an_echo_is_nothing_that_was_heard() -> None:
    link = Link(1, True, 11_520, 1.0, 0.0)
    assert link.receive(link.send(1.0), 2.0) == b""
    assert (link.heard_s, link.stranger) == (0.0, False)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from([b"R", b"d"]), st.integers(0, 0xFFFF), st.binary(max_size=200)), max_size=8),
    st.integers(1, 50),
)
def test_records_arrive_whole_however_the_stream_is_cut(records: list[tuple[bytes, int, bytes]], piece: int) -> None:
    sender, receiver = Records(), Records()
    stream = b"".join(sender.pack(*record) for record in records)
    cut = [stream[start : start + piece] for start in range(0, len(stream), piece)]
    assert [record for part in cut for record in receiver.unpack(part)] == records


def test_what_is_sent_is_python_3_9_and_can_be_typed() -> None:
    ast.parse(source(), feature_version=(3, 9))
    assert len(program()) < 9_000
    assert program().isascii()
    assert program().isprintable()
    assert "'" not in program()
    assert "\\" not in program()


def test_a_damaged_agent_does_not_start() -> None:
    whole = subprocess.run([sys.executable, "-I", "-S", "-c", program()], capture_output=True, stdin=subprocess.DEVNULL)
    assert b"IndexError" in whole.stderr  # it has no arguments
    damaged = program().replace("c-", "d-", 1)
    broken = subprocess.run([sys.executable, "-I", "-S", "-c", damaged], capture_output=True, stdin=subprocess.DEVNULL)
    assert b"AssertionError" in broken.stderr
