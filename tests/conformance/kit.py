"""What the checks share: the server under test, what is written to it, and how it is read.

Nothing here knows which server it is; all it has is the target and HTTP.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin

import httpx

from tests.conformance.faulty import Faulty

__all__ = [
    "JSON",
    "MEDIA",
    "TIMESTAMP",
    "Entry",
    "Server",
    "Shelf",
    "Target",
    "ids",
    "made",
    "shifted",
    "version_of",
]

MEDIA = "application/taxii+json;version=2.1"
#: YYYY-MM-DDTHH:MM:SS.ssssssZ (section 2).
TIMESTAMP = re.compile(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z", re.ASCII)
#: Pages that reading a whole collection may take, and polls that a status may take.
PAGES_MAX = 2000
POLLS_MAX = 500

JSON = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """The line of JSON that names a server under test. Ids are of collections."""

    base: str
    api_root: str
    user: str
    password: str
    read_write: str
    read_only: str
    write_only: str
    not_visible: str

    @classmethod
    def of(cls, text: str) -> Target:
        """The target in a text; what else stands in it is ignored."""
        told = json.loads(text)
        return cls(**{name: told[name] for name in cls.__dataclass_fields__})

    @property
    def root(self) -> str:
        """The API root as an absolute URL with a final slash."""
        return urljoin(self.base + "/", self.api_root).rstrip("/") + "/"


def version_of(one: JSON) -> str:
    """The version of an object; empty where the server chooses it."""
    return str(one.get("modified", one.get("created", "")))


def ids(body: JSON) -> list[str]:
    """Ids of an envelope or manifest, in order."""
    return [one["id"] for one in body.get("objects", [])]


def shifted(timestamp: str, micros: int) -> str:
    """A timestamp so many microseconds later."""
    time = datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    return (time + timedelta(microseconds=micros)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def made(kind: str = "indicator", days: int = 0, **fields: Any) -> JSON:
    """A fresh object; ``days`` puts its version so much later than its creation."""
    common = {
        "type": kind,
        "spec_version": "2.1",
        "id": f"{kind}--{uuid.uuid4()}",
        "created": "2026-01-01T00:00:00.000Z",
        "modified": f"2026-01-{days + 1:02d}T00:00:00.000Z",
    }
    if kind == "indicator":
        common |= {
            "name": f"indicator, version {days}",
            "indicator_types": ["malicious-activity"],
            "pattern": "[ipv4-addr:value = '198.51.100.1']",
            "pattern_type": "stix",
            "valid_from": "2026-01-01T00:00:00Z",
        }
    return common | fields


class Server:
    """Requests as the authorised client makes them, relative to the API root."""

    def __init__(self, target: Target) -> None:
        self.target = target
        fault = os.environ.get("CONFORMANCE_FAULT")
        self.http = httpx.Client(
            transport=Faulty(fault) if fault else None,
            base_url=target.root,
            auth=(target.user, target.password),
            headers={"accept": MEDIA, "accept-encoding": "identity"},
            timeout=30,
            trust_env=False,
        )

    def get(
        self, path: str, params: dict[str, Any] | None = None, **headers: str
    ) -> httpx.Response:
        """GET below the API root. Headers are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.get(path, params=params, headers=named)

    def read(self, path: str, **params: Any) -> JSON:
        """The body of a GET that must succeed. ``match_id`` stands for ``match[id]``."""
        answer = self.get(path, named(params))
        assert answer.status_code == 200, told(answer, 200)
        body = answer.json()
        assert isinstance(body, dict)
        return body

    def send(self, collection: str, body: Any, **headers: str) -> httpx.Response:
        """POST to a collection; bytes as they are, else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = {"content_type": MEDIA} | headers
        return self.http.post(
            f"collections/{collection}/objects/",
            content=content,
            headers={name.replace("_", "-"): value for name, value in head.items()},
        )

    def add(self, collection: str, *objects: JSON) -> JSON:
        """Add objects; the status once it is complete."""
        answer = self.send(collection, {"objects": list(objects)})
        assert answer.status_code == 202, told(answer, 202)
        status: JSON = answer.json()
        for _ in range(POLLS_MAX):
            if status["status"] == "complete":
                return status
            status = self.read(f"status/{status['id']}/")
        raise AssertionError(f"status {status['id']} does not come to an end")

    def pages(self, path: str, **params: Any) -> Iterator[tuple[JSON, httpx.Headers]]:
        """Every page, by `next` where it is given, else by `added_after` (3.5)."""
        query = named(params)
        for _ in range(PAGES_MAX):
            answer = self.get(path, query)
            assert answer.status_code == 200, told(answer, 200)
            body = answer.json()
            yield body, answer.headers
            if not body.get("more"):
                return
            if "next" in body:
                query = {**named(params), "next": body["next"]}
            else:
                query = {**named(params), "added_after": answer.headers["x-taxii-date-added-last"]}
        raise AssertionError(f"{path} does not come to an end")

    def walk(self, path: str, **params: Any) -> list[JSON]:
        """All objects or records of all pages."""
        return [one for body, _ in self.pages(path, **params) for one in body.get("objects", [])]


def told(answer: httpx.Response, wanted: int) -> str:
    """Why an answer is not the one that was wanted."""
    return f"{answer.status_code} instead of {wanted}\n{answer.url}\n{answer.text[:300]}"


def named(params: dict[str, Any]) -> dict[str, Any]:
    """``match_id`` becomes ``match[id]``."""
    return {
        f"match[{name.removeprefix('match_')}]" if name.startswith("match_") else name: value
        for name, value in params.items()
    }


@dataclass(frozen=True)
class Entry:
    """One version of one object that the suite has written."""

    one: JSON

    @property
    def id(self) -> str:
        return str(self.one["id"])

    @property
    def version(self) -> str:
        return version_of(self.one)


@dataclass(frozen=True)
class Shelf:
    """What the suite has written into the read-write collection, request by request, in order:
    an indicator in three versions with others between them."""

    server: Server
    entries: list[Entry] = field(default_factory=list)

    def fill(self) -> None:
        """Write it."""
        indicator = made()
        statement = made(
            "marking-definition",
            definition_type="statement",
            definition={"statement": "Conformance"},
        )
        del statement["modified"]
        address = made("ipv4-addr", value="198.51.100.9")
        name = made("domain-name", value="conformance.example")
        for observable in (address, name):
            del observable["created"], observable["modified"]
        del name["spec_version"]
        malware = made("malware", name="sample", is_family=False)
        link = made(
            "relationship",
            relationship_type="indicates",
            source_ref=indicator["id"],
            target_ref=malware["id"],
        )
        later = [
            indicator | {"modified": f"2026-01-{day:02d}T00:00:00.000Z", "name": f"day {day}"}
            for day in (2, 3)
        ]
        order = [indicator, malware, later[0], statement, address, later[1], name, link]
        for one in order:
            status = self.server.add(self.server.target.read_write, one)
            assert status["success_count"] == 1, status
            self.entries.append(Entry(one))

    @property
    def all_ids(self) -> str:
        """Every id, as a match filter takes them."""
        return ",".join(dict.fromkeys(entry.id for entry in self.entries))

    def of(self, kind: str) -> list[Entry]:
        """The entries of a type, in order."""
        return [entry for entry in self.entries if entry.one["type"] == kind]

    @property
    def last(self) -> list[Entry]:
        """The latest version of each object, in the order of their adding."""
        newest = {entry.id: entry for entry in self.entries}
        return [entry for entry in self.entries if newest[entry.id] is entry]
