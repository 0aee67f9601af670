"""One load for every TAXII server: plain sockets, kept alive, and nothing but the standard.

What is measured is from the first byte of a request to the last byte of its answer. Objects are
counted in the answer after the clock has stopped.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import msgspec

from bench.peer_servers import Server

__all__ = ["RARE", "Ask", "Client", "Took", "TooSlow", "id_of", "repeat", "together", "written"]

OBJECT_BYTES = 1_000
MEDIA = "application/taxii+json;version=2.1"
BUFFER_BYTES = 8 * 1024 * 1024
IDLE_S_MAX = 5
#: One object in ten is of this type.
RARE = "malware"


class TooSlow(Exception):
    """An answer did not come within the time it was given."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One question. ``group``: questions that cost a server the same kind of work, so that it
    need not be asked all of them where one took too long. ``post``: objects in an envelope."""

    name: str
    group: str
    resource: str = "objects/"
    query: dict[str, str] = {}  # a constant
    post: int = 0
    clients: int = 1
    requests_max: int = 10_000


class Took(msgspec.Struct, frozen=True):
    """One answer: seconds, objects."""

    seconds: float
    count: int


def type_of(n: int) -> str:
    """Which type an object is of."""
    return RARE if n % 10 == 9 else "indicator"


def id_of(n: int) -> str:
    """The id of an object; a version 4 UUID that is the same for every server."""
    name = hashlib.sha256(n.to_bytes(8)).hexdigest()
    return f"{type_of(n)}--{name[:8]}-{name[8:12]}-4{name[13:16]}-8{name[17:20]}-{name[20:32]}"


def written(first: int, count: int) -> bytes:
    """An envelope of valid STIX objects of about 1 kB."""
    objects = []
    for n in range(first, first + count):
        one: dict[str, Any] = {
            "type": type_of(n),
            "spec_version": "2.1",
            "id": id_of(n),
            "created": "2026-01-01T00:00:00.000Z",
            "modified": "2026-01-01T00:00:00.000Z",
            "name": f"object {n}",
        }
        if one["type"] == RARE:
            one["is_family"] = False
        else:
            one["pattern"] = f"[ipv4-addr:value = '198.51.100.{n % 250}']"
            one["pattern_type"] = "stix"
            one["valid_from"] = "2026-01-01T00:00:00Z"
        one["description"] = "x" * (OBJECT_BYTES - len(json.dumps(one)) - 20)
        objects.append(one)
    return json.dumps({"objects": objects}, separators=(",", ":")).encode()


class Client:
    """A kept-alive connection to a server. Raises ``TooSlow``, and ``RuntimeError`` for an
    answer that is no success."""

    def __init__(self, server: Server, timeout_s: float) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._used = 0.0
        self._buffer = bytearray(BUFFER_BYTES)
        self._common = (
            f"host: {server.host}\r\naccept: {MEDIA}\r\nauthorization: {server.authorization}\r\n"
        )

    def request(self, ask: Ask, body: bytes = b"") -> bytes:
        """The bytes of a request."""
        path = self._server.path + ask.resource
        if ask.query:
            path += "?" + urllib.parse.urlencode(ask.query, safe="[],:-")
        head = f"{'POST' if ask.post else 'GET'} {path} HTTP/1.1\r\n{self._common}"
        if ask.post:
            head += f"content-type: {MEDIA}\r\ncontent-length: {len(body)}\r\n"
        return head.encode() + b"\r\n" + body

    def send(self, request: bytes) -> Took:
        """One request and its whole answer."""
        # A server may close what has been idle for long; that is not measured.
        if self._socket is None or time.monotonic() > self._used + IDLE_S_MAX:
            self.close()
            self._socket = self._connect()
        began = time.perf_counter()
        self._socket.settimeout(self._timeout_s)
        try:
            self._socket.sendall(request)
            start, end = self._receive(self._socket, began)
        except TimeoutError as error:
            self.close()
            raise TooSlow from error
        seconds = time.perf_counter() - began
        self._used = time.monotonic()
        if request[:1] == b"P":
            return Took(seconds, 0)
        return Took(seconds, self._buffer.count(b'"id"', start, end))

    def _connect(self) -> socket.socket:
        made = socket.create_connection((self._server.host, self._server.port))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def _receive(self, made: socket.socket, began: float) -> tuple[int, int]:
        """Where the body of the answer lies in the buffer."""
        room, filled, end, size = memoryview(self._buffer), 0, -1, 0
        while end < 0 or filled < end + 4 + size:
            left_s = began + self._timeout_s - time.perf_counter()
            if left_s <= 0:
                raise TimeoutError
            made.settimeout(left_s)
            got = made.recv_into(room[filled:])
            if not got:
                raise RuntimeError(f"{self._server.name} closed the connection")
            filled += got
            if end < 0:
                end = self._buffer.find(b"\r\n\r\n", 0, filled)
                size = self._size(bytes(self._buffer[:end]).lower()) if end >= 0 else 0
        if self._buffer[9:12] not in (b"200", b"202"):
            raise RuntimeError(f"{self._server.name}: {bytes(self._buffer[: min(filled, 800)])!r}")
        return end + 4, filled

    def _size(self, head: bytes) -> int:
        _, found, rest = head.partition(b"content-length: ")
        if not found:
            raise RuntimeError(f"{self._server.name}: expected a length, got {head[:300]!r}")
        return int(rest.split(b"\r\n")[0])

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def repeat(client: Client, ask: Ask, bodies: list[bytes], *, seconds: float) -> Iterator[Took]:
    """Ask again and again for so long, at least once."""
    end, done = time.perf_counter() + seconds, 0
    fixed = b"" if ask.post else client.request(ask)
    while not done or (time.perf_counter() < end and done < ask.requests_max):
        took = client.send(client.request(ask, bodies.pop()) if ask.post else fixed)
        yield Took(took.seconds, ask.post or took.count)
        done += 1


def together(clients: list[Client], ask: Ask, bodies: list[bytes], *, seconds: float) -> list[Took]:
    """Several clients at once; one answer that stands for all: the seconds, the objects."""
    counts: list[int] = []
    errors: list[BaseException] = []
    ready = threading.Barrier(len(clients) + 1)

    def work(client: Client) -> None:
        ready.wait()
        try:
            counts.append(sum(t.count for t in repeat(client, ask, bodies, seconds=seconds)))
        except (TooSlow, RuntimeError, OSError) as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in clients]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [Took(time.perf_counter() - began, sum(counts))]
