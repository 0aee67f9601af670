"""A reader that pulls a collection by TAXII at full speed, from the beginning again and again.

    python capture_reader.py PORT PATH NAME PASSWORD MARK OUT [slow]

Raw sockets and no waiting, so that it takes whatever the node gives; a slow one leaves the node's
kernel with bytes it cannot send yet. For each answer one line goes
to OUT: when its request was sent (ns), its status (0: broken off), how many bytes of body came,
whether MARK was among them.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import sys
from time import sleep, time_ns
from typing import TextIO
from urllib.parse import quote

TAKE_BYTES = 1 << 20
#: A slow reader has room for little, takes little, and pauses: about 600 kB in a second. Its pages
#: are small enough for the node to hand them to its kernel at once.
SLOW_ROOM_BYTES, SLOW_TAKE_BYTES, SLOW_PAUSE_S, SLOW_LIMIT = 128 * 1024, 32 * 1024, 0.05, 300


class Reader:
    """One connection at a time; a new one when the node ends it."""

    def __init__(self, port: int, request: str, mark: bytes, out: TextIO, *, slow: bool) -> None:
        self.port = port
        self.request = request
        self.mark = mark
        self.out = out
        self.slow = slow
        self.connection: socket.socket | None = None

    def ask(self, query: str) -> bytes:
        """The body of the next page; empty if there is none."""
        if self.slow:
            query = f"limit={SLOW_LIMIT}&{query}"
        request = self.request.format(query=query).encode()
        status, body, sent_ns = 0, b"", time_ns()
        whole = False
        try:
            if self.connection is None:
                self.connection = self._connect()
            sent_ns = time_ns()
            self.connection.sendall(request)
            status, body, whole = self._answer(self.connection)
        except OSError:
            pass  # Broken off, which is what a stop does.
        if not whole and self.connection is not None:
            self.connection.close()
            self.connection = None
        covered = int(self.mark in body)
        self.out.write(f"{sent_ns} {status if whole else 0} {len(body)} {covered}\n")
        self.out.flush()
        return body if whole and status == 200 else b""

    def _connect(self) -> socket.socket:
        connection = socket.socket()
        connection.settimeout(30)
        if self.slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_ROOM_BYTES)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def _answer(self, connection: socket.socket) -> tuple[int, bytes, bool]:
        data = bytearray()
        size = None
        mark = 0
        try:
            while size is None or len(data) < size:
                if self.slow:
                    sleep(SLOW_PAUSE_S)
                got = connection.recv(SLOW_TAKE_BYTES if self.slow else TAKE_BYTES)
                if not got:
                    break
                data += got
                if size is None and (mark := data.find(b"\r\n\r\n")) >= 0:
                    head = bytes(data[:mark]).lower()
                    size = mark + 4 + int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        except OSError:
            pass  # What came before the reset counts as seen.
        if size is None:
            return 0, b"", False
        return int(data[9:12]), bytes(data[mark + 4 :]), len(data) == size


def main() -> None:
    """Pull until the one who started this reader ends it, or is gone."""
    port, path, name, password, mark, out, *more = sys.argv[1:]
    login = base64.b64encode(f"{name}:{password}".encode()).decode()
    request = (
        f"GET {path}?{{query}} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {login}\r\n"
        "Accept: application/taxii+json;version=2.1\r\n\r\n"
    )
    parent = os.getppid()
    with open(out, "w", encoding="ascii") as lines:
        reader = Reader(int(port), request, mark.encode(), lines, slow=more == ["slow"])
        query = ""
        while os.getppid() == parent:
            body = reader.ask(query)
            page = {}
            if body.startswith(b'{"more":'):
                page = json.loads(body[: body.index(b',"objects"')] + b"}")
            query = f"next={quote(page['next'])}" if page.get("more") else ""


if __name__ == "__main__":
    main()
