"""Rows: what is written is what is read, in the order in which it was written."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from detente.errors import Conflict, Missing
from detente.ports import (
    ActRow,
    CredentialRow,
    DocumentRow,
    FeedRow,
    Opening,
    PageRow,
    PeerRow,
    StatusRow,
    Tx,
)
from detente.store.sqlite import SQLiteStore
from tests.unit.store.kit import KEY, LOG, play

PAGE = PageRow(
    log=LOG,
    index=0,
    collection=KEY,
    party="bravo",
    reader="peer",
    at_ms=1,
    epoch=2,
    from_us=3,
    until_us=4,
    low=0,
    high=10,
    count=10,
    root=b"r" * 32,
    pieces=b"[]",
    outcome="open",
)


def in_tx(path: Path, *works: object) -> None:
    """Each work in a transaction of its own."""

    async def story(store: SQLiteStore) -> None:
        for work in works:
            await store.write(work)  # type: ignore[arg-type]  # each test gives works of its own type

    play(path, story)


def test_meta_is_set_and_set_again(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        assert tx.meta("a") is None
        tx.put_meta("a", "1")
        tx.put_meta("a", "2")
        assert tx.meta("a") == "2"

    in_tx(tmp_path / "s.db", work)


def test_document_is_kept_once(tmp_path: Path) -> None:
    def row(digest: str, agreement: str, envelope: bytes = b"{}") -> DocumentRow:
        return DocumentRow(
            digest=digest, use="directive", agreement=agreement, name="n", envelope=envelope
        )

    def work(tx: Tx) -> None:
        rows = [row("b", "agr-2"), row("a", "agr-1"), row("c", "agr-2")]
        for one in (*rows, row("a", "agr-3", b"other")):
            tx.put_document(one)
        assert tx.document("a") == rows[1]
        assert tx.document("z") is None
        assert tx.documents(use="directive") == rows
        assert tx.documents(use="directive", agreement="agr-2") == [rows[0], rows[2]]
        assert tx.documents(use="charter") == []

    in_tx(tmp_path / "s.db", work)


def test_acts_keep_their_order(tmp_path: Path) -> None:
    def row(agreement: str, doc: str) -> ActRow:
        return ActRow(
            agreement=agreement, use="directive", party="a", doc=doc, at_ms=5, log=LOG, index=1
        )

    def work(tx: Tx) -> None:
        rows = [row("agr-2", "z"), row("", "c"), row("agr-1", "y"), row("agr-2", "a")]
        for one in rows:
            tx.put_act(one)
        assert tx.acts("agr-2") == [rows[0], rows[3]]
        assert tx.acts("") == [rows[1]]
        assert tx.agreements() == ["agr-2", "agr-1"]

    in_tx(tmp_path / "s.db", work)


def test_handlings_are_interned_by_collection(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        assert tx.intern(KEY, b"x") == (1, True)
        assert tx.intern(KEY, b"y") == (2, True)
        assert tx.intern(KEY, b"x") == (1, False)
        assert tx.intern(KEY + "2", b"y") == (1, True)
        assert tx.handlings(KEY) == {1: b"x", 2: b"y"}
        assert tx.handlings("none") == {}
        assert tx.collection(KEY).end == 0

    in_tx(tmp_path / "s.db", work)


def test_feeds_are_found_by_prefix(tmp_path: Path) -> None:
    def row(collection: str, party: str, value: bytes = b"1") -> FeedRow:
        return FeedRow(collection=collection, party=party, value=value)

    def work(tx: Tx) -> None:
        rows = [row("agr-1/b", "x"), row("agr-1/a", "x"), row("agr-10/a", "x"), row("agr-1/a", "w")]
        for one in rows:
            tx.put_feed(one)
        tx.put_feed(row("agr-1/b", "x", b"2"))
        assert tx.feeds("agr-1/") == [row("agr-1/b", "x", b"2"), rows[1], rows[3]]
        assert tx.feeds("agr-1/a") == [rows[1], rows[3]]
        assert len(tx.feeds("")) == 4
        assert tx.feed("agr-1/b", "x") == row("agr-1/b", "x", b"2")
        assert tx.feed("agr-1/b", "y") is None

    in_tx(tmp_path / "s.db", work)


def page(index: int, low: int, high: int, **changes: object) -> PageRow:
    return msgspec.structs.replace(PAGE, index=index, low=low, high=high, **changes)


def test_pages_are_found_by_what_they_span(tmp_path: Path) -> None:
    bounds = [(0, 10), (10, 20), (0, 1), (5, 1_000_005), (19, 20), (2**40, 2**41), (9, 17)]

    def work(tx: Tx) -> None:
        rows = [page(i, low, high) for i, (low, high) in enumerate(bounds)]
        for one in reversed(rows):
            tx.put_page(one)
        tx.put_page(page(99, 0, 100, collection=KEY + "2"))
        for seq in (0, 1, 9, 10, 16, 17, 19, 20, 999_999, 1_000_005, 2**40, 2**41 - 1, 2**41):
            wanted = [one for one in reversed(rows) if one.low <= seq < one.high]
            assert tx.pages_of(KEY, seq) == wanted

    in_tx(tmp_path / "s.db", work)


def test_page_is_open_until_it_is_ended(tmp_path: Path) -> None:
    def work(tx: Tx) -> None:
        rows = [page(0, 0, 10), page(1, 10, 20), page(2, 0, 10, party="charlie")]
        for one in rows:
            tx.put_page(one)
        with pytest.raises(Conflict):
            tx.put_page(rows[1])
        assert tx.pages_open() == rows
        tx.end_page(LOG, 1, "served")
        assert tx.pages_open() == [rows[0], rows[2]]
        tx.end_page(LOG, 1, "received", "digest")
        tx.end_page(LOG, 1, "received")
        ended = msgspec.structs.replace(rows[1], outcome="received", receipt="digest")
        assert tx.page(LOG, 1) == ended
        assert tx.pages(KEY, "bravo") == [rows[0], ended]
        assert tx.page(LOG, 9) is None
        with pytest.raises(Missing):
            tx.end_page(LOG, 9, "served")

    in_tx(tmp_path / "s.db", work)


def test_openings_and_cosignatures_belong_to_a_ledger(tmp_path: Path) -> None:
    opening = Opening(salt=b"s" * 32, media="text/plain", payload=b"p")

    def work(tx: Tx) -> None:
        with pytest.raises(Missing):
            tx.put_opening(LOG, 0, opening)
        with pytest.raises(Missing):
            tx.put_cosigned(LOG, 1, b"note")
        with pytest.raises(Missing):
            tx.entry(LOG, 0)
        tx.append_entry(LOG, b"e")
        tx.put_opening(LOG, 0, opening)
        assert tx.opening(LOG, 0) == opening
        assert tx.opening(LOG, 1) is None
        assert tx.cosignatures(LOG) is None
        tx.put_cosigned(LOG, 5, b"five")
        tx.put_cosigned(LOG, 4, b"four")
        assert tx.cosignatures(LOG) == (5, b"five")
        tx.put_cosigned(LOG, 5, b"five again")
        assert tx.cosignatures(LOG) == (5, b"five again")

    in_tx(tmp_path / "s.db", work)


def test_clients_partners_and_statuses_are_written_over(tmp_path: Path) -> None:
    client = CredentialRow(name="b", party="bravo", secret_hash="h", created_ms=1)
    peer = PeerRow(party="bravo", agreement="agr-1", address="https://b", state=b"{}")
    status = StatusRow(id="s", agreement="agr-1", party="bravo", created_ms=1, body=b"{}")

    def work(tx: Tx) -> None:
        other = msgspec.structs.replace(client, name="a")
        removed = msgspec.structs.replace(client, removed_ms=7)
        for one in (client, other, removed):
            tx.put_credential(one)
        assert tx.credentials() == [removed, other]
        assert tx.credential("b") == removed
        assert tx.credential("z") is None
        later = msgspec.structs.replace(peer, state=b'{"a":1}')
        for two in (peer, msgspec.structs.replace(peer, agreement="agr-0"), later):
            tx.put_peer(two)
        assert tx.peers() == [later, msgspec.structs.replace(peer, agreement="agr-0")]
        done = msgspec.structs.replace(status, body=b"done")
        tx.put_status(status)
        tx.put_status(done)
        assert tx.status("s") == done
        assert tx.status("t") is None

    in_tx(tmp_path / "s.db", work)
