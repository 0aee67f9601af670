"""Effect: what an order would do, before anybody signs it and once more before it takes force (R6).

Foreseen by the functions that decide and move items when the order is in force, over the standing
as it would be then. Nothing is changed by asking; what was foreseen is kept as a document of this
node, and the order has its digest.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

import msgspec

from detente.errors import Conflict
from detente.gateway.ask import flow_of, words_of
from detente.gateway.book import Book
from detente.gateway.deliver import PEER
from detente.gateway.feeds import Change, Foreseen, count_of, decide_for, foresee
from detente.gateway.gate import Current
from detente.gateway.outcomes import Outcomes
from detente.gateway.stopped import stopped_of
from detente.model import (
    Agreement,
    Directive,
    Effect,
    Expiring,
    FlowChange,
    Moved,
    OtherOrder,
    Seen,
    Withheld,
    decode,
    digest,
    encode,
)
from detente.ports import DocumentRow, View
from detente.rules.authority import required_verbs
from detente.rules.decision import likeness
from detente.rules.drift import drifted
from detente.rules.feed import Range, ranges
from detente.rules.grant import Grant
from detente.rules.lint_scope import overlapping
from detente.rules.releasability import Named, named_by
from detente.rules.standing import DirectiveEffect, Order, Standing, fold

__all__ = ["Effects"]

USE: Final = "effect"
HISTORY_MS: Final = 30 * 24 * 60 * 60 * 1000
#: Lines of one sort, and readers named in one line; all are counted.
LINES_MAX: Final = 500
NAMED_MAX: Final = 20
#: Pages of one feed that are looked at for missing receipts, newest first.
PAGES_MAX: Final = 1000

#: What stands still and is not kept back is not told: it is most of everything.
_KEPT_BACK: Final = ("held", "under review")


class _Ground(msgspec.Struct, frozen=True):
    """What the effect is foreseen on: the order, and the standings without and with it."""

    directive: Directive
    terms: Agreement
    before: Standing
    after: Standing
    own: str
    now_ms: int

    def current(self, *, after: bool = True) -> Current:
        standing = self.after if after else self.before
        return Current(agreement=self.terms.id, epoch=0, acts=0, standing=standing)


class Effects:
    """Foresees what orders of this node's party would do."""

    def __init__(self, book: Book, outcomes: Outcomes) -> None:
        self._book = book
        self._outcomes = outcomes

    async def foresee(self, directive: Directive) -> Effect:
        """The effect of an order on what there is now. The order need not be one that could take
        force: that is for the lint and for authority. ``Conflict`` if there is no agreement."""
        book = self._book
        now_ms = book.now_ms()
        force_ms = max(now_ms, directive.start_ms or 0)
        acts = book.acts(directive.agreement)
        order = DirectiveEffect(directive=directive, digest=digest(encode(directive)), at_ms=now_ms)
        before, after = (
            msgspec.structs.replace(fold(known, force_ms), own=book.me.party)
            for known in (acts, [*acts, order])
        )
        if before.agreement is None:
            raise Conflict(
                "agreement.not-in-force", f"Expected {directive.agreement} in force, got none."
            )
        ground = _Ground(directive, before.agreement, before, after, book.me.party, now_ms)
        await self._outcomes.flush()
        return await book.store.read(lambda view: _effect(view, ground))

    async def keep(self, effect: Effect) -> str:
        """Keep what was foreseen, so that it can be compared when the order is to take force; its
        digest."""
        data = encode(effect)
        row = DocumentRow(
            digest=digest(data),
            use=USE,
            agreement=effect.agreement,
            name=effect.directive,
            envelope=data,
        )
        await self._book.store.write(lambda tx: tx.put_document(row))
        return row.digest

    async def kept(self, name: str) -> Effect | None:
        """What was foreseen under this digest at this node, or None."""
        row = await self._book.store.read(lambda view: view.document(name))
        return decode(row.envelope, Effect) if row is not None and row.use == USE else None

    async def check(self, directive: Directive, standing: Standing) -> None:
        """Refuse what lets anything go where its effect has drifted since its signers saw it, where
        what they signed was never foreseen here, or where they saw none and the agreement asks for
        it. A restriction waits for none of this: whatever it would do by now, it is to stop."""
        terms = standing.agreement
        if "resume" not in required_verbs(directive, standing):
            return
        if directive.preview is None:
            if terms is not None and terms.preview:
                raise Conflict(
                    "directive.unpreviewed",
                    f"Expected {directive.id} to name the effect that its signers saw, as the "
                    "agreement demands of what lets anything go, got none.",
                    hint="Draft it with `detente directive draft`, which previews it.",
                    path="$.preview",
                )
            return
        foreseen = await self.kept(directive.preview)
        named = (directive.agreement, directive.id)
        if foreseen is None or (foreseen.agreement, foreseen.directive) != named:
            raise Conflict(
                "directive.preview-unknown",
                f"Expected the effect that {directive.id} names among those foreseen at this node, "
                "got none.",
                hint="An order is drafted, and so previewed, at the node that is to enact it.",
                path="$.preview",
            )
        words = drifted(foreseen, await self.foresee(directive))
        if words:
            raise Conflict(
                "directive.drifted",
                f"Expected {directive.id} to do what its signers saw, got other facts: "
                f"{'; '.join(words[:5])}.",
                hint="Draft it anew on what is in force now, look at its effect, and sign that.",
                path="$.preview",
            )


def _effect(view: View, ground: _Ground) -> Effect:
    moved, flows = _Moves(view, ground), _Flows(ground)
    change = Change(current=ground.current(), party=ground.own, now_us=ground.now_ms * 1000)
    for foreseen in foresee(view, change):
        moved.take(foreseen)
    lines, seen = flows.lines(), flows.seen()
    told = moved.lines()
    directive = ground.directive
    return Effect(
        agreement=ground.terms.id,
        directive=directive.id,
        issuer=directive.issuer,
        exercise=directive.exercise,
        at_ms=ground.now_ms,
        force_ms=ground.after.at_ms,
        standing=ground.before.digest,
        held=moved.into("held"),
        released=moved.into("queued"),
        reviewed=moved.into("under review"),
        expired=moved.into("expired"),
        returned=moved.into("returned"),
        in_flight=moved.in_flight,
        feeds=moved.feeds,
        moves=tuple(told[:LINES_MAX]),
        flows=tuple(lines[:LINES_MAX]),
        others=tuple(_others(ground)),
        seen=tuple(seen[:LINES_MAX]),
        expiring=moved.expiring(),
        history=moved.history(),
        exempt=tuple(
            kind.id
            for kind in ground.terms.kinds
            if kind.exempt and not directive.scope.kind.names(kind.id)
        ),
        left_out=sum(max(0, len(one) - LINES_MAX) for one in (told, lines, seen)),
        nonce=secrets.token_hex(16),
    )


def _others(ground: _Ground) -> Iterator[OtherOrder]:
    """Every other order between this party and others: those first that this one ends, then those
    that stand on its flow (R11), then the rest."""
    directive = ground.directive
    ended = [
        order
        for one in directive.supersedes
        if (order := ground.before.order(directive.issuer, one)) is not None
    ]
    same = overlapping(directive, ground.before)
    rest = [
        order
        for order in (*ground.before.orders, *ground.before.coming)
        if order not in ended and order not in same and _concerns(order, ground.own)
    ]
    for order in chain(ended, same, rest):
        yield OtherOrder(
            issuer=order.directive.issuer,
            directive=order.directive.id,
            verb=order.directive.verb,
            since_ms=order.since_ms,
            until_ms=order.until_ms,
            then="ends" if order in ended else "stays",
            same_flow=order not in rest,
        )


def _concerns(order: Order, party: str) -> bool:
    """True if a party ordered it, or it speaks of that party."""
    return order.directive.issuer == party or order.directive.scope.party.has(party)


class _Moves:
    """Items by where they are and where they would be, counted once for each reader."""

    def __init__(self, view: View, ground: _Ground) -> None:
        self._view = view
        self._ground = ground
        self._counts: Counter[tuple[str, str, str, str, tuple[str, ...]]] = Counter()
        self._given: Counter[str] = Counter()
        self._late: dict[str, tuple[int, int]] = {}
        self.in_flight = 0
        self.feeds = 0

    def take(self, one: Foreseen) -> None:
        """Count what would become of feeds that are the same."""
        readers = len(one.parties)
        self.feeds += readers * (one.before.outcomes != one.after.outcomes)
        outcomes = dict(one.after.outcomes)
        narrowed = {
            number
            for number, outcome in one.before.outcomes
            if outcome == "release" and outcomes.get(number, "hold") != "release"
        }
        whole = list(ranges(one.before, one.end))
        for part, after in _together(whole, ranges(one.after, one.end)):
            if part.state == after and after not in _KEPT_BACK:
                continue
            count = count_of(self._view, one.collection, part) * readers
            if count:
                self._put(one, part, after, count)
        self._look_back(one, [r for r in whole if r.handling in narrowed and r.state == "given"])
        for party in one.parties:
            self.in_flight += self._unanswered(one, party, whole)

    def _put(self, one: Foreseen, part: Range, after: str, count: int) -> None:
        handling = one.handlings[part.handling]
        reasons: tuple[str, ...] = ()
        if after in _KEPT_BACK or after == "refused":
            decision = decide_for(
                self._ground.current(), handling, own=self._ground.own, party=one.parties[0]
            )
            reasons = words_of(decision.reasons)
        self._counts[handling.kind, handling.unit, part.state, after, reasons] += count
        kind = self._ground.terms.kind(handling.kind)
        if after == "held" and kind is not None and kind.expire_after_ms is not None:
            self._perishing(one, part, count, kind.expire_after_ms)

    def _perishing(self, one: Foreseen, part: Range, count: int, span_ms: int) -> None:
        kind = one.handlings[part.handling].kind
        seq = self._view.first_of(one.collection, part.handling, part.a)
        block = self._view.block(one.collection, seq) if seq is not None else None
        if seq is None or block is None:
            return
        first_ms = block.added_us[seq - block.first] // 1000 + span_ms
        known, soonest = self._late.get(kind, (0, first_ms))
        self._late[kind] = (known + count, min(soonest, first_ms))

    def _look_back(self, one: Foreseen, given: Sequence[Range]) -> None:
        since = self._view.seq_after(one.collection, (self._ground.now_ms - HISTORY_MS) * 1000)
        for part in given:
            if part.b > since:
                late = msgspec.structs.replace(part, a=max(part.a, since))
                count = count_of(self._view, one.collection, late) * len(one.parties)
                self._given[one.handlings[part.handling].kind] += count

    def _unanswered(self, one: Foreseen, party: str, whole: Sequence[Range]) -> int:
        """How many unread items are on pages that are being sent, or that went to a gateway which
        has not answered with a receipt."""
        spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for page in self._view.newest_pages(one.collection, party, PAGES_MAX):
            waits = page.outcome == "open" or (page.outcome, page.reader) == ("served", PEER)
            if waits and page.what == "objects":
                pieces, _ = msgspec.json.decode(page.pieces, type=tuple[tuple[Grant, ...], object])
                for piece in pieces:
                    for number in piece.handlings:
                        spans[number].append((piece.a, piece.b))
        found = 0
        for part in whole if spans else ():
            if part.state == "queued":
                for a, b in _merged(spans.get(part.handling, ())):
                    cut = msgspec.structs.replace(part, a=max(a, part.a), b=min(b, part.b))
                    if cut.a < cut.b:
                        found += count_of(self._view, one.collection, cut)
        return found

    def into(self, state: str) -> int:
        """How many would come to this state from another."""
        return sum(n for (_, _, was, then, _), n in self._counts.items() if then == state != was)

    def lines(self) -> list[Moved]:
        """Each sort of move, in the order of kinds and units."""
        return [
            Moved(kind=kind, unit=unit, before=was, after=then, count=count, reasons=reasons)
            for (kind, unit, was, then, reasons), count in sorted(self._counts.items())
        ]

    def expiring(self) -> tuple[Expiring, ...]:
        """What would lose its worth in hold, by kind."""
        return tuple(
            Expiring(kind=kind, count=count, first_ms=first_ms)
            for kind, (count, first_ms) in sorted(self._late.items())
        )

    def history(self) -> tuple[Withheld, ...]:
        """What was given lately and would not be, by kind."""
        return tuple(
            Withheld(kind=kind, count=count) for kind, count in sorted(self._given.items()) if count
        )


def _together(before: Iterable[Range], after: Iterable[Range]) -> Iterator[tuple[Range, str]]:
    """Parts of ranges with the state they have and the one they would have."""
    then: dict[int, list[Range]] = defaultdict(list)
    for one in after:
        then[one.handling].append(one)
    for one in before:
        for other in then[one.handling]:
            a, b = max(one.a, other.a), min(one.b, other.b)
            if a < b:
                yield msgspec.structs.replace(one, a=a, b=b), other.state


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The same entries in spans that do not overlap."""
    at = 0
    for a, b in sorted(spans):
        if max(a, at) < b:
            yield max(a, at), b
            at = b


class _Flows:
    """How kinds stand in each collection of this party's, for readers who stand alike together."""

    def __init__(self, ground: _Ground) -> None:
        self._ground = ground

    def _alike(self) -> Iterator[tuple[str, str, list[str]]]:
        """Collection, sender, and readers of whom both standings speak alike."""
        ground = self._ground
        for collection in ground.terms.collections:
            sender = collection.sender
            readers: Sequence[str] = collection.readers
            if sender != ground.own:
                readers = [one for one in readers if one == ground.own]
            groups: dict[Hashable, list[str]] = defaultdict(list)
            for reader in readers:
                place = tuple(
                    likeness(one, collection.name, _NOBODY, sender=sender, recipient=reader)
                    for one in (ground.before, ground.after)
                )
                groups[place].append(reader)
            for group in groups.values():
                yield collection.name, sender, group

    def lines(self) -> list[FlowChange]:
        """Each kind towards each group of readers, what would change first."""
        ground, found = self._ground, []
        for name, sender, readers in self._alike():
            member = ground.terms.member(sender)
            units = member.units if member else ()
            for kind in ground.terms.kinds:
                before, after = (
                    flow_of(one, ground.terms, (sender, readers[0]), name, kind.id, units)
                    for one in (ground.before, ground.after)
                )
                found.append(
                    FlowChange(
                        collection=name,
                        sender=sender,
                        recipients=tuple(readers[:NAMED_MAX]),
                        readers=len(readers),
                        kind=kind.id,
                        before=before.state,
                        after=after.state,
                        by=after.by,
                        reasons=after.reasons,
                    )
                )
        return sorted(found, key=lambda one: one.before == one.after)

    def seen(self) -> list[Seen]:
        """What readers of this party's collections would be told who ask for more."""
        ground, found = self._ground, []
        for name, sender, readers in self._alike():
            if sender != ground.own:
                continue
            flow = _Flow(collection=name, party=readers[0])
            stopped = stopped_of(ground.current(), ground.own, flow)
            found.append(
                Seen(
                    collection=name,
                    recipients=tuple(readers[:NAMED_MAX]),
                    readers=len(readers),
                    words=stopped.words if stopped else "Nothing is stopped.",
                )
            )
        return found


_NOBODY: Final[Named] = named_by(())


class _Flow(msgspec.Struct, frozen=True):
    collection: str
    party: str
