"""Origin: what is known here of where an object comes from, whatever its publication says.

What was derived from another object waits for a second person in every later version too: else its
author would publish the next one plainly, and it would go. And what another party gave under
originator control stays under that party's control when it is published on, also where the
publication says nothing of whose it is, or says that it is the publisher's own.

An object is known by its id only: what somebody copies under another id is not found here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from detente.gateway.batch import Batch
from detente.gateway.book import collection_key
from detente.gateway.gate import Gate
from detente.model import Agreement, Handling, decode, object_key
from detente.ports import View

__all__ = ["CONTROLLED", "asks_origin", "received_keys", "set_by_origin"]

#: Markings by which the originator decides who receives an item.
CONTROLLED: Final = frozenset({"europol:h2", "orcon"})


def asks_origin(agreement: Agreement, batch: Batch) -> bool:
    """True if it can matter where objects of the batch come from."""
    return agreement.second_person or any(map(_is_controlled, batch.handlings))


def received_keys(gate: Gate, own: str) -> list[str]:
    """The collections, of all agreements, that other parties send."""
    return [
        collection_key(agreement, collection.name)
        for agreement in gate.agreements()
        if (current := gate.current(agreement)) and (terms := current.standing.agreement)
        for collection in terms.collections
        if collection.sender != own
    ]


def set_by_origin(
    view: View, agreement: Agreement, batch: Batch, received: Collection[str]
) -> None:
    """Give the objects of a batch the flag ``derived`` and the originator that this node knows
    them by. It costs one look-up for each object where anything was ever derived here, and one for
    each collection received where the object is under originator control of its publisher."""
    derives = agreement.second_person and view.has_derived()
    for at, one in enumerate(batch.objects):
        handling = batch.handlings[batch.sorts[at]]
        known = handling
        if derives and view.derived(one.id, children=False, most=1):
            known = replace(known, flags=tuple(sorted({*known.flags, "derived"})))
        if _is_controlled(handling) and handling.originator == batch.sender:
            originator = _given_by(view, received, one.id, batch.sender)
            known = replace(known, originator=originator or batch.sender)
        if known != handling:
            batch.sorts[at] = batch.sort_of(known)


def _is_controlled(handling: Handling) -> bool:
    return not CONTROLLED.isdisjoint(handling.markings)


def _given_by(view: View, received: Collection[str], stix_id: str, sender: str) -> str | None:
    """Whose an object is by what it was received with, unless the sender's own. What was taken
    back counts too: its originator has not consented by that."""
    key = object_key(stix_id)
    for collection in received:
        for seq in view.find(collection, key):
            block = view.block(collection, seq)
            if block is not None:
                number = block.handlings[seq - block.first]
                originator = decode(view.handlings(collection)[number], Handling).originator
                if originator != sender:
                    return originator
    return None
