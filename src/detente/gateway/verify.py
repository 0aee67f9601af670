"""Verify: a copy of a node's record, checked by itself, without network, node or contents.

Checked, and every fault named with its place:
- every file is what the manifest says, and nothing is missing or too much;
- each ledger's checkpoint is signed by the key the party's charter names, every entry is the leaf
  its tile says, every tile follows from the ones below, and the root is the signed one;
- cosignatures hold, and the cosigned head is a beginning of the ledger;
- every signed document has the digest it is named by, is signed by a key that a charter in the
  record lists, and every signature by such a key holds;
- every charter is in the node's own ledger, and follows from its party's one before;
- every act in a ledger has its document, and counts by the rules that the node itself goes by
  (``replay``): agreements signed by all their parties, directives, assurances and withdrawals by
  the offices that have the power and in the numbers it takes;
- the node's own ledger has anchored, from time to time, heads with which the others begin: what
  was written before the last of them was not written anew;
- every standing that was entered follows from the acts before it;
- a partner's act stands in the partner's ledger as this one says, where the copy has the proof;
- the times of a ledger's entries never go back;
- every page was released under the standing that follows, at its instant, from the acts before
  it: nothing left that an order had stopped;
- every receipt is signed by the gateway of its page's reader, and says of the page what is so; also
  its root, where what opens the page's commitment was not erased.

Told and not checked: each party's first charter (``first_charters``). All else follows from it, so
compare its digest with the party over another channel. Told as this node's own word: the place of
partners' acts without a proof, and what the receipts of erased pages were for (``LedgerReport``).

Not checked: that everything done was written down, which is what receipts and the partners' own
records are for; that a page went to a party that may read it and held no item the standing holds
back, for that is known from contents alone; and that clocks were right.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from detente.errors import DetenteError
from detente.gateway.copied import (
    INDEX_BYTES_MAX,
    INDEX_NAME,
    MANIFEST_NAME,
    Copied,
    Fault,
    LedgerPlace,
    Read,
    RecordIndex,
)
from detente.gateway.replay import LedgerReport, Replay
from detente.gateway.witness import ledger_vkey, witness_vkey
from detente.model import Charter, decode, digest
from detente.model.names import Record
from detente.proof import (
    Checkpoint,
    Envelope,
    PublicKey,
    VerifierKey,
    entries_path,
    leaf_hash,
    pae,
    parse_checkpoint,
    parse_note,
    prefix_roots,
    root_of,
    split_bundle,
    tile_path,
    verify_checkpoint,
    verify_cosignature,
)
from detente.proof import decode as decode_envelope
from detente.rules.authority import check_charter
from detente.rules.document import keys_of

__all__ = ["Report", "verify_record"]

_WIDTH = 256
_HASH = 32


class Report(Record, frozen=True, kw_only=True):
    """The result: ``ok`` means that no fault was found. ``first_charters`` has the digest of each
    party's first charter, by which to know the party, and ``charters`` that of its newest.
    ``strangers`` are signatures by keys that no charter in the record lists: they count for
    nothing, and nothing is known of them."""

    ok: bool
    party: str
    exercise: bool
    logs: tuple[LedgerReport, ...]
    documents: int
    strangers: int
    first_charters: dict[str, str]
    charters: dict[str, str]
    faults: tuple[Fault, ...]


def verify_record(read: Read, names: Sequence[str]) -> Report:
    """Check a copy given by a reader of its files and their names."""
    checker = Copied(read, names)
    checker.tried(MANIFEST_NAME, lambda: _check_manifest(checker, names))
    checker.tried(INDEX_NAME, lambda: _read_index(checker))
    found = _check_documents(checker)
    reports = _check_ledgers(checker, found)
    faults = checker.faults()
    of_party = [(charter.party, name) for name, charter in checker.charters.items()]
    return Report(
        ok=not faults,
        party=checker.index.party,
        exercise=checker.index.exercise,
        logs=reports,
        documents=len(checker.envelopes),
        strangers=checker.strangers,
        first_charters=dict(reversed(of_party)),
        charters=dict(of_party),
        faults=faults,
    )


def _read_index(checker: Copied) -> None:
    data = checker.read(INDEX_NAME)
    checker.index = decode(data, RecordIndex, bytes_max=INDEX_BYTES_MAX)


def _check_manifest(checker: Copied, names: Sequence[str]) -> None:
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


def _check_documents(checker: Copied) -> dict[str, Charter]:
    """Read every document; the charters among them, of which none is believed yet."""
    found: dict[str, Charter] = {}
    for name, use in sorted(checker.index.documents.items()):
        place = f"documents/{name}.json"

        def check(name: str = name, use: str = use, place: str = place) -> None:
            data = checker.read(place)
            envelope = decode_envelope(data)
            if envelope.encode() != data:
                checker.fault(place, "record.document-form", "Expected its one written form.")
            if digest(envelope.payload) != name:
                checker.fault(place, "record.document-digest", f"Expected payload of {name}.")
            checker.envelopes[name] = envelope
            if use == "charter":
                found[name] = decode(envelope.payload, Charter)

        checker.tried(place, check)
    return found


def _check_all_signatures(checker: Copied) -> None:
    keys: dict[str, PublicKey] = {}
    for name, charter in checker.charters.items():
        checker.tried(f"documents/{name}.json", lambda c=charter: keys.update(keys_of(c)))  # type: ignore[misc]  # a lambda with a default
    for name, envelope in checker.envelopes.items():
        checker.signed[name] = _check_signatures(checker, f"documents/{name}.json", envelope, keys)


def _check_signatures(
    checker: Copied, place: str, envelope: Envelope, keys: Mapping[str, PublicKey]
) -> frozenset[str]:
    """The ids of the keys of which a signature holds. What a key has signed that no charter lists
    is counted and means nothing: whoever hands on a document can add to it."""
    holding: set[str] = set()
    message = pae(envelope.payload_type, envelope.payload)
    for number, one in enumerate(envelope.signatures):
        key = keys.get(one.keyid or "")
        if key is None:
            checker.strangers += 1
        elif key.verify(message, one.sig):
            holding.add(key.keyid)
        else:
            checker.fault(
                place, "record.signature", f"Expected signature {number} by a listed key to hold."
            )
    if not holding:
        checker.fault(
            place, "record.unsigned", "Expected a signature by a listed key that holds, got none."
        )
    return frozenset(holding)


# --- ledgers ---------------------------------------------------------------------------------


def _check_ledgers(checker: Copied, found: dict[str, Charter]) -> tuple[LedgerReport, ...]:
    """The node's own ledger first: it says which charters the node has accepted, and all that
    follows is judged by those and no others."""
    own = _own_charter(checker, found)
    reports: list[LedgerReport] = []
    node: Replay | None = None
    seen: set[str] = set()
    held: dict[str, _Held] = {}
    for place in sorted(checker.index.ledgers, key=lambda place: bool(place.agreement)):
        if place.origin in seen:
            checker.fault(place.folder, "record.ledger-again", f"Expected {place.origin} once.")
            continue
        seen.add(place.origin)
        entries = _check_ledger(checker, own, place)
        if entries is None:
            continue
        leaves = [leaf_hash(entry) for entry in entries]
        _check_tiles(checker, place.folder, leaves)
        replay = Replay(checker, place, node if place.agreement else None)
        replay.run(entries)
        held[place.origin] = _Held(leaves, replay.times)
        if not place.agreement:
            node = replay
            _accept(checker, found, node)
        cosigned = _check_cosigned(checker, place.folder, leaves, len(leaves))
        reports.append(replay.report(len(leaves), cosigned))
    if node is None:
        checker.fault(INDEX_NAME, "record.ledger-missing", "Expected the node's own ledger.")
    else:
        _check_anchors(checker, node, held)
    return tuple(reports)


class _Held(msgspec.Struct, frozen=True):
    """A ledger of the copy: its leaves, and the latest time up to each entry."""

    leaves: list[bytes]
    times: list[int]


def _check_anchors(checker: Copied, node: Replay, held: Mapping[str, _Held]) -> None:
    """Each head that the node's own ledger has anchored is one that the ledger it names begins
    with, and had been written by then."""
    sizes: dict[str, list[int]] = {}
    for _, _, saw in node.anchors:
        sizes.setdefault(saw.origin, []).append(saw.size)
    roots = {
        origin: prefix_roots(held[origin].leaves, wanted)
        for origin, wanted in sizes.items()
        if origin in held
    }
    for number, at_ms, saw in node.anchors:
        where = f"{node.folder} entry {number}"
        root = roots.get(saw.origin, {}).get(saw.size)
        if root is None:
            checker.fault(
                where,
                "record.anchor",
                f"Expected {saw.size} entries of {saw.origin} in the copy, got fewer or none.",
            )
        elif base64.b64encode(root).decode() != saw.root:
            checker.fault(where, "record.anchor", f"Expected a head that {saw.origin} begins with.")
        elif saw.size and held[saw.origin].times[saw.size - 1] > at_ms:
            checker.fault(
                where, "record.anchor", f"Expected entries of {saw.origin} from before the anchor."
            )


def _own_charter(checker: Copied, found: dict[str, Charter]) -> Charter | None:
    """The newest charter of the record's party that follows from its first: it names the key of the
    ledgers. That the node's ledger has it too is seen when that is gone through."""
    newest: Charter | None = None
    own = sorted((c.version, name) for name, c in found.items() if c.party == checker.index.party)
    for _, name in own:
        try:
            newest = check_charter(checker.envelopes[name], newest, exercise=checker.index.exercise)
        except DetenteError:
            continue
    return newest


def _accept(checker: Copied, found: dict[str, Charter], node: Replay) -> None:
    """Believe the charters of the node's ledger; then every signature can be checked."""
    checker.charters = {name: found[name] for name in node.charters if name in found}
    for name in sorted(found.keys() - checker.charters.keys()):
        checker.fault(
            f"documents/{name}.json",
            "record.charter-unrecorded",
            "Expected a charter that the node's ledger has taken, got another.",
        )
    _check_all_signatures(checker)


def _check_ledger(checker: Copied, own: Charter | None, place: LedgerPlace) -> list[bytes] | None:
    """The entries of a ledger, each as far as it can be read; None where not even its head is its
    party's."""
    head: list[Checkpoint] = []
    where = f"{place.folder}/checkpoint"

    def check_head() -> None:
        if own is None:
            checker.fault(
                where, "record.charter", f"Expected the charter of {checker.index.party}."
            )
            return
        vkey = ledger_vkey(own, place.agreement or "node", exercise=checker.index.exercise)
        found = verify_checkpoint(checker.read(where), vkey)
        if found.origin != place.origin:
            checker.fault(where, "record.origin", f"Expected {place.origin}, got {found.origin}.")
        prefix = f"{place.folder}/tile/entries/"
        room = _WIDTH * sum(name.startswith(prefix) for name in checker.names)
        if found.size > room:
            checker.fault(where, "record.size", f"Expected at most {room} entries by the files.")
            return
        head.append(found)

    checker.tried(where, check_head)
    if not head:
        return None
    entries = _entries(checker, place.folder, head[0].size)
    leaves = [leaf_hash(entry) for entry in entries]
    if root_of(leaves) != head[0].root:
        _name_entry(checker, place.folder, leaves)
    return entries


def _entries(checker: Copied, folder: str, size: int) -> list[bytes]:
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


def _stored(checker: Copied, folder: str, level: int, index: int, width: int) -> bytes:
    """A tile as it lies in the copy; a missing or huge one was told by the manifest."""
    try:
        return checker.read(f"{folder}/{tile_path(level, index, width)}")
    except (KeyError, DetenteError):
        return b""


def _name_entry(checker: Copied, folder: str, leaves: list[bytes]) -> None:
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


def _check_tiles(checker: Copied, folder: str, leaves: list[bytes]) -> None:
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


def _witness_of(charter: Charter) -> VerifierKey | None:
    """The key of a party's witness; None where its charter names none that can be read, which the
    party answers for and not the record."""
    try:
        return witness_vkey(charter)
    except DetenteError:
        return None


def _check_cosigned(checker: Copied, folder: str, leaves: list[bytes], size: int) -> int:
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
        known = (_witness_of(charter) for charter in checker.charters.values())
        witnesses = {
            vkey.encode(): vkey
            for vkey in known
            if vkey is not None and (vkey.name, vkey.hint) in signed
        }
        for vkey in witnesses.values():
            verify_cosignature(note, vkey)
        if not witnesses or not 0 < checkpoint.size <= size:
            checker.fault(where, "record.cosigned", "Expected a cosigned head of this ledger.")
            return
        if root_of(leaves[: checkpoint.size]) != checkpoint.root:
            checker.fault(where, "record.cosigned", "Expected a head this ledger begins with.")
            return
        own = sum(name == checkpoint.origin for name, _ in note.lines)
        checker.strangers += max(0, len(note.lines) - len(witnesses) - own)
        found[0] = checkpoint.size

    checker.tried(where, check)
    return found[0]
