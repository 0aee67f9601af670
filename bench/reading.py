"""Readers as light as can be: one socket each, pages received into one buffer, nothing parsed but
the head. So what is measured is the node, not its client."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

from bench.place import AGREEMENT, COLLECTION, Place

__all__ = ["Reader", "read_together"]

PAGE = 1_000
BUFFER_BYTES = 16 * 1024 * 1024


class Reader:
    """A TAXII client of one party."""

    def __init__(self, place: Place, party: str) -> None:
        host, _, port = place.address.partition("//")[2].partition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = (
            f" HTTP/1.1\r\nhost: {host}\r\naccept: application/taxii+json;version=2.1\r\n"
            f"authorization: {place.login_of(party)}\r\n\r\n"
        )
        self._path = f"GET /taxii2/{AGREEMENT}/collections/{COLLECTION}/objects/?"
        self._buffer = bytearray(BUFFER_BYTES)

    def page(self, query: str) -> dict[str, Any]:
        """One page: what stands before its objects."""
        self._socket.sendall((self._path + query + self._head).encode())
        room, filled, end = memoryview(self._buffer), 0, -1
        while end < 0:
            filled += self._more(room[filled:])
            end = self._buffer.find(b"\r\n\r\n", 0, filled)
        head = bytes(self._buffer[:end]).lower()
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(bytes(self._buffer[:filled])[:500])
        size = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        while filled < end + 4 + size:
            filled += self._more(room[filled:])
        first = bytes(self._buffer[end + 4 : end + 4 + 2_000])
        found: dict[str, Any] = json.loads(first[: first.index(b',"objects"')] + b"}")
        return found

    def _more(self, room: memoryview) -> int:
        count = self._socket.recv_into(room)
        if not count:
            raise RuntimeError("the node closed the connection")
        return count

    def walk(self, query: str, pages_max: int) -> tuple[int, float]:
        """Read on until the end or so many pages; pages and seconds."""
        began, pages = time.perf_counter(), 0
        query = f"limit={PAGE}&{query}"
        while pages < pages_max:
            head = self.page(query)
            pages += 1
            if not head["more"]:
                break
            query = f"limit={PAGE}&next={head['next']}"
        return pages, time.perf_counter() - began


def read_together(readers: list[Reader], query: str, *, pages: int, seconds: float) -> float:
    """Objects a second of all readers, each reading the same stretch again and again."""
    counts: list[int] = []
    ready = threading.Barrier(len(readers) + 1)
    end = [0.0]

    def read(reader: Reader) -> None:
        done = 0
        ready.wait()
        while time.perf_counter() < end[0]:
            done += reader.walk(query, pages)[0]
        counts.append(done)

    threads = [threading.Thread(target=read, args=(one,)) for one in readers]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    end[0] = began + seconds
    ready.wait()
    for thread in threads:
        thread.join()
    return sum(counts) * PAGE / (time.perf_counter() - began)
