"""Partners: what serving a partner's gateway and asking it have in common.

Who a partner is (its charter), that a node key of it signed, how this node signs, what this node
remembers of it, and how an act of this party is written with its proof.
"""

from __future__ import annotations

import msgspec

from detente.errors import Invalid, Missing, NotAuthorised
from detente.gateway.book import Book
from detente.gateway.witness import proof_of
from detente.model import Charter, decode, encode
from detente.model.names import Record
from detente.model.transfer import PeerActSheet
from detente.ports import ActRow, PeerRow, Tx, View
from detente.proof import Envelope, sign, signers
from detente.rules.document import keys_of, node_keys, payload_type

__all__ = [
    "ACTS_MAX",
    "Partners",
    "PeerState",
    "act_sheet",
    "fresh_state",
    "own_acts",
    "peer_row",
    "put_state",
]

#: Acts in one answer or notice.
ACTS_MAX = 200


class PeerState(Record, frozen=True, kw_only=True):
    """What this node knows of a partner's gateway: how many of its acts it has seen and where in
    the partner's ledger the last of them stands, its place in each feed, the newest head of its
    ledger, and the last serial heard from it.

    ``refused`` is how many of the acts seen did not count here, and ``papers`` how many papers
    (``Book.papers``) this node had then: with others they may.
    """

    acts: int = 0
    last_act: int = -1
    refused: int = 0
    papers: int = 0
    places: dict[str, int] = msgspec.field(default_factory=dict)
    size: int = 0
    root: str = ""
    serial: int = 0
    standing: str = ""
    heard_ms: int = 0


class Partners:
    """The partners this node knows, and its own voice towards them."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def charter(self, party: str) -> Charter:
        """The newest charter of a party; ``Missing`` if this node has accepted none."""
        known = self.book.charter(party)
        if known is None:
            raise Missing(
                "charter.unknown",
                f"Expected the charter of {party}, got none.",
                hint="Import it with `detente charter import`.",
            )
        return known.charter

    def check_node_key(self, envelope: Envelope, party: str) -> None:
        """Refuse unless a key of the party's node office signed."""
        charter = self.charter(party)
        if not signers(envelope, keys_of(charter).values()) & node_keys(charter):
            raise _unsigned(party)

    def check_sender(self, envelope: Envelope, party: str) -> None:
        """Like ``check_node_key`` for whoever is at the door: with one answer, so that nobody
        learns there whose charters this node has."""
        try:
            self.check_node_key(envelope, party)
        except (Missing, Invalid) as error:
            raise _unsigned(party) from error

    def signed(self, use: str, record: msgspec.Struct) -> bytes:
        """A record signed by this node."""
        kind = payload_type(use, exercise=self.book.me.exercise)
        return sign(kind, encode(record), [self.book.me.signer]).encode()

    async def act_sheets(self, agreement: str, since: int) -> tuple[tuple[PeerActSheet, ...], int]:
        """This party's acts from ``since`` on with their proofs, and how many there are in all."""

        def work(view: View) -> tuple[tuple[PeerActSheet, ...], int]:
            own = own_acts(view, agreement, self.book.me.party)
            part = own[since : since + ACTS_MAX]
            return tuple(act_sheet(view, row) for row in part), len(own)

        return await self.book.store.read(work)


def _unsigned(party: str) -> NotAuthorised:
    return NotAuthorised(
        "peer.signature", f"Expected a signature by a node key of {party}, got none."
    )


def own_acts(view: View, agreement: str, party: str) -> list[ActRow]:
    """This party's acts that partners fold too, in ledger order."""
    return [
        row
        for row in view.acts(agreement)
        if row.party == party and row.use in ("directive", "assurance", "withdrawal")
    ]


def act_sheet(view: View, row: ActRow) -> PeerActSheet:
    """An act of this party as partners check it."""
    document = view.document(row.doc)
    if document is None:
        raise Missing("document.unknown", f"Expected a known document, got {row.doc}.")
    return PeerActSheet(
        use=row.use,  # type: ignore[arg-type]  # own_acts lets only these three pass
        envelope=document.envelope.decode(),
        entry=view.entry(row.log, row.index).decode(),
        index=row.index,
        proof=proof_of(view, row.log, row.index),
    )


def peer_row(view: View, party: str, agreement: str) -> PeerRow | None:
    """A peer under an agreement, or None."""
    return next((r for r in view.peers() if (r.party, r.agreement) == (party, agreement)), None)


def fresh_state(view: View, row: PeerRow) -> tuple[PeerRow, PeerState]:
    """A peer as it is stored now."""
    fresh = peer_row(view, row.party, row.agreement) or row
    return fresh, decode(fresh.state, PeerState)


def put_state(tx: Tx, row: PeerRow, state: PeerState) -> None:
    """Keep what is known of a peer."""
    kept = encode(state)
    # What could not be read back would end every exchange with this partner from now on.
    decode(kept, PeerState)
    tx.put_peer(PeerRow(party=row.party, agreement=row.agreement, address=row.address, state=kept))
