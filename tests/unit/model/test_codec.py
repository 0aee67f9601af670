"""Canonical bytes: rfc8785 is the judge of what goes out; only the one form comes in."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from detente.errors import Invalid
from detente.model import Choice, Scope, canonical, decode, digest, encode

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
keys = st.text(st.characters(max_codepoint=127), max_size=6)
plain = st.recursive(
    texts | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.oracle
@given(plain)
def test_canonical_bytes_are_those_of_rfc_8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(plain)
def test_canonical_bytes_come_back_as_the_same_value(value: Any) -> None:
    assert json.loads(canonical(value)) == value


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (1.0, "document.value"),
        (None, "document.value"),
        (float("nan"), "document.value"),
        (b"bytes", "document.value"),
        ({"ñ": 1}, "document.key"),
        ({1: 1}, "document.key"),
        (2**53, "document.integer"),
        (-(2**53), "document.integer"),
        ("\ud800", "document.surrogate"),
        ([[1.5]], "document.value"),
    ],
)
def test_what_has_no_canonical_form_is_refused(value: Any, code: str) -> None:
    with pytest.raises(Invalid) as found:
        canonical(value)
    assert found.value.code == code


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_depth_ends_at_thirty_two_levels() -> None:
    assert canonical(nested(31))
    with pytest.raises(Invalid) as found:
        canonical(nested(32))
    assert found.value.code == "document.too_deep"


GOOD = b'{"kind":{"only":["PE","VT"]},"unit":{"except":["B-NAV"]}}'


def test_record_comes_back_from_its_bytes() -> None:
    scope = Scope(kind=Choice.of("VT", "PE"), unit=Choice.but("B-NAV"))
    assert encode(scope) == GOOD
    assert decode(GOOD, Scope) == scope
    assert digest(GOOD) == "".join(f"{byte:02x}" for byte in bytes.fromhex(digest(GOOD)))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "document.malformed"),
        (GOOD[:-1], "document.malformed"),
        (GOOD + b"x", "document.malformed"),
        (b"\xff" + GOOD, "document.malformed"),
        (b"\xef\xbb\xbf" + GOOD, "document.malformed"),
        (GOOD + b"\n", "document.not_canonical"),
        (b" " + GOOD, "document.not_canonical"),
        (GOOD.replace(b":{", b": {"), "document.not_canonical"),
        (b'{"unit":{"except":["B-NAV"]},"kind":{"only":["PE","VT"]}}', "document.not_canonical"),
        (b'{"kind":{"only":["PE","VT"]},"kind":{"only":["PE","VT"]}}', "document.not_canonical"),
        (b'{"kind":{}}', "document.not_canonical"),
        (b'{"kind":{"only":["\\u0050E"]}}', "document.not_canonical"),
        (b'{"kind":{"only":null}}', "document.not_canonical"),
        (b'{"kinds":{}}', "document.field"),
        (b'{"kind":{"only":["VT","PE"]}}', "document.field"),
        (b'{"kind":{"only":["VT","VT"]}}', "document.field"),
        (b'{"kind":{"only":[]}}', "document.field"),
        (b'{"kind":{"only":["VT"],"except":["PE"]}}', "document.field"),
        (b'{"kind":{"only":[7]}}', "document.field"),
        (b'{"direction":{"only":["sideways"]}}', "document.field"),
        (b'{"direction":{"except":["in","out"]}}', "document.field"),
        (b"[]", "document.field"),
    ],
)
def test_any_other_form_is_refused(data: bytes, code: str) -> None:
    kept = bytes(data)
    with pytest.raises(Invalid) as found:
        decode(data, Scope)
    assert found.value.code == code
    assert data == kept


def test_field_that_is_wrong_is_named_by_its_path() -> None:
    with pytest.raises(Invalid) as found:
        decode(b'{"kind":{"only":["PE",7]}}', Scope)
    assert found.value.path == "$.kind.only[1]"


def test_document_above_the_limit_is_refused_unread() -> None:
    with pytest.raises(Invalid) as found:
        decode(GOOD, Scope, bytes_max=len(GOOD) - 1)
    assert found.value.code == "document.too_large"
    assert decode(GOOD, Scope, bytes_max=len(GOOD))


@given(plain)
def test_no_bytes_but_canonical_ones_are_ever_read(value: Any) -> None:
    loose = json.dumps(value, indent=1, ensure_ascii=False).encode()
    try:
        record = decode(loose, Scope)
    except Invalid:
        return
    assert encode(record) == loose


def test_deep_nesting_is_refused_not_crashed_on() -> None:
    for data in (b"[" * 10_000 + b"]" * 10_000, b'{"kind":' * 10_000 + b"1" + b"}" * 10_000):
        with pytest.raises(Invalid):
            decode(data, Scope)


def test_encode_refuses_a_record_with_a_number_too_large() -> None:
    class Big(msgspec.Struct):
        number: int

    with pytest.raises(Invalid):
        encode(Big(2**53))
