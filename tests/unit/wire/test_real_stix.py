"""Every file of STIX that others have published: taken, taken with warnings, or refused with a
reason, and the bytes as they came."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from detente.errors import Invalid
from detente.wire.stix import Cut, Limits, cut
from tests.shared import shared_data

#: Folder of the shared data; how many objects there are, are taken with warnings, are refused.
FOLDERS = {
    "attack": (5625, 0, {}),
    "oasis/examples": (559, 0, {"stix.id": 1}),
    "oasis/idioms-2.1": (508, 28, {"stix.version": 1}),
    "oasis/common-objects": (24, 0, {}),
    "markings": (10, 0, {}),
    "extensions/dogesec": (18, 0, {}),
}


def bodies(folder: Path) -> list[tuple[Path, bytes]]:
    found = []
    for path in sorted(folder.rglob("*.json*")):
        data = path.read_bytes()
        found.append((path, gzip.decompress(data) if path.suffix == ".gz" else data))
    return found


def whole(body: bytes) -> list[Any] | None:
    """The objects in a body, by a plain reader; None if it is a schema and no STIX."""
    value = json.loads(body)
    if isinstance(value, list):
        return value
    if "$schema" in value or "$id" in value:
        return None
    return value.get("objects", [value])


def check_cut(body: bytes, wanted: list[Any], done: Cut) -> None:
    """Each object is in one of both lists, in order, with the very bytes of the body."""
    places = sorted([one.index for one in done.objects] + [one.index for one in done.refusals])
    assert places == list(range(len(wanted)))
    at = 0
    for one in done.objects:
        assert json.loads(one.raw) == wanted[one.index]
        at = body.index(one.raw, at) + len(one.raw)
        assert one.sha256 == hashlib.sha256(one.raw).digest()
        assert (one.id, one.type) == (wanted[one.index]["id"], wanted[one.index]["type"])
        assert all(w.code and w.sentence for w in one.warnings)
    for refusal in done.refusals:
        assert refusal.code
        assert refusal.sentence


def taken(body: bytes) -> int:
    """How many objects are taken of what may be no STIX at all."""
    try:
        return len(cut(body, Limits()).objects)
    except Invalid:
        return 0


@pytest.mark.oracle
@pytest.mark.parametrize("name", FOLDERS)
def test_every_object_has_one_of_three_outcomes_and_keeps_its_bytes(name: str) -> None:
    objects, warned, refused = 0, 0, Counter[str]()
    for path, body in bodies(shared_data("stix", *name.split("/"))):
        wanted = whole(body)
        if wanted is None:
            assert not taken(body), path.name
            continue
        done = cut(body, Limits(body_bytes_max=1 << 30))
        check_cut(body, wanted, done)
        objects += len(wanted)
        warned += sum(bool(one.warnings) for one in done.objects)
        refused.update(one.code for one in done.refusals)
    assert (objects, warned, dict(refused)) == FOLDERS[name]
