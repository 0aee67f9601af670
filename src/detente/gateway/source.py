"""Source: a foreign TAXII collection that is read into one of this node's own.

What comes is published like anything else, through ``intake``: same checks, same handlings, same
ledger entry. A page's items and the place behind it are one transaction, so a crash reads at most
one page again, and what is known already is not entered twice. A server that leads in circles,
goes back in time or answers out of form is told by name, and asked again later.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec

from detente.errors import Broken, Conflict, DetenteError, Invalid, PeerError
from detente.gateway.intake import Intake, Publication, Published
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
from detente.model.names import Record
from detente.ports import LinkRow, Tx
from detente.wire.taxii import Envelope, check_time, objects_query, read_envelope

__all__ = ["SourceReport", "SourceSettings", "SourceState", "SourceView", "Sources"]

#: A poll gives way to other sources after this long, or this many pages; its place is kept.
TURN_US_MAX = 60_000_000
TURN_PAGES_MAX = 1_000
#: Pages in a row within a round that bring neither a new item nor a later time.
STILL_PAGES_MAX = 100
#: Refused objects told by name; more are counted only.
TOLD_MAX = 20
#: Errors after which a smaller page may do.
_TOO_LARGE = (
    "link.answer-size",
    "stix.objects",
    "http.body_too_large",
    "link.page-size",
    "publish.handlings",
)
#: Errors by which a server may mean that it no longer knows a ``next`` it gave.
_NEXT_GONE = ("link.answer", "link.unknown-collection")
#: A server that fails by itself (5xx) keeps its ``next`` this often in a row: it may only be down
#: for a while, and a long round is not read again for that. Some fail so at a ``next`` they forgot.
NEXT_FAILURES_MAX = 5


class SourceSettings(LinkSettings, frozen=True, kw_only=True):
    """What is taken from where, and as what it is published. ``types`` are asked of the server
    (``match[type]``); ``added_after`` is where the first round begins."""

    kind: str | None = None
    purpose: str | None = None
    grade: str | None = None
    unit: str | None = None
    types: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)] = ()
    added_after: str = ""


class RefusedItem(Record, frozen=True, kw_only=True):
    """An object that was not taken, and why."""

    id: str
    code: str
    sentence: str


class SourceState(LinkState, frozen=True, kw_only=True):
    """How far a source has come. ``after`` is where this round began, as the server wrote it;
    ``next`` and ``last`` are where it stands within the round, ``digest`` is that of its last page
    and ``still`` counts its last pages that led nowhere. The counts are of all rounds."""

    after: str = ""
    next: str = ""
    last: str = ""
    digest: str = ""
    still: int = 0
    pages: int = 0
    taken: int = 0
    known: int = 0
    refused: int = 0
    told: tuple[RefusedItem, ...] = ()
    polled_us: int = 0


class SourceView(Record, frozen=True, kw_only=True, omit_defaults=False):
    """A source as its operator sees it; without any secret, for neither part holds one."""

    settings: SourceSettings
    state: SourceState


class SourceReport(Record, frozen=True, kw_only=True, omit_defaults=False):
    """What one poll brought. ``more``: the round is not at its end, and goes on when due."""

    name: str
    pages: int
    taken: int
    known: int
    refused: int
    told: tuple[RefusedItem, ...]
    more: bool
    failure: Failure | None
    due_ms: int


class Sources:
    """Adds, shows, removes and polls sources. ``due`` says which to poll; whoever composes the
    node waits and calls."""

    def __init__(self, parts: LinkParts, intake: Intake, *, page_bytes_max: int) -> None:
        self._parts = parts
        self._intake = intake
        self._page_bytes_max = page_bytes_max
        self._links = Links(parts, "source")
        self._pace = Pace()

    async def load(self) -> None:
        """Learn which sources there are; before the first ``due``."""
        await self._links.load(lambda row: decode(row.state, SourceState).due_us)

    async def add(self, settings: SourceSettings, secret: str) -> SourceView:
        """Keep a new source; it is due at once. Nothing is asked of the server here."""
        agreement, _ = own_collection(self._parts, settings)
        stated = (
            ("kind", settings.kind, [one.id for one in agreement.kinds]),
            ("purpose", settings.purpose, [one.id for one in agreement.purposes]),
        )
        for word, value, among in stated:
            if value is not None and value not in among:
                raise Invalid(
                    f"publish.{word}", f"Expected a {word} among {', '.join(among)}, got {value}."
                )
        if settings.added_after:
            check_time(settings.added_after)
        state = SourceState(after=settings.added_after, limit=settings.page_objects)
        await self._links.add(settings, secret, _row(settings, state))
        return SourceView(settings=settings, state=state)

    async def views(self) -> list[SourceView]:
        """All sources."""
        return [_view(row) for row in await self._links.rows()]

    async def show(self, name: str) -> SourceView:
        """One source."""
        return _view(await self._links.row(name))

    async def remove(self, name: str) -> None:
        """Forget a source and its secret; what it brought stays."""
        await self._links.remove(name)

    def due(self, now_us: int) -> list[str]:
        """The sources to poll now."""
        return self._links.due(now_us)

    async def poll(self, name: str) -> SourceReport:
        """Read what there is, as far as the pace allows. A failure of the server is part of the
        report; one poll of a source at a time."""
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

    async def _turn(self, view: SourceView) -> SourceReport:
        settings, before = view.settings, view.state
        state, more, began_us = before, True, self._now_us()
        remote = Remote(self._parts, settings, "source")
        due_us = began_us
        for _ in range(TURN_PAGES_MAX):
            now_us = self._now_us()
            wait_us = self._pace.wait_us(settings.name, settings.requests_per_minute, now_us)
            if wait_us or now_us - began_us > TURN_US_MAX:
                due_us = now_us + wait_us
                break
            try:
                state, more = await self._page(remote, settings, state)
            except RemoteError as error:
                state = await self._failed(settings, state, error)
                due_us = state.due_us
                break
            due_us = state.due_us
            if not more:
                break
        self._links.set_due(settings.name, due_us)
        return SourceReport(
            name=settings.name,
            pages=state.pages - before.pages,
            taken=state.taken - before.taken,
            known=state.known - before.known,
            refused=state.refused - before.refused,
            told=state.told if state.refused > before.refused else (),
            more=more,
            failure=state.failure,
            due_ms=due_us // 1000,
        )

    async def _page(
        self, remote: Remote, settings: SourceSettings, state: SourceState
    ) -> tuple[SourceState, bool]:
        """Read one page and take it. The items and the state behind them are one transaction."""
        query = objects_query(
            after=state.after,
            following=state.next,
            limit=state.limit or settings.page_objects,
            types=settings.types,
        )
        path = f"{remote.place.collection}objects/?{query}"
        answer = await remote.get(path, answer_bytes_max=self._page_bytes_max)
        try:
            envelope = read_envelope(answer)
            digest = hashlib.sha256(answer.body).hexdigest()
            _check_forward(envelope, state, digest)
        except PeerError as error:
            raise RemoteError(error) from error
        following = _behind(settings, state, envelope, self._now_us())
        if envelope.more:
            following = msgspec.structs.replace(following, digest=digest)
        made = [following]

        def keep(tx: Tx, published: Published | None) -> None:
            if published is not None:
                made[0] = _counted(following, published)
            self._links.put(tx, settings.name, encode(made[0]))

        if not envelope.count:
            await self._parts.book.store.write(lambda tx: keep(tx, None))
            return made[0], envelope.more
        publication = Publication(
            agreement=settings.agreement,
            collection=settings.collection,
            party=self._parts.book.me.party,
            body=answer.body,
            kind=settings.kind,
            purpose=settings.purpose,
            grade=settings.grade,
            unit=settings.unit,
            partial=True,
        )
        try:
            await self._intake.publish(publication, keep)
        except (Broken, Conflict):
            raise
        except DetenteError as error:
            # The page as a whole cannot be read, or cannot be published as it is stated.
            raise RemoteError(error) from error
        return made[0], envelope.more

    async def _failed(
        self, settings: SourceSettings, state: SourceState, fault: RemoteError
    ) -> SourceState:
        """Keep that a poll failed, and when to try again."""
        error, failures = fault.error, state.failures + 1
        wait_ms = put_off_ms(failures, self._parts.chance(), fault.retry_after_ms)
        now_us = self._now_us()
        state = msgspec.structs.replace(
            state,
            failures=failures,
            failure=Failure(code=error.code, sentence=error.sentence, hint=error.hint),
            due_us=now_us + wait_ms * 1000,
            polled_us=now_us,
        )
        if error.code in _TOO_LARGE:
            state = msgspec.structs.replace(state, limit=max(1, state.limit // 2))
        if state.next and (
            error.code in _NEXT_GONE
            or (error.code == "link.server" and failures >= NEXT_FAILURES_MAX)
        ):
            # The round begins again where it began before: what is known is not taken twice.
            state = msgspec.structs.replace(state, next="", last="", digest="", still=0)
        data = encode(state)
        await self._parts.book.store.write(lambda tx: self._links.put(tx, settings.name, data))
        return state


def _row(settings: SourceSettings, state: SourceState) -> LinkRow:
    return LinkRow(use="source", name=settings.name, settings=encode(settings), state=encode(state))


def _view(row: LinkRow) -> SourceView:
    return SourceView(
        settings=decode(row.settings, SourceSettings), state=decode(row.state, SourceState)
    )


def _check_forward(envelope: Envelope, state: SourceState, digest: str) -> None:
    """Refuse a page that leads nowhere new (TAXII 2.1, 3.4: pages follow by time of addition).

    The same ``next`` again is no fault by itself: some servers name a whole round by one token
    and move on behind it. The same page again is, and so are many pages with nothing new.
    """
    if envelope.more and (
        not envelope.count
        or not envelope.next
        or digest == state.digest
        or state.still >= STILL_PAGES_MAX
    ):
        raise PeerError(
            "link.loop",
            "Expected `more` with a `next` and pages that lead on, got one that does not.",
        )
    reached = state.last or state.after
    if envelope.count and (
        envelope.last_ns < envelope.first_ns or (reached and envelope.last_ns < check_time(reached))
    ):
        raise PeerError(
            "link.date-back", f"Expected times from {reached or 'first to last'}, got earlier ones."
        )


def _behind(
    settings: SourceSettings, state: SourceState, envelope: Envelope, now_us: int
) -> SourceState:
    """The state behind a page. The place of the round moves at its end only: what was added at
    the same instant as the last object of a page in the middle would else be missed."""
    reached = envelope.last or state.last
    if envelope.more:
        return msgspec.structs.replace(
            state,
            next=envelope.next,
            last=reached,
            still=state.still + 1 if reached == state.last else 0,
            pages=state.pages + 1,
            failures=0,
            failure=None,
            due_us=now_us,
            polled_us=now_us,
        )
    return msgspec.structs.replace(
        state,
        after=reached or state.after,
        next="",
        last="",
        digest="",
        still=0,
        limit=min(settings.page_objects, 2 * max(1, state.limit)),
        pages=state.pages + 1,
        failures=0,
        failure=None,
        due_us=now_us + settings.interval_ms * 1000,
        polled_us=now_us,
    )


def _counted(state: SourceState, published: Published) -> SourceState:
    told = tuple(
        RefusedItem(id=one.id[:300], code=one.code, sentence=one.sentence[:300])
        for one in published.refused[-TOLD_MAX:]
    )
    return msgspec.structs.replace(
        state,
        still=0 if published.taken else state.still,
        taken=state.taken + published.taken,
        known=state.known + published.known,
        refused=state.refused + len(published.refused),
        told=(*state.told, *told)[-TOLD_MAX:],
    )
