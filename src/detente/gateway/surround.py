"""Surround: what a batch becomes by what lies around it in its collection.

*Bulk* (R41): of a kind with ``bulk_max``, the objects of the publication are counted together with
those of the kind that entered the collection in the minute before. If that is more than
``bulk_max``, each new one waits for review. So a publication cut into parts passes no more than
``bulk_max`` a minute, whoever sends the parts; it does pass that much, minute after minute, and
what is sent again within the minute counts again. The guard is against the mistake of one moment,
not against somebody with patience.

*References* (R36): what an object refers to is looked up once, as it is when the object is entered:
in the publication and in the collection, in both if it is in both. What comes later, or is marked
otherwise later, changes nothing in what has been entered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from detente.errors import Invalid
from detente.gateway.batch import Batch
from detente.gateway.book import split_key
from detente.gateway.feeds import Decided
from detente.gateway.gate import Current
from detente.gateway.stated import Refused, Warned, refusal
from detente.model import Agreement, Handling, Referred, Step, decode, encode, object_key
from detente.model.demand import StepName
from detente.ports import View
from detente.wire.stix import CutObject, Limits
from detente.wire.transformed import recut, transformed

__all__ = ["DROPPED", "REFERRED_MAX", "Around", "asks_around", "set_in_surround"]

#: Distinct objects, as decisions see them, that a handling has beside it; more count as unknown.
REFERRED_MAX: Final = 16
#: Ids that are followed from one object; more count as unknown.
FOLLOWED_MAX: Final = 1_000
#: How often objects are looked at again because what they refer to was refused.
ROUNDS_MAX: Final = 10
#: What came in so long before counts along.
BULK_WINDOW_US: Final = 60_000_000
#: The name under which references that are not given are taken out, on the record.
DROPPED: Final[StepName] = "drop-references"

_STEPS: Final = (Step(do=DROPPED),)
_UNKNOWN: Final = Referred()


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """Where a batch is to be entered, and when."""

    key: str
    current: Current
    own: str
    now_us: int
    limits: Limits


def asks_around(agreement: Agreement, batch: Batch) -> bool:
    """True if what lies around the batch bears on it."""
    named = {handling.kind for handling in batch.handlings}
    return any(
        kind.id in named and (kind.bulk_max is not None or kind.references != "keep")
        for kind in agreement.kinds
    )


def set_in_surround(
    view: View, agreement: Agreement, batch: Batch, around: Around
) -> tuple[list[Refused], list[Warned]]:
    """Give the objects of a batch the handling that what lies around them asks for; those that
    cannot stand without references that are not given, and what was taken out of others."""
    _set_bulk(view, agreement, batch, around)
    if not batch.refs:
        return [], []
    references = _References(view, agreement, batch, around.key)
    dropping = [at for at in batch.refs if _asks(agreement, batch, at) == "drop"]
    refused, warned = _drop(references, batch, dropping, around) if dropping else ([], [])
    gone = {one.index for one in refused}
    references.forget([at for at, one in enumerate(batch.objects) if one.index in gone])
    for at in batch.refs:
        if _asks(agreement, batch, at) == "hold":
            refers = references.beside(batch.refs[at])
            handling = batch.handlings[batch.sorts[at]]
            batch.sorts[at] = batch.sort_of(replace(handling, refers=refers))
    batch.take_out(gone)
    return refused, warned


def _asks(agreement: Agreement, batch: Batch, at: int) -> str:
    kind = agreement.kind(batch.handlings[batch.sorts[at]].kind)
    return kind.references if kind else "keep"


def _set_bulk(view: View, agreement: Agreement, batch: Batch, around: Around) -> None:
    limits = {kind.id: kind.bulk_max for kind in agreement.kinds if kind.bulk_max is not None}
    counts: dict[str, int] = {}
    for sort in batch.sorts:
        kind = batch.handlings[sort].kind
        if kind in limits:
            counts[kind] = counts.get(kind, 0) + 1
    if not counts:
        return
    end = view.collection(around.key).end
    since = view.seq_after(around.key, around.now_us - BULK_WINDOW_US)
    before = dict.fromkeys(counts, 0)
    for number, data in view.handlings(around.key).items() if since < end else ():
        kind = decode(data, Handling).kind
        if kind in before:
            before[kind] += view.count(around.key, number, since, end)
    over = {kind for kind, count in counts.items() if count + before[kind] > limits[kind]}
    batch.bulk = {kind: counts[kind] + before[kind] for kind in sorted(over)}
    if not over:
        return
    moved: dict[int, int] = {}
    for place, handling in enumerate(list(batch.handlings)):
        if handling.kind in over:
            flags = tuple(sorted({*handling.flags, "bulk"}))
            moved[place] = batch.sort_of(replace(handling, flags=flags))
    batch.sorts[:] = [moved.get(sort, sort) for sort in batch.sorts]


class _References:
    """What ids lead to: how objects of the publication and of the collection are handled."""

    def __init__(self, view: View, agreement: Agreement, batch: Batch, key: str) -> None:
        self._view, self._key = view, key
        self._handlings = {
            number: decode(data, Handling) for number, data in view.handlings(key).items()
        }
        self._batch: dict[str, list[int]] = {}
        for at, one in enumerate(batch.objects):
            self._batch.setdefault(one.id, []).append(at)
        self._refs = batch.refs
        # As they are before anything is set beside them.
        self._base = [batch.handlings[sort] for sort in batch.sorts]
        self._stored: dict[str, Handling | None] = {}
        self._closed = {kind.id for kind in agreement.kinds if kind.references == "hold"}

    def handlings(self, ref: str) -> list[Handling]:
        """The handlings of all that an id leads to; none if it leads nowhere."""
        found = [self._base[at] for at in self.places(ref)]
        stored = self.stored(ref)
        return [*found, stored] if stored is not None else found

    def places(self, ref: str) -> list[int]:
        """Where objects of this id are in the batch."""
        return self._batch.get(ref, [])

    def stored(self, ref: str) -> Handling | None:
        """The handling of the newest object of this id in the collection."""
        if ref not in self._stored:
            self._stored[ref] = self._newest(ref)
        return self._stored[ref]

    def forget(self, places: Iterable[int]) -> None:
        """Leave out objects that are not taken."""
        gone = set(places)
        if gone:
            for ref, its in self._batch.items():
                self._batch[ref] = [at for at in its if at not in gone]

    def _newest(self, ref: str) -> Handling | None:
        for seq in sorted(self._view.find(self._key, object_key(ref)), reverse=True):
            block = self._view.block(self._key, seq)
            if block is not None and not self._view.recalled(self._key, seq, seq + 1):
                return self._handlings[block.handlings[seq - block.first]]
        return None

    def beside(self, refs: Iterable[str]) -> tuple[Referred, ...]:
        """What is set beside an object: what it refers to, and what that refers to in turn where
        its kind is held for it; else it could be given though what it refers to waits."""
        found: set[Referred] = set()
        ahead, seen = list(refs), set(refs)
        while ahead and len(found) <= REFERRED_MAX:
            if len(seen) > FOLLOWED_MAX:
                found.add(_UNKNOWN)
                break
            ref = ahead.pop()
            handlings = self.handlings(ref)
            found |= {Referred.to(one) for one in handlings} or {_UNKNOWN}
            for one in handlings:
                found |= set(one.refers)
            for at in self.places(ref):
                if self._base[at].kind in self._closed:
                    more = [one for one in self._refs.get(at, ()) if one not in seen]
                    ahead += more
                    seen |= set(more)
        if len(found) > REFERRED_MAX:
            found = {*sorted(found - {_UNKNOWN}, key=encode)[:REFERRED_MAX], _UNKNOWN}
        return tuple(sorted(found, key=encode))


class _Dropping:
    """Takes out of objects the references that lead nowhere, or to what some reader is not given
    now. An object that cannot do without is refused, and then leads nowhere itself."""

    def __init__(self, references: _References, batch: Batch, given: frozenset[str]) -> None:
        self._references, self._batch, self._given = references, batch, given
        self._users: dict[str, list[int]] = {}
        self.changed: dict[int, tuple[CutObject, int]] = {}
        self.refused: dict[int, Refused] = {}

    def run(self, places: Collection[int], limits: Limits) -> None:
        """Settle all of them."""
        for at in places:
            for ref in self._batch.refs[at]:
                self._users.setdefault(ref, []).append(at)
        lost: set[str] = set()
        now = list(places)
        for _ in range(ROUNDS_MAX):
            refused = [at for at in now if not self._settle(at, lost, limits)]
            fresh = self._lost(refused) - lost
            if not fresh:
                return
            lost |= fresh
            now = self._users_of(fresh)
        # A chain as long as this is no intelligence; what hangs on it is refused to its end, each
        # object once, without looking what would be left of it.
        while now:
            for at in now:
                self._refuse(
                    at,
                    Invalid(
                        "publish.references",
                        "Expected references that are settled after "
                        f"{ROUNDS_MAX} rounds, got a longer chain.",
                    ),
                )
            now = self._users_of(self._lost(now))

    def _users_of(self, ids: Iterable[str]) -> list[int]:
        found = {at for one in ids for at in self._users.get(one, ())}
        return sorted(found - self.refused.keys())

    def _lost(self, places: Iterable[int]) -> set[str]:
        ids = {self._batch.objects[at].id for at in places}
        return {one for one in ids if self._is_lost(one)}

    def _is_lost(self, stix_id: str) -> bool:
        """True if nothing of that id is left, neither here nor in the collection."""
        places = self._references.places(stix_id)
        return all(at in self.refused for at in places) and not self._references.stored(stix_id)

    def _settle(self, at: int, lost: set[str], limits: Limits) -> bool:
        one = self._batch.objects[at]
        refs = frozenset(self._batch.refs[at])
        left = (refs & self._given) - lost
        if left == refs:
            return True
        try:
            raw = transformed(one.raw, _STEPS, left | {one.id})
            self.changed[at] = (recut(one, raw, limits, DROPPED), len(refs - left))
        except Invalid as error:
            self._refuse(at, error)
            return False
        return True

    def _refuse(self, at: int, error: Invalid) -> None:
        self.changed.pop(at, None)
        self.refused[at] = refusal(self._batch.objects[at], error)


def _drop(
    references: _References, batch: Batch, places: Collection[int], around: Around
) -> tuple[list[Refused], list[Warned]]:
    refs = {ref for at in places for ref in batch.refs[at]}
    dropping = _Dropping(references, batch, _given(references, refs, around))
    dropping.run(places, around.limits)
    warned = []
    for at, (one, count) in dropping.changed.items():
        batch.change(at, one, (DROPPED, batch.objects[at].sha256, one.sha256))
        warned.append(
            Warned(
                index=one.index,
                id=one.id,
                code="publish.references-dropped",
                sentence=f"{count} references to what is not given were taken out.",
            )
        )
    return list(dropping.refused.values()), warned


def _given(references: _References, refs: Iterable[str], around: Around) -> frozenset[str]:
    """The ids that lead to what every reader is given now."""
    found = {ref: references.handlings(ref) for ref in refs}
    numbered = dict(enumerate(dict.fromkeys(one for all_ in found.values() for one in all_)))
    agreement = around.current.standing.agreement
    name = split_key(around.key)[1]
    collection = agreement.collection(name) if agreement else None
    decided = Decided(around.current, around.own)
    held: set[Handling] = set()
    same: set[int] = set()
    for reader in collection.readers if collection else ():
        outcomes = decided.outcomes(name, numbered, reader)
        if id(outcomes) not in same:
            same.add(id(outcomes))
            held |= {numbered[n] for n, outcome in outcomes.items() if outcome != "release"}
    return frozenset(ref for ref, its in found.items() if its and held.isdisjoint(its))
