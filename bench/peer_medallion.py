"""medallion with one empty collection in memory, as an application for gunicorn.

Run with a Python that has medallion; it is no dependency of this project. `PEER_COLLECTION` names
the collection, `PEER_PASSWORD` is the password of the client `lab`, `PEER_FOLDER` a folder of ours.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import medallion

MEDIA = "application/taxii+json;version=2.1"
data = {
    "/discovery": {"title": "medallion", "default": "/lab/", "api_roots": ["/lab/"]},
    "lab": {
        "information": {
            "title": "Lab",
            "versions": [MEDIA],
            "max_content_length": 64 * 1024 * 1024,
        },
        "status": [],
        "collections": [
            {
                "id": os.environ["PEER_COLLECTION"],
                "title": "Read and write",
                "can_read": True,
                "can_write": True,
                "media_types": ["application/stix+json;version=2.1"],
                "objects": [],
                "manifest": [],
            }
        ],
    },
}
file = Path(os.environ["PEER_FOLDER"]) / "medallion.json"
file.write_text(json.dumps(data), encoding="utf-8")
config = {
    "backend": {
        "module": "medallion.backends.memory_backend",
        "module_class": "MemoryBackend",
        "filename": str(file),
    },
    "users": {"lab": os.environ["PEER_PASSWORD"]},
    "taxii": {"max_page_size": 1000},
}
app = medallion.application_instance
for part in config:
    medallion.set_config(app, part, config)
medallion.register_blueprints(app)
