"""Derive: a tear-line is made from an item, checked, and published like any other item.

The child is an object of its own with an id drawn at random. That it was made from another item,
and from which, is kept here only: in a table and, by a salted commitment, in the node's private
ledger; never in what a partner reads. Child and link are one transaction, so that there is none
without the other.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import uuid
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from detente.errors import Conflict, Invalid, Missing, NotAuthorised
from detente.gateway.book import Book, collection_key, split_key
from detente.gateway.feeds import Decided
from detente.gateway.gate import Gate
from detente.gateway.intake import Intake, Publication, Published
from detente.gateway.origin import CONTROLLED
from detente.model import Agreement, Handling, Step, canonical, decode, object_key
from detente.model.names import Record
from detente.ports import DerivedRow, Opening, Tx, View
from detente.proof import commit
from detente.rules.coarsen import instant_ms
from detente.rules.leftover import Finding, left_over
from detente.rules.times import time_text
from detente.rules.transform import apply, to_bytes
from detente.wire.definition import FIXED_IDS
from detente.wire.json import load_object
from detente.wire.stix import is_id, version_of

__all__ = ["DeriveAsk", "Derived", "Derives", "Kin", "Lineage", "StepDone", "check_second_person"]

#: What the commitment of a derive entry opens to: which item was made from which, and how.
DERIVE_MEDIA: Final = "application/vnd.detente.derive+json"
#: A child says when it was made no closer than this: to the second it could be matched with other
#: traces of its author's work.
ROUND_MS: Final = 60_000
#: Children, and theirs in turn, that are told of one item.
KIN_MAX: Final = 1000
#: Findings told in an error; a dry run tells them all.
FINDINGS_MAX: Final = 20


class DeriveAsk(Record, frozen=True, kw_only=True):
    """What to make from which item: by the ``steps``, or by those of the minimisation ``rule``.

    ``to`` is the collection that the child goes to; ``agreement`` may be left out if only one has
    a collection of that name that this party sends. ``markings`` (ids, or names such as
    ``tlp:green``) take the place of the parent's; what else is not said is the parent's.
    ``by`` is the office that derives.
    """

    item: str
    to: str
    agreement: str = ""
    rule: str | None = None
    steps: tuple[Step, ...] = ()
    markings: tuple[str, ...] | None = None
    by: str = ""
    kind: str | None = None
    purpose: str | None = None
    grade: str | None = None
    unit: str | None = None
    dry_run: bool = False


class StepDone(Record, frozen=True, kw_only=True):
    """A step and how many places it found; none is no error, but worth a look."""

    do: str
    path: str
    touched: int


class Left(Record, frozen=True, kw_only=True):
    """Something in the child that must not be there."""

    code: str
    path: str
    words: str


class Derived(Record, frozen=True, kw_only=True):
    """What was made, or with ``dry_run`` would be: the child as it is written, what the steps did,
    and what is left over (only a dry run tells it; else nothing is). ``published`` is the answer of
    the publication."""

    parent: str
    child: str
    content: str
    steps: tuple[StepDone, ...]
    left: tuple[Left, ...] = ()
    published: Published | None = None


class Kin(Record, frozen=True, kw_only=True):
    """One item that was made from another, as one of the two sees the other. ``stands``: it has
    not been taken back."""

    id: str
    agreement: str
    collection: str
    office: str
    at_ms: int
    stands: bool


class Lineage(Record, frozen=True, kw_only=True):
    """What an item was made from, and what was made from it, and from that in turn."""

    parents: tuple[Kin, ...]
    children: tuple[Kin, ...]


class _Parent(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    seq: int
    raw: bytes
    handling: Handling


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    parent: _Parent
    child: str
    raw: bytes
    done: tuple[StepDone, ...]
    findings: tuple[Finding, ...]


class Derives:
    """Makes tear-lines, and knows which item was made from which."""

    def __init__(self, book: Book, gate: Gate, intake: Intake) -> None:
        self._book = book
        self._gate = gate
        self._intake = intake

    async def derive(self, ask: DeriveAsk) -> Derived:
        """Make a child and publish it; answers when it is on disk.

        Refuses what is no item of a collection that this party sends (``Missing``), steps that
        cannot be done, an office that is none of this party's, or none where a second person has
        to see the child, and a child in which something of what was taken out is left
        (``derive.left-over``, with every finding). Then nothing is published and nothing noted.
        """
        if not ask.agreement:
            ask = replace(ask, agreement=self._only_agreement(ask.to))
        await self._gate.settled(ask.agreement)
        terms = self._terms(ask.agreement)
        if terms is None:
            raise Missing("agreement.unknown", f"Expected a known agreement, got {ask.agreement}.")
        steps = _steps(ask, terms)
        self._check_office(ask, terms)
        markings = None if ask.markings is None else [_marking(one) for one in ask.markings]
        parent, given = await self._book.store.read(lambda view: self._look(view, ask, steps))
        # Searching takes long where very much was taken out, and nothing else waits for it.
        made = await asyncio.to_thread(self._make, parent, given, steps, markings)
        if ask.dry_run:
            return _answer(ask, made)
        if made.findings:
            raise _left_over(made.findings)
        of = made.parent.handling
        published = await self._intake.publish(
            Publication(
                agreement=ask.agreement,
                collection=ask.to,
                party=self._book.me.party,
                body=made.raw,
                kind=ask.kind or (of.kind if terms.kind(of.kind) else None),
                purpose=ask.purpose or of.purpose,
                grade=ask.grade or of.grade,
                unit=ask.unit or of.unit,
                originator=of.originator,
                flags=_flags(of, terms),
                markings=_controls(of, self._book.me.party),
            ),
            keep=lambda tx, done: self._note(tx, ask, steps, made, done),
        )
        return _answer(ask, made, published)

    def _terms(self, agreement: str) -> Agreement | None:
        current = self._gate.current(agreement)
        return current.standing.agreement if current else None

    def _only_agreement(self, name: str) -> str:
        found = [
            agreement
            for agreement in self._book.agreements()
            if (terms := self._terms(agreement))
            and (collection := terms.collection(name))
            and collection.sender == self._book.me.party
        ]
        if len(found) != 1:
            raise Missing(
                "collection.unknown",
                f"Expected one agreement with a collection {name} of ours, got {len(found)}.",
                hint="--agreement says which one is meant.",
            )
        return found[0]

    def _check_office(self, ask: DeriveAsk, terms: Agreement) -> None:
        known = self._book.charter(self._book.me.party)
        offices = sorted(one.id for one in known.charter.offices) if known else []
        if (ask.by or terms.second_person) and ask.by not in offices:
            raise Invalid(
                "derive.office",
                f"Expected an office of this party ({', '.join(offices) or 'none is known'}), "
                f"got {ask.by or 'none'}.",
                hint="Say it with --by: another office releases what this one derives.",
            )

    def _look(
        self, view: View, ask: DeriveAsk, steps: tuple[Step, ...]
    ) -> tuple[_Parent, dict[str, bool]]:
        """The item, and for each object that the steps ask about whether readers of the child's
        collection are given it."""
        parent = self._find(view, ask.item)
        key = collection_key(ask.agreement, ask.to)
        asked: dict[str, bool] = {}

        def given(stix_id: str) -> bool:
            if stix_id not in asked:
                asked[stix_id] = self._is_given(view, key, stix_id)
            return asked[stix_id]

        apply(load_object(parent.raw), steps, given=given)
        return parent, asked

    def _is_given(self, view: View, key: str, stix_id: str) -> bool:
        """True if every reader of the collection is given all that stands there of an object."""
        agreement, name = split_key(key)
        current = self._gate.current(agreement)
        terms = current.standing.agreement if current else None
        collection = terms.collection(name) if terms else None
        seqs = list(_standing_entries(view, key, stix_id))
        if current is None or collection is None or not seqs:
            return False
        blocks = [(seq, view.block(key, seq)) for seq in seqs]
        numbers = {block.handlings[seq - block.first] for seq, block in blocks if block}
        kept = view.handlings(key)
        handlings = {number: decode(kept[number], Handling) for number in numbers}
        decided = Decided(current, self._book.me.party)
        return all(
            outcome == "release"
            for reader in collection.readers
            for outcome in decided.outcomes(name, handlings, reader).values()
        )

    def _make(
        self,
        parent: _Parent,
        asked: Mapping[str, bool],
        steps: tuple[Step, ...],
        markings: list[str] | None,
    ) -> _Made:
        """The child, and what is left over in it. Nothing is written."""
        value = load_object(parent.raw)
        given = asked.__getitem__
        applied = apply(value, steps, given=given)
        child = dict(applied.value)
        child["id"] = f"{parent.handling.stix_type}--{uuid.uuid4()}"
        child |= dict.fromkeys({"created", "modified"} & set(child), _made_at(value, self._book))
        if markings is not None:
            child.pop("object_marking_refs", None)
            child |= {"object_marking_refs": markings} if markings else {}
        return _Made(
            parent=parent,
            child=child["id"],
            raw=to_bytes(child),
            done=tuple(
                StepDone(do=step.do, path=step.path, touched=touched)
                for step, touched in zip(steps, applied.touched, strict=True)
            ),
            findings=left_over(value, child, steps, given=given),
        )

    def _find(self, view: View, item: str) -> _Parent:
        """The newest version of the item that stands in a collection which this party sends."""
        found: list[tuple[str, int, _Parent]] = []
        for agreement in self._book.agreements():
            terms = self._terms(agreement)
            for collection in terms.collections if terms else ():
                if collection.sender != self._book.me.party:
                    continue
                key = collection_key(agreement, collection.name)
                for seq in _standing_entries(view, key, item):
                    block = view.block(key, seq)
                    if block is None:
                        continue
                    raw = bytes(block.raw(seq))
                    number = block.handlings[seq - block.first]
                    handling = decode(view.handlings(key)[number], Handling)
                    parent = _Parent(key=key, seq=seq, raw=raw, handling=handling)
                    found.append((version_of(raw), block.added_us[seq - block.first], parent))
        if not found:
            raise Missing(
                "item.unknown",
                f"Expected an item of a collection that {self._book.me.party} sends, got {item}.",
                hint="What partners sent is theirs to narrow: ask its originator.",
            )
        return max(found, key=lambda one: one[:2])[2]

    def _note(
        self, tx: Tx, ask: DeriveAsk, steps: tuple[Step, ...], made: _Made, done: Published
    ) -> None:
        """The link, in the transaction of the child: an entry of the private ledger that commits to
        it, what opens the commitment, and a row."""
        parent = made.parent
        if tx.recalled(parent.key, parent.seq, parent.seq + 1):
            raise Conflict(
                "derive.recalled", f"Expected an item that stands, got {ask.item}, taken back."
            )
        book = self._book
        payload = canonical(
            {
                "parent": ask.item,
                "parent_sha256": hashlib.sha256(parent.raw).hexdigest(),
                "child": made.child,
                "child_sha256": hashlib.sha256(made.raw).hexdigest(),
                "steps": msgspec.to_builtins(steps),
            }
        )
        opening = Opening(salt=secrets.token_bytes(32), media=DERIVE_MEDIA, payload=payload)
        commitment = commit(opening.salt, opening.media, opening.payload)
        entry = book.entry(
            "derive", c=base64.b64encode(commitment).decode(), ref=ask.by or None, count=1
        )
        index = tx.append_entry(book.me.node_log, entry)
        tx.put_opening(book.me.node_log, index, opening)
        tx.put_derived(
            DerivedRow(
                parent=ask.item,
                parent_collection=parent.key,
                parent_seq=parent.seq,
                child=made.child,
                child_collection=collection_key(done.agreement, done.collection),
                child_seq=done.first,
                office=ask.by,
                at_ms=book.now_ms(),
                index=index,
            )
        )

    async def lineage(self, item: str) -> Lineage:
        """What an item was made from, and all that was made from it; for this node's own people
        only."""
        return await self._book.store.read(lambda view: _lineage(view, item))


def check_second_person(view: View, item: str, office: str, *, derived: bool) -> None:
    """Refuse the office that derived an item as the one that releases it (R38). ``derived``: it is
    said to be; while nobody knows who made it, nobody releases it."""
    rows = view.derived(item, children=False, most=1)
    if (derived and not rows) or any(row.office == office for row in rows):
        raise NotAuthorised(
            "review.second-person",
            f"Expected another office than the one that derived the item, got {office}"
            + ("." if rows else ", and who derived it is not known."),
        )


def _lineage(view: View, item: str) -> Lineage:
    parents = tuple(
        _kin(view, row, row.parent, row.parent_collection)
        for row in view.derived(item, children=False, most=1)
    )
    children: dict[str, Kin] = {}
    todo = [item]
    while todo and len(children) < KIN_MAX:
        for row in view.derived(todo.pop(), children=True, most=KIN_MAX - len(children)):
            if row.child not in children:
                children[row.child] = _kin(view, row, row.child, row.child_collection)
                todo.append(row.child)
    return Lineage(parents=parents, children=tuple(children.values()))


def _kin(view: View, row: DerivedRow, stix_id: str, key: str) -> Kin:
    agreement, collection = split_key(key)
    return Kin(
        id=stix_id,
        agreement=agreement,
        collection=collection,
        office=row.office,
        at_ms=row.at_ms,
        stands=any(True for _ in _standing_entries(view, key, stix_id)),
    )


def _standing_entries(view: View, key: str, stix_id: str) -> Iterator[int]:
    """The entries of an object that were not taken back."""
    return (
        seq for seq in view.find(key, object_key(stix_id)) if not view.recalled(key, seq, seq + 1)
    )


def _made_at(parent: Mapping[str, object], book: Book) -> str:
    """When a child was made, rounded, and never a time of its parent: who derives from what was
    just derived would else seem to leave one."""
    now_ms = book.now_ms()
    times = [now_ms - now_ms % ROUND_MS - back * ROUND_MS for back in range(3)]
    known = {instant_ms(str(parent.get(name))) for name in ("created", "modified")}
    return time_text(next(one for one in times if one not in known))


def _steps(ask: DeriveAsk, terms: Agreement) -> tuple[Step, ...]:
    if ask.rule is None:
        steps = ask.steps
    else:
        rules = {one.id: one.steps for one in terms.minimisations}
        if ask.rule not in rules:
            raise Missing(
                "derive.rule",
                f"Expected a minimisation of the agreement ({', '.join(rules) or 'it has none'}), "
                f"got {ask.rule}.",
            )
        steps = (*rules[ask.rule], *ask.steps)
    if not steps:
        raise Invalid(
            "derive.steps",
            "Expected steps or a rule, got neither.",
            hint="A copy under another id takes nothing out.",
        )
    return steps


def _flags(parent: Handling, terms: Agreement) -> tuple[str, ...]:
    """What kept the parent keeps the child: a tear-line is no fresher, and came with no fewer."""
    kept = {"bulk", "stale"} & set(parent.flags)
    return tuple(sorted({*kept, "derived"} if terms.second_person else kept))


def _controls(parent: Handling, own: str) -> tuple[str, ...]:
    """The control of another originator over the parent; it is not lifted by other markings."""
    return () if parent.originator == own else tuple(sorted(CONTROLLED & set(parent.markings)))


def _marking(name: str) -> str:
    """The id of a marking by its id or its name."""
    known = {name: marking for marking, name in FIXED_IDS.items()}  # of two, that of TLP 2.0
    marking = known.get(name, name)
    if not (marking.startswith("marking-definition--") and is_id(marking)):
        raise Invalid(
            "derive.marking",
            f"Expected the id of a marking or one of {', '.join(sorted(known))}, got {name:.80}.",
        )
    return marking


def _left_over(findings: tuple[Finding, ...]) -> Invalid:
    told = "; ".join(f"{one.path}: {one.words} ({one.code})" for one in findings[:FINDINGS_MAX])
    more = len(findings) - FINDINGS_MAX
    return Invalid(
        "derive.left-over",
        f"Expected nothing of what was taken out in the child, got {len(findings)}: {told}"
        + (f"; and {more} more" if more > 0 else ""),
        hint="Take it out or replace it there too; --dry-run shows the child.",
        path=f"$.{findings[0].path}",
    )


def _answer(ask: DeriveAsk, made: _Made, published: Published | None = None) -> Derived:
    return Derived(
        parent=ask.item,
        child=made.child,
        content=made.raw.decode(),
        steps=made.done,
        left=tuple(Left(code=one.code, path=one.path, words=one.words) for one in made.findings),
        published=published,
    )
