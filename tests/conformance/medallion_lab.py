"""Serves medallion 3.0.0, the reference server of OASIS, with the four collections of a lab.

Run it with a Python that has medallion (it is no dependency of this project): it prints the line
of JSON that the suite takes and serves until it is ended. medallion has no collections that only
some clients see, so `not_visible` is one under another API root.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import uuid
from datetime import datetime, timedelta, timezone

import medallion
from werkzeug.serving import make_server

MEDIA = "application/taxii+json;version=2.1"
STIX = "application/stix+json;version=2.1"
IDS = {
    "read_write": "6f0d5e0a-53a5-4c3e-8f0a-6d5c2a1e7b01",
    "read_only": "6f0d5e0a-53a5-4c3e-8f0a-6d5c2a1e7b02",
    "write_only": "6f0d5e0a-53a5-4c3e-8f0a-6d5c2a1e7b03",
    "not_visible": "6f0d5e0a-53a5-4c3e-8f0a-6d5c2a1e7b04",
}


def objects() -> list[dict[str, object]]:
    """A few objects, one of them in three versions."""
    made = []
    for number, (kind, day) in enumerate(
        [("indicator", 1), ("identity", 1), ("indicator", 2), ("malware", 1), ("indicator", 3),
         ("tool", 1), ("campaign", 1)]
    ):  # fmt: skip
        one: dict[str, object] = {
            "type": kind,
            "spec_version": "2.1",
            "id": f"{kind}--{uuid.uuid5(uuid.NAMESPACE_URL, kind)}",
            "created": "2026-01-01T00:00:00.000Z",
            "modified": f"2026-01-0{day}T00:00:00.000Z",
            "name": f"{kind} {number}",
        }
        if kind == "indicator":
            one |= {
                "pattern": "[ipv4-addr:value = '198.51.100.1']",
                "pattern_type": "stix",
                "valid_from": "2026-01-01T00:00:00Z",
            }
        made.append(one)
    return made


def collection(name: str, filled: list[dict[str, object]]) -> dict[str, object]:
    """A collection as medallion's memory keeps it."""
    first = datetime(2026, 2, 1, tzinfo=timezone.utc)  # noqa: UP017  # medallion's Pythons lack UTC
    return {
        "id": IDS[name],
        "title": name.replace("_", " ").capitalize(),
        "can_read": name != "write_only",
        "can_write": name in ("read_write", "write_only"),
        "media_types": [STIX],
        "objects": filled,
        "manifest": [
            {
                "id": one["id"],
                "date_added": (first + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                "version": one["modified"],
                "media_type": STIX,
            }
            for number, one in enumerate(filled)
        ],
    }


def root(title: str, collections: list[dict[str, object]]) -> dict[str, object]:
    """An API root as medallion's memory keeps it."""
    information = {"title": title, "versions": [MEDIA], "max_content_length": 1024 * 1024}
    return {"information": information, "status": [], "collections": collections}


def main() -> None:
    """Fill, tell, serve."""
    own = [
        collection(name, objects() if name == "read_only" else [])
        for name in ("read_write", "read_only", "write_only")
    ]
    data = {
        "/discovery": {"title": "medallion", "default": "/lab/", "api_roots": ["/lab/"]},
        "lab": root("Lab", own),
        "other": root("Another", [collection("not_visible", [])]),
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(data, file)
        file.flush()
        config = {
            "backend": {
                "module": "medallion.backends.memory_backend",
                "module_class": "MemoryBackend",
                "filename": file.name,
            },
            "users": {"lab-client": "lab-password"},
            "taxii": {"max_page_size": 50},
        }
        app = medallion.application_instance
        for part in config:
            medallion.set_config(app, part, config)
    medallion.register_blueprints(app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    base = f"http://127.0.0.1:{server.server_port}"
    told = {"base": base, "api_root": f"{base}/lab/", "user": "lab-client"}
    sys.stdout.write(json.dumps({**told, "password": "lab-password", **IDS}) + "\n")
    sys.stdout.flush()
    # medallion's own threads do not end by themselves.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    server.serve_forever()


if __name__ == "__main__":
    main()
