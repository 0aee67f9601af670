"""Acts: what makes a directive, an assurance or a withdrawal count, whoever asks.

The node asks before it records an act, and whoever checks a copy of the record asks again: by one
rule, or the record would prove something else than what was done. An own act is judged at the
instant of its entry, a partner's at its own instant and under the papers it was made under.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from detente.errors import Conflict, Missing, NotAuthorised
from detente.proof import Envelope
from detente.rules.authority import check_assurance, check_directive, check_withdrawal
from detente.rules.standing import Act, Standing, fold_named

__all__ = ["Named", "check_act", "check_peer_act", "named_in"]


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
    ``known_ms`` or as they were known here at its instant."""
    version = named_in(envelope).agreement_digest
    refusals = []
    # A key that a newer charter has dropped was good as long as this node knew of no other.
    for charters_ms in (known_ms, at_ms):
        standing = fold_named(acts, at_ms, version, known_ms=charters_ms)
        try:
            return check_act(use, envelope, standing, at_ms=at_ms, exercise=exercise)
        except NotAuthorised as error:
            refusals.append(error)
    raise refusals[0]
