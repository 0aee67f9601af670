"""STIX in: bytes kept, ambiguity refused, invalidity told."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detente.errors import Invalid
from detente.wire.json import DEPTH_MAX, load, load_object
from detente.wire.schemas import validators
from detente.wire.stix import Cut, Limits, cut, version_of
from tests.shared import shared_data

UUID = "5f0c7a52-3f6e-4c7e-9d0a-0e3f4b1c2d01"
TIME = "2026-01-01T00:00:00.000Z"


def thing(**changed: Any) -> dict[str, Any]:
    return {
        "type": "infrastructure",
        "spec_version": "2.1",
        "id": f"infrastructure--{UUID}",
        "created": TIME,
        "modified": TIME,
        "name": "MV Example",
    } | changed


def one(raw: bytes | dict[str, Any], *, strict: bool = False) -> Cut:
    data = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return cut(b'{"type":"bundle","id":"x","objects":[' + data + b"]}", Limits(strict=strict))


def code_of(raw: bytes | dict[str, Any], *, strict: bool = False) -> str:
    done = one(raw, strict=strict)
    assert not done.objects
    return done.refusals[0].code


# --- bytes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ics-attack-18.1", "ics-attack-17.1", "mobile-attack-17.1"])
def test_every_real_object_keeps_its_bytes_or_has_a_reason(name: str) -> None:
    body = gzip.decompress(shared_data("stix", "attack", f"{name}.json.gz").read_bytes())
    whole = json.loads(body)["objects"]
    done = cut(body, Limits())
    assert len(done.objects) + len(done.refusals) == len(whole)
    assert all(refusal.code and refusal.sentence for refusal in done.refusals)
    assert not done.refusals
    for found in done.objects:
        assert found.raw in body
        assert json.loads(found.raw) == whole[found.index]


def test_the_idioms_are_taken_though_some_are_not_valid() -> None:
    taken, warned, refused = 0, 0, []
    for path in sorted(shared_data("stix", "oasis", "idioms-2.1").glob("*.json")):
        done = cut(path.read_bytes(), Limits())
        taken += len(done.objects)
        warned += sum(bool(found.warnings) for found in done.objects)
        refused += [refusal.code for refusal in done.refusals]
    assert taken > 400
    assert warned > 0
    assert len(refused) < taken // 50


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"bundle","id":"x","objects":[%s]}',
        b'{"more":false,"objects":[%s]}',
        b"[%s]",
        b"%s",
    ],
)
def test_bundle_envelope_array_and_single_object_are_known(body: bytes) -> None:
    raw = json.dumps(thing(), indent=1).encode()
    done = cut(body.replace(b"%s", raw), Limits())
    assert [found.raw for found in done.objects] == [raw]
    assert done.objects[0].version == TIME == version_of(raw)


# --- what two readers could read differently ----------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b'{"type":"infrastructure","type":"identity"}', "json.duplicate-key"),
        (b'{"a":{"b":1,"b":2}}', "json.duplicate-key"),
        (b'{"a":[{"b":1,"\\u0062":2}]}', "json.duplicate-key"),
        (b'{"a":1e400}', "json.malformed"),
        (b'{"a":-1e400}', "json.malformed"),
        (b'{"a":' + b"[" * 300 + b"]" * 300 + b"}", "json.depth"),
    ],
)
def test_an_ambiguous_object_is_refused_alone(raw: bytes, code: str) -> None:
    good = json.dumps(thing()).encode()
    done = cut(b"[" + raw + b"," + good + b"]", Limits())
    assert [refusal.code for refusal in done.refusals] == [code]
    assert [found.raw for found in done.objects] == [good]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"objects":[],"objects":[]}', "json.duplicate-key"),
        (b'{"type":"bundle","objects":[],"type":"bundle"}', "json.duplicate-key"),
        (b'{"objects":[{"a":NaN}]}', "json.malformed"),
        (b'{"objects":[{"a":Infinity}]}', "json.malformed"),
        (b'{"objects":[{"a":"\\ud800"}]}', "json.malformed"),
        (b'{"objects":[{"a":"\\udc00\\ud800"}]}', "json.malformed"),
        (b'{"objects":[{"a":"\xff"}]}', "json.utf8"),
        (b"[" * 10_000 + b"]" * 10_000, "json.depth"),
        (b"[" * 10_000, "json.depth"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "json.depth"),
        (b"", "json.malformed"),
        (b"12", "json.malformed"),
        (b'{"objects":{}}', "json.malformed"),
        (b'{"some":"thing"}', "stix.shape"),
    ],
)
def test_a_body_that_cannot_be_trusted_is_refused_whole(body: bytes, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        cut(body, Limits())
    assert refused.value.code == code


class Pairs(list[tuple[str, Any]]):
    """An object as its members in order, so that a key can stand twice."""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(st.sampled_from(["a", "b", "\u00e9", '"']), inner), max_size=4).map(
            Pairs
        )
    ),
    max_leaves=8,
)


def write(part: Any, *, escaped: bool, spaced: bool) -> str:
    """JSON text of a value, keys escaped or not, with blanks or not."""
    comma, colon = (", ", ": ") if spaced else (",", ":")

    def text(inner: Any) -> str:
        return write(inner, escaped=escaped, spaced=spaced)

    if isinstance(part, Pairs):
        pairs = [json.dumps(k, ensure_ascii=escaped) + colon + text(v) for k, v in part]
        return "{" + comma.join(pairs) + "}"
    if isinstance(part, list):
        return "[" + comma.join(text(inner) for inner in part) + "]"
    return json.dumps(part, ensure_ascii=escaped)


def exact(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


@given(value=VALUES, escaped=st.booleans(), spaced=st.booleans())
@settings(max_examples=300, deadline=None)
def test_the_fast_check_agrees_with_the_exact_one(
    value: Any,
    escaped: bool,  # given by name
    spaced: bool,  # given by name
) -> None:
    text = write(value, escaped=escaped, spaced=spaced).encode()
    try:
        wanted = json.loads(text, object_pairs_hook=exact)
    except ValueError:
        with pytest.raises(Invalid) as refused:
            load(text)
        assert refused.value.code == "json.duplicate-key"
    else:
        assert load(text) == wanted


def test_depth_is_bounded_exactly() -> None:
    assert load_object(b'{"a":' * DEPTH_MAX + b"1" + b"}" * DEPTH_MAX)
    with pytest.raises(Invalid):
        load_object(b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1))


# --- three outcomes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"type": "Infra Structure"}, "stix.type"),
        ({"type": None}, "stix.type"),
        ({"type": "bundle", "id": f"bundle--{UUID}"}, "stix.bundle"),
        ({"id": "infrastructure--1"}, "stix.id"),
        ({"id": f"identity--{UUID}"}, "stix.id"),
        ({"id": 5}, "stix.id"),
        ({"spec_version": "2.0"}, "stix.version"),
        ({"spec_version": None}, "stix.version"),
        ({"created": "yesterday"}, "stix.time"),
        ({"modified": "2026-13-01T00:00:00Z"}, "stix.time"),
        ({"modified": None}, "stix.time"),
        ({"object_marking_refs": "tlp"}, "stix.markings"),
        ({"object_marking_refs": ["tlp"]}, "stix.markings"),
    ],
)
def test_what_makes_an_object_unaddressable_is_refused(changed: dict[str, Any], code: str) -> None:
    assert code_of(thing(**changed)) == code


def test_other_breaches_are_warnings_unless_strict() -> None:
    wrong = thing(infrastructure_types="vessel")
    done = one(wrong)
    assert [w.code for w in done.objects[0].warnings] == ["stix.schema"]
    assert code_of(wrong, strict=True) == "stix.schema"
    backwards = one(thing(modified="2025-01-01T00:00:00.000Z")).objects[0]
    assert [w.code for w in backwards.warnings] == ["stix.modified"]
    assert one(thing()).objects[0].warnings == ()


def test_observables_and_custom_types_are_taken() -> None:
    observable = {"type": "ipv4-addr", "id": f"ipv4-addr--{UUID}", "value": "198.51.100.7"}
    assert one(observable).objects[0].version == ""
    custom = thing(type="x-mitre-asset", id=f"x-mitre-asset--{UUID}")
    assert one(custom).objects[0].type == "x-mitre-asset"


def test_markings_of_the_whole_and_of_parts_are_told_apart() -> None:
    whole, part = f"marking-definition--{UUID}", f"marking-definition--{UUID[:-1]}2"
    marked = thing(
        object_marking_refs=[whole],
        granular_markings=[{"marking_ref": part, "selectors": ["name"]}, {"lang": "es"}, 7],
    )
    found = one(marked).objects[0]
    assert found.marking_refs == (whole,)
    assert found.granular_marking_refs == (part, "unreadable")


def test_limits_hold() -> None:
    raw = json.dumps(thing()).encode()
    with pytest.raises(Invalid, match="objects"):
        cut(b"[" + b",".join([raw] * 3) + b"]", Limits(objects_max=2))
    with pytest.raises(Invalid, match="bytes"):
        cut(raw, Limits(body_bytes_max=len(raw) - 1))
    small = cut(b"[" + raw + b"]", Limits(object_bytes_max=len(raw) - 1))
    assert [refusal.code for refusal in small.refusals] == ["stix.object-size"]


def test_no_schema_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("went out to the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    validators.cache_clear()
    extension = {
        "type": "extension-definition",
        "spec_version": "2.1",
        "id": f"extension-definition--{UUID}",
        "created": TIME,
        "modified": TIME,
        "created_by_ref": f"identity--{UUID}",
        "name": "x",
        "schema": "https://example.com/schema.json",
        "version": "1.0",
        "extension_types": ["property-extension"],
    }
    assert one(extension).objects
    assert len(validators()) > 35


def test_orjson_still_refuses_what_the_check_relies_on() -> None:
    for text in (b'{"a":NaN}', b'{"a":1e999}', b'"\\ud800"', b'{"a":1,}', b'{"a":01}', b'"\x01"'):
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(text)
