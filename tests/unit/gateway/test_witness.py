"""The witness over HTTP's words: what it cosigns, what it keeps first, and what it never signs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from detente.errors import Unavailable
from detente.faces.documents import new_envelope
from detente.gateway.witness import ledger_vkey, witness_vkey
from detente.model import Charter, decode
from detente.ports import OtherSize, Tx
from detente.proof import (
    AddCheckpoint,
    Checkpoint,
    Ed25519Signer,
    VerifierKey,
    add_signature,
    consistency_proof,
    encode_add_checkpoint,
    parse_add_checkpoint,
    parse_checkpoint,
    parse_note,
    sign_checkpoint,
    verify_cosignature,
)
from detente.rules.standing import Standing
from detente.testing import World
from detente.testing.parts import AGREEMENT, Fault
from tests.unit.gateway.kit import play

ROOT = hashlib.sha256(b"another history").digest()


async def head_of(world: World) -> tuple[int, bytes]:
    """Size and note of B's ledger under the agreement."""
    site = world.sites["B"]
    log = site.book.me.log_of(AGREEMENT)
    note = await site.store.read(lambda view: view.checkpoint(log))
    assert note is not None
    return parse_checkpoint(parse_note(note).text).size, note


async def growth(world: World, old: int) -> bytes:
    """An honest request of B's log to be cosigned, from a size on."""
    site = world.sites["B"]
    log = site.book.me.log_of(AGREEMENT)
    size, note = await head_of(world)
    proof: tuple[bytes, ...] = ()
    if 0 < old < size:
        proof = await site.store.read(
            lambda view: consistency_proof(old, size, lambda lv, i: view.tile(log, lv, i))
        )
    return encode_add_checkpoint(AddCheckpoint(old, proof, note))


def fork(world: World, old: int, size: int, *, by: str = "ledger", origin: str = "") -> bytes:
    """A request for another history, signed by a key of B."""
    name = origin or world.sites["B"].book.me.log_of(AGREEMENT)
    note = sign_checkpoint(Checkpoint(name, size, ROOT), world.keys["B"][by])
    return encode_add_checkpoint(AddCheckpoint(old, (), note.encode()))


async def kept(world: World) -> str | None:
    name = world.sites["B"].book.me.log_of(AGREEMENT)
    return await world.sites["W"].store.read(lambda view: view.meta(f"witness/{name}"))


async def seen(world: World) -> int:
    """Have W cosign what B has now; the size."""
    await world.exchange()
    size, _ = await head_of(world)
    status, _, body = await world.sites["W"].witness.serve(await growth(world, size))
    if status == 409:
        status, _, _ = await world.sites["W"].witness.serve(await growth(world, int(body)))
    assert status == 200
    return size


def test_answer_is_a_cosignature_that_verifies_over_the_head(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        old = await seen(world)
        await world.publish("B", "VI", "B-NAV", 3)
        size, data = await head_of(world)
        assert size > old
        status, media, body = await world.sites["W"].witness.serve(await growth(world, old))
        assert (status, media) == (200, "text/plain; charset=utf-8")
        note = parse_note(data)
        both = parse_note(note.text.encode() + b"\n" + body)
        known = world.sites["B"].book.charter("W")
        assert known is not None
        assert verify_cosignature(both, witness_vkey(known.charter)) == world.now_ms() // 1000
        # The same head may be cosigned again: that says that nothing was added until then.
        again = await world.sites["W"].witness.serve(await growth(world, size))
        assert again[0] == 200

    play(tmp_path, story)


def test_wrong_old_size_is_told_the_right_one(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        size = await seen(world)
        before = await kept(world)
        await world.publish("B", "VI", "B-NAV")
        for old in (0, size - 1, size + 1):
            answer = await world.sites["W"].witness.serve(await growth(world, old))
            assert answer == (409, "text/x.tlog.size", f"{size}\n".encode())
        assert await kept(world) == before

    play(tmp_path, story)


def test_fork_is_never_cosigned_nor_after_a_crash(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        size = await seen(world)
        before = await kept(world)
        for _ in range(2):
            for body, wanted in (
                (fork(world, size, size), 409),
                (fork(world, size, size + 5), 422),
                (fork(world, 0, size), 409),
                (fork(world, 0, size + 5), 409),
                (fork(world, size, size - 1), 400),
            ):
                status, _, answer = await world.sites["W"].witness.serve(body)
                assert status == wanted
                assert "\u2014" not in answer.decode()
            assert await kept(world) == before
            await world.crash("W")

    play(tmp_path, story)


Request = Callable[[World, int, bytes], bytes]
REFUSED: list[tuple[Request, int]] = [
    (lambda w, n, good: b"", 400),
    (lambda w, n, good: b"\xff\xfe", 400),
    (lambda w, n, good: good.replace(b"old ", b"new "), 400),
    (lambda w, n, good: good.replace(b"\n\n", b"\n"), 400),
    (lambda w, n, good: good[:-20], 400),
    (lambda w, n, good: fork(w, n, n, origin="x.example/detente/A1"), 404),
    (lambda w, n, good: fork(w, n, n, origin="b.example/detente/A9"), 404),
    (lambda w, n, good: fork(w, n, n, origin="b.example/detente/node"), 404),
    # Its own ledger is not its own to witness.
    (lambda w, n, good: fork(w, n, n, origin="w.example/detente/A1"), 404),
    (lambda w, n, good: fork(w, n, n, by="node"), 403),
    (lambda w, n, good: fork(w, n, n, by="witness"), 403),
    (lambda w, n, good: fork(w, n, n, by="head-1"), 403),
]


def test_request_that_is_malformed_unknown_or_unsigned_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        size = await seen(world)
        good, before = await growth(world, size), await kept(world)
        for made, status in REFUSED:
            got, media, body = await world.sites["W"].witness.serve(made(world, size, good))
            assert (got, media) == (status, "text/plain")
            assert "\u2014" not in body.decode()
            assert await kept(world) == before

    play(tmp_path, story)


def test_nothing_is_cosigned_that_could_not_be_kept(tmp_path: Path) -> None:
    """Kept first, signed second: a head whose keeping failed is not signed, and may be asked for
    again."""

    async def story(world: World) -> None:
        old = await seen(world)
        await world.publish("B", "VI", "B-NAV")
        site, signed = world.sites["W"], []
        write = site.store.write

        class Watch(Ed25519Signer):
            def sign(self, message: bytes) -> bytes:
                signed.append(message)
                return super().sign(message)

        async def full(work: Callable[[Tx], object]) -> object:
            raise Unavailable("store.full", "Expected room on the disk, got none.")

        site.witness._signer = Watch(world.keys["W"]["witness"]._key)
        site.store.write = full  # type: ignore[method-assign,assignment]  # the disk is full
        before = await kept(world)
        body = await growth(world, old)
        with pytest.raises(Unavailable):
            await site.witness.serve(body)
        assert signed == []
        site.store.write = write  # type: ignore[method-assign]  # there is room again
        assert await kept(world) == before
        status, _, _ = await site.witness.serve(body)
        assert (status, len(signed)) == (200, 1)
        assert await kept(world) != before

    play(tmp_path, story)


def test_head_is_on_disk_before_it_is_cosigned(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        old = await seen(world)
        await world.publish("B", "VI", "B-NAV")
        size, _ = await head_of(world)
        assert (await world.sites["W"].witness.serve(await growth(world, old)))[0] == 200
        await world.crash("W")
        got = await world.sites["W"].witness.serve(await growth(world, old))
        assert got == (409, "text/x.tlog.size", f"{size}\n".encode())

    play(tmp_path, story)


# --- asking a witness -----------------------------------------------------------------------------


def test_cosignature_that_does_not_verify_is_not_kept(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.exchange()
        site = world.sites["B"]
        log = site.book.me.log_of(AGREEMENT)
        before = await site.store.read(lambda view: view.cosignatures(log))
        assert before is not None
        honest = world.sites["W"].answer

        for made in (b"", b"x", b"\xff", "\u2014 w.example/witness AAAAAAAAAA==\n".encode()):

            async def lying(
                path: str, body: bytes, fault: object, made: bytes = made
            ) -> bytes | None:
                found = await honest(path, body, None)
                return made if path.endswith("add-checkpoint") else found

            await world.publish("B", "VI", "B-NAV")
            world.sites["W"].answer = lying  # type: ignore[method-assign]  # a witness that lies
            assert (await world.sync("B")).cosigned is None
            assert await site.store.read(lambda view: view.cosignatures(log)) == before
        world.sites["W"].answer = honest  # type: ignore[method-assign]  # an honest one again

    play(tmp_path, story)


def test_a_lost_answer_does_not_end_cosigning(tmp_path: Path) -> None:
    """The witness has cosigned what this node was not told of, and says up to where."""

    async def story(world: World) -> None:
        for _ in range(2):
            await world.publish("B", "VI", "B-NAV")
            world.fail("lost", path="add-checkpoint")
            assert (await world.sync("B")).cosigned is None
            await world.publish("B", "VI", "B-NAV")
            size, _ = await head_of(world)
            assert (await world.sync("B")).cosigned == size

    play(tmp_path, story)


def test_a_witness_that_names_size_after_size_is_asked_twice(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        honest, asked, told = world.sites["W"].answer, list[int](), list[int]()

        async def lying(path: str, body: bytes, fault: Fault | None) -> bytes | None:
            if not path.endswith("add-checkpoint"):
                return await honest(path, body, fault)
            asked.append(parse_add_checkpoint(body).old)
            raise OtherSize(told.pop(0))

        world.sites["W"].answer = lying  # type: ignore[method-assign]  # a witness that lies
        size, _ = await head_of(world)
        for sizes, wanted in (([1, 2], 2), ([size + 1], 1)):
            told[:] = sizes
            asked.clear()
            assert (await world.sync("B")).cosigned is None
            assert len(asked) == wanted

    play(tmp_path, story)


def test_requests_of_anybody_fold_nothing_until_a_paper_has_come(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        size = await seen(world)
        site, folds = world.sites["W"], []
        standing = site.book.standing

        def counted(agreement: str, at_ms: int) -> Standing:
            folds.append(agreement)
            return standing(agreement, at_ms)

        site.book.standing = counted  # type: ignore[method-assign]  # only counted
        for _ in range(3):
            unknown = fork(world, size, size, origin="x.example/detente/A1")
            assert (await site.witness.serve(unknown))[0] == 404
            assert (await site.witness.serve(await growth(world, size)))[0] in (200, 409)
        assert folds == []
        site.book.standing = standing  # type: ignore[method-assign]  # an order may fold
        await world.suspend("W", kinds=("SL",))
        site.book.standing = counted  # type: ignore[method-assign]  # only counted
        assert (await site.witness.serve(fork(world, size, size, origin="x/A1")))[0] == 404
        assert folds == []

    play(tmp_path, story)


def test_a_new_ledger_key_in_a_charter_holds_at_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        size = await seen(world)
        new, keys = Ed25519Signer(Ed25519PrivateKey.generate()), world.keys["B"]
        charter = decode(world.charters["B"].payload, Charter)
        vkey = VerifierKey("b.example/detente/node", 1, new.public).encode()
        logs = tuple(
            msgspec.structs.replace(log, vkey=vkey) if log.use == "ledger" else log
            for log in charter.logs
        )
        charter = msgspec.structs.replace(charter, version=2, logs=logs)
        envelope = new_envelope("charter", charter, exercise=False)
        for name in ("head-1", "head-2"):
            envelope = add_signature(envelope, keys[name])
        assert (await world.sites["W"].witness.serve(fork(world, size, size)))[0] == 409
        await world.sites["W"].orders.import_charter(envelope.encode())
        assert (await world.sites["W"].witness.serve(fork(world, size, size)))[0] == 403

    play(tmp_path, story, checked=False)


def test_of_a_cosignature_only_the_witness_own_line_is_kept(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        site, honest = world.sites["B"], world.sites["W"].answer
        log = site.book.me.log_of(AGREEMENT)
        junk = "\u2014 nobody.example/witness " + base64.b64encode(bytes(76)).decode() + "\n"

        async def more(path: str, body: bytes, fault: Fault | None) -> bytes | None:
            found = await honest(path, body, fault)
            if found is None or not path.endswith("add-checkpoint"):
                return found
            return junk.encode() + found + found + junk.encode()

        world.sites["W"].answer = more  # type: ignore[method-assign]  # a witness that says more
        await world.publish("B", "VI", "B-NAV")
        assert (await world.sync("B")).cosigned
        kept = await site.store.read(lambda view: view.cosignatures(log))
        assert kept is not None
        names = [name for name, _ in parse_note(kept[1]).lines]
        assert names == [log, "w.example/witness"]

    play(tmp_path, story)


def test_names_of_keys_come_from_the_charter(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        known = world.sites["B"].book.charter("W")
        assert known is not None
        vkey = ledger_vkey(known.charter, AGREEMENT, exercise=False)
        assert (vkey.name, vkey.algorithm) == (f"w.example/detente/{AGREEMENT}", 1)
        assert vkey.key == world.keys["W"]["ledger"].public
        witness = witness_vkey(known.charter)
        assert (witness.name, witness.algorithm) == ("w.example/witness", 4)
        assert witness.key == world.keys["W"]["witness"].public

    play(tmp_path, story)
