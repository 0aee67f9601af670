"""What the tables of the rules are set on: an agreement, charters, and acts made by hand."""

from __future__ import annotations

import base64

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from detente.model import (
    Agreement,
    Assurance,
    AssuranceTemplate,
    Charter,
    Collection,
    Contact,
    Directive,
    Handling,
    Key,
    Kind,
    Member,
    Office,
    Power,
    Purpose,
    Root,
    Scope,
    Withdrawal,
    digest,
    encode,
)
from detente.model.directive import DirectiveVerb
from detente.proof import Ed25519Signer, Envelope, sign
from detente.rules.document import payload_type
from detente.rules.standing import (
    Act,
    AgreementOpened,
    AssuranceGiven,
    AssuranceWithdrawn,
    CharterSet,
    DirectiveEffect,
)

FROM, UNTIL = 1_000, 1_000_000
DAY = 24 * 3_600_000

#: Person → key; anna has two cards, and sits in two offices.
KEYS = {
    name: Ed25519Signer(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))
    for number, name in enumerate(
        ("anna-1", "anna-2", "ben", "carla", "minister", "duty", "node"), start=1
    )
}
HEADS = ("anna-1", "anna-2", "ben", "carla")


def keyid(name: str) -> str:
    return KEYS[name].public.keyid


def charter(party: str, *, version: int = 1, expires_ms: int = UNTIL) -> Charter:
    offices = {
        "duty": ("duty",), "head": HEADS, "minister": ("minister",),
        "deputy": ("anna-1", "ben"), "node": ("node",),
    }  # fmt: skip
    return Charter(
        party=party,
        name=party,
        version=version,
        units=("U",),
        keys={
            keyid(name): Key(
                scheme="ed25519",
                public=base64.b64encode(key.public.der).decode(),
                holder=name.partition("-")[0],
            )
            for name, key in KEYS.items()
        },
        offices=tuple(
            Office(id=office, title=office, keys=tuple(sorted(map(keyid, names))))
            for office, names in sorted(offices.items())
        ),
        node="node",
        root=Root(keys=tuple(sorted(map(keyid, ("ben", "carla")))), threshold=2),
        expires_ms=expires_ms,
    )


POWERS = (
    (("halt",), ("duty",), 1, (), DAY),
    (("suspend", "narrow", "condition", "moderate"), ("head",), 2, (), None),
    (("resume",), ("head", "minister"), 3, ("minister",), None),
    (("agree", "assure", "review"), ("head",), 1, (), None),
)


def agreement(**fields: object) -> Agreement:
    contact = Contact(office="Duty", reach="radio")
    made = Agreement(
        id="A1",
        title="A",
        legal_basis="none",
        members=tuple(
            Member(party=p, units=("U", "V"), charter="0" * 64, contact=contact) for p in "ABC"
        ),
        collections=(
            Collection(
                name="c",
                id="5f0c7a52-3f6e-4c7e-9d0a-0e3f4b1c2d01",
                title="C",
                sender="A",
                readers=("B",),
            ),
        ),
        kinds=(
            Kind(id="VI", title="vessel"),
            Kind(id="VT", title="track", held="expire", expire_after_ms=6_000),
            Kind(id="SL", title="life", exempt=True),
        ),
        purposes=(Purpose(id="p", title="P"), Purpose(id="q", title="Q")),
        assurances=(AssuranceTemplate(id="AS", text="words", valid_max_ms=5_000),),
        powers=tuple(
            Power(
                party=party,
                verbs=verbs,
                offices=offices,
                threshold=threshold,
                including=including,
                duration_max_ms=limit,
            )  # type: ignore[arg-type]  # plain tuples of the verbs above
            for party in "AB"
            for verbs, offices, threshold, including, limit in POWERS
        ),
        from_ms=FROM,
        until_ms=UNTIL,
        review_ms=UNTIL,
    )
    return msgspec.structs.replace(made, **fields)


def opened(terms: Agreement | None = None) -> list[Act]:
    terms = terms or agreement()
    return [
        *(CharterSet(charter=charter(p), digest=p * 64, at_ms=0) for p in "AB"),
        AgreementOpened(agreement=terms, digest=digest(encode(terms)), at_ms=1),
    ]


def directive(name: str, verb: DirectiveVerb = "suspend", **fields: object) -> Directive:
    made = Directive(
        id=name,
        agreement="A1",
        agreement_digest=digest(encode(agreement())),
        issuer="A",
        office="duty" if verb == "halt" else "head",
        verb=verb,
        scope=Scope(),
        drafted_ms=FROM,
        sign_by_ms=UNTIL,
        review_ms=None if verb == "resume" else UNTIL,
        reason="r",
        nonce="0" * 32,
    )
    return msgspec.structs.replace(made, **fields)


def effect(order: Directive, at_ms: int) -> DirectiveEffect:
    return DirectiveEffect(directive=order, digest=digest(encode(order)), at_ms=at_ms)


def assurance(name: str = "P1", **fields: object) -> Assurance:
    made = Assurance(
        id=name,
        agreement="A1",
        agreement_digest=digest(encode(agreement())),
        giver="B",
        holder="A",
        template="AS",
        kinds=("VI",),
        from_ms=FROM,
        until_ms=FROM + 5_000,
        office="head",
        nonce="0" * 32,
    )
    return msgspec.structs.replace(made, **fields)


def given(one: Assurance, at_ms: int) -> AssuranceGiven:
    return AssuranceGiven(assurance=one, digest=digest(encode(one)), at_ms=at_ms)


def withdrawn(name: str, at_ms: int) -> AssuranceWithdrawn:
    one = Withdrawal(
        id=f"X{name}", agreement="A1", assurance=name, giver="B", office="head", nonce="0" * 32
    )
    return AssuranceWithdrawn(withdrawal=one, digest=digest(encode(one)), at_ms=at_ms)


def handling(kind: str = "VI", **fields: object) -> Handling:
    made = Handling(
        collection="c",
        kind=kind,
        stix_type="infrastructure",
        originator="A",
        unit="U",
        purpose="p",
        grade="x:1",
    )
    return msgspec.structs.replace(made, **fields)


def signed(use: str, record: msgspec.Struct, *names: str, exercise: bool = False) -> Envelope:
    return sign(
        payload_type(use, exercise=exercise), encode(record), [KEYS[name] for name in names]
    )
