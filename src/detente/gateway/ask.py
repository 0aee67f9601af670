"""Ask: what is in force, what waits, why, and where an item went. Reads only.

Every answer is derived from acts, feeds and pages; nothing here is stored for the asking.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from detente.errors import Missing
from detente.gateway.book import Book, collection_key, split_key
from detente.gateway.deliver import PEER
from detente.gateway.feeds import count_of, decide_for, decode_feed, feed_parties
from detente.gateway.gate import Current, Gate
from detente.gateway.outcomes import Outcomes
from detente.gateway.passed import carries
from detente.gateway.review import Decided, decided_of
from detente.model import Agreement, Handling, Kind, decode, object_key
from detente.model.names import Record
from detente.ports import PageRow, View
from detente.rules.decision import Reason
from detente.rules.demands import flag_of
from detente.rules.feed import Feed, ranges, state_of
from detente.rules.notice import notices
from detente.rules.standing import Order, Standing

__all__ = ["Ask", "FlowLine", "flow_of", "item_state", "words_of"]

#: Items listed one by one in one answer; counts are always whole.
ITEMS_MAX = 1000


class OrderLine(Record, frozen=True, kw_only=True):
    """A directive in force or to come: whose, since when, until when."""

    directive: str
    issuer: str
    office: str
    verb: str
    since_ms: int
    until_ms: int | None
    reason: str
    digest: str


class FlowLine(Record, frozen=True, kw_only=True):
    """How one kind stands in one direction now, and by which orders."""

    sender: str
    recipient: str
    collection: str
    kind: str
    state: str
    by: tuple[str, ...]
    reasons: tuple[str, ...]


class AssessmentLine(Record, frozen=True, kw_only=True):
    """What this party thinks of a partner: for which kinds, until when, and when to look again."""

    assessment: str
    partner: str
    kinds: tuple[str, ...]
    until_ms: int
    review_ms: int


class StandingReport(Record, frozen=True, kw_only=True):
    """What is in force under one agreement at an instant. ``standing`` is the digest that both
    sides compare; ``epoch`` is this node's number for it (absent for a past instant). ``notices``
    is what people are to be told of the agreement itself: its end, its next version, its review."""

    agreement: str
    title: str
    version: int | None = None
    exercise: bool
    at_ms: int
    in_force: bool
    opened_ms: int | None
    until_ms: int | None
    epoch: int | None
    standing: str
    next_change_ms: int | None
    orders: tuple[OrderLine, ...]
    coming: tuple[OrderLine, ...]
    assurances: tuple[str, ...]
    assessments: tuple[AssessmentLine, ...]
    flows: tuple[FlowLine, ...]
    notices: tuple[str, ...] = ()


class CountLine(Record, frozen=True, kw_only=True):
    """How many items of one handling stand in each state towards a party, and why."""

    collection: str
    party: str
    kind: str
    stix_type: str
    unit: str
    outcome: str
    reasons: tuple[str, ...]
    states: dict[str, int]


class HeldItem(Record, frozen=True, kw_only=True):
    """One item that waits: where, since its publication, and why."""

    id: str
    collection: str
    party: str
    kind: str
    unit: str
    state: str
    added_us: int
    expires_ms: int | None
    reasons: tuple[str, ...]


class TracePage(Record, frozen=True, kw_only=True):
    """A page that carried the item: its ledger entry, when, under what, and its outcome.
    ``what`` left: the object, or only its id, version and time."""

    log: str
    index: int
    at_ms: int
    epoch: int
    reader: str
    what: str
    outcome: str
    receipt: str | None


class TraceLine(Record, frozen=True, kw_only=True):
    """Where one version of an object stands towards one party, and every page that carried it.

    ``flags`` are those of its handling: what was said of it and done to it when it was entered,
    consent to use in court (``court``) among them, which is never assumed. ``came_back``: it came
    from a partner, and this party has published an object of the same id itself (R43)."""

    id: str
    version: int
    collection: str
    party: str
    kind: str
    unit: str
    purpose: str | None
    grade: str | None
    originator: str
    flags: tuple[str, ...]
    came_back: bool
    state: str
    added_us: int
    reasons: tuple[str, ...]
    decided: Decided | None = None
    pages: tuple[TracePage, ...]


class Ask:
    """Questions to a node."""

    def __init__(self, book: Book, gate: Gate, outcomes: Outcomes) -> None:
        self._book = book
        self._outcomes = outcomes
        self._gate = gate

    # --- standing --------------------------------------------------------------------------

    def standing(self, agreement: str, at_ms: int | None = None) -> StandingReport:
        """What is in force now, or was at a past instant (R65)."""
        standing = self._book.standing(agreement, self._book.now_ms() if at_ms is None else at_ms)
        current = self._gate.current(agreement) if at_ms is None else None
        terms = standing.agreement
        return StandingReport(
            agreement=agreement,
            title=terms.title if terms else "",
            version=terms.version if terms else None,
            exercise=self._book.me.exercise,
            at_ms=standing.at_ms,
            in_force=standing.agreement_in_force,
            opened_ms=standing.opened_ms,
            until_ms=terms.until_ms if terms else None,
            epoch=current.epoch if current else None,
            standing=standing.digest,
            next_change_ms=standing.next_ms,
            orders=tuple(_line(order) for order in standing.orders),
            coming=tuple(_line(order) for order in standing.coming),
            assurances=tuple(promise.assurance.id for promise in standing.promises),
            assessments=tuple(
                AssessmentLine(
                    assessment=one.id,
                    partner=one.partner,
                    kinds=one.kinds,
                    until_ms=one.until_ms,
                    review_ms=one.review_ms,
                )
                for one in standing.assessments
            ),
            flows=tuple(_flows(standing, terms)) if terms else (),
            notices=notices(standing),
        )

    def current(self, agreement: str) -> Current:
        """The standing in use; ``Missing`` if the agreement is not known."""
        current = self._gate.current(agreement)
        if current is None:
            raise Missing("agreement.unknown", f"Expected a known agreement, got {agreement}.")
        return current

    # --- feeds and holds -------------------------------------------------------------------

    async def feeds(self, agreement: str, party: str | None = None) -> tuple[CountLine, ...]:
        """For every feed and handling: the outcome, its reasons, and counts by state."""
        current = self.current(agreement)
        await self._outcomes.flush()
        return await self._book.store.read(
            lambda view: tuple(self._count_lines(view, current, party))
        )

    def _count_lines(self, view: View, current: Current, party: str | None) -> Iterable[CountLine]:
        for row in view.feeds(collection_key(current.agreement, "")):
            if party is not None and row.party != party:
                continue
            feed = decode_feed(row.value)
            end = view.collection(row.collection).end
            states: dict[int, dict[str, int]] = {}
            for one in ranges(feed, end):
                whole = view.count(row.collection, one.handling, one.a, one.b)
                count = count_of(view, row.collection, one)
                of = states.setdefault(one.handling, {}) if whole else {}
                for state, number in ((one.state, count), ("recalled", whole - count)):
                    if number:
                        of[state] = of.get(state, 0) + number
            outcomes = dict(feed.outcomes)
            for number, handling in _handlings(view, row.collection).items():
                if number not in states:
                    continue
                decision = decide_for(current, handling, own=self._book.me.party, party=row.party)
                yield CountLine(
                    collection=split_key(row.collection)[1],
                    party=row.party,
                    kind=handling.kind,
                    stix_type=handling.stix_type,
                    unit=handling.unit,
                    outcome=outcomes.get(number, "hold"),
                    reasons=words_of(decision.reasons),
                    states=states[number],
                )

    async def held(self, agreement: str, party: str | None = None) -> tuple[HeldItem, ...]:
        """The items that wait, oldest first in each feed, up to ``ITEMS_MAX``."""
        current = self.current(agreement)
        await self._outcomes.flush()
        return await self._book.store.read(
            lambda view: tuple(self._held_items(view, current, party))[:ITEMS_MAX]
        )

    def _held_items(self, view: View, current: Current, party: str | None) -> Iterable[HeldItem]:
        terms = current.standing.agreement
        for row in view.feeds(collection_key(current.agreement, "")):
            if party is not None and row.party != party:
                continue
            handlings = _handlings(view, row.collection)
            end = view.collection(row.collection).end
            for stay in decode_feed(row.value).stays:
                if stay.state not in ("held", "under review"):
                    continue
                handling = handlings[stay.handling]
                decision = decide_for(current, handling, own=self._book.me.party, party=row.party)
                words = words_of(decision.reasons) if stay.state == "held" else ("Under review.",)
                kind = terms.kind(handling.kind) if terms else None
                span = kind.expire_after_ms if kind else None
                for raw, added_us in _entries(
                    view, row.collection, stay.handling, stay.a, min(stay.b, end)
                ):
                    yield HeldItem(
                        id=_id_of(raw),
                        collection=split_key(row.collection)[1],
                        party=row.party,
                        kind=handling.kind,
                        unit=handling.unit,
                        state=stay.state,
                        added_us=added_us,
                        expires_ms=None if span is None else added_us // 1000 + span,
                        reasons=words,
                    )

    # --- trace -----------------------------------------------------------------------------

    async def trace(self, stix_id: str, agreement: str | None = None) -> tuple[TraceLine, ...]:
        """Where every version of an object stands towards every party (R48): derived from the
        feed's ranges and the pages that carried it; ``Missing`` if nobody has it."""
        await self._outcomes.flush()
        agreements = [agreement] if agreement else list(self._gate.agreements())
        lines = await self._book.store.read(
            lambda view: [
                line
                for one in agreements
                if self._gate.current(one) is not None
                for line in self._trace(view, self.current(one), stix_id)
            ]
        )
        if not lines:
            raise Missing("item.unknown", f"Expected an item of this node, got {stix_id}.")
        return tuple(lines)

    def _trace(self, view: View, current: Current, stix_id: str) -> Iterable[TraceLine]:
        terms = current.standing.agreement
        own = self._book.me.party
        ours = None
        for name, party in feed_parties(terms, own) if terms else ():
            key = collection_key(current.agreement, name)
            collection = terms.collection(name) if terms else None
            foreign = collection is not None and collection.sender != own
            row = view.feed(key, party)
            for seq in view.find(key, object_key(stix_id)) if row else ():
                block = view.block(key, seq)
                if block is None or row is None:
                    continue
                number = block.handlings[seq - block.first]
                handling = decode(view.handlings(key)[number], Handling)
                feed = decode_feed(row.value)
                pages = [p for p in view.pages_of(key, seq) if carries(p, party, number, seq)]
                decision = decide_for(current, handling, own=own, party=party)
                if foreign and ours is None:
                    ours = self._is_ours(view, stix_id)
                yield TraceLine(
                    id=stix_id,
                    version=seq,
                    collection=name,
                    party=party,
                    kind=handling.kind,
                    unit=handling.unit,
                    purpose=handling.purpose,
                    grade=handling.grade,
                    originator=handling.originator,
                    flags=handling.flags,
                    came_back=foreign and bool(ours),
                    state=(
                        "recalled"
                        if view.recalled(key, seq, seq + 1)
                        else item_state(feed, number, seq, pages)
                    ),
                    added_us=block.added_us[seq - block.first],
                    reasons=words_of(decision.reasons),
                    decided=decided_of(view, key, party, seq),
                    pages=tuple(_page(row) for row in pages),
                )

    def _is_ours(self, view: View, stix_id: str) -> bool:
        """True if this party has published an object of that id, under whichever agreement."""
        own, key = self._book.me.party, object_key(stix_id)
        return any(
            view.find(collection_key(agreement, collection.name), key)
            for agreement in self._gate.agreements()
            if (current := self._gate.current(agreement)) and (terms := current.standing.agreement)
            for collection in terms.collections
            if collection.sender == own
        )


def item_state(feed: Feed, number: int, seq: int, pages: list[PageRow]) -> str:
    """What became of the item: what its pages prove counts before what the feed intends. A page
    that only named it gave nothing."""
    pages = [page for page in pages if page.what == "objects"]
    state = state_of(feed, number, seq)
    outcomes = {page.outcome for page in pages}
    if "received" in outcomes:
        return "received"
    # A partner's gateway answers with a receipt; until it does, nobody knows whether the page
    # came. A TAXII client has no receipts, so what its machine has acknowledged counts as sent.
    if "open" in outcomes or any((p.outcome, p.reader) == ("served", PEER) for p in pages):
        return "in flight"
    if "served" in outcomes and state in ("given", "queued"):
        return "sent"
    # Behind the mark without a page: a newer version of the object was given in its place.
    return "passed over" if state == "given" and not outcomes else state


def _page(row: PageRow) -> TracePage:
    return TracePage(
        log=row.log,
        index=row.index,
        at_ms=row.at_ms,
        epoch=row.epoch,
        reader=row.reader,
        what=row.what,
        outcome=row.outcome,
        receipt=row.receipt,
    )


def _line(order: Order) -> OrderLine:
    directive = order.directive
    return OrderLine(
        directive=directive.id,
        issuer=directive.issuer,
        office=directive.office,
        verb=directive.verb,
        since_ms=order.since_ms,
        until_ms=order.until_ms,
        reason=directive.reason,
        digest=order.digest,
    )


def _flows(standing: Standing, terms: Agreement) -> Iterable[FlowLine]:
    """How each kind of each collection stands towards each reader, unit by unit where units
    stand differently: decided for a model handling, by the same rule as an item."""
    for collection in terms.collections:
        member = terms.member(collection.sender)
        for reader in collection.readers:
            for kind in terms.kinds:
                yield flow_of(
                    standing,
                    terms,
                    (collection.sender, reader),
                    collection.name,
                    kind.id,
                    member.units if member else (),
                )


def flow_of(
    standing: Standing,
    terms: Agreement,
    between: tuple[str, str],
    collection: str,
    kind: str,
    units: tuple[str, ...],
) -> FlowLine:
    """How one kind of a collection stands from a sender towards a reader: decided for a model
    handling of each unit that lacks nothing, by the same rule as an item."""
    sender, reader = between
    of = terms.kind(kind)
    current = Current(agreement=terms.id, epoch=0, acts=0, standing=standing)
    outcomes: dict[str, list[str]] = {}
    by: dict[str, None] = {}
    words: dict[str, None] = {}
    for unit in units or ("any",):
        model = Handling(
            collection=collection,
            kind=kind,
            stix_type="",
            originator=sender,
            unit=unit,
            purpose=terms.purposes[0].id,
            grade=(of and of.grade_least) or "any:any",
            flags=_lacking_nothing(terms, of),
        )
        decision = decide_for(current, model, own=sender, party=reader)
        outcomes.setdefault(decision.outcome, []).append(unit)
        by.update(dict.fromkeys(decision.orders))
        words.update(dict.fromkeys(words_of(decision.reasons)))
    state = {
        "release": "open",
        "moderate": "reviewed one by one",
        "hold": "held",
        "refuse": "refused",
    }
    text = (
        state[next(iter(outcomes))]
        if len(outcomes) == 1
        else "; ".join(f"{state[o]}: {', '.join(us)}" for o, us in sorted(outcomes.items()))
    )
    return FlowLine(
        sender=sender,
        recipient=reader,
        collection=collection,
        kind=kind,
        state=text,
        by=tuple(by),
        reasons=tuple(words),
    )


def _lacking_nothing(terms: Agreement, kind: Kind | None) -> tuple[str, ...]:
    """The flags of an item that brings all that is demanded of its kind: a flow is told as it
    stands for such, whatever single items may lack."""
    if kind is None:
        return ()
    done = {flag_of(terms, "minimised", one) for one in kind.minimise}
    passed = {flag_of(terms, "tested", one) for one in kind.tests}
    return tuple(sorted({"evidence", "fact", *done, *passed}))


def words_of(reasons: Iterable[Reason]) -> tuple[str, ...]:
    return tuple(f"{reason.code} ({reason.source}): {reason.words}" for reason in reasons)


def _handlings(view: View, key: str) -> dict[int, Handling]:
    return {number: decode(data, Handling) for number, data in view.handlings(key).items()}


def _entries(view: View, key: str, handling: int, a: int, b: int) -> Iterable[tuple[bytes, int]]:
    """The entries of one handling in a range, one by one, bounded by ``ITEMS_MAX``."""
    for _ in range(ITEMS_MAX):
        seq = view.first_of(key, handling, a) if a < b else None
        block = view.block(key, seq) if seq is not None and seq < b else None
        if seq is None or block is None:
            return
        if not view.recalled(key, seq, seq + 1):
            yield block.raw(seq), block.added_us[seq - block.first]
        a = seq + 1


class _Head(msgspec.Struct, frozen=True):
    id: str = ""


def _id_of(raw: bytes) -> str:
    return msgspec.json.decode(raw, type=_Head).id
