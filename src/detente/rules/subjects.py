"""Subjects of an order: in sound form, and never a limit while no decision can see them."""

from __future__ import annotations

import re

import msgspec

from detente.errors import Invalid
from detente.model import Subjects

__all__ = ["check_subjects"]

Point = tuple[float, float]
Ring = list[Point]


class _Polygon(msgspec.Struct, tag="Polygon", forbid_unknown_fields=True):
    coordinates: list[Ring]


class _MultiPolygon(msgspec.Struct, tag="MultiPolygon", forbid_unknown_fields=True):
    coordinates: list[list[Ring]]


_STIX = re.compile(r"\A[a-z0-9-]{3,60}--[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_MMSI = re.compile(r"\Ammsi:[0-9]{9}\Z")
_IMO = re.compile(r"\Aimo:[0-9]{7}\Z")


def check_subjects(subjects: Subjects | None) -> None:
    """Refuse subjects of no sound form, and any by which an order would be limited: decisions go
    by kind, unit, purpose and marking, so it would stop more or less than it says."""
    if subjects is None:
        return
    if subjects.limit:
        raise Invalid(
            "directive.subject-limit",
            "Expected subjects that say what the order has in view, got a limit: no decision sees "
            "areas, vessels, cases or persons yet.",
            hint="Limit it by unit, kind, purpose or marking.",
            path="$.subjects.limit",
        )
    for vessel in subjects.vessels:
        if not (_is_imo(vessel) or _MMSI.match(vessel) or _STIX.match(vessel)):
            raise Invalid(
                "directive.vessel",
                f"Expected imo: with seven digits that check, mmsi: with nine, or a STIX id, got "
                f"{vessel}.",
                path="$.subjects.vessels",
            )
    for area in subjects.areas:
        _check_area(area.geojson)


def _is_imo(text: str) -> bool:
    """The last digit of an IMO number is that of the sum of the others by 7 to 2."""
    if not _IMO.match(text):
        return False
    digits = [int(one) for one in text[4:]]
    return sum(a * b for a, b in zip(digits, range(7, 1, -1), strict=False)) % 10 == digits[-1]


def _check_area(geojson: str) -> None:
    """RFC 7946, 3.1.6: rings of four positions or more, closed, longitude before latitude."""
    try:
        read = msgspec.json.decode(geojson, type=_Polygon | _MultiPolygon)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise Invalid(
            "directive.area",
            f"Expected a GeoJSON Polygon or MultiPolygon, got: {error}.",
            path="$.subjects.areas",
        ) from error
    parts = [read.coordinates] if isinstance(read, _Polygon) else read.coordinates
    rings = [ring for part in parts for ring in part]
    sound = all(part for part in parts) and all(
        len(ring) >= 4 and ring[0] == ring[-1] and all(map(_on_earth, ring)) for ring in rings
    )
    if not rings or not sound:
        raise Invalid(
            "directive.area",
            "Expected closed rings of at least four positions, longitude before latitude, got "
            "others.",
            path="$.subjects.areas",
        )


def _on_earth(point: Point) -> bool:
    return -180 <= point[0] <= 180 and -90 <= point[1] <= 90
