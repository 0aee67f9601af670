"""A line between the two capitals that can be listened to and disturbed.

W reaches B through this proxy, as through any network: it notes what passes and when, can lose
the receipts of W, and can call somebody between two answers.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

__all__ = ["Line"]


class Line:
    """The proxy. ``seen`` holds (monotonic time, path, bytes) of every answer that passed."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.lost: set[str] = set()
        self.seen: list[tuple[float, str, bytes]] = []
        self.after_answer: Callable[[str], None] | None = None
        line = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                line.carry(self)

            def log_message(self, *args: object) -> None:
                """Nothing is printed for a request."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        """Where W believes B to be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def carry(self, handler: BaseHTTPRequestHandler) -> None:
        """Bring one request to B and its answer back, or lose it."""
        body = handler.rfile.read(int(handler.headers.get("content-length", "0")))
        if handler.path in self.lost:
            handler.close_connection = True
            return
        place = urlsplit(self.target)
        there = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        try:
            there.request("POST", handler.path, body, {"content-type": "application/json"})
            answer = there.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            handler.close_connection = True
            return
        finally:
            there.close()
        self.seen.append((time.monotonic(), handler.path, data))
        handler.send_response(answer.status)
        handler.send_header("content-type", answer.headers.get("content-type", "text/plain"))
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
        if self.after_answer is not None:
            self.after_answer(handler.path)

    def carried(self, text: str, *, since: float = 0.0) -> int:
        """How many bytes of answers that contain this text passed after an instant."""
        wanted = text.encode()
        return sum(len(data) for at, _, data in self.seen if at >= since and wanted in data)

    def close(self) -> None:
        """Stop carrying."""
        self._server.shutdown()
        self._server.server_close()
