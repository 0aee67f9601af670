"""What hostile requests have found (`tests/faults/fuzz_run.py`), each kept as a test."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from detente.faces import peer
from detente.faces.http import Server, ServerSettings
from tests.unit.faces.kit import MEDIA, Site, answer_of, play
from tests.unit.faces.test_http import still_answers, talk

TAXII = {"title", "description", "error_code", "http_status"}
API = {"code", "sentence", "hint", "path"}


def head(site: Site, path: str, more: str = "", method: str = "GET") -> bytes:
    given = base64.b64encode(f"k:{site.passwords['K']}".encode()).decode()
    lines = f"{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {given}\r\n{more}\r\n"
    return lines.encode()


def operator(site: Site) -> dict[str, str]:
    return {"authorization": f"Bearer {site.node.folder.text('token')}"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("TRACE", "/taxii2/", 405), ("PROPFIND", "/taxii2/T1/collections/", 405),
        ("FOO", "/taxii2", 400), ("GET", "/taxii2/T1/..%2f/", 400), ("GET", "/taxii2/%0a/", 400),
        ("GET", "/taxii2/" + "a" * 3000, 400), ("GET", "/taxii2/?x=" + "a" * 9000, 400),
        ("POST", "/healthz", 405), ("GET", "/healthz/", 404), ("GET", "/api/node/", 404),
        ("GET", "/", 404), ("PUT", "/api/node", 405), ("GET", "/peer/v1/acts", 405),
        ("GET", "/witness/add-checkpoint", 405), ("GET", "/api/%2e%2e/", 400),
    ],
)  # fmt: skip
def test_what_no_route_takes_is_answered_in_the_shape_of_its_face(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    async def story(site: Site) -> None:
        answer = await talk(site, head(site, path, "Connection: close\r\n", method))
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
        assert b"\r\nlocation:" not in answer.lower()
        if method == "FOO":
            return  # No method of HTTP: refused before it is known what for.
        body = answer_of(_Body(answer.partition(b"\r\n\r\n")[2]))
        if path.startswith("/taxii2"):
            assert set(body) == TAXII
            assert body["http_status"] == str(status)
            assert MEDIA.encode() in answer
        else:
            assert set(body["error"]) == API
        assert (b"\r\nallow: " in answer) == (status == 405)

    play(tmp_path, story)


class _Body:
    """As much of an answer as ``answer_of`` looks at."""

    def __init__(self, content: bytes) -> None:
        self.content = content


@pytest.mark.parametrize(
    "second",
    [b"NONSENSE\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000],
)
def test_refusal_is_not_written_into_the_answer_under_way(tmp_path: Path, second: bytes) -> None:
    async def story(site: Site) -> None:
        # The first request still checks its password when the second is refused.
        assert await talk(site, head(site, "/taxii2/") + second) == b""
        await still_answers(site)

    play(tmp_path, story)


def test_answers_to_many_requests_at_once_end_quietly_with_the_connection(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async def story(site: Site) -> None:
        host, port = site.address.removeprefix("http://").rsplit(":", 1)
        for number in (1, 2, 10):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(head(site, "/taxii2/") * number + b"NONSENSE\r\n\r\n")
            await writer.drain()
            writer.transport.abort()
            await still_answers(site)

    play(tmp_path, story)
    told = capfd.readouterr()
    assert "unforeseen" not in told.out + told.err
    assert "Traceback" not in told.out + told.err


def test_connections_above_the_bound_are_told_to_come_back(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        host, port = site.address.removeprefix("http://").rsplit(":", 1)
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        refused = await talk(site, head(site, "/taxii2/"))
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in refused
        for reader, writer in idle:
            writer.write_eof()
            writer.close()
            await reader.read()
        await still_answers(site)

    play(tmp_path, story, requests_max=3)


def test_body_that_comes_byte_by_byte_is_given_up(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        host, port = site.address.removeprefix("http://").rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /peer/v1/acts HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        answer = b""
        for _ in range(500):
            writer.write(b"x")
            try:
                answer = await asyncio.wait_for(reader.read(1000), 0.02)
                break
            except TimeoutError:
                pass  # Nothing yet: the next byte.
        assert answer.startswith(b"HTTP/1.1 408 ")
        writer.close()
        await still_answers(site)

    play(tmp_path, story, body_ms=300)


def test_client_that_takes_nothing_is_cut_off() -> None:
    async def story() -> None:
        ended = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            connection = scope["extensions"]["detente.connection"]
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while not connection.gone():
                await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})
            ended.set()

        server = Server(app, ServerSettings(host="127.0.0.1", port=0, stall_ms=100))
        host, port = await server.start()
        # A small window, so that little lies on the way.
        reader, writer = await asyncio.open_connection(host, port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(ended.wait(), 30)
        writer.close()
        await server.stop(grace_ms=1000)
        assert not reader.at_eof()

    asyncio.run(story())


def test_bodies_of_unknown_senders_are_held_within_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(site: Site) -> None:
        async with site.client(None) as nobody:
            monkeypatch.setattr(peer, "HELD_BYTES_MAX", 1000)
            for path in ("/peer/v1/acts", "/witness/add-checkpoint"):
                for _ in range(3):
                    refused = await nobody.post(path, content=b"x" * 1001)
                    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                    assert refused.json()["error"]["code"] == "http.busy"
                    # What was held is given back each time.
                    assert (await nobody.post(path, content=b"x" * 999)).status_code == 400
            monkeypatch.undo()
            large = await nobody.post("/peer/v1/acts", content=b"x" * (peer.BODY_BYTES_MAX + 1))
            assert large.status_code == 413

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("clock", {"now_ms": 253_402_300_800_000}, "api.body"),
        ("clock", {"now_ms": 2**53 - 1}, "api.body"),
        ("clock", {"now_ms": -1}, "api.body"),
        ("ledger/export", {"out": "/tmp\0x"}, "export.place"),
        ("ledger/export", {"out": "/proc/nowhere"}, "export.place"),
        ("ledger/export", {"out": "/" + "a" * 300}, "export.place"),
    ],
)
def test_values_without_a_meaning_are_the_operators_mistake(
    tmp_path: Path, path: str, body: dict[str, Any], code: str
) -> None:
    async def story(site: Site) -> None:
        async with site.client(None) as client:
            answer = await client.post(f"/api/{path}", json=body, headers=operator(site))
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
            node = await client.get("/api/node", headers=operator(site))
            assert node.status_code == 200

    play(tmp_path, story)
