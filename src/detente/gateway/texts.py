"""Texts: words for people that lie in the store, of markings and of who signed an order."""

from __future__ import annotations

from collections.abc import Iterable

from detente.model import object_key
from detente.ports import View
from detente.proof import decode as decode_envelope
from detente.rules.caveats import MarkingText
from detente.rules.standing import Order, Standing
from detente.wire.definition import FIXED_IDS, texts_of
from detente.wire.markings import marking_refs

__all__ = ["marking_texts", "marking_words", "signed_by"]


def marking_texts(
    view: View, key: str, markings: Iterable[str], raw: bytes = b""
) -> tuple[MarkingText, ...]:
    """What the definitions of these markings say, as far as they lie in the collection: those whose
    id is part of the name, and those that the object ``raw`` refers to."""
    ids = {name.partition(":")[2] for name in markings} | set(marking_refs(raw) if raw else ())
    found: list[MarkingText] = []
    for marking_id in sorted(ids - FIXED_IDS.keys()):
        # The first of an id counts, as it did when the object was entered.
        for seq in sorted(view.find(key, object_key(marking_id)))[:1]:
            block = view.block(key, seq)
            if block is not None and not view.recalled(key, seq, seq + 1):
                found += texts_of(marking_id, block.raw(seq))
    return tuple(found)


def marking_words(
    view: View, key: str, markings: Iterable[str], raw: bytes = b""
) -> dict[str, str]:
    """The same by name of the marking, one text for each."""
    found: dict[str, str] = {}
    for one in marking_texts(view, key, markings, raw):
        found[one.marking] = " ".join(filter(None, (found.get(one.marking), one.text)))
    return found


def signed_by(view: View, standing: Standing, order: Order) -> tuple[str, ...]:
    """The offices whose keys are on a directive, of those that may give such an order."""
    directive = order.directive
    document, terms = view.document(order.digest), standing.agreement
    charter = standing.charter(directive.issuer)
    if document is None or charter is None or terms is None:
        return (directive.office,)
    keys = {one.keyid for one in decode_envelope(document.envelope).signatures}
    able = terms.offices_of(directive.issuer, directive.verb, order.since_ms)
    return tuple(
        sorted(
            office.id
            for office in charter.offices
            if office.id in able | {directive.office} and keys & set(office.keys)
        )
    )
