"""Reading: where an agreement demands that an order is read back before it lets anything go.

A stop never waits for this: what does not match is there to be seen, and the stop stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from detente.errors import Conflict, Invalid, NotAuthorised
from detente.model import Charter, Directive, ReadBack
from detente.proof import Envelope, signers
from detente.rules.authority import required_verbs
from detente.rules.document import keys_of, node_keys, open_document
from detente.rules.readback import VALUES, Texts, Values, compare
from detente.rules.standing import Standing

__all__ = ["check_read", "differing", "must_be_read", "open_read_back"]


def must_be_read(directive: Directive, standing: Standing) -> bool:
    """True if the agreement demands a read-back and the order lets anything go on."""
    terms = standing.agreement
    return terms is not None and terms.read_back and "resume" in required_verbs(directive, standing)


def open_read_back(
    envelope: Envelope, charter: Charter, *, exercise: bool
) -> tuple[ReadBack, frozenset[str]]:
    """A read-back that somebody with a key of the party signed, and by which keys; not its node,
    which reads nothing."""
    read = open_document(envelope, "read-back", ReadBack, exercise=exercise)
    signed = signers(envelope, keys_of(charter).values()) - node_keys(charter)
    if read.issuer != charter.party or not signed:
        raise NotAuthorised(
            "read-back.signer",
            f"Expected a read-back of an order of {charter.party}, signed by one of its officers, "
            f"got one of {read.issuer} with {len(signed)} such signatures.",
        )
    return read, signed


def differing(
    read: ReadBack, directive: Directive, standing: Standing, texts: Mapping[str, Texts]
) -> tuple[str, ...]:
    """The values in which a read-back differs from the order."""
    words = texts.get(read.language)
    if words is None:
        raise Invalid(
            "language.unknown", f"Expected one of {', '.join(texts)}, got {read.language}."
        )
    given = Values(**{name: getattr(read, name) for name in VALUES})
    return tuple(one.value for one in compare(directive, given, standing.agreement, words))


def check_read(
    directive: Directive,
    given: Iterable[tuple[ReadBack, frozenset[str]]],
    standing: Standing,
    texts: Mapping[str, Texts],
) -> None:
    """Refuse an order that lets anything go, if nobody has read it back as it is, or if somebody
    has read it otherwise and not yet rightly. ``given``: the read-backs of this very order."""
    if not must_be_read(directive, standing):
        return
    right: set[str] = set()
    wrong: dict[str, tuple[str, ...]] = {}
    for read, signed in given:
        differs = differing(read, directive, standing, texts)
        if differs:
            wrong |= dict.fromkeys(signed, differs)
        else:
            right |= signed
    open_ones = {key: values for key, values in wrong.items() if key not in right}
    if open_ones:
        values = sorted({value for one in open_ones.values() for value in one})
        raise Conflict(
            "directive.read-otherwise",
            f"Expected everybody to read {directive.id} alike, got others in {', '.join(values)}.",
            hint="Whoever read it otherwise reads it back once more.",
        )
    if not right:
        raise Conflict(
            "directive.unread",
            f"Expected a read-back of {directive.id} that matches, as the agreement demands of "
            "what lets anything go, got none.",
            hint="`detente directive read-back FILE --key KEY -o RB`, then enact with --read-back.",
        )
