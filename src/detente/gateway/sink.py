"""Sink: a feed that is pushed into a foreign TAXII collection, which only takes POST.

What leaves is what the named party may read, page by page as ``deliver`` makes them, cleared by
the gate, in its register while the server takes it, cut by an order. The mark moves when the server
has said that the page is complete. After a crash or a cut the same page is sent again: to a TAXII
server the same id and version is the same object. What it refuses is told and passed over.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import msgspec

from detente.errors import Broken, Conflict, DetenteError, NotAuthorised, PeerError
from detente.gateway.deliver import Delivery, Nothing, Ready, Sheet
from detente.gateway.feeds import decode_feed, encode_feed
from detente.gateway.gather import PageAsk
from detente.gateway.link import (
    Failure,
    LinkParts,
    Links,
    LinkSettings,
    LinkState,
    Pace,
    Remote,
    RemoteError,
    own_collection,
    put_off_ms,
)
from detente.model import decode, encode
from detente.model.names import PartyID, Record
from detente.ports import FeedRow, LinkRow, PageRow, Tx
from detente.rules.feed import Grant, Point, received
from detente.wire.taxii import Status, check_time, read_status

__all__ = ["SinkReport", "SinkSettings", "SinkState", "SinkView", "Sinks"]

#: A push gives way to other sinks after this long, or this many pages; its place is kept.
TURN_US_MAX = 60_000_000
TURN_STEPS_MAX = 1_000
#: Refused objects told by name; more are counted only.
TOLD_MAX = 20
#: How long a server may call a page pending before it is sent again.
PENDING_US_MAX = 60 * 60 * 1_000_000
PENDING_WAIT_US_MIN = 1_000_000
PENDING_WAIT_US_MAX = 60_000_000
#: Answers that speak of this page's size or objects, not of the server: fewer objects may do.
_PAGE_FAULTS = ("link.page-size", "link.page-refused")


class SinkSettings(LinkSettings, frozen=True, kw_only=True):
    """Which party's feed of which collection goes where. ``added_after``: earlier items of the
    feed are not sent."""

    party: PartyID
    added_after: str = ""
    interval_ms: Annotated[int, msgspec.Meta(ge=1_000, le=7 * 86_400_000)] = 10_000


class RefusedThere(Record, frozen=True, kw_only=True):
    """An object that the server did not take, and why it says so."""

    id: str
    sentence: str


class Pending(Record, frozen=True, kw_only=True):
    """A page that the server has and is still at work on."""

    status: str
    log: str
    index: int
    count: int
    until_us: int
    since_us: int
    asked: int = 0


class SinkState(LinkState, frozen=True, kw_only=True):
    """How far a sink has come: ``after_us`` is the time in the feed of the last item that the
    server has answered for. ``stopped`` says why nothing is sent although the feed is there."""

    after_us: int = 0
    pending: Pending | None = None
    stopped: str = ""
    pages: int = 0
    sent: int = 0
    refused: int = 0
    told: tuple[RefusedThere, ...] = ()
    pushed_us: int = 0


class SinkView(Record, frozen=True, kw_only=True, omit_defaults=False):
    """A sink as its operator sees it; without any secret, for neither part holds one."""

    settings: SinkSettings
    state: SinkState


class SinkReport(Record, frozen=True, kw_only=True, omit_defaults=False):
    """What one push did. ``sent`` counts objects that the server has taken; ``pending`` those it
    is still at work on."""

    name: str
    pages: int
    sent: int
    refused: int
    told: tuple[RefusedThere, ...]
    pending: int
    stopped: str
    more: bool
    failure: Failure | None
    due_ms: int


class _Step(msgspec.Struct, frozen=True, kw_only=True):
    """The state behind one step, and whether there may be more to do at once."""

    state: SinkState
    more: bool


class Sinks:
    """Adds, shows, removes and pushes to sinks. ``due`` says which to push to; whoever composes
    the node waits and calls."""

    def __init__(self, parts: LinkParts, delivery: Delivery) -> None:
        self._parts = parts
        self._delivery = delivery
        self._links = Links(parts, "sink")
        self._pace = Pace()

    async def load(self) -> None:
        """Learn which sinks there are; before the first ``due``."""
        await self._links.load(lambda row: decode(row.state, SinkState).due_us)

    async def add(self, settings: SinkSettings, secret: str) -> SinkView:
        """Keep a new sink; it is due at once. One sink for a party's feed: its mark is one."""
        _, collection = own_collection(self._parts, settings)
        if settings.party not in collection.readers:
            raise NotAuthorised(
                "sink.not-reader",
                f"Expected a reader of {collection.name}, got {settings.party}.",
            )
        feed = (settings.agreement, settings.collection, settings.party)

        def check_free(rows: list[LinkRow]) -> None:
            for one in (_view(row).settings for row in rows):
                if (one.agreement, one.collection, one.party) == feed:
                    raise Conflict(
                        "sink.feed-taken",
                        f"Expected a feed without a sink, got that of {one.name}.",
                    )

        after_us = check_time(settings.added_after) // 1000 if settings.added_after else 0
        state = SinkState(after_us=max(0, after_us), limit=settings.page_objects)
        await self._links.add(settings, secret, _row(settings, state), check_free)
        return SinkView(settings=settings, state=state)

    async def views(self) -> list[SinkView]:
        """All sinks."""
        return [_view(row) for row in await self._links.rows()]

    async def show(self, name: str) -> SinkView:
        """One sink."""
        return _view(await self._links.row(name))

    async def remove(self, name: str) -> None:
        """Forget a sink and its secret; what it sent was sent."""
        await self._links.remove(name)

    def due(self, now_us: int) -> list[str]:
        """The sinks to push to now."""
        return self._links.due(now_us)

    async def push(self, name: str) -> SinkReport:
        """Send what there is, as far as the pace allows. A failure of the server is part of the
        report; one push to a sink at a time."""
        self._links.begin(name)
        done = False
        try:
            view = await self.show(name)
            report = await self._turn(view)
            done = True
        finally:
            self._links.end(name)
            if not done:
                # This node failed, not the server; do not try again in a tight circle.
                self._links.set_due(name, self._now_us() + 60_000_000)
        return report

    def _now_us(self) -> int:
        return self._parts.book.clock.now_us()

    async def _turn(self, view: SinkView) -> SinkReport:
        settings, before = view.settings, view.state
        began_us = self._now_us()
        step = _Step(state=before, more=True)
        remote = Remote(self._parts, settings, "sink")
        due_us = began_us
        for _ in range(TURN_STEPS_MAX):
            now_us = self._now_us()
            wait_us = self._pace.wait_us(settings.name, settings.requests_per_minute, now_us)
            if wait_us or now_us - began_us > TURN_US_MAX:
                due_us = now_us + wait_us
                break
            try:
                if step.state.pending is None:
                    step = await self._send(remote, settings, step.state)
                else:
                    step = await self._ask(remote, settings, step.state)
            except RemoteError as error:
                step = await self._failed(settings, step.state, error)
            due_us = step.state.due_us
            if not step.more:
                break
        self._links.set_due(settings.name, due_us)
        state = step.state
        return SinkReport(
            name=settings.name,
            pages=state.pages - before.pages,
            sent=state.sent - before.sent,
            refused=state.refused - before.refused,
            told=state.told if state.refused > before.refused else (),
            pending=state.pending.count if state.pending else 0,
            stopped=state.stopped,
            more=step.more,
            failure=state.failure,
            due_ms=due_us // 1000,
        )

    # --- sending ---------------------------------------------------------------------------

    async def _send(self, remote: Remote, settings: SinkSettings, state: SinkState) -> _Step:
        """Send the next page of the feed, if there is one."""
        ask = PageAsk(
            agreement=settings.agreement,
            collection=settings.collection,
            party=settings.party,
            reader=f"sink:{settings.name}",
            after_us=state.after_us,
            limit=state.limit or settings.page_objects,
        )
        try:
            ready = await self._delivery.page(ask, _render)
        except Broken:
            raise  # this node's invariant, not the server's answer: the gate is to shut
        except DetenteError as error:
            raise RemoteError(error) from error
        if isinstance(ready, Nothing):
            words = ready.stopped.words if ready.stopped else ""
            return _Step(state=await self._rest(settings, state, words), more=False)
        status = None
        try:
            answer = await remote.send(f"{remote.place.collection}objects/", ready.cleared)
            status = read_status(answer)
        except Conflict:
            # An order came between clearing and sending; nothing has left. Decide again.
            return _Step(state=state, more=True)
        except PeerError as error:
            raise RemoteError(error) from error
        except RemoteError as error:
            if error.error.code in _PAGE_FAULTS:
                return await self._smaller(settings, state, ready, error)
            raise
        finally:
            if status is None:
                self._delivery.ended(ready.page, ready.gathered, ask, complete=False)
        pending = Pending(
            status=status.id,
            log=ready.page.log,
            index=ready.page.index,
            count=ready.gathered.count,
            until_us=ready.gathered.until.us,
            since_us=self._now_us(),
        )
        return await self._heard(settings, state, pending, status)

    async def _ask(self, remote: Remote, settings: SinkSettings, state: SinkState) -> _Step:
        """Ask what became of the page that was pending."""
        pending = state.pending
        assert pending is not None  # the caller has looked
        page = await self._parts.book.store.read(lambda view: view.page(pending.log, pending.index))
        if page is None or page.outcome != "open":
            # The node was started again meanwhile: the page counts as cut and is sent again.
            return _Step(state=msgspec.structs.replace(state, pending=None), more=True)
        try:
            answer = await remote.get(f"{remote.place.root}status/{quote(pending.status, '')}/")
            status = read_status(answer)
        except PeerError as error:
            raise RemoteError(error) from error
        return await self._heard(settings, state, pending, status)

    async def _heard(
        self, settings: SinkSettings, state: SinkState, pending: Pending, status: Status
    ) -> _Step:
        """Take a status: a complete page is behind us, a pending one is asked for again."""
        now_us = self._now_us()
        if not status.complete:
            wait_us = min(PENDING_WAIT_US_MAX, PENDING_WAIT_US_MIN << min(pending.asked, 20))
            state = msgspec.structs.replace(
                state,
                pending=msgspec.structs.replace(pending, asked=pending.asked + 1),
                due_us=now_us + wait_us,
                failures=0,
                failure=None,
                pushed_us=now_us,
            )
            if now_us - pending.since_us > PENDING_US_MAX:
                late = PeerError("sink.pending", "Expected a page to be complete by now, got not.")
                raise RemoteError(late)
            await self._keep(settings, state)
            return _Step(state=state, more=False)
        failed = min(status.failures, pending.count)
        told = tuple(RefusedThere(id=one.id, sentence=one.words) for one in status.refused)
        state = _passed(state, pending.until_us, told, failed, now_us)
        state = msgspec.structs.replace(
            state,
            sent=state.sent + pending.count - failed,
            limit=min(settings.page_objects, 2 * max(1, state.limit)),
        )

        def work(tx: Tx) -> None:
            self._accepted(tx, pending.log, pending.index)
            self._links.put(tx, settings.name, encode(state))

        await self._parts.book.store.write(work)
        return _Step(state=state, more=True)

    def _accepted(self, tx: Tx, log: str, index: int) -> None:
        """The page's outcome, and exactly its entries out of what is still to be given, as with a
        receipt: an order may have come while the server was at work on it."""
        page = tx.page(log, index)
        if page is None or page.outcome != "open":
            return
        tx.end_page(log, index, "served")
        tx.append_entry(log, self._parts.book.entry("page.end", page=index, outcome="served"))
        row = tx.feed(page.collection, page.party)
        if row is not None:
            feed = received(decode_feed(row.value), *_pieces(page))
            value = encode_feed(feed)
            tx.put_feed(FeedRow(collection=page.collection, party=page.party, value=value))

    async def _smaller(
        self, settings: SinkSettings, state: SinkState, ready: Ready, fault: RemoteError
    ) -> _Step:
        """A page that the server would not have: half of it; a single object is passed over."""
        count, now_us = ready.gathered.count, self._now_us()
        if count > 1:
            return _Step(state=msgspec.structs.replace(state, limit=count // 2), more=True)
        told = RefusedThere(id=_id_of(ready.gathered.body), sentence=fault.error.sentence[:300])
        state = _passed(state, ready.gathered.until.us, (told,), 1, now_us)
        await self._keep(settings, state)
        return _Step(state=state, more=True)

    async def _give_up(self, pending: Pending) -> None:
        """The server does not say what became of a page: it counts as cut and is sent again."""

        def work(tx: Tx) -> None:
            page = tx.page(pending.log, pending.index)
            if page is not None and page.outcome == "open":
                tx.end_page(pending.log, pending.index, "cut")
                entry = self._parts.book.entry("page.end", page=pending.index, outcome="cut")
                tx.append_entry(pending.log, entry)

        await self._parts.book.store.write(work)

    # --- state -----------------------------------------------------------------------------

    async def _keep(self, settings: SinkSettings, state: SinkState) -> None:
        data = encode(state)
        await self._parts.book.store.write(lambda tx: self._links.put(tx, settings.name, data))

    async def _rest(self, settings: SinkSettings, state: SinkState, stopped: str) -> SinkState:
        """Nothing to send: come back after the interval. Written only if it says something new,
        so that an idle sink costs no commit."""
        now_us = self._now_us()
        rested = msgspec.structs.replace(
            state, stopped=stopped, failures=0, failure=None, due_us=state.due_us
        )
        if rested != state:
            await self._keep(settings, rested)
        return msgspec.structs.replace(rested, due_us=now_us + settings.interval_ms * 1000)

    async def _failed(self, settings: SinkSettings, state: SinkState, fault: RemoteError) -> _Step:
        """Keep that a push failed, and when to try again."""
        error, failures = fault.error, state.failures + 1
        if error.code == "link.cut":
            # Our own order, not the server's fault: see at once what is left to send.
            failures, wait_ms = state.failures, 1_000
        else:
            wait_ms = put_off_ms(failures, self._parts.chance(), fault.retry_after_ms)
        now_us = self._now_us()
        state = msgspec.structs.replace(
            state,
            failures=failures,
            failure=Failure(code=error.code, sentence=error.sentence, hint=error.hint),
            due_us=now_us + wait_ms * 1000,
            pushed_us=now_us,
        )
        if error.code == "link.broken-off":
            # Some servers hang up on a page that is too large instead of saying so.
            state = msgspec.structs.replace(state, limit=max(1, state.limit // 2))
        if state.pending and error.code in ("sink.pending", "link.unknown-collection"):
            await self._give_up(state.pending)
            state = msgspec.structs.replace(state, pending=None)
        await self._keep(settings, state)
        return _Step(state=state, more=False)


async def _render(sheet: Sheet) -> tuple[bytes, ...]:
    """An envelope (TAXII 2.1, 3.7): the objects' bytes as they came."""
    return (b'{"objects":[', sheet.gathered.body, b"]}")


def _pieces(page: PageRow) -> tuple[tuple[Grant, ...], Point]:
    return msgspec.json.decode(page.pieces, type=tuple[tuple[Grant, ...], Point])


class _Identified(msgspec.Struct):
    id: str = ""


def _id_of(raw: bytes) -> str:
    return msgspec.json.decode(raw, type=_Identified).id[:300]


def _passed(
    state: SinkState, until_us: int, told: tuple[RefusedThere, ...], refused: int, now_us: int
) -> SinkState:
    """The state behind a page that the server has answered for."""
    return msgspec.structs.replace(
        state,
        after_us=until_us,
        pending=None,
        stopped="",
        pages=state.pages + 1,
        refused=state.refused + refused,
        told=(*state.told, *told)[-TOLD_MAX:],
        failures=0,
        failure=None,
        due_us=now_us,
        pushed_us=now_us,
    )


def _row(settings: SinkSettings, state: SinkState) -> LinkRow:
    return LinkRow(use="sink", name=settings.name, settings=encode(settings), state=encode(state))


def _view(row: LinkRow) -> SinkView:
    return SinkView(settings=decode(row.settings, SinkSettings), state=decode(row.state, SinkState))
