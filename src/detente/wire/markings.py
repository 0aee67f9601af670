"""Names of the markings of an object, as decisions use them.

An object is marked by references to definitions (``wire.definition``), as a whole or in parts, and
by labels that are tags of taxonomies of markings (``wire.tags``). What a reference leads to that
is not here, or is not understood, is named ``unknown:<id>``, and unknown means hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from detente.wire.definition import FIXED_IDS, Meaning, read_definition
from detente.wire.stix import Cut, CutObject
from detente.wire.tags import admiralty_of, read_tag

__all__ = ["Marked", "MarkingNames", "grades_of", "markings_of", "marking_refs"]


#: Markings of one object that are looked up.
REFS_MAX: Final = 64
_FIXED: Final = {marking_id: Meaning((name,)) for marking_id, name in FIXED_IDS.items()}


class MarkingNames(msgspec.Struct, frozen=True):
    """What marking definitions say, by id, at the time of entry."""

    at_ms: int
    meanings: Mapping[str, Meaning] = msgspec.field(default_factory=dict)

    def learn(self, definitions: Iterable[tuple[str, bytes]]) -> MarkingNames:
        """Take in marking definitions by id; the first of an id counts, and a fixed id keeps its
        fixed meaning whatever they say."""
        meanings = dict(self.meanings)
        for marking_id, raw in definitions:
            if marking_id not in meanings:
                meanings[marking_id] = read_definition(marking_id, raw, self.at_ms)
        return MarkingNames(self.at_ms, meanings)

    def missing(self, cut: Cut) -> frozenset[str]:
        """Ids that objects refer to and nothing here says what they are."""
        used = {
            ref for one in cut.objects for ref in (*one.marking_refs, *one.granular_marking_refs)
        }
        return frozenset(used - self.meanings.keys() - FIXED_IDS.keys())

    def meaning(self, marking_id: str) -> Meaning:
        """What a marking says; of one that is not known, that it is not."""
        found = _FIXED.get(marking_id) or self.meanings.get(marking_id)
        return found or read_definition(marking_id, None, self.at_ms)


class Marked(msgspec.Struct, frozen=True):
    """The markings of an object. ``part``: some of them are those of parts only."""

    names: tuple[str, ...] = ()
    part: bool = False


def markings_of(one: CutObject, names: MarkingNames) -> Marked:
    """The names of all markings on an object, those on parts of it counted for the whole: a part
    above the limit keeps the object back, it is never sent whole by mistake (R36). What a selector
    selects makes no difference."""
    if not (one.marking_refs or one.granular_marking_refs or one.labels):
        return Marked()
    whole = {name for ref in one.marking_refs for name in names.meaning(ref).names}
    whole.update(name for label in one.labels for name in read_tag(label, names.at_ms))
    parts = {name for ref in one.granular_marking_refs for name in names.meaning(ref).names}
    return Marked(tuple(sorted(whole | parts)), bool(parts - whole))


def grades_of(one: CutObject, names: MarkingNames) -> tuple[str, ...]:
    """The grades that an object as a whole is marked or labelled with, in the Admiralty scale: one
    for each source reliability with each information credibility, none where one of them is not
    said. More than one means that the object contradicts itself."""
    meanings = [names.meaning(ref) for ref in one.marking_refs]
    halves = [(meaning.reliability, meaning.credibility) for meaning in meanings]
    halves += [half for half in map(admiralty_of, one.labels) if half is not None]
    sources = {source for source, _ in halves if source}
    credibilities = {credibility for _, credibility in halves if credibility}
    return tuple(
        f"admiralty:{source}{credibility}"
        for source in sorted(sources)
        for credibility in sorted(credibilities)
    )


class _Marked(msgspec.Struct, frozen=True):
    object_marking_refs: Any = None
    granular_markings: Any = None


def marking_refs(raw: bytes) -> tuple[str, ...]:
    """The ids of the markings that an object refers to, those of its parts too, up to ``REFS_MAX``;
    what has another form is left out, for the names in its handling count, not these."""
    try:
        found = msgspec.json.decode(raw, type=_Marked)
    except (msgspec.DecodeError, RecursionError):
        return ()
    whole = found.object_marking_refs if isinstance(found.object_marking_refs, list) else []
    parts = found.granular_markings if isinstance(found.granular_markings, list) else []
    refs = [*whole, *(one.get("marking_ref") for one in parts if isinstance(one, dict))]
    return tuple(dict.fromkeys(ref for ref in refs if isinstance(ref, str)))[:REFS_MAX]
