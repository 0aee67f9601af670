"""Markings: whether what an item is marked with lets it go to a party (R36).

Every marking is asked by itself and any of them can keep the item back, so the strictest wins, and
one more never opens what was closed. One that is not known means hold.

    tlp:clear green amber amber+strict red   up to the limit of the agreement or of the kind
    pap:clear green amber red                up to the limit of the agreement, if it has one
    rel:… noforn:COUNTRY                     to those named (``rules.releasability``)
    orcon                                    from its originator only
    europol:h0 h1 h2 h3, cise:…, iep:…, acs:…   where the parties agreed on the scheme; h2 also
                                             from its originator only
    statement:…                              always: it is for people
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from detente.model import Agreement, Handling
from detente.rules.reason import Reason
from detente.rules.releasability import Verdict, parse_releasable

__all__ = ["AGREED_SCHEMES", "CISE_LEVELS", "PAP_LEVELS", "TLP_LEVELS", "marking_holds"]

#: FIRST TLP 2.0, least to most restrictive. TLP 1.0's white is clear under its old name.
TLP_LEVELS: Final = ("clear", "green", "amber", "amber+strict", "red")
#: Permissible Actions Protocol, least to most restrictive; white is clear under its old name.
PAP_LEVELS: Final = ("clear", "green", "amber", "red")
#: CISE's degrees of sensitivity, which are those of the Traffic Light Protocol, or not said.
CISE_LEVELS: Final = ("white", "green", "amber", "red", "non-specified")
#: Schemes of which an item is given only where ``Agreement.markings`` names them, with their
#: values (any if none are listed).
AGREED_SCHEMES: Final[dict[str, tuple[str, ...]]] = {
    "acs": (),
    "cise": CISE_LEVELS,
    "europol": ("h0", "h1", "h2", "h3"),
    "iep": (),
}


class _Ask(msgspec.Struct, frozen=True):
    agreement: Agreement
    handling: Handling
    sender: str
    recipient: str


def marking_holds(
    agreement: Agreement, handling: Handling, sender: str, recipient: str
) -> tuple[Reason, ...]:
    """Every reason why the markings keep the item from the recipient. Where some of them are those
    of a part of the object, the words say so: it is not said of which."""
    ask = _Ask(agreement, handling, sender, recipient)
    found = [reason for marking in handling.markings for reason in _asked(ask, marking)]
    if "part" in handling.flags:
        found = [
            replace(
                one,
                words=f"{one.words} It may be only a part of the object that is marked so.",
                remedy=f"{one.remedy} A tear-line without that part may go.",
            )
            for one in found
        ]
    return tuple(found)


def _asked(ask: _Ask, marking: str) -> tuple[Reason, ...]:
    scheme, _, value = marking.partition(":")
    if scheme == "statement":
        return ()
    if scheme in AGREED_SCHEMES:
        return _agreed(ask, marking, scheme, value)
    asked = _SCHEMES.get(scheme)
    return asked(ask, marking, value) if asked else (_unknown(marking),)


def _unknown(marking: str) -> Reason:
    return Reason(
        code="marking.unknown",
        source=f"marking {marking}",
        words=f"Marking {marking} is not known here, so nothing is assumed.",
        remedy="The originator marks a new version by a scheme that is known here.",
    )


def _tlp(ask: _Ask, marking: str, value: str) -> tuple[Reason, ...]:
    if value not in TLP_LEVELS:
        return (_unknown(marking),)
    kind = ask.agreement.kind(ask.handling.kind)
    limit, allowing = ask.agreement.tlp_max, "the agreement"
    if kind is not None and kind.tlp_max is not None:
        lower = TLP_LEVELS.index(kind.tlp_max) < TLP_LEVELS.index(limit)
        limit, allowing = (kind.tlp_max, f"kind {kind.id}") if lower else (limit, allowing)
    if TLP_LEVELS.index(value) <= TLP_LEVELS.index(limit):
        return ()
    return (
        Reason(
            code="marking.above-limit",
            source=f"marking {marking}",
            words=f"Marked {marking}; {allowing} allows tlp:{limit}.",
            remedy=f"The originator marks a new version tlp:{limit} or lower.",
        ),
    )


def _pap(ask: _Ask, marking: str, value: str) -> tuple[Reason, ...]:
    limit = ask.agreement.pap_max
    if value not in PAP_LEVELS:
        return (_unknown(marking),)
    if limit is None:
        return (
            Reason(
                code="marking.pap-without-limit",
                source=f"marking {marking}",
                words=f"Marked {marking}; the agreement has no limit for PAP.",
                remedy="The parties agree on a limit for PAP.",
            ),
        )
    if PAP_LEVELS.index(value) <= PAP_LEVELS.index(limit):
        return ()
    return (
        Reason(
            code="marking.pap-above-limit",
            source=f"marking {marking}",
            words=f"Marked {marking}; the agreement allows pap:{limit}.",
            remedy=f"The originator marks a new version pap:{limit} or lower.",
        ),
    )


def _releasable(ask: _Ask, marking: str, value: str) -> tuple[Reason, ...]:
    named = parse_releasable(marking)
    member = ask.agreement.member(ask.recipient)
    if named is None or member is None:
        return (_unknown(marking),)
    verdict = named.verdict(member)
    return () if verdict == "yes" else (_not_named(ask, marking, value, verdict),)


def _not_named(ask: _Ask, marking: str, value: str, verdict: Verdict) -> Reason:
    source, who = f"marking {marking}", ask.recipient
    if verdict == "no-country":
        return Reason(
            code="marking.country-unsaid",
            source=source,
            words=f"Marked {marking}; the agreement does not say the country of {who}.",
            remedy=f"The parties agree on the country of {who}.",
        )
    if verdict == "some-units":
        return Reason(
            code="marking.some-units",
            source=source,
            words=f"Marked {marking}; of {who} only some units are named, and on the way they "
            "cannot be told apart.",
            remedy=f"The originator names {who} or all of its units.",
        )
    if marking.startswith("noforn:"):
        return Reason(
            code="marking.no-foreign",
            source=source,
            words=f"Marked {marking}; {who} is no party of {value}.",
            remedy="The originator marks a new version without it.",
        )
    return Reason(
        code="marking.not-releasable",
        source=source,
        words=f"Marked {marking}, which does not name {who}.",
        remedy=f"The originator names {who} or its country.",
    )


def _controlled(ask: _Ask, marking: str, value: str = "") -> tuple[Reason, ...]:
    """Who passes on another's item needs the originator's consent; that is not given here."""
    if value:
        return (_unknown(marking),)
    originator = ask.handling.originator
    if originator == ask.sender:
        return ()
    return (
        Reason(
            code="marking.originator-control",
            source=f"marking {marking}",
            words=f"Marked {marking}: {originator} decides who receives it, not {ask.sender}.",
            remedy=f"{originator} gives it itself, or consents to {ask.recipient}.",
        ),
    )


def _agreed(ask: _Ask, marking: str, scheme: str, value: str) -> tuple[Reason, ...]:
    values = AGREED_SCHEMES[scheme]
    if not value or (values and value not in values):
        return (_unknown(marking),)
    controlled = _controlled(ask, marking) if marking == "europol:h2" else ()
    if scheme in ask.agreement.markings:
        return controlled
    return (
        Reason(
            code="marking.not-agreed",
            source=f"marking {marking}",
            words=f"Marked {marking}; the agreement does not say that its parties understand "
            f"{scheme}.",
            remedy=f"The parties agree on markings of {scheme}.",
        ),
        *controlled,
    )


_SCHEMES: Final[dict[str, Callable[[_Ask, str, str], tuple[Reason, ...]]]] = {
    "noforn": _releasable,
    "orcon": _controlled,
    "pap": _pap,
    "rel": _releasable,
    "tlp": _tlp,
}
