"""What lies around a publication: how much came at once, and what objects refer to."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from detente.errors import Invalid
from detente.gateway import intake, surround
from detente.gateway.derive import DeriveAsk
from detente.gateway.recall import RecallAsk, Recalls
from detente.gateway.review import Verdict
from detente.gateway.surround import REFERRED_MAX
from detente.model import Handling, Minimisation, Referred, Step, decode
from detente.rules.demands import flag_of
from detente.testing import World
from detente.testing.parts import AGREEMENT, READER
from tests.unit.gateway.demanding import (
    KEY,
    acts,
    agreed,
    codes,
    demanding,
    entries,
    kinds,
    line,
    name,
    own,
    publication,
    publish,
    size,
    thing,
)

RED = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"


# --- bulk ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "over"), [(5, False), (6, True)])
def test_more_of_a_kind_than_one_publication_may_bring_waits_for_review_each(
    tmp_path: Path, count: int, over: bool
) -> None:
    async def story(world: World) -> None:
        persons = [thing("identity", n) for n in range(count)]
        done = await publish(world, *persons, thing("infrastructure", 1))
        expected = {"moderate": count, "release": 1} if over else {"release": count + 1}
        assert (done.outcomes[READER], done.bulk) == (expected, {"PE": count} if over else {})
        found = await line(world, persons[0]["id"])
        assert (found.flags, found.state) == (
            (("bulk",), "under review") if over else ((), "queued")
        )

    demanding(tmp_path, story, kinds=kinds(PE={"bulk_max": 5}))


def test_a_publication_cut_into_parts_does_not_pass_as_parts(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        outcomes = [
            (await publish(world, *[thing("identity", 10 * part + n) for n in range(3)])).outcomes[
                READER
            ]
            for part in range(3)
        ]
        assert outcomes == [{"release": 3}, {"moderate": 3}, {"moderate": 3}]
        # A minute later it counts anew: that is the limit of it, and it is documented.
        world.clock.advance(60_001)
        done = await publish(world, *[thing("identity", 100 + n) for n in range(3)])
        assert done.outcomes[READER] == {"release": 3}

    demanding(tmp_path, story, kinds=kinds(PE={"bulk_max": 5}))


def test_parts_that_come_at_the_same_time_do_not_pass_either(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        parts = [
            publication([thing("identity", 10 * part + n) for n in range(3)], partial=True)
            for part in range(4)
        ]
        done = await asyncio.gather(*(world.sites["B"].intake.publish(one) for one in parts))
        assert sum(one.outcomes[READER].get("release", 0) for one in done) == 3

    demanding(tmp_path, story, kinds=kinds(PE={"bulk_max": 5}))


def sheet(count: int) -> bytes:
    """The publication that was meant to have about 150 persons, and has more in it."""
    return json.dumps({"objects": [thing("identity", n) for n in range(count)]}).encode()


SHEET = sheet(18_714)


def test_a_sheet_of_18714_persons_where_150_were_meant_is_refused_by_the_number_expected(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        site = world.sites["B"]
        site.intake._limits = site.intake._limits.__class__(objects_max=20_000)
        before = await size(world)
        with pytest.raises(Invalid) as found:
            await publish(world, body=SHEET, expect=150)
        assert (found.value.code, await size(world)) == ("publish.count", before)
        assert "18714" in found.value.sentence

    demanding(tmp_path, story, kinds=kinds())


def test_a_sheet_of_18714_persons_is_counted_in_the_preview_and_waits_if_published(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        site = world.sites["B"]
        site.intake._limits = site.intake._limits.__class__(objects_max=20_000)
        before = await size(world)
        told = await site.intake.preview(publication((), body=SHEET))
        assert (told.objects, told.persons, told.bulk) == (18_714, 18_714, {"PE": 18_714})
        assert told.to[READER].outcomes == {"moderate": 18_714}
        assert await size(world) == before
        done = await publish(world, body=SHEET)
        assert done.outcomes[READER] == {"moderate": 18_714}
        assert await world.read() == ()

    demanding(tmp_path, story, kinds=kinds(PE={"bulk_max": 150}))


def test_the_number_expected_counts_what_is_refused_as_well(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        objects = [thing("infrastructure", 1), {"type": "nothing"}]
        done = await publish(world, *objects, expect=2, partial=True)
        assert done.taken == 1
        with pytest.raises(Invalid) as found:
            await publish(world, *objects, expect=1, partial=True)
        assert found.value.code == "publish.count"

    demanding(tmp_path, story, kinds=kinds())


# --- preview ------------------------------------------------------------------------------------


def test_a_preview_tells_what_does_not_meet_the_eye_and_what_each_reader_would_get(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        strange = "extension-definition--00000000-0000-4000-8000-000000000009"
        vessel = thing(
            "infrastructure",
            1,
            x_crew=[{"x_name": "somebody", "type": "identity", "id": name("identity", 7)}],
            crew_list="A" * 400,
            picture="data:image/png;base64,QUJD",
            extensions={strange: {"extension_type": "property-extension"}, **own(nature="fact")},
            created_by_ref=name("identity", 5),
        )
        red = thing("infrastructure", 2, object_marking_refs=[RED])
        person, ship_owner = (
            thing("identity", 1),
            thing("identity", 2, identity_class="organization"),
        )
        bad = {"type": "identity", "id": "no id"}
        told = await world.sites["B"].intake.preview(
            publication([vessel, red, person, ship_owner, bad])
        )
        assert (told.objects, told.acceptable, told.persons) == (5, 4, 2)
        assert told.by_kind == {"VI": 2, "PE": 2}
        assert told.by_marking == {"unmarked": 3, "tlp:red": 1}
        assert told.hidden.properties == {"crew_list": 1, "picture": 1, "x_crew": 1, "x_name": 1}
        assert told.hidden.extensions == {strange: 1}
        assert (told.hidden.payloads, told.hidden.payload_bytes) == (2, 303)
        assert (told.hidden.payload_bytes_max, told.hidden.embedded) == (300, 1)
        assert (told.outside, told.outside_ids) == (1, (name("identity", 5),))
        assert told.to[READER].outcomes == {"release": 1, "hold": 1, "moderate": 2}
        assert {words.partition(":")[0] for words in told.to[READER].reasons} == {
            "agreement", "marking.above-limit", "moderated",
        }  # fmt: skip
        assert [one.index for one in told.refused] == [4]

    demanding(tmp_path, story, kinds=kinds(PE={"moderated": True, "persons": True}))


# --- minimisation -------------------------------------------------------------------------------


def test_minimisations_run_before_anything_is_entered_and_that_is_on_record(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        person = thing("identity", 1, contact_information="0000 000")
        done = await publish(world, person, thing("infrastructure", 1))
        assert (await line(world, person["id"])).flags == (
            flag_of(agreed(world), "minimised", "MN"),
        )
        assert await acts(world) == ["minimise", "publish"]
        one = next(entry for entry in await entries(world) if entry.act == "minimise")
        assert (one.ref, one.count, one.first) == ("MN", 1, done.first)
        assert len(await world.read()) == 2
        assert all(b"0000 000" not in raw for raw in world.got)
        # What is published again is minimised again, and known.
        again = await publish(world, person)
        assert (again.taken, again.known) == (0, 1)

    demanding(tmp_path, story, kinds=kinds(PE={"minimise": ("MN",)}))


def test_a_minimised_object_stays_marked_as_it_came(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        part = {"marking_ref": RED, "selectors": ["contact_information"]}
        person = thing("identity", 1, contact_information="0000 000", granular_markings=[part])
        done = await publish(world, person)
        assert done.taken == 1
        assert await codes(world, person["id"]) == {"marking.above-limit"}

    demanding(tmp_path, story, kinds=kinds(PE={"minimise": ("MN",)}))


@pytest.mark.parametrize(("label", "stays"), [("vessel", True), ("tlp:amber", False)])
def test_no_minimisation_takes_a_label_that_is_a_marking(
    tmp_path: Path, label: str, stays: bool
) -> None:
    async def story(world: World) -> None:
        vessel = thing("infrastructure", 1, labels=[label])
        done = await publish(world, vessel, partial=True)
        assert (done.taken, [one.code for one in done.refused]) == (
            (1, []) if stays else (0, ["publish.minimised"])
        )

    bare = Minimisation(id="MN", title="", steps=(Step(do="remove", path="labels"),))
    demanding(tmp_path, story, kinds=kinds(VI={"minimise": ("MN",)}), minimisations=(bare,))


def test_what_comes_without_its_minimisation_is_held(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        person = thing("identity", 1, contact_information="0000 000")
        await publish(world, person)
        assert await codes(world, person["id"]) == {"minimisation.not-run"}
        assert await world.read() == ()

    # The agreement names one that it does not have, so none can run.
    demanding(tmp_path, story, kinds=kinds(PE={"minimise": ("XX",)}))


def test_what_is_no_object_any_more_once_minimised_is_refused(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        person = thing("identity", 1)
        before = await size(world)
        done = await publish(world, person, partial=True)
        assert ([one.id for one in done.refused], await size(world)) == ([person["id"]], before)

    bare = Minimisation(id="MN", title="", steps=(Step(do="remove", path="name"),))
    demanding(tmp_path, story, kinds=kinds(PE={"minimise": ("MN",)}), minimisations=(bare,))


def test_what_a_minimisation_leaves_is_no_less_valid_than_what_came(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        vessel = thing("infrastructure", 1, first_seen="2025-12-31T23:00:00.000Z")
        done = await publish(world, vessel, thing("infrastructure", 2), partial=True)
        assert [(one.id, one.code) for one in done.refused] == [(vessel["id"], "publish.minimised")]

    step = Step(do="replace", path="first_seen", text="some day")
    bare = Minimisation(id="MN", title="", steps=(step,))
    demanding(tmp_path, story, kinds=kinds(VI={"minimise": ("MN",)}), minimisations=(bare,))


def test_evidence_that_a_minimisation_took_out_is_not_named(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        seen = [{"source_name": "case", "url": "https://x/1"}]
        person = thing("identity", 1, external_references=seen)
        await publish(world, person)
        assert "evidence" not in (await line(world, person["id"])).flags

    bare = Minimisation(id="MN", title="", steps=(Step(do="remove", path="external_references"),))
    demanding(
        tmp_path,
        story,
        kinds=kinds(PE={"minimise": ("MN",), "evidence": True}),
        minimisations=(bare,),
    )


# --- references that hold -----------------------------------------------------------------------


def about(*ids: object, n: int = 1) -> dict[str, object]:
    return thing("report", n, object_refs=list(ids))


def test_nothing_that_a_report_refers_to_slips_along(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        vessel, person = thing("infrastructure", 1), thing("identity", 1)
        red = thing("infrastructure", 2, object_marking_refs=[RED])
        open_, closed = about(vessel["id"]), about(vessel["id"], red["id"], n=2)
        deep = thing("report", 3, created_by_ref=person["id"], object_refs=[vessel["id"]])
        await publish(world, open_, closed, deep, vessel, red, person)
        assert await codes(world, open_["id"]) == {"agreement"}
        assert await codes(world, closed["id"]) == {"reference.held"}
        assert await codes(world, deep["id"]) == {"reference.held"}
        assert set(await world.read()) == {open_["id"], vessel["id"]}

    demanding(tmp_path, story, kinds=kinds(RE={"references": "hold"}, PE={"evidence": True}))


def test_a_partner_is_not_told_what_an_item_refers_to(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        person, report = thing("identity", 1), thing("report", 2)
        report["object_refs"] = [person["id"]]
        await publish(world, person, report)
        kept = await world.sites["B"].store.read(lambda view: view.handlings(KEY))
        assert any(decode(one, Handling).refers for one in kept.values())
        await world.exchange()
        site = world.sites["W"]
        came = await site.store.read(lambda view: view.handlings(KEY))
        assert {decode(one, Handling).stix_type for one in came.values()} == {"identity", "report"}
        assert not any(decode(one, Handling).refers for one in came.values())

    demanding(tmp_path, story, kinds=kinds(RE={"references": "hold"}))


def test_what_was_published_before_counts_as_it_stands_there(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        red = thing("infrastructure", 2, object_marking_refs=[RED])
        vessel = thing("infrastructure", 1)
        await publish(world, red, vessel)
        ends = {"source_ref": vessel["id"], "target_ref": red["id"]}
        tie = thing("relationship", 1, **ends)
        await publish(world, tie, about(vessel["id"]))
        assert await codes(world, tie["id"]) == {"reference.held"}
        assert await codes(world, about()["id"]) == {"agreement"}

    demanding(tmp_path, story, kinds=kinds(RE={"references": "hold"}))


def test_an_object_that_is_here_already_is_not_passed_under_another_kind(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        person = thing("identity", 1)
        await publish(world, person)
        # As a vessel it would be released; it was entered as a person, and that counts as well.
        await publish(world, person, about(person["id"]), kind="VI")
        assert await codes(world, about()["id"]) == {"reference.held"}
        assert await world.read() == ()

    demanding(tmp_path, story, kinds=kinds(VI={"references": "hold"}, PE={"evidence": True}))


def test_what_refers_to_an_object_that_is_refused_refers_to_something_unknown(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        ends = {"source_ref": name("infrastructure", 98), "target_ref": name("infrastructure", 99)}
        tie = thing("relationship", 1, **ends)
        vessel = thing("infrastructure", 1, x_tie_ref=tie["id"])
        done = await publish(world, vessel, tie, partial=True)
        assert (done.ids, len(done.refused)) == ((vessel["id"],), 1)
        assert await codes(world, vessel["id"]) == {"reference.unknown"}

    demanding(tmp_path, story, kinds=kinds(RE={"references": "drop"}, VI={"references": "hold"}))


def test_a_chain_of_references_is_followed_to_its_end(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        red = thing("infrastructure", 2, object_marking_refs=[RED])
        first, second, third = (
            about(red["id"]),
            about(name("report", 1), n=2),
            about(name("report", 2), n=3),
        )
        # In one publication, in any order, and over two.
        await publish(world, third, second, first, red)
        fourth = about(third["id"], n=4)
        await publish(world, fourth)
        for one in (first, second, third, fourth):
            assert "reference.held" in await codes(world, one["id"])
        assert await world.read() == ()

    demanding(tmp_path, story, kinds=kinds(RE={"references": "hold"}))


def test_a_circle_of_references_ends(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        one, two = about(name("report", 2), n=1), about(name("report", 1), n=2)
        await publish(world, one, two)
        assert await codes(world, one["id"]) == {"agreement"}

    demanding(tmp_path, story, kinds=kinds(RE={"references": "hold"}))


def test_what_nothing_is_known_of_waits_and_may_be_passed_by_review(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        report = about(name("infrastructure", 99))
        await publish(world, report)
        assert await codes(world, report["id"]) == {"reference.unknown"}
        assert (await line(world, report["id"])).state == "under review"
        await world.sites["B"].review.decide(AGREEMENT, _release(report["id"]))
        assert await world.read() == (report["id"],)

    demanding(tmp_path, story, kinds=kinds(RE={"references": "hold"}))


def _release(item: object) -> Verdict:
    return Verdict(item=str(item), party=READER, verdict="release", by="head")


def test_an_order_on_what_is_referred_to_stops_what_refers_to_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        vessel = thing("infrastructure", 1)
        report = about(vessel["id"])
        await publish(world, report, vessel)
        order = await world.suspend("B", kinds=("VI",))
        assert await codes(world, report["id"]) == {"reference.held"}
        assert await world.read() == ()
        await world.resume("B", supersedes=(world.ordered[-1].said.id,))
        assert order
        assert set(await world.read()) == {report["id"], vessel["id"]}

    demanding(tmp_path, story, kinds=kinds(RE={"references": "hold"}))


def test_what_was_taken_back_is_not_known_any_more(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        vessel = thing("infrastructure", 1)
        await publish(world, vessel)
        site = world.sites["B"]
        recalls = Recalls(site.book, site.gate, lambda *_: None)
        await recalls.recall(
            RecallAsk(
                agreement=AGREEMENT,
                collection="b-out",
                party="B",
                id=str(vessel["id"]),
                versions=None,
            )
        )
        await publish(world, about(vessel["id"]))
        assert await codes(world, about()["id"]) == {"reference.unknown"}

    demanding(tmp_path, story, kinds=kinds(RE={"references": "hold"}))


def test_no_more_is_set_beside_an_object_than_fits_and_the_rest_is_unknown(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        graded = [
            thing("infrastructure", n, extensions=own(grades=[f"s{n}:1"]))
            for n in range(REFERRED_MAX + 1)
        ]
        few = about(*[one["id"] for one in graded[:REFERRED_MAX]])
        many = about(*[one["id"] for one in graded], n=2)
        await publish(world, few, many, *graded)
        assert await codes(world, few["id"]) == {"agreement"}
        assert await codes(world, many["id"]) == {"reference.unknown"}
        found = await world.sites["B"].store.read(lambda view: view.handlings(KEY))
        refers = max((decode(one, Handling).refers for one in found.values()), key=len)
        assert (len(refers), Referred() in refers) == (REFERRED_MAX + 1, True)

    demanding(tmp_path, story, kinds=kinds(RE={"references": "hold"}))


def test_what_refers_to_more_ids_than_are_looked_up_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surround, "LOOKED_UP_MAX", 5)

    async def story(world: World) -> None:
        vessels = [thing("infrastructure", n) for n in range(6)]
        ids = [one["id"] for one in vessels]
        done = await publish(world, about(*ids), about(*ids[:5], n=2), *vessels, partial=True)
        assert [(one.id, one.code) for one in done.refused] == [
            (about()["id"], "publish.references-many")
        ]
        assert done.taken == 7

    demanding(tmp_path, story, kinds=kinds(RE={"references": "hold"}))


@pytest.mark.parametrize("circle", [False, True])
def test_a_chain_in_one_publication_is_followed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, circle: bool
) -> None:
    steps = [0]
    to = Referred.to

    def counted(handling: Handling) -> Referred:
        steps[0] += 1
        return to(handling)

    monkeypatch.setattr(Referred, "to", counted)

    async def story(world: World) -> None:
        count = 300
        chain = [about(name("report", n + 1), n=n) for n in range(count)]
        chain.append(about(name("report", 0) if circle else name("infrastructure", 9), n=count))
        await world.sites["B"].intake.preview(publication(chain))
        assert 0 < steps[0] <= 2 * count

    demanding(tmp_path, story, kinds=kinds(RE={"references": "hold"}))


def test_publications_that_look_around_leave_a_reader_of_the_store_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, go_on = threading.Event(), threading.Event()
    look_around = surround.look_around

    def stuck(*args: Any) -> object:
        looking.set()
        go_on.wait(30)
        return look_around(*args)

    monkeypatch.setattr(intake, "look_around", stuck)

    async def story(world: World) -> None:
        site = world.sites["B"]
        bodies = [
            publication([about(n=1)]),
            publication([about(n=2)], collection="w-out", party="W", unit="W-CG"),
        ]
        jobs = [asyncio.create_task(site.intake.preview(one)) for one in bodies]
        try:
            await asyncio.to_thread(looking.wait, 30)
            await asyncio.wait_for(site.store.read(lambda view: view.agreements()), 10)
        finally:
            go_on.set()
            await asyncio.gather(*jobs)

    demanding(tmp_path, story, kinds=kinds(RE={"references": "hold"}))


# --- references that are dropped ----------------------------------------------------------------


def test_references_to_what_is_not_given_are_taken_out_on_the_record(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        vessel, person = thing("infrastructure", 1), thing("identity", 1)
        red = thing("infrastructure", 2, object_marking_refs=[RED])
        report = thing(
            "report",
            1,
            created_by_ref=person["id"],
            object_refs=[red["id"], vessel["id"], name("infrastructure", 99)],
        )
        done = await publish(world, report, vessel, red, person)
        assert [(one.id, one.code) for one in done.warnings] == [
            (report["id"], "publish.references-dropped")
        ]
        assert await acts(world) == ["minimise", "publish"]
        one = next(entry for entry in await entries(world) if entry.act == "minimise")
        assert (one.ref, one.count) == ("drop-references", 1)
        assert set(await world.read()) == {report["id"], vessel["id"]}
        given = next(json.loads(raw) for raw in world.got if b"report--" in raw)
        assert (given["object_refs"], "created_by_ref" in given) == ([vessel["id"]], False)

    demanding(tmp_path, story, kinds=kinds(RE={"references": "drop"}, PE={"evidence": True}))


def test_a_reference_that_one_reader_is_not_given_is_taken_out_for_all(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        vessel = thing("infrastructure", 1)
        report = about(vessel["id"], name("report", 2))
        other = about(vessel["id"], n=2)
        await world.suspend("B", kinds=("VI",), partner=READER)
        done = await publish(world, vessel, other, report, partial=True)
        # The other report has nothing left to be about; then neither has this one.
        assert {one.id for one in done.refused} == {other["id"], report["id"]}
        assert done.ids == (vessel["id"],)

    demanding(tmp_path, story, kinds=kinds(RE={"references": "drop"}))


def test_an_object_that_cannot_do_without_is_refused_and_then_leads_nowhere(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        vessel = thing("infrastructure", 1)
        ends = {"source_ref": vessel["id"], "target_ref": name("infrastructure", 99)}
        tie = thing("relationship", 1, **ends)
        report = about(tie["id"], vessel["id"])
        done = await publish(world, report, tie, vessel, partial=True)
        assert [one.id for one in done.refused] == [tie["id"]]
        await world.read()
        given = next(json.loads(raw) for raw in world.got if b"report--" in raw)
        assert given["object_refs"] == [vessel["id"]]
        before = await size(world)
        with pytest.raises(Invalid):
            await publish(world, about(tie["id"], n=2), tie)
        assert await size(world) == before

    demanding(tmp_path, story, kinds=kinds(RE={"references": "drop"}))


def test_a_chain_that_falls_apart_is_refused_to_its_end_however_long(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        before = await size(world)
        chain = [
            thing("relationship", n, source_ref=name("relationship", n + 1),
                  target_ref=name("relationship", n + 1))
            for n in range(30)
        ]  # fmt: skip
        done = await publish(world, *chain, partial=True)
        assert ({one.id for one in done.refused}, done.ids) == ({one["id"] for one in chain}, ())
        assert await size(world) == before

    demanding(tmp_path, story, kinds=kinds(RE={"references": "drop"}))


def test_a_reference_to_what_waits_for_its_own_references_is_taken_out(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        person, vessel = thing("identity", 1), thing("infrastructure", 9)
        held = thing("infrastructure", 2, x_owner_ref=person["id"])
        report = about(vessel["id"], held["id"])
        # One that waits because what it refers to was refused.
        tie = thing("relationship", 1, source_ref=name("tool", 1), target_ref=name("tool", 2))
        lost = thing("infrastructure", 3, x_tie_ref=tie["id"])
        second = about(vessel["id"], lost["id"], n=2)
        await publish(world, person, vessel, held, report, tie, lost, second, partial=True)
        await world.read()
        given = [json.loads(raw)["object_refs"] for raw in world.got if b"report--" in raw]
        assert given == [[vessel["id"]], [vessel["id"]]]

    demanding(
        tmp_path,
        story,
        kinds=kinds(RE={"references": "drop"}, VI={"references": "hold"}, PE={"moderated": True}),
    )


# --- what comes back ----------------------------------------------------------------------------


def test_an_object_of_ones_own_that_comes_back_from_a_partner_is_told(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        vessel, other = thing("infrastructure", 1), thing("infrastructure", 2)
        await publish(world, vessel)
        for n, one in enumerate((vessel, other)):
            body = publication(
                [one | {"name": f"as W sees it {n}"}], collection="w-out", party="W", unit="W-CG"
            )
            await world.sites["W"].intake.publish(body)
        await world.exchange()
        for one, back in ((vessel, True), (other, False)):
            lines = await world.sites["B"].ask.trace(str(one["id"]))
            foreign = [found for found in lines if found.collection == "w-out"]
            assert [found.came_back for found in foreign] == [back]
            assert not any(found.came_back for found in lines if found.collection == "b-out")

    demanding(tmp_path, story, kinds=kinds())


@pytest.mark.parametrize("moderated", [True, False])
def test_a_tear_line_keeps_no_reference_to_what_its_readers_are_not_given(
    tmp_path: Path, moderated: bool
) -> None:
    async def story(world: World) -> None:
        person = thing("identity", 1)
        vessel = thing("infrastructure", 2, description="d", created_by_ref=person["id"])
        await publish(world, person, vessel)
        steps = (Step(do="remove", path="description"), Step(do="drop-references"))
        ask = DeriveAsk(
            item=str(vessel["id"]), agreement=AGREEMENT, to="b-out", steps=steps, by="head"
        )
        made = await world.sites["B"].derives.derive(ask)
        assert [step.touched for step in made.steps] == [1, int(moderated)]
        assert ("created_by_ref" in made.content) is not moderated

    demanding(tmp_path, story, kinds=kinds(PE={"moderated": moderated}))
