"""What markings keep back, by hand; one more never opens what was closed. A sends c to B."""

from __future__ import annotations

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from msgspec.structs import replace

from detente.model import Agreement, Handling, Kind
from detente.rules.decision import Decision, decide
from detente.rules.markings import CISE_LEVELS, PAP_LEVELS, TLP_LEVELS, marking_holds
from detente.rules.releasability import Releasable, parse_releasable
from detente.rules.standing import fold
from tests.unit.rules.kit import agreement, handling, opened

AT = 2_000
AGREED = ("acs", "cise", "europol", "iep")


def terms(*, countries: str = "COL USA NLD", **fields: object) -> Agreement:
    """The agreement of the kit with countries for A, B and C; ``-`` where it is not said."""
    members = tuple(
        replace(member, country=None if country == "-" else country)
        for member, country in zip(agreement().members, countries.split(), strict=True)
    )
    return agreement(members=members, **fields)


def decided(on: Agreement, item: Handling, *, recipient: str = "B") -> Decision:
    return decide(fold(opened(on), AT), item, sender="A", recipient=recipient)


def codes(on: Agreement, *markings: str, **fields: object) -> list[str]:
    """The codes of what keeps an item with these markings from B; none if it is released."""
    found = decided(on, handling(markings=tuple(sorted(markings)), **fields))
    assert found.outcome == ("release" if found.reasons[0].code == "agreement" else "hold")
    return [one.code for one in found.reasons if one.code != "agreement"]


@pytest.mark.parametrize("limit", TLP_LEVELS)
@pytest.mark.parametrize("lower", [None, *TLP_LEVELS])
def test_tlp_goes_up_to_the_lower_of_the_agreements_and_the_kinds_limit(
    limit: str, lower: str | None
) -> None:
    on = terms(tlp_max=limit, kinds=(Kind(id="VI", title="vessel", tlp_max=lower),))  # type: ignore[arg-type]  # one of the levels
    allowed = min(TLP_LEVELS.index(limit), TLP_LEVELS.index(lower or "red"))
    for place, level in enumerate(TLP_LEVELS):
        expected = ["marking.above-limit"] if place > allowed else []
        assert codes(on, f"tlp:{level}") == expected, level


def test_words_name_the_limit_that_counts() -> None:
    on = terms(tlp_max="amber", kinds=(Kind(id="VI", title="vessel", tlp_max="green"),))
    (one,) = decided(on, handling(markings=("tlp:amber",))).reasons
    assert one.words == "Marked tlp:amber; kind VI allows tlp:green."
    (one,) = decided(replace(on, tlp_max="clear"), handling(markings=("tlp:amber",))).reasons
    assert one.words == "Marked tlp:amber; the agreement allows tlp:clear."


@pytest.mark.parametrize("limit", PAP_LEVELS)
def test_pap_goes_up_to_the_agreements_limit(limit: str) -> None:
    for place, level in enumerate(PAP_LEVELS):
        expected = ["marking.pap-above-limit"] if place > PAP_LEVELS.index(limit) else []
        assert codes(terms(pap_max=limit), f"pap:{level}") == expected, level


@pytest.mark.parametrize("level", PAP_LEVELS)
def test_pap_without_a_limit_in_the_agreement_is_held(level: str) -> None:
    assert codes(terms(), f"pap:{level}") == ["marking.pap-without-limit"]


RELEASED = "rel:USA", "rel:COL,USA", "rel:party/B", "rel:NLD,party/B", "rel:unit/B/U,unit/B/V"
KEPT = [
    ("rel:NLD", "COL USA NLD", "marking.not-releasable"),
    ("rel:party/C", "COL USA NLD", "marking.not-releasable"),
    ("rel:party/b", "COL USA NLD", "marking.not-releasable"),
    ("rel:unit/C/U", "COL USA NLD", "marking.not-releasable"),
    ("rel:unit/B/U", "COL USA NLD", "marking.some-units"),
    ("rel:NLD,unit/B/U,unit/C/V", "COL USA NLD", "marking.some-units"),
    ("rel:USA", "COL - NLD", "marking.country-unsaid"),
    ("rel:party/C", "COL - NLD", "marking.not-releasable"),
    ("noforn:NLD", "COL USA NLD", "marking.no-foreign"),
    ("noforn:USA", "COL - NLD", "marking.country-unsaid"),
    ("noforn:usa", "COL USA NLD", "marking.unknown"),
    ("noforn:", "COL USA NLD", "marking.unknown"),
    ("noforn:USA,NLD", "COL USA NLD", "marking.unknown"),
    ("rel:", "COL USA NLD", "marking.unknown"),
    ("rel:USA,", "COL USA NLD", "marking.unknown"),
    ("rel:USA,usa", "COL USA NLD", "marking.unknown"),
    ("rel:USA, NLD", "COL USA NLD", "marking.unknown"),
    ("rel:unit/B", "COL USA NLD", "marking.unknown"),
    ("rel:party/B/U", "COL USA NLD", "marking.unknown"),
]


@pytest.mark.parametrize("marking", [*RELEASED, "noforn:USA"])
def test_whom_a_marking_names_as_a_whole_is_given(marking: str) -> None:
    assert codes(terms(), marking) == []


@pytest.mark.parametrize(("marking", "countries", "code"), KEPT)
def test_whom_a_marking_does_not_name_as_a_whole_is_not_given(
    marking: str, countries: str, code: str
) -> None:
    assert codes(terms(countries=countries), marking) == [code]


def test_unit_beyond_those_that_are_named_keeps_it_back() -> None:
    one, two, three = terms().members
    wider = replace(terms(), members=(one, replace(two, units=("U", "V", "W")), three))
    assert codes(wider, "rel:unit/B/U,unit/B/V") == ["marking.some-units"]
    none = replace(terms(), members=(one, replace(two, units=()), three))
    assert codes(none, "rel:unit/B/U") == ["marking.some-units"]


def test_several_releasabilities_all_have_to_allow() -> None:
    assert codes(terms(), "rel:USA", "rel:USA,NLD") == []
    assert codes(terms(), "rel:USA", "rel:NLD") == ["marking.not-releasable"]
    assert codes(terms(), "noforn:COL", "rel:USA") == ["marking.no-foreign"]


@pytest.mark.parametrize("marking", ["orcon", "europol:h2"])
def test_originator_control_is_met_by_the_originator_only(marking: str) -> None:
    on = terms(markings=AGREED)
    assert codes(on, marking, originator="A") == []
    assert codes(on, marking, originator="C") == ["marking.originator-control"]
    assert codes(on, "europol:h1", originator="C") == []


@pytest.mark.parametrize(
    "marking",
    [
        *(f"europol:h{number}" for number in range(4)),
        *(f"cise:{level}" for level in CISE_LEVELS),
        "iep:0224bfdf-ea3a-49c3-96f6-66d908bb1845",
        "iep:unmodified-resale=must-not",
        "acs:marking-definition--20864905-06a0-47be-a04c-2164af17d635",
    ],
)
def test_scheme_goes_only_where_the_parties_agreed_on_it(marking: str) -> None:
    scheme = marking.partition(":")[0]
    assert codes(terms(), marking) == ["marking.not-agreed"]
    others = tuple(one for one in AGREED if one != scheme)
    assert codes(terms(markings=others), marking) == ["marking.not-agreed"]
    assert codes(terms(markings=(scheme,)), marking) == []


@pytest.mark.parametrize(
    "marking",
    [
        "", "unknown:x", "unreadable", "tlp", "tlp:", "tlp:white", "tlp:RED", "pap:white",
        "orcon:x", "europol:h4", "europol:", "cise:blue", "acs:", "iep:", "euci:r-ue/eu-r",
        "TLP:clear", " tlp:clear", "statements:x",
    ],
)  # fmt: skip
def test_what_is_not_known_is_held_whatever_the_parties_agreed_on(marking: str) -> None:
    on = terms(tlp_max="red", pap_max="red", markings=(*AGREED, "euci", "unknown", "tlp"))
    assert codes(on, marking) == ["marking.unknown"]


def test_statement_is_for_people() -> None:
    assert codes(terms(tlp_max="clear"), "statement:marking-definition--x") == []


def test_every_marking_that_keeps_it_back_is_told_with_its_source_and_remedy() -> None:
    markings = ("cise:red", "noforn:NLD", "orcon", "pap:red", "rel:NLD", "tlp:red", "unknown:x")
    found = decided(terms(), handling(markings=markings, originator="C"))
    assert [one.source for one in found.reasons] == [f"marking {one}" for one in markings]
    assert [one.code.removeprefix("marking.") for one in found.reasons] == [
        "not-agreed", "no-foreign", "originator-control", "pap-without-limit", "not-releasable",
        "above-limit", "unknown",
    ]  # fmt: skip
    assert all(one.remedy.endswith(".") and not one.review for one in found.reasons)


def test_where_a_part_may_be_marked_the_words_say_so_and_name_the_tear_line() -> None:
    (whole,) = decided(terms(), handling(markings=("tlp:red",))).reasons
    (part,) = decided(terms(), handling(markings=("tlp:red",), flags=("part",))).reasons
    assert part.words == f"{whole.words} It may be only a part of the object that is marked so."
    assert part.remedy == f"{whole.remedy} A tear-line without that part may go."
    assert decided(terms(), handling(markings=("tlp:green",), flags=("part",))).outcome == "release"


targets = st.sampled_from(
    ["COL", "USA", "NLD", "party/A", "party/B", "party/C", "unit/B/U", "unit/B/V", "unit/C/U"]
)
released = st.sets(targets, max_size=4).map(lambda some: "rel:" + ",".join(sorted(some)))
names = st.one_of(
    released,
    st.sampled_from([f"tlp:{level}" for level in TLP_LEVELS]),
    st.sampled_from([f"pap:{level}" for level in PAP_LEVELS]),
    st.sampled_from(["noforn:USA", "noforn:COL", "orcon", "europol:h2", "europol:h0", "cise:red"]),
    st.sampled_from(["iep:x", "acs:x", "statement:x", "unknown:x", "tlp:?", ""]),
    st.text(max_size=12),
)
agreements = st.builds(
    terms,
    countries=st.sampled_from(["COL USA NLD", "COL - -", "USA USA USA"]),
    tlp_max=st.sampled_from(TLP_LEVELS),
    pap_max=st.sampled_from([None, *PAP_LEVELS]),
    markings=st.sets(st.sampled_from(AGREED)).map(tuple),
)


@drawn(
    on=agreements,
    markings=st.sets(names, max_size=4),
    more=names,
    originator=st.sampled_from("AC"),
    flags=st.sampled_from([(), ("part",)]),
)
def test_adding_a_marking_never_turns_hold_into_release(
    on: Agreement, markings: set[str], more: str, originator: str, flags: tuple[str, ...]
) -> None:
    def held(some: set[str]) -> set[str]:
        item = handling(markings=tuple(sorted(some)), originator=originator, flags=flags)
        outcome = decided(on, item).outcome
        assert (outcome == "release") is (not marking_holds(on, item, "A", "B"))
        return {one.source for one in marking_holds(on, item, "A", "B")}

    assert held(markings) <= held(markings | {more})


@drawn(
    countries=st.frozensets(st.sampled_from(["COL", "USA"])),
    parties=st.frozensets(st.sampled_from("AB")),
    units=st.frozensets(st.tuples(st.sampled_from("AB"), st.sampled_from("UV"))),
)
def test_name_of_a_releasability_says_all_of_it(
    countries: frozenset[str], parties: frozenset[str], units: frozenset[tuple[str, str]]
) -> None:
    one = Releasable(countries=countries, parties=parties, units=units)
    assert parse_releasable(one.name()) == (None if one == Releasable() else one)
