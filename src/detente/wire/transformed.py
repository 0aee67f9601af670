"""Transformed: an object whose bytes were changed here, before it was entered.

The only place besides tear-lines where bytes are not those received. What comes out must be an
object like what went in: the same type, id, version and markings, and no less valid. Numbers and
white space may be written otherwise than they came.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

import orjson

from detente.errors import Invalid
from detente.model import Step
from detente.rules.transform import apply, to_bytes
from detente.wire.stix import CutObject, Limits, cut
from detente.wire.tags import read_tag

__all__ = ["recut", "transformed"]


def transformed(raw: bytes, steps: Sequence[Step], given: Container[str]) -> bytes:
    """The object with these steps done to it, in order; ``given`` has the ids that references may
    lead to."""
    return to_bytes(apply(orjson.loads(raw), steps, given=given.__contains__).value)


def recut(one: CutObject, raw: bytes, limits: Limits, what: str) -> CutObject:
    """The object with other bytes; ``Invalid`` if they are no object, another one, one marked
    otherwise, or less valid by the schemas than it was."""
    done = cut(raw, limits)
    if not done.objects:
        found = done.refusals[0]
        sentence, path = found.sentence, found.path
    else:
        new = done.objects[0]
        same = all(
            getattr(new, name) == getattr(one, name)
            for name in ("type", "id", "version", "marking_refs")
            # The marking of a part goes with its part; what decisions see are those that came.
        ) and set(new.granular_marking_refs) <= set(one.granular_marking_refs)
        # Labels are words for people, but for those that are markings.
        tags = {label for label in one.labels if read_tag(label, None)}
        same = same and tags <= set(new.labels)
        if same and len(new.warnings) <= len(one.warnings):
            return replace(new, index=one.index)
        worse = new.warnings[0] if same else None
        sentence = worse.sentence if worse else "its type, id, version or markings are others."
        path = worse.path if worse else ""
    raise Invalid(
        "publish.minimised",
        f"Expected an object after {what}, got one that does not stand: {sentence}",
        hint="Let the minimisation replace what the object cannot do without.",
        path=path,
    )
