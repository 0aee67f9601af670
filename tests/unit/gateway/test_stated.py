"""What a publication and an object say of themselves, and what is demanded of them at the door."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from detente.errors import Conflict, DetenteError, Invalid, NotAuthorised
from detente.gateway import enter as enter_module
from detente.gateway.batch import AHEAD_MS_MAX
from detente.gateway.deliver import Nothing
from detente.gateway.review import Verdict
from detente.model import decode
from detente.rules.answers import Answered
from detente.rules.demands import flag_of
from detente.rules.times import time_text
from detente.testing import World
from detente.testing.parts import AGREEMENT, BEGIN_MS, HOUR_MS, READER, TEMPLATE
from detente.wire.stated import STATED
from tests.unit.gateway.demanding import (
    FAILING,
    KEY,
    PASSING,
    acts,
    agreed,
    codes,
    demanding,
    entries,
    kinds,
    line,
    own,
    publish,
    size,
    thing,
)
from tests.unit.gateway.kit import Between, asking, page_of, parts_of

MODIFIED_MS = BEGIN_MS - HOUR_MS


# --- what is said, and by whom ------------------------------------------------------------------


def test_what_a_publication_says_holds_for_all_and_an_objects_own_word_wins(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        said = own(
            nature="assessment",
            evidence=["case 12"],
            originator="K",
            grades=["4x4:A1"],
            court=False,
        )
        plain, other = thing("infrastructure", 1), thing("infrastructure", 2, extensions=said)
        await publish(world, plain, other, nature="fact", court=True)
        first, second = await line(world, plain["id"]), await line(world, other["id"])
        assert (first.flags, first.originator, first.grade) == (
            ("court", "fact"),
            "B",
            "admiralty:B2",
        )
        assert (second.flags, second.originator, second.grade) == (
            ("assessment", "evidence"),
            "K",
            "4x4:A1",
        )

    demanding(tmp_path, story, kinds=kinds())


def test_consent_to_use_in_court_is_implied_by_nothing_else(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        said = own(
            evidence=["exhibit 1"], nature="fact", legal_basis="Art. 3", purpose="interdiction"
        )
        vessel = thing("infrastructure", 1, extensions=said)
        await publish(world, vessel, evidence=("exhibit 2",), legal_basis="Court order 9")
        assert "court" not in (await line(world, vessel["id"])).flags
        asked = thing("infrastructure", 2, extensions=own(court=True))
        await publish(world, asked)
        assert (await line(world, asked["id"])).flags == ("court",)

    demanding(tmp_path, story, kinds=kinds())


def test_what_was_said_of_all_is_committed_to_before_they_are_published(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, thing("infrastructure", 1), evidence=("exhibit 2",), court=True)
        await publish(world, thing("infrastructure", 2))
        assert await acts(world) == ["said", "publish", "publish"]
        site = world.sites["B"]
        log = site.book.me.log_of(AGREEMENT)
        found = [n for n, one in enumerate(await entries(world)) if one.act == "said"]
        raw = await site.store.read(lambda view: view.entry(log, found[0]))
        assert b"exhibit" not in raw
        opening = await site.store.read(lambda view: view.opening(log, found[0]))
        assert opening is not None
        assert b"exhibit 2" in opening.payload

    demanding(tmp_path, story, kinds=kinds())


def test_a_purpose_that_only_objects_state_is_enough_for_these(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        states = thing("infrastructure", 1, extensions=own(purpose="interdiction"))
        silent = thing("infrastructure", 2)
        done = await publish(world, states, silent, purpose=None, partial=True)
        assert [(one.id, one.code) for one in done.refused] == [(silent["id"], "publish.purpose")]
        assert done.ids == (states["id"],)
        before = await size(world)
        with pytest.raises(Invalid) as found:
            await publish(world, thing("infrastructure", 3), purpose=None, partial=True)
        assert (found.value.code, await size(world)) == ("publish.purpose", before)

    demanding(tmp_path, story, kinds=kinds())


@pytest.mark.parametrize(
    ("said", "path", "code"),
    [
        ("no table", "", "publish.stated"),
        (None, "", "publish.stated"),
        ([], "", "publish.stated"),
        ({}, "", "publish.stated"),
        ({"extension_type": "new-sdo"}, ".extension_type", "publish.stated"),
        ({"nature": "rumour"}, ".nature", "publish.stated"),
        ({"nature": None}, ".nature", "publish.stated"),
        ({"court": "yes"}, ".court", "publish.stated"),
        ({"court": None}, ".court", "publish.stated"),
        ({"court": 1}, ".court", "publish.stated"),
        ({"purposes": ["interdiction"]}, "", "publish.stated"),
        ({"purpose": ""}, ".purpose", "publish.stated"),
        ({"purpose": "war"}, ".purpose", "publish.purpose"),
        ({"grades": "admiralty:A1"}, ".grades", "publish.stated"),
        ({"grades": ["admiralty:A1", "admiralty:B2"]}, ".grades", "publish.stated"),
        ({"grades": ["admiralty:A1", "admiralty@2:B2"]}, ".grades", "publish.stated"),
        ({"grades": ["admiralty:Z9"]}, ".grades", "publish.grade"),
        ({"grades": ["good"]}, ".grades", "publish.grade"),
        ({"grades": [f"s{n}:1" for n in range(9)]}, ".grades", "publish.stated"),
        ({"evidence": "one"}, ".evidence", "publish.stated"),
        ({"evidence": [""]}, ".evidence[0]", "publish.stated"),
        ({"evidence": ["x" * 1001]}, ".evidence[0]", "publish.stated"),
        ({"evidence": ["x"] * 101}, ".evidence", "publish.stated"),
        ({"observed": "yesterday"}, ".observed", "publish.stated"),
        ({"observed": "2026-02-30T00:00:00Z"}, ".observed", "publish.stated"),
        ({"observed": 5}, ".observed", "publish.stated"),
        ({"originator": "nobody at all"}, ".originator", "publish.stated"),
        ({"legal_basis": "x" * 2001}, ".legal_basis", "publish.stated"),
    ],
)
def test_an_extension_that_is_not_as_it_should_be_refuses_that_object_with_its_path(
    tmp_path: Path, said: object, path: str, code: str
) -> None:
    async def story(world: World) -> None:
        whole = said
        if isinstance(said, dict) and said:
            whole = {"extension_type": "property-extension", **said}
        bad = thing("infrastructure", 1, extensions={STATED: whole})
        good = thing("infrastructure", 2)
        before = await size(world)
        with pytest.raises(Invalid) as found:
            await publish(world, bad, good)
        assert (found.value.code, await size(world)) == ("publish.refused", before)
        done = await publish(world, bad, good, partial=True)
        assert [(one.id, one.code) for one in done.refused] == [(bad["id"], code)]
        assert done.refused[0].path == f"$.extensions.{STATED}{path}"
        assert done.ids == (good["id"],)

    demanding(tmp_path, story, kinds=kinds())


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"evidence": ("x",) * 101}, "publish.said"),
        ({"evidence": ("x" * 1001,)}, "publish.said"),
        ({"evidence": (" ",)}, "publish.said"),
        ({"legal_basis": "x" * 2001}, "publish.said"),
        ({"originator": "two words"}, "publish.originator"),
        ({"grade": "admiralty:Z9"}, "publish.grade"),
        ({"grade": "good"}, "publish.grade"),
        ({"purpose": "war"}, "publish.purpose"),
        ({"answers": {"XX": {}}}, "test.unknown"),
        ({"answers": {"EL": {"penalty": "no"}}}, "test.unanswered"),
        ({"answers": {"EL": {"penalty": "no", "why": "  "}}}, "test.unanswered"),
        ({"answers": {"EL": {**PASSING["EL"], "more": "x"}}}, "test.question"),
        ({"answers": {"EL": {**PASSING["EL"], "penalty": "perhaps"}}}, "test.choice"),
        ({"answers": {"EL": {**PASSING["EL"], "why": "x" * 4001}}}, "test.length"),
    ],
)
def test_what_a_publication_may_not_say_refuses_it_whole(
    tmp_path: Path, fields: dict[str, object], code: str
) -> None:
    async def story(world: World) -> None:
        before = await size(world)
        with pytest.raises(Invalid) as found:
            await publish(world, thing("infrastructure", 1), partial=True, **fields)
        assert (found.value.code, await size(world)) == (code, before)

    demanding(tmp_path, story, kinds=kinds())


# --- grades -------------------------------------------------------------------------------------


def test_of_several_grades_the_one_in_the_scheme_of_the_minimum_counts_and_none_is_converted(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        both = thing("infrastructure", 1, extensions=own(grades=["admiralty:A1", "4x4:X4"]))
        low = thing("infrastructure", 2, extensions=own(grades=["admiralty:A1", "4x4:C1"]))
        other = thing("infrastructure", 3, extensions=own(grades=["admiralty:A1"]))
        good = thing("infrastructure", 4, extensions=own(grades=["admiralty:E5", "4x4:A1"]))
        await publish(world, both, low, other, good)
        assert (await line(world, both["id"])).grade == "4x4:X4"
        assert await codes(world, both["id"]) == {"grade.not-comparable"}
        assert await codes(world, low["id"]) == {"grade.below"}
        assert await codes(world, other["id"]) == {"grade.not-comparable"}
        assert await codes(world, good["id"]) == {"agreement"}

    demanding(tmp_path, story, kinds=kinds(VI={"grade_least": "4x4:B2"}))


def test_a_grade_in_a_scheme_that_does_not_count_is_refused_with_its_code(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        mixed = thing("infrastructure", 1, extensions=own(grades=["admiralty:A1", "4x4:B2"]))
        alone = thing("infrastructure", 2, extensions=own(grades=["admiralty:A1"]))
        done = await publish(world, mixed, alone, grade="4x4:A1", partial=True)
        assert [one.code for one in done.refused] == ["publish.grade-scheme"]
        assert (await line(world, mixed["id"])).grade == "4x4:B2"
        with pytest.raises(Invalid) as found:
            await publish(world, thing("infrastructure", 3), grade="admiralty:A1")
        assert found.value.code == "publish.grade-scheme"

    demanding(tmp_path, story, kinds=kinds(), grades=("4x4",))


C3 = [
    'admiralty-scale:source-reliability="c"',
    'admiralty-scale:information-credibility="3"',
]


@pytest.mark.parametrize(
    ("labels", "said", "grade"),
    [
        (C3, {}, "admiralty:C3"),
        (C3, own(grades=["4x4:A1"]), "4x4:A1"),
        (["vessel"], {}, "admiralty:B2"),
    ],
)
def test_a_grade_among_an_objects_labels_is_its_own_word(
    tmp_path: Path, labels: list[str], said: dict[str, object], grade: str
) -> None:
    async def story(world: World) -> None:
        vessel = thing("infrastructure", 1, labels=labels, **({"extensions": said} if said else {}))
        await publish(world, vessel)
        assert (await line(world, vessel["id"])).grade == grade

    demanding(tmp_path, story, kinds=kinds())


def test_an_object_that_is_labelled_with_two_grades_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        labels = [f'admiralty-scale:source-reliability="{one}"' for one in "bc"]
        labels.append('admiralty-scale:information-credibility="3"')
        done = await publish(world, thing("infrastructure", 1, labels=labels), partial=True)
        assert [one.code for one in done.refused] == ["publish.grade"]

    demanding(tmp_path, story, kinds=kinds())


# --- evidence, nature, freshness ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, False),
        ({"external_references": [{"source_name": "s", "description": "somewhere"}]}, False),
        ({"external_references": [{"source_name": "s", "url": "https://e.example/1"}]}, True),
        ({"external_references": [{"source_name": "s", "external_id": "case 3"}]}, True),
        ({"extensions": own(evidence=["exhibit 1"])}, True),
        ({"extensions": own()}, False),
    ],
)
def test_evidence_counts_where_the_object_or_stix_itself_names_it(
    tmp_path: Path, fields: dict[str, object], named: bool
) -> None:
    async def story(world: World) -> None:
        vessel = thing("infrastructure", 1, **fields)
        await publish(world, vessel)
        found = await line(world, vessel["id"])
        assert ("evidence" in found.flags, found.state) == (named, "queued" if named else "held")
        assert await codes(world, vessel["id"]) == {"agreement" if named else "evidence.missing"}

    demanding(tmp_path, story, kinds=kinds(VI={"evidence": True}))


def test_observed_data_behind_a_sighting_is_evidence(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        bare = thing("sighting", 1, sighting_of_ref=thing("infrastructure", 1)["id"])
        rests = thing(
            "sighting",
            2,
            sighting_of_ref=thing("infrastructure", 1)["id"],
            observed_data_refs=["observed-data--" + "0" * 8 + "-0000-4000-8000-" + "0" * 12],
        )
        await publish(world, bare, rests)
        assert "evidence" not in (await line(world, bare["id"])).flags
        assert "evidence" in (await line(world, rests["id"])).flags

    demanding(tmp_path, story, kinds=kinds(VI={"evidence": True}))


def test_whether_it_is_fact_or_assessment_has_to_be_said_where_it_is_demanded(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        silent, said = thing("infrastructure", 1), thing("infrastructure", 2)
        await publish(world, silent)
        await publish(world, said, nature="assessment")
        assert await codes(world, silent["id"]) == {"nature.missing"}
        assert await codes(world, said["id"]) == {"agreement"}

    demanding(tmp_path, story, kinds=kinds(VI={"nature": True}))


def time(ms: int) -> str:
    return time_text(MODIFIED_MS + ms)


#: The world begins an hour after the last change of what is published; two hours count as fresh.
FRESHNESS: list[tuple[dict[str, object], int | None, bool]] = [
    ({}, None, True),
    ({"last_seen": time(-HOUR_MS)}, None, True),
    ({"last_seen": time(-HOUR_MS - 10)}, None, False),
    ({"first_seen": time(-2 * HOUR_MS)}, None, False),
    ({"first_seen": time(-2 * HOUR_MS), "last_seen": time(0)}, None, True),
    # The publication's word counts before what STIX says, the object's own before both.
    ({"last_seen": time(0)}, MODIFIED_MS - 2 * HOUR_MS, False),
    ({"last_seen": time(-9 * HOUR_MS)}, MODIFIED_MS, True),
    ({"extensions": own(observed=time(0)), "last_seen": time(-9 * HOUR_MS)}, 0, True),
    ({"extensions": own(observed=time(-9 * HOUR_MS))}, MODIFIED_MS, False),
    # What is said to come is not believed.
    ({"last_seen": time(HOUR_MS + AHEAD_MS_MAX - 1000)}, None, True),
    ({"last_seen": time(HOUR_MS + AHEAD_MS_MAX + 1000)}, None, False),
]


@pytest.mark.parametrize(("fields", "observed_ms", "fresh"), FRESHNESS)
def test_what_was_seen_too_long_ago_waits_for_review(
    tmp_path: Path, fields: dict[str, object], observed_ms: int | None, fresh: bool
) -> None:
    async def story(world: World) -> None:
        vessel = thing("infrastructure", 1, **fields)
        await publish(world, vessel, observed_ms=observed_ms)
        found = await line(world, vessel["id"])
        assert (("stale" in found.flags), found.state) == (
            not fresh,
            "queued" if fresh else "under review",
        )

    # The acts of opening take some milliseconds of the world's clock.
    demanding(tmp_path, story, kinds=kinds(VI={"fresh_within_ms": 2 * HOUR_MS + 5}))


def test_nothing_is_looked_for_where_nothing_is_demanded(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        objects = [
            thing(
                "infrastructure",
                n,
                last_seen=time(-n * HOUR_MS),
                external_references=[{"source_name": "s", "url": f"https://e.example/{n}"}],
            )
            for n in range(20)
        ]
        await publish(world, *objects)
        found = await world.sites["B"].store.read(lambda view: view.handlings(KEY))
        assert len(found) == 1

    demanding(tmp_path, story, kinds=kinds())


# --- tests before release -----------------------------------------------------------------------


def test_items_wait_until_their_test_is_answered_and_no_later_answer_attaches(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        person = thing("identity", 1)
        done = await publish(world, person)
        assert done.outcomes[READER] == {"moderate": 1}
        assert await codes(world, person["id"]) == {"test.missing"}
        before = await size(world)
        again = await publish(world, person, answers=PASSING)
        assert (again.taken, again.known, again.tests) == (0, 1, {})
        assert await size(world) == before
        assert (await line(world, person["id"])).state == "under review"

    demanding(tmp_path, story, kinds=kinds(PE={"tests": ("EL",)}))


def test_a_passed_test_is_recorded_before_its_items_are_published(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        person, vessel = thing("identity", 1), thing("infrastructure", 1)
        done = await publish(world, person, vessel, answers=PASSING)
        assert done.tests == {"EL": "passed"}
        assert (await line(world, person["id"])).flags == (flag_of(agreed(world), "tested", "EL"),)
        assert (await line(world, person["id"])).state == "queued"
        # What no kind of it asks for does not make its handling another one.
        assert (await line(world, vessel["id"])).flags == ()
        assert await acts(world) == ["test", "publish"]
        one = next(entry for entry in await entries(world) if entry.act == "test")
        published = next(entry for entry in await entries(world) if entry.act == "publish")
        assert (one.ref, one.outcome, one.first, one.count) == ("EL", "passed", done.first, 2)
        assert (published.first, published.count) == (one.first, one.count)

    demanding(tmp_path, story, kinds=kinds(PE={"tests": ("EL",)}))


def test_answers_are_kept_beside_the_ledger_which_has_a_salted_commitment(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await publish(world, thing("identity", 1), answers=PASSING)
        site = world.sites["B"]
        log = site.book.me.log_of(AGREEMENT)
        at = next(n for n, one in enumerate(await entries(world)) if one.act == "test")
        raw, kept = await site.store.read(lambda view: (view.entry(log, at), view.opening(log, at)))
        assert b"find the vessel" not in raw
        assert kept is not None
        assert decode(kept.payload, Answered).answers == PASSING["EL"]

    demanding(tmp_path, story, kinds=kinds(PE={"tests": ("EL",)}))


def test_a_failed_test_is_recorded_and_opens_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        person = thing("identity", 1)
        done = await publish(world, person, answers=FAILING)
        assert done.tests == {"EL": "failed"}
        assert await codes(world, person["id"]) == {"test.missing"}
        assert [one.outcome for one in await entries(world) if one.act == "test"] == ["failed"]

    demanding(tmp_path, story, kinds=kinds(PE={"tests": ("EL",)}))


def test_review_of_what_was_not_tested_brings_the_answers_and_they_are_recorded_first(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        person = thing("identity", 1)
        await publish(world, person)
        review = world.sites["B"].review
        before = await size(world)
        for answers in ({}, FAILING):
            with pytest.raises(Conflict) as found:
                await review.decide(AGREEMENT, release(person, answers=answers))
            assert (found.value.code, await size(world)) == ("review.test", before)
        world.clock.advance(1)
        await review.decide(AGREEMENT, release(person, answers=PASSING))
        assert (await acts(world))[-2:] == ["test", "review"]
        assert (await line(world, person["id"])).state == "queued"
        assert (await line(world, person["id"], "W")).state == "under review"
        assert await world.read() == (person["id"],)

    demanding(tmp_path, story, kinds=kinds(PE={"tests": ("EL",)}))


def release(one: dict[str, object], **fields: object) -> Verdict:
    return Verdict(item=str(one["id"]), party=READER, verdict="release", by="head", **fields)  # type: ignore[arg-type]  # fields by name


def test_review_releases_what_waits_for_an_eye_and_nothing_that_lacks_what_is_demanded(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        person, vessel = thing("identity", 1), thing("infrastructure", 1)
        await publish(world, person, vessel)
        review = world.sites["B"].review
        with pytest.raises(Conflict) as found:
            await review.decide(AGREEMENT, release(vessel))
        assert found.value.code == "review.stopped"
        assert "evidence" in found.value.sentence
        await review.decide(AGREEMENT, release(person))
        assert await world.read() == (person["id"],)

    demanding(tmp_path, story, kinds=kinds(PE={"moderated": True}, VI={"evidence": True}))


def test_review_cannot_pass_a_stop_on_what_is_moderated(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        person = thing("identity", 1)
        await publish(world, person)
        await world.suspend("B", kinds=("PE",))
        with pytest.raises(Conflict) as found:
            await world.sites["B"].review.decide(AGREEMENT, release(person))
        assert found.value.code == "review.stopped"
        assert await world.read() == ()

    demanding(tmp_path, story, kinds=kinds(PE={"moderated": True}))


def test_a_derived_item_of_which_nobody_knows_the_author_is_released_by_nobody(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        report = thing("infrastructure", 1)
        await publish(world, report, flags=("derived",))
        with pytest.raises(NotAuthorised) as found:
            await world.sites["B"].review.decide(AGREEMENT, release(report))
        assert found.value.code == "review.second-person"
        assert (await line(world, report["id"])).state == "under review"

    demanding(tmp_path, story, kinds=kinds())


def test_a_feed_that_waits_for_what_the_agreement_asks_of_its_reader_says_so(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        await publish(world, thing("infrastructure", 1))
        found = await world.sites["B"].delivery.look(asking(party="W"))
        assert isinstance(found, Nothing)
        assert found.stopped is not None
        assert found.stopped.code == "feed.awaiting-assurance"
        assert "VI" in found.stopped.words
        await world.assure("W", "B", ("VI",))
        await world.exchange()
        found = await world.sites["B"].delivery.look(asking(party="W", after_us=2**52))
        assert isinstance(found, Nothing)
        assert found.stopped is None
        later = await publish(world, thing("infrastructure", 2))
        assert later.outcomes["W"] == {"release": 1}

    demanding(tmp_path, story, kinds=kinds(VI={"assurances": (TEMPLATE,)}))


@pytest.mark.parametrize("said", [{}, {"purpose": "nope"}, {"kind": "ZZ"}])
def test_what_the_agreement_rules_out_does_not_pass_a_stop_of_receiving(
    tmp_path: Path, said: dict[str, str]
) -> None:
    async def story(world: World) -> None:
        await publish(world, thing("infrastructure", 1))
        between, bodies = Between(world, "page"), []

        def keep(body: bytes) -> bytes:
            bodies.append(body)
            return b"{}"

        between.change = keep
        await world.sites["W"].exchange.sync("B", AGREEMENT, limit=10)
        await world.suspend("W", direction="in")

        def stale(_: bytes) -> bytes:
            sheet, objects = parts_of(bodies[0])
            changed = tuple(replace(one, **said) for one in sheet.handlings)
            return page_of(world, replace(sheet, handlings=changed), objects)

        # An answer that B had ready before it heard of the order.
        between.change = stale
        done = await world.sites["W"].exchange.sync("B", AGREEMENT, limit=10)
        assert done.items == 0
        assert await world.sites["W"].store.read(lambda view: view.collection(KEY).end) == 0

    demanding(tmp_path, story, kinds=kinds())


# --- one transaction ----------------------------------------------------------------------------


def test_acts_and_items_are_written_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: World) -> None:
        before = await size(world)

        def fail(*_: object) -> bytes:
            raise Conflict("test.crash", "The node dies here.")

        person = thing("identity", 1)
        with monkeypatch.context() as patched:
            # After the items and the tests, before the entry that publishes.
            patched.setattr(enter_module, "_ran", fail)
            with pytest.raises(DetenteError):
                await publish(world, person, answers=PASSING, court=True)
        assert await size(world) == before
        await world.crash("B")
        assert ((await size(world))[0], await acts(world)) == (0, [])
        done = await publish(world, person, answers=PASSING, court=True)
        assert (done.taken, await acts(world)) == (1, ["said", "test", "publish"])

    demanding(tmp_path, story, kinds=kinds(PE={"tests": ("EL",)}))
