"""A stop is a stop on the wire: after an order is answered, no covered byte leaves the node. A
short form of the run, with the packets of the kernel; `make capture-test` is the long one. What
judges the packets is tested with packets made here."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.faults.run_faults import run_alone
from tests.faults.wire_watch import Incomplete, Streams

ROUNDS = 3
MARK = b"0123456789abcdef"
PORT, FIRST = 40_000, 0xFFFFFFF0  # so near the end that the numbers of the bytes wrap
COVERED = b"x" * 20 + MARK * 20
OTHER = b"y" * 300


def may_capture() -> bool:
    """Whether this process may open raw sockets."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except (AttributeError, PermissionError):
        return False
    return True


@pytest.mark.capture
@pytest.mark.slow
@pytest.mark.skipif(not may_capture(), reason="needs root or CAP_NET_RAW")
def test_no_covered_byte_leaves_after_the_answer() -> None:
    summary = run_alone("capture_run.py", rounds=ROUNDS, seed=20251123)
    assert summary["ok"], summary
    assert summary["rounds"] == ROUNDS
    assert summary["covered_bytes_after_the_answer"] == 0
    assert summary["covered_bytes_in_the_50_ms_before"]["least"] > 0
    assert summary["other_bytes_after_the_answer"] > 0


class Wire:
    """Packets of one connection, one every microsecond."""

    def __init__(self) -> None:
        self.streams = Streams((MARK,))
        self.now = 0
        self.sent = 0
        self.put(b"", flags=0x12, at=-1)

    def put(self, payload: bytes, *, flags: int = 0x10, at: int | None = None) -> int:
        """Send a packet, anew or (``at``) once more; its time."""
        start = self.sent if at is None else at
        seq = (FIRST + 1 + start) & 0xFFFFFFFF
        head = struct.pack("!HHIIBBHHH", 80, PORT, seq, 0, 5 << 4, flags, 0, 0, 0)
        self.now += 1_000
        self.streams.take(self.now, head + payload)
        if at is None:
            self.sent += len(payload)
        return self.now


def answer(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


def test_answer_that_goes_on_after_the_instant_counts_from_there() -> None:
    wire, whole = Wire(), answer(COVERED)
    instant = wire.put(whole[:100])
    wire.put(whole[100:250])
    wire.put(whole[250:])
    assert wire.streams.covered_bytes(instant) == len(whole) - 100
    assert wire.streams.covered_bytes(0, instant) == 100
    assert wire.streams.other_bytes(0) == 0


def test_bytes_count_though_the_packet_itself_holds_no_mark() -> None:
    wire, whole = Wire(), answer(COVERED + b"z" * 100)
    wire.put(whole[:-50])
    instant = wire.now
    wire.put(whole[-50:])
    assert wire.streams.covered_bytes(instant) == 50


def test_mark_across_two_packets_is_seen() -> None:
    wire, whole = Wire(), answer(OTHER + MARK)
    wire.put(whole[:-7])
    wire.put(whole[-7:])
    assert wire.streams.covered_bytes(0) == len(whole)


def test_answers_without_a_mark_count_as_other_also_beside_covered_ones() -> None:
    wire = Wire()
    wire.put(answer(COVERED) + answer(OTHER) + answer(b"{}", 403))
    assert wire.streams.covered_bytes(0) == len(answer(COVERED))
    assert wire.streams.other_bytes(0) == len(answer(OTHER) + answer(b"{}", 403))


def test_what_is_sent_again_counts_again() -> None:
    wire, whole = Wire(), answer(COVERED)
    instant = wire.put(whole)
    wire.put(whole[60:80], at=60)
    assert wire.streams.covered_bytes(instant) == 20


@pytest.mark.parametrize("sent", [10, len(answer(OTHER)) - 1])
def test_answer_broken_off_before_its_content_shows_counts_as_covered(sent: int) -> None:
    wire = Wire()
    wire.put(answer(OTHER)[:sent])
    wire.put(b"", flags=0x14)
    assert wire.streams.covered_bytes(0) == sent


def test_refusal_broken_off_does_not_count() -> None:
    wire = Wire()
    wire.put(answer(OTHER, 403)[:200])
    wire.put(b"", flags=0x14)
    assert (wire.streams.covered_bytes(0), wire.streams.other_bytes(0)) == (0, 200)


def test_forgetting_keeps_what_is_still_open() -> None:
    wire, whole = Wire(), answer(COVERED)
    wire.put(answer(COVERED))
    wire.put(whole[:100])
    wire.streams.forget()
    wire.put(whole[100:])
    assert wire.streams.covered_bytes(0) == len(whole)


def test_missed_bytes_make_the_capture_worthless() -> None:
    wire = Wire()
    wire.put(answer(OTHER)[:100])
    with pytest.raises(Incomplete, match="100 to 110"):
        wire.put(b"z", at=110)


def test_connection_that_was_there_before_makes_the_capture_worthless() -> None:
    streams = Streams((MARK,))
    head = struct.pack("!HHIIBBHHH", 80, PORT, 7, 0, 5 << 4, 0x10, 0, 0, 0)
    with pytest.raises(Incomplete, match="start was not seen"):
        streams.take(1, head + b"z")
