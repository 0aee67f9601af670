"""What no node opens, whoever signed it: an agreement whose names contradict each other."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from detente.errors import Invalid
from detente.model import Agreement, KindRule, Power
from detente.rules.authority import check_agreement
from tests.unit.rules.kit import charter, signed
from tests.unit.rules.test_gaps import GOOD, collection, kind, member, without

CASES: list[tuple[str, dict[str, Any]]] = [
    ("agreement.party", {"members": (*GOOD.members, member("A"))}),
    ("agreement.kind", {"kinds": (*GOOD.kinds, GOOD.kinds[0])}),
    ("agreement.collection", collection(name="from-B")),
    ("agreement.collection", collection(name=GOOD.collections[1].id)),
    ("agreement.title", collection(title="From B")),
    ("agreement.assurance", {"assurances": GOOD.assurances * 2}),
    ("agreement.party-unknown", collection(sender="X")),
    ("agreement.party-unknown", collection(readers=("B", "X"))),
    ("agreement.unit-unknown", collection(unit="X")),
    ("agreement.kind-unknown", {"kind_rules": (KindRule(kind="X"),)}),
    ("agreement.party-unknown", {"powers": (Power(party="X", verbs=("halt",), offices=("o",)),)}),
    ("agreement.expiry", kind(held="expire")),
    ("agreement.expiry", kind(expire_after_ms=5000)),
    ("agreement.term", {"until_ms": GOOD.from_ms}),
]


def opened(terms: Agreement) -> Agreement:
    charters = {party: charter(party) for party in "AB"}
    return check_agreement(signed("agreement", terms, "ben"), charters, None, exercise=False)


@pytest.mark.parametrize(("code", "fields"), CASES)
def test_agreement_whose_names_contradict_each_other_is_not_opened(
    code: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(Invalid) as found:
        opened(replace(GOOD, **fields))
    assert found.value.code == code


def test_agreement_that_is_only_weak_or_unmeetable_is_opened() -> None:
    """Whether a power can be met changes with the charters; the parties may have to agree first."""
    for fields in ({}, {"onward": None}, without("suspend"), collection(unit="U")):
        terms = replace(GOOD, **fields)
        assert opened(terms) == terms
