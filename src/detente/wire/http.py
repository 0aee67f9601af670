"""HTTP to foreign servers: one request on a connection of its own, bounded in time and size.

A connection for each request, because a send that carries items is held by the gate: it must be
known which bytes go through which connection, it must be possible to reset that one and to know
when it is gone. So this client speaks through the event loop's own transports. The server is
checked before the first byte of a request: by certificate authorities, by the pin of its key, or,
for plain HTTP, by the address that was really reached. Redirects are not followed and no proxy of
the environment is used: a request and its credentials go where the operator said, or nowhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
import socket
import ssl
import struct
import zlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import httptools
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from detente.errors import Invalid, PeerError, Unavailable
from detente.ports import Answer, Breaker, Call, Target, Watch

__all__ = ["HTTPCaller", "pin_of"]

#: Status line and headers of an answer, in bytes.
HEAD_BYTES_MAX = 64 * 1024
#: A piece of a body is asked for leave and then written; few are under way at a time.
PIECE_BYTES = 64 * 1024
WRITE_BUFFER_BYTES = 64 * 1024
#: Interim answers (RFC 9110, 15.2) before the real one.
INTERIM_MAX = 8

_PIN = re.compile(r"\A[0-9a-f]{64}\Z")
_HEADER = re.compile(r"\A[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
_PATH = re.compile(r"\A/[\x21-\x7e]*\Z")


def pin_of(certificate_der: bytes) -> str:
    """The pin of a certificate: SHA-256 of its key's SubjectPublicKeyInfo in DER."""
    key = x509.load_der_x509_certificate(certificate_der).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """A target's address, taken apart."""

    tls: bool
    host: str
    port: int
    host_header: str


class HTTPCaller:
    """``ports.Caller``. ``connect_ms`` bounds reaching the server, TLS included; ``answer_ms``
    everything after that, to the last byte of the answer."""

    def __init__(self, *, connect_ms: int = 10_000, answer_ms: int = 120_000) -> None:
        self._connect_ms = connect_ms
        self._answer_ms = answer_ms

    def check(self, target: Target) -> None:
        """Refuse an address or a means of trust that could never work. Blocks: reads files."""
        place = _place(target)
        if place.tls:
            _context(target)

    async def call(self, call: Call, watch: Watch | None = None) -> Answer:
        """Make the request; see ``ports.Caller``."""
        head = _head(call)
        talk = await self._connect(call)
        try:
            async with asyncio.timeout(self._answer_ms / 1000):
                if watch is not None:
                    watch.opened(talk)
                await _send(talk, head, call, watch)
                await talk.answered
        except TimeoutError as error:
            raise Unavailable(
                "link.late", f"Expected an answer within {self._answer_ms} ms, got none."
            ) from error
        finally:
            await talk.close()
        body = await asyncio.to_thread(_unpacked, talk, call.answer_bytes_max)
        return Answer(status=talk.status, headers=talk.headers, body=body)

    async def _connect(self, call: Call) -> _Talk:
        target = call.target
        place = _place(target)
        context = await asyncio.to_thread(_context, target) if place.tls else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_ms / 1000):
                transport, talk = await loop.create_connection(
                    lambda: _Talk(call.answer_bytes_max),
                    place.host,
                    place.port,
                    ssl=context,
                    server_hostname=place.host if context else None,
                )
        except ssl.SSLCertVerificationError as error:
            raise PeerError(
                "link.certificate",
                f"Expected a certificate for {place.host} that holds, got: {error.verify_message}.",
                hint="Give the authority with --ca-file, or the key's pin with --pin.",
            ) from error
        except (OSError, TimeoutError) as error:  # errors of TLS and of names are OSErrors
            raise Unavailable(
                "link.unreachable",
                f"Expected to reach {target.address}, got {type(error).__name__}.",
            ) from error
        try:
            _check_reached(transport, target, place)
        except PeerError:
            await talk.close()
            raise
        return talk


def _place(target: Target) -> _Place:
    """Scheme, host and port; refuses what is no address of a server, and plain HTTP abroad."""
    try:
        parts = urlsplit(target.address)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _no_address(target) from error
    tls = parts.scheme == "https"
    extra = parts.username or parts.password or parts.query or parts.fragment
    bare = parts.path in ("", "/")
    if parts.scheme not in ("http", "https") or not host or extra or not bare:
        raise _no_address(target)
    if port == 0 or not host.isascii():
        raise _no_address(target)
    if not tls and not target.insecure_http and not _is_this_machine(host):
        raise Invalid(
            "link.insecure",
            f"Expected https, got plain HTTP to {host}.",
            hint="--insecure-http sends everything in the clear, passwords too.",
        )
    if not tls and (target.pin or target.ca_file or target.certificate):
        raise Invalid("link.insecure", "Expected https with a pin or certificate, got plain HTTP.")
    if bool(target.certificate) != bool(target.key):
        raise Invalid("link.tls", "Expected a certificate and its key, got only one of them.")
    if target.pin and not _PIN.match(target.pin):
        raise Invalid("link.pin", "Expected a pin of 64 lower-case hexadecimal digits.")
    return _Place(
        tls=tls, host=host, port=port or (443 if tls else 80), host_header=parts.netloc.lower()
    )


def _no_address(target: Target) -> Invalid:
    return Invalid(
        "link.address",
        f"Expected http(s)://HOST[:PORT], got {target.address[:200]!r}.",
        hint="Names and passwords never stand in an address; use --user and --password-file.",
    )


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _context(target: Target) -> ssl.SSLContext:
    """How the server is checked and who we are. Blocks: reads files."""
    try:
        context = ssl.create_default_context(cafile=target.ca_file or None)
        if target.pin and not target.ca_file:
            # The pin decides, in `_check_reached`, before anything is sent: TLS itself proves
            # that the server holds the pinned key.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if target.certificate:
            # A password would be asked for on a terminal that nobody sits at.
            context.load_cert_chain(target.certificate, target.key, password=_no_password)
    except (OSError, ValueError) as error:
        raise Invalid("link.tls", f"Expected PEM files that can be read, got: {error}.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _no_password() -> str:
    raise ValueError("a key under a password")


def _check_reached(transport: asyncio.BaseTransport, target: Target, place: _Place) -> None:
    """What was really reached, before a byte of the request is sent."""
    if target.pin:
        tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) or b""
        found = pin_of(certificate) if certificate else "none"
        if not hmac.compare_digest(found, target.pin):
            raise PeerError("link.pin-wrong", f"Expected a key with pin {target.pin}, got {found}.")
    if not place.tls and not target.insecure_http:
        # "localhost" is a name like any other: what counts is where it led.
        peer = transport.get_extra_info("peername")
        if not ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback:
            raise PeerError("link.not-local", f"Expected this machine, got {peer[0]}.")


def _head(call: Call) -> bytes:
    place = _place(call.target)
    if not _PATH.match(call.path):
        raise Invalid("link.path", "Expected a path that begins with a slash, without blanks.")
    lines = [f"{call.method} {call.path} HTTP/1.1", f"host: {place.host_header}"]
    for name, value in call.headers:
        if not _HEADER.match(value):
            raise Invalid("link.header", f"Expected plain text as header {name}.")
        lines.append(f"{name}: {value}")
    if call.method == "POST":
        lines.append(f"content-length: {sum(len(chunk) for chunk in call.chunks)}")
    lines += ["accept-encoding: gzip", "connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def _send(talk: _Talk, head: bytes, call: Call, watch: Watch | None) -> None:
    await talk.write(head)
    for piece in _pieces(call.chunks):
        if talk.answered.done():
            return  # answered early, as with 413: the rest is not wanted
        if watch is not None and not watch.stands():
            talk.cut()
            return
        await talk.write(piece)


def _pieces(chunks: tuple[bytes, ...]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), PIECE_BYTES):
            yield chunk[start : start + PIECE_BYTES]


class _Talk(asyncio.Protocol, Breaker):
    """One connection, one request, one answer."""

    def __init__(self, answer_bytes_max: int) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answer_bytes_max = answer_bytes_max
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._head_bytes = 0
        self._named_bytes = 0
        self._in_head = True
        self._interims = 0
        self._was_cut = False

    # --- for the gate ----------------------------------------------------------------------

    def cut(self) -> None:
        """Reset: a zero linger time makes the kernel discard what it has not sent, and ``abort``
        discards what it has not been given."""
        self._was_cut = True
        if self._transport is None or self._gone.is_set():
            return
        handle: socket.socket = self._transport.get_extra_info("socket")
        try:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass  # The socket is closed already, which is what is wanted.
        self._transport.abort()

    async def ended(self) -> None:
        """Return when the socket is closed: no byte can leave through it any more."""
        await self._gone.wait()

    # --- for the call ----------------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Write when there is room; after an answer or an end, nothing."""
        await self._writable.wait()
        assert self._transport is not None  # `create_connection` has returned
        if not self._transport.is_closing():
            self._transport.write(data)

    async def close(self) -> None:
        """Close and wait until it is closed."""
        if self.answered.done() and not self.answered.cancelled():
            self.answered.exception()  # an error nobody waited for is no news
        if self._transport is not None:
            self._transport.abort()
            await self._gone.wait()

    # --- from the event loop ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a stream connection has no other; uvloop's is of no class of asyncio's
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if self.answered.done():
            return
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._fail(cause if isinstance(cause, PeerError) else _no_http(error))
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX:
            self._fail(_too_large(HEAD_BYTES_MAX))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            if self._was_cut:
                self._fail(Unavailable("link.cut", "Expected leave to send on, got an order."))
            elif exc is None and not self._in_head and not self._framed():
                self.answered.set_result(None)  # such a body ends with the connection
            else:
                self._fail(Unavailable("link.broken-off", "Expected an answer, got an end."))
        self._gone.set()
        self._writable.set()

    def _framed(self) -> bool:
        return "content-length" in self.headers or "transfer-encoding" in self.headers

    def _fail(self, error: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)
        if self._transport is not None:
            self._transport.abort()

    # --- from the parser -------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self._named_bytes += len(name) + len(value)
        if self._named_bytes > HEAD_BYTES_MAX:
            raise _too_large(HEAD_BYTES_MAX)
        text = value.decode("latin-1").strip()
        known = self.headers.get(key := name.decode("latin-1").lower())
        self.headers[key] = text if known is None else f"{known}, {text}"

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= 200:  # below are interim answers
            self._in_head = False

    def on_body(self, body: bytes) -> None:
        if len(self.body) + len(body) > self._answer_bytes_max:
            raise _too_large(self._answer_bytes_max)
        self.body += body

    def on_message_complete(self) -> None:
        if self.status >= 200:
            if not self.answered.done():
                self.answered.set_result(None)
            return
        self._interims += 1
        if self._interims > INTERIM_MAX:
            raise PeerError("link.no-http", f"Expected an answer after {INTERIM_MAX} interim ones.")
        self.headers = {}


def _no_http(error: Exception) -> PeerError:
    return PeerError("link.no-http", f"Expected HTTP, got {type(error).__name__}.")


def _too_large(bytes_max: int) -> PeerError:
    return PeerError("link.answer-size", f"Expected at most {bytes_max} bytes, got more.")


def _unpacked(talk: _Talk, bytes_max: int) -> bytes:
    """The body without its packing; unpacking ends at the bound, however small the packed body."""
    packing = talk.headers.get("content-encoding", "identity").lower()
    if packing == "identity":
        return bytes(talk.body)
    if packing not in ("gzip", "x-gzip"):
        raise PeerError("link.encoding", f"Expected gzip or nothing, got {packing[:40]!r}.")
    unpack = zlib.decompressobj(wbits=31)
    try:
        body = unpack.decompress(bytes(talk.body), bytes_max + 1)
    except zlib.error as error:
        raise PeerError("link.encoding", f"Expected gzip, got: {error}.") from error
    if len(body) > bytes_max:
        raise _too_large(bytes_max)
    if not unpack.eof or unpack.unused_data:
        raise PeerError("link.encoding", "Expected one whole gzip body, got a part or more.")
    return body
