"""A copy of the record: what a dishonest operator adds is named, and an honest record holds."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from detente.faces.documents import key_card, new_envelope
from detente.gateway import replay
from detente.gateway.copied import FAULTS_MAX
from detente.gateway.verify import Report, verify_record
from detente.model import Assurance, Charter, Entry, Head, Key, Withdrawal, decode, digest
from detente.model.transfer import Receipt
from detente.ports import Tx
from detente.proof import (
    Checkpoint,
    Ed25519Signer,
    Envelope,
    Proof,
    Signature,
    add_signature,
    encode_proof,
    leaf_hash,
    root_of,
    sign_checkpoint,
)
from detente.proof import decode as decode_envelope
from detente.record import write_copy
from detente.testing import World, check
from detente.testing.parts import AGREEMENT, HOUR_MS, Said, terms_of
from tests.unit.forged import Forger, files_of

Story = Callable[[World], Awaitable[None]]


def recorded(
    folder: Path, story: Story, party: str = "B", *, known: bool = True
) -> tuple[World, dict[str, bytes]]:
    """The world after a story, and a copy of a party's record; ``known`` is the story to the world,
    unless it acts past it."""
    made: list[World] = []
    out = folder / "copy"

    async def whole() -> None:
        async with World.open(folder / "world") as world:
            await story(world)
            if known:
                await check(world)
            site = world.sites[party]
            await site.store.read(
                lambda view: write_copy(view, out, site.config, site.book.agreements())
            )
            made.append(world)

    asyncio.run(asyncio.wait_for(whole(), 60))
    return made[0], files_of(out)


def checked(files: dict[str, bytes]) -> Report:
    def read(name: str) -> bytes:
        return files[name]

    return verify_record(read, list(files))


async def usual(world: World) -> None:
    """Pages, receipts, orders of both, assurances given and taken back."""
    await world.exchange()
    await world.publish("B", "VI", "B-NAV", 2)
    await world.publish("B", "FI", "B-FIU", 1)
    await world.exchange(limit=2)
    await world.suspend("W", kinds=("VI",))
    await world.exchange()
    await world.publish("B", "FI", "B-FIU", 2)
    await world.read()
    await world.exchange()
    await world.resume("W")
    await world.condition("B", kinds=("FI",))
    await world.exchange()
    given = await world.assure("W", "B", ("FI",))
    await world.exchange()
    await world.withdraw(given.document)
    await world.exchange()
    await world.assure("W", "B", ("FI",))
    await world.exchange()


Made = tuple[World, dict[str, bytes]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return recorded(tmp_path_factory.mktemp("record"), usual)


def forger(made: Made) -> Forger:
    world, files = made
    return Forger(files, world.keys["B"]["ledger"])


def named(report: Report, number: int, agreement_folder: str = "ledgers/1") -> list[str]:
    """The codes of the faults at an entry; the whole report is not ok."""
    assert not report.ok
    place = f"{agreement_folder} entry {number}"
    return [fault.code for fault in report.faults if fault.place == place]


def test_a_copy_that_is_only_signed_again_holds(made: Made) -> None:
    """The forger's tools leave no trace: what is found below is what was forged."""
    report = checked(forger(made).whole())
    assert not report.faults
    ledger = next(log for log in report.logs if log.origin.endswith(AGREEMENT))
    assert ledger.receipts == ledger.receipts_tied >= 3
    assert ledger.peer_acts == ledger.peer_acts_proved >= 5


# --- acts that nobody had the power for -------------------------------------------------------


def add_act(forger_: Forger, world: World, act: str, envelope: Envelope, **fields: Any) -> int:
    """Append an act with its document, as this node would have written it."""
    use = fields.get("verb") or {
        "directive.effect": "directive",
        "agreement.open": "agreement",
    }.get(act, act)
    name = forger_.document(use, envelope)
    if act == "peer.act":
        more = {"origin": "w.example/detente/A1", "index": 9, "peer_at": world.now_ms()}
        fields = {"entry": "0" * 64, **more, **fields}
    return forger_.add(act, world.now_ms(), doc=name, **fields)


def directive(world: World, issuer: str, *by: str, **more: Any) -> Envelope:
    said = msgspec.convert(
        {"id": "DX", "issuer": issuer, "verb": "suspend", "kinds": ("SL",), **more}, Said
    )
    return world.sign("directive", world.draft(said), issuer, *by)


def assurance_again(world: World, files: dict[str, bytes], *by: str) -> Envelope:
    """W's assurance under another name."""
    _, envelope = next(documents(files, "assurance"))
    old = decode(envelope.payload, Assurance)
    new = msgspec.structs.replace(old, id="PX", nonce="f" * 32)
    return world.sign("assurance", new, "W", *by)


def documents(files: dict[str, bytes], use: str) -> Any:
    index = msgspec.json.decode(files["record.json"])
    for name, one in index["documents"].items():
        if one == use:
            yield name, decode_envelope(files[f"documents/{name}.json"])


@pytest.mark.parametrize("by", [(), ("head-1",), ("head-1", "minister-1"), ("duty-1",)])
def test_a_directive_of_the_partner_by_too_few_is_named(made: Made, by: tuple[str, ...]) -> None:
    world, forged = made[0], forger(made)
    envelope = directive(world, "W", *by)
    number = add_act(forged, world, "peer.act", envelope, party="W", ref="DX", verb="directive")
    assert "authority.quorum" in named(checked(forged.whole()), number)


def test_an_own_directive_by_too_few_is_named(made: Made) -> None:
    world, forged = made[0], forger(made)
    envelope = directive(world, "B", "head-1")
    number = add_act(forged, world, "directive.effect", envelope, party="B", ref="DX")
    assert named(checked(forged.whole()), number) == ["authority.quorum"]


def test_a_partners_directive_entered_as_an_own_act_is_named(made: Made) -> None:
    world, forged = made[0], forger(made)
    envelope = directive(world, "W", "head-1", "head-2")
    number = add_act(forged, world, "directive.effect", envelope, party="W", ref="DX")
    assert named(checked(forged.whole()), number) == ["directive.foreign"]


def test_an_act_entered_a_second_time_is_named(made: Made) -> None:
    forged = forger(made)
    entries = forged.entries()
    entries.append(entries[forged.find("peer.act", verb="directive")])
    assert "record.act-again" in named(checked(forged.whole()), len(entries) - 1)


def test_an_act_under_another_name_than_its_documents_is_named(made: Made) -> None:
    for fields in ({"ref": "DZ"}, {"party": "K"}):
        forged = forger(made)
        number = forged.find("peer.act", verb="directive")
        forged.change(number, **fields)
        assert "record.act-named" in named(checked(forged.whole()), number), fields


def test_an_assurance_by_the_wrong_office_is_named(made: Made) -> None:
    world, files = made
    for act, more in (("peer.act", {"verb": "assurance"}), ("assurance", {})):
        forged = forger(made)
        envelope = assurance_again(world, files, "duty-1")
        number = add_act(forged, world, act, envelope, party="W", ref="PX", **more)
        assert "authority.quorum" in named(checked(forged.whole()), number), act


def test_an_own_assurance_entered_twice_is_named(made: Made) -> None:
    world, files = made
    forged = forger(made)
    envelope = assurance_again(world, files, "head-1")
    first = add_act(forged, world, "assurance", envelope, party="W", ref="PX")
    changed = decode(envelope.payload, Assurance)
    other = world.sign("assurance", msgspec.structs.replace(changed, nonce="e" * 32), "W", "head-1")
    second = add_act(forged, world, "assurance", other, party="W", ref="PX")
    report = checked(forged.whole())
    assert named(report, second) == ["assurance.replayed"]
    assert named(report, first) == []


def withdrawal_of(assurance: str) -> Withdrawal:
    return Withdrawal(
        id="XX",
        agreement=AGREEMENT,
        assurance=assurance,
        giver="W",
        office="head",
        nonce="a" * 32,
    )


def test_a_withdrawal_by_the_wrong_office_is_named(made: Made) -> None:
    world, _ = made
    standing = world.sites["B"].book.standing(AGREEMENT, world.now_ms())
    document = withdrawal_of(standing.promises[0].assurance.id)
    for by, faults in (("duty-1", ["authority.quorum"]), ("head-1", [])):
        forged = forger(made)
        envelope = world.sign("withdrawal", document, "W", by)
        number = add_act(
            forged, world, "peer.act", envelope, party="W", ref="XX", verb="withdrawal"
        )
        report = checked(forged.whole())
        at = [f.code for f in report.faults if f.place == f"ledgers/1 entry {number}"]
        assert at == faults, by


def test_a_signature_entry_that_no_document_bears_out_is_named(made: Made) -> None:
    forged = forger(made)
    number = forged.find("directive.sign")
    forged.change(number, sig="A" * 86 + "==")
    assert named(checked(forged.whole()), number) == ["record.signature"]


# --- charters -----------------------------------------------------------------------------------


def charter_of(world: World, party: str) -> Charter:
    return decode(world.charters[party].payload, Charter)


def rotated(charter: Charter, names: dict[str, Ed25519Signer]) -> tuple[Charter, Ed25519Signer]:
    """The next charter, in which another key sits for the one of head-1; and that key."""
    new, old = Ed25519Signer(Ed25519PrivateKey.generate()), names["head-1"].public.keyid
    card = key_card(new, charter.keys[old].holder)

    def swap(keys: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(card.keyid if one == old else one for one in keys))

    keys = {k: v for k, v in charter.keys.items() if k != old}
    keys[card.keyid] = Key(scheme="ed25519", public=card.public, holder=card.holder)
    offices = tuple(
        msgspec.structs.replace(office, keys=swap(office.keys)) for office in charter.offices
    )
    root = msgspec.structs.replace(charter.root, keys=swap(charter.root.keys))
    made = msgspec.structs.replace(
        charter, version=charter.version + 1, keys=keys, offices=offices, root=root
    )
    return made, new


def charter_envelope(charter: Charter, *keys: Ed25519Signer) -> Envelope:
    envelope = new_envelope("charter", charter, exercise=False)
    for key in keys:
        envelope = add_signature(envelope, key)
    return envelope


def add_charter(forged: Forger, world: World, envelope: Envelope, party: str = "W") -> int:
    """Enter a charter in the node's ledger and under the agreement; the number in the former."""
    name = forged.document("charter", envelope)
    fields = {"doc": name, "party": party, "ref": party}
    number = forged.add("charter", world.now_ms(), "", **fields)
    forged.add("charter", world.now_ms(), AGREEMENT, **fields)
    return number


def test_a_charter_that_the_one_before_did_not_authorise_is_named(made: Made) -> None:
    """Its own root signed it: that is all that an operator can arrange by itself."""
    world, forged = made[0], forger(made)
    charter, new = rotated(charter_of(world, "W"), world.keys["W"])
    envelope = charter_envelope(charter, new)
    number = add_charter(forged, world, envelope)
    report = checked(forged.whole())
    assert "charter.quorum" in named(report, number, forged.folder(""))


def test_a_charter_that_leaves_a_version_out_is_named(made: Made) -> None:
    world, forged = made[0], forger(made)
    charter, new = rotated(charter_of(world, "W"), world.keys["W"])
    charter = msgspec.structs.replace(charter, version=3)
    keys = world.keys["W"]
    envelope = charter_envelope(charter, new, keys["head-1"], keys["head-2"])
    number = add_charter(forged, world, envelope)
    assert "charter.chain" in named(checked(forged.whole()), number, forged.folder(""))


def test_a_second_first_charter_of_a_party_is_named(made: Made) -> None:
    world, forged = made[0], forger(made)
    charter, new = rotated(charter_of(world, "W"), world.keys["W"])
    charter = msgspec.structs.replace(charter, version=1)
    envelope = charter_envelope(charter, new, world.keys["W"]["head-2"])
    number = add_charter(forged, world, envelope)
    report = checked(forged.whole())
    assert "charter.chain" in named(report, number, forged.folder(""))
    assert report.first_charters["W"] == digest(world.charters["W"].payload)


def test_a_charter_that_no_ledger_took_is_named_and_its_keys_count_for_nothing(made: Made) -> None:
    world, forged = made[0], forger(made)
    charter, new = rotated(charter_of(world, "W"), world.keys["W"])
    keys = world.keys["W"]
    envelope = charter_envelope(charter, new, keys["head-1"], keys["head-2"])
    name = forged.document("charter", envelope)
    report = checked(forged.whole())
    assert {(f.place, f.code) for f in report.faults} == {
        (f"documents/{name}.json", "record.charter-unrecorded"),
    }
    assert report.strangers == 1


def test_the_first_charter_of_each_party_is_told_to_compare(made: Made) -> None:
    world, files = made
    expected = {party: digest(one.payload) for party, one in world.charters.items()}
    assert checked(files).first_charters == expected


def test_a_copy_without_the_nodes_own_ledger_is_none(made: Made) -> None:
    forged = forger(made)
    folder = forged.folder("")
    forged.index["ledgers"] = [one for one in forged.places if one["folder"] != folder]
    del forged.ledgers[folder]
    forged.drop(folder)
    assert "record.ledger-missing" in {f.code for f in checked(forged.whole()).faults}


# --- agreements ---------------------------------------------------------------------------------


@pytest.mark.parametrize("left_out", ["B", "K", "W"])
def test_an_agreement_that_a_party_did_not_sign_is_named(made: Made, left_out: str) -> None:
    world, forged = made[0], forger(made)
    terms = msgspec.structs.replace(terms_of(world.charters), version=2)
    envelope = new_envelope("agreement", terms, exercise=False)
    for party in sorted({"B", "K", "W"} - {left_out}):
        envelope = add_signature(envelope, world.keys[party]["head-1"])
    number = add_act(forged, world, "agreement.open", envelope, party="B", ref=AGREEMENT)
    assert named(checked(forged.whole()), number) == ["agreement.unsigned"]


def test_an_agreement_in_the_ledger_of_another_is_named(made: Made) -> None:
    world, forged = made[0], forger(made)
    terms = msgspec.structs.replace(terms_of(world.charters), id="A2", version=2)
    envelope = new_envelope("agreement", terms, exercise=False)
    for party in "BKW":
        envelope = add_signature(envelope, world.keys[party]["head-1"])
    number = add_act(forged, world, "agreement.open", envelope, party="B", ref="A2")
    assert named(checked(forged.whole()), number) == ["record.act-agreement"]


# --- receipts -----------------------------------------------------------------------------------


def last_receipt(forged: Forger) -> tuple[int, Receipt]:
    number = forged.find("receipt")
    doc = msgspec.json.decode(forged.entries()[number])["doc"]
    envelope = decode_envelope(forged.files[f"documents/{doc}.json"])
    return number, decode(envelope.payload, Receipt)


CHANGES: list[dict[str, Any]] = [
    {"agreement": "A2"},
    {"collection": "w-out"},
    {"giver": "K"},
    {"to": "K"},
    {"origin": "w.example/detente/A1"},
    {"index": 0},
    {"count": 77},
    {"root": "0" * 64},
]


@pytest.mark.parametrize("fields", CHANGES, ids=lambda fields: next(iter(fields)))
def test_a_receipt_that_is_not_of_its_page_is_named(made: Made, fields: dict[str, Any]) -> None:
    world, forged = made[0], forger(made)
    number, receipt = last_receipt(forged)
    other = world.sign("receipt", msgspec.structs.replace(receipt, **fields), "W", "node")
    forged.change(number, doc=forged.document("receipt", other))
    codes = named(checked(forged.whole()), number)
    assert codes
    assert set(codes) <= {"receipt.page", "receipt.parties", "receipt.root"}


def test_a_receipt_of_an_exercise_is_named(made: Made) -> None:
    world, forged = made[0], forger(made)
    number, receipt = last_receipt(forged)
    receipt = msgspec.structs.replace(receipt, exercise=True)
    other = world.sign("receipt", receipt, "W", "node", exercise=True)
    forged.change(number, doc=forged.document("receipt", other))
    assert named(checked(forged.whole()), number) == ["document.type"]


@pytest.mark.parametrize(("party", "name"), [("B", "node"), ("W", "head-1"), ("W", "ledger")])
def test_a_receipt_that_no_node_key_of_its_giver_signed_is_named(
    made: Made, party: str, name: str
) -> None:
    world, forged = made[0], forger(made)
    number, receipt = last_receipt(forged)
    other = new_envelope("receipt", receipt, exercise=False)
    forged.change(
        number, doc=forged.document("receipt", add_signature(other, world.keys[party][name]))
    )
    assert "peer.signature" in named(checked(forged.whole()), number)


def test_a_receipt_entered_for_another_page_or_for_none_is_named(made: Made) -> None:
    forged = forger(made)
    number, receipt = last_receipt(forged)
    pages = [
        at
        for at, raw in enumerate(forged.entries())
        if msgspec.json.decode(raw)["act"] == "page" and at != receipt.index
    ]
    for page in (pages[0], number, len(forged.entries()) + 5, None):
        forged = forger(made)
        forged.change(number, page=page)
        codes = named(checked(forged.whole()), number)
        assert codes
        assert set(codes) <= {
            "receipt.page",
            "receipt.parties",
            "record.receipt-again",
            "record.receipt-page",
        }


def test_a_receipt_entered_twice_is_named(made: Made) -> None:
    forged = forger(made)
    number, _ = last_receipt(forged)
    forged.entries().append(forged.entries()[number])
    assert "record.receipt-again" in named(checked(forged.whole()), len(forged.entries()) - 1)


def test_a_receipt_whose_page_was_erased_is_counted_as_not_tied(made: Made) -> None:
    forged = forger(made)
    _, receipt = last_receipt(forged)
    openings = f"{forged.folder()}/openings.json"
    kept = msgspec.json.decode(forged.files[openings])
    del kept[str(receipt.index)]
    forged.files[openings] = msgspec.json.encode(kept)
    report = checked(forged.whole())
    assert not report.faults
    ledger = next(log for log in report.logs if log.origin.endswith(AGREEMENT))
    assert ledger.receipts_tied == ledger.receipts - 1
    forged.drop(openings)
    report = checked(forged.whole())
    assert not report.faults
    assert [log.receipts_tied for log in report.logs] == [0, 0]


def test_only_pages_with_a_receipt_are_opened(made: Made) -> None:
    """A receipt tells the page's root as it is; for no other page the copy tells more than the
    ledger does."""
    forged = forger(made)
    opened = set(msgspec.json.decode(forged.files[f"{forged.folder()}/openings.json"]))
    receipts = {
        str(decode(envelope.payload, Receipt).index)
        for _, envelope in documents(forged.files, "receipt")
    }
    assert opened == receipts


# --- where a partner's act stands ---------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [{"index": 3}, {"peer_at": 1_767_225_600_000}, {"origin": "w.example/detente/A2"}],
    ids=lambda fields: next(iter(fields)),
)
def test_a_partners_act_that_its_ledger_holds_otherwise_is_named(
    made: Made, fields: dict[str, Any]
) -> None:
    forged = forger(made)
    number = forged.find("peer.act", verb="withdrawal")
    forged.change(number, **fields)
    assert "record.place" in named(checked(forged.whole()), number)


def test_a_partners_act_with_the_proof_of_another_is_named(made: Made) -> None:
    forged = forger(made)
    number = forged.find("peer.act", verb="withdrawal")
    one, other = (
        msgspec.json.decode(forged.entries()[at])["entry"]
        for at in (number, forged.find("peer.act", verb="assurance"))
    )
    forged.change(number, entry=other)
    assert "record.place" in named(checked(forged.whole()), number)
    forged = forger(made)
    forged.files[f"partners/{one}.proof"] = forged.files[f"partners/{other}.proof"]
    assert named(checked(forged.whole()), number)[0].startswith("proof.")
    forged = forger(made)
    forged.files[f"partners/{one}.entry"] = forged.files[f"partners/{other}.entry"]
    assert "record.place" in named(checked(forged.whole()), number)


def test_a_proof_signed_by_the_operator_is_named(made: Made) -> None:
    """The partner's entry in a tree of one leaf, signed by the only ledger key at hand."""
    forged = forger(made)
    number = forged.find("peer.act", verb="withdrawal")
    entry = msgspec.json.decode(forged.entries()[number])["entry"]
    raw = forged.files[f"partners/{entry}.entry"]
    head = Checkpoint("w.example/detente/A1", 1, leaf_hash(raw))
    note = sign_checkpoint(head, forged.signer).encode()
    forged.files[f"partners/{entry}.proof"] = encode_proof(Proof(0, (), note))
    forged.change(number, index=0)
    assert named(checked(forged.whole()), number) == ["note.unsigned"]


def test_a_partners_act_without_a_proof_is_told_as_this_nodes_own_word(made: Made) -> None:
    forged = forger(made)
    forged.drop("partners/")
    report = checked(forged.whole())
    assert not report.faults
    ledger = next(log for log in report.logs if log.origin.endswith(AGREEMENT))
    assert (ledger.peer_acts >= 5, ledger.peer_acts_proved) == (True, 0)


def test_an_own_act_cannot_borrow_a_partners_instant(made: Made) -> None:
    """Only a partner's act has another time than its entry; else a page before it might seem to
    have stood under it."""
    forged = forger(made)
    number = forged.find("directive.effect")
    before = checked(forged.whole())
    forged.change(number, peer_at=1)
    report = checked(forged.whole())
    assert not before.faults
    assert named(report, number) == ["record.act-named"]


def test_a_partners_act_of_the_far_future_is_named(made: Made) -> None:
    """It would not count before then, and the proof of it may have been left out."""
    forged = forger(made)
    forged.drop("partners/")
    number = forged.find("peer.act", verb="assurance")
    at = msgspec.json.decode(forged.entries()[number])["at"]
    forged.change(number, peer_at=at + 1_000_000)
    assert "peer.clock" in named(checked(forged.whole()), number)


# --- signatures of strangers --------------------------------------------------------------------


def stranger() -> Ed25519Signer:
    return Ed25519Signer(Ed25519PrivateKey.generate())


async def signed_by_strangers(world: World) -> None:
    """Everything that is signed is brought with one signature more, by a key nobody lists; also
    under the name of a listed key, and first."""
    listed = world.keys["W"]["head-2"].public.keyid
    for party in "BW":
        said = Said(id=f"D{party}", issuer=party, verb="suspend", kinds=("PE",))
        draft, site = world.draft(said), world.sites[party]
        envelope = world.sign("directive", draft, party, "head-1", "head-2")
        more = add_signature(envelope, stranger()).signatures[-1]
        lies = Signature(listed if party == "W" else None, more.sig)
        # Its own hint left out, a signature that holds is found all the same.
        first = Signature(None, envelope.signatures[0].sig)
        every = (more, lies, first, envelope.signatures[1])
        envelope = dataclasses.replace(envelope, signatures=every)
        assert (await site.orders.enact(envelope.encode())).state == "in-force"
        world.clock.advance(1)
    given = await world.assure("W", "B", ("FI",))
    site = world.sites["W"]
    taken_back = world.sign("withdrawal", withdrawal_of(given.document), "W", "head-1")
    await site.orders.import_withdrawal(add_signature(taken_back, stranger()).encode())
    charter, new = rotated(charter_of(world, "W"), world.keys["W"])
    keys = world.keys["W"]
    envelope = charter_envelope(charter, new, keys["head-1"], keys["head-2"], stranger())
    terms = msgspec.structs.replace(terms_of(world.charters), version=2)
    agreed = new_envelope("agreement", terms, exercise=False)
    for key in (*(world.keys[party]["head-1"] for party in "BKW"), stranger()):
        agreed = add_signature(agreed, key)
    for site in world.sites.values():
        await site.orders.import_agreement(agreed.encode())
        await site.orders.import_charter(envelope.encode())
    world.clock.advance(1)
    for party in "BW":
        await world.sync(party)


@pytest.mark.parametrize("party", ["B", "W"])
def test_a_record_of_documents_that_strangers_signed_too_holds(tmp_path: Path, party: str) -> None:
    """What is recorded are the signatures that count, each under the id of its key."""
    _, files = recorded(tmp_path, signed_by_strangers, party, known=False)
    report = checked(files)
    assert not report.faults
    assert report.strangers == 0
    signed = [one for _, envelope in documents(files, "directive") for one in envelope.signatures]
    assert len(signed) == 4
    forged = Forger(files, stranger())
    assert all(forged.find("directive.sign", ref=f"D{party}") for _ in signed)


def test_a_record_of_receipts_written_otherwise_holds(tmp_path: Path) -> None:
    """White space and signatures of strangers, by the partner whose receipts they are."""

    async def story(world: World) -> None:
        partners = world.sites["W"].exchange._partners
        honest = partners.signed

        def loose(use: str, record: msgspec.Struct) -> bytes:
            signed = add_signature(decode_envelope(honest(use, record)), stranger())
            return msgspec.json.format(signed.encode(), indent=1)

        partners.signed = loose  # type: ignore[method-assign]  # a partner with a style of its own
        await world.publish("B", "VI", "B-NAV", 2)
        await world.exchange()

    _, files = recorded(tmp_path, story)
    report = checked(files)
    assert not report.faults
    assert (report.logs[1].receipts, report.strangers) == (1, 0)


def test_strangers_signatures_in_a_copy_are_counted_and_mean_nothing(made: Made) -> None:
    forged = forger(made)
    name, envelope = next(documents(made[1], "directive"))
    forged.document("directive", add_signature(envelope, stranger()))
    report = checked(forged.whole())
    assert (report.faults, report.strangers) == ((), 1)
    forged.document("directive", dataclasses.replace(envelope, signatures=()))
    alone = add_signature(dataclasses.replace(envelope, signatures=()), stranger())
    for changed in (dataclasses.replace(envelope, signatures=()), alone):
        forged.document("directive", changed)
        codes = {(f.place, f.code) for f in checked(forged.whole()).faults}
        assert (f"documents/{name}.json", "record.unsigned") in codes


def test_a_signature_by_a_listed_key_that_does_not_hold_is_named(made: Made) -> None:
    world, forged = made[0], forger(made)
    name, envelope = next(documents(made[1], "directive"))
    wrong = Signature(world.keys["K"]["head-1"].public.keyid, bytes(64))
    forged.document(
        "directive", dataclasses.replace(envelope, signatures=(*envelope.signatures, wrong))
    )
    assert [(f.place, f.code) for f in checked(forged.whole()).faults] == [
        (f"documents/{name}.json", "record.signature")
    ]


def test_strangers_lines_under_a_cosigned_head_are_counted(made: Made) -> None:
    forged = forger(made)
    place = f"{forged.folder()}/checkpoint.cosigned"
    line = "\u2014 nobody.example/witness " + base64.b64encode(bytes(76)).decode() + "\n"
    forged.files[place] += line.encode()
    report = checked(forged.whole())
    assert (report.faults, report.strangers) == ((), 1)
    assert report.logs[1].cosigned > 0


# --- pages --------------------------------------------------------------------------------------


def test_a_page_after_an_order_cannot_claim_an_instant_before_it(made: Made) -> None:
    """Under the standing of before, which at that instant was so: but it left after the order."""
    world, forged = made[0], forger(made)
    order = forged.find("directive.effect")
    at = msgspec.json.decode(forged.entries()[order])["at"]
    standing = world.sites["B"].book.standing(AGREEMENT, at - 1)
    number = forged.add("page", at - 1, party="W", count=1, standing=standing.digest)
    codes = named(checked(forged.whole()), number)
    assert "record.earlier" in codes


async def stopped(world: World) -> None:
    """A page, a stop for an hour that was drafted before it, and something after the stop."""
    await world.publish("B", "VI", "B-NAV", 2)
    draft = world.draft(Said(id="DS", issuer="B", verb="suspend", lasts_ms=HOUR_MS))
    await world.advance(60_000)
    await world.exchange()
    await world.advance(60_000)
    envelope = world.sign("directive", draft, "B", "head-1", "head-2")
    await world.sites["B"].orders.enact(envelope.encode())
    await world.advance(60_000)
    await world.publish("B", "SL", "B-NAV")


def test_a_page_behind_a_stop_cannot_claim_an_instant_behind_its_end(tmp_path: Path) -> None:
    """At that instant the flow was open again; but what follows in the ledger was written under
    the stop, so the page was too."""
    made = recorded(tmp_path, stopped, known=False)
    world, forged = made[0], forger(made)
    assert not checked(made[1]).faults
    stop = forged.find("directive.effect", ref="DS")
    at = decode(forged.entries()[stop], Entry).at + 2 * HOUR_MS
    standing = world.sites["B"].book.standing(AGREEMENT, at)
    assert not standing.orders
    forged.add("page", at, party="W", count=1, standing=standing.digest)
    forged.entries().insert(stop + 1, forged.entries().pop())
    forged.drop(f"{forged.folder()}/checkpoint.cosigned")
    report = checked(forged.whole())
    assert named(report, stop + 1) == []
    assert "record.earlier" in named(report, stop + 2)


def test_a_stop_cannot_claim_an_instant_before_a_page_that_left_before_it(tmp_path: Path) -> None:
    made = recorded(tmp_path, stopped, known=False)
    forged = forger(made)
    stop, page = forged.find("directive.effect", ref="DS"), forged.find("page")
    assert page < stop
    early = decode(forged.entries()[page], Entry).at - 1
    signatures = [n for n in range(page, stop) if b"directive.sign" in forged.entries()[n]]
    for number in (*signatures, stop):
        forged.change(number, at=early)
    forged.drop(f"{forged.folder()}/checkpoint.cosigned")
    assert "record.earlier" in named(checked(forged.whole()), stop)


@pytest.mark.parametrize("use", ["directive", "assurance", "withdrawal", "charter"])
def test_times_in_a_ledger_go_forward_though_an_act_waits_for_its_turn(
    tmp_path: Path, use: str
) -> None:
    """Between the check of an act and its entry something else is written, and later."""

    async def story(world: World) -> None:
        given = await world.assure("W", "B", ("FI",))
        await world.exchange()
        site = world.sites["W"]
        write = site.store.write

        async def late(work: Callable[[Tx], Any]) -> Any:
            site.store.write = write  # type: ignore[method-assign]  # only the next is late
            world.clock.advance(7)
            log = site.book.me.log_of(AGREEMENT)
            await write(lambda tx: tx.append_entry(log, site.book.entry("expire", count=1)))
            return await write(work)

        site.store.write = late  # type: ignore[method-assign]  # somebody else is before it
        if use == "directive":
            await world.suspend("W", kinds=("SL",))
        elif use == "assurance":
            await world.assure("W", "B", ("VI",))
        elif use == "withdrawal":
            await world.withdraw(given.document)
        else:
            await rotate(world, "W")
        await world.exchange()

    _, files = recorded(tmp_path, story, "W", known=False)
    assert not checked(files).faults


def test_a_page_under_another_standing_than_that_of_its_instant_is_named(made: Made) -> None:
    world, forged = made[0], forger(made)
    now = world.now_ms()
    right = world.sites["B"].book.standing(AGREEMENT, now).digest
    other = world.sites["B"].book.standing(AGREEMENT, 0).digest
    assert right != other
    honest = forged.add("page", now, party="W", count=1, standing=right)
    number = forged.add("page", now, party="W", count=1, standing=other)
    report = checked(forged.whole())
    assert named(report, honest) == []
    assert named(report, number) == ["record.page-standing"]


# --- standings and anchors ----------------------------------------------------------------------


def test_a_standing_that_does_not_follow_from_the_acts_is_named(made: Made) -> None:
    world, forged = made[0], forger(made)
    other = world.sites["B"].book.standing(AGREEMENT, 0).digest
    number = forged.find("standing")
    forged.change(number, standing=other)
    assert named(checked(forged.whole()), number) == ["record.standing"]


def test_a_standing_that_the_clock_changes_before_it_is_entered_holds(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.suspend("B", kinds=("PE",), lasts_ms=1_000)
        world.clock.advance(997)
        site = world.sites["B"]
        write = site.store.write
        writes = []

        async def late(work: Callable[[Tx], Any]) -> Any:
            writes.append(world.now_ms())
            if len(writes) == 2:  # the act is written; its standing waits
                world.clock.advance(7)
            return await write(work)

        site.store.write = late  # type: ignore[method-assign]  # somebody else is before it
        await world.suspend("B", kinds=("SL",))
        site.store.write = write  # type: ignore[method-assign]  # nobody is any more
        assert len(writes) >= 2
        await world.advance(10)

    _, files = recorded(tmp_path, story, known=False)
    assert not checked(files).faults


def last_anchor(forged: Forger) -> tuple[int, Head]:
    number = forged.find("anchor", "")
    saw = decode(forged.entries("")[number], Entry).saw
    assert saw is not None
    return number, saw


def test_a_ledger_written_anew_before_an_anchor_is_named(made: Made) -> None:
    forged = forger(made)
    number, saw = last_anchor(forged)
    publish = forged.find("publish")
    assert publish < saw.size
    forged.change(publish, count=7)
    forged.drop(f"{forged.folder()}/checkpoint.cosigned")
    assert named(checked(forged.whole()), number, forged.folder("")) == ["record.anchor"]


def test_an_anchor_of_a_head_that_never_was_is_named(made: Made) -> None:
    _, saw = last_anchor(forger(made))
    for fields in (
        {"root": base64.b64encode(bytes(32)).decode()},
        {"size": saw.size - 1},
        {"size": len(forger(made).entries()) + 1},
        {"origin": "b.example/detente/A9"},
    ):
        forged = forger(made)
        number, _ = last_anchor(forged)
        forged.change(number, "", saw=msgspec.structs.replace(saw, **fields))
        faults = named(checked(forged.whole()), number, forged.folder(""))
        assert faults == ["record.anchor"], fields
    forged = forger(made)
    forged.change(last_anchor(forged)[0], "", saw=None)
    assert named(checked(forged.whole()), number, forged.folder("")) == ["record.anchor"]


def test_a_ledger_that_was_anchored_and_is_left_out_is_named(made: Made) -> None:
    forged = forger(made)
    number, _ = last_anchor(forged)
    folder, node = forged.folder(), forged.folder("")
    forged.index["ledgers"] = [one for one in forged.places if one["folder"] != folder]
    del forged.ledgers[folder]
    forged.drop(folder)
    assert named(checked(forged.whole()), number, node) == ["record.anchor"]


def test_entries_later_than_the_anchor_over_them_are_named(made: Made) -> None:
    """All that is before an anchor was written by then; so no time of it can be later."""
    forged = forger(made)
    number, saw = last_anchor(forged)
    at = decode(forged.entries("")[number], Entry).at
    for later in range(saw.size - 1, len(forged.entries())):
        forged.change(later, at=at + 1)
    root = root_of([leaf_hash(raw) for raw in forged.entries()[: saw.size]])
    root_text = base64.b64encode(root).decode()
    forged.change(number, "", saw=msgspec.structs.replace(saw, root=root_text))
    assert named(checked(forged.whole()), number, forged.folder("")) == ["record.anchor"]


# --- bounds -------------------------------------------------------------------------------------


def test_a_ledger_of_a_size_that_no_file_holds_is_named_at_once(made: Made) -> None:
    forged = forger(made)
    files = forged.whole()
    head = Checkpoint("b.example/detente/A1", 2**52, b"\0" * 32)
    files[f"{forged.folder()}/checkpoint"] = sign_checkpoint(head, forged.signer).encode()
    report = checked(files)
    assert "record.size" in {fault.code for fault in report.faults}


def test_faults_beyond_the_bound_are_counted_only(made: Made) -> None:
    files = dict(made[1])
    files.update({f"x{number}": b"" for number in range(FAULTS_MAX + 10)})
    report = checked(files)
    assert len(report.faults) == FAULTS_MAX + 1
    assert report.faults[-1].code == "record.more"
    assert "10 more" in report.faults[-1].sentence


def test_pages_under_one_standing_take_one_fold(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, forged = made[0], forger(made)
    standing = world.sites["B"].book.standing(AGREEMENT, world.now_ms())
    folds: list[int] = []
    honest = replay.fold

    def counted(acts: Any, at_ms: int) -> Any:
        folds.append(at_ms)
        return honest(acts, at_ms)

    monkeypatch.setattr(replay, "fold", counted)
    checked(forged.whole())
    before = len(folds)
    for number in range(2000):
        forged.add("page", world.now_ms() + number, party="W", count=1, standing=standing.digest)
    report = checked(forged.whole())
    assert not report.faults
    assert len(folds) - 2 * before <= 2


# --- an honest record ---------------------------------------------------------------------------


async def rotate(world: World, party: str) -> None:
    """A new charter of a party, taken by both nodes; from now on the new key signs."""
    old = world.keys[party]
    charter, new = rotated(charter_of(world, party), old)
    envelope = charter_envelope(charter, new, old["head-1"], old["head-2"])
    for site in world.sites.values():
        await site.orders.import_charter(envelope.encode())
    world.clock.advance(1)
    world.charters[party] = envelope
    world.keys[party] = {**old, "head-1": new}


async def long(world: World) -> None:
    """The usual, with new charters, a new version of the agreement, and acts after each."""
    await usual(world)
    for party in ("W", "B", "K"):
        await rotate(world, party)
    await world.exchange()
    await world.suspend("W", kinds=("SL",))
    await world.suspend("B", kinds=("VI",))
    await world.exchange()
    terms = msgspec.structs.replace(terms_of(world.charters), version=2)
    envelope = new_envelope("agreement", terms, exercise=False)
    for party in world.charters:
        envelope = add_signature(envelope, world.keys[party]["head-1"])
    for site in world.sites.values():
        await site.orders.import_agreement(envelope.encode())
    world.clock.advance(1)
    await rotate(world, "W")
    await world.publish("B", "VI", "B-NAV", 2)
    await world.resume("W")
    await world.resume("B")
    await world.exchange()
    given = await world.assure("W", "B", ("VI",))
    await world.withdraw(given.document)
    await world.read()
    await world.exchange()


@pytest.mark.parametrize("party", ["B", "W"])
def test_a_record_with_new_charters_and_agreements_holds(tmp_path: Path, party: str) -> None:
    world, files = recorded(tmp_path, long, party)
    report = checked(files)
    assert not report.faults
    assert report.first_charters["W"] != report.charters["W"]
    assert report.charters["W"] == digest(world.charters["W"].payload)


def test_a_new_charter_that_is_left_out_under_the_agreement_is_named(tmp_path: Path) -> None:
    """So that a key which it drops goes on counting there."""

    async def story(world: World) -> None:
        await world.exchange()
        old = world.keys["W"]["head-1"]
        await rotate(world, "W")
        world.keys["W"]["old"] = old
        await world.advance(10)

    made = recorded(tmp_path, story)
    world, forged = made[0], forger(made)
    entries = forged.entries()
    entries[forged.find("charter", party="W")] = entries[0]
    envelope = directive(world, "W", "old", "head-2")
    number = add_act(forged, world, "peer.act", envelope, party="W", ref="DX", verb="directive")
    assert named(checked(forged.whole()), number) == ["record.charter-old"]


def test_an_act_signed_by_a_key_that_was_dropped_is_named(tmp_path: Path) -> None:
    """The charter of then decides, not any that was ever known."""

    async def story(world: World) -> None:
        await world.exchange()
        old = world.keys["B"]["head-1"]
        await rotate(world, "B")
        world.keys["B"]["old"] = old

    made = recorded(tmp_path, story)
    world, forged = made[0], forger(made)
    envelope = directive(world, "B", "old", "head-2")
    number = add_act(forged, world, "directive.effect", envelope, party="B", ref="DX")
    assert named(checked(forged.whole()), number) == ["authority.quorum"]
