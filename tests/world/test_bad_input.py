"""What is wrong is refused with its code, changes nothing, and the world holds as before."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from detente.errors import Conflict, DetenteError, Invalid, Missing, NotAuthorised
from detente.gateway.gather import PageAsk
from detente.gateway.intake import Publication
from detente.model import encode
from detente.model.transfer import Request
from detente.ports import DocumentRow
from detente.proof import Envelope, Signature, add_signature
from detente.rules.document import payload_type
from detente.testing import World, check
from detente.testing.parts import AGREEMENT, HOUR_MS, Said, stix_bytes


def play(folder: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with World.open(folder / "world") as world:
            await world.publish("B", "VI", "B-NAV")
            await world.exchange()
            await check(world)
            # From here a test may act past the world, which then cannot tell what is settled.
            world.settled = False
            await story(world)
            await check(world, record=True)

    asyncio.run(whole())


async def refused(
    world: World, kind: type[DetenteError], code: str, work: Callable[[], Awaitable[object]]
) -> None:
    """The work is refused with this code, and no ledger, feed or standing has changed."""

    async def looks() -> list[object]:
        found: list[object] = []
        for site in world.sites.values():
            log = site.book.me.log_of(AGREEMENT)
            found += [
                await site.store.read(lambda view, name=log: view.log_size(name)),  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                await site.ask.feeds(AGREEMENT),
                site.ask.current(AGREEMENT).epoch,
                site.ask.standing(AGREEMENT).standing,
            ]
        return found

    before = await looks()
    with pytest.raises(kind) as found:
        await work()
    assert (type(found.value), found.value.code) == (kind, code)
    assert await looks() == before
    await check(world)


def suspension(world: World, *names: str, exercise: bool = False) -> bytes:
    directive = world.draft(Said(id="D7", issuer="B", verb="suspend"))
    if exercise:
        directive = msgspec.structs.replace(directive, exercise=True)
    return world.sign("directive", directive, "B", *names, exercise=exercise).encode()


# --- signatures -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("head-1",),
        ("duty-1", "minister-1"),
        ("head-1", "duty-1"),
        ("node", "ledger"),
    ],
)
def test_suspension_signed_by_too_few_or_by_the_wrong_office_is_refused(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    async def story(world: World) -> None:
        document = suspension(world, *names)
        enact = world.sites["B"].orders.enact
        await refused(world, NotAuthorised, "authority.quorum", lambda: enact(document))

    play(tmp_path, story)


def test_signatures_of_the_partners_heads_do_not_count(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        directive = world.draft(Said(id="D7", issuer="B", verb="suspend"))
        document = world.sign("directive", directive, "W", "head-1", "head-2").encode()
        enact = world.sites["B"].orders.enact
        await refused(world, NotAuthorised, "authority.quorum", lambda: enact(document))

    play(tmp_path, story)


def test_one_signature_twice_counts_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        directive = world.draft(Said(id="D7", issuer="B", verb="suspend"))
        good = world.sign("directive", directive, "B", "head-1")
        enact = world.sites["B"].orders.enact
        for second in (good.signatures[0], Signature(None, good.signatures[0].sig)):
            both = (good.signatures[0], second)
            document = Envelope(good.payload_type, good.payload, both).encode()
            await refused(world, NotAuthorised, "authority.quorum", lambda d=document: enact(d))

    play(tmp_path, story)


def test_signature_with_one_bit_changed_does_not_count(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        directive = world.draft(Said(id="D7", issuer="B", verb="suspend"))
        good = world.sign("directive", directive, "B", "head-1", "head-2")
        one, two = good.signatures
        bad = Signature(two.keyid, bytes([two.sig[0] ^ 1]) + two.sig[1:])
        document = Envelope(good.payload_type, good.payload, (one, bad)).encode()
        enact = world.sites["B"].orders.enact
        await refused(world, NotAuthorised, "authority.quorum", lambda: enact(document))

    play(tmp_path, story)


def test_directive_of_the_partner_is_not_enacted_here(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        directive = world.draft(Said(id="D7", issuer="W", verb="suspend"))
        document = world.sign("directive", directive, "W", "head-1", "head-2").encode()
        enact = world.sites["B"].orders.enact
        await refused(world, NotAuthorised, "directive.foreign", lambda: enact(document))

    play(tmp_path, story)


@pytest.mark.parametrize("party", ["B", "K", "W"])
def test_agreement_that_lacks_one_signature_is_not_opened(tmp_path: Path, party: str) -> None:
    async def story(world: World) -> None:
        others = [one for one in ("B", "K", "W") if one != party]
        payload = json.loads(world.signed_agreement().payload)
        payload["id"] = "A2"
        envelope = Envelope(
            payload_type("agreement", exercise=False),
            json.dumps(payload, sort_keys=True, separators=(",", ":")).encode(),
            (),
        )
        for one in others:
            envelope = _added(world, envelope, one)
        document = envelope.encode()
        open_ = world.sites["B"].orders.import_agreement
        await refused(world, NotAuthorised, "agreement.unsigned", lambda: open_(document))
        assert world.sites["B"].book.agreements() == (AGREEMENT,)

    play(tmp_path, story)


def _added(world: World, envelope: Envelope, party: str) -> Envelope:
    return add_signature(envelope, world.keys[party]["head-1"])


@pytest.mark.parametrize("names", [("duty-1",), ("minister-1",), ("node",), ()])
def test_assurance_signed_without_the_power_is_refused(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    async def story(world: World) -> None:
        await world.condition("B", kinds=("VI",))
        good = world.sites["W"]
        await world.exchange()
        kept: list[bytes] = []

        async def keep(data: bytes) -> None:
            kept.append(data)
            raise Conflict("test.kept", "Expected nothing, got a document to keep.")

        original, good.orders.import_assurance = good.orders.import_assurance, keep  # type: ignore[method-assign,assignment]  # to get hold of the document
        with pytest.raises(Conflict):
            await world.assure("W", "B", ("VI",))
        good.orders.import_assurance = original  # type: ignore[method-assign]  # puts the real one back
        payload = json.loads(kept[0])
        unsigned = Envelope(payload["payloadType"], _payload(payload["payload"]), ())
        for name in names:
            unsigned = add_signature(unsigned, world.keys["W"][name])
        document = unsigned.encode()
        await refused(world, NotAuthorised, "authority.quorum", lambda: original(document))

    play(tmp_path, story)


def _payload(text: str) -> bytes:
    return base64.b64decode(text)


# --- replays, order, exercises ----------------------------------------------------------------


def test_directive_is_enacted_once_also_when_it_is_over(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        document = suspension(world, "head-1", "head-2")
        orders = world.sites["B"].orders
        await orders.enact(document)
        await world.advance(1)
        with pytest.raises(Conflict) as found:
            await orders.enact(document)
        assert found.value.code == "directive.replayed"
        resume = world.draft(Said(id="D8", issuer="B", verb="resume", supersedes=("D7",)))
        await orders.enact(
            world.sign("directive", resume, "B", "head-1", "head-2", "minister-1").encode()
        )
        await world.advance(1)
        await refused(world, Conflict, "directive.replayed", lambda: orders.enact(document))

    play(tmp_path, story)


def test_directive_outside_its_signing_window_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        document = suspension(world, "head-1", "head-2")
        await world.advance(25 * HOUR_MS)
        enact = world.sites["B"].orders.enact
        await refused(world, Conflict, "directive.window", lambda: enact(document))

    play(tmp_path, story)


def test_withdrawn_assurance_cannot_be_brought_again(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.assure("W", "B", ("VI",))
        site = world.sites["W"]
        row = await site.store.read(lambda view: view.document(world.promised[0].digest))
        assert row is not None
        await refused(
            world,
            Conflict,
            "assurance.replayed",
            lambda: site.orders.import_assurance(row.envelope),
        )
        await world.withdraw(world.promised[0].id)
        await refused(
            world,
            Conflict,
            "assurance.replayed",
            lambda: site.orders.import_assurance(row.envelope),
        )

    play(tmp_path, story)


def test_exercise_directive_has_no_force_on_a_live_node(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        document = suspension(world, "head-1", "head-2", exercise=True)
        enact = world.sites["B"].orders.enact
        await refused(world, Invalid, "document.type", lambda: enact(document))

    play(tmp_path, story)


def request(world: World, **fields: object) -> bytes:
    """A request of W's gateway to B's."""
    what = {
        "what": "page", "sender": "W", "to": "B", "agreement": AGREEMENT,
        "serial": world.clock.now_us() + 10**9, "collection": "b-out", **fields,
    }  # fmt: skip
    return world.sign("request", msgspec.convert(what, Request), "W", "node").encode()


def test_request_is_heard_once_and_never_after_a_later_one(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        desk = world.sites["B"].desk
        earlier, later = request(world), request(world, serial=world.clock.now_us() + 2 * 10**9)
        await desk.hear(later, "page")
        for body in (later, earlier):
            await refused(world, Conflict, "peer.replayed", lambda b=body: desk.hear(b, "page"))
        await world.crash("B")
        again = world.sites["B"].desk
        await refused(world, Conflict, "peer.replayed", lambda: again.hear(later, "page"))

    play(tmp_path, story)


def test_request_to_another_for_another_thing_or_by_another_key_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        desk = world.sites["B"].desk
        cases = [
            (request(world, to="W"), "peer.addressee"),
            (request(world, what="acts"), "peer.addressee"),
            (request(world, agreement="A9"), "peer.unknown"),
        ]
        good = msgspec.convert(
            {"what": "page", "sender": "W", "to": "B", "agreement": AGREEMENT, "serial": 2**50},
            Request,
        )
        for party, name in (("W", "head-1"), ("W", "ledger"), ("B", "node")):
            cases.append((world.sign("request", good, party, name).encode(), "peer.signature"))
        for body, code in cases:
            await refused(world, NotAuthorised, code, lambda b=body: desk.hear(b, "page"))

    play(tmp_path, story)


def test_reader_without_a_feed_learns_of_no_collection(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        delivery = world.sites["B"].delivery

        async def render(sheet: object) -> tuple[bytes, ...]:
            return ()

        for party, collection, agreement in (
            ("X", "b-out", AGREEMENT),
            ("K", "w-out", AGREEMENT),
            ("K", "no-such", AGREEMENT),
            ("K", "b-out", "A9"),
        ):
            ask = PageAsk(
                agreement=agreement,
                collection=collection,
                party=party,
                reader="x",
                after_us=0,
                limit=10,
            )
            await refused(
                world,
                Missing,
                "collection.unknown",
                lambda a=ask: delivery.page(a, render),
            )

    play(tmp_path, story)


# --- bodies -----------------------------------------------------------------------------------

GOOD = stix_bytes("B", 7_000)
DEEP = b"[" * 10_000 + b"]" * 10_000
BODIES: list[tuple[bytes, str]] = [
    (b"", "json.malformed"),
    (b"{", "json.malformed"),
    (b'{"type":"bundle","objects":[' + GOOD, "json.malformed"),
    (b'{"type":"bundle","objects":[' + GOOD + b"]} x", "json.malformed"),
    (b"\xff\xfe{}", "json.utf8"),
    (b'{"type":"bundle","objects":["\xc3\x28"]}', "json.utf8"),
    (DEEP, "json.depth"),
    (b'{"type":"bundle","objects":' + DEEP + b"}", "json.depth"),
    (b'{"type":"bundle","objects":[' + GOOD + b'],"objects":[]}', "json.duplicate-key"),
    (b'{"type":"bundle","type":"bundle","objects":[]}', "json.duplicate-key"),
    (b'{"colour":"red"}', "stix.shape"),
    (b"7", "json.malformed"),
    (GOOD.replace(b'"name"', b'"x_deep":' + DEEP + b', "name"'), "json.depth"),
    (GOOD.replace(b"12.50", b"NaN"), "json.malformed"),
    (GOOD.replace(b"12.50", b"Infinity"), "json.malformed"),
    (GOOD.replace(b'"x_none"', b'"name"'), "publish.refused"),
    (GOOD.replace(b"infrastructure--", b"malware--"), "publish.refused"),
    (GOOD.replace(b'"2.1"', b'"2.0"'), "publish.refused"),
    (GOOD.replace(b"01T00", b"41T00"), "publish.refused"),
]


def publication(body: bytes, **fields: object) -> Publication:
    said = {
        "agreement": AGREEMENT, "collection": "b-out", "party": "B", "body": body, "kind": "VI",
        "purpose": "interdiction", "grade": "admiralty:B2", "unit": "B-NAV", **fields,
    }  # fmt: skip
    return Publication(**said)  # type: ignore[arg-type]  # a table of fields


def test_body_that_is_not_sound_stix_is_refused_with_its_code(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        publish = world.sites["B"].intake.publish
        for body, code in BODIES:
            await refused(world, Invalid, code, lambda b=body: publish(publication(b)))

    play(tmp_path, story)


def test_publication_that_says_too_little_or_the_wrong_thing_is_refused(tmp_path: Path) -> None:
    cases: list[tuple[type[DetenteError], str, dict[str, object]]] = [
        (Missing, "collection.unknown", {"collection": "no-such"}),
        (Missing, "collection.unknown", {"agreement": "A9"}),
        (NotAuthorised, "collection.not-sender", {"collection": "w-out"}),
        (NotAuthorised, "collection.not-sender", {"party": "K"}),
        (Invalid, "publish.purpose", {"purpose": None}),
        (Invalid, "publish.purpose", {"purpose": "revenge"}),
        (Invalid, "publish.grade", {"grade": None}),
        (Invalid, "publish.unit", {"unit": None}),
        (Invalid, "publish.unit", {"unit": "W-CG"}),
        (Invalid, "publish.kind", {"kind": "ZZ"}),
    ]

    async def story(world: World) -> None:
        publish = world.sites["B"].intake.publish
        for kind, code, fields in cases:
            one = publication(GOOD, **fields)
            await refused(world, kind, code, lambda p=one: publish(p))

    play(tmp_path, story)


def test_same_version_with_other_content_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        publish = world.sites["B"].intake.publish
        other = world.items[0].raw.replace(b"Lancha", b"Barco")
        with pytest.raises(DetenteError) as found:
            await publish(publication(other))
        # As a whole, or object by object, as the publisher asked.
        assert found.value.code in ("publish.version", "publish.refused")
        assert "got two" in found.value.sentence
        await check(world)
        again = await publish(publication(world.items[0].raw))
        assert (again.taken, again.known) == (0, 1)

    play(tmp_path, story)


def test_answer_of_a_partner_that_was_tampered_with_is_not_taken(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        site = world.sites["B"]
        answer = site.answer
        for old, new in ((b"Lancha", b"Barca "), (b'"objects":[{', b'"objects":[{},{')):

            async def changed(
                path: str, body: bytes, fault: object, old: bytes = old, new: bytes = new
            ) -> bytes | None:
                found = await answer(path, body, None)
                return found.replace(old, new, 1) if found and path.endswith("page") else found

            site.answer = changed  # type: ignore[method-assign]  # a man in the middle
            with pytest.raises(DetenteError) as error:
                await world.sync("W")
            assert error.value.code.startswith("peer.")
            await check(world)
        site.answer = answer  # type: ignore[method-assign]  # takes the man out again
        await world.exchange()

    play(tmp_path, story)


def test_receipt_for_another_root_or_page_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        delivery = world.sites["B"].delivery
        log = world.sites["B"].book.me.log_of(AGREEMENT)
        pages = await world.sites["B"].store.read(
            lambda view: view.pages(f"{AGREEMENT}/b-out", "W")
        )
        page = pages[0]
        none = DocumentRow(
            digest="0" * 64, use="receipt", agreement=AGREEMENT, name="none", envelope=b""
        )
        await refused(
            world,
            Conflict,
            "receipt.root",
            lambda: delivery.take_receipt(log, page.index, "W", b"\0" * 32, none),
        )
        for index, party in ((page.index, "K"), (page.index + 1000, "W")):
            await refused(
                world,
                Missing,
                "page.unknown",
                lambda i=index, p=party: delivery.take_receipt(log, i, p, page.root, none),
            )

    play(tmp_path, story)


def test_documents_are_read_in_their_one_form_only(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        directive = encode(world.draft(Said(id="D7", issuer="B", verb="suspend")))
        enact = world.sites["B"].orders.enact
        kind = payload_type("directive", exercise=False)
        for payload, code in (
            (directive.replace(b'"verb"', b' "verb"'), "document.not_canonical"),
            (directive.replace(b'"suspend"', b'"suspend","zeal":1'), "document.field"),
            (directive.replace(b'"suspend"', b'"suspend","v":1'), "document.not_canonical"),
            (directive.replace(b'"suspend"', b'"suspend","verb":"halt"'), "document.not_canonical"),
            (directive.replace(b'"suspend"', b"7"), "document.field"),
            (directive[:-1], "agreement.unknown"),
        ):
            envelope = Envelope(kind, payload, ())
            for name in ("head-1", "head-2"):
                envelope = add_signature(envelope, world.keys["B"][name])
            document = envelope.encode()
            with pytest.raises(DetenteError) as found:
                await enact(document)
            assert found.value.code == code
            await check(world)

    play(tmp_path, story)
