"""Passed: versions that a reader was not given because a newer one was to come, and what if it
does not come.

Who asks for the last version of each object is not given an older one, though the newer may lie
pages behind; the mark then passes the older one as if it had been given. If the newer is stopped,
expires, is refused or taken back before it was given, the reader would have neither. So what was
passed over is noted (of each object the newest in each handling, for orders tell handlings apart;
only while the newer has not been given), and offered late as soon as it is the last version that
the reader may read.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from detente.gateway.book import collection_key
from detente.gateway.feeds import decode_feed, encode_feed
from detente.gateway.versions import LAST, VersionPicker, version_key
from detente.ports import Block, FeedRow, PageRow, PassedRow, Tx, View
from detente.rules.feed import Feed, Grant, offer_again, readable, state_of
from detente.wire.stix import version_of

__all__ = ["Verdicts", "bring_back", "carries", "judge", "superseded"]

#: Rows looked at in one go.
ROWS_MAX = 200


class Verdicts(msgspec.Struct, frozen=True):
    """What is to be done with rows: ``done`` need no looking after any more, ``again`` are to be
    offered late; ``after`` is the last row looked at, 0 if there is none behind it."""

    done: tuple[PassedRow, ...]
    again: tuple[PassedRow, ...]
    after: int


def carries(page: PageRow, party: str, number: int, seq: int) -> bool:
    """True if the page was the party's and the entry, of this handling, was on it."""
    if page.party != party:
        return False
    pieces, _ = msgspec.json.decode(page.pieces, type=tuple[tuple[Grant, ...], object])
    return any(number in piece.handlings and piece.a <= seq < piece.b for piece in pieces)


def superseded(
    view: View, picker: VersionPicker, behind: Feed, seqs: Sequence[int]
) -> tuple[int, ...]:
    """Of entries that a page left out: the newest of each object and handling, where the object's
    last version has not been given either once the page is (``behind``: the feed as it is then).
    """
    families: dict[tuple[int, int], list[int]] = {}
    block: Block | None = None
    for seq in seqs:
        if block is None or not block.first <= seq < block.first + block.count:
            block = view.block(picker.key, seq)
        last = picker.last(block, seq) if block is not None else -1
        if block is not None and last not in (-1, seq):
            place = (last, block.handlings[seq - block.first])
            families.setdefault(place, []).append(seq)
    return tuple(
        sorted(
            max(passed, key=lambda seq: (_version_at(view, picker.key, seq), seq))
            for (last, _), passed in families.items()
            if _queued(view, picker.key, behind, last)
        )
    )


def _version_at(view: View, key: str, seq: int) -> str:
    block = view.block(key, seq)
    return version_key(version_of(block.raw(seq))) if block is not None else ""


def _queued(view: View, key: str, feed: Feed, seq: int) -> bool:
    block = view.block(key, seq)
    return block is not None and (
        state_of(feed, block.handlings[seq - block.first], seq) == "queued"
    )


def judge(view: View, agreement: str, after: int) -> Verdicts:
    """Look at some rows of an agreement, behind a row."""
    rows = view.passed(collection_key(agreement, ""), after, ROWS_MAX)
    done: list[PassedRow] = []
    again: list[PassedRow] = []
    feeds: dict[tuple[str, str], tuple[Feed, VersionPicker]] = {}
    for row in rows:
        place = (row.collection, row.party)
        if place not in feeds:
            found = view.feed(*place)
            if found is not None:
                feed = decode_feed(found.value)
                feeds[place] = feed, VersionPicker(view, row.collection, feed, LAST)
        known = feeds.get(place)
        verdict = _verdict(view, row, *known) if known else "done"
        if verdict != "waits":
            (done if verdict == "done" else again).append(row)
    return Verdicts(tuple(done), tuple(again), rows[-1].row if len(rows) == ROWS_MAX else 0)


def _verdict(view: View, row: PassedRow, feed: Feed, picker: VersionPicker) -> str:
    key, seq = row.collection, row.seq
    block = view.block(key, seq)
    if block is None or view.recalled(key, seq, seq + 1):
        return "done"
    number = block.handlings[seq - block.first]
    if state_of(feed, number, seq) != "given":
        return "done"  # kept back, or queued again: it has a way of its own
    if not readable(feed, number, seq):
        return "waits"
    last = picker.last(block, seq)
    if last != seq:
        return "waits" if last != -1 and _queued(view, key, feed, last) else "done"
    outcomes = {
        page.outcome
        for page in view.pages_of(key, seq)
        if page.what == "objects" and carries(page, row.party, number, seq)
    }
    if outcomes & {"received", "served"}:
        return "done"
    return "waits" if "open" in outcomes else "again"


def bring_back(tx: Tx, verdicts: Verdicts, now_us: int) -> None:
    """Offer late what is to be offered, and forget the rows that need nothing any more."""
    places: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row in verdicts.again:
        block = tx.block(row.collection, row.seq)
        if block is not None:
            entry = (block.handlings[row.seq - block.first], row.seq)
            places.setdefault((row.collection, row.party), []).append(entry)
    for (key, party), entries in places.items():
        found = tx.feed(key, party)
        if found is None:
            continue
        state = tx.collection(key)
        feed, clock_us = offer_again(
            decode_feed(found.value),
            entries,
            end=state.end,
            base_us=max(now_us, state.last_us + 1),
        )
        tx.put_feed(FeedRow(collection=key, party=party, value=encode_feed(feed)))
        tx.move_clock(key, clock_us - 1)
    tx.drop_passed([row.row for row in (*verdicts.done, *verdicts.again)])
