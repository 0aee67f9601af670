"""Edge: one HTTP connection, with the limits the server itself lacks.

A subclass of uvicorn's httptools protocol: bounds on the header block and on connections, deadlines
for headers and body and for a client that takes nothing, ``Host`` required, the client's
certificate handed to the application, and a ``Connection`` by which the gate can reset it so that
unsent bytes never leave.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import termios
from array import array
from collections.abc import Callable
from fcntl import ioctl

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

__all__ = ["Connection", "EdgeLimits", "edge_protocol"]

#: Bytes of request line and headers together.
HEADER_BYTES_MAX = 16 * 1024
#: So much of a body is read and thrown away once its request has been answered, so that a client
#: that writes before it reads still sees the answer; then the connection is closed.
LEFT_BYTES_MAX = 1024 * 1024
#: What the transport may hold unsent before the application has to wait.
WRITE_BUFFER_BYTES = 64 * 1024
#: A body that comes more slowly than this, after its deadline, is given up.
BODY_BYTES_A_SECOND_MIN = 16 * 1024
_POLL_S_MAX = 0.05


class EdgeLimits:
    """Deadlines in milliseconds; ``stall_ms``: how long a client may take no byte at all.
    ``connections_max``: more are told to come back."""

    def __init__(
        self,
        *,
        headers_ms: int,
        body_ms: int,
        stall_ms: int = 60_000,
        connections_max: int = 10_000,
    ) -> None:
        self.headers_ms = headers_ms
        self.body_ms = body_ms
        self.stall_ms = stall_ms
        self.connections_max = connections_max


class Connection:
    """What the application may do with the connection under a request."""

    def __init__(self, transport: asyncio.Transport, limits: EdgeLimits) -> None:
        self._transport = transport
        self._socket: socket.socket = transport.get_extra_info("socket")
        self._limits = limits
        self._ended = asyncio.Event()
        self._calls: list[Callable[[], None]] = []
        self.heard = asyncio.Event()

    def gone(self) -> bool:
        """True if the connection is closing or closed."""
        return self._transport.is_closing()

    def cut(self) -> None:
        """Reset: a zero linger time makes the kernel discard what it has not sent, and ``abort``
        discards what it has not been given."""
        if self._ended.is_set():
            return
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass  # The socket is closed already, which is what is wanted.
        self._transport.abort()

    async def ended(self) -> None:
        """Return when the socket is closed: no byte can leave through it any more."""
        await self._ended.wait()

    def on_end(self, call: Callable[[], None]) -> None:
        """Have this called once when the socket is closed; at once if it is."""
        if self._ended.is_set():
            call()
        else:
            self._calls.append(call)

    def off_end(self, call: Callable[[], None]) -> None:
        """Not any more."""
        if call in self._calls:
            self._calls.remove(call)

    def closed(self) -> None:
        """Called once by the protocol when the transport is gone."""
        self._ended.set()
        self.heard.set()
        calls, self._calls = self._calls, []
        for call in calls:
            call()

    async def drained(self) -> bool:
        """Wait until the client's machine has acknowledged every byte; False if it never will.

        The client's next bytes prove it as well: it has read the answer to its end.
        """
        wait_s, stalled_s, before = 0.0005, 0.0, -1
        while not self._ended.is_set():
            left = self._transport.get_write_buffer_size() + self._unacknowledged()
            if left == 0:
                return True
            stalled_s = stalled_s + wait_s if left == before else 0.0
            if stalled_s * 1000 > self._limits.stall_ms:
                return False
            before = left
            self.heard.clear()
            try:
                await asyncio.wait_for(self.heard.wait(), wait_s)
            except TimeoutError:
                wait_s = min(wait_s * 2, _POLL_S_MAX)
        return False

    def _unacknowledged(self) -> int:
        count = array("i", [0])
        try:
            ioctl(self._socket.fileno(), termios.TIOCOUTQ, count)
        except (OSError, ValueError):
            return 1  # Not to be known: as if something were left.
        return count[0]


class _EdgeProtocol(HttpToolsProtocol):
    """See the module. ``limits`` is set by ``edge_protocol``."""

    limits: EdgeLimits

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the parent
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._connection = Connection(transport, self.limits)
        self._head_bytes = 0
        self._in_head = True
        self._left_bytes = 0
        self._body_until = 0.0
        self._running: RequestResponseCycle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._arm(self.limits.headers_ms)
        ssl_object = transport.get_extra_info("ssl_object")
        self._certificate = ssl_object.getpeercert(binary_form=True) if ssl_object else None

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self.resume_writing()
        self._part()
        super().connection_lost(exc)
        self._connection.closed()

    def pause_writing(self) -> None:
        # A client that asks and then takes nothing would hold its page, and its place in the
        # gate's register, for ever.
        super().pause_writing()
        self._move()
        self._stalled = self.loop.call_later(self.limits.stall_ms / 1000, self._connection.cut)

    def resume_writing(self) -> None:
        self._move()
        super().resume_writing()

    def _move(self) -> None:
        """The client takes bytes again."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def on_response_complete(self) -> None:
        # The next of the requests that came at once begins in there.
        self._running = self.pipeline[-1][0] if self.pipeline else None
        super().on_response_complete()

    def _part(self) -> None:
        """Tell the answer under way, and those behind it, that nobody reads them. The parent tells
        only the last request, and then an answer to one before it is written to what is closed."""
        waiting = [cycle for cycle, _ in self.pipeline]
        for cycle in [*waiting, *([self._running] if self._running else [])]:
            cycle.disconnected = True
            cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        self._connection.heard.set()
        if self._in_head:
            self._head_bytes += len(data)
        elif self._deadline is not None:
            # However often a byte comes, a body must keep a pace.
            self._body_until += len(data) / BODY_BYTES_A_SECOND_MIN
            self._arm(self.limits.body_ms, self._body_until)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEADER_BYTES_MAX:
            self._refuse(431, b"Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._left_bytes = True, 0
        self._arm(self.limits.headers_ms)
        self.scope["extensions"] = {
            "detente.connection": self._connection,  # type: ignore[dict-item]  # ours, beside the standard ones
            "tls": {"client_cert": self._certificate},
        }

    def on_headers_complete(self) -> None:
        hosts = sum(name == b"host" for name, _ in self.headers)
        size = len(self.url) + sum(len(n) + len(v) + 4 for n, v in self.headers)
        if size > HEADER_BYTES_MAX:
            self._refuse(431, b"Request Header Fields Too Large")
            return
        if hosts != 1:
            # RFC 9112, 3.2: a request without Host, or with two, is answered 400.
            self._refuse(400, b"Expected exactly one Host header")
            return
        if len(self.connections) > self.limits.connections_max:
            self._refuse(503, b"Service Unavailable", b"retry-after: 1\r\n")
            return
        self._in_head, self._head_bytes = False, 0
        self._body_until = self.loop.time() + self.limits.body_ms / 1000
        self._arm(self.limits.body_ms, self._body_until)
        super().on_headers_complete()
        if not self.pipeline:
            self._running = self.cycle

    def on_body(self, body: bytes) -> None:
        # A refused request has no cycle of its own, and its connection is closing.
        if self.transport.is_closing():
            return
        if self.cycle.response_complete:
            # Answered before it was read to its end: too large, or not to be read at all.
            self._left_bytes += len(body)
            if self._left_bytes > LEFT_BYTES_MAX:
                self.transport.close()
                return
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._disarm()
        if not self.transport.is_closing():
            super().on_message_complete()
        self._in_head, self._head_bytes = True, 0

    def send_400_response(self, _msg: str) -> None:
        self._refuse(400, b"Expected a request of HTTP/1.1")

    def _arm(self, ms: int, until: float = float("inf")) -> None:
        self._disarm()
        self._deadline = self.loop.call_at(min(self.loop.time() + ms / 1000, until), self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        if not self.transport.is_closing():
            self._refuse(408, b"Request Timeout")

    def _may_speak(self) -> bool:
        """False while an answer to an earlier request is under way: words written into it would be
        read as part of it."""
        running = self._running
        return running is None or not (self._in_head or self.pipeline or running.response_started)

    def _refuse(self, status: int, words: bytes, more: bytes = b"") -> None:
        if self.transport.is_closing():
            return
        if self._may_speak():
            head = b"HTTP/1.1 %d %b\r\ncontent-type: text/plain\r\n%b" % (status, words, more)
            self.transport.write(
                head + b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(words), words)
            )
        self._part()
        self.transport.close()


def edge_protocol(limits: EdgeLimits) -> type[HttpToolsProtocol]:
    """The protocol class with these limits, as uvicorn wants it."""
    members: dict[str, object] = {"limits": limits}
    return type("EdgeProtocol", (_EdgeProtocol,), members)
