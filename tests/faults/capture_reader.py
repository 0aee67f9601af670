"""A reader that pulls a collection by TAXII at full speed, from the beginning again and again.

    python capture_reader.py PORT PATH NAME PASSWORD MARK OUT

Raw sockets and no waiting, so that it takes whatever the node gives. For each answer one line goes
to OUT: when its request was sent (ns), its status (0: broken off), how many bytes of body came,
whether MARK was among them.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import sys
from time import time_ns
from typing import TextIO
from urllib.parse import quote

TAKE_BYTES = 1 << 20


class Reader:
    """One connection at a time; a new one when the node ends it."""

    def __init__(self, port: int, path: str, login: str, mark: bytes, out: TextIO) -> None:
        self.port = port
        self.path = path
        self.mark = mark
        self.out = out
        self.login = base64.b64encode(login.encode()).decode()
        self.connection: socket.socket | None = None

    def ask(self, query: str) -> bytes:
        """The body of the next page; empty if there is none."""
        request = (
            f"GET {self.path}?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Basic {self.login}\r\n"
            "Accept: application/taxii+json;version=2.1\r\n\r\n"
        ).encode()
        status, body, sent_ns = 0, b"", time_ns()
        whole = False
        try:
            if self.connection is None:
                self.connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
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

    def _answer(self, connection: socket.socket) -> tuple[int, bytes, bool]:
        data = bytearray()
        size = None
        mark = 0
        try:
            while size is None or len(data) < size:
                got = connection.recv(TAKE_BYTES)
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
    port, path, name, password, mark, out = sys.argv[1:]
    parent = os.getppid()
    with open(out, "w", encoding="ascii") as lines:
        reader = Reader(int(port), path, f"{name}:{password}", mark.encode(), lines)
        query = ""
        while os.getppid() == parent:
            body = reader.ask(query)
            page = json.loads(body[: body.index(b',"objects"')] + b"}") if body[:8] == b'{"more":' else {}
            query = f"next={quote(page['next'])}" if page.get("more") else ""


if __name__ == "__main__":
    main()
