"""The HTTP edge against clients that misbehave; it still answers afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from detente.errors import Conflict
from detente.faces.http import Server, ServerSettings
from tests.unit.faces.kit import Site, play


async def talk(site: Site, data: bytes, *, more: bytes = b"") -> bytes:
    """Send bytes as they are; everything that comes back until the node closes."""
    host, port = site.address.removeprefix("http://").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        await writer.drain()
        if more:
            for _ in range(400):
                writer.write(more)
                await writer.drain()
        writer.write_eof()
        return await reader.read()
    except (ConnectionError, BrokenPipeError):
        # Cut off while it still wrote, a client may have lost the answer with the connection.
        with contextlib.suppress(ConnectionError):
            return await reader.read()
        return b""
    finally:
        writer.close()


async def still_answers(site: Site) -> None:
    async with site.client("K") as client:
        assert (await client.get("/healthz")).text == "EXERCISE ok"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"431"),
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\nHost: a\n\n", b"400"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", b"400"),
    ],
)
def test_a_malformed_request_is_refused(tmp_path: Path, data: bytes, status: bytes) -> None:
    async def story(site: Site) -> None:
        answer = await talk(site, data)
        assert answer.startswith(b"HTTP/1.1 " + status), answer[:100]
        await still_answers(site)

    play(tmp_path, story)


def test_an_announced_body_of_200_mb_is_refused_while_it_is_read(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        head = (
            b"POST /peer/v1/acts HTTP/1.1\r\nHost: a\r\nContent-Length: 200000000\r\n"
            b"Content-Type: application/json\r\n\r\n"
        )
        answer = await talk(site, head, more=b"x" * 500_000)
        assert answer.startswith(b"HTTP/1.1 413") or answer == b"", answer[:100]
        await still_answers(site)

    play(tmp_path, story)


def test_headers_and_bodies_that_never_end_are_given_up(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        host, port = site.address.removeprefix("http://").rsplit(":", 1)
        for start in (
            b"GET / HTTP/1.1\r\nHost: a\r\n",
            b"POST /peer/v1/acts HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
        ):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(start)
            answer = await asyncio.wait_for(reader.read(), 30)
            assert answer.startswith(b"HTTP/1.1 408"), answer[:60]
            writer.close()
        await still_answers(site)

    play(tmp_path, story, headers_ms=150, body_ms=150)


def test_the_api_wants_its_token_and_says_one_shape(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        async with site.client(None) as nobody:
            for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic eA=="}):
                answer = await nobody.get("/api/node", headers=headers)
                assert answer.status_code == 401
                assert set(answer.json()["error"]) == {"code", "sentence", "hint", "path"}
            token = site.node.folder.text("token")
            mine = {"authorization": f"Bearer {token}"}
            assert (await nobody.get("/api/node", headers=mine)).json()["party"] == "A"
            for path, body in (
                ("/api/clock", b"{"),
                ("/api/clock", b'{"now_ms":"1"}'),
                ("/api/directives", b"{}"),
                ("/api/agreements", b'{"payload":"","payloadType":"","signatures":[]}'),
                ("/api/peers", b'{"party":"x","agreement":"T1","address":"y","z":1}'),
            ):
                answer = await nobody.post(path, content=body, headers=mine)
                assert answer.status_code in (400, 404), (path, answer.text)
                assert answer.json()["error"]["code"]

    play(tmp_path, story)


def test_a_taken_address_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        async def story(site: Site) -> None:
            settings = ServerSettings(host="127.0.0.1", port=taken.getsockname()[1])
            with pytest.raises(Conflict, match="free address"):
                await Server(site.node.app(), settings).start()

        play(tmp_path, story)
