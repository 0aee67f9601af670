"""Surround: what a batch becomes by what lies around it in its collection.

*Bulk* (R41): of a kind with ``bulk_max``, the objects of the publication are counted together with
those of the kind that entered the collection in the minute before. If that is more than
``bulk_max``, each new one waits for review. So a publication cut into parts passes no more than
``bulk_max`` a minute, whoever sends the parts; it does pass that much, minute after minute, and
what is sent again within the minute counts again. The guard is against the mistake of one moment,
not against somebody with patience.

*References* (R36): what an object refers to is looked up once, as it is when the object is entered:
in the publication and in the collection, in both if it is in both. What comes later, or is marked
otherwise later, changes nothing in what has been entered. The store is only asked where ids lead
to, each once and no more than ``LOOKED_UP_MAX`` of them; what follows from it is worked out
afterwards, so that an order that stops a flow does not wait for a publication.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
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

__all__ = [
    "DROPPED",
    "LOOKED_UP_MAX",
    "REFERRED_MAX",
    "Around",
    "Seen",
    "asks_around",
    "bound_references",
    "look_around",
    "set_in_surround",
]

#: Distinct objects, as decisions see them, that a handling has beside it; more count as unknown.
REFERRED_MAX: Final = 16
#: Distinct ids that the objects of one publication may refer to, where references count.
LOOKED_UP_MAX: Final = 10_000
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


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What lies around a batch: how many of a kind came in shortly before, and the handling of the
    newest object of each id that is referred to, as far as the collection has any."""

    before: dict[str, int]
    stored: dict[str, Handling]


def bound_references(batch: Batch) -> list[Refused]:
    """Take out the objects with which the batch would refer to more ids than are looked up."""
    ids: set[str] = set()
    refused = []
    for at, refs in batch.refs.items():
        more = ids.union(refs) if len(refs) > LOOKED_UP_MAX - len(ids) else None
        if more is not None and len(more) > LOOKED_UP_MAX:
            error = Invalid(
                "publish.references-many",
                f"Expected a publication that refers to at most {LOOKED_UP_MAX} objects, got more.",
                hint="Publish it in smaller parts.",
            )
            refused.append(refusal(batch.objects[at], error))
        else:
            ids.update(refs)
    batch.take_out({one.index for one in refused})
    return refused


def look_around(view: View, agreement: Agreement, batch: Batch, around: Around) -> Seen:
    """Look at what lies around a batch. Nothing is followed here: this holds up a reader."""
    handlings = view.handlings(around.key)
    before = _came_before(view, agreement, batch, around, handlings)
    stored = {}
    for ref in dict.fromkeys(one for refs in batch.refs.values() for one in refs):
        number = _newest(view, around.key, ref)
        if number is not None:
            stored[ref] = decode(handlings[number], Handling)
    return Seen(before=before, stored=stored)


def set_in_surround(
    agreement: Agreement, batch: Batch, around: Around, seen: Seen
) -> tuple[list[Refused], list[Warned]]:
    """Give the objects of a batch the handling that what lies around them asks for; those that
    cannot stand without references that are not given, and what was taken out of others."""
    _set_bulk(agreement, batch, seen.before)
    if not batch.refs:
        return [], []
    asked = {at: _asks(agreement, batch, at) for at in batch.refs}
    holding = [at for at, rule in asked.items() if rule == "hold"]
    dropping = [at for at, rule in asked.items() if rule == "drop"]
    references = _References(batch, holding, seen.stored)
    refused, warned = _drop(references, batch, dropping, around) if dropping else ([], [])
    gone = {one.index for one in refused}
    # What was held for its references before may now refer to what has been refused.
    references.forget([at for at, one in enumerate(batch.objects) if one.index in gone])
    for at in holding:
        batch.sorts[at] = batch.sort_of(references.handling(at))
    batch.take_out(gone)
    return refused, warned


def _asks(agreement: Agreement, batch: Batch, at: int) -> str:
    kind = agreement.kind(batch.handlings[batch.sorts[at]].kind)
    return kind.references if kind else "keep"


def _limits(agreement: Agreement) -> dict[str, int]:
    return {kind.id: kind.bulk_max for kind in agreement.kinds if kind.bulk_max is not None}


def _came_before(
    view: View,
    agreement: Agreement,
    batch: Batch,
    around: Around,
    handlings: Mapping[int, bytes],
) -> dict[str, int]:
    limits = _limits(agreement)
    before = {kind: 0 for one in batch.handlings if (kind := one.kind) in limits}
    if not before:
        return before
    end = view.collection(around.key).end
    since = view.seq_after(around.key, around.now_us - BULK_WINDOW_US)
    for number, data in handlings.items() if since < end else ():
        kind = decode(data, Handling).kind
        if kind in before:
            before[kind] += view.count(around.key, number, since, end)
    return before


def _newest(view: View, key: str, ref: str) -> int | None:
    """The number of the handling of the newest object of this id that was not taken back."""
    for seq in sorted(view.find(key, object_key(ref)), reverse=True):
        block = view.block(key, seq)
        if block is not None and not view.recalled(key, seq, seq + 1):
            return block.handlings[seq - block.first]
    return None


def _set_bulk(agreement: Agreement, batch: Batch, before: Mapping[str, int]) -> None:
    limits = _limits(agreement)
    counts: dict[str, int] = {}
    for sort in batch.sorts:
        kind = batch.handlings[sort].kind
        if kind in limits:
            counts[kind] = counts.get(kind, 0) + 1
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

    def __init__(
        self, batch: Batch, holding: Collection[int], stored: Mapping[str, Handling]
    ) -> None:
        self._refs, self._stored = batch.refs, stored
        # As they are before anything is set beside them.
        self._base = [batch.handlings[sort] for sort in batch.sorts]
        self._batch: dict[str, list[int]] = {}
        for at, one in enumerate(batch.objects):
            self._batch.setdefault(one.id, []).append(at)
        #: The ids of what is held for its references; and of that, by what it refers to.
        self._holding = {at: batch.objects[at].id for at in holding}
        self._held_for: dict[str, list[str]] = {}
        for at, stix_id in self._holding.items():
            for ref in self._refs[at]:
                self._held_for.setdefault(ref, []).append(stix_id)
        self._beyond: dict[str, frozenset[Referred]] = {}
        self._beside: dict[int, Handling] = {}

    def handlings(self, ref: str) -> list[Handling]:
        """The handlings of all that an id leads to, as it is entered; none if it leads nowhere."""
        found = [self.handling(at) for at in self.places(ref)]
        stored = self._stored.get(ref)
        return [*found, stored] if stored is not None else found

    def places(self, ref: str) -> list[int]:
        """Where objects of this id are in the batch."""
        return self._batch.get(ref, [])

    def is_stored(self, ref: str) -> bool:
        """True if the collection has an object of this id, of those that are referred to."""
        return ref in self._stored

    def held_for(self, ref: str) -> list[str]:
        """The ids of what is held for its references and refers to this one."""
        return self._held_for.get(ref, [])

    def forget(self, places: Iterable[int]) -> None:
        """Leave out objects that are not taken."""
        gone = set(places)
        if gone:
            for ref, its in self._batch.items():
                self._batch[ref] = [at for at in its if at not in gone]
            self._beyond.clear()
            self._beside.clear()

    def handling(self, at: int) -> Handling:
        """The handling of an object of the batch, with what is set beside it where it is held for
        its references: what it refers to, and what that refers to in turn where it is held for it
        as well; else it could be given though what it refers to waits."""
        if at not in self._holding:
            return self._base[at]
        found = self._beside.get(at)
        if found is None:
            if not self._beyond:
                self._follow()
            refers = _bounded(one for ref in self._refs[at] for one in self._beyond[ref])
            found = replace(self._base[at], refers=tuple(sorted(refers, key=encode)))
            self._beside[at] = found
        return found

    def _follow(self) -> None:
        """Follow all references once: what lies beyond an id that leads to what is held for its
        references is put together of what lies beyond those."""
        ahead: dict[str, set[str]] = {}
        for at, stix_id in self._holding.items():
            ahead.setdefault(stix_id, set()).update(self._refs[at])
        for ref in {one for refs in ahead.values() for one in refs} - ahead.keys():
            self._beyond[ref] = _bounded(self._direct(ref))
        for circle in _circles(ahead):
            found = {one for ref in circle for one in self._direct(ref)}
            for ref in circle:
                # Those of the same circle have nothing yet; what they lead to is in it.
                for more in ahead[ref]:
                    found |= self._beyond.get(more, frozenset())
            bounded = _bounded(found)
            self._beyond.update(dict.fromkeys(circle, bounded))

    def _direct(self, ref: str) -> set[Referred]:
        """What an id leads to itself; what the collection has brings what was set beside it."""
        found = {Referred.to(self._base[at]) for at in self.places(ref)}
        stored = self._stored.get(ref)
        if stored is not None:
            found |= {Referred.to(stored), *stored.refers}
        return found or {_UNKNOWN}


def _bounded(many: Iterable[Referred]) -> frozenset[Referred]:
    """As many of them as are set beside an object, in the order of their bytes, so that it is the
    same whatever is left out on the way; the rest is unknown."""
    found = frozenset(many)
    if len(found) <= REFERRED_MAX:
        return found
    return frozenset({*sorted(found - {_UNKNOWN}, key=encode)[:REFERRED_MAX], _UNKNOWN})


def _circles(ahead: Mapping[str, Collection[str]]) -> Iterator[list[str]]:
    """The ids by circles of references, each circle after all that it leads to; what is in none is
    one by itself (Tarjan 1972, without recursion: a chain may be as long as a publication)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    path: list[str] = []
    for root in ahead:
        work = [] if root in number else [(root, iter(ahead[root]))]
        while work:
            ref, rest = work[-1]
            if ref not in number:
                number[ref] = low[ref] = len(number)
                path.append(ref)
            into = next((one for one in rest if one in ahead and one not in number), None)
            if into is not None:
                work.append((into, iter(ahead[into])))
                continue
            work.pop()
            # What has been told is in no circle with this.
            low[ref] = min([low[ref], *(low[one] for one in ahead[ref] if one in low)])
            if low[ref] == number[ref]:
                circle: list[str] = []
                while not circle or circle[-1] != ref:
                    circle.append(path.pop())
                    del low[circle[-1]]
                yield circle


class _Dropping:
    """Takes out of objects the references that lead nowhere, or to what some reader is not given
    now. An object that cannot do without is refused, and then leads nowhere itself."""

    def __init__(self, references: _References, batch: Batch, given: frozenset[str]) -> None:
        self._references, self._batch, self._given = references, batch, given
        self._users: dict[str, list[int]] = {}
        self._gone: set[str] = set()
        self.changed: dict[int, tuple[CutObject, int]] = {}
        self.refused: dict[int, Refused] = {}

    def run(self, places: Collection[int], limits: Limits) -> None:
        """Settle all of them."""
        for at in places:
            for ref in self._batch.refs[at]:
                self._users.setdefault(ref, []).append(at)
        now = list(places)
        for _ in range(ROUNDS_MAX):
            refused = [at for at in now if not self._settle(at, limits)]
            fresh = self._lost(refused)
            if not fresh:
                return
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
        """The ids that lead nowhere from now on, and those of what is held because it refers to
        them, or to what is held so."""
        ahead = [one for at in places if self._is_lost(one := self._batch.objects[at].id)]
        fresh: set[str] = set()
        while ahead:
            one = ahead.pop()
            if one not in self._gone:
                self._gone.add(one)
                fresh.add(one)
                ahead += self._references.held_for(one)
        return fresh

    def _is_lost(self, stix_id: str) -> bool:
        """True if nothing of that id is left, neither here nor in the collection."""
        places = self._references.places(stix_id)
        return all(at in self.refused for at in places) and not self._references.is_stored(stix_id)

    def _settle(self, at: int, limits: Limits) -> bool:
        one = self._batch.objects[at]
        refs = frozenset(self._batch.refs[at])
        left = (refs & self._given) - self._gone
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
