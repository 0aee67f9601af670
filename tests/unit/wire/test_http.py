"""The caller: which server is spoken to, and what counts as an answer."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from detente.errors import DetenteError, Invalid, PeerError, Unavailable
from detente.ports import Answer, Breaker, Call, Target
from detente.wire.http import HTTPCaller, _check_reached, _place, pin_of
from tests.unit.gateway.foreign import Authority, answer, foreign, never

T = TypeVar("T")


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"], autouse=True)
def loops(request: pytest.FixtureRequest) -> None:
    """The node runs on uvloop, whose transports are not asyncio's; tests of others on asyncio."""
    RUNNERS[:] = [request.param]


RUNNERS: list[Any] = []


def run(story: Coroutine[Any, Any, T]) -> T:
    found: T = RUNNERS[0](story)
    return found


async def get(target: Target, *, bytes_max: int = 100_000, **bounds: int) -> Answer:
    call = Call(target=target, method="GET", path="/x", answer_bytes_max=bytes_max)
    return await HTTPCaller(**bounds).call(call)


async def fails(target: Target, **more: int) -> DetenteError:
    with pytest.raises(DetenteError) as caught:
        await get(target, **more)
    return caught.value


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("ftp://127.0.0.1", "link.address"),
        ("https://", "link.address"),
        ("https://a:b@127.0.0.1", "link.address"),
        ("https://127.0.0.1/path", "link.address"),
        ("https://127.0.0.1:0", "link.address"),
        ("https://127.0.0.1:99999", "link.address"),
        ("http://192.0.2.1", "link.insecure"),
        ("http://localhost.example", "link.insecure"),
        ("http://127.0.0.1.example", "link.insecure"),
    ],
)
def test_an_address_that_is_none_or_in_the_clear_is_refused(address: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        HTTPCaller().check(Target(address=address))
    assert caught.value.code == code


def test_plain_http_to_this_machine_or_at_the_operators_word_is_taken() -> None:
    for address in ("http://127.0.0.1:1", "http://localhost", "http://[::1]:80"):
        HTTPCaller().check(Target(address=address))
    HTTPCaller().check(Target(address="http://192.0.2.1", insecure_http=True))


def test_a_name_of_this_machine_that_leads_elsewhere_is_refused() -> None:
    """What was really reached counts, before a byte is sent in the clear."""

    class Reached(asyncio.BaseTransport):
        def __init__(self, address: str) -> None:
            super().__init__({"peername": (address, 80)})

    target = Target(address="http://localhost")
    for address in ("127.0.0.1", "127.8.9.1", "::1"):
        _check_reached(Reached(address), target, _place(target))
    for address in ("192.0.2.7", "2001:db8::1", "fe80::1%eth0"):
        with pytest.raises(PeerError) as caught:
            _check_reached(Reached(address), target, _place(target))
        assert caught.value.code == "link.not-local"


def test_trust_without_tls_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        HTTPCaller().check(Target(address="http://127.0.0.1", pin="0" * 64))
    assert caught.value.code == "link.insecure"
    with pytest.raises(Invalid) as caught:
        HTTPCaller().check(Target(address="https://127.0.0.1", certificate="only.pem"))
    assert caught.value.code == "link.tls"


def test_an_answer_comes_whole_with_its_headers() -> None:
    async def story() -> None:
        async with foreign(answer(b"hello", 200, x_one="1")) as server:
            got = await get(Target(address=server.address))
            assert (got.status, got.body, got.headers["x-one"]) == (200, b"hello", "1")
            assert server.asked[0].headers["host"] == server.address.removeprefix("http://")

    run(story())


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\n\r\nabcde",
    ],
    ids=["chunked", "after an interim answer", "until the connection ends"],
)
def test_every_framing_of_an_answer_is_read(raw: bytes) -> None:
    async def story() -> None:
        async with foreign(raw) as server:
            assert (await get(Target(address=server.address))).body == b"abcde"

    run(story())


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "link.broken-off"),
        (b"", "link.broken-off"),
        (b"SSH-2.0-x\r\n\r\n", "link.no-http"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", "link.answer-size"),
        (b"HTTP/1.1 102 Processing\r\n\r\n" * 20, "link.no-http"),
        (answer(b"x" * 200_000), "link.answer-size"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000, "link.answer-size"),
        (answer(gzip.compress(b"\0" * 5_000_000), content_encoding="gzip"), "link.answer-size"),
        (answer(b"no gzip", content_encoding="gzip"), "link.encoding"),
        (answer(gzip.compress(b"abc")[:-4], content_encoding="gzip"), "link.encoding"),
        (answer(b"abc", content_encoding="br"), "link.encoding"),
    ],
)
def test_what_is_no_bounded_answer_is_refused_by_name(raw: bytes, code: str) -> None:
    async def story() -> None:
        async with foreign(raw) as server:
            assert (await fails(Target(address=server.address))).code == code

    run(story())


def test_unpacking_ends_at_the_bound() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)

    async def story() -> int:
        async with foreign(answer(bomb, content_encoding="gzip")) as server:
            tracemalloc.start()
            try:
                await fails(Target(address=server.address))
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    assert run(story()) < 10_000_000


def test_a_packed_answer_is_unpacked() -> None:
    async def story() -> None:
        async with foreign(answer(gzip.compress(b"abc"), content_encoding="gzip")) as server:
            assert (await get(Target(address=server.address))).body == b"abc"

    run(story())


def test_a_server_that_never_answers_is_given_up() -> None:
    async def story() -> None:
        async with foreign(never) as server:
            error = await fails(Target(address=server.address), answer_ms=50)
            assert (type(error), error.code) == (Unavailable, "link.late")

    run(story())


def test_a_redirect_is_an_answer_and_leads_nowhere() -> None:
    async def story() -> None:
        async with foreign() as other, foreign() as server:
            server.answers.append(answer(b"", 302, location=other.address + "/x"))
            assert (await get(Target(address=server.address))).status == 302
            assert (len(server.asked), other.connections) == (1, 0)

    run(story())


def test_a_header_with_a_line_break_is_refused_before_anything_is_sent() -> None:
    async def story() -> None:
        async with foreign() as server:
            call = Call(
                target=Target(address=server.address),
                method="GET",
                path="/x",
                headers=(("authorization", "Bearer a\r\nx: y"),),
                answer_bytes_max=1,
            )
            with pytest.raises(Invalid):
                await HTTPCaller().call(call)
            assert server.connections == 0

    run(story())


# --- TLS ------------------------------------------------------------------------------------


def test_a_server_is_taken_by_its_authority_or_by_the_pin_of_its_key(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls, der = authority.server()

    async def story() -> None:
        async with foreign(answer(b"1"), answer(b"2"), answer(b"3"), tls=tls) as server:
            for trust in (
                {"ca_file": str(authority.file)},
                {"pin": pin_of(der)},
                {"ca_file": str(authority.file), "pin": pin_of(der)},
            ):
                assert (await get(Target(address=server.address, **trust))).status == 200

    run(story())


def test_a_server_nobody_vouches_for_gets_no_byte_of_a_request(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls, _ = authority.server()
    _, _, other_der = authority.issue("other")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    unknown = Authority(stranger)

    async def story() -> None:
        async with foreign(tls=tls) as server:
            for trust, code in (
                ({}, "link.certificate"),
                ({"ca_file": str(unknown.file)}, "link.certificate"),
                ({"pin": pin_of(other_der)}, "link.pin-wrong"),
                (
                    {"ca_file": str(authority.file), "pin": pin_of(other_der)},
                    "link.pin-wrong",
                ),
            ):
                error = await fails(Target(address=server.address, **trust))
                assert (type(error), error.code) == (PeerError, code)
            assert server.asked == []

    run(story())


def test_a_certificate_of_ours_opens_a_server_that_asks_for_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls, _ = authority.server(wants_client=True)
    certificate, key, _ = authority.issue("client")

    async def story() -> None:
        async with foreign(answer(b"in"), tls=tls) as server:
            ca_file = str(authority.file)
            assert (await fails(Target(address=server.address, ca_file=ca_file))).code in (
                "link.broken-off",
                "link.unreachable",
            )
            target = Target(
                address=server.address,
                ca_file=ca_file,
                certificate=str(certificate),
                key=str(key),
            )
            assert (await get(target)).body == b"in"

    run(story())


# --- a send that is held --------------------------------------------------------------------


class Leave:
    """Gives leave for so many pieces, then no more."""

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces
        self.breaker: Breaker | None = None

    def opened(self, breaker: Breaker) -> None:
        self.breaker = breaker

    def stands(self) -> bool:
        self.pieces -= 1
        return self.pieces >= 0


def _post(address: str, size: int) -> Call:
    return Call(
        target=Target(address=address),
        method="POST",
        path="/x",
        chunks=(b"x" * size,),
        answer_bytes_max=1000,
    )


def test_a_send_without_leave_is_broken_off_before_the_piece() -> None:
    async def story() -> None:
        async with foreign() as server:
            watch = Leave(1)
            with pytest.raises(Unavailable) as caught:
                await HTTPCaller().call(_post(server.address, 200_000), watch)
            assert caught.value.code == "link.cut"
            await server.broken_off.wait()
            assert server.asked[0].body == b""  # it never had the whole

    run(story())


def test_a_send_that_is_cut_from_outside_ends_and_says_when_it_is_gone() -> None:
    async def story() -> None:
        async with foreign(never) as server:
            watch = Leave(100)
            task = asyncio.create_task(HTTPCaller().call(_post(server.address, 10), watch))
            await server.arrived.wait()
            assert watch.breaker is not None
            watch.breaker.cut()
            await watch.breaker.ended()
            with pytest.raises(Unavailable) as caught:
                await task
            assert caught.value.code == "link.cut"

    run(story())


def test_an_early_answer_ends_the_send() -> None:
    async def story() -> None:
        async with foreign() as server:
            server.early = answer(b"", 413)
            call = _post(server.address, 50_000_000)
            assert (await HTTPCaller().call(call, Leave(10_000))).status == 413
            await server.broken_off.wait()

    run(story())
