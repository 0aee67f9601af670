"""What a person sees with an item: all of it, in one order."""

from __future__ import annotations

import typing

from detente.model.agreement import ExcludedUse, Onward, PermittedUse, Purpose
from detente.rules.caveats import Caveat, CaveatKind, MarkingText, caveats_of
from detente.rules.markings import PAP_LEVELS, TLP_LEVELS
from tests.unit.rules.kit import agreement, handling

TERMS = agreement(
    purposes=(Purpose(id="p", title="Interdiction at sea"), Purpose(id="q", title="Other")),
    permitted_uses=(PermittedUse(id="stop", text="Stopping a vessel."),),
    excluded_uses=(
        ExcludedUse(id="kill", text="Use of lethal force."),
        ExcludedUse(id="asylum", text="Asylum."),
    ),
    onward=Onward(rule="consent", text="Ask the desk."),
)
ALL = (
    "acs:x", "cise:red", "europol:h1", "europol:h3", "iep:i", "iep:unmodified-resale=must-not",
    "noforn:COL", "orcon", "pap:amber", "pap:green", "rel:USA,unit/B/U", "statement:s",
    "tlp:amber", "tlp:red", "unknown:z",
)  # fmt: skip
TEXTS = [
    MarkingText(marking="statement:s", text="Copyright A."),
    MarkingText(marking="europol:h3", text="Not to the press."),
    MarkingText(marking="iep:i", text="Encrypt in transit: must."),
    MarkingText(marking="acs:x", text='{"classification":"U"}'),
    MarkingText(marking="rel:USA,unit/B/U", text="Agreed by letter."),
    MarkingText(marking="statement:other", text="Of another object."),
]


def test_everything_is_shown_in_one_order() -> None:
    found = caveats_of(TERMS, handling(markings=ALL, flags=("part",)), TEXTS)
    assert [(one.kind, one.name) for one in found] == [
        ("tlp", "tlp:red"),
        ("pap", "pap:amber"),
        ("releasability", "noforn:COL"),
        ("releasability", "rel:USA,unit/B/U"),
        ("originator-control", "orcon"),
        ("handling-code", "cise:red"),
        ("handling-code", "europol:h1"),
        ("handling-code", "europol:h3"),
        ("iep", "iep:i"),
        ("iep", "iep:unmodified-resale=must-not"),
        ("acs", "acs:x"),
        ("statement", "statement:s"),
        ("unknown", "unknown:z"),
        ("part", "part"),
        ("purpose", "p"),
        ("permitted-use", "stop"),
        ("excluded-use", "kill"),
        ("excluded-use", "asylum"),
        ("onward", "consent"),
    ]
    kinds = [one.kind for one in found]
    assert kinds == sorted(kinds, key=typing.get_args(CaveatKind).index)
    assert set(kinds) == set(typing.get_args(CaveatKind))
    words = {one.name: one.words for one in found}
    assert words["rel:USA,unit/B/U"] == "To be released only to USA, unit/B/U. Agreed by letter."
    assert words["noforn:COL"] == "Not to be released to parties of other countries than COL."
    assert words["orcon"] == "A decides who else receives it and for which other use."
    assert words["europol:h3"].endswith("Not to the press.")
    assert words["iep:i"] == "Encrypt in transit: must."
    assert words["iep:unmodified-resale=must-not"] == "iep:unmodified-resale=must-not."
    assert words["statement:s"] == "Copyright A."
    assert words["p"] == "To be used only for: Interdiction at sea"
    assert words["kill"] == "Use of lethal force."
    assert words["consent"].endswith("Ask the desk.")
    assert [one.name for one in found if one.must_read] == ["europol:h3"]
    assert "Of another object." not in " ".join(words.values())


def test_marking_that_lives_by_its_words_and_has_none_here_says_so() -> None:
    found = caveats_of(TERMS, handling(markings=("europol:h3", "iep:i", "statement:s")), [])
    assert all(one.words.endswith("Its words are not here; ask the originator before use.")
               for one in found[:3])  # fmt: skip


def test_unmarked_item_has_the_agreements_caveats_only() -> None:
    found = caveats_of(agreement(), handling(), TEXTS)
    assert found == (Caveat(kind="purpose", name="p", words="To be used only for: P"),)
    assert caveats_of(agreement(), handling(purpose=None), TEXTS) == ()


def test_every_level_has_its_meaning() -> None:
    for scheme, levels in (("tlp", TLP_LEVELS), ("pap", PAP_LEVELS)):
        shown = [
            caveats_of(agreement(), handling(markings=(f"{scheme}:{level}",)), [])[0]
            for level in levels
        ]
        assert [one.name for one in shown] == [f"{scheme}:{level}" for level in levels]
        assert len({one.words for one in shown}) == len(levels)


def test_onward_rule_is_shown_without_words_of_the_parties_too() -> None:
    for rule in ("consent", "none", "units"):
        (_, one) = caveats_of(agreement(onward=Onward(rule=rule)), handling(), [])
        assert (one.kind, one.name) == ("onward", rule)
        assert one.words
