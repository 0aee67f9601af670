"""The items of "Two capitals": 14 from B to W, 2 from W to B, invented, in the vessel profile."""

from __future__ import annotations

import json
import uuid
from typing import Any

from detente.wire.vessel import INTERDICTION, TRACK, VESSEL

__all__ = ["ITEMS", "Item", "stix"]

NAMESPACE = uuid.UUID("6f1f6c0e-6a3e-4d3e-9d0a-0e3f4b1c2d00")
TLP_GREEN = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"
CREATED = "2026-01-10T08:00:00.000Z"


class Item:
    """One item: its name in the story, kind, unit, time of publication in hours, and object."""

    def __init__(self, name: str, kind: str, unit: str, hour: float, vessel: str) -> None:
        self.name = name
        self.kind = kind
        self.unit = unit
        self.hour = hour
        self.object = _object(name, kind, vessel)

    @property
    def id(self) -> str:
        """The STIX id."""
        return str(self.object["id"])


def stix(kind: str, name: str) -> str:
    """A STIX id that is the same in every run."""
    return f"{kind}--{uuid.uuid5(NAMESPACE, f'{kind} {name}')}"


def _base(kind: str, name: str) -> dict[str, Any]:
    return {
        "type": kind,
        "spec_version": "2.1",
        "id": stix(kind, name),
        "created": CREATED,
        "modified": CREATED,
        "object_marking_refs": [TLP_GREEN],
    }


def _extended(extension: str, **fields: object) -> dict[str, Any]:
    return {extension: {"extension_type": "property-extension", **fields}}


def _object(name: str, kind: str, vessel: str) -> dict[str, Any]:
    ship = stix("infrastructure", f"vessel {vessel}")
    if kind == "VT":
        return _base("sighting", name) | {
            "sighting_of_ref": ship,
            "first_seen": CREATED,
            "last_seen": "2026-01-10T08:20:00.000Z",
            "count": 3,
            "extensions": _extended(
                TRACK,
                base_time=CREATED,
                offsets_s=[0, 600, 1200],
                lat=[12.51, 12.58, 12.66],
                lon=[-72.11, -72.02, -71.95],
                sog_kn=[31.5, 32.0, None],
                source="radar",
            ),
        }
    if kind == "VI":
        return _base("infrastructure", name) | {
            "name": f"Vessel {vessel}",
            "description": f"Report {name} on the identity of vessel {vessel}",
            "infrastructure_types": ["vessel"],
            "extensions": _extended(
                VESSEL, vessel_type="go-fast", flag_status="unknown", length_m=12.5, engines=3
            ),
        }
    if kind == "PE":
        return _base("identity", name) | {
            "name": f"Person of report {name}",
            "identity_class": "individual",
        }
    if kind == "SL":
        return _base("incident", name) | {
            "name": f"Persons in the water, report {name}",
            "extensions": _extended(INTERDICTION, outcome="rescue", persons_aboard=4, missing=1),
        }
    words = {"FI": "Payments for fuel to a supplier", "RA": "Answer to request r1"}[kind]
    return _base("note", name) | {"content": f"{words}, report {name}", "object_refs": [ship]}


#: Name, kind, unit, hour of publication, vessel.
_TABLE = [
    ("i01", "VT", "B-NAV", -2, "X"),
    ("i02", "VT", "B-NAV", -0.1, "Y"),
    ("i03", "VT", "B-NAV", 0.2, "X"),
    ("i04", "VT", "B-NAV", 0.6, "Y"),
    ("i05", "VT", "B-NAV", 1, "Z"),
    ("i06", "VI", "B-NAV", 1, "X"),
    ("i07", "PE", "B-POL", 1, "Z"),
    ("i08", "FI", "B-FIU", 1, "Z"),
    ("i09", "SL", "B-NAV", 1.2, "Q"),
    ("i10", "RA", "B-POL", 2, "Z"),
    ("i11", "VT", "B-NAV", 30, "Y"),
    ("i12", "VI", "B-POL", 40, "Z"),
    ("i13", "VT", "B-NAV", 46.5, "Z"),
    ("i14", "VT", "B-NAV", 48, "X"),
    ("j01", "VT", "W-CG", 3, "V"),
    ("j02", "PE", "W-LEA", 5, "V"),
]

ITEMS = {row[0]: Item(*row) for row in _TABLE}


def encoded(item: Item) -> bytes:
    """The object's bytes as the publisher writes them."""
    return json.dumps(item.object, separators=(",", ":"), ensure_ascii=False).encode()
