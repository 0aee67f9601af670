"""What is left over in a tear-line: whatever was taken out is found, wherever it is put back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from detente.errors import Invalid
from detente.model import Step
from detente.rules.leftover import HIDDEN_MAX, left_over
from detente.rules.transform import TRACK, apply
from tests.unit.rules.test_transform import MARK, OTHER, REF, steps, track, vessel_object

NEW = "infrastructure--33333333-3333-4333-9333-333333333333"
NOW = "2026-02-01T00:00:00.000Z"


def torn(parent: dict[str, Any], *texts: str, **put: Any) -> dict[str, Any]:
    """A child as it should be, and then something put in."""
    child = apply(parent, steps(*texts), given=lambda one: one != OTHER).value
    return {**child, "id": NEW, "created": NOW, "modified": NOW, **put}


def found(parent: dict[str, Any], child: dict[str, Any], *texts: str) -> set[tuple[str, str]]:
    before = copy.deepcopy((parent, child))
    findings = left_over(parent, child, steps(*texts), given=lambda one: one != OTHER)
    assert (parent, child) == before
    return {(one.code, one.path) for one in findings}


PARENT = vessel_object(
    description="Told by Juan  García",
    labels=["tip", "radar picture"],
    latitude=12.123456,
    first_seen="2025-11-01T10:20:30Z",
    created_by_ref=OTHER,
    x_source={"handler_name": "K-17", "file_no": 4711.5, "seen": False},
    object_marking_refs=[MARK],
)
TEAR = (
    "remove description",
    "remove labels.[1]",
    "remove x_source",
    "coarsen-position latitude 100",
    "coarsen-time first_seen 3600000",
    "drop-references",
)


def test_clean_tear_line_has_nothing_left() -> None:
    assert found(PARENT, torn(PARENT, *TEAR), *TEAR) == set()


@pytest.mark.parametrize(
    ("put", "code", "path"),
    [
        ({"name": "A vessel, told by JUAN garcía."}, "left.text", "name"),
        ({"name": "Told by Juan Garc\u200b\u00eda"}, "left.text", "name"),
        ({"name": "Told by Juan Garci\u0301a"}, "left.text", "name"),
        ({"labels": ["from a radar picture"]}, "left.text", "labels.[0]"),
        (
            {"x_more": {"a": {"told by juan garcía": 1}}},
            "left.text",
            "x_more.a.told by juan garcía",
        ),
        (
            {"external_references": [{"source_name": "radar picture", "url": "u"}]},
            "left.text",
            "external_references.[0].source_name",
        ),
        (
            {"granular_markings": [{"selectors": ["name"], "marking_ref": OTHER}]},
            "left.text",
            "granular_markings.[0].marking_ref",
        ),
        ({"object_marking_refs": [OTHER]}, "left.text", "object_marking_refs.[0]"),
        ({"created_by_ref": OTHER}, "left.text", "created_by_ref"),
        ({"created_by_ref": OTHER}, "left.place", "created_by_ref"),
        ({"x_id": "tool--" + OTHER[10:]}, "left.text", "x_id"),
        ({"latitude": 12.123456}, "left.number", "latitude"),
        ({"x_lon": -12.123456}, "left.number", "x_lon"),
        ({"name": "at 12.1234560 north"}, "left.number", "name"),
        ({"x_n": 4711.5}, "left.number", "x_n"),
        ({"last_seen": "2025-11-01T10:20:30.000Z"}, "left.time", "last_seen"),
        ({"name": "seen at 2025-11-01T11:20:30+01:00"}, "left.time", "name"),
        ({"created": "2025-11-01T10:00:00Z"}, "left.version", "created"),
        ({"last_seen": "2025-11-01T10:00:00.000Z"}, "left.version", "last_seen"),
        ({"x_other": {"Handler_Name": "?"}}, "left.key", "x_other.Handler_Name"),
        ({"x_source": True}, "left.place", "x_source"),
        ({"x_ref": REF}, "left.parent", "x_ref"),
        ({"x_ref": REF[16:].replace("-", "")}, "left.parent", "x_ref"),
        ({"id": REF}, "left.parent", "id"),
        ({"id": "infrastructure--33333333-3333-5333-9333-333333333333"}, "left.id", "id"),
        (
            {"granular_markings": [{"selectors": ["description"], "marking_ref": MARK}]},
            "left.selector",
            "granular_markings.[0].selectors.[0]",
        ),
    ],
)
def test_what_was_taken_out_is_found_where_it_is(put: dict[str, Any], code: str, path: str) -> None:
    assert (code, path) in found(PARENT, torn(PARENT, *TEAR, **put), *TEAR)


def test_what_stix_prescribes_is_nobodys_words() -> None:
    """Else a tear-line could be refused for what nobody can take out of it."""
    parent = {
        **vessel_object(
            labels=["ship", "relationship", "2025", "type", "description", "accuracy"],
            description="d",
            x_year=2025,
            x_count=4111,
        ),
        "type": "relationship",
        "relationship_type": "uses",
        "source_ref": "identity--44444444-4111-4444-8444-444444444444",
        "start_time": "2025-11-01T10:20:30Z",
        "extensions": {TRACK: {"extension_type": "property-extension", "accuracy_m": 5}},
    }
    tear = ("remove labels", "remove x_year", "remove x_count", "coarsen-time start_time 60000")
    child = torn(parent, *tear) | {
        "id": "relationship" + NEW[14:],
        "created": "2025-12-01T00:00:00Z",
    }
    found_now = found(parent, child, *tear)
    # The year is in a time that its author has chosen; that is for the author to mend.
    assert found_now == {("left.text", "start_time")}
    assert ("left.text", "x_ship") in found(parent, child | {"x_ship": 1}, *tear)
    assert ("left.key", "extensions.a.x_year") in found(
        parent, child | {"extensions": {"a": {"x_year": 1}}}, *tear
    )


def test_words_of_a_finding_do_not_tell_the_thing() -> None:
    child = torn(PARENT, *TEAR, name="Told by Juan García, 12.123456", x_source={"handler_name": 1})
    for one in left_over(PARENT, child, steps(*TEAR), given=lambda one: one != OTHER):
        for secret in ("Juan", "12.123", "handler"):
            assert secret not in one.words


def test_replaced_words_are_searched_for_too() -> None:
    tear = ("replace name A fishing boat",)
    assert found(PARENT, torn(PARENT, *tear), *tear) == set()
    child = torn(PARENT, *tear, description="the MV ALPHA again")
    assert found(PARENT, child, *tear) == {("left.text", "description")}


def test_track_positions_and_times_are_searched_for() -> None:
    tear = ("coarsen-position - 500", "coarsen-time - 3600000")
    parent = track() | {"id": "sighting--44444444-4444-4444-8444-444444444444"}
    child = torn(parent, *tear) | {"id": "sighting" + NEW[14:]}
    assert found(parent, child, *tear) == set()
    child["extensions"][TRACK]["lat"][2] = 12.2345
    child["extensions"][TRACK]["lon"][0] = -71.987654
    assert found(parent, child, *tear) == {("left.number", f"extensions.{TRACK}.lon.[0]")}


def test_too_much_to_search_for_is_refused() -> None:
    parent = vessel_object(x_list=[f"text {n}" for n in range(HIDDEN_MAX + 1)])
    with pytest.raises(Invalid) as caught:
        found(parent, torn(parent, "remove x_list"), "remove x_list")
    assert caught.value.code == "transform.size"


words = st.text(st.sampled_from("abcdefghijk XYZé"), min_size=4, max_size=9).filter(
    lambda text: len(" ".join(text.split())) >= 4
)
telling = words | st.integers(1001, 9999).map(lambda n: n / 1000 if n % 10 else n + 0.5)
nested = st.recursive(
    telling,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from(["x_a", "x_b", "x_c"]), inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in _leaves(inner)]
    return (
        [leaf for inner in value for leaf in _leaves(inner)] if isinstance(value, list) else [value]
    )


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@drawn(nested, st.data())
def test_whatever_is_removed_is_found_if_it_is_put_back_anywhere(
    secret: Any, data: st.DataObject
) -> None:
    parent = vessel_object(name="?", x_secret=secret)
    one = data.draw(st.sampled_from(_leaves(secret)))
    where = data.draw(st.sampled_from(["same", "text", "list", "key", "extension", "reference"]))
    put: dict[str, Any] = {
        "same": {"x_secret": one},
        "text": {"description": f"so {one} it is"},
        "list": {"labels": ["none", str(one).upper()]},
        "key": {"x_map": {"deep": [{str(one): 1}]}},
        "extension": {"extensions": {TRACK: {"extension_type": "property-extension", "v": one}}},
        "reference": {"external_references": [{"source_name": str(one)}]},
    }[where]
    remove = [Step(do="remove", path="x_secret")]
    clean = torn(parent, "remove x_secret")
    assert left_over(parent, clean, remove, given=lambda _: True) == ()
    assert left_over(parent, {**clean, **put}, remove, given=lambda _: True) != ()
