"""Releasability: to whom a marking says that an item may be released, and to whom not (R36).

    rel:COL,USA,party/jiatf,unit/dea/sod     to these countries (ISO 3166-1 alpha-3), parties
                                             and units, and to nobody else
    noforn:USA                               to parties of this country, and to nobody else

Several such markings of one item all have to allow a recipient. Countries are those that the
agreement says its members are of (``Member.country``). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from typing import Final, Literal

import msgspec

from detente.model import Agreement, Handling, Member

__all__ = ["Named", "Releasable", "Verdict", "named_by", "parse_releasable"]

#: Whether a recipient is among those named: as a whole; in some of its units only, which cannot be
#: told apart on the way; not; or not to be said, for the agreement does not say its country.
Verdict = Literal["no", "no-country", "some-units", "yes"]

_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_TARGET: Final = re.compile(
    rf"(?P<country>[A-Z]{{3}})|party/(?P<party>{_NAME})|unit/(?P<owner>{_NAME})/(?P<unit>{_NAME})",
    re.ASCII,
)


class Releasable(msgspec.Struct, frozen=True, kw_only=True):
    """To whom one marking says that an item may be released; units are (party, unit)."""

    countries: frozenset[str] = frozenset()
    parties: frozenset[str] = frozenset()
    units: frozenset[tuple[str, str]] = frozenset()

    def name(self) -> str:
        """The name of the marking, one for one meaning."""
        return "rel:" + ",".join(
            [
                *sorted(self.countries),
                *(f"party/{party}" for party in sorted(self.parties)),
                *(f"unit/{party}/{unit}" for party, unit in sorted(self.units)),
            ]
        )

    def verdict(self, member: Member) -> Verdict:
        """Whether this member is among those named."""
        if member.country in self.countries or member.party in self.parties:
            return "yes"
        named = {unit for party, unit in self.units if party == member.party}
        if named:
            return "yes" if member.units and named >= set(member.units) else "some-units"
        return "no-country" if self.countries and member.country is None else "no"


def parse_releasable(marking: str) -> Releasable | None:
    """What a ``rel:`` or ``noforn:`` marking says; None if it is none, or says nothing that is
    understood to the last part."""
    scheme, _, value = marking.partition(":")
    if scheme == "noforn":
        is_country = re.fullmatch(r"[A-Z]{3}", value, re.ASCII)
        return Releasable(countries=frozenset([value])) if is_country else None
    found = [_TARGET.fullmatch(part) for part in value.split(",")] if scheme == "rel" else []
    targets = [one for one in found if one is not None]
    if not targets or len(targets) < len(found):
        return None
    return Releasable(
        countries=frozenset(one["country"] for one in targets if one["country"]),
        parties=frozenset(one["party"] for one in targets if one["party"]),
        units=frozenset((one["owner"], one["unit"]) for one in targets if one["unit"]),
    )


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """All that the markings of some handlings name: countries, and parties by themselves or
    through their units."""

    countries: frozenset[str] = frozenset()
    parties: frozenset[str] = frozenset()

    def facts(self, agreement: Agreement | None, recipient: str) -> Hashable:
        """All of a recipient that these markings can tell apart: its country if one names it, and
        itself if one names it. Whoever is not named is like everyone else who is not."""
        member = agreement.member(recipient) if agreement else None
        country = member.country if member else None
        return (
            country if country in self.countries else None,
            recipient if recipient in self.parties else None,
        )


def named_by(handlings: Iterable[Handling]) -> Named:
    """What the releasability markings of these handlings, and of what they refer to, name."""
    markings = {
        marking
        for handling in handlings
        for names in (handling.markings, *(one.markings for one in handling.refers))
        for marking in names
        if marking.startswith(("rel:", "noforn:"))
    }
    found = [one for marking in markings if (one := parse_releasable(marking)) is not None]
    return Named(
        countries=frozenset(country for one in found for country in one.countries),
        parties=frozenset(
            party for one in found for party in (*one.parties, *(owner for owner, _ in one.units))
        ),
    )
