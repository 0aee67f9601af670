"""Names of STIX markings, as decisions use them.

A marking is known by the id of its definition. The nine TLP definitions have fixed ids (STIX 2.1,
7.2.1.4; FIRST TLP 2.0 as an OASIS common object); statement markings are words for people and are
named ``statement:<id>``; whatever else an object refers to is named ``unknown:<id>``, and unknown
means hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from detente.wire.stix import Cut, CutObject

__all__ = ["TLP_IDS", "MarkingNames", "markings_of"]

#: STIX 2.1, 7.2.1.4 (TLP 1.0, which has no clear and no amber+strict) and TLP 2.0.
TLP_IDS = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "tlp:clear",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "tlp:green",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "tlp:amber",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "tlp:red",
    "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487": "tlp:clear",
    "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb": "tlp:green",
    "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421": "tlp:amber",
    "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003": "tlp:amber+strict",
    "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1": "tlp:red",
}


class MarkingNames(msgspec.Struct, frozen=True):
    """Names of marking definitions met so far, by id."""

    names: dict[str, str]

    @staticmethod
    def of(cut: Cut) -> MarkingNames:
        """Those with fixed ids and those defined in the request itself."""
        definitions = [one.raw for one in cut.objects if one.type == "marking-definition"]
        return MarkingNames(dict(TLP_IDS)).learn(definitions)

    def learn(self, raws: Iterable[bytes]) -> MarkingNames:
        """Take in marking definitions; the first of an id counts, and a fixed id keeps its fixed
        meaning whatever they say."""
        names = dict(self.names)
        for raw in raws:
            found = msgspec.json.decode(raw, type=_Definition)
            kind = "statement" if found.definition_type == "statement" else "unknown"
            names.setdefault(found.id, f"{kind}:{found.id}")
        return MarkingNames(names)

    def missing(self, cut: Cut) -> frozenset[str]:
        """Ids that objects refer to and nothing here names."""
        used = {ref for one in cut.objects for ref in _refs(one)}
        return frozenset(used - self.names.keys())

    def name(self, marking_id: str) -> str:
        """The name of a marking; unknown ones say so."""
        return self.names.get(marking_id, f"unknown:{marking_id}")


class _Definition(msgspec.Struct, frozen=True):
    id: str
    definition_type: str | None = None
    definition: Any = None


def _refs(one: CutObject) -> tuple[str, ...]:
    return one.marking_refs + one.granular_marking_refs


def markings_of(one: CutObject, names: MarkingNames) -> tuple[str, ...]:
    """The names of all markings on an object, those on parts of it counted for the whole: a
    part above the limit keeps the object back, it is never sent whole by mistake (R36)."""
    refs = _refs(one)
    return tuple(sorted({names.name(ref) for ref in refs})) if refs else ()
