"""Why: a decision as a short tree, each reason with what it rests on, and when it turns by itself.

A *cause* is a reason of the decision; its *grounds* are the clauses, markings, orders and promises
that it names, each with its words, whose it is and how long it holds. A *turn* is the next instant
at which the clock alone brings another outcome. Pure: what lies in the store (texts of marking
definitions, who signed) is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from detente.model import Agreement, Handling
from detente.model.names import Record
from detente.rules.caveats import level_words
from detente.rules.decision import Decision, Reason, decide
from detente.rules.standing import Act, Standing, fold

__all__ = ["Cause", "Ground", "Texts", "Turn", "Turns", "causes_of", "phrases"]

#: Instants ahead at which a decision is made anew to find the one that turns it. What comes later
#: than so many changes of the standing will have been ordered otherwise by then.
LOOKS_MAX = 200
#: Readers of a collection that are named.
READERS_MAX = 10

#: What the levels of FIRST TLP 2.0 let a recipient do, in short.


class Ground(Record, frozen=True, kw_only=True):
    """What a reason rests on: ``what`` it is (``agreement``, ``kind``, ``marking``, ``directive``,
    ``assurance`` …), its name and words; whose, by which offices, since when and until when."""

    what: str
    name: str
    words: str = ""
    by: str = ""
    offices: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    digest: str = ""


class Cause(Record, frozen=True, kw_only=True):
    """A reason with its grounds. ``remedy``: what would have to change for another outcome;
    ``review``: an office with the power to review may pass a single item in spite of it."""

    code: str
    source: str
    words: str
    remedy: str = ""
    review: bool = False
    grounds: tuple[Ground, ...] = ()


class Turn(Record, frozen=True, kw_only=True):
    """From ``at_ms`` on it stands otherwise, if nobody acts: how, and because of what."""

    at_ms: int
    state: str
    because: tuple[str, ...] = ()


class Texts(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows and rules do not: texts of markings by their names, and by the digest of
    a directive the offices whose keys signed it."""

    markings: Mapping[str, str] = msgspec.field(default_factory=dict)
    signed: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)


def causes_of(standing: Standing, decision: Decision, texts: Texts) -> tuple[Cause, ...]:
    """The reasons of a decision that was made under this standing, in their order."""
    return tuple(
        Cause(
            code=reason.code,
            source=reason.source,
            words=reason.words,
            remedy=_remedy(standing, reason),
            review=reason.review,
            grounds=tuple(
                ground
                for what, name in phrases(reason)
                for ground in _grounds(standing, what, name, texts)
            ),
        )
        for reason in decision.reasons
    )


def phrases(reason: Reason) -> Iterator[tuple[str, str]]:
    """What a reason names: ``("directive", "D1")``, ``("kind", "PE")`` …"""
    for phrase in (*reason.source.split(", "), *reason.rests):
        what, _, name = phrase.partition(" ")
        yield what, name


def _remedy(standing: Standing, reason: Reason) -> str:
    """Who may resume is said here, not with each decision: it is asked for seldom."""
    agreement = standing.agreement
    if reason.code != "directive" or agreement is None:
        return reason.remedy
    issuers = {
        order.directive.issuer
        for order in standing.orders
        if ("directive", order.directive.id) in phrases(reason)
    }
    ways = [
        f"{power.threshold} of {', '.join(power.offices)}"
        + (f" ({', '.join(power.including)} among them)" if power.including else "")
        for issuer in sorted(issuers)
        for power in agreement.powers_of(issuer, "resume")
    ]
    return f"{reason.remedy} It takes {' or '.join(ways)}." if ways else reason.remedy


def _grounds(standing: Standing, what: str, name: str, texts: Texts) -> Iterator[Ground]:
    if what == "directive":
        yield from _orders(standing, name, texts)
    elif what == "assurance":
        yield from _promises(standing, name)
    elif what == "marking":
        words = texts.markings.get(name) or level_words(name)
        yield Ground(what=what, name=name, words=words)
    elif what == "agreement" and standing.agreement is not None:
        terms = standing.agreement
        yield Ground(
            what=what,
            name=name,
            words=f"{terms.title}. Legal basis: {terms.legal_basis}",
            by=", ".join(member.party for member in terms.members[:READERS_MAX]),
            since_ms=terms.from_ms,
            until_ms=terms.until_ms,
            digest=standing.agreement_digest,
        )
    elif name:
        words = _clause(standing.agreement, what, name) if standing.agreement else ""
        yield Ground(what=what, name=name, words=words)


def _orders(standing: Standing, name: str, texts: Texts) -> Iterator[Ground]:
    # An id is its issuer's; where both sides have one of that name, both are shown.
    for order in standing.orders:
        directive = order.directive
        if directive.id == name:
            yield Ground(
                what="directive",
                name=name,
                words=f"{directive.verb}: {directive.reason}",
                by=directive.issuer,
                offices=texts.signed.get(order.digest) or (directive.office,),
                since_ms=order.since_ms,
                until_ms=order.until_ms,
                digest=order.digest,
            )


def _promises(standing: Standing, name: str) -> Iterator[Ground]:
    for promise in standing.promises:
        one = promise.assurance
        if one.id == name:
            terms = standing.agreement
            yield Ground(
                what="assurance",
                name=name,
                words=_clause(terms, "template", one.template) if terms else "",
                by=one.giver,
                offices=(one.office,),
                since_ms=promise.since_ms,
                until_ms=promise.until_ms,
                digest=promise.digest,
            )


def _clause(agreement: Agreement, what: str, name: str) -> str:
    """The agreement's own words of one of its parts; empty for what it has no words about."""
    if what == "kind":
        kind = agreement.kind(name)
        return kind.title if kind else ""
    if what == "collection":
        found = agreement.collection(name)
        if found is None:
            return ""
        more = ", …" if len(found.readers) > READERS_MAX else ""
        return f"{found.title}: {found.sender} to {', '.join(found.readers[:READERS_MAX])}{more}"
    words = {
        "template": {one.id: one.text for one in agreement.assurances},
        "purpose": {one.id: one.title for one in agreement.purposes},
        "minimisation": {one.id: one.title for one in agreement.minimisations},
        "test": {
            one.id: f"{one.title}: {' '.join(asked.text for asked in one.questions)}"
            for one in agreement.tests
        },
    }
    return words.get(what, {}).get(name, "")


class Turns:
    """The standings to come, folded once for all decisions that are asked about."""

    def __init__(self, acts: Sequence[Act], standing: Standing) -> None:
        self._acts = acts
        self._ahead = [standing]

    def next(self, handling: Handling, *, sender: str, recipient: str) -> Turn | None:
        """The first instant at which the outcome for this handling is another, if nobody acts;
        ``state`` is the outcome then. None where none is foreseen."""
        before: Decision | None = None
        for standing in self._standings():
            then = decide(standing, handling, sender=sender, recipient=recipient)
            if before is None:
                before = then
            elif then.outcome != before.outcome:
                return Turn(
                    at_ms=standing.at_ms, state=then.outcome, because=_because(before, then)
                )
        return None

    def _standings(self) -> Iterator[Standing]:
        for place in range(LOOKS_MAX + 1):
            if place == len(self._ahead):
                next_ms = self._ahead[-1].next_ms
                if next_ms is None:
                    return
                self._ahead.append(fold(self._acts, next_ms))
            yield self._ahead[place]


def _because(before: Decision, then: Decision) -> tuple[str, ...]:
    """What comes to stand in the way, else what no longer does."""
    if then.outcome != "release":
        known = {(reason.code, reason.source) for reason in before.reasons}
        come = [r.words for r in then.reasons if (r.code, r.source) not in known]
        return tuple(come or [reason.words for reason in then.reasons])
    left = {(reason.code, reason.source) for reason in then.reasons}
    return tuple(
        f"No longer: {reason.words}"
        for reason in before.reasons
        if (reason.code, reason.source) not in left
    )
