"""Rows: what the world writes down as it acts, and what follows from it by the simplest logic.

Nothing of ``detente.rules`` is used here: this is the other opinion.
"""

from __future__ import annotations

from collections.abc import Iterable

from detente.testing.parts import (
    BEGIN_MS,
    EXEMPT,
    SPAN_MS,
    Item,
    Left,
    Ordered,
    Promised,
    Said,
    SetClock,
    id_of,
    objects_of,
)

__all__ = ["Rows", "spent"]


class Rows:
    """A row for each item, order, promise and page; and which node knew of what since when."""

    def __init__(self) -> None:
        self.clock = SetClock(BEGIN_MS)
        self.items: list[Item] = []
        self.ordered: list[Ordered] = []
        self.promised: list[Promised] = []
        self.refused: dict[tuple[str, str], int] = {}
        self.went: list[Left] = []
        self.got: list[bytes] = []
        self.known: dict[str, dict[str, int]] = {}
        self.epochs: dict[str, int] = {}
        self.heads: dict[str, tuple[int, bytes]] = {}
        self.complaints: list[str] = []
        #: True after a whole exchange without faults, until the next act.
        self.settled = False

    def now_ms(self) -> int:
        """The clock in milliseconds."""
        return self.clock.now_us() // 1000

    def left(self, sender: str, reader: str, body: bytes) -> None:
        """Write down that these bytes left a node."""
        ids = tuple(id_of(raw) for raw in objects_of(body))
        self.went.append(Left(sender=sender, reader=reader, at_ms=self.now_ms(), ids=ids))

    def complain(self, sentence: str) -> None:
        """Keep what ``check`` is to say."""
        self.complaints.append(sentence)

    def got_all(self, reader: str, items: Iterable[Item]) -> bool:
        """True if bytes of all of them have left for the reader before."""
        went = {name for one in self.went if one.reader == reader for name in one.ids}
        return all(
            item.id in went or (item.id, reader) in self.refused or spent(item, self)
            for item in items
        )

    def _since(self, digest_: str, issuer: str, at_site: str, since_ms: int) -> int | None:
        """From when a node acts on an act: its own at once, another's when it has heard of it."""
        heard = self.known.get(at_site, {}).get(digest_)
        if issuer == at_site:
            return since_ms
        return None if heard is None else max(heard, since_ms)

    def in_force(self, one: Ordered, at_site: str, at_ms: int) -> bool:
        """The simplest interval logic: from its start, as far as this node knows of it, to its
        end, or to the start of one that supersedes it."""
        since = self._since(one.digest, one.said.issuer, at_site, one.since_ms)
        if since is None or at_ms < since or (one.end_ms is not None and at_ms >= one.end_ms):
            return False
        later = [
            self._since(other.digest, other.said.issuer, at_site, other.since_ms)
            for other in self.ordered
            if one.said.id in other.said.supersedes
        ]
        return not any(start is not None and start <= at_ms for start in later)

    def stopped(self, item: Item, reader: str, at_ms: int | None = None) -> bool:
        """True if the sender's node may not give the item to the reader at that instant."""
        at_ms = self.now_ms() if at_ms is None else at_ms
        return any(
            covers_item(one.said, item, reader)
            and not (
                one.said.verb in ("condition", "resume") and self._assured(one, item, reader, at_ms)
            )
            for one in self.ordered
            if self.in_force(one, item.sender, at_ms)
        )

    def _assured(self, one: Ordered, item: Item, reader: str, at_ms: int) -> bool:
        issuer = one.said.issuer
        giver = reader if issuer == item.sender else item.sender
        for promise in self.promised:
            if (promise.giver, promise.holder) != (giver, issuer) or item.kind not in promise.kinds:
                continue
            known = self.known.get(item.sender, {})
            heard, gone = known.get(promise.digest), known.get(promise.taken_back)
            if (
                heard is not None
                and heard <= at_ms < promise.until_ms
                and not (gone is not None and gone <= at_ms)
            ):
                return True
        return False


def covers_item(said: Said, item: Item, reader: str) -> bool:
    """True if the order stops or conditions the item towards the reader."""
    ends = {item.sender: ("out", reader), reader: ("in", item.sender)}
    if said.issuer not in ends:
        return False
    direction, partner = ends[said.issuer]
    if (
        (said.kinds and item.kind not in said.kinds)
        or (said.units and item.unit not in said.units)
        or (said.direction and direction != said.direction)
        or (said.partner and partner != said.partner)
        # Safety of life is stopped only where it is named outright.
        or (item.kind in EXEMPT and item.kind not in said.kinds)
    ):
        return False
    if said.verb == "narrow":
        return item.kind not in said.remains
    return said.verb != "resume" or said.assured


def spent(item: Item, world: Rows) -> bool:
    span = SPAN_MS.get(item.kind)
    return span is not None and world.now_ms() - item.at_ms >= span
