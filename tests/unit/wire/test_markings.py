"""Marking definitions and tags, as others write them and as somebody hostile would."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from detente.rules.caveats import MarkingText
from detente.rules.markings import PAP_LEVELS, TLP_LEVELS
from detente.wire.control import CONTROL
from detente.wire.definition import (
    ACS,
    FIXED_IDS,
    IEP,
    PAP,
    TEXT_MAX,
    TLP,
    read_definition,
    texts_of,
)
from detente.wire.markings import Marked, MarkingNames, grades_of, markings_of
from detente.wire.stix import Limits, cut
from detente.wire.tags import read_tag
from tests.shared import shared_data

ID = "marking-definition--20864905-06a0-47be-a04c-2164af17d635"
UNKNOWN = f"unknown:{ID}"
STATEMENT = f"statement:{ID}"
#: 1 July 2024, in the span of the IEP below.
AT = 1_719_792_000_000
POLICY = "0224bfdf-ea3a-49c3-96f6-66d908bb1845"
IEP_AMBER: dict[str, Any] = {
    "extension_type": "property-extension",
    "encrypt_in_transit": "must",
    "permitted_actions": "internally-visible-actions",
    "tlp": "amber",
    "iep_id": POLICY,
    "iep_version": 2.0,
    "description": "An exchange.",
    "start_date": "2024-01-01T00:00:00Z",
    "end_date": "2024-12-31T00:00:00.000Z",
}
RELIABILITY = "extension-definition--cdb5a8fd-b8df-4a7a-ae21-a07fed723797"
CREDIBILITY = "extension-definition--88c675ee-098f-4502-8108-5167d24a5e11"


def definition(**fields: Any) -> bytes:
    made = {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": ID,
        "created": "2024-01-01T00:00:00.000Z",
    }
    return json.dumps(made | fields).encode()


def extended(extension: str, **fields: Any) -> bytes:
    inner = {"extension_type": "property-extension"} | fields
    return definition(extensions={extension: inner})


def control(**fields: Any) -> bytes:
    return extended(CONTROL, **fields)


def names(raw: bytes | None, at_ms: int | None = AT) -> set[str]:
    return set(read_definition(ID, raw, at_ms).names)


# --- definitions --------------------------------------------------------------------------------


@pytest.mark.parametrize("level", TLP_LEVELS)
def test_tlp_is_read_in_every_form_that_tools_write(level: str) -> None:
    old = {"clear": "white"}.get(level, level)
    for said in {level, old, level.upper(), f"TLP:{old.upper()}", f" {old} "}:
        raw = definition(definition_type="tlp", definition={"tlp": said})
        assert names(raw) == {f"tlp:{level}"}, said
    assert names(definition(definition_type="TLP", definition={"TLP": level})) == {f"tlp:{level}"}
    assert names(extended(TLP, tlp_2_0=level)) == {f"tlp:{level}"}
    opencti = {"x_opencti_definition_type": "TLP", "x_opencti_definition": f"TLP:{level.upper()}"}
    custom = definition(definition_type="statement", definition={"statement": "custom"}, **opencti)
    assert names(custom) == {f"tlp:{level}", STATEMENT}
    tagged = definition(definition_type="statement", definition={"statement": f"tlp:{old}"})
    assert names(tagged) == {f"tlp:{level}", STATEMENT}


@pytest.mark.parametrize("level", PAP_LEVELS)
def test_pap_is_read_in_every_form_that_tools_write(level: str) -> None:
    old = {"clear": "white"}.get(level, level)
    assert names(extended(PAP, pap=level)) == names(extended(PAP, pap=old)) == {f"pap:{level}"}
    assert names(definition(definition_type="PAP", definition={"pap": old})) == {f"pap:{level}"}
    tagged = definition(definition_type="statement", definition={"statement": f"PAP:{old.upper()}"})
    assert names(tagged) == {f"pap:{level}", STATEMENT}


def test_fixed_ids_keep_their_meaning_whatever_a_definition_says() -> None:
    assert len(FIXED_IDS) == 14
    for marking_id, name in FIXED_IDS.items():
        raw = definition(id=marking_id, definition_type="tlp", definition={"tlp": "white"})
        assert read_definition(marking_id, raw, AT).names == (name,)
        assert read_definition(marking_id, None, AT).names == (name,)


def test_iep_gives_its_tlp_too_and_its_conditions_in_words() -> None:
    found = read_definition(ID, extended(IEP, **IEP_AMBER), AT)
    assert set(found.names) == {f"iep:{POLICY}", "tlp:amber"}
    (text,) = found.texts
    assert text.marking == f"iep:{POLICY}"
    for words in ("An exchange.", "Encrypt in transit: must.", "End date: 2024-12-31"):
        assert words in text.text


FIRST, LAST = 1_704_067_200_000, 1_735_603_200_000


@pytest.mark.parametrize(
    ("at_ms", "known"), [(FIRST - 1, False), (FIRST, True), (LAST - 1, True), (LAST, False)]
)
def test_iep_outside_its_dates_is_not_known_and_keeps_its_tlp(at_ms: int, known: bool) -> None:
    expected = {f"iep:{POLICY}", "tlp:amber"} if known else {UNKNOWN, "tlp:amber"}
    raw = extended(IEP, **IEP_AMBER)
    assert names(raw, at_ms) == expected
    assert texts_of(ID, raw)  # its words are shown all the same


@pytest.mark.parametrize(
    "change",
    [
        {"iep_id": None}, {"iep_id": "x"}, {"iep_id": 5}, {"iep_version": 1}, {"iep_version": "3"},
        {"iep_version": True}, {"encrypt_in_transit": "perhaps"}, {"encrypt_in_transit": ["must"]},
        {"permitted_actions": {}}, {"tlp": "blue"}, {"tlp": 7}, {"tlp_ref": ID},
        {"tlp_ref": next(one for one in FIXED_IDS if FIXED_IDS[one] == "pap:red")},
        {"start_date": "soon"}, {"end_date": 5}, {"a_new_condition": "must"},
        {"extension_type": "new-sdo"}, {"extension_type": None},
    ],
)  # fmt: skip
def test_iep_that_is_not_understood_to_the_last_part_is_not_known(change: dict[str, Any]) -> None:
    assert UNKNOWN in names(extended(IEP, **(IEP_AMBER | change)))


def test_published_examples_of_iep_are_accepted_though_their_schema_refuses_them() -> None:
    folder = shared_data("stix", "oasis", "common-objects")
    for colour, at_ms, known in [
        ("amber", AT, True),
        ("red", 1_665_000_000_000, True),  # October 2022
        ("red", AT, False),
    ]:
        raw = (folder / f"iep-2.0-example-{colour}.json").read_bytes()
        marking_id = json.loads(raw)["id"]
        found = read_definition(marking_id, raw, at_ms).names
        assert (f"iep:{POLICY}" in found) is known
        assert (f"unknown:{marking_id}" in found) is not known
        assert not known or f"tlp:{colour}" in found


CONTROLS: list[tuple[dict[str, Any], set[str]]] = [
    ({"releasable_countries": ["USA", "COL"]}, {"rel:COL,USA"}),
    (
        {"releasable_countries": ["NLD"], "releasable_parties": ["b"], "releasable_units": ["a/u"]},
        {"rel:NLD,party/b,unit/a/u"},
    ),
    ({"no_foreign": "USA"}, {"noforn:USA"}),
    ({"originator_control": True}, {"orcon"}),
    ({"europol_codes": ["H2", "H0", "H2"]}, {"europol:h0", "europol:h2"}),
    ({"europol_codes": ["H3"], "europol_text": "Not to the press."}, {"europol:h3"}),
    ({"cise_sensitivity": "red"}, {"cise:red", "tlp:red"}),
    ({"cise_sensitivity": "white"}, {"cise:white", "tlp:clear"}),
    ({"cise_sensitivity": "non-specified"}, {"cise:non-specified"}),
    ({"no_foreign": "USA", "originator_control": True}, {"noforn:USA", "orcon"}),
]


@pytest.mark.parametrize(("fields", "expected"), CONTROLS)
def test_control_extension_gives_a_name_for_each_thing_it_says(
    fields: dict[str, Any], expected: set[str]
) -> None:
    assert names(control(**fields)) == expected
    described = read_definition(ID, control(**fields, description="Said by phone."), AT)
    assert {one.marking for one in described.texts if one.text == "Said by phone."} == {
        name for name in expected if not name.startswith("tlp:")
    }


def test_words_of_h3_are_given() -> None:
    (text,) = texts_of(ID, control(europol_codes=["H3"], europol_text="Not to the press."))
    assert text == MarkingText(marking="europol:h3", text="Not to the press.")


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"description": "Nothing else."}, {"extension_type": "new-sdo", "no_foreign": "USA"},
        {"no_foreign": "us"}, {"no_foreign": "usa"}, {"no_foreign": ["USA"]}, {"no_foreign": ""},
        {"releasable_countries": []}, {"releasable_countries": "USA"},
        {"releasable_countries": ["USA", 5]}, {"releasable_countries": ["USA"] * 101},
        {"releasable_countries": [chr(65 + n % 26) + chr(65 + n // 26) + "A" for n in range(90)]},
        {"releasable_parties": ["a b"]}, {"releasable_parties": ["a,COL"]},
        {"releasable_parties": ["p" * 65]}, {"releasable_units": ["a"]},
        {"releasable_units": ["a/b/c"]}, {"releasable_units": ["a/"]},
        {"originator_control": False}, {"originator_control": "true"}, {"originator_control": 1},
        {"europol_codes": ["H4"]}, {"europol_codes": ["h1"]}, {"europol_codes": ["H3"]},
        {"europol_codes": ["H3"], "europol_text": "  "}, {"europol_text": "Words."},
        {"europol_codes": ["H3"], "europol_text": "x" * 10_001},
        {"europol_codes": ["H1"], "europol_text": "Words."}, {"cise_sensitivity": "clear"},
        {"no_foreign": "USA", "embargo": "2030"},
    ],
)  # fmt: skip
def test_control_extension_that_is_malformed_is_not_known(fields: dict[str, Any]) -> None:
    assert names(control(**fields)) == {UNKNOWN}


def test_acs_is_carried_as_words() -> None:
    fields = {"identifier": "isa:guide.19001.x", "control_set": {"classification": "U"}}
    found = read_definition(ID, extended(ACS, **fields), AT)
    assert found.names == (f"acs:{ID}",)
    assert json.loads(found.texts[0].text) == fields
    assert names(extended(ACS)) == {UNKNOWN}


def test_statement_is_shown_and_cut_where_it_is_too_long() -> None:
    raw = definition(definition_type="statement", definition={"statement": "Copyright."})
    assert names(raw) == {STATEMENT}
    assert texts_of(ID, raw) == (MarkingText(marking=STATEMENT, text="Copyright."),)
    long = definition(definition_type="statement", definition={"statement": "x" * 100_000})
    (text,) = texts_of(ID, long)
    assert len(text.text) < TEXT_MAX + 100
    assert text.text.endswith("(80000 characters more in the definition)")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"definition_type": "statement"},
        {"definition_type": "statement", "definition": {"statement": " "}},
        {"definition_type": "statement", "definition": {"statement": 5}},
        {"definition_type": "statement", "definition": {"statement": "x", "until": "2030"}},
        {"definition_type": "statement", "definition": "x"},
        {"definition_type": "ais", "definition": {"tlp": "white"}},
        {"definition_type": "tlp", "definition": {"tlp": "ultra"}},
        {"definition_type": "tlp", "definition": {"tlp": "PAP:BLUE"}},
        {"definition_type": "tlp", "definition": {"tlp": ["red"]}},
        {"definition_type": "tlp", "definition": ["red"]},
        {"definition_type": 5, "definition": {"tlp": "white"}},
        {"definition_type": None, "definition": {"tlp": "white"}},
        {"definition_type": ["tlp"], "definition": {"tlp": "white"}},
        {"extensions": []},
        {"extensions": {}},
        {"extensions": {TLP: None}},
        {"extensions": {TLP: {"tlp_2_0": "clear"}}},
        {"extensions": {TLP: {"extension_type": "property-extension", "tlp_2_0": "x"}}},
        {"extensions": {TLP: {"extension_type": "property-extension", "tlp_2_0": ["clear"]}}},
        {"extensions": {TLP: {"extension_type": "property-extension", "tlp_2_0": "clear", "a": 1}}},
        {"extensions": {"extension-definition--x": {"extension_type": "property-extension"}}},
        {"extensions": {RELIABILITY: {"extension_type": "property-extension"}}},
        {"x_opencti_definition_type": "TLP"},
        {"x_opencti_definition_type": "SECRECY", "x_opencti_definition": "TOP"},
        {"x_opencti_definition": 5},
        {"type": "identity"},
        {"id": "marking-definition--00000000-0000-4000-8000-000000000000"},
    ],
)
def test_definition_that_is_not_understood_is_not_known(fields: dict[str, Any]) -> None:
    assert any(name.startswith("unknown:") for name in names(definition(**fields)))


@pytest.mark.parametrize(
    "raw",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"type":"marking-definition","type":"marking-definition"}',
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b"[" * 200_000,
    ],
)
def test_bytes_that_are_no_definition_are_a_marking_that_is_not_known(raw: bytes | None) -> None:
    assert names(raw) == {UNKNOWN}
    assert texts_of(ID, raw) == ()


def test_all_that_a_definition_says_counts() -> None:
    """A liberal part beside a strict one, or beside one that is not understood, opens nothing."""
    raw = definition(
        name="TLP:AMBER",
        definition_type="tlp",
        definition={"tlp": "green"},
        extensions={
            TLP: {"extension_type": "property-extension", "tlp_2_0": "red"},
            CONTROL: {"extension_type": "property-extension", "originator_control": True},
            "extension-definition--x": {"extension_type": "property-extension"},
        },
    )
    assert names(raw) == {"tlp:amber", "tlp:green", "tlp:red", "orcon", UNKNOWN}


@drawn(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    st.sampled_from([TLP, PAP, IEP, ACS, CONTROL, RELIABILITY, CREDIBILITY]),
    st.sampled_from(
        "definition definition_type name extensions x_opencti_definition inner.tlp_2_0".split()
        + "inner.iep_id inner.europol_codes inner.pap inner.tlp_ref inner.start_date".split()
    ),
)
def test_no_value_anywhere_makes_reading_fail(value: Any, extension: str, place: str) -> None:
    inner, _, key = place.rpartition(".")
    raw = extended(extension, **{key: value}) if inner else definition(**{key: value})
    found = read_definition(ID, raw, AT)
    assert found.names or found.reliability or found.credibility
    assert all(len(name) <= 300 for name in found.names)


# --- tags ---------------------------------------------------------------------------------------

TAGS = [
    ("tlp:red", {"tlp:red"}),
    ("TLP:WHITE", {"tlp:clear"}),
    ("Tlp : Amber+Strict ", {"tlp:amber+strict"}),
    ("ＴＬＰ:ＲＥＤ", {"tlp:red"}),
    ("\u200btlp\u200d:red\u2060", {"tlp:red"}),
    ("tlp\ufe0f:red", {"tlp:red"}),
    ("tlp\u034f:red", {"tlp:red"}),
    ("\u3164tlp:red", {"tlp:red"}),
    ("tlp\x08:red\x00", {"tlp:red"}),
    ('"tlp:red"', {"tlp:red"}),
    ("#tlp:red", {"tlp:red"}),
    ("[TLP:RED]", {"tlp:red"}),
    ("tlp:ex:chr", {"unknown:tlp:ex:chr"}),
    ("tlp:unclear", {"unknown:tlp:unclear"}),
    ("tlp:", {"unknown:tlp:"}),
    ('tlp:"red"', {'unknown:tlp:"red"'}),
    ("PAP:RED", {"pap:red"}),
    ("pap:white", {"pap:clear"}),
    ("PAP:BLUE", {"unknown:pap:blue"}),
    ('iep:traffic-light-protocol="RED"', {"tlp:red"}),
    ('iep:unmodified-resale="MUST NOT"', {"iep:unmodified-resale=must-not"}),
    ('iep2-policy:encrypt_in_transit="must"', {"iep:encrypt-in-transit=must"}),
    ('iep2-policy:permitted_actions="none"', {"iep:permitted-actions=none"}),
    ('iep2-policy:tlp="white"', {"tlp:clear"}),
    (f'iep2-reference:id_ref="{POLICY}"', {f"iep:{POLICY}"}),
    ('iep:name="Ours"', {"iep:named"}),
    ('iep2-policy:start_date="2024-01-01"', {"iep:named"}),
    ('iep2-policy:start_date="2024-09-01"', {"unknown:iep2-policy:start_date=\"2024-09-01\""}),
    ('iep:end-date="2024-06-01T00:00:00Z"', {"unknown:iep:end-date=\"2024-06-01t00:00:00z\""}),
    ('iep:end-date="never"', {'unknown:iep:end-date="never"'}),
    ('iep:permitted-actions="ALL"', {'unknown:iep:permitted-actions="all"'}),
    ('dni-ism:dissem="NF"', {"noforn:USA"}),
    ('dni-ism:dissem="OC"', {"orcon"}),
    ('dni-ism:dissem="REL"', {'unknown:dni-ism:dissem="rel"'}),
    ('dni-ism:classification:us="S"', {'unknown:dni-ism:classification:us="s"'}),
    ("euci:R-UE/EU-R", {"unknown:euci:r-ue/eu-r"}),
    ('nato:classification="NU"', {'unknown:nato:classification="nu"'}),
    ('acs-marking:classification="U"', {"acs:classification=u"}),
    ('acs-marking:new="U"', {'unknown:acs-marking:new="u"'}),
    ("rel:USA, COL,party/b", {"rel:COL,USA,party/b"}),
    ("rel:us", {"unknown:rel:us"}),
    ("noforn:usa", {"noforn:USA"}),
    ("noforn", {"unknown:noforn"}),
    ("ORCON", {"orcon"}),
    ("europol:H2", {"europol:h2"}),
    ("europol:h3", {"unknown:europol:h3"}),
    ("cise:amber", {"cise:amber", "tlp:amber"}),
    ("tlp:" + "x" * 5_000, {"unknown:tlp:" + "x" * 196}),
    ("tlp:\u0000\n", {"unknown:tlp:"}),
]  # fmt: skip


@pytest.mark.parametrize(("label", "expected"), TAGS)
def test_tag_of_a_taxonomy_of_markings_is_a_marking(label: str, expected: set[str]) -> None:
    assert set(read_tag(label, AT)) == expected


@pytest.mark.parametrize(
    "label",
    [
        "", "nato", "Europol", "CISE", "tlp", "red", "tlpred", "malicious-activity",
        "type:OSINT", 'misp-galaxy:tool="X-Agent"', 'osint:certainty="93"', 'sov:seal="seal-1"',
        "europol-event:spam", 'workflow:state="incomplete"', "x" * 100_000,
        'admiralty-scale:source-reliability="a"', "relation:USA", "not tlp:red",
    ],
)  # fmt: skip
def test_ordinary_label_is_no_marking(label: str) -> None:
    assert read_tag(label, AT) == ()


#: Taxonomies of MISP that are markings; of the others in the shared data none is.
MARKING_TAXONOMIES = {
    "PAP", "acs-marking", "dni-ism", "euci", "iep", "iep2-policy", "iep2-reference", "nato", "tlp",
}  # fmt: skip


def tags_of(taxonomy: dict[str, Any]) -> Iterator[str]:
    values = {one["predicate"]: one["entry"] for one in taxonomy.get("values", [])}
    for predicate in taxonomy["predicates"]:
        start = f"{taxonomy['namespace']}:{predicate['value']}"
        entries = values.get(predicate["value"], [])
        yield from (f'{start}="{entry["value"]}"' for entry in entries)
        if not entries:
            yield start


#: Counted by hand: unknown are all of euci and nato, dni-ism but for NF and OC, two of tlp, and ids
#: and dates of IEP, whose values the taxonomy leaves open.
KNOWN_TAGS, UNKNOWN_TAGS = 112, 97


def test_every_tag_of_every_taxonomy_is_a_marking_just_where_the_taxonomy_is_of_markings() -> None:
    folder = shared_data("misp", "taxonomies")
    taxonomies = [json.loads(path.read_bytes()) for path in folder.glob("*.json")]
    assert {one["namespace"] for one in taxonomies} > MARKING_TAXONOMIES
    known, unknown = 0, 0
    for taxonomy in taxonomies:
        for tag in tags_of(taxonomy):
            found = read_tag(tag, AT)
            assert bool(found) is (taxonomy["namespace"] in MARKING_TAXONOMIES), tag
            unknown += any(name.startswith("unknown:") for name in found)
            known += bool(found) and not any(name.startswith("unknown:") for name in found)
    assert (known, unknown) == (KNOWN_TAGS, UNKNOWN_TAGS)


# --- objects ------------------------------------------------------------------------------------

RED = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"
GREEN = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"


def note(**fields: Any) -> dict[str, Any]:
    made = {
        "type": "note",
        "spec_version": "2.1",
        "id": f"note--{uuid.UUID(int=4)}",
        "created": "2024-01-01T00:00:00.000Z",
        "modified": "2024-01-01T00:00:00.000Z",
        "content": "x",
        "object_refs": [f"note--{uuid.UUID(int=5)}"],
    }
    return made | fields


def marked(*definitions: bytes, **fields: Any) -> Marked:
    (one,) = cut(json.dumps(note(**fields)).encode(), Limits()).objects
    return markings_of(one, MarkingNames(AT).learn((ID, raw) for raw in definitions))


def test_markings_of_the_whole_of_parts_and_of_labels_are_put_together() -> None:
    assert marked() == Marked()
    assert marked(object_marking_refs=[GREEN]) == Marked(("tlp:green",))
    part = {"marking_ref": RED, "selectors": ["content"]}
    assert marked(granular_markings=[part]) == Marked(("tlp:red",), True)
    both = marked(object_marking_refs=[GREEN], granular_markings=[part])
    assert both == Marked(("tlp:green", "tlp:red"), True)
    assert marked(object_marking_refs=[RED], granular_markings=[part]) == Marked(("tlp:red",))
    assert marked(labels=["tlp:red"], granular_markings=[part]) == Marked(("tlp:red",))
    assert marked(labels=["tlp:green", "PAP:RED", "spam"]) == Marked(("pap:red", "tlp:green"))


@pytest.mark.parametrize(
    "selectors",
    [None, [], "content", ["content"], ["nothing"], [5], {"a": 1}, ["granular_markings"]],
)
def test_form_of_a_selector_makes_no_difference(selectors: Any) -> None:
    part = {"marking_ref": RED, "selectors": selectors}
    assert marked(granular_markings=[part]) == Marked(("tlp:red",), True)


def test_language_of_a_part_is_no_marking() -> None:
    assert marked(granular_markings=[{"lang": "es", "selectors": ["content"]}]) == Marked()
    both = {"lang": "es", "marking_ref": RED, "selectors": ["content"]}
    assert marked(granular_markings=[both]) == Marked(("tlp:red",), True)


@pytest.mark.parametrize(
    "fields",
    [
        {"granular_markings": [{"selectors": ["content"]}]},
        {"granular_markings": [{"marking_ref": 5}]},
        {"granular_markings": [{"marking_ref": "x" * 100_000}]},
        {"granular_markings": "red"},
        {"labels": {"tlp": "red"}},
        {"labels": ["a", ["tlp:red"]]},
        {"labels": 5},
    ],
)
def test_what_cannot_be_read_is_a_marking_that_is_not_known(fields: dict[str, Any]) -> None:
    found = marked(**fields)
    assert found.names == ("unknown:unreadable",)


def test_label_that_is_no_list_is_read_as_one_label_would_be() -> None:
    assert "tlp:red" in marked(labels="tlp:red").names


def test_first_definition_of_an_id_counts() -> None:
    strict = control(originator_control=True)
    loose = definition(definition_type="statement", definition={"statement": "Nothing."})
    assert marked(strict, loose, object_marking_refs=[ID]).names == ("orcon",)
    assert marked(loose, strict, object_marking_refs=[ID]).names == (STATEMENT,)
    assert marked(object_marking_refs=[ID]).names == (UNKNOWN,)
    assert marked(object_marking_refs=["identity--" + ID[-36:]]).names == (
        f"unknown:identity--{ID[-36:]}",
    )


refs = st.lists(st.sampled_from([GREEN, RED, ID]), max_size=3)
labels = st.lists(
    st.sampled_from(["tlp:red", "spam", "orcon", "rel:USA", "nato:x"]) | st.text(max_size=9),
    max_size=3,
)


@drawn(refs, refs, labels, st.sampled_from([GREEN, RED, ID, "tlp:amber", "orcon", "spam"]))
def test_one_more_marking_takes_none_away(
    whole: list[str], parts: list[str], tags: list[str], more: str
) -> None:
    def found(whole: list[str], parts: list[str], tags: list[str]) -> set[str]:
        granular = [{"marking_ref": ref, "selectors": ["content"]} for ref in parts]
        fields = {"object_marking_refs": whole, "granular_markings": granular, "labels": tags}
        return set(marked(control(no_foreign="COL"), **fields).names)

    before = found(whole, parts, tags)
    assert before <= found(whole, parts, [*tags, more])
    if more in (GREEN, RED, ID):
        assert before <= found([*whole, more], parts, tags)
        assert before <= found(whole, [*parts, more], tags)


# --- grades -------------------------------------------------------------------------------------


def graded(*definitions: bytes, **fields: Any) -> tuple[str, ...]:
    ids = [json.loads(raw)["id"] for raw in definitions]
    (one,) = cut(json.dumps(note(object_marking_refs=ids, **fields)).encode(), Limits()).objects
    names = MarkingNames(AT).learn(zip(ids, definitions, strict=True))
    assert markings_of(one, names) == Marked()  # a grade is no marking
    return grades_of(one, names)


def half(extension: str, key: str, value: str, number: int) -> bytes:
    inner = {"extension_type": "property-extension", key: value, f"{key}_description": "Words"}
    marking_id = f"marking-definition--{uuid.UUID(int=number)}"
    return definition(id=marking_id, extensions={extension: inner})


SOURCE_B = half(RELIABILITY, "admiralty_source_reliability", "B", 1)
SOURCE_C = half(RELIABILITY, "admiralty_source_reliability", "C", 2)
SAID_2 = half(CREDIBILITY, "admiralty_information_credibility", "2", 3)


def test_admiralty_markings_are_a_grade_if_both_halves_are_there() -> None:
    assert graded(SOURCE_B, SAID_2) == ("admiralty:B2",)
    assert graded(SOURCE_B) == graded(SAID_2) == graded() == ()
    assert graded(SOURCE_B, SOURCE_C, SAID_2) == ("admiralty:B2", "admiralty:C2")


def test_admiralty_tags_are_a_grade_too() -> None:
    source, said = (
        'admiralty-scale:source-reliability="b"',
        'admiralty-scale:information-credibility="2"',
    )
    assert graded(labels=[source, said]) == ("admiralty:B2",)
    assert graded(SOURCE_B, labels=[said, "spam"]) == ("admiralty:B2",)
    assert graded(labels=['admiralty-scale:source-reliability="g"', said]) == ()
    assert graded(labels=[source, "admiralty-scale:information-credibility=" + "2" * 5_000]) == ()
