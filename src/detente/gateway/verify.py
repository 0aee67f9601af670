"""Verify: a copy of a node's record, checked by itself, without network, node or contents.

Checked, and every fault named with its place:
- every file is what the manifest says, and nothing is missing or too much;
- each ledger's checkpoint is signed by the key the party's charter names, every entry is the leaf
  its tile says, every tile follows from the ones below, and the root is the signed one;
- cosignatures hold, and the cosigned head is a beginning of the ledger;
- every signed document has the digest it is named by, and every signature in it is one of a key
  that a charter in the record lists;
- every act in a ledger has its document, and every page was released under the standing that
  follows, at its instant, from the acts before it: nothing left that an order had stopped.

Not checked: that the party's first charter is the party's; compare its digest (``charters``) over
another channel. Nor that everything done was written down: that is what receipts are for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import msgspec

from detente.errors import DetenteError
from detente.gateway.book import act_of
from detente.gateway.witness import ledger_vkey, witness_vkey
from detente.model import Charter, Entry, decode, digest
from detente.model.names import Record
from detente.ports import ActRow
from detente.proof import (
    Checkpoint,
    Envelope,
    PublicKey,
    entries_path,
    leaf_hash,
    pae,
    parse_checkpoint,
    parse_note,
    root_of,
    split_bundle,
    tile_path,
    verify_checkpoint,
    verify_cosignature,
)
from detente.proof import decode as decode_envelope
from detente.rules.authority import keys_of
from detente.rules.standing import Act, fold

__all__ = ["Fault", "RecordIndex", "Report", "verify_record"]

_WIDTH = 256
_HASH = 32
INDEX_NAME = "record.json"
MANIFEST_NAME = "manifest.json"
#: About two million documents.
INDEX_BYTES_MAX = 1 << 28


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


class LedgerReport(Record, frozen=True, kw_only=True):
    """What one ledger holds."""

    origin: str
    size: int
    pages: int
    items: int
    receipts: int
    cosigned: int


class Report(Record, frozen=True, kw_only=True):
    """The result: ``ok`` means that no fault was found."""

    ok: bool
    party: str
    exercise: bool
    logs: tuple[LedgerReport, ...]
    documents: int
    charters: dict[str, str]
    faults: tuple[Fault, ...]


Read = Callable[[str], bytes]


class _Checker:
    def __init__(self, read: Read) -> None:
        self.read = read
        self.faults: list[Fault] = []
        self.envelopes: dict[str, Envelope] = {}
        self.uses: dict[str, str] = {}
        self.charters: dict[str, Charter] = {}

    def fault(self, place: str, code: str, sentence: str) -> None:
        self.faults.append(Fault(place=place, code=code, sentence=sentence))

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
        except (ValueError, msgspec.DecodeError) as error:
            self.fault(place, "record.malformed", f"Expected a readable form: {error}.")
            return False
        return True


def verify_record(read: Read, names: Sequence[str]) -> Report:
    """Check a copy given by a reader of its files and their names."""
    checker = _Checker(read)
    checker.tried(MANIFEST_NAME, lambda: _check_manifest(checker, names))
    found: list[RecordIndex] = []
    checker.tried(
        INDEX_NAME,
        lambda: found.append(decode(read(INDEX_NAME), RecordIndex, bytes_max=INDEX_BYTES_MAX)),
    )
    index = found[0] if found else RecordIndex(party="", ledgers=(), documents={})
    _check_documents(checker, index)
    reports = [_check_ledger(checker, index, place) for place in index.ledgers]
    return Report(
        ok=not checker.faults,
        party=index.party,
        exercise=index.exercise,
        logs=tuple(report for report in reports if report is not None),
        documents=len(checker.envelopes),
        charters={
            charter.party: name
            for name, charter in sorted(checker.charters.items(), key=lambda c: c[1].version)
        },
        faults=tuple(checker.faults),
    )


def _check_manifest(checker: _Checker, names: Sequence[str]) -> None:
    listed = msgspec.json.decode(checker.read(MANIFEST_NAME), type=dict[str, str])
    present = set(names) - {MANIFEST_NAME}
    for name in sorted(set(listed) - present):
        checker.fault(name, "record.file-missing", "Expected this file, got none.")
    for name in sorted(present - set(listed)):
        checker.fault(name, "record.file-unlisted", "Expected a file of the manifest.")
    for name in sorted(present & set(listed)):
        got = hashlib.sha256(checker.read(name)).hexdigest()
        if got != listed[name]:
            checker.fault(
                name,
                "record.file-changed",
                f"Expected digest {listed[name][:16]}… of {MANIFEST_NAME}, got {got[:16]}….",
            )


# --- documents -------------------------------------------------------------------------------


def _check_documents(checker: _Checker, index: RecordIndex) -> None:
    for name, use in sorted(index.documents.items()):
        place = f"documents/{name}.json"

        def check(name: str = name, use: str = use, place: str = place) -> None:
            data = checker.read(place)
            envelope = decode_envelope(data)
            if envelope.encode() != data:
                checker.fault(place, "record.document-form", "Expected its one written form.")
            if digest(envelope.payload) != name:
                checker.fault(place, "record.document-digest", f"Expected payload of {name}.")
            checker.envelopes[name] = envelope
            checker.uses[name] = use
            if use == "charter":
                checker.charters[name] = decode(envelope.payload, Charter)

        checker.tried(place, check)
    keys: dict[str, PublicKey] = {}
    for name, charter in checker.charters.items():
        checker.tried(f"documents/{name}.json", lambda c=charter: keys.update(keys_of(c)))  # type: ignore[misc]  # a lambda with a default
    for name, envelope in checker.envelopes.items():
        _check_signatures(checker, f"documents/{name}.json", envelope, keys)


def _check_signatures(
    checker: _Checker, place: str, envelope: Envelope, keys: Mapping[str, PublicKey]
) -> None:
    message = pae(envelope.payload_type, envelope.payload)
    if not envelope.signatures:
        checker.fault(place, "record.unsigned", "Expected a signed document, got no signature.")
    for number, one in enumerate(envelope.signatures):
        key = keys.get(one.keyid or "")
        if key is None or not key.verify(message, one.sig):
            checker.fault(
                place, "record.signature", f"Expected signature {number} by a listed key to hold."
            )


# --- ledgers ---------------------------------------------------------------------------------


def _check_ledger(checker: _Checker, index: RecordIndex, place: LedgerPlace) -> LedgerReport | None:
    head: list[Checkpoint] = []
    where = f"{place.folder}/checkpoint"

    def check_head() -> None:
        own = [c for c in checker.charters.values() if c.party == index.party]
        if not own:
            checker.fault(where, "record.charter", f"Expected the charter of {index.party}.")
            return
        newest = max(own, key=lambda charter: charter.version)
        vkey = ledger_vkey(newest, place.agreement or "node", exercise=index.exercise)
        found = verify_checkpoint(checker.read(where), vkey)
        if found.origin != place.origin:
            checker.fault(where, "record.origin", f"Expected {place.origin}, got {found.origin}.")
        head.append(found)

    checker.tried(where, check_head)
    if not head:
        return None
    size = head[0].size
    entries = _entries(checker, place.folder, size)
    leaves = [leaf_hash(entry) for entry in entries]
    if root_of(leaves) != head[0].root:
        _name_entry(checker, place.folder, leaves)
    _check_tiles(checker, place.folder, leaves)
    cosigned = _check_cosigned(checker, place.folder, leaves, size)
    pages, items, receipts = _check_acts(checker, place, entries)
    return LedgerReport(
        origin=place.origin,
        size=size,
        pages=pages,
        items=items,
        receipts=receipts,
        cosigned=cosigned,
    )


def _entries(checker: _Checker, folder: str, size: int) -> list[bytes]:
    entries: list[bytes] = []
    for start in range(0, size, _WIDTH):
        width = min(_WIDTH, size - start)
        name = f"{folder}/{entries_path(start // _WIDTH, width)}"
        part: list[bytes] = []
        checker.tried(name, lambda n=name, p=part: p.extend(split_bundle(checker.read(n))))  # type: ignore[misc]  # a lambda with defaults
        if len(part) != width:
            checker.fault(name, "record.bundle", f"Expected {width} entries, got {len(part)}.")
            part = (part + [b""] * width)[:width]
        entries += part
    return entries


def _stored(checker: _Checker, folder: str, level: int, index: int, width: int) -> bytes:
    """A tile as it lies in the copy; a missing one was told by the manifest."""
    try:
        return checker.read(f"{folder}/{tile_path(level, index, width)}")
    except KeyError:
        return b""


def _name_entry(checker: _Checker, folder: str, leaves: list[bytes]) -> None:
    """Which entry is not the one its tile has; if every one is, the tiles were changed too."""
    named = False
    for start in range(0, len(leaves), _WIDTH):
        width = min(_WIDTH, len(leaves) - start)
        data = _stored(checker, folder, 0, start // _WIDTH, width)
        for number in range(width):
            if leaves[start + number] != data[number * _HASH : number * _HASH + _HASH]:
                named = True
                checker.fault(
                    f"{folder} entry {start + number}",
                    "record.entry",
                    "Expected the entry the ledger was signed with, got another.",
                )
    if not named:
        checker.fault(folder, "record.root", "Expected the signed root, got another.")


def _check_tiles(checker: _Checker, folder: str, leaves: list[bytes]) -> None:
    level, hashes = 0, leaves
    while hashes:
        upper = []
        for start in range(0, len(hashes), _WIDTH):
            part = hashes[start : start + _WIDTH]
            name = f"{folder}/{tile_path(level, start // _WIDTH, len(part))}"
            data = _stored(checker, folder, level, start // _WIDTH, len(part))
            if data != b"".join(part):
                wrong = [
                    number
                    for number, one in enumerate(part)
                    if data[number * _HASH : number * _HASH + _HASH] != one
                ]
                checker.fault(name, "record.tile", f"Expected other hashes at {wrong[:5]}.")
            if len(part) == _WIDTH:
                upper.append(root_of(part))
        level, hashes = level + 1, upper


def _check_cosigned(checker: _Checker, folder: str, leaves: list[bytes], size: int) -> int:
    """How much of the ledger partners have cosigned."""
    where = f"{folder}/checkpoint.cosigned"
    found = [0]

    def check() -> None:
        try:
            data = checker.read(where)
        except KeyError:
            return
        note = parse_note(data)
        checkpoint = parse_checkpoint(note.text)
        signed = {(name, data[:4]) for name, data in note.lines}
        # Several charters of a party may name one key, and older ones other keys.
        witnesses = {
            vkey.encode(): vkey
            for charter in checker.charters.values()
            if any(log.use == "witness" for log in charter.logs)
            and ((vkey := witness_vkey(charter)).name, vkey.hint) in signed
        }
        for vkey in witnesses.values():
            verify_cosignature(note, vkey)
        if not witnesses or not 0 < checkpoint.size <= size:
            checker.fault(where, "record.cosigned", "Expected a cosigned head of this ledger.")
            return
        if root_of(leaves[: checkpoint.size]) != checkpoint.root:
            checker.fault(where, "record.cosigned", "Expected a head this ledger begins with.")
            return
        if len(note.lines) != len(witnesses) + 1:
            checker.fault(where, "record.cosigned", "Expected signatures of known witnesses only.")
        found[0] = checkpoint.size

    checker.tried(where, check)
    return found[0]


def _check_acts(checker: _Checker, place: LedgerPlace, raw: list[bytes]) -> tuple[int, int, int]:
    """Replay: each act has its document, each page the standing of its instant."""
    acts: list[Act] = []
    pages = items = receipts = 0
    for number, data in enumerate(raw):
        where = f"{place.folder} entry {number}"
        found: list[Entry] = []
        checker.tried(where, lambda d=data, f=found: f.append(decode(d, Entry)))  # type: ignore[misc]  # a lambda with defaults
        if not found:
            continue
        entry = found[0]
        act = _act(checker, where, entry, place)
        if act is not None:
            acts.append(act)
        if entry.act == "page":
            pages, items = pages + 1, items + (entry.count or 0)
            standing = fold(acts, entry.at)
            if standing.digest != entry.standing:
                checker.fault(
                    where,
                    "record.page-standing",
                    "Expected a page under the standing of its instant, got another.",
                )
        receipts += entry.act == "receipt"
        if entry.act == "receipt" and entry.doc not in checker.envelopes:
            checker.fault(where, "record.document", f"Expected document {entry.doc}, got none.")
    return pages, items, receipts


_USES = {
    "charter": "charter",
    "agreement.open": "agreement",
    "directive.effect": "directive",
    "assurance": "assurance",
    "assurance.withdraw": "withdrawal",
}


def _act(checker: _Checker, where: str, entry: Entry, place: LedgerPlace) -> Act | None:
    use = entry.verb if entry.act == "peer.act" else _USES.get(entry.act)
    if use is None:
        return None
    envelope = checker.envelopes.get(entry.doc or "")
    if envelope is None:
        checker.fault(where, "record.document", f"Expected document {entry.doc}, got none.")
        return None
    row = ActRow(
        agreement=place.agreement,
        use=use,
        party=entry.party or "",
        doc=entry.doc or "",
        at_ms=entry.at if entry.peer_at is None else entry.peer_at,
        log=place.origin,
        index=0,
    )
    found: list[Act] = []
    checker.tried(where, lambda: found.append(act_of(row, envelope)))
    return found[0] if found else None
