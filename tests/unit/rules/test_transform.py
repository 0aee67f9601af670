"""Transforms: tables of each step, what no step may touch, and that nothing else changes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from detente.errors import Invalid
from detente.model import Step
from detente.rules.coarsen import degrees, metres, moment
from detente.rules.transform import REQUIRED, TRACK, apply, check_steps, to_bytes
from detente.wire.schemas import _folder

REF = "infrastructure--11111111-1111-4111-8111-111111111111"
OTHER = "identity--22222222-2222-4222-8222-222222222222"
MARK = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"


def steps(*texts: str) -> list[Step]:
    """``do path [argument]``, as people would say it."""
    found = []
    for text in texts:
        do, path, argument, *_ = [*text.split(" ", 2), "", ""]
        fields: dict[str, Any] = {"path": "" if path == "-" else path}
        if do == "replace":
            fields["text"] = argument
        elif do == "coarsen-position":
            fields["cell_mdeg"] = int(argument)
        elif do == "coarsen-time":
            fields["span_ms"] = int(argument)
        found.append(Step(do=do, **fields))  # type: ignore[arg-type]  # a name from the tables
    return found


def done(
    value: dict[str, Any], *texts: str, given: Callable[[str], bool] = lambda _: True
) -> dict[str, Any]:
    before = copy.deepcopy(value)
    result = apply(value, steps(*texts), given=given)
    assert value == before
    return result.value


def refused(value: dict[str, Any], *texts: str, given: Any = lambda _: True) -> str:
    before = copy.deepcopy(value)
    with pytest.raises(Invalid) as caught:
        apply(value, steps(*texts), given=given)
    assert value == before
    return caught.value.code


def vessel_object(**fields: Any) -> dict[str, Any]:
    return {
        "type": "infrastructure",
        "spec_version": "2.1",
        "id": REF,
        "created": "2025-11-01T10:00:00.000Z",
        "modified": "2025-11-01T10:00:00.000Z",
        "name": "MV Alpha",
        **fields,
    }


def track(**fields: Any) -> dict[str, Any]:
    extension = {
        "extension_type": "property-extension",
        "base_time": "2025-11-01T10:20:30Z",
        "offsets_s": [0, 60, 3600.5],
        "lat": [12.123456, None, 12.2],
        "lon": [-71.987654, -71.9, 180],
        "accuracy_m": [10, 20, 90000],
        "source": "radar",
        **fields,
    }
    value = vessel_object(extensions={TRACK: extension})
    value |= {"type": "sighting", "id": "sighting" + REF[14:], "sighting_of_ref": REF}
    del value["name"]
    return value


def test_what_the_schemas_require_is_what_no_step_takes() -> None:
    files = {path.name: orjson.loads(path.read_bytes()) for path in _folder().rglob("*.json")}

    def required(schema: dict[str, Any]) -> set[str]:
        found = set(schema.get("required", ()))
        for one in schema.get("allOf", ()):
            name = one.get("$ref", "").rpartition("/")[2]
            found |= required(files[name] if name else one)
        return found

    kinds = {
        path.stem: required(files[path.name])
        - {"created", "id", "modified", "spec_version", "type"}
        for path in _folder().rglob("*.json")
        if path.parent.name in ("sdos", "sros", "observables")
        or path.stem in ("extension-definition", "language-content")
    }
    assert {kind: tuple(sorted(names)) for kind, names in kinds.items() if names} == REQUIRED


@pytest.mark.parametrize(
    ("step", "gone", "touched"),
    [
        ("remove description", {"description"}, 1),
        ("remove x_a.b", {"x_a"}, 1),  # the only one in it: an empty object is none
        ("remove labels.*", {"labels"}, 2),
        ("remove nothing.here", set(), 0),
        ("remove description.deeper", set(), 0),
        ("keep description", {"labels", "x_a"}, 1),
        ("keep x_a.b", {"labels", "description"}, 1),
        ("keep nothing", {"labels", "description", "x_a"}, 0),
    ],
)
def test_remove_and_keep(step: str, gone: set[str], touched: int) -> None:
    value = vessel_object(description="seen", labels=["a", "b"], x_a={"b": 1})
    result = apply(value, steps(step), given=lambda _: True)
    assert result.value == {key: inner for key, inner in value.items() if key not in gone}
    assert result.touched == (touched,)


def test_several_keeps_keep_what_any_names_and_the_markings_stay() -> None:
    value = vessel_object(
        description="d",
        labels=["a", "b"],
        x_a={"b": 1, "c": {"d": 2}},
        object_marking_refs=[MARK],
        external_references=[{"source_name": "s", "url": "u"}],
    )
    assert done(value, "keep labels.[1]", "keep x_a.c", "keep external_references.*.url") == (
        vessel_object(
            labels=["b"],
            x_a={"c": {"d": 2}},
            object_marking_refs=[MARK],
            external_references=[{"source_name": "s", "url": "u"}],
        )
    )


def test_paths_are_those_of_the_object_as_it_came() -> None:
    value = vessel_object(labels=["a", "b", "c"])
    assert done(value, "remove labels.[0]", "remove labels.[1]")["labels"] == ["c"]


def test_replace_puts_a_text_for_a_text_only() -> None:
    value = vessel_object(labels=["a", "b"], x_n=5)
    assert done(value, "replace name A vessel", "replace labels.* x") == vessel_object(
        name="A vessel", labels=["x", "x"], x_n=5
    )
    assert refused(value, "replace x_n five") == "transform.value"
    assert refused(value, "replace labels five") == "transform.value"


@pytest.mark.parametrize(
    "step",
    [
        "remove name",
        "remove id",
        "remove created",
        "remove *",
        "remove external_references.[0].source_name",
        "replace type tool",
        f"replace id {OTHER}",
        "replace modified 2020-01-01T00:00:00.000Z",
    ],
)
def test_what_stix_requires_stays(step: str) -> None:
    value = vessel_object(external_references=[{"source_name": "s", "url": "u"}])
    assert refused(value, step) == "transform.required"


@pytest.mark.parametrize(
    "step",
    [
        "remove object_marking_refs",
        "remove object_marking_refs.[0]",
        "remove granular_markings",
        f"replace granular_markings.*.marking_ref {MARK}",
    ],
)
def test_no_step_takes_a_marking(step: str) -> None:
    value = vessel_object(
        object_marking_refs=[MARK],
        granular_markings=[{"selectors": ["name"], "marking_ref": MARK}],
    )
    assert refused(value, step) == "transform.marking"


def test_granular_markings_follow_their_parts() -> None:
    red = {"marking_ref": MARK}
    value = vessel_object(
        description="d",
        labels=["a", "b", "c"],
        x_a={"b": "only"},
        granular_markings=[
            {"selectors": ["description"], **red},
            {"selectors": ["labels.[2]", "description", "labels.[0]"], **red},
            {"selectors": ["x_a"], **red},
            {"selectors": ["x_never"], **red},
        ],
    )
    assert done(value, "remove description", "remove labels.[0]", "remove x_a.b")[
        "granular_markings"
    ] == [{"selectors": ["labels.[1]"], **red}, {"selectors": ["x_never"], **red}]
    alone = vessel_object(
        description="d", granular_markings=[{"selectors": ["description"], **red}]
    )
    assert done(alone, "remove description") == vessel_object()


@pytest.mark.parametrize(
    ("value", "cell", "most", "expected"),
    [
        (12.123456, 100, 90, 12.1),
        (-71.987654, 100, 180, -72.0),
        (12.15, 100, 90, 12.2),  # halves go to the even neighbour
        (12.25, 100, 90, 12.2),
        (0.1, 100, 90, 0.1),
        (89.99, 7000, 90, 84.0),  # 91 would be no latitude
        (180, 1000, 180, 180.0),
        (-180, 70_000, 180, -140.0),
        (10.0004, 1, 90, 10.0),
    ],
)
def test_degrees_go_to_the_grid(value: float, cell: int, most: int, expected: float) -> None:
    assert degrees(value, cell, most=most) == expected
    assert degrees(expected, cell, most=most) == expected


@drawn(st.floats(-90, 90), st.integers(1, 90_000))
def test_a_coarser_position_says_no_more_than_its_grid(value: float, cell: int) -> None:
    found = degrees(value, cell, most=90)
    assert -90 <= found <= 90
    assert round(found * 1000) % cell == 0
    assert repr(found) == repr(round(found, 3))
    if abs(value) <= 90_000 // cell * cell / 1000:
        assert abs(found - value) * 111_700 <= metres(cell)


def test_location_says_how_coarse_it_is() -> None:
    value = vessel_object(latitude=12.123456, longitude=-71.987654)
    value |= {"type": "location", "id": "location" + REF[14:]}
    result = done(value, "coarsen-position - 100")
    assert (result["latitude"], result["longitude"], result["precision"]) == (12.1, -72.0, 7900.0)
    # What was known to be less exact than that stays so.
    wide = done({**value, "precision": 50_000.0}, "coarsen-position - 100")
    assert wide["precision"] == 50_000.0


def test_track_positions_are_coarser_and_say_so() -> None:
    result = apply(track(), steps("coarsen-position - 500"), given=lambda _: True)
    found = result.value["extensions"][TRACK]
    assert found["lat"] == [12.0, None, 12.0]
    assert found["lon"] == [-72.0, -72.0, 180]
    assert found["generalised"] == {"cell_deg": 0.5}
    assert found["accuracy_m"] == [39_500, 39_500, 90_000]
    assert {one.path for one in result.taken} == {
        f"extensions.{TRACK}.lat.[0]",
        f"extensions.{TRACK}.lat.[2]",
        f"extensions.{TRACK}.lon.[0]",
        f"extensions.{TRACK}.lon.[1]",
    }
    assert result.value["created"] == track()["created"]


@pytest.mark.parametrize(
    ("text", "span", "expected"),
    [
        ("2025-11-01T10:20:30.123456Z", 3_600_000, "2025-11-01T10:00:00Z"),
        ("2025-11-01T10:20:30Z", 86_400_000, "2025-11-01T00:00:00Z"),
        ("2025-11-01T23:30:00-05:00", 3_600_000, "2025-11-02T04:00:00Z"),
        ("2016-12-31T23:59:60Z", 1000, "2016-12-31T23:59:59Z"),
        ("1969-12-31T23:59:30Z", 60_000, "1969-12-31T23:59:00Z"),
        ("2025-11-01T10:20:31.9Z", 1500, "2025-11-01T10:20:31.500Z"),
    ],
)
def test_times_are_rounded_down(text: str, span: int, expected: str) -> None:
    assert moment(text, span) == expected
    assert moment(expected, span) == expected


def test_track_times_are_coarser_instant_by_instant() -> None:
    result = done(track(), "coarsen-time - 3600000")
    found = result["extensions"][TRACK]
    assert found["base_time"] == "2025-11-01T10:00:00Z"
    assert found["offsets_s"] == [0, 0, 3600]
    assert found["generalised"] == {"delay_s": 3600}
    assert result["created"] == track()["created"]


def test_a_named_time_is_coarser_and_others_stay() -> None:
    value = vessel_object(first_seen="2025-11-01T10:20:30Z", last_seen="2025-11-01T10:20:31Z")
    assert done(value, "coarsen-time first_seen 60000") == {
        **value,
        "first_seen": "2025-11-01T10:20:00Z",
    }
    assert done(value, "coarsen-time modified 86400000")["modified"].startswith("2025-11-01T00:00")


@pytest.mark.parametrize(
    "step",
    ["coarsen-time name 60000", "coarsen-position name 100", "coarsen-time x_flag 60000"],
)
def test_what_is_no_time_and_no_position_is_refused(step: str) -> None:
    assert refused(vessel_object(x_flag=True), step) == "transform.value"


def test_a_position_written_as_text_is_not_passed_over() -> None:
    assert refused(vessel_object(latitude="12.1"), "coarsen-position - 100") == "transform.value"


def test_references_to_what_is_not_given_are_taken_out() -> None:
    value = vessel_object(
        created_by_ref=OTHER,
        x_refs=[REF, OTHER],
        object_marking_refs=[MARK],
        extensions={TRACK: {"extension_type": "property-extension", "observer_ref": OTHER}},
    )
    assert done(value, "drop-references", given=lambda one: one == REF) == vessel_object(
        x_refs=[REF],
        object_marking_refs=[MARK],
        extensions={TRACK: {"extension_type": "property-extension"}},
    )
    only = done(value, "drop-references extensions", given=lambda one: one == REF)
    assert "created_by_ref" in only
    assert "observer_ref" not in only["extensions"][TRACK]


@pytest.mark.parametrize(
    "value",
    [
        {"type": "relationship", "source_ref": REF, "target_ref": OTHER, "relationship_type": "x"},
        {"type": "sighting", "sighting_of_ref": OTHER},
        {"type": "report", "name": "r", "published": "t", "object_refs": [OTHER]},
    ],
)
def test_what_loses_a_required_reference_cannot_be_given(value: dict[str, Any]) -> None:
    assert refused(value, "drop-references", given=lambda one: one == REF) == "transform.required"
    assert done(value, "drop-references") == value


def test_steps_that_are_none_are_refused() -> None:
    for step in (
        Step(do="remove"),
        Step(do="coarsen-time", path="a"),
        Step(do="coarsen-position", path="a", span_ms=1000),
        Step(do="drop-references", text="x"),
        Step(do="remove", path="a..b"),
        Step(do="remove", path=".".join("a" * 21)),
    ):
        with pytest.raises(Invalid) as caught:
            check_steps([step])
        assert caught.value.code == "transform.step"
    with pytest.raises(Invalid) as caught:
        check_steps(steps("remove a") * 101)
    assert caught.value.code == "transform.steps"


def test_what_is_too_deep_or_too_large_is_refused() -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    assert refused(vessel_object(x_deep=deep), "remove x_deep") == "transform.size"
    assert refused(vessel_object(x_long=[1] * 200_001), "remove x_long") == "transform.size"


def test_bytes_are_one_form() -> None:
    assert to_bytes({"b": 1, "a": ["é", 1.5, None]}) == '{"a":["é",1.5,null],"b":1}'.encode()
    for bad in ({"a": float("nan")}, {"a": b"x"}, {"a": "\ud800"}):
        with pytest.raises(Invalid):
            to_bytes(bad)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "bc"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "x_c", "d_refs"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@drawn(
    st.dictionaries(st.sampled_from(["a", "b", "x_c", "d_refs"]), json_values, max_size=4),
    st.lists(
        st.builds(
            lambda do, path: Step(do=do, path=".".join(path)),
            st.sampled_from(["remove", "keep"]),
            st.lists(st.sampled_from(["a", "b", "*", "[0]", "x_c"]), min_size=1, max_size=3),
        ),
        max_size=4,
    ),
)
def test_steps_only_take_away(value: dict[str, Any], some: list[Step]) -> None:
    before = copy.deepcopy(value)
    try:
        result = apply(value, some, given=lambda _: True)
    except Invalid:
        return
    assert value == before
    assert _within(result.value, value)
    assert len(result.touched) == len(some)
    if not some:
        assert result.value == value


def _within(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and _within(inner, whole[key]) for key, inner in part.items()
        )
    if isinstance(part, list):
        if not isinstance(whole, list):
            return False
        left = iter(whole)
        return all(any(_within(one, other) for other in left) for one in part)
    return bool(part == whole)
