"""Copied: what lies in a copy of a record, and the faults that are found in it.

Nothing here is believed: files are read by names that are in the copy, and what a check raises
becomes a fault with its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from detente.errors import DetenteError
from detente.model import Charter
from detente.model.names import Record
from detente.proof import Envelope

__all__ = [
    "FAULTS_MAX",
    "INDEX_BYTES_MAX",
    "INDEX_NAME",
    "MANIFEST_NAME",
    "OPENINGS_NAME",
    "PARTNERS_NAME",
    "Copied",
    "Fault",
    "LedgerPlace",
    "Read",
    "RecordIndex",
]

INDEX_NAME = "record.json"
MANIFEST_NAME = "manifest.json"
OPENINGS_NAME = "openings.json"
PARTNERS_NAME = "partners"
#: About two million documents.
INDEX_BYTES_MAX = 1 << 28
#: Faults that are named; more are counted only. One wrong act can make all that follows wrong.
FAULTS_MAX = 1000


class LedgerPlace(Record, frozen=True, kw_only=True):
    """Where a ledger lies in a copy; ``agreement`` is empty for the node's own."""

    origin: str
    folder: str
    agreement: str = ""


class RecordIndex(Record, frozen=True, kw_only=True):
    """What a copy holds: whose it is, its ledgers, and its signed documents by digest and use."""

    v: int = 1
    party: str
    exercise: bool = False
    ledgers: tuple[LedgerPlace, ...]
    documents: dict[str, str]


class Fault(Record, frozen=True, kw_only=True):
    """What does not hold, and where."""

    place: str
    code: str
    sentence: str


Read = Callable[[str], bytes]


class Copied:
    """A copy under examination.

    ``charters`` are those that a chain from the party's first one authorises, by digest, each
    party's in the order of their versions; ``signed`` says for each document by which of their
    keys a signature holds; ``strangers`` counts the signatures by keys that none of them lists.
    """

    def __init__(self, read: Read, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self.index = RecordIndex(party="", ledgers=(), documents={})
        self.envelopes: dict[str, Envelope] = {}
        self.charters: dict[str, Charter] = {}
        self.signed: dict[str, frozenset[str]] = {}
        self.strangers = 0
        self._read = read
        self._faults: list[Fault] = []
        self._more = 0

    def read(self, name: str) -> bytes:
        """A file of the copy; ``KeyError`` if it is not there."""
        if name not in self.names:
            raise KeyError(name)
        return self._read(name)

    def fault(self, place: str, code: str, sentence: str) -> None:
        """Name what does not hold; beyond the bound only count it."""
        if len(self._faults) < FAULTS_MAX:
            self._faults.append(Fault(place=place, code=code, sentence=sentence))
        else:
            self._more += 1

    def faults(self) -> tuple[Fault, ...]:
        """All faults, and at the end how many more there are."""
        if not self._more:
            return tuple(self._faults)
        more = f"Expected at most {FAULTS_MAX} faults to name, got {self._more} more."
        return (*self._faults, Fault(place="", code="record.more", sentence=more))

    def tried(self, place: str, check: Callable[[], object]) -> bool:
        """Run a check; what it raises becomes a fault at that place."""
        try:
            check()
        except DetenteError as error:
            self.fault(place, error.code, error.sentence)
            return False
        except KeyError as error:
            self.fault(place, "record.file-missing", f"Expected {error}, got none.")
            return False
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            self.fault(place, "record.malformed", f"Expected a readable form: {error}.")
            return False
        return True
