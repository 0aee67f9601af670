"""A foreign TAXII server that answers as a test says, well or badly, over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

MEDIA = "application/taxii+json;version=2.1"
UUID = "0f3a8f5e-9d0c-4a56-8a39-5d2f6a7b8c9d"
ROOT = "/lab/"
PATH = f"{ROOT}collections/{UUID}/"


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


Answer = bytes | Callable[["Foreign", Asked, asyncio.StreamWriter], Awaitable[bytes]]


def answer(
    body: bytes | dict[str, Any], status: int = 200, media: str = MEDIA, **headers: str
) -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Words", f"content-type: {media}", f"content-length: {len(raw)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


def page(
    objects: list[dict[str, Any]],
    *,
    more: bool = False,
    following: str | None = None,
    first: str = "2026-01-01T00:00:01Z",
    last: str = "2026-01-01T00:00:02Z",
) -> bytes:
    body: dict[str, Any] = {"more": more, "objects": objects}
    if following is not None:
        body["next"] = following
    dates = {"x_taxii_date_added_first": first, "x_taxii_date_added_last": last} if objects else {}
    return answer(body, **dates)


def status(
    state: str = "complete", failures: tuple[str, ...] = (), code: int = 202, **more: Any
) -> bytes:
    named = [{"id": one, "version": "", "message": f"will not have {one}"} for one in failures]
    return answer(
        {
            "id": UUID,
            "status": state,
            "total_count": 1,
            "success_count": 1,
            "failure_count": len(named),
            "failures": named,
            "pending_count": 0,
        }
        | more,
        status=code,
    )


@dataclass
class Foreign:
    """Answers requests from a list, in order; keeps what it was asked."""

    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    broken_off: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    address: str = ""
    #: Said before the body is read, as a server does that will not have so much.
    early: bytes = b""

    @property
    def url(self) -> str:
        return self.address + PATH

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            self.broken_off.set()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *rest = head.split("\r\n")
        method, target, _ = first.split(" ")
        parts = urlsplit(target)
        headers = {}
        for line in rest:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        asked = Asked(method, parts.path, query, headers)
        self.asked.append(asked)
        self.arrived.set()
        if self.early:
            writer.write(self.early)
            await writer.drain()
        asked.body = await reader.readexactly(int(headers.get("content-length", "0")))
        reply = self.answers.pop(0)
        writer.write(reply if isinstance(reply, bytes) else await reply(self, asked, writer))
        with contextlib.suppress(ConnectionError):
            await writer.drain()


async def never(_foreign: Foreign, _asked: Asked, _writer: asyncio.StreamWriter) -> bytes:
    await asyncio.Event().wait()
    return b""


@contextlib.asynccontextmanager
async def foreign(*answers: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Foreign]:
    made = Foreign(list(answers))
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await made.serve(reader, writer)
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    made.address = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield made
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


# --- certificates ---------------------------------------------------------------------------


@dataclass
class Authority:
    """A certificate authority of a test, and what it signs."""

    folder: Path
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def __post_init__(self) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        self.name = name
        self.certificate = (
            _builder(name, name, self.key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(False, False, False, False, False, True, True, False, False),
                critical=True,
            )
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        self.file = self.folder / "ca.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *, address: str = "127.0.0.1") -> tuple[Path, Path, bytes]:
        """Certificate, key, and the certificate in DER."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            _builder(subject, self.name, key)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]),
                critical=False,
            )
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return (*files, made.public_bytes(serialization.Encoding.DER))

    def server(self, name: str = "server", *, wants_client: bool = False) -> tuple[Any, bytes]:
        """A context to serve with, and the certificate in DER."""
        certificate, key, der = self.issue(name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.file)
        return context, der


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    from_ = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(from_)
        .not_valid_after(datetime.datetime(2090, 1, 1, tzinfo=datetime.UTC))
    )
