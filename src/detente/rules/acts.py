"""Acts: what makes a directive, an assurance or a withdrawal count, whoever asks.

The node asks before it records an act, and whoever checks a copy of the record asks again: by one
rule, or the record would prove something else than what was done. An own act is judged at the
instant of its entry, a partner's at its own instant and under the papers it was made under.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from detente.errors import Conflict, Missing, NotAuthorised
from detente.proof import Envelope
from detente.rules.authority import (
    check_assessment,
    check_assurance,
    check_directive,
    check_withdrawal,
)
from detente.rules.standing import (
    Act,
    AgreementOpened,
    AssessmentMade,
    AssuranceGiven,
    DirectiveEffect,
    Standing,
    fold_named,
)

__all__ = ["Named", "check_act", "check_new", "check_peer_act", "named_in"]


class Named(msgspec.Struct, frozen=True):
    """The agreement that a document names, and the digest of its version if it names one."""

    agreement: str
    agreement_digest: str = ""


def named_in(envelope: Envelope) -> Named:
    """What a document names, before anything of it is believed."""
    try:
        return msgspec.json.decode(envelope.payload, type=Named)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Missing(
            "agreement.unknown", "Expected a document that names an agreement."
        ) from error


def check_act(
    use: str, envelope: Envelope, standing: Standing, *, at_ms: int, exercise: bool
) -> tuple[str, str]:
    """Whose act it is and its name, if it counts at that instant under that standing.

    Raises what the rule for its use raises. Not checked: that the standing is that of the instant,
    and that the act is not recorded yet.
    """
    if use == "directive":
        directive, _ = check_directive(envelope, standing, at_ms=at_ms, exercise=exercise)
        return directive.issuer, directive.id
    if use == "assurance":
        assurance = check_assurance(envelope, standing, at_ms=at_ms, exercise=exercise)
        return assurance.giver, assurance.id
    if use == "withdrawal":
        withdrawal = check_withdrawal(envelope, standing, at_ms=at_ms, exercise=exercise)
        return withdrawal.giver, withdrawal.id
    if use == "assessment":
        assessment = check_assessment(envelope, standing, at_ms=at_ms, exercise=exercise)
        return assessment.assessor, assessment.id
    raise Conflict("peer.act", f"Expected directive, assurance or withdrawal, got {use}.")


def check_peer_act(
    use: str,
    envelope: Envelope,
    acts: Sequence[Act],
    *,
    at_ms: int,
    known_ms: int,
    exercise: bool,
) -> tuple[str, str]:
    """Like ``check_act`` for a partner's act of ``at_ms`` that came when ``acts`` were known: by
    the version of the agreement that it names, and by the charters as they are known at
    ``known_ms`` or as they were known here at its instant.

    From when a newer version is known here, the act must count by that one as well: what the
    parties have agreed to ask for since is not got round by going on under the old. What a party
    thinks of its partners is none of them.
    """
    if use == "assessment":
        raise Conflict("peer.act", f"Expected directive, assurance or withdrawal, got {use}.")
    version = named_in(envelope).agreement_digest
    refusals = []
    # A key that a newer charter has dropped was good as long as this node knew of no other.
    for charters_ms in (known_ms, at_ms):
        try:
            found = ("", "")
            for standing in _standings(acts, at_ms, version, charters_ms):
                found = check_act(use, envelope, standing, at_ms=at_ms, exercise=exercise)
        except NotAuthorised as error:
            refusals.append(error)
        else:
            check_new(use, found, acts)
            return found
    raise refusals[0]


def _standings(
    acts: Sequence[Act], at_ms: int, version: str, charters_ms: int
) -> Iterator[Standing]:
    """Those under which an act that names this version must count."""
    yield fold_named(acts, at_ms, version, known_ms=charters_ms)
    opened = [act for act in acts if isinstance(act, AgreementOpened) and act.at_ms <= at_ms]
    newest = max(opened, key=lambda one: one.agreement.version, default=None)
    if newest is not None and version not in ("", newest.digest):
        standing = fold_named(acts, at_ms, newest.digest, known_ms=charters_ms)
        if standing.agreement_in_force:
            yield msgspec.structs.replace(standing, agreement_digest=version)


def check_new(use: str, named: tuple[str, str], acts: Sequence[Act]) -> None:
    """Refuse a second act of a party under one name, whichever claims to be the earlier, and also
    where the first is over: what was taken back or has ended does not count again."""
    known = {
        ("directive", act.directive.issuer, act.directive.id)
        if isinstance(act, DirectiveEffect)
        else ("assurance", act.assurance.giver, act.assurance.id)
        if isinstance(act, AssuranceGiven)
        else ("assessment", act.assessment.assessor, act.assessment.id)
        for act in acts
        if isinstance(act, DirectiveEffect | AssuranceGiven | AssessmentMade)
    }
    if (use, *named) in known:
        raise Conflict(f"{use}.replayed", f"Expected a new {use}, got {named[1]} again.")
