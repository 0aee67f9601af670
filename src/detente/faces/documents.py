"""Documents in files: keys, charters, signatures. Everything here works without a node.

Signing is an offline act: a file goes in, a file with one signature more comes out.
"""

from __future__ import annotations

import base64
import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from detente.errors import Invalid, Missing
from detente.model import Charter, Key, LogName, Office, Root, canonical, encode
from detente.proof import (
    Ed25519Signer,
    Envelope,
    P256Signer,
    PublicKey,
    VerifierKey,
    add_signature,
    load_private_key,
    sign,
)
from detente.proof import decode as decode_envelope
from detente.rules.document import payload_type

__all__ = [
    "KeyCard",
    "charter_of",
    "envelope_in",
    "key_card",
    "key_in",
    "new_envelope",
    "read_file",
    "signed_file",
    "write_new",
]

FILE_BYTES_MAX = 2 * 1024 * 1024
PASSWORD_VARIABLE = "DETENTE_KEY_PASSWORD"  # noqa: S105  # the name of a variable


class KeyCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The public half of a person's key, as it is handed to whoever draws up the charter."""

    holder: str
    keyid: str
    scheme: Literal["ed25519", "p256"]
    public: str


def read_file(path: Path) -> bytes:
    """A file's bytes; ``Missing`` if it is not there, ``Invalid`` if it is too large."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise Invalid("file.size", f"Expected at most {FILE_BYTES_MAX} bytes in {path}.")
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise Missing("file.unreadable", f"Expected to read {path}: {error.strerror}.") from error


def write_new(path: Path, data: bytes, *, private: bool = False, replace: bool = False) -> None:
    """Write a file that is not there yet, or replace one on purpose; whole or not at all."""
    if path.exists() and not replace:
        raise Invalid("file.exists", f"Expected a new file, got {path}, which is there already.")
    half = path.with_name(path.name + ".new")
    mode = 0o600 if private else 0o644
    try:
        handle = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise Invalid(
            "file.place", f"Expected a place to write to, got {path}: {error.strerror}."
        ) from error
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    half.replace(path)


def key_card(signer: Ed25519Signer | P256Signer, holder: str) -> KeyCard:
    """The card for a key."""
    public = signer.public
    return KeyCard(
        holder=holder,
        keyid=public.keyid,
        scheme=public.scheme,
        public=base64.b64encode(public.der).decode(),
    )


def charter_of(
    config_party: tuple[str, str, tuple[str, ...], bool],
    offices: dict[str, tuple[KeyCard, ...]],
    root: tuple[tuple[str, ...], int],
    own: tuple[str, PublicKey, PublicKey, PublicKey] | None,
    expires_ms: int,
) -> Charter:
    """The first charter of a party.

    ``own`` is its node's host with the node, ledger and witness keys, or None for a party that
    only reads and writes by TAXII; ``root`` the offices whose keys sign the next charter, and how
    many of them.
    """
    party, name, units, exercise = config_party
    keys = {
        card.keyid: Key(scheme=card.scheme, public=card.public, holder=card.holder)
        for cards in offices.values()
        for card in cards
    }
    listed = [
        Office(id=office, title=office, keys=tuple(sorted(card.keyid for card in cards)))
        for office, cards in sorted(offices.items())
    ]
    logs: tuple[LogName, ...] = ()
    if own is not None:
        host, node, ledger, witness = own
        keys[node.keyid] = Key(
            scheme="ed25519", public=base64.b64encode(node.der).decode(), holder=f"node {host}"
        )
        listed.append(Office(id="node", title="the party's gateway", keys=(node.keyid,)))
        origin = f"{host}/detente/{'exercise/' if exercise else ''}node"
        logs = (
            LogName(use="ledger", vkey=VerifierKey(origin, 1, ledger).encode()),
            LogName(use="witness", vkey=VerifierKey(f"{host}/witness", 4, witness).encode()),
        )
    return Charter(
        party=party,
        name=name,
        version=1,
        exercise=exercise,
        units=units,
        keys=keys,
        offices=tuple(listed),
        node="node" if own is not None else None,
        logs=logs,
        root=Root(
            keys=tuple(sorted({c.keyid for office in root[0] for c in offices.get(office, ())})),
            threshold=root[1],
        ),
        expires_ms=expires_ms,
    )


def new_envelope(use: str, record: msgspec.Struct, *, exercise: bool) -> Envelope:
    """A document without signatures yet."""
    return sign(payload_type(use, exercise=exercise), encode(record), [])


def envelope_in(path: Path) -> Envelope:
    """The envelope in a file."""
    return decode_envelope(read_file(path))


def key_in(path: Path) -> Ed25519Signer | P256Signer:
    """The private key in a file. One under a password is opened with what the environment variable
    ``DETENTE_KEY_PASSWORD`` has, or what is typed; a password never stands on a command line."""
    pem = read_file(path)
    password = os.environ.get(PASSWORD_VARIABLE) if b"ENCRYPTED" in pem else None
    if password is None and b"ENCRYPTED" in pem:
        if not sys.stdin.isatty():
            raise Invalid(
                "key.password",
                f"Expected the password of {path}, got none.",
                hint=f"Type it at a terminal, or set {PASSWORD_VARIABLE}.",
            )
        password = getpass.getpass(f"Password of {path}: ")
    try:
        return load_private_key(pem, None if password is None else password.encode())
    except Invalid as error:
        raise Invalid(
            "key.private",
            f"Expected an officer's private key (Ed25519 or P-256, PEM) that opens, got {path}.",
            hint="`detente charter key FILE` makes one; FILE.card is not it.",
        ) from error


def signed_file(
    path: Path, use: str, keys: list[Path], check: Callable[[bytes], None] | None = None
) -> Envelope:
    """Add a signature by each key to the document in a file, in place. What is no document of
    this use is refused: who means to sign a charter must not sign an order; so is what ``check``
    refuses of the payload."""
    envelope = envelope_in(path)
    expected = [payload_type(use, exercise=exercise) for exercise in (False, True)]
    if envelope.payload_type not in expected:
        raise Invalid(
            "document.type",
            f"Expected {' or '.join(expected)} in {path}, got {envelope.payload_type}.",
            hint="Sign each kind of document with its own command.",
        )
    # What is signed is read first: a payload that is not canonical is refused unsigned.
    canonical(msgspec.json.decode(envelope.payload))
    if check is not None:
        check(envelope.payload)
    for key in keys:
        envelope = add_signature(envelope, key_in(key))
    write_new(path, envelope.encode(), replace=True)
    return envelope
