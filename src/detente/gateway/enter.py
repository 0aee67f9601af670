"""Enter: a batch becomes entries of its collection, and its acts entries of the ledger.

All in one transaction of the caller, in this order: what was said of the objects, the tests that
were answered, what was run on them, and last that they were published. So a test that stands behind
its publication in the ledger was not answered before it, whatever anybody says later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from detente.errors import Invalid
from detente.gateway.batch import Batch
from detente.gateway.book import Book, split_key
from detente.gateway.feeds import Change
from detente.gateway.intern import Ahead, check_new, handlings_max, intern
from detente.gateway.recall import RecalledEntries
from detente.gateway.sift import sift
from detente.gateway.stated import Refused, Said, refusal, whole
from detente.model import encode
from detente.ports import NewItem, Tx
from detente.proof import leaf_hash, root_of
from detente.rules.answers import Answered
from detente.wire.stix import CutObject

__all__ = ["Entered", "enter", "write_tests"]

#: What the commitments of these entries open to.
SAID_MEDIA = "application/vnd.detente.said+json"
ANSWERS_MEDIA = "application/vnd.detente.answers+json"
#: Two Merkle roots over the digests of the objects, before and after, 32 bytes each.
ROOTS_MEDIA = "application/vnd.detente.roots"


class Entered(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of a batch: how many are new, where they begin and end, its entry, and what
    was refused by what is there already; ``counted`` is by places of handlings."""

    first: int
    end: int
    new: int = 0
    entry: int | None = None
    root: bytes = b""
    refused: tuple[Refused, ...] = ()
    counted: dict[int, int] = msgspec.field(default_factory=dict)


def enter(tx: Tx, book: Book, key: str, batch: Batch, change: Change, ahead: Ahead) -> Entered:
    """Enter what is new of a batch. Refuses it as a whole, unless partial, if any of it conflicts
    with what is there or finds the collection full."""
    gone = RecalledEntries(tx, key)
    sifted = sift(tx, key, batch.names, gone, versions=True)
    refused = [_conflict(batch.objects[at]) for at in sifted.conflicts]
    first = tx.collection(key).end
    if refused and not batch.partial:
        raise whole(refused)
    sorts = {batch.sorts[at]: batch.handlings[batch.sorts[at]] for at in sifted.new}
    check_new(tx, key, sorts.values())
    numbers = intern(tx, key, sorts, change, ahead)
    over = [at for at in sifted.new if batch.sorts[at] not in numbers]
    most = handlings_max(tx, key) if over else 0
    refused += [_full(batch.objects[at], most) for at in over]
    if refused and not batch.partial:
        raise whole(refused)
    new = [at for at in sifted.new if batch.sorts[at] in numbers]
    if not new:
        return Entered(first=first, end=first, refused=tuple(refused))
    items = [
        NewItem(
            key=batch.names[at][0],
            raw=batch.objects[at].raw,
            sha256=batch.names[at][2],
            handling=numbers[batch.sorts[at]],
            mark=batch.names[at][1],
        )
        for at in new
    ]
    state = tx.append_items(key, items, change.now_us)
    tx.put_twins(key, sifted.twins(new, first))
    root = root_of([leaf_hash(item.sha256) for item in items])
    entry = _Acts(tx, book, key, batch.sender, first).write(batch, new, root)
    return Entered(
        new=len(items),
        first=first,
        end=state.end,
        entry=entry,
        root=root,
        refused=tuple(refused),
        counted=Counter(batch.sorts[at] for at in new),
    )


class _Acts:
    """Writes the entries of one publication."""

    def __init__(self, tx: Tx, book: Book, key: str, sender: str, first: int) -> None:
        self._tx, self._book = tx, book
        agreement, self._collection = split_key(key)
        self._log = book.me.log_of(agreement)
        self._sender, self._first = sender, first

    def write(self, batch: Batch, new: Sequence[int], root: bytes) -> int:
        """Write all of them; the place of the last, which publishes."""
        about = {"collection": self._collection, "party": self._sender, "first": self._first}
        if batch.said != Said():
            self._book.write_sealed_entry(
                self._tx,
                self._log,
                "said",
                (SAID_MEDIA, encode(batch.said)),
                **about,
                count=len(new),
            )
        write_tests(self._tx, self._book, self._log, batch.tests, **about, count=len(new))
        for name, pairs in _ran(batch, new).items():
            roots = (root_of([leaf_hash(pair[side]) for pair in pairs]) for side in (0, 1))
            self._book.write_sealed_entry(
                self._tx,
                self._log,
                "minimise",
                (ROOTS_MEDIA, b"".join(roots)),
                **about,
                ref=name,
                count=len(pairs),
            )
        entry, _ = self._book.write_root_entry(
            self._tx, self._log, "publish", root, **about, count=len(new)
        )
        return entry


def write_tests(tx: Tx, book: Book, log: str, tests: Sequence[Answered], **about: object) -> None:
    """Record answers to tests, each an entry of its own; what was said is kept beside it."""
    for one in tests:
        book.write_sealed_entry(
            tx,
            log,
            "test",
            (ANSWERS_MEDIA, encode(one)),
            **about,
            ref=one.test,
            outcome="passed" if one.passed else "failed",
        )


def _ran(batch: Batch, new: Sequence[int]) -> dict[str, list[tuple[bytes, bytes]]]:
    """For each thing that ran, in the order in which it did: the digests before and after."""
    found: dict[str, list[tuple[bytes, bytes]]] = {}
    for at in new if batch.ran else ():
        for name, before, after in batch.ran.get(at, ()):
            found.setdefault(name, []).append((before, after))
    return found


def _conflict(one: CutObject) -> Refused:
    return refusal(
        one,
        Invalid(
            "publish.version",
            f"Expected one content for {one.id} {one.version}, got two.",
            path="$.modified",
        ),
    )


def _full(one: CutObject, most: int) -> Refused:
    return refusal(
        one,
        Invalid(
            "publish.handlings-full",
            f"Expected at most {most} combinations of type, markings, purpose, grade and unit "
            "in a collection, got one more.",
        ),
    )
