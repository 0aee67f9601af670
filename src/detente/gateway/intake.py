"""Intake: what comes in becomes entries of a collection, in one durable transaction.

A publication is taken whole or not at all, unless its publisher asked for ``partial``; every
refused object is named with its reason. A received page is taken whole, after ``exchange`` has
checked its proof. Either way the bytes are kept as they came, and what is known already (same
object, same bytes) is not entered again, so everything may be repeated.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from detente.errors import Conflict, Invalid, Missing, NotAuthorised
from detente.gateway.book import Book, collection_key
from detente.gateway.feeds import Change, decide_for, see_handling
from detente.gateway.gate import Current, Gate
from detente.model import Agreement, Collection, Handling, encode, object_key
from detente.model.names import Record
from detente.ports import NewItem, Tx, View
from detente.proof import leaf_hash, root_of
from detente.wire.markings import MarkingNames, markings_of
from detente.wire.stix import Cut, CutObject, Limits, cut, version_of

__all__ = ["Intake", "Publication", "Published", "Received", "Refused"]

#: Refusals told by name; more are counted only.
REFUSALS_MAX = 10_000
#: Readers whose outcomes are told in the answer to a publication.
OUTCOMES_MAX = 20


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """What a publisher gives: the bytes, and what STIX has no field for."""

    agreement: str
    collection: str
    party: str
    body: bytes
    kind: str | None = None
    purpose: str | None = None
    grade: str | None = None
    unit: str | None = None
    partial: bool = False


class Refused(Record, frozen=True, kw_only=True):
    """One object that was not taken: its place in the request, and why."""

    index: int
    id: str = ""
    type: str = ""
    code: str
    sentence: str
    path: str = ""


class Warned(Record, frozen=True, kw_only=True):
    """One object that was taken though it is not strictly valid."""

    index: int
    id: str
    code: str
    sentence: str
    path: str = ""


class Published(Record, frozen=True, kw_only=True):
    """The answer to a publication, once it is on disk.

    ``outcomes`` says for each reader how many of the new items are released, held or refused by
    the present standing; ``first`` and ``end`` bound their sequence numbers.
    """

    agreement: str
    collection: str
    taken: int
    known: int
    refused: tuple[Refused, ...]
    warnings: tuple[Warned, ...]
    first: int
    end: int
    entry: int | None
    root: str
    by_type: dict[str, int]
    outcomes: dict[str, dict[str, int]]
    ids: tuple[str, ...]


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """A partner's page whose proof holds: its objects with their handlings, in order."""

    agreement: str
    collection: str
    sender: str
    origin: str
    index: int
    root: bytes
    objects: tuple[tuple[bytes, str, Handling], ...]


class Intake:
    """Takes publications and received pages into collections."""

    def __init__(
        self, book: Book, gate: Gate, limits: Limits, published: Callable[[], None]
    ) -> None:
        self._book = book
        self._gate = gate
        self._limits = limits
        self._published = published

    async def publish(self, publication: Publication) -> Published:
        """Take a publication; answers when it is on disk.

        Refuses as a whole: an unknown collection, a party that is not its sender, a missing
        purpose or grade where the agreement demands them (R34), a body that cannot be cut, and,
        unless partial, any object that is refused.
        """
        await self._gate.settled(publication.agreement)
        current = self._gate.current(publication.agreement)
        agreement, collection = _collection(current, publication)
        assert current is not None  # noqa: S101  # _collection has refused otherwise
        stated = _stated(publication, agreement, collection)
        limits = self._limits
        done = await asyncio.to_thread(cut, publication.body, limits)
        key = collection_key(agreement.id, collection.name)
        names = await self._book.store.read(lambda view: _known_markings(view, key, done))
        handlings, refused = _handle(done, stated, agreement, names)
        refused += [
            Refused(
                index=r.index, id=r.id, type=r.type, code=r.code, sentence=r.sentence, path=r.path
            )
            for r in done.refusals
        ]
        refused.sort(key=lambda one: one.index)
        if refused and not publication.partial:
            first = refused[0]
            raise Invalid(
                "publish.refused",
                f"Expected every object to be acceptable, got {len(refused)} that are not; first: "
                f"object {first.index} {first.id}: {first.sentence}",
                hint="Publish with --partial to take what is acceptable.",
                path=first.path,
            )
        change = Change(
            current=current, party=self._book.me.party, now_us=self._book.clock.now_us()
        )
        taken = [one for one in done.objects if one.index in handlings]
        result = await self._book.store.write(
            lambda tx: self._enter(tx, key, taken, handlings, change)
        )
        self._published()
        return _answer(publication, done, refused[:REFUSALS_MAX], result, taken)

    def _enter(
        self,
        tx: Tx,
        key: str,
        objects: list[CutObject],
        handlings: dict[int, Handling],
        change: Change,
    ) -> _Entered:
        """One transaction: handlings, items, the publish entry."""
        known = tx.known(key, [(object_key(one.id), one.sha256) for one in objects])
        _check_versions(tx, key, objects, known)
        new = _first_of_each(objects, known)
        numbers = self._intern(tx, key, {handlings[one.index] for one in new}, change)
        items = [
            NewItem(
                key=object_key(one.id),
                raw=one.raw,
                sha256=one.sha256,
                handling=numbers[handlings[one.index]],
            )
            for one in new
        ]
        first = tx.collection(key).end
        if not items:
            return _Entered(new=0, first=first, end=first, entry=None, root=b"", outcomes={})
        state = tx.append_items(key, items, change.now_us)
        root = root_of([leaf_hash(item.sha256) for item in items])
        entry, _ = self._book.write_root_entry(
            tx,
            self._book.me.log_of(change.current.agreement),
            "publish",
            root,
            collection=key.partition("/")[2],
            party=next(iter(handlings.values())).originator,
            count=len(items),
            first=first,
        )
        outcomes = self._outcomes(change, Counter(handlings[one.index] for one in new))
        return _Entered(
            new=len(items), first=first, end=state.end, entry=entry, root=root, outcomes=outcomes
        )

    def _intern(
        self, tx: Tx, key: str, handlings: set[Handling], change: Change
    ) -> dict[Handling, int]:
        numbers = {}
        for handling in sorted(handlings, key=encode):
            number, is_new = tx.intern(key, encode(handling))
            numbers[handling] = number
            if is_new:
                # The standing may have moved since it was read; what the gate holds now is what
                # the feeds stand at, or are being brought to by a later transaction.
                current = self._gate.current(change.current.agreement) or change.current
                fresh = Change(current=current, party=change.party, now_us=change.now_us)
                see_handling(tx, key, number, handling, fresh)
        return numbers

    def _outcomes(
        self, change: Change, counted: Counter[Handling]
    ) -> dict[str, dict[str, int]]:
        """What the present standing makes of the new items, for the first readers at least: it
        is told for information, and a thousand readers must not make publishing dearer."""
        agreement = change.current.standing.agreement
        name = next(iter(counted)).collection
        collection = agreement.collection(name) if agreement else None
        found = {}
        for party in (collection.readers if collection else ())[:OUTCOMES_MAX]:
            sums: Counter[str] = Counter()
            for handling, count in counted.items():
                decision = decide_for(change.current, handling, own=change.party, party=party)
                sums[decision.outcome] += count
            found[party] = dict(sums)
        return found

    async def receive(self, page: Received, keep: Callable[[Tx, int, int], None]) -> int:
        """Take a partner's page; how many of its items were new. ``keep`` runs in the same
        transaction with (new, known), so that the reader's place and the receipt are on disk
        exactly when the items are."""
        current = self._gate.current(page.agreement)
        if current is None:
            raise Missing("agreement.unknown", f"Expected a known agreement, got {page.agreement}.")
        key = collection_key(page.agreement, page.collection)
        book = self._book
        change = Change(current=current, party=book.me.party, now_us=book.clock.now_us())
        digests = await asyncio.to_thread(_digests, [raw for raw, _, _ in page.objects])

        def work(tx: Tx) -> int:
            keys = [object_key(stix_id) for _, stix_id, _ in page.objects]
            known = tx.known(key, list(zip(keys, digests, strict=True)))
            numbers = self._intern(tx, key, {handling for _, _, handling in page.objects}, change)
            seen: set[tuple[bytes, bytes]] = set()
            items = []
            for (raw, _, handling), name, sha256, at in zip(
                page.objects, keys, digests, known, strict=True
            ):
                if at is None and (name, sha256) not in seen:
                    seen.add((name, sha256))
                    items.append(
                        NewItem(key=name, raw=raw, sha256=sha256, handling=numbers[handling])
                    )
            if items:
                tx.append_items(key, items, change.now_us)
            book.write_root_entry(
                tx,
                book.me.log_of(page.agreement),
                "receive",
                page.root,
                collection=page.collection,
                party=page.sender,
                count=len(page.objects),
                origin=page.origin,
                index=page.index,
            )
            keep(tx, len(items), len(page.objects) - len(items))
            return len(items)

        new = await book.store.write(work)
        self._published()
        return new


class _Entered(msgspec.Struct, frozen=True, kw_only=True):
    new: int
    first: int
    end: int
    entry: int | None
    root: bytes
    outcomes: dict[str, dict[str, int]]


class _Stated(msgspec.Struct, frozen=True, kw_only=True):
    """What the publisher said of all objects, or the collection says for it."""

    collection: str
    originator: str
    unit: str
    kind: str | None
    purpose: str | None
    grade: str | None


def _collection(
    current: Current | None, publication: Publication
) -> tuple[Agreement, Collection]:
    agreement = current.standing.agreement if current else None
    collection = agreement.collection(publication.collection) if agreement else None
    if agreement is None or collection is None:
        raise Missing(
            "collection.unknown",
            f"Expected a collection of an agreement, got {publication.collection}.",
            hint="`detente agreement show` lists the collections.",
        )
    if collection.sender != publication.party:
        raise NotAuthorised(
            "collection.not-sender",
            f"Expected {collection.sender} to write to {collection.name}, "
            f"got {publication.party}.",
        )
    return agreement, collection


def _stated(publication: Publication, agreement: Agreement, collection: Collection) -> _Stated:
    purpose = publication.purpose or collection.purpose
    grade = publication.grade or collection.grade
    if agreement.purpose_required and purpose is None:
        raise Invalid(
            "publish.purpose",
            f"Expected a purpose ({', '.join(p.id for p in agreement.purposes)}), got none.",
            hint="Say it with --purpose.",
        )
    if purpose is not None and all(p.id != purpose for p in agreement.purposes):
        raise Invalid(
            "publish.purpose",
            f"Expected a purpose among {', '.join(p.id for p in agreement.purposes)}, "
            f"got {purpose}.",
        )
    if agreement.grade_required and grade is None:
        raise Invalid(
            "publish.grade",
            "Expected a grade (scheme:value, such as admiralty:B2), got none.",
            hint="Say it with --grade.",
        )
    member = agreement.member(publication.party)
    units = member.units if member else ()
    unit = publication.unit or collection.unit or (units[0] if len(units) == 1 else None)
    if unit is None or unit not in units:
        raise Invalid(
            "publish.unit",
            f"Expected a unit among {', '.join(units)}, got {unit or 'none'}.",
            hint="Say it with --unit.",
        )
    if publication.kind is not None and agreement.kind(publication.kind) is None:
        raise Invalid(
            "publish.kind",
            f"Expected a kind among {', '.join(k.id for k in agreement.kinds)}, "
            f"got {publication.kind}.",
        )
    return _Stated(
        collection=collection.name,
        originator=publication.party,
        unit=unit,
        kind=publication.kind,
        purpose=purpose,
        grade=grade,
    )


def _handle(
    done: Cut, stated: _Stated, agreement: Agreement, names: MarkingNames
) -> tuple[dict[int, Handling], list[Refused]]:
    """The handling of each acceptable object, interned by value; and those no kind fits."""
    shared: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Handling | None] = {}
    handlings: dict[int, Handling] = {}
    refused = []
    for one in done.objects:
        markings = markings_of(one, names)
        sort = (one.type, markings, one.extensions)
        if sort not in shared:
            kind = stated.kind or _kind_of(agreement, one.type, one.extensions)
            shared[sort] = None if kind is None else Handling(
                collection=stated.collection,
                kind=kind,
                stix_type=one.type,
                originator=stated.originator,
                unit=stated.unit,
                markings=markings,
                purpose=stated.purpose,
                grade=stated.grade,
            )
        handling = shared[sort]
        if handling is None:
            refused.append(
                Refused(
                    index=one.index,
                    id=one.id,
                    type=one.type,
                    code="publish.no-kind",
                    sentence=f"Expected a kind of the agreement for type {one.type}, got none.",
                )
            )
        else:
            handlings[one.index] = handling
    return handlings, refused


def _kind_of(agreement: Agreement, stix_type: str, extensions: tuple[str, ...]) -> str | None:
    for rule in agreement.kind_rules:
        if (not rule.types or stix_type in rule.types) and (
            rule.extension is None or rule.extension in extensions
        ):
            return rule.kind
    return None


def _known_markings(view: View, key: str, done: Cut) -> MarkingNames:
    """Names of the marking definitions that the objects refer to: those in the request, and
    those that entered the collection before."""
    names = MarkingNames.of(done)
    for marking_id in names.missing(done):
        for seq in view.find(key, object_key(marking_id)):
            block = view.block(key, seq)
            if block is not None:
                names = names.learn(block.raw(seq))
    return names


def _check_versions(
    tx: Tx, key: str, objects: list[CutObject], known: list[int | None]
) -> None:
    """The same id and version with other content would let two readers hold two truths: the
    second is refused, within one request as well. What is known byte for byte is no conflict."""
    seen: dict[tuple[str, str], bytes] = {}
    for one, at in zip(objects, known, strict=True):
        if not one.version:
            continue
        other = seen.setdefault((one.id, one.version), one.sha256) != one.sha256
        if not other and at is None:
            other = any(
                version_of(raw) == one.version for raw in _stored(tx, key, object_key(one.id))
            )
        if other:
            raise Conflict(
                "publish.version",
                f"Expected one content for {one.id} {one.version}, got two.",
                hint="A new content needs a new `modified`.",
            )


def _stored(tx: Tx, key: str, name: bytes) -> Iterator[bytes]:
    for seq in tx.find(key, name):
        block = tx.block(key, seq)
        if block is not None:
            yield block.raw(seq)


def _first_of_each(objects: list[CutObject], known: list[int | None]) -> list[CutObject]:
    seen: set[tuple[str, bytes]] = set()
    found = []
    for one, at in zip(objects, known, strict=True):
        if at is None and (one.id, one.sha256) not in seen:
            seen.add((one.id, one.sha256))
            found.append(one)
    return found


def _answer(
    publication: Publication,
    done: Cut,
    refused: list[Refused],
    entered: _Entered,
    taken: list[CutObject],
) -> Published:
    return Published(
        agreement=publication.agreement,
        collection=publication.collection,
        taken=entered.new,
        known=len(taken) - entered.new,
        refused=tuple(refused),
        warnings=tuple(
            Warned(index=one.index, id=one.id, code=w.code, sentence=w.sentence, path=w.path)
            for one in done.objects
            for w in one.warnings
        )[:REFUSALS_MAX],
        first=entered.first,
        end=entered.end,
        entry=entered.entry,
        root=entered.root.hex(),
        by_type=dict(sorted(Counter(one.type for one in taken).items())),
        outcomes=entered.outcomes,
        ids=tuple(one.id for one in taken),
    )


def _digests(raws: list[bytes]) -> list[bytes]:
    return [hashlib.sha256(raw).digest() for raw in raws]
