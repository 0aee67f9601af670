"""Batch: acceptable objects of a publication, each with the handling that it is entered under.

Where neither the publication nor the kind asks for more, a handling is made once for all objects of
a type, its markings and extensions, and no object is looked into again. Only what is demanded, or
said by an object itself, is looked for in each.

Flags say what was so when the item was entered, and only what its kind asks for or somebody said:
evidence that STIX itself names is looked for where the kind demands evidence. So a later version of
an agreement that demands more holds what came before it, until it is published anew.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from detente.errors import Invalid
from detente.gateway.intern import MARKINGS_MAX
from detente.gateway.sift import Name, name_of
from detente.gateway.stated import Refused, Said, Stated, grade_of, purpose_of, refusal
from detente.model import Agreement, Handling, Kind, Minimisation
from detente.rules.answers import Answered
from detente.rules.demands import flag_of
from detente.wire.markings import Marked, MarkingNames, grades_of, markings_of
from detente.wire.stated import STATED, Look, look
from detente.wire.stix import Cut, CutObject, Limits
from detente.wire.transformed import recut, transformed

__all__ = ["Batch", "Ran", "sort_batch"]

#: How far ahead of the node's clock an observation may lie and still be believed: clocks differ.
AHEAD_MS_MAX: Final = 5 * 60_000

#: What ran on an object (a minimisation's id), and the SHA-256 of its bytes before and after.
Ran = tuple[str, bytes, bytes]


class Batch(msgspec.Struct, kw_only=True):
    """Acceptable objects, by what they are known; ``sorts`` has for each the place of its handling
    in ``handlings``. ``refs`` are the ids that an object refers to, where its kind asks for them;
    ``ran`` is what was done to an object before it is entered. ``bulk`` has the kinds of which more
    came than pass without review, and how many."""

    sender: str
    partial: bool
    said: Said
    tests: tuple[Answered, ...]
    objects: list[CutObject] = []
    names: list[Name] = []
    sorts: list[int] = []
    handlings: list[Handling] = []
    refs: dict[int, tuple[str, ...]] = {}
    ran: dict[int, list[Ran]] = {}
    bulk: dict[str, int] = {}
    places: dict[Handling, int] = {}

    def put(self, one: CutObject, sort: int) -> int:
        """Take in an object; its place."""
        self.objects.append(one)
        self.names.append(name_of(one.id, one.version, one.sha256))
        self.sorts.append(sort)
        return len(self.objects) - 1

    def sort_of(self, handling: Handling) -> int:
        """The place of a handling, each once."""
        place = self.places.setdefault(handling, len(self.handlings))
        if place == len(self.handlings):
            self.handlings.append(handling)
        return place

    def change(self, at: int, one: CutObject, ran: Ran) -> None:
        """Put what has become of an object in its place."""
        self.objects[at] = one
        self.names[at] = name_of(one.id, one.version, one.sha256)
        self.ran.setdefault(at, []).append(ran)

    def take_out(self, indexes: Collection[int]) -> None:
        """Leave out the objects that had these places in the request."""
        if not indexes:
            return
        left = [at for at, one in enumerate(self.objects) if one.index not in indexes]
        self.objects = [self.objects[at] for at in left]
        self.names = [self.names[at] for at in left]
        self.sorts = [self.sorts[at] for at in left]
        self.refs = {new: self.refs[at] for new, at in enumerate(left) if at in self.refs}
        self.ran = {new: self.ran[at] for new, at in enumerate(left) if at in self.ran}


class _Sort(msgspec.Struct, frozen=True):
    """What is known of objects alike: their kind, markings and the grades that these say, and the
    place of their handling unless each is looked into."""

    kind: Kind
    marked: Marked
    grades: tuple[str, ...]
    place: int | None


def sort_batch(
    done: Cut, stated: Stated, names: MarkingNames, limits: Limits
) -> tuple[Batch, list[Refused]]:
    """The acceptable objects with their handlings; and those that no kind fits, that say of
    themselves what is not so, or that are no objects any more once minimised."""
    sorter = _Sorter(done, stated, names, limits)
    sorts: dict[tuple[str, *tuple[tuple[str, ...], ...]], _Sort] = {}
    batch = Batch(
        sender=stated.sender, partial=stated.partial, said=stated.said, tests=stated.tests
    )
    refused = []
    for one in done.objects:
        key = (one.type, one.marking_refs, one.granular_marking_refs, one.labels, one.extensions)
        sort = sorts.get(key)
        try:
            if sort is None:
                sort = sorts[key] = sorter.sort(batch, one)
            if sort.place is not None:
                batch.put(one, sort.place)
            else:
                sorter.look_into(batch, one, sort)
        except Invalid as error:
            refused.append(refusal(one, error))
    return batch, refused


class _Sorter:
    def __init__(self, done: Cut, stated: Stated, names: MarkingNames, limits: Limits) -> None:
        self._stated = stated
        self._names = names
        #: What references may lead to where a minimisation takes them out: this publication.
        self._given = frozenset(one.id for one in done.objects)
        self._limits = limits
        self._passed = frozenset(test.test for test in stated.tests if test.passed)
        terms = stated.agreement
        self._minimisations = {one.id: one for one in terms.minimisations}

    def sort(self, batch: Batch, one: CutObject) -> _Sort:
        """What is done with objects like this one."""
        marked = markings_of(one, self._names)
        if len(marked.names) > MARKINGS_MAX:
            raise Invalid(
                "publish.markings",
                f"Expected at most {MARKINGS_MAX} markings, got {len(marked.names)}.",
            )
        stated = self._stated
        name = stated.kind or _kind_of(stated.agreement, one.type, one.extensions)
        kind = None if name is None else stated.agreement.kind(name)
        if kind is None:
            raise Invalid(
                "publish.no-kind",
                f"Expected a kind of the agreement for type {one.type}, got none.",
            )
        grades = grades_of(one, self._names)
        if len(grades) > 1:
            raise Invalid(
                "publish.grade", f"Expected one grade among its markings, got {', '.join(grades)}."
            )
        sort = _Sort(kind, marked, grades, None)
        if _looks_into(kind, one, stated.said):
            return sort
        handling = self._handling(sort, one.type, None, ())
        return msgspec.structs.replace(sort, place=batch.sort_of(handling))

    def look_into(self, batch: Batch, one: CutObject, sort: _Sort) -> None:
        """Take in one object by what it says itself."""
        kind, found = sort.kind, look(one.raw)
        ran: list[Ran] = []
        for name in kind.minimise:
            minimisation = self._minimisations.get(name)
            # One that the agreement does not have cannot run; the item is held for that.
            if minimisation is not None:
                before, one = one, self._minimised(minimisation, one)
                ran.append((name, before.sha256, one.sha256))
        left = look(one.raw) if ran else found
        if ran:
            # What was said of an object stands; evidence is what still stands in it.
            own = found.own and msgspec.structs.replace(
                found.own, evidence=left.own.evidence if left.own else ()
            )
            found = msgspec.structs.replace(found, own=own, evidence=left.evidence)
        handling = self._handling(sort, one.type, found, tuple(name for name, _, _ in ran))
        at = batch.put(one, batch.sort_of(handling))
        if ran:
            batch.ran[at] = ran
        if kind.references != "keep":
            batch.refs[at] = left.refs

    def _minimised(self, minimisation: Minimisation, one: CutObject) -> CutObject:
        return recut(
            one,
            transformed(one.raw, minimisation.steps, self._given),
            self._limits,
            minimisation.id,
        )

    def _handling(
        self, sort: _Sort, stix_type: str, found: Look | None, ran: tuple[str, ...]
    ) -> Handling:
        kind, marked = sort.kind, sort.marked
        stated, terms = self._stated, self._stated.agreement
        own = found.own if found is not None else None
        place = f"$.extensions.{STATED}" if own is not None else ""
        flags = {*stated.flags, *(("part",) if marked.part else ())}
        flags |= {flag_of(terms, "minimised", name) for name in ran}
        flags |= {flag_of(terms, "tested", name) for name in kind.tests if name in self._passed}
        flags |= self._flags(kind, found)
        return Handling(
            collection=stated.collection,
            kind=kind.id,
            stix_type=stix_type,
            originator=(own.originator if own else "") or stated.said.originator or stated.sender,
            unit=stated.unit,
            markings=tuple(sorted({*marked.names, *stated.markings})),
            purpose=purpose_of(
                terms, (own.purpose if own else "") or stated.purpose, path=f"{place}.purpose"
            ),
            grade=grade_of(
                terms,
                kind,
                (own.grades if own else ()) or sort.grades or stated.grades,
                missing=terms.grade_required,
                path=f"{place}.grades",
            ),
            flags=tuple(sorted(flags)),
        )

    def _flags(self, kind: Kind, found: Look | None) -> set[str]:
        said, own = self._stated.said, found.own if found is not None else None
        flags = set()
        nature = (own.nature if own else "") or said.nature
        if nature:
            flags.add(nature)
        if (own and own.evidence) or said.evidence or (kind.evidence and found and found.evidence):
            flags.add("evidence")
        if said.court if own is None or own.court is msgspec.UNSET else own.court:
            flags.add("court")
        if kind.fresh_within_ms is not None:
            observed_ms = own.observed_ms if own else None
            for other in (said.observed_ms, found.seen_ms if found else None):
                observed_ms = other if observed_ms is None else observed_ms
            if not _is_fresh(observed_ms, kind.fresh_within_ms, self._stated.now_ms):
                flags.add("stale")
        return flags


def _is_fresh(observed_ms: int | None, within_ms: int, now_ms: int) -> bool:
    """What nobody says the time of, or what is said to come, is not known to be fresh."""
    return observed_ms is not None and -AHEAD_MS_MAX <= now_ms - observed_ms <= within_ms


def _looks_into(kind: Kind, one: CutObject, said: Said) -> bool:
    """True if objects of this kind are looked into one by one."""
    return (
        STATED in one.extensions
        or (kind.evidence and not said.evidence)
        or (kind.fresh_within_ms is not None and said.observed_ms is None)
        or bool(kind.minimise)
        or kind.references != "keep"
    )


def _kind_of(agreement: Agreement, stix_type: str, extensions: tuple[str, ...]) -> str | None:
    for rule in agreement.kind_rules:
        if (not rule.types or stix_type in rule.types) and (
            rule.extension is None or rule.extension in extensions
        ):
            return rule.kind
    return None
