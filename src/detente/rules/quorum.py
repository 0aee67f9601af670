"""Quorum: how many signatures a power takes, of whom, and by which office an act is shown.

Here it is only counted. Which keys signed comes from ``proof.envelope``, which powers an act needs
from ``rules.authority``; the powers themselves stand in the agreement, the holders of the keys in
the charter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from detente.errors import NotAuthorised
from detente.model import Agreement, Charter, Power

__all__ = [
    "Tally",
    "check_office",
    "check_power",
    "tally_quorum",
]

_NOBODY: Final[Mapping[str, Iterable[str]]] = {}


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How far a quorum is met: signatures that count, how many are needed, what is missing."""

    have: int
    need: int
    missing_offices: tuple[str, ...]
    counted: tuple[str, ...]

    @property
    def met(self) -> bool:
        """True if enough distinct holders signed, those of every named office among them."""
        return self.have >= self.need and not self.missing_offices


def tally_quorum(
    power: Power,
    charter: Charter,
    keyids: Iterable[str],
    stand_ins: Mapping[str, Iterable[str]] = _NOBODY,
) -> Tally:
    """Count signatures towards a power: distinct keys and distinct holders, once each.

    Only keys of the power's offices count, and of those that stand in for one; a named office is
    met by a holder of its own, so one person cannot stand for two named offices.
    """

    def signed_for(office: str) -> set[str]:
        rooms = (office, *stand_ins.get(office, ()))
        return {keyid for keyid in given if any(_sits(charter, room, keyid) for room in rooms)}

    given = frozenset(keyids)
    eligible = {keyid for office in power.offices for keyid in signed_for(office)}
    holders = {charter.keys[keyid].holder for keyid in eligible}
    seats = {
        office: {charter.keys[keyid].holder for keyid in signed_for(office)}
        for office in power.including
    }
    return Tally(
        have=len(holders),
        need=power.threshold,
        missing_offices=_unseated(power.including, seats),
        counted=tuple(sorted(eligible)),
    )


def _sits(charter: Charter, office_id: str, keyid: str) -> bool:
    office = charter.office(office_id)
    return office is not None and keyid in office.keys and keyid in charter.keys


def _unseated(offices: Sequence[str], seats: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Offices that cannot each be given a holder of their own (augmenting paths)."""
    seated: dict[str, str] = {}

    def seat(office: str, tried: set[str]) -> bool:
        for holder in sorted(seats[office] - tried):
            tried.add(holder)
            if holder not in seated or seat(seated[holder], tried):
                seated[holder] = office
                return True
        return False

    return tuple(office for office in offices if not seat(office, set()))


def check_power(
    agreement: Agreement, charter: Charter, verb: str, keyids: frozenset[str], at_ms: int
) -> Power:
    """The first power of this party for this verb whose quorum is met at an instant; else
    ``NotAuthorised``."""
    powers = agreement.powers_of(charter.party, verb, at_ms)
    stand_ins = agreement.stand_ins(charter.party, verb, at_ms)
    if not powers:
        raise NotAuthorised(
            "authority.no-power",
            f"Expected a power of {charter.party} to {verb} in agreement {agreement.id}, got none.",
        )
    tallies = [(power, tally_quorum(power, charter, keyids, stand_ins)) for power in powers]
    for power, tally in tallies:
        if tally.met:
            return power
    power, best = max(tallies, key=lambda pair: pair[1].have - pair[1].need)
    missing = f", among them {', '.join(best.missing_offices)}" if best.missing_offices else ""
    raise NotAuthorised(
        "authority.quorum",
        f"Expected {best.need} signatures of distinct holders from {', '.join(power.offices)}"
        f"{missing} to {verb}, got {best.have}.",
    )


def check_office(
    agreement: Agreement, charter: Charter, act: tuple[str, str], keyids: frozenset[str], at_ms: int
) -> None:
    """An act says by which office it is, and is shown as that office's: so one of its keys must
    have signed, and under a power that is met it must be one of the power's offices, or stand in
    for one. Else ``NotAuthorised``."""
    verb, name = act
    office = charter.office(name)
    stand_ins = agreement.stand_ins(charter.party, verb, at_ms)
    able = {
        room
        for power in agreement.powers_of(charter.party, verb, at_ms)
        if tally_quorum(power, charter, keyids, stand_ins).met
        for one in power.offices
        for room in (one, *stand_ins.get(one, ()))
    }
    if office is None or not keyids & set(office.keys) or name not in able:
        named = sorted(able)
        raise NotAuthorised(
            "authority.office",
            f"Expected the office of the act to be one that signed it with the power to {verb} "
            f"({', '.join(named)}), got {name}.",
            path="$.office",
        )
