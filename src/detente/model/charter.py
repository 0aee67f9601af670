"""Charter: how others know a party's signatures (``ledger.md`` 3.3, after TUF's root role).

A charter names the party's keys and who holds them, its offices and which keys act for them,
and the threshold by which the next charter is signed: version N + 1 counts only with the root
thresholds of both N and N + 1.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from detente.model.names import KeyID, Millis, OfficeID, PartyID, Record, Text, UnitID

__all__ = ["Charter", "Key", "LogName", "Office", "Root"]

Version = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
Threshold = Annotated[int, msgspec.Meta(ge=1, le=100)]


class Key(Record, frozen=True, kw_only=True):
    """A public key: ``public`` is the DER SubjectPublicKeyInfo in base64.

    ``holder`` tells persons apart without naming them: one person with two cards counts once.
    """

    scheme: Literal["ed25519", "p256"]
    public: Annotated[str, msgspec.Meta(max_length=400)]
    holder: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Office(Record, frozen=True, kw_only=True):
    """A role that may sign; its powers stand in the agreement, its keys here."""

    id: OfficeID
    title: Text
    keys: tuple[KeyID, ...]


class Root(Record, frozen=True, kw_only=True):
    """Who signs the next charter: so many of these keys, of as many distinct holders."""

    keys: tuple[KeyID, ...]
    threshold: Threshold


class LogName(Record, frozen=True, kw_only=True):
    """The verifier key (C2SP signed note ``vkey``) of a ledger or of a witness of this party."""

    use: Literal["ledger", "witness"]
    vkey: Annotated[str, msgspec.Meta(max_length=500)]


class Charter(Record, frozen=True, kw_only=True):
    """The root document of a party; ``keys`` is by key id.

    ``node`` is the office whose keys the party's gateways use to sign receipts and requests;
    it never has a power over the flow.
    """

    v: Literal[1] = 1
    party: PartyID
    name: Text
    version: Version
    exercise: bool = False
    units: tuple[UnitID, ...]
    keys: dict[KeyID, Key]
    offices: tuple[Office, ...]
    node: OfficeID | None = None
    logs: tuple[LogName, ...] = ()
    root: Root
    expires_ms: Millis

    def office(self, office_id: str) -> Office | None:
        """The office of that id, or None."""
        return next((office for office in self.offices if office.id == office_id), None)
