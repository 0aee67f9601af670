"""Watches what leaves a port on loopback, from outside the process that serves it.

``Tap`` takes every packet the kernel sends from the port, with the kernel's time. ``Streams``
puts the packets of each connection together into HTTP answers and knows which of them carried
covered content; so it can be said of every byte after an instant what it belonged to. It errs to
the strict side: of an answer with one covered object all bytes count as covered, and so do those
of an answer that was broken off before it could be seen what is in it.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Answer", "Incomplete", "Streams", "Tap"]

_SO_ATTACH_FILTER, _SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 26, 33, 35
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
_ETH_P_IP = 0x0800
#: Only who asks for all protocols is shown what goes out.
_ETH_P_ALL = 3
#: Packets that wait to be looked at, in bytes; a packet that found no room is counted.
_ROOM_BYTES = 256 * 1024 * 1024
#: The largest packet on loopback, with room to spare.
_PACKET_BYTES_MAX = 128 * 1024
_HEAD_BYTES_MAX = 64 * 1024
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16


class Incomplete(Exception):
    """The capture missed something, so it proves nothing."""


@dataclass
class Answer:
    """One HTTP answer: where its bytes lie in the stream, counted from the stream's start, and
    what was seen in it. ``size`` is known once its head is complete."""

    begin: int
    at_ns: int
    head: bytearray = field(default_factory=bytearray)
    size: int | None = None
    status: int = 0
    covered: bool = False
    done_ns: int | None = None
    tail: bytes = b""


@dataclass
class _Stream:
    """What the node sent on one connection."""

    first: int
    end: int = 0
    closed: bool = False
    answers: list[Answer] = field(default_factory=list)
    packets: list[tuple[int, int, int]] = field(default_factory=list)


class Streams:
    """Packets of all connections of a port, by the client's port. ``marks``: what shows, wherever
    it occurs in an answer, that the answer carries covered content."""

    def __init__(self, marks: tuple[bytes, ...]) -> None:
        self._marks = marks
        self._reach = max(len(mark) for mark in marks) - 1
        #: None: not an answering node but some other process, which asks from the same port.
        self._open: dict[int, _Stream | None] = {}
        self._all: list[tuple[int, _Stream]] = []
        self._lock = threading.Lock()
        #: A running count, cheap to ask for: bytes sent in answers that are covered so far.
        self.flowed = 0

    def take(self, at_ns: int, segment: bytes) -> None:
        """One TCP segment from the node's port."""
        _, port, seq, _, offset, flags = struct.unpack_from("!HHIIBB", segment)
        payload = segment[(offset >> 4) * 4 :]
        with self._lock:
            if flags & _SYN and not flags & _ACK:
                self._open[port] = None
                return
            if flags & _SYN:
                stream = _Stream(first=(seq + 1) & 0xFFFFFFFF)
                self._open[port] = stream
                self._all.append((port, stream))
                return
            known = self._open.get(port)
            if known is None:
                if payload and port not in self._open:
                    raise Incomplete(f"a connection to port {port} whose start was not seen")
                return
            if payload:
                self._put(known, at_ns, (seq - known.first) & 0xFFFFFFFF, payload)
            if flags & (_FIN | _RST):
                _close(known)

    def _put(self, stream: _Stream, at_ns: int, start: int, payload: bytes) -> None:
        stream.packets.append((at_ns, start, start + len(payload)))
        if start > stream.end:
            raise Incomplete(f"bytes {stream.end} to {start} of a stream were not seen")
        # What was sent before is known already; as a packet it counts all the same.
        fresh = payload[stream.end - start :]
        while fresh:
            fresh = self._feed(stream, at_ns, fresh)

    def _feed(self, stream: _Stream, at_ns: int, data: bytes) -> bytes:
        """Give bytes to the answer they belong to; what is left belongs to the next."""
        if not stream.answers or stream.answers[-1].done_ns is not None:
            stream.answers.append(Answer(begin=stream.end, at_ns=at_ns))
        answer = stream.answers[-1]
        if answer.size is None:
            answer.head += data
            mark = answer.head.find(b"\r\n\r\n")
            if mark < 0:
                if len(answer.head) > _HEAD_BYTES_MAX:
                    raise Incomplete("an answer whose head has no end")
                stream.end += len(data)
                return b""
            had = len(answer.head) - len(data)
            del answer.head[mark + 4 :]
            _read_head(answer)
            stream.end += len(answer.head) - had
            data = data[len(answer.head) - had :]
        assert answer.size is not None  # _read_head has set it
        part = data[: answer.begin + answer.size - stream.end]
        if not answer.covered and part:
            seen = answer.tail + part
            answer.covered = any(mark in seen for mark in self._marks)
            answer.tail = seen[-self._reach :]
        if answer.covered:
            self.flowed += len(part)
        stream.end += len(part)
        if stream.end == answer.begin + answer.size:
            answer.done_ns = at_ns
        return data[len(part) :]

    # --- questions -------------------------------------------------------------------------

    def answers(self, port: int) -> list[Answer]:
        """The answers on the newest connection to a client's port."""
        with self._lock:
            stream = self._open.get(port)
            return list(stream.answers) if stream else []

    def covered_bytes(self, since_ns: int, until_ns: int | None = None) -> int:
        """Bytes of covered answers that were sent after one instant and not after another."""
        with self._lock:
            return sum(
                _overlap(stream, packet)
                for _, stream in self._all
                for packet in stream.packets
                if packet[0] > since_ns and (until_ns is None or packet[0] <= until_ns)
            )

    def other_bytes(self, since_ns: int) -> int:
        """All other bytes that were sent after an instant."""
        with self._lock:
            total = sum(
                end - start
                for _, stream in self._all
                for at_ns, start, end in stream.packets
                if at_ns > since_ns
            )
        return total - self.covered_bytes(since_ns)

    def forget(self) -> None:
        """Drop what has ended: connections, answers and their packets."""
        with self._lock:
            self._all = [(port, stream) for port, stream in self._all if not stream.closed]
            for _, stream in self._all:
                stream.answers = [a for a in stream.answers if a.done_ns is None]
                begin = min((a.begin for a in stream.answers), default=stream.end)
                stream.packets = [p for p in stream.packets if p[2] > begin]


def _read_head(answer: Answer) -> None:
    lines = bytes(answer.head).split(b"\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in lines[1:] if b": " in line)
    if not lines[0].startswith(b"HTTP/1.1 ") or b"content-length" not in fields:
        raise Incomplete(f"expected an answer of known length, got {lines[0]!r}")
    answer.status = int(lines[0][9:12])
    answer.size = len(answer.head) + int(fields[b"content-length"])


def _close(stream: _Stream) -> None:
    stream.closed = True
    last = stream.answers[-1] if stream.answers else None
    # It may be that only the head had come, or the frame around the first object.
    if last is not None and last.done_ns is None and last.status in (0, 200):
        last.covered = True


def _overlap(stream: _Stream, packet: tuple[int, int, int]) -> int:
    _, start, end = packet
    found = 0
    for answer in stream.answers:
        if answer.covered:
            stop = stream.end if answer.size is None else answer.begin + answer.size
            found += max(0, min(end, stop) - max(start, answer.begin))
    return found


class Tap:
    """Every packet that the kernel sends from a port on loopback, into ``take``. Needs the right
    to open raw sockets."""

    def __init__(self, port: int, take: Callable[[int, bytes], None]) -> None:
        self._take = take
        # It hears nothing before it is bound, so nothing passes by the filter.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._filter(port)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM_BYTES)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.bind(("lo", _ETH_P_ALL))
        self._socket.settimeout(0.1)
        self._ended = threading.Event()
        self.failure: Exception | None = None
        self.packets = 0
        self._thread = threading.Thread(target=self._run, name="tap", daemon=True)
        self._thread.start()

    def _filter(self, port: int) -> None:
        """In the kernel: outgoing, not the copy that comes in again; IPv4, TCP, from the port."""
        outgoing, tcp = 4, 6
        program = (
            (0x30, 0, 0, 0xFFFFF004),  # load the packet's type
            (0x15, 0, 8, outgoing),
            (0x28, 0, 0, 12),  # the protocol above Ethernet
            (0x15, 0, 6, _ETH_P_IP),
            (0x30, 0, 0, 23),  # the protocol above IP
            (0x15, 0, 4, tcp),
            (0xB1, 0, 0, 14),  # skip the IP header
            (0x48, 0, 0, 14),  # the source port
            (0x15, 0, 1, port),
            (0x06, 0, 0, 0x40000),  # all of it
            (0x06, 0, 0, 0),  # none of it
        )
        code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
        given = struct.pack("HL", len(program), ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, given)

    def _run(self) -> None:
        room = socket.CMSG_SPACE(16)
        try:
            while not self._ended.is_set():
                try:
                    packet, ancillary, flags, _ = self._socket.recvmsg(_PACKET_BYTES_MAX, room)
                except TimeoutError:
                    continue
                if flags & socket.MSG_TRUNC or not ancillary:
                    raise Incomplete("a packet was cut short, or has no time")
                seconds, nanos = struct.unpack("ll", ancillary[0][2])
                header = 14 + (packet[14] & 15) * 4
                end = 14 + struct.unpack_from("!H", packet, 16)[0]
                # A packet that the kernel has not cut into segments may say 0.
                segment = packet[header:] if end == 14 else packet[header:end]
                self.packets += 1
                self._take(seconds * 1_000_000_000 + nanos, segment)
        except Exception as error:  # noqa: BLE001  # told to the one who asks whether all is well
            self.failure = error

    def check(self) -> None:
        """Raise ``Incomplete`` if anything went past; asking counts from anew."""
        if self.failure is not None:
            raise Incomplete(repr(self.failure)) from self.failure
        counts = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        dropped = struct.unpack("II", counts)[1]
        if dropped:
            raise Incomplete(f"{dropped} packets found no room")

    def close(self) -> None:
        """End the thread and the socket."""
        self._ended.set()
        self._thread.join()
        self._socket.close()
