"""Marked items through a node: what flows, what stops, and for which reason."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from detente.errors import Invalid
from detente.gateway.intake import Published
from detente.model import Handling, decode
from detente.testing import World
from detente.testing.parts import AGREEMENT
from detente.testing.site import Site
from tests.shared import shared_data
from tests.unit.gateway.kit import play
from tests.unit.gateway.misp import notes_of
from tests.unit.gateway.test_intake import KEY, publication, publish, stix, uuid_of

#: The world's agreement allows tlp:amber+strict, has no limit for PAP and knows no other scheme.
RED = "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"
GREEN = "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"
OWN = f"marking-definition--{uuid_of(1)}"


def item(number: int, **fields: Any) -> dict[str, Any]:
    return stix(0, name=f"infrastructure--{uuid_of(number)}") | fields


def defined(created: str = "2026-01-01T00:00:00.000Z", **fields: Any) -> dict[str, Any]:
    head = {"type": "marking-definition", "spec_version": "2.1", "id": OWN, "created": created}
    return head | fields


def statement(text: str, **fields: Any) -> dict[str, Any]:
    return defined(definition_type="statement", definition={"statement": text}, **fields)


async def handlings(site: Site) -> list[Handling]:
    values = await site.store.read(lambda view: view.handlings(KEY))
    return [decode(value, Handling) for value in values.values()]


async def came(world: World) -> int:
    """How many items W has after it has fetched all that it is given."""
    await world.sync("W")
    return await world.sites["W"].store.read(lambda view: view.collection(KEY).end)


def outcomes(done: Published) -> dict[str, int]:
    assert done.outcomes["W"] == done.outcomes["K"]
    return done.outcomes["W"]


# --- whole ways ---------------------------------------------------------------------------------


def test_part_above_the_limit_keeps_the_object_back_and_is_told_as_a_part(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        part = {"granular_markings": [{"marking_ref": RED, "selectors": ["name"]}]}
        done = await publish(
            world,
            item(1),
            item(2, object_marking_refs=[GREEN]),
            item(3, object_marking_refs=[GREEN], **part),
            item(4, object_marking_refs=[RED], **part),
        )
        assert outcomes(done) == {"release": 2, "hold": 2}
        assert await came(world) == 2
        found = {(one.markings, one.flags) for one in await handlings(world.sites["B"])}
        assert found == {
            ((), ()),
            (("tlp:green",), ()),
            (("tlp:green", "tlp:red"), ("part",)),
            (("tlp:red",), ()),
        }
        held = await world.sites["B"].ask.held(AGREEMENT, "W")
        words = [word for one in held for word in one.reasons]
        assert len([word for word in words if "a part of the object" in word]) == 1

    play(tmp_path, story, checked=False)


def test_tags_in_labels_count_as_markings_and_other_labels_do_not(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        done = await publish(
            world,
            item(1, labels=["spam", 'osint:certainty="93"', "TLP:GREEN"]),
            item(2, labels=["PAP:CLEAR"]),
            item(3, labels=['dni-ism:dissem="NF"']),
            item(4, labels=["EUCI:R-UE/EU-R"]),
        )
        assert outcomes(done) == {"release": 1, "hold": 3}
        assert await came(world) == 1
        lines = await world.sites["B"].ask.feeds(AGREEMENT, "W")
        words = {word for line in lines if line.outcome == "hold" for word in line.reasons}
        assert {word.split()[0] for word in words} == {
            "marking.pap-without-limit",
            "marking.country-unsaid",
            "marking.unknown",
        }

    play(tmp_path, story, checked=False)


def test_first_definition_in_the_collection_counts_also_over_one_in_the_request(
    tmp_path: Path,
) -> None:
    async def story(world: World) -> None:
        marked = {"object_marking_refs": [OWN]}
        late = "2026-01-02T00:00:00.000Z"
        control = "extension-definition--0b1e5a3c-6d0f-4c58-8a3e-2f9d5c7b1a05"
        strict = {"extension_type": "property-extension", "no_foreign": "COL"}
        first = await publish(world, defined(extensions={control: strict}), item(1, **marked))
        assert outcomes(first) == {"release": 1, "hold": 1}  # the definition itself is unmarked
        again = await publish(world, statement("No limits.", created=late), item(2, **marked))
        assert outcomes(again) == {"release": 1, "hold": 1}
        assert await came(world) == 2
        assert {one.markings for one in await handlings(world.sites["B"])} == {
            (),
            ("noforn:COL",),
        }

    play(tmp_path, story, checked=False)


def test_statement_goes_and_what_refers_to_nothing_here_does_not(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        marked = item(1, object_marking_refs=[OWN])
        assert outcomes(await publish(world, marked)) == {"hold": 1}
        assert outcomes(await publish(world, statement("Copyright."))) == {"release": 1}
        after = item(2, object_marking_refs=[OWN])
        assert outcomes(await publish(world, after)) == {"release": 1}
        assert await came(world) == 2

    play(tmp_path, story, checked=False)


def test_no_definition_makes_a_publication_fail(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        deep: Any = "x"
        for _ in range(90):
            deep = [deep]
        odd = [
            {"definition_type": 5, "definition": []},
            {"definition": deep},
            {"extensions": deep},
            {"definition_type": "statement", "definition": {"statement": "x" * 900_000}},
        ]
        for number, fields in enumerate(odd):
            name = f"marking-definition--{uuid_of(100 + number)}"
            one = defined(**fields) | {"id": name}
            done = await publish(world, one, item(number, object_marking_refs=[name]))
            expected = {"release": 2} if number == 3 else {"release": 1, "hold": 1}
            assert outcomes(done) == expected, number

    play(tmp_path, story, checked=False)


def test_more_markings_than_an_object_may_have_refuse_it_by_name(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        labels = [f"nato:{number}" for number in range(65)]
        with pytest.raises(Invalid) as found:
            await publish(world, item(1, labels=labels))
        assert found.value.code == "publish.refused"
        assert "64 markings, got 65" in found.value.sentence
        assert await handlings(world.sites["B"]) == []
        assert outcomes(await publish(world, item(1, labels=labels[1:]))) == {"hold": 1}

    play(tmp_path, story, checked=False)


# --- what others have published -----------------------------------------------------------------

#: Attributes of each event. Three are marked, tlp:white as a tag of the event; of those of ESET but
#: one there is no marking.
EVENTS = {
    "eset-backdoordiplomacy": 67,
    "eset-cloudmensis": 22,
    "eset-gelsemium": 154,
    "eset-machete": 396,
    "eset-mozi-objects": 151,
    "eset-oceanlotus-macos": 9,
    "eset-telebots-sharinggroup": 95,
    "pymisp-existing_event": 122,
    "pymisp-image_event": 79,
    "pymisp-shadow": 3,
    "pymisp-sighting_1": 5,
}
WHITE = {"eset-telebots-sharinggroup", "pymisp-existing_event", "pymisp-image_event"}


@pytest.mark.parametrize(
    ("tags", "stopped"),
    [
        ({}, 0),
        ({"tlp:white": "tlp:amber+strict"}, 0),
        ({"tlp:white": "TLP:RED"}, 296),
        ({"tlp:white": "PAP:RED"}, 296),
        ({"tlp:white": "tlp:ex:chr"}, 296),
    ],
)
def test_real_events_of_misp_flow_or_stop_as_their_tags_say(
    tmp_path: Path, tags: dict[str, str], stopped: int
) -> None:
    folder = shared_data("misp", "events")

    async def story(world: World) -> None:
        assert {path.stem for path in folder.glob("*.json")} == EVENTS.keys()
        sums: Counter[str] = Counter()
        for name, count in EVENTS.items():
            notes = notes_of(folder / f"{name}.json", tags)
            done = await world.sites["B"].intake.publish(publication(notes))
            outcome = "hold" if stopped and name in WHITE else "release"
            assert outcomes(done) == {outcome: count}, name
            sums.update(outcomes(done))
        assert sums == Counter({"release": 1103 - stopped} | ({"hold": stopped} if stopped else {}))
        assert await came(world) == 1103 - stopped

    play(tmp_path, story, checked=False)


#: Folders of real STIX: what is released and held of all of it, and which files have something
#: that is held. Of others' definitions that are not in the file nothing is known.
STIX: dict[str, tuple[int, int, dict[str, int]]] = {
    "markings": (10, 0, {}),
    # A bundle with a part, an object and a relationship in TLP red; a definition that is not there.
    "oasis/examples": (
        318,
        4,
        {"using-granular-markings.json": 3, "interop-objectmarking-test.json": 1},
    ),
    "oasis/common-objects": (23, 0, {}),
    # All are marked with the publisher's statement, which is elsewhere.
    "extensions/dogesec": (
        6,
        12,
        dict.fromkeys(
            """bank-account.json cryptocurrency-transaction.json cryptocurrency-wallet.json
            data-source.json identity-opencti.json identity.json location-opencti.json location.json
            marking_definition_admiralty_information_credibility.json
            marking_definition_admiralty_source_reliability.json payment-card.json
            phone-number.json""".split(),
            1,
        ),
    ),
    # TLP red; a definition of type AIS, whose terms are not known here; definitions that are
    # nowhere; and one that says "Copyright" under the fixed id of TLP green.
    "oasis/idioms-2.1": (
        435,
        10,
        {
            "141-TLP-marking-structures.json": 1,
            "archive-file.json": 1,
            "coa_ind_malicious_file.json": 3,
            "examples.json": 5,
        },
    ),
}


@pytest.mark.parametrize("name", STIX)
def test_real_bundles_flow_or_stop_as_their_markings_say(tmp_path: Path, name: str) -> None:
    folder = shared_data("stix", *name.split("/"))

    async def story(world: World) -> None:
        sums: Counter[str] = Counter()
        stopped = {}
        for path in sorted(folder.rglob("*.json")):
            body = path.read_bytes()
            value = json.loads(body)
            if "$schema" in value or "$id" in value:
                continue
            asked = msgspec.structs.replace(publication([], partial=True), body=body)
            done = await world.sites["B"].intake.publish(asked)
            sums.update(done.outcomes.get("W", {}))
            if "hold" in done.outcomes.get("W", {}):
                stopped[path.name] = done.outcomes["W"]["hold"]
        assert (sums["release"], sums["hold"], stopped) == STIX[name]
        assert await came(world) == sums["release"]

    play(tmp_path, story, checked=False)
