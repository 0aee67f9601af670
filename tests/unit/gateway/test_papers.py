"""What others' acts and later papers may do to an order: nothing that its party did not sign."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from detente.errors import Broken, Conflict, Invalid, NotAuthorised, Unavailable
from detente.faces.documents import new_envelope
from detente.gateway.draft import AssuranceDraft, draft_assurance
from detente.gateway.order import Enacted, PeerAct
from detente.model import Agreement, Assurance, Power, Withdrawal, digest
from detente.proof import add_signature
from detente.proof import decode as decode_envelope
from detente.record import verify_copy, write_copy
from detente.testing import World
from detente.testing.parts import (
    AGREEMENT,
    DAY_MS,
    HOUR_MS,
    SIGNERS,
    TEMPLATE,
    Said,
    SetClock,
    terms_of,
)
from detente.testing.world import charter_of_party, keys_of_party
from tests.unit.gateway.kit import play
from tests.unit.gateway.test_order import orders_at


def signed(world: World, terms: Agreement, key: str = "head-1", *parties: str) -> bytes:
    """A version of the agreement, signed by this officer of each of these parties; of all."""
    envelope = new_envelope("agreement", terms, exercise=False)
    for party in parties or tuple(world.charters):
        envelope = add_signature(envelope, world.keys[party][key])
    return envelope.encode()


def later(world: World, **fields: object) -> Agreement:
    return replace(terms_of(world.charters), version=2, **fields)


def without_w(world: World) -> Agreement:
    """The agreement of B and K alone."""
    terms = terms_of(world.charters)
    return replace(
        terms,
        members=tuple(one for one in terms.members if one.party != "W"),
        powers=tuple(one for one in terms.powers if one.party != "W"),
        collections=tuple(
            replace(one, readers=tuple(r for r in one.readers if r != "W"))
            for one in terms.collections
            if one.sender != "W"
        ),
    )


async def came(world: World) -> int:
    """How many items W gets from B now."""
    return (await world.sites["W"].exchange.sync("B", AGREEMENT)).items


async def takes(world: World, party: str) -> tuple[str, ...]:
    """What a node refuses of its partner's acts."""
    other = "W" if party == "B" else "B"
    found = await world.sites[party].exchange.sync(other, AGREEMENT)
    return tuple(one.partition(": ")[2] for one in found.refused)


def assured(world: World, giver: str, name: str, **span: int) -> Assurance:
    made = draft_assurance(
        AssuranceDraft(
            agreement=AGREEMENT,
            id=name,
            template=TEMPLATE,
            holder="B",
            office="head",
            kinds=("FI",),
            lasts_ms=DAY_MS,
        ),
        world.sites["B"].book.standing(AGREEMENT, world.now_ms()),
        party=giver,
        exercise=False,
        now_ms=world.now_ms(),
        nonce=world._nonce(),
    )
    return replace(made, **span)


def taken_back(world: World, giver: str, assurance: str) -> bytes:
    made = Withdrawal(
        id=f"X{giver}{assurance}",
        agreement=AGREEMENT,
        assurance=assurance,
        giver=giver,
        office="head",
        nonce=world._nonce(),
    )
    return world.sign("withdrawal", made, giver, "head-1").encode()


# --- a partner's acts ---------------------------------------------------------------------------


def test_partners_order_of_the_same_name_and_an_earlier_date_ends_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        w = world.sites["W"]
        await world.suspend("B")
        mine = world.ordered[-1]
        await world.publish("B", "VI", "B-NAV", 2)
        lag, real = SetClock(mine.since_ms - 1), world.clock
        w.book.clock = w.gate._clock = world.clock = lag
        for said, names in (
            (Said(id=mine.said.id, issuer="W", verb="suspend", kinds=("PE",)), SIGNERS["suspend"]),
            (
                Said(id="R1", issuer="W", verb="resume", supersedes=(mine.said.id,)),
                SIGNERS["resume"],
            ),
        ):
            await w.orders.enact(world.sign("directive", world.draft(said), "W", *names).encode())
            lag.advance(1)
        world.clock = w.book.clock = w.gate._clock = real
        assert await takes(world, "B") == ()
        assert mine.said.id in orders_at(world, "B")
        assert await came(world) == 0

    play(tmp_path, story, checked=False)


def test_both_sides_may_use_one_name_for_an_order_of_their_own(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for party in ("B", "W"):
            said = Said(id="H1", issuer=party, verb="halt", lasts_ms=HOUR_MS)
            await world.order(said)
        await world.exchange()
        assert orders_at(world, "B") == orders_at(world, "W") == ["H1", "H1"]
        await world.order(Said(id="R1", issuer="B", verb="resume", supersedes=("H1",)))
        await world.exchange()
        standing = world.sites["W"].ask.standing(AGREEMENT)
        assert [(one.issuer, one.directive) for one in standing.orders] == [
            ("W", "H1"),
            ("B", "R1"),
        ]

    play(tmp_path, story)


def test_second_act_of_a_party_under_one_name_is_refused_whatever_its_date(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        b = world.sites["B"]
        again = world.draft(Said(id="D1", issuer="W", verb="suspend", kinds=("VI",)))
        await world.order(Said(id="D1", issuer="W", verb="suspend", kinds=("PE",)))
        assert await takes(world, "B") == ()
        # A ledger whose times go back, as no node of ours writes one.
        act = PeerAct(
            agreement=AGREEMENT,
            party="W",
            use="directive",
            envelope=world.sign("directive", again, "W", *SIGNERS["suspend"]).encode(),
            at_ms=world.ordered[-1].since_ms - 1,
            origin=world.sites["W"].book.me.log_of(AGREEMENT),
            index=0,
            entry="",
            proof="",
        )
        with pytest.raises(Conflict, match=r"directive\.replayed"):
            await b.orders.take_peer_act(act)
        assert orders_at(world, "B") == ["D1"]

    play(tmp_path, story, checked=False)


def test_assurance_taken_back_counts_for_nothing_when_it_comes_late(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        b, w = world.sites["B"], world.sites["W"]
        await world.condition("B", kinds=("FI",))
        await world.exchange()
        await world.publish("B", "FI", "B-FIU")
        given = await world.assure("W", "B", ("FI",))
        document = await w.store.read(lambda view: view.document(given.digest))
        assert document is not None
        await world.withdraw(given.document)
        world.clock.advance(1000)
        late = await b.orders.import_assurance(document.envelope)
        world.clock.advance(1)
        assert await takes(world, "B") == ()
        assert await came(world) == 0
        assert late.document == given.document

    play(tmp_path, story, checked=False)


def test_withdrawal_ends_its_givers_assurance_and_no_others(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        b, w = world.sites["B"], world.sites["W"]
        await world.condition("B", kinds=("FI",))
        await world.exchange()
        for giver, site in (("W", w), ("K", b)):
            paper = world.sign("assurance", assured(world, giver, "P1"), giver, "head-1")
            await site.orders.import_assurance(paper.encode())
            world.clock.advance(1)
            assert await takes(world, "B") == ()
        await b.orders.import_withdrawal(taken_back(world, "K", "P1"))
        world.clock.advance(1)
        standing = b.book.standing(AGREEMENT, world.now_ms())
        assert [one.assurance.giver for one in standing.promises] == ["W"]
        for name in ("P1", "P2"):
            with pytest.raises(Conflict, match=r"assurance\.unknown"):
                await b.orders.import_withdrawal(taken_back(world, "K", name))
        # Both stand in the record under their one name, and it holds.
        out = tmp_path / "copy"
        await b.store.read(lambda view: write_copy(view, out, b.config, b.book.agreements()))
        assert verify_copy(out).faults == ()

    play(tmp_path, story, checked=False)


def test_node_takes_in_nothing_that_its_own_order_keeps_out(tmp_path: Path) -> None:
    """Also while the partner does not know the order, and would send."""

    async def story(world: World) -> None:
        await world.publish("B", "VI", "B-NAV", 2)
        stop = await world.suspend("W", direction="in", kinds=("VI",))
        report = await world.sites["W"].exchange.sync("B", AGREEMENT)
        assert (report.items, report.receipts_waiting) == (0, 0)
        assert stop.document in report.stopped["b-out"]
        await world.resume("W")
        assert await came(world) == 2
        await world.exchange()

    play(tmp_path, story, checked=False)


# --- later versions of an agreement ---------------------------------------------------------------


def test_old_version_does_not_get_round_what_the_new_one_asks_for(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        b = world.sites["B"]
        await world.condition("B", kinds=("FI",))
        await world.exchange()
        await world.publish("B", "FI", "B-FIU")
        powers: list[Power] = []
        for power in terms_of(world.charters).powers:
            if power.party == "W" and "assure" in power.verbs:
                powers += [
                    replace(power, verbs=("agree", "review")),
                    replace(power, verbs=("assure",), threshold=3),
                ]
            else:
                powers.append(power)
        await b.orders.import_agreement(signed(world, later(world, powers=tuple(powers))))
        world.clock.advance(30 * DAY_MS)
        await world.assure("W", "B", ("FI",))
        assert await takes(world, "B") == ("authority.quorum",)
        assert await came(world) == 0

    play(tmp_path, story, checked=False)


def test_new_version_does_not_give_itself_the_powers_it_needs(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        terms = terms_of(world.charters)
        powers = tuple(
            replace(p, verbs=tuple(v for v in p.verbs if v != "agree")) for p in terms.powers
        )
        powers += tuple(
            Power(party=m.party, verbs=("agree",), offices=("duty",), threshold=1)
            for m in terms.members
        )
        seized = later(world, powers=powers)
        for site in world.sites.values():
            with pytest.raises(NotAuthorised, match=r"agreement\.unsigned"):
                await site.orders.import_agreement(signed(world, seized, "duty-1"))
            # Those who have the power now and those who are to have it: then it counts.
            envelope = decode_envelope(signed(world, seized, "duty-1"))
            for party in world.charters:
                envelope = add_signature(envelope, world.keys[party]["head-1"])
            await site.orders.import_agreement(envelope.encode())
        world.clock.advance(1)
        await world.exchange()

    play(tmp_path, story, checked=False)


def test_version_that_exempts_a_kind_needs_the_power_to_resume(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        b = world.sites["B"]
        await world.suspend("B")
        await world.publish("B", "VI", "B-NAV", 2)
        kinds = tuple(replace(kind, exempt=True) for kind in terms_of(world.charters).kinds)
        opening = later(world, kinds=kinds)
        with pytest.raises(NotAuthorised, match=r"agreement\.unsigned"):
            await b.orders.import_agreement(signed(world, opening))
        assert await came(world) == 0
        envelope = decode_envelope(signed(world, opening))
        for name in ("head-2", "minister-1"):
            envelope = add_signature(envelope, world.keys["B"][name])
        assert (await b.orders.import_agreement(envelope.encode())).state == "in-force"

    play(tmp_path, story, checked=False)


def test_older_version_stands_until_the_term_of_the_newer_begins(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        sites = list(world.sites.values())
        new = signed(world, later(world, from_ms=world.now_ms() + DAY_MS, title="From tomorrow"))
        for site in sites:
            enacted = await site.orders.import_agreement(new)
            assert (enacted.state, enacted.in_force_ms) == ("coming", None)
        world.clock.advance(1000)
        await world.publish("B", "VI", "B-NAV")
        await world.suspend("B")
        await world.advance(2 * DAY_MS)
        assert [one.ask.standing(AGREEMENT).title for one in sites] == ["From tomorrow"] * 2
        assert len(orders_at(world, "B")) == 1
        assert await came(world) == 0
        # The next follows the newest that is known, not the one in force.
        for version in (2, 4):
            terms = replace(terms_of(world.charters), version=version)
            with pytest.raises(Conflict, match=r"agreement\.version"):
                await sites[0].orders.import_agreement(signed(world, terms))
        terms = replace(terms_of(world.charters), version=3)
        assert (await sites[0].orders.import_agreement(signed(world, terms))).state == "in-force"

    play(tmp_path, story, checked=False)


def test_ledger_of_a_party_that_joins_by_the_clock_is_cosigned(tmp_path: Path) -> None:
    """No paper comes at the instant at which the term of the newer version begins."""

    async def story() -> None:
        async with World.open(tmp_path / "world", agreed=False) as world:
            b = world.sites["B"]
            await b.orders.import_agreement(signed(world, without_w(world), "head-1", "B", "K"))
            new = later(world, from_ms=world.now_ms() + DAY_MS)
            origin = world.sites["W"].book.me.log_of(AGREEMENT)
            assert b.witness._known(origin) is None
            await b.orders.import_agreement(signed(world, new))
            b.witness._known(origin)  # somebody asks before that, and the keys are kept
            await world.advance(2 * DAY_MS)
            assert b.witness._known(origin) is not None

    asyncio.run(story())


def test_party_that_has_left_is_told_nothing_and_tells_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        b, w = world.sites["B"], world.sites["W"]
        gone = replace(without_w(world), version=2)
        await b.orders.import_agreement(signed(world, gone, "head-1", "B", "K"))
        await world.advance(DAY_MS)
        await world.suspend("W", kinds=("PE",))
        assert await w.exchange.notify(AGREEMENT) == {"B": "not told: peer.not-member"}
        with pytest.raises(NotAuthorised, match=r"peer\.not-member"):
            await w.exchange.sync("B", AGREEMENT)
        assert orders_at(world, "B") == []

    play(tmp_path, story, checked=False)


def test_agreement_names_the_charters_that_it_stands_on(tmp_path: Path) -> None:
    """Somebody's own charter under W's name is none of those that W's head has signed for."""

    async def story(world: World) -> None:
        terms = terms_of(world.charters)
        other = charter_of_party("W", ("W-CG",), keys_of_party())
        members = tuple(
            replace(one, charter=digest(new_envelope("charter", other, exercise=False).payload))
            if one.party == "W"
            else one
            for one in terms.members
        )
        with pytest.raises(NotAuthorised, match=r"agreement\.charter"):
            await world.sites["B"].orders.import_agreement(
                signed(world, later(world, members=members))
            )

    play(tmp_path, story, checked=False)


# --- what is said and what happens ---------------------------------------------------------------


def test_resumption_speaks_of_all_that_it_ends(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        stop = await world.suspend("B", kinds=("FI", "VI"))
        for kind, unit in (("VI", "B-NAV"), ("FI", "B-FIU")):
            await world.publish("B", kind, unit)
        part = Said(id="R1", issuer="B", verb="resume", kinds=("VI",), supersedes=(stop.document,))
        with pytest.raises(Invalid, match=r"directive\.part"):
            await world.order(part)
        assert await came(world) == 0
        rest = Said(id="D2", issuer="B", verb="suspend", kinds=("FI",), supersedes=(stop.document,))
        await world.order(rest, *SIGNERS["resume"])
        assert await came(world) == 1

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("span", "state"),
    [((DAY_MS, 2 * DAY_MS), "coming"), ((-2 * DAY_MS, -DAY_MS), "recorded"), ((0, 5), "in-force")],
)
def test_assurance_is_said_to_be_in_force_when_it_is(
    tmp_path: Path, span: tuple[int, int], state: str
) -> None:
    async def story(world: World) -> None:
        b = world.sites["B"]
        now = world.now_ms()
        paper = assured(world, "W", "P1", from_ms=now + span[0], until_ms=now + span[1])
        enacted: Enacted = await b.orders.import_assurance(
            world.sign("assurance", paper, "W", "head-1").encode()
        )
        assert (enacted.state, enacted.in_force_ms is None) == (state, state != "in-force")
        # It can be taken back before it has begun.
        await b.orders.import_withdrawal(taken_back(world, "W", "P1"))
        await world.advance(DAY_MS + 1)
        assert b.book.standing(AGREEMENT, world.now_ms()).promises == ()

    play(tmp_path, story, checked=False)


def test_agreement_that_fails_keeps_the_clock_from_no_other(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        b = world.sites["B"]
        await world.publish("B", "VI", "B-NAV")
        await world.suspend("B", lasts_ms=1000)
        barrier = b.orders._barrier
        tick = barrier._tick
        errors = {
            "A": Unavailable("store.full", "Expected room on the disk, got none."),
            "A0": Broken("feed.cover", "Expected a sound feed, got another."),
        }

        async def fails(agreement: str) -> bool:
            if agreement in errors:
                raise errors[agreement]
            return await tick(agreement)

        b.book._acts |= {"A": [], "A0": []}
        barrier._tick = fails  # type: ignore[method-assign]  # two of three agreements fail
        world.clock.advance(5000)
        with pytest.raises(Broken):  # of the two the one that must shut the gate
            await b.orders.tick()
        assert not b.gate.overdue(AGREEMENT)
        assert await came(world) == 1

    play(tmp_path, story, checked=False)


def test_new_address_of_a_partner_keeps_what_was_heard_meanwhile(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        b, w = world.sites["B"], world.sites["W"]
        write, done = b.store.write, []

        async def between(work: object) -> object:
            if not done:  # before the address is written, the partner asks
                done.append(True)
                await w.exchange.sync("B", AGREEMENT)
            return await write(work)  # type: ignore[arg-type]  # as it came

        before = (await b.exchange.peers())[0].state
        b.store.write = between  # type: ignore[method-assign,assignment]  # for one write
        await b.exchange.add_peer("W", AGREEMENT, "sim://W")
        b.store.write = write  # type: ignore[method-assign]  # and from then on as before
        assert (await b.exchange.peers())[0].state != before

    play(tmp_path, story)
