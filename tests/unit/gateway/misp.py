"""Events of MISP as STIX, as far as markings need it: a note for each attribute, with the tags of
its event and its own as labels. No converter: those are bridges."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_NAMESPACE = uuid.UUID("6f1d9a52-7c0e-4a56-9a31-0c8f5d2b7e43")


def notes_of(path: Path, tags: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """The notes of one file; ``tags`` puts other tags in the place of some."""
    found = json.loads(path.read_bytes())
    (event,) = [
        one["Event"] for one in found.get("response", [{"Event": found.get("Event", found)}])
    ]
    return [
        {
            "type": "note",
            "spec_version": "2.1",
            "id": f"note--{uuid.uuid5(_NAMESPACE, f'{path.name} {number}')}",
            "created": _time(event["timestamp"]),
            "modified": _time(event["timestamp"]),
            "content": str(attribute["value"]),
            "object_refs": [f"report--{event['uuid']}"],
            "labels": [
                (tags or {}).get(tag["name"], tag["name"])
                for tag in (*event.get("Tag", []), *attribute.get("Tag", []))
            ],
        }
        for number, attribute in enumerate(_attributes(event))
    ]


def _attributes(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from event.get("Attribute", [])
    for one in event.get("Object", []):
        yield from one.get("Attribute", [])


def _time(seconds: str) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
