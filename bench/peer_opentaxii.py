"""OpenTAXII as an application for gunicorn; run as a script, makes its API root and collection and
prints their ids.

Run with a Python that has OpenTAXII (it is no dependency of this project) and with
`OPENTAXII_CONFIG` set. OpenTAXII 0.9.3 keeps ids as UUIDs in SQLite and then cannot write them as
JSON, so that it answers a POST with 500 after it has stored the objects; here they are written as
text.
"""

from __future__ import annotations

import json
import sys
import uuid


def as_text(_: json.JSONEncoder, value: object) -> str:
    """What JSON itself cannot write."""
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"Expected what JSON can write, got {type(value).__name__}.")


json.JSONEncoder.default = as_text  # type: ignore[method-assign]  # see above

from opentaxii.http import app  # noqa: E402  # it takes `json` as it finds it

if __name__ == "__main__":
    with app.app_context():
        api = app.taxii_server.servers.taxii2.persistence.api
        root = api.add_api_root(title="Lab", default=True)
        # For everybody: an administrator's account alone has no right to a collection.
        collection = api.add_collection(
            api_root_id=root.id, title="Read and write", is_public=True, is_public_write=True
        )
        made = {"root": str(root.id), "collection": str(collection.id)}
        sys.stdout.write(json.dumps(made) + "\n")
