"""What a partner's gateway answers when something is wrong, and what of it is believed."""

from __future__ import annotations

import json

import pytest

from detente.errors import Conflict, DetenteError, NotAuthorised, PeerError, Unavailable
from detente.ports import OtherSize
from detente.wire.courier import WORDS_MAX, _stated

HOSTILE = [
    b"",
    b"\xff\xfe",
    b"[" * 200_000,
    b'{"error":' * 100_000,
    b"null",
    b"[]",
    b'{"error":null}',
    b'{"error":{"code":1}}',
    b'{"error":{"code":"a","sentence":' + b"9" * 10_000 + b"}}",
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_an_error_that_cannot_be_read_is_the_partners_fault(data: bytes) -> None:
    found = _stated(500, data)
    assert type(found) is PeerError
    assert found.code == "peer.answer"


@pytest.mark.parametrize(
    ("status", "kind"), [(403, NotAuthorised), (409, Conflict), (503, Unavailable)]
)
def test_an_error_is_told_as_the_partners_and_not_at_any_length(
    status: int, kind: type[DetenteError]
) -> None:
    words = json.dumps({"error": {"code": "a.b", "sentence": "No" * 10_000}}).encode()
    found = _stated(status, words)
    assert type(found) is kind
    assert isinstance(found, DetenteError)
    assert found.code == "a.b"
    assert len(found.sentence) < WORDS_MAX + 50


@pytest.mark.parametrize("size", [0, 7, 2**53 - 1])
def test_a_witness_that_knows_another_size_is_heard(size: int) -> None:
    found = _stated(409, f"{size}\n".encode(), "text/x.tlog.size")
    assert isinstance(found, OtherSize)
    assert found.size == size


@pytest.mark.parametrize(
    ("status", "data", "media"),
    [
        (500, b"7\n", "text/x.tlog.size"),
        (409, b"7\n", "text/plain"),
        (409, b"7", "text/x.tlog.size"),
        (409, b"", "text/x.tlog.size"),
        (409, b"\n", "text/x.tlog.size"),
        (409, b"07\n", "text/x.tlog.size"),
        (409, b"-7\n", "text/x.tlog.size"),
        (409, b"+7\n", "text/x.tlog.size"),
        (409, b"9007199254740992\n", "text/x.tlog.size"),
        (409, b"9" * 5_000 + b"\n", "text/x.tlog.size"),
    ],
)
def test_no_other_answer_names_a_size(status: int, data: bytes, media: str) -> None:
    assert not isinstance(_stated(status, data, media), OtherSize)
