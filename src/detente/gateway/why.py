"""Why: how an item, or a whole feed, stands towards a party, for which reasons, and until when.

The decision is made anew by the rule that moves the feeds, under the standing in force or that of
a past instant, and set beside what the item's ranges and pages say became of it. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec.structs import replace

from detente.errors import Invalid, Missing
from detente.gateway.ask import item_state
from detente.gateway.book import Book, collection_key, split_key
from detente.gateway.feeds import count_of, decide_for, decode_feed, sender_of
from detente.gateway.gate import Current, Gate
from detente.gateway.outcomes import Outcomes
from detente.gateway.passed import carries
from detente.gateway.past import Past, Place
from detente.gateway.review import Decided, decided_of
from detente.gateway.texts import marking_words, signed_by
from detente.model import Handling, Kind, decode, object_key
from detente.model.names import Record
from detente.ports import View
from detente.rules.decision import Decision
from detente.rules.feed import ranges
from detente.rules.standing import Act, Standing
from detente.rules.why import Cause, Texts, Turn, Turns, causes_of, phrases
from detente.wire.stix import version_of

__all__ = ["FeedWhy", "Group", "GroupCause", "ItemWhy", "Whys"]

#: Versions of one object that are answered for; how many there are besides is said.
VERSIONS_MAX = 20
#: Groups of handlings in one answer.
GROUPS_MAX = 500
#: Reasons that are told of one group, and kinds that are named; how many more there are is said.
CAUSES_MAX = 5
KINDS_MAX = 20
#: Sorts of handlings of one group of which it is asked when they turn.
TURNS_MAX = 50
#: States in which an item still waits for something.
WAITING = ("held", "queued", "under review")
#: States that nothing changes any more by itself, or of which more is not known.
NOT_YET, NO_FEED = "not here yet", "no feed"


class ItemWhy(Record, frozen=True, kw_only=True):
    """How one version of an object stands towards a party at an instant, and why.

    ``state``: ``queued``, ``held``, ``under review``, ``expired``, ``refused``, ``in flight``,
    ``sent``, ``received``, ``recalled``, ``passed over``; ``not here yet`` before it was entered,
    ``no feed`` where the party has none. ``turn`` is when that changes if nobody acts; ``decided``
    what an office last decided of this very entry.
    """

    id: str
    version: str
    seq: int
    agreement: str
    collection: str
    sender: str
    party: str
    kind: str
    stix_type: str
    originator: str
    unit: str
    markings: tuple[str, ...]
    purpose: str | None
    grade: str | None
    at_ms: int
    added_us: int
    state: str
    outcome: str
    standing: str
    causes: tuple[Cause, ...]
    turn: Turn | None = None
    later: str = ""
    decided: Decided | None = None


class GroupCause(Record, frozen=True, kw_only=True):
    """A reason, and for how many handlings of the group it stands in these very words."""

    cause: Cause
    handlings: int


class Group(Record, frozen=True, kw_only=True):
    """Handlings that stand alike for the same reasons; ``states`` counts their items (at a past
    instant only how many there were). ``more`` reasons and kinds are left out."""

    outcome: str
    handlings: int
    kinds: tuple[str, ...]
    kinds_more: int
    items: int
    states: dict[str, int]
    causes: tuple[GroupCause, ...]
    causes_more: int
    turn: Turn | None = None


class FeedWhy(Record, frozen=True, kw_only=True):
    """How all handlings of one feed stand. ``groups`` is a page of them, what stands in the way
    first; ``next`` is where the following page begins."""

    agreement: str
    collection: str
    sender: str
    party: str
    at_ms: int
    standing: str
    groups: tuple[Group, ...]
    groups_all: int
    next: int | None = None


class _Basis(msgspec.Struct, frozen=True, kw_only=True):
    """What answers stand on: a standing, the acts known, and the past if it is not now."""

    current: Current
    acts: tuple[Act, ...]
    past: Past | None
    at_ms: int

    @property
    def standing(self) -> Standing:
        return self.current.standing


class Whys:
    """Says why, for items and feeds."""

    def __init__(self, book: Book, gate: Gate, outcomes: Outcomes) -> None:
        self._book = book
        self._gate = gate
        self._outcomes = outcomes

    async def item(
        self, item: str, party: str, *, agreement: str | None = None, at_ms: int | None = None
    ) -> tuple[tuple[ItemWhy, ...], int]:
        """Every version of an object in every collection of this node, newest first, and how many
        there are besides. ``at_ms`` is a past instant, and the answer what stood then: the same
        whenever it is asked.

        Raises ``Missing`` where no collection has the object, ``Invalid`` for a time to come.
        """
        names = self._names(agreement, at_ms)
        await self._outcomes.flush()

        def work(view: View) -> tuple[list[ItemWhy], int]:
            found: list[ItemWhy] = []
            whole = 0
            for name in names:
                basis = self._basis(view, name, at_ms)
                for key, family in self._families(view, basis, item):
                    whole += len(family)
                    found += [
                        self._item(view, basis, item, place, party)
                        for place in _places(view, key, family, VERSIONS_MAX - len(found))
                    ]
            return found, whole - len(found)

        lines, more = await self._book.store.read(work)
        if not lines:
            raise Missing("item.unknown", f"Expected an item of this node, got {item[:300]}.")
        return tuple(lines), more

    async def feed(
        self,
        party: str,
        *,
        agreement: str | None = None,
        at_ms: int | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> tuple[FeedWhy, ...]:
        """Every feed of a party, its handlings grouped by how and why they stand; ``after`` and
        ``limit`` choose a page of groups.

        Raises ``Missing`` where the party has no feed here, ``Invalid`` for a time to come.
        """
        if not 1 <= limit <= GROUPS_MAX:
            raise Invalid("why.limit", f"Expected 1 to {GROUPS_MAX} groups, got {limit}.")
        names = self._names(agreement, at_ms)
        await self._outcomes.flush()

        def work(view: View) -> list[FeedWhy]:
            return [
                _Feed(view, self._book, self._basis(view, name, at_ms), row.collection, party).page(
                    after, limit
                )
                for name in names
                for row in view.feeds(collection_key(name, ""))
                if row.party == party
            ]

        found = await self._book.store.read(work)
        if not found:
            raise Missing("feed.unknown", f"Expected a party with a feed here, got {party[:64]}.")
        return tuple(found)

    def _names(self, agreement: str | None, at_ms: int | None) -> tuple[str, ...]:
        now_ms = self._book.now_ms()
        if at_ms is not None and at_ms > now_ms:
            raise Invalid(
                "why.future", f"Expected an instant up to now ({now_ms} ms), got {at_ms} ms."
            )
        names = [agreement] if agreement else self._book.agreements()
        for name in names:
            if self._gate.current(name) is None:
                raise Missing("agreement.unknown", f"Expected a known agreement, got {name[:64]}.")
        return tuple(names)

    def _basis(self, view: View, name: str, at_ms: int | None) -> _Basis:
        if at_ms is None:
            current = self._gate.current(name)
            assert current is not None  # _names has refused otherwise
            now_ms, acts = self._book.now_ms(), self._book.acts(name)
            return _Basis(current=current, acts=acts, past=None, at_ms=now_ms)
        past = Past(view, self._book, name, at_ms)
        return _Basis(
            current=past.current(past.standing), acts=tuple(past.acts), past=past, at_ms=at_ms
        )

    def _families(
        self, view: View, basis: _Basis, item: str
    ) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The entries of the object in each collection that has any. Those of the newest agreement
        count, whatever was in force then: what lies in them is this node's."""
        current = self._gate.current(basis.current.agreement)
        terms = current.standing.newest if current else None
        for collection in terms.collections if terms else ():
            key = collection_key(basis.current.agreement, collection.name)
            family = tuple(sorted(view.find(key, object_key(item))))
            if family:
                yield key, family

    def _item(self, view: View, basis: _Basis, item: str, place: Place, party: str) -> ItemWhy:
        own, handling = self._book.me.party, place.handling
        block = view.block(place.collection, place.seq)
        raw = block.raw(place.seq) if block is not None else b""
        name = split_key(place.collection)[1]
        terms = basis.standing.agreement
        collection = terms.collection(name) if terms else None
        line = ItemWhy(
            id=item,
            version=version_of(raw),
            seq=place.seq,
            agreement=basis.current.agreement,
            collection=name,
            sender=collection.sender if collection else handling.originator,
            party=party,
            kind=handling.kind,
            stix_type=handling.stix_type,
            originator=handling.originator,
            unit=handling.unit,
            markings=handling.markings,
            purpose=handling.purpose,
            grade=handling.grade,
            at_ms=basis.at_ms,
            added_us=place.added_us,
            state=NOT_YET,
            outcome="",
            standing=basis.standing.digest,
            causes=(),
        )
        if basis.past is not None and place.added_us // 1000 > basis.at_ms:
            return line
        decision = decide_for(basis.current, handling, own=own, party=party)
        state = basis.past.state(place, party) if basis.past else _state(view, place, party)
        texts = Texts(
            markings=marking_words(view, place.collection, handling.markings, raw),
            signed=_signed(view, basis.standing, (decision,)),
        )
        kind = terms.kind(handling.kind) if terms else None
        decided = decided_of(view, place.collection, party, place.seq)
        return replace(
            line,
            decided=decided if decided is not None and decided.at_ms <= basis.at_ms else None,
            state=state,
            outcome=decision.outcome,
            causes=causes_of(basis.standing, decision, texts),
            turn=_turn_of(self._turns(basis, place, party), state, kind, place),
            later=_later(state, kind),
        )

    def _turns(self, basis: _Basis, place: Place, party: str) -> Turn | None:
        own, handling = self._book.me.party, place.handling
        sender = sender_of(basis.current, handling.collection, own, party)
        turns = Turns(basis.acts, basis.standing)
        return turns.next(handling, sender=sender, recipient=party)


def _places(view: View, key: str, family: tuple[int, ...], most: int) -> Iterator[Place]:
    """The newest entries of an object."""
    handlings = view.handlings(key) if most > 0 else {}
    for seq in reversed(family[-most:] if most > 0 else ()):
        block = view.block(key, seq)
        if block is not None:
            number = block.handlings[seq - block.first]
            yield Place(
                collection=key,
                seq=seq,
                number=number,
                handling=decode(handlings[number], Handling),
                added_us=block.added_us[seq - block.first],
                family=family,
            )


def _state(view: View, place: Place, party: str) -> str:
    """Where the item stands now."""
    row = view.feed(place.collection, party)
    if row is None:
        return NO_FEED
    if view.recalled(place.collection, place.seq, place.seq + 1):
        return "recalled"
    pages = [
        page
        for page in view.pages_of(place.collection, place.seq)
        if carries(page, party, place.number, place.seq)
    ]
    return item_state(decode_feed(row.value), place.number, place.seq, pages)


def _turn_of(turn: Turn | None, state: str, kind: Kind | None, place: Place) -> Turn | None:
    """When the item itself changes: by the standing, or because it outlives its worth first."""
    if state not in WAITING:
        return None
    if turn is not None:
        turn = replace(turn, state=_then(turn.state, state, kind))
    if state == "held" and kind is not None and kind.expire_after_ms is not None:
        expires_ms = place.added_us // 1000 + kind.expire_after_ms
        if turn is None or expires_ms <= turn.at_ms:
            words = f"Kind {kind.id} is not kept waiting for longer."
            return Turn(at_ms=expires_ms, state="expired", because=(words,))
    return turn if turn is None or turn.state != state else None


def _then(outcome: str, state: str, kind: Kind | None) -> str:
    """The state of an item that waits in one, once its handling has another outcome."""
    if outcome == "refuse":
        return "refused"
    if state == "under review":
        return state
    if outcome == "release":
        goes = {"review": "under review", "return": "returned"}
        return goes.get(kind.held, "queued") if kind and state == "held" else "queued"
    return "under review" if outcome == "moderate" else "held"


def _later(state: str, kind: Kind | None) -> str:
    """What becomes of an item that waits, once nothing stands in its way any more."""
    if state == "under review":
        return "An office with the power to review releases or refuses it."
    if state != "held" or kind is None:
        return ""
    return {
        "review": "Once nothing stands in its way it goes under review, for it was stopped.",
        "return": "Once nothing stands in its way it goes back to the unit that published it.",
    }.get(kind.held, "Once nothing stands in its way it is given.")


def _signed(
    view: View, standing: Standing, decisions: Iterable[Decision]
) -> Mapping[str, tuple[str, ...]]:
    """The offices that signed each directive that the decisions name."""
    named = {
        name
        for decision in decisions
        for reason in decision.reasons
        for what, name in phrases(reason)
        if what == "directive"
    }
    return {
        order.digest: signed_by(view, standing, order)
        for order in standing.orders
        if order.directive.id in named
    }


class _Feed:
    """One feed, grouped."""

    def __init__(self, view: View, book: Book, basis: _Basis, key: str, party: str) -> None:
        self._view, self._book, self._basis = view, book, basis
        self._key, self._party = key, party
        self._name = split_key(key)[1]
        self._turns = Turns(basis.acts, basis.standing)

    def page(self, after: int, limit: int) -> FeedWhy:
        """Some of the groups: what stands in the way first, the most items first."""
        basis = self._basis
        counts = self._counts()
        made: dict[object, list[tuple[int, Handling, Decision]]] = {}
        for number, data in self._view.handlings(self._key).items():
            if number in counts:
                handling = decode(data, Handling)
                decision = decide_for(
                    basis.current, handling, own=self._book.me.party, party=self._party
                )
                made.setdefault(_alike(decision), []).append((number, handling, decision))
        groups = sorted(
            made.values(),
            key=lambda group: (
                group[0][2].outcome == "release",
                -sum(sum(counts[number].values()) for number, _, _ in group),
                group[0][0],
            ),
        )
        terms = basis.standing.agreement
        collection = terms.collection(self._name) if terms else None
        end = after + limit
        return FeedWhy(
            agreement=basis.current.agreement,
            collection=self._name,
            sender=collection.sender if collection else "",
            party=self._party,
            at_ms=basis.at_ms,
            standing=basis.standing.digest,
            groups=tuple(self._group(group, counts) for group in groups[after:end]),
            groups_all=len(groups),
            next=end if end < len(groups) else None,
        )

    def _counts(self) -> dict[int, dict[str, int]]:
        """How many items of each handling stand in each state; then: how many there were."""
        view, key = self._view, self._key
        counts: dict[int, dict[str, int]] = {}
        if self._basis.past is not None:
            end = view.seq_after(key, self._basis.at_ms * 1000 + 999)
            for number in view.handlings(key):
                count = view.count(key, number, 0, end)
                if count:
                    counts[number] = {"here": count}
            return counts
        row = view.feed(key, self._party)
        for one in ranges(decode_feed(row.value), view.collection(key).end) if row else ():
            whole = view.count(key, one.handling, one.a, one.b)
            count = count_of(view, key, one)
            for state, number in ((one.state, count), ("recalled", whole - count)):
                if number:
                    of = counts.setdefault(one.handling, {})
                    of[state] = of.get(state, 0) + number
        return counts

    def _group(
        self, group: list[tuple[int, Handling, Decision]], counts: Mapping[int, dict[str, int]]
    ) -> Group:
        first = group[0][2]
        states: dict[str, int] = {}
        for number, _, _ in group:
            for state, count in counts[number].items():
                states[state] = states.get(state, 0) + count
        kinds = sorted({one.kind for _, one, _ in group})
        causes, causes_all = self._causes(group)
        return Group(
            outcome=first.outcome,
            handlings=len(group),
            kinds=tuple(kinds[:KINDS_MAX]),
            kinds_more=max(0, len(kinds) - KINDS_MAX),
            items=sum(states.values()),
            states=dict(sorted(states.items())),
            causes=causes,
            causes_more=causes_all - len(causes),
            turn=self._turn([one for _, one, _ in group]),
        )

    def _turn(self, handlings: list[Handling]) -> Turn | None:
        """When the first of the group turns, looking at one of each sort of kind, unit and purpose,
        of as many sorts as are asked about (``TURNS_MAX``)."""
        own, basis = self._book.me.party, self._basis
        sender = sender_of(basis.current, self._name, own, self._party)
        sorts = {(one.kind, one.unit, one.purpose): one for one in handlings}
        found = [
            self._turns.next(one, sender=sender, recipient=self._party)
            for one in list(sorts.values())[:TURNS_MAX]
        ]
        return min((one for one in found if one), key=lambda one: one.at_ms, default=None)

    def _causes(
        self, group: list[tuple[int, Handling, Decision]]
    ) -> tuple[tuple[GroupCause, ...], int]:
        """The reasons that most handlings of a group have, and how many different ones it has."""
        view, standing = self._view, self._basis.standing
        known: dict[tuple[str, str, str], tuple[int, Handling, Decision]] = {}
        for _, handling, decision in group:
            for reason in decision.reasons:
                place = (reason.code, reason.source, reason.words)
                count = known[place][0] if place in known else 0
                known[place] = (count + 1, handling, replace(decision, reasons=(reason,)))
        ranked = sorted(known.values(), key=lambda one: -one[0])[:CAUSES_MAX]
        signed = _signed(view, standing, (one for _, _, one in ranked))
        found = []
        for count, handling, one in ranked:
            texts = Texts(markings=marking_words(view, self._key, handling.markings), signed=signed)
            (cause,) = causes_of(standing, one, texts)
            found.append(GroupCause(cause=cause, handlings=count))
        return tuple(found), len(known)


def _alike(decision: Decision) -> object:
    """Decisions that are told together: the same outcome for the same sorts of reasons. Orders and
    promises count one by one, markings, kinds and grades by their sort, which may be many."""
    return decision.outcome, tuple(
        sorted(
            {
                (reason.code, name if what in ("assurance", "directive") else "")
                for reason in decision.reasons
                for what, name in phrases(reason)
            }
        )
    )
