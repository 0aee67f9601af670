"""Preview: what a publication holds and what would come of it, before anything is taken (R41).

It tells how many there are of what, what does not meet the eye, and what each reader would be
given or not, and why. Not told: what of it is known here already.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from detente.gateway.batch import Batch
from detente.gateway.feeds import decide_for
from detente.gateway.gate import Current
from detente.gateway.stated import Publication, Refused
from detente.model.names import Record
from detente.wire.insides import insides
from detente.wire.stated import look

__all__ = ["Preview", "preview_of"]

#: Readers that are told one by one.
READERS_MAX: Final = 20
#: Refusals, names of a sort and ids that are told by name; all are counted.
TOLD_MAX: Final = 100


class Hidden(Record, frozen=True, kw_only=True, omit_defaults=False):
    """What does not meet the eye, each with the number of objects that have it. ``payloads`` are
    texts in base64, ``payload_bytes`` what they decode to together, the largest
    ``payload_bytes_max``; ``embedded`` objects inside of objects."""

    properties: dict[str, int]
    extensions: dict[str, int]
    payloads: int
    payload_bytes: int
    payload_bytes_max: int
    embedded: int


class Towards(Record, frozen=True, kw_only=True, omit_defaults=False):
    """How many objects would be released, moderated, held and refused towards one reader, and for
    how many of them which reason (code and words) stands in the way or lets them go."""

    outcomes: dict[str, int]
    reasons: dict[str, int]


class Preview(Record, frozen=True, kw_only=True, omit_defaults=False):
    """What a publication holds. ``objects`` are all that came, ``acceptable`` those that could be
    taken; all other counts are of these. ``outside`` are ids that they refer to and that are not
    in the publication."""

    agreement: str
    collection: str
    objects: int
    acceptable: int
    persons: int
    by_kind: dict[str, int]
    by_type: dict[str, int]
    by_marking: dict[str, int]
    bulk: dict[str, int]
    tests: dict[str, str]
    hidden: Hidden
    outside: int
    outside_ids: tuple[str, ...]
    to: dict[str, Towards]
    readers: int
    refused_count: int
    refused: tuple[Refused, ...]


def preview_of(
    publication: Publication, current: Current, batch: Batch, refused: list[Refused], own: str
) -> Preview:
    """The preview of a batch that could be entered."""
    agreement = current.standing.agreement
    of_persons = {kind.id for kind in agreement.kinds if kind.persons} if agreement else set()
    handlings = [batch.handlings[sort] for sort in batch.sorts]
    here = {one.id for one in batch.objects}
    names: dict[str, Counter[str]] = {"properties": Counter(), "extensions": Counter()}
    payloads: list[int] = []
    embedded = persons = 0
    outside: dict[str, None] = {}
    for one, handling in zip(batch.objects, handlings, strict=True):
        found = insides(one.raw)
        persons += found.person or handling.kind in of_persons
        names["properties"].update(found.properties)
        names["extensions"].update(found.extensions)
        payloads += found.payloads
        embedded += found.embedded
        outside |= dict.fromkeys(ref for ref in look(one.raw).refs if ref not in here)
    collection = agreement.collection(publication.collection) if agreement else None
    readers = collection.readers if collection else ()
    return Preview(
        agreement=publication.agreement,
        collection=publication.collection,
        objects=len(batch.objects) + len(refused),
        acceptable=len(batch.objects),
        persons=persons,
        by_kind=_counts(Counter(one.kind for one in handlings)),
        by_type=_counts(Counter(one.type for one in batch.objects)),
        by_marking=_counts(Counter(m for one in handlings for m in one.markings or ("unmarked",))),
        bulk=batch.bulk,
        tests={one.test: "passed" if one.passed else "failed" for one in batch.tests},
        hidden=Hidden(
            properties=_counts(names["properties"]),
            extensions=_counts(names["extensions"]),
            payloads=len(payloads),
            payload_bytes=sum(payloads),
            payload_bytes_max=max(payloads, default=0),
            embedded=embedded,
        ),
        outside=len(outside),
        outside_ids=tuple(outside)[:TOLD_MAX],
        to={party: _towards(current, batch, own, party) for party in readers[:READERS_MAX]},
        readers=len(readers),
        refused_count=len(refused),
        refused=tuple(sorted(refused, key=lambda one: one.index)[:TOLD_MAX]),
    )


def _counts(found: Counter[str]) -> dict[str, int]:
    return dict(found.most_common(TOLD_MAX))


def _towards(current: Current, batch: Batch, own: str, party: str) -> Towards:
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for sort, count in Counter(batch.sorts).items():
        decision = decide_for(current, batch.handlings[sort], own=own, party=party)
        outcomes[decision.outcome] += count
        for words in {f"{reason.code}: {reason.words}" for reason in decision.reasons}:
            reasons[words] += count
    return Towards(outcomes=dict(outcomes), reasons=_counts(reasons))
