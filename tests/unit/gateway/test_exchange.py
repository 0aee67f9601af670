"""No proof, no accept: what a partner's gateway may not get away with, and what comes twice."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import structlog

from detente.errors import DetenteError, Missing, Unavailable
from detente.gateway import exchange as exchange_module
from detente.gateway.deliver import PageAsk, Ready
from detente.gateway.witness import proof_of
from detente.model import decode, encode, object_key
from detente.model.transfer import Receipt, ReceiptsTaken, Request
from detente.node import Node
from detente.ports import NewItem, Tx
from detente.proof import Envelope, Proof, Signature, encode_proof, parse_proof, sign
from detente.proof import decode as decode_envelope
from detente.rules.document import payload_type
from detente.testing import World, check
from detente.testing.parts import AGREEMENT, READER
from tests.unit.gateway.kit import (
    Between,
    acts_of,
    look,
    page_of,
    parts_of,
    play,
    refused,
    signed_acts,
)

# --- pages that are not what they say -------------------------------------------------------------

FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"agreement": "A9"}, "peer.page"),
    ({"collection": "w-out"}, "peer.page"),
    ({"sender": "W"}, "peer.page"),
    ({"recipient": "K"}, "peer.page"),
    ({"origin": "b.example/detente/A2"}, "peer.page"),
    ({"root": "0" * 64}, "peer.page"),
    ({"salt": "0" * 64}, "sealed.opening"),
    ({"count": 1}, "peer.page"),
    ({"from_us": 0}, "peer.page"),
    ({"until_us": 1}, "peer.page"),
    ({"runs": ()}, "peer.page"),
    ({"runs": ((0, 1),)}, "peer.page"),
    ({"runs": ((0, 3),)}, "peer.page"),
    ({"runs": ((1, 2),)}, "peer.page"),
    ({"handlings": ()}, "peer.page"),
    ({"proof": ""}, "proof.form"),
    ({"entry": "{}"}, "proof.root"),
    ({"exercise": True}, "document.exercise"),
]


def test_page_of_which_one_field_is_wrong_is_not_taken(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        between = Between(world, "page")
        for fields, code in FIELDS:

            def change(body: bytes, fields: dict[str, Any] = fields) -> bytes:
                sheet, objects = parts_of(body)
                return page_of(world, msgspec.structs.replace(sheet, **fields), objects)

            assert await refused(world, between, change) == code, fields
        await world.exchange()
        await check(world)

    play(tmp_path, story)


def test_page_that_was_released_to_another_is_not_taken(tmp_path: Path) -> None:
    """Signed, proved and complete, but K's: W may not have it because somebody brings it."""

    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        site = world.sites["B"]
        ask = PageAsk(
            agreement=AGREEMENT,
            collection="b-out",
            party=READER,
            reader="k-client",
            after_us=0,
            limit=10,
        )
        ready = await site.delivery.page(ask, site.desk._render)
        assert isinstance(ready, Ready)
        foreign = b"".join(ready.cleared.shipment.chunks)
        assert parts_of(foreign)[0].recipient == READER
        assert await refused(world, Between(world, "page"), lambda _: foreign) == "peer.page"
        await world.exchange()

    play(tmp_path, story)


def test_place_that_the_proof_does_not_show_is_not_taken(tmp_path: Path) -> None:
    """The receipt names the place: it must be the one that was proved."""

    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        between = Between(world, "page")
        for by in (1, -1, 1000):

            def change(body: bytes, by: int = by) -> bytes:
                sheet, objects = parts_of(body)
                moved = msgspec.structs.replace(sheet, index=sheet.index + by)
                return page_of(world, moved, objects)

            assert await refused(world, between, change) == "peer.place"
        await world.exchange()

    play(tmp_path, story)


def _hash_changed(proof: Proof) -> Proof:
    first = bytes([proof.path[0][0] ^ 1]) + proof.path[0][1:]
    return _other(proof, path=(first, *proof.path[1:]))


def _other(proof: Proof, **fields: Any) -> Proof:
    return Proof(**{"index": proof.index, "path": proof.path, "note": proof.note, **fields})


PROOFS: list[tuple[Callable[[Proof], Proof], str]] = [
    (_hash_changed, "proof.root"),
    (lambda p: _other(p, path=p.path[:-1]), "proof.length"),
    (lambda p: _other(p, path=(*p.path, p.path[0])), "proof.length"),
    (lambda p: _other(p, index=p.index - 1), "proof.length"),
    (lambda p: _other(p, index=2**40), "proof.index"),
    (lambda p: _other(p, note=p.note.replace(b"/A1\n", b"/A2\n", 1)), "checkpoint.origin"),
    (lambda p: _other(p, note=p.note.split(b"\n\n")[0] + b"\n\n"), "note.form"),
]


def test_page_whose_proof_does_not_hold_is_not_taken(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        between = Between(world, "page")
        for change_proof, code in PROOFS:

            def change(body: bytes, made: Callable[[Proof], Proof] = change_proof) -> bytes:
                sheet, objects = parts_of(body)
                text = encode_proof(made(parse_proof(sheet.proof.encode()))).decode()
                return page_of(world, msgspec.structs.replace(sheet, proof=text), objects)

            assert await refused(world, between, change) == code
        await world.exchange()

    play(tmp_path, story)


def test_proof_of_another_entry_releases_no_page(tmp_path: Path) -> None:
    """Every entry of the ledger can be proved; only a page entry for this feed releases."""

    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        between, site = Between(world, "page"), world.sites["B"]
        log = site.book.me.log_of(AGREEMENT)
        entries = await site.store.read(lambda view: view.entries(log, 0, view.log_size(log)))
        assert len(entries) > 2
        for index, entry in enumerate(entries):
            proof = await site.store.read(lambda view, i=index: proof_of(view, log, i))  # type: ignore[misc]  # mypy cannot infer a lambda with a default

            def change(body: bytes, i: int = index, e: bytes = entry, p: str = proof) -> bytes:
                sheet, objects = parts_of(body)
                other = msgspec.structs.replace(sheet, index=i, entry=e.decode(), proof=p)
                return page_of(world, other, objects)

            assert await refused(world, between, change) == "peer.page"
        await world.exchange()

    play(tmp_path, story)


def test_page_that_is_not_signed_by_the_senders_node_is_not_taken(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        between = Between(world, "page")
        for names in (("head-1",), ("ledger", "witness", "minister-1")):

            def change(body: bytes, names: tuple[str, ...] = names) -> bytes:
                return page_of(world, *parts_of(body), *names)

            assert await refused(world, between, change) == "peer.signature"

        def foreign(body: bytes) -> bytes:
            sheet, objects = parts_of(body)
            kind = payload_type("page", exercise=False)
            envelope = sign(kind, encode(sheet), [world.keys["W"]["node"]])
            return b'{"page":' + envelope.encode() + b',"objects":[' + b",".join(objects) + b"]}"

        assert await refused(world, between, foreign) == "peer.signature"
        await world.exchange()

    play(tmp_path, story)


OBJECTS: list[Callable[[list[bytes]], list[bytes]]] = [
    lambda objects: objects[::-1],
    lambda objects: objects[:1],
    lambda objects: objects * 2,
    lambda objects: [objects[0], objects[0]],
    lambda objects: [objects[0].replace(b"Lancha", b"Barca "), objects[1]],
    lambda objects: [objects[0].replace(b" ", b"", 1), objects[1]],
    lambda objects: [],
]


def test_objects_that_are_not_those_of_the_root_are_not_taken(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        between = Between(world, "page")
        for other in OBJECTS:

            def change(body: bytes, other: Callable[[list[bytes]], list[bytes]] = other) -> bytes:
                sheet, objects = parts_of(body)
                return page_of(world, sheet, other(objects))

            assert await refused(world, between, change) == "peer.page"
        await world.exchange()

    play(tmp_path, story)


HANDLINGS: list[tuple[dict[str, str], str]] = [
    ({"stix_type": "identity"}, "peer.object"),
    ({"collection": "w-out"}, "peer.page"),
]


def test_handling_that_does_not_fit_its_objects_is_not_taken(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        between = Between(world, "page")
        for fields, code in HANDLINGS:

            def change(body: bytes, fields: dict[str, str] = fields) -> bytes:
                sheet, objects = parts_of(body)
                wrong = tuple(msgspec.structs.replace(h, **fields) for h in sheet.handlings)
                return page_of(world, msgspec.structs.replace(sheet, handlings=wrong), objects)

            assert await refused(world, between, change) == code
        await world.exchange()

    play(tmp_path, story)


GOOD = b'{"type":"infrastructure","id":"infrastructure--0f0c7a52-3f6e-4c7e-9d0a-0e3f4b1c2d01"'
UNSOUND = [
    GOOD + b',"id":"infrastructure--0f0c7a52-3f6e-4c7e-9d0a-0e3f4b1c2d02"}',
    GOOD + b',"a":{"b":1,"b":2}}',
    GOOD + b',"a":1e400}',
    GOOD + b',"a":"\\ud800"}',
    GOOD + b',"a":' + b"[" * 200 + b"]" * 200 + b"}",
    b'{"type":"infrastructure","id":7}',
    b'{"type":"infrastructure"}',
    GOOD.replace(b'"infrastructure",', b'"identity",') + b"}",
]


@pytest.mark.parametrize("raw", UNSOUND)
def test_object_that_two_readers_could_read_differently_is_not_taken(
    tmp_path: Path, raw: bytes
) -> None:
    """The sender has let it in and gives it with every proof there is."""

    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV")
        await world.exchange()
        site, key = world.sites["B"], f"{AGREEMENT}/b-out"
        (number,) = await site.store.read(lambda view: view.handlings(key))
        item = NewItem(
            key=object_key("infrastructure--x"),
            raw=raw,
            sha256=hashlib.sha256(raw).digest(),
            handling=number,
        )
        before = await look(world, "W")
        world.left = lambda *_: None  # type: ignore[method-assign]  # the world reads what it notes
        await site.store.write(lambda tx: tx.append_items(key, [item], world.clock.now_us()))
        with pytest.raises(DetenteError) as found:
            await world.sites["W"].exchange.sync("B", AGREEMENT)
        # A lone surrogate shows when the answer is cut, before its objects are looked at.
        assert found.value.code == ("peer.answer" if b"ud800" in raw else "peer.object")
        assert await look(world, "W") == before

    play(tmp_path, story, checked=False)


# --- what comes twice or in another order ---------------------------------------------------------


def test_earlier_page_brought_again_is_not_taken(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        between = Between(world, "page")
        await world.sync("W")
        first = between.heard[0]
        await world.publish("B", "VI", "B-NAV", 2)
        assert await refused(world, between, lambda _: first) == "peer.page"
        await world.exchange()

    play(tmp_path, story)


def test_earlier_acts_brought_again_hide_none(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        between = Between(world, "acts")
        await world.halt("B", kinds=("VI",), direction="out")
        await world.sync("W")
        first = next(body for body in between.heard if acts_of(body).acts)
        await world.resume("B")
        await world.halt("B", kinds=("FI",), direction="out")
        assert await refused(world, between, lambda _: first) == "peer.acts"
        await world.exchange()
        own = world.sites["W"].ask.standing(AGREEMENT).standing
        assert own == world.sites["B"].ask.standing(AGREEMENT).standing

    play(tmp_path, story)


ACTS: list[tuple[dict[str, Any], str]] = [
    ({"agreement": "A9"}, "peer.acts"),
    ({"sender": "W"}, "peer.acts"),
    ({"total": 0}, "peer.acts"),
]
SHEETS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda s: {"index": s.index + 1}, "peer.place"),
    (lambda s: {"use": "assurance"}, "peer.act-kind"),
]


def test_answer_with_acts_of_another_or_out_of_order_is_not_taken(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.halt("B", kinds=("VI",), direction="out")
        await world.suspend("B", kinds=("FI",), direction="out")
        between = Between(world, "acts")
        for fields, code in ACTS:

            def change(body: bytes, fields: dict[str, Any] = fields) -> bytes:
                return signed_acts(world, msgspec.structs.replace(acts_of(body), **fields))

            assert await refused(world, between, change) == code
        for made, code in SHEETS:

            def first(body: bytes, made: Callable[[Any], Any] = made) -> bytes:
                page = acts_of(body)
                changed = msgspec.structs.replace(page.acts[0], **made(page.acts[0]))
                return signed_acts(
                    world, msgspec.structs.replace(page, acts=(changed, *page.acts[1:]))
                )

            assert await refused(world, between, first) == code

        def swapped(body: bytes) -> bytes:
            page = acts_of(body)
            return signed_acts(world, msgspec.structs.replace(page, acts=page.acts[::-1]))

        assert await refused(world, between, swapped) == "peer.acts"

        def crossed(body: bytes) -> bytes:
            page = acts_of(body)
            one = msgspec.structs.replace(page.acts[0], envelope=page.acts[1].envelope)
            return signed_acts(world, msgspec.structs.replace(page, acts=(one, page.acts[1])))

        assert await refused(world, between, crossed) == "peer.act-document"
        await world.exchange()

    play(tmp_path, story)


def test_a_partner_whose_acts_have_no_end_is_asked_so_often_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives one act at a time; the next exchange goes on behind those that came."""
    monkeypatch.setattr(exchange_module, "ACT_PAGES_MAX", 2)

    async def story(world: World) -> None:
        for kind in ("VI", "FI"):
            await world.halt("B", kinds=(kind,), direction="out")
            await world.resume("B")
        between = Between(world, "acts")

        def one(body: bytes) -> bytes:
            page = acts_of(body)
            return signed_acts(world, msgspec.structs.replace(page, acts=page.acts[:1]))

        between.change = one
        brought = [await world.sync("W") for _ in range(3)]
        assert [report.acts for report in brought] == [2, 2, 0]
        assert [report.standing_same for report in brought] == [False, True, True]
        assert len(between.heard) == 5
        between.change = lambda body: body
        await world.exchange()

    play(tmp_path, story)


def test_notice_brought_twice_changes_nothing_the_second_time(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.halt("B", kinds=("VI",), direction="out")
        assert await world.notify("B") == {"W": "acknowledged"}
        before = await look(world, "W")
        assert await world.notify("B") == {"W": "acknowledged"}
        assert await look(world, "W") == before

    play(tmp_path, story)


# --- receipts -------------------------------------------------------------------------------------


async def receipt_of(world: World) -> tuple[Receipt, str]:
    """A receipt of W that waits to be brought, and its text."""
    world.fail("unreachable", path="receipts")
    await world.publish("B", "VI", "B-NAV", 2)
    await world.sync("W")
    (text,) = await receipts_at_w(world)
    return decode(decode_envelope(text.encode()).payload, Receipt), text


async def receipts_at_w(world: World) -> list[str]:
    """The texts of the receipts that wait at W."""
    found = await world.sites["W"].store.read(lambda view: view.receipts("B", AGREEMENT, 10_000))
    return [envelope.decode() for _, envelope in found]


def bringing(*receipts: str, sender: str = "W") -> Request:
    return Request(
        what="receipts", sender=sender, to="B", agreement=AGREEMENT, serial=1, receipts=receipts
    )


def test_receipt_brought_twice_counts_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        _, text = await receipt_of(world)
        desk, site = world.sites["B"].desk, world.sites["B"]
        log = site.book.me.log_of(AGREEMENT)
        assert await desk.serve_receipts(bringing(text)) == ReceiptsTaken(new=1)
        size = await site.store.read(lambda view: view.log_size(log))
        feeds = await site.ask.feeds(AGREEMENT)
        assert await desk.serve_receipts(bringing(text, text)) == ReceiptsTaken(new=0)
        assert await site.store.read(lambda view: view.log_size(log)) == size
        assert await site.ask.feeds(AGREEMENT) == feeds
        await world.exchange()

    play(tmp_path, story)


RECEIPTS: list[tuple[dict[str, Any], str]] = [
    ({"root": "0" * 64}, "receipt.root"),
    ({"index": 0}, "page.unknown"),
    ({"index": 2**40}, "page.unknown"),
    ({"origin": "w.example/detente/A1"}, "page.unknown"),
    ({"count": 7}, "receipt.page"),
    ({"collection": "w-out"}, "receipt.page"),
    ({"to": "K"}, "receipt.parties"),
    ({"agreement": "A2"}, "receipt.parties"),
    ({"exercise": True}, "document.exercise"),
]


async def kept(world: World) -> set[str]:
    """The receipts whose documents B keeps."""
    rows = await world.sites["B"].store.read(lambda view: view.documents(use="receipt"))
    return {row.envelope.decode() for row in rows}


def unfitting(world: World, good: Receipt, **fields: Any) -> str:
    """W's receipt for something else, soundly signed."""
    wrong = msgspec.structs.replace(good, **fields)
    return world.sign("receipt", wrong, "W", "node").encode().decode()


def test_receipt_that_says_the_wrong_thing_moves_and_leaves_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        good, _ = await receipt_of(world)
        desk = world.sites["B"].desk
        before, documents = await look(world, "B"), await kept(world)
        for fields, code in RECEIPTS:
            taken = await desk.serve_receipts(bringing(unfitting(world, good, **fields)))
            assert (taken.new, [(one.at, one.code) for one in taken.refused]) == (0, [(0, code)])
            assert await look(world, "B") == before
            assert await kept(world) == documents
        await world.exchange()

    play(tmp_path, story)


def test_every_receipt_stands_alone(tmp_path: Path) -> None:
    """Malformed, unfitting, good and known ones in one request: only the unfitting are refused."""

    async def story(world: World) -> None:
        good, text = await receipt_of(world)
        wrong = unfitting(world, good, root="0" * 64)
        documents = await kept(world)
        site = world.sites["B"]
        taken = await site.desk.serve_receipts(bringing("{", wrong, text, text, wrong))
        assert taken.new == 1
        assert [(one.at, one.code) for one in taken.refused] == [
            (0, "envelope.malformed"),
            (1, "receipt.root"),
            (4, "receipt.root"),
        ]
        assert await kept(world) == documents | {text}
        page = await site.store.read(lambda view: view.page(good.origin, good.index))
        assert page is not None
        assert page.outcome == "received"
        await world.exchange()

    play(tmp_path, story)


def test_receipt_for_a_page_under_another_agreement_does_not_count_under_this(
    tmp_path: Path,
) -> None:
    """Same parties, same root, and the page is there: but its ledger is that of A2."""

    async def story(world: World) -> None:
        good, _ = await receipt_of(world)
        site = world.sites["B"]
        origin = site.book.me.log_of("A2")

        def work(tx: Tx) -> None:
            page = tx.page(good.origin, good.index)
            assert page is not None
            tx.put_page(msgspec.structs.replace(page, log=origin))

        await site.store.write(work)
        text = unfitting(world, good, origin=origin)
        taken = await site.desk.serve_receipts(bringing(text))
        assert [one.code for one in taken.refused] == ["page.unknown"]
        page = await site.store.read(lambda view: view.page(origin, good.index))
        assert page is not None
        assert page.outcome != "received"

    play(tmp_path, story, checked=False)


async def waiting(world: World, *receipts: str) -> None:
    """Put receipts before those that wait at W."""

    def work(tx: Tx) -> None:
        later = tx.receipts("B", AGREEMENT, 10_000)
        tx.drop_receipts([number for number, _ in later])
        for text in (*receipts, *(envelope.decode() for _, envelope in later)):
            tx.put_receipt("B", AGREEMENT, text.encode())

    await world.sites["W"].store.write(work)


def test_receipt_that_the_partner_refuses_is_told_and_waits_no_more(tmp_path: Path) -> None:
    """As after the partner restored a backup and does not know the page: the receipts behind it
    and all later exchanges go on."""

    async def story(world: World) -> None:
        good, text = await receipt_of(world)
        await waiting(world, unfitting(world, good, index=2**40))
        exchange = world.sites["W"].exchange
        with structlog.testing.capture_logs() as logs:
            report = await exchange.sync("B", AGREEMENT)
        assert report.refused == (f"receipt {2**40}: page.unknown",)
        assert report.receipts_waiting == 0
        assert [(one["event"], one["index"], one["code"]) for one in logs] == [
            ("receipt refused", 2**40, "page.unknown")
        ]
        assert text in await kept(world)
        await world.publish("B", "VI", "B-NAV")
        await world.exchange()

    play(tmp_path, story)


def test_receipts_wait_while_the_partner_cannot_take_them(tmp_path: Path) -> None:
    """A partner that fails has refused nothing: the same receipts come again."""

    async def story(world: World) -> None:
        _, text = await receipt_of(world)
        delivery = world.sites["B"].delivery
        take = delivery.take_receipt

        async def busy(*_: object) -> bool:
            raise Unavailable("store.busy", "Expected fewer waiting writes.")

        delivery.take_receipt = busy  # type: ignore[method-assign]  # a store that is full
        assert (await world.sync("W")).receipts_waiting == 1
        delivery.take_receipt = take  # type: ignore[method-assign]  # and is not full any more
        assert (await world.sync("W")).receipts_waiting == 0
        assert text in await kept(world)
        await world.exchange()

    play(tmp_path, story)


def test_partner_that_takes_no_receipts_is_asked_for_no_more_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any number of receipts may wait, and the exchange goes on when they have been taken."""
    monkeypatch.setattr("detente.gateway.exchange.RECEIPTS_WAITING_MAX", 40)
    monkeypatch.setattr("detente.gateway.exchange.RECEIPTS_AT_ONCE", 7)

    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 60)
        for _ in range(60):
            world.fail("unreachable", path="receipts")
        report = await world.sync("W", limit=1)
        assert (report.items, report.receipts_waiting) == (40, 40)
        assert report.stopped == {"b-out": "40 receipts wait for B."}
        world._faults.clear()
        report = await world.sync("W", limit=1)
        assert (report.items, report.receipts_waiting, report.stopped) == (20, 0, {})
        await world.exchange()

    play(tmp_path, story)


def test_thousands_of_receipts_wait_and_are_brought(tmp_path: Path) -> None:
    """As after weeks without a partner: more than any row or request could hold."""

    async def story(world: World) -> None:
        good, _ = await receipt_of(world)
        await waiting(world, *(unfitting(world, good, index=2**40 + n) for n in range(2_500)))
        left = [
            (await world.sites["W"].exchange.sync("B", AGREEMENT)).receipts_waiting
            for _ in range(3)
        ]
        assert left[0] > 1_000
        assert left[-1] == 0
        await world.exchange()

    play(tmp_path, story)


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}", b"[1]", b'{"new":-1}', b'{"new":1,"refused":[{"at":0,"code":"no code"}]}'],
)
def test_answer_that_does_not_say_which_receipts_fit_drops_none(
    tmp_path: Path, answer: bytes
) -> None:
    async def story(world: World) -> None:
        _, text = await receipt_of(world)
        assert await refused(world, Between(world, "receipts"), lambda _: answer) == "peer.answer"
        assert await receipts_at_w(world) == [text]
        await world.exchange()

    play(tmp_path, story)


def test_receipt_counts_by_the_givers_node_and_from_the_giver_only(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        good, text = await receipt_of(world)
        desk = world.sites["B"].desk
        before = await look(world, "B")
        for party, name in (("W", "head-1"), ("W", "ledger"), ("B", "node"), ("K", "head-1")):
            other = world.sign("receipt", good, party, name).encode().decode()
            taken = await desk.serve_receipts(bringing(other))
            assert [one.code for one in taken.refused] == ["peer.signature"]
        taken = await desk.serve_receipts(bringing(text, sender="K"))
        assert [one.code for one in taken.refused] == ["receipt.parties"]
        assert await look(world, "B") == before
        await world.exchange()

    play(tmp_path, story)


# --- who is at the door, and what its answers may not do ------------------------------------------


def test_an_unsigned_request_does_not_tell_whose_charters_are_known(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        kind = payload_type("request", exercise=False)
        # So many signatures that try every key of a charter there is.
        many = tuple(Signature(None, bytes(64)) for _ in range(2_000))
        for signatures in ((), many):
            told = []
            for sender in ("W", "Z"):
                request = Request(what="acts", sender=sender, to="B", agreement=AGREEMENT, serial=9)
                envelope = Envelope(kind, encode(request), signatures)
                with pytest.raises(DetenteError) as found:
                    await world.sites["B"].desk.hear(envelope.encode(), "acts")
                error = found.value
                told.append((type(error), error.code, error.hint, error.sentence.replace("Z", "W")))
            assert told[0] == told[1]
            assert told[0][1] == "peer.signature"
        with pytest.raises(Missing) as missing:  # the operator's own commands are told more
            await world.sites["B"].exchange.add_peer("Z", AGREEMENT, "http://z.example")
        assert missing.value.code == "charter.unknown"

    play(tmp_path, story)


class Unforeseen(Exception):
    """What nobody has thought of."""


def test_an_exchange_with_all_goes_on_behind_whatever_one_answer_does(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        site, asked = world.sites["B"], []

        async def sync(party: str, agreement: str) -> None:
            asked.append(party)
            raise Unforeseen if len(asked) == 1 else Unavailable("peer.unreachable", "Expected it.")

        for party in ("K", "W"):
            await site.exchange.add_peer(party, AGREEMENT, f"sim://{party}")
        site.exchange.sync = sync  # type: ignore[method-assign,assignment]  # two that fail
        with structlog.testing.capture_logs() as logs:
            await site.exchange.sync_all()
        assert sorted(asked) == ["K", "W"]
        assert [one["event"] for one in logs] == ["unforeseen", "sync"]

    play(tmp_path, story, checked=False)


@pytest.mark.parametrize("error", [Unforeseen(), Unavailable("store.busy", "Expected less.")])
def test_the_loops_of_a_node_outlive_what_nobody_foresaw(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"sync": 0, "tick": 0, "links": 0}

    async def story() -> None:
        twice = asyncio.Event()

        def failed(use: str) -> None:
            calls[use] += 1
            if min(calls.values()) > 1:
                twice.set()
            raise error

        async def sync_all() -> None:
            failed("sync")

        async def tick() -> None:
            failed("tick")

        def begin(_: int) -> None:
            failed("links")

        parts = {
            "config": SimpleNamespace(sync_ms=1),
            "exchange": SimpleNamespace(sync_all=sync_all),
            "orders": SimpleNamespace(tick=tick),
            "gate": SimpleNamespace(shut=lambda _: None),
            "link_work": SimpleNamespace(begin=begin),
            "clock": SimpleNamespace(now_us=lambda: 0),
        }
        node: Any = SimpleNamespace(**parts)
        tasks = [asyncio.create_task(one(node)) for one in (Node._sync, Node._watch)]
        await asyncio.wait_for(twice.wait(), 30)
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    monkeypatch.setattr("detente.node.TICK_S", 0.001)
    asyncio.run(story())
