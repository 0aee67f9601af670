"""Commitments: opened by exactly what was sealed, under one length of salt."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detente.errors import Invalid
from detente.proof import check_commitment, commit
from tests.unit.proof.kit import code_of, flips, refuses

SALT = hashlib.sha256(b"a salt").digest()
MEDIA = "application/stix+json;version=2.1"


def test_commitment_is_the_hmac_that_the_design_names() -> None:
    wanted = hmac.new(SALT, b"detente/commit/v1\0" + MEDIA.encode() + b"\0{}", "sha256").digest()
    assert commit(SALT, MEDIA, b"{}") == wanted
    check_commitment(wanted, SALT, MEDIA, b"{}")


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64, 65])
def test_salt_of_another_length_is_refused_in_both_directions(length: int) -> None:
    """HMAC pads a short key with zeros: 31 bytes and the same with a zero would be one salt."""
    salt = (SALT * 3)[:length]
    assert code_of(lambda: commit(salt, MEDIA, b"x")) == "sealed.salt"
    assert code_of(lambda: check_commitment(b"\0" * 32, salt, MEDIA, b"x")) == "sealed.salt"


def test_no_single_bit_of_salt_payload_media_or_commitment_may_change() -> None:
    payload = b"payload"
    good = commit(SALT, MEDIA, payload)
    for other in flips(SALT):
        assert refuses(check_commitment, good, other, MEDIA, payload)
    for other in flips(payload):
        assert refuses(check_commitment, good, SALT, MEDIA, other)
    for other in flips(good):
        assert refuses(check_commitment, other, SALT, MEDIA, payload)
    for at in range(len(MEDIA)):
        media = MEDIA[:at] + chr(ord(MEDIA[at]) ^ 1) + MEDIA[at + 1 :]
        assert refuses(check_commitment, good, SALT, media, payload)
    for wrong in (b"", good[:-1], good + b"\0"):
        assert refuses(check_commitment, wrong, SALT, MEDIA, payload)


def test_empty_payload_is_sealed_too_and_is_not_nothing() -> None:
    empty = commit(SALT, MEDIA, b"")
    check_commitment(empty, SALT, MEDIA, b"")
    assert refuses(check_commitment, empty, SALT, MEDIA, b"\0")
    assert refuses(check_commitment, empty, SALT, "", MEDIA.encode())


PARTS = st.text(st.sampled_from("ab\0/;"), max_size=4)


@given(one=PARTS, two=PARTS, first=PARTS, second=PARTS)
@settings(max_examples=300, deadline=None)
def test_media_type_and_payload_cannot_be_cut_in_two_ways(
    one: str, two: str, first: str, second: str
) -> None:
    """The byte 00 ends the media type, so none may stand in it."""
    made = []
    for media, payload in ((one, first), (two, second)):
        if "\0" in media:
            with pytest.raises(Invalid) as found:
                commit(SALT, media, payload.encode())
            assert found.value.code == "sealed.media"
            return
        made.append(commit(SALT, media, payload.encode()))
    assert (made[0] == made[1]) is ((one, first) == (two, second))
