"""Courier: one request to a partner's gateway over HTTP, bounded in time and size."""

from __future__ import annotations

import httpx

from detente.errors import Conflict, Invalid, Missing, NotAuthorised, PeerError, Unavailable
from detente.ports import OtherSize

__all__ = ["HTTPCourier"]

ANSWER_BYTES_MAX = 256 * 1024 * 1024
CONNECT_S = 10.0
ANSWER_S = 120.0
#: Of an error that a partner states, so much is told on.
WORDS_MAX = 500
#: How a witness says which size it has cosigned (C2SP ``tlog-witness``): 16 digits and a newline.
SIZE_MEDIA = "text/x.tlog.size"
SIZE_BYTES_MAX = 17


class HTTPCourier:
    """Carries requests with one pooled client. Redirects are not followed and no proxy of the
    environment is used: a request goes where the operator said, or nowhere."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=20),
        )

    async def post(self, address: str, path: str, body: bytes) -> bytes:
        """The body of a 2xx answer. An error the partner states is raised as what it says."""
        try:
            async with self._client.stream(
                "POST", address + path, content=body, headers={"content-type": "application/json"}
            ) as answer:
                data = await _read(answer)
                if answer.is_success:
                    return data
                media = answer.headers.get("content-type", "").partition(";")[0].strip()
                raise _stated(answer.status_code, data, media)
        except httpx.InvalidURL as error:
            raise Invalid("peer.address", f"Expected an http address, got {address}.") from error
        except httpx.HTTPError as error:
            raise Unavailable(
                "peer.unreachable",
                f"Expected an answer of {address}, got {type(error).__name__}.",
                hint="It is asked again at the next exchange.",
            ) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()


async def _read(answer: httpx.Response) -> bytes:
    pieces = []
    size = 0
    async for piece in answer.aiter_bytes():
        size += len(piece)
        if size > ANSWER_BYTES_MAX:
            raise PeerError("peer.answer-size", f"Expected at most {ANSWER_BYTES_MAX} bytes.")
        pieces.append(piece)
    return b"".join(pieces)


def _stated(status: int, data: bytes, media: str = "") -> Exception:
    """The error a partner's gateway states, told as the partner's."""
    if status == 409 and media == SIZE_MEDIA and (size := _size(data)) is not None:
        return OtherSize(size)
    try:
        stated = httpx.Response(status, content=data).json()["error"]
        code, sentence = str(stated["code"])[:WORDS_MAX], str(stated["sentence"])[:WORDS_MAX]
    except (ValueError, KeyError, TypeError, RecursionError):
        code, sentence = "peer.answer", f"Expected success, got status {status}."
    classes: dict[int, type[Invalid | NotAuthorised | Missing | Conflict]] = {
        400: Invalid,
        401: NotAuthorised,
        403: NotAuthorised,
        404: Missing,
        409: Conflict,
    }
    kind = classes.get(status)
    if kind is not None:
        return kind(code, f"The partner says: {sentence}")
    if status == 503:
        return Unavailable(code, f"The partner says: {sentence}")
    return PeerError(code, f"The partner says: {sentence}")


def _size(data: bytes) -> int | None:
    """A size in its one decimal form with a newline behind it; None for anything else."""
    if len(data) > SIZE_BYTES_MAX or not data[:-1].isdigit() or data[-1:] != b"\n":
        return None
    size = int(data)
    return size if data == f"{size}\n".encode() and size < 2**53 else None
