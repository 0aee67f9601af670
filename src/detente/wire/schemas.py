"""The OASIS JSON schemas of STIX 2.1, compiled once, read from an installed package, offline.

The files come with the package ``stix2-validator`` (BSD-3-Clause); its code is never imported.
No schema is ever fetched: references are resolved within the files, and retrieval is switched
off.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson

from detente.errors import Broken

__all__ = ["properties", "validators"]


def _folder() -> Path:
    spec = importlib.util.find_spec("stix2validator")
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise Broken(
            "stix.schemas",
            "Expected the package stix2-validator with its schemas, got none.",
            hint="Install the project's locked requirements again (`make setup`).",
        )
    return Path(next(iter(places))) / "schemas-2.1" / "schemas"


def _refused(uri: str) -> Any:
    # Reached only if a reference leads out of the files: then nothing is known of the object.
    raise ValueError(f"not in the local registry: {uri}")


@functools.cache
def _schemas() -> dict[Path, Any]:
    return {path: orjson.loads(path.read_bytes()) for path in sorted(_folder().rglob("*.json"))}


@functools.cache
def properties() -> dict[str, frozenset[str]]:
    """The names of the properties that the standard has for each of its types."""
    schemas = {path.resolve(): schema for path, schema in _schemas().items()}

    def names(path: Path) -> set[str]:
        found = set(schemas[path].get("properties", ()))
        for part in schemas[path].get("allOf", ()):
            found |= set(part.get("properties", ()))
            ref = str(part.get("$ref", ""))
            if ref.endswith(".json"):
                found |= names((path.parent / ref).resolve())
        return found

    return {path.stem: frozenset(names(path)) for path in schemas if path.stem in validators()}


@functools.cache
def validators() -> dict[str, Any]:
    """A compiled validator for every type the standard defines, by type."""
    schemas = _schemas()
    resources = [(schema["$id"], schema) for schema in schemas.values() if "$id" in schema]
    registry = jsonschema_rs.Registry(resources, retriever=_refused)
    found = {}
    for path, schema in schemas.items():
        if path.parent.name in ("sdos", "sros", "observables") or path.stem in (
            "marking-definition",
            "extension-definition",
            "language-content",
        ):
            found[path.stem] = jsonschema_rs.validator_for(
                schema, registry=registry, retriever=_refused
            )
    return found
