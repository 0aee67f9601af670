"""DSSE: which keys an envelope carries a valid signature of, and in which forms it may come."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from detente.proof import (
    Ed25519Signer,
    Envelope,
    P256Signer,
    PublicKey,
    Signature,
    add_signature,
    decode,
    pae,
    sign,
    signers,
)
from tests.unit.proof.kit import KEYS, code_of, flips

KIND = "application/vnd.detente.directive.v1+json"
#: Bytes whose base64 has both letters in which the alphabets differ, and padding.
BODY = b"\xfb\xff\xfe\xff\xfb\x00"
PUBLIC = [key.public for key in KEYS]
P256 = P256Signer(ec.derive_private_key(7, ec.SECP256R1()))


def signed(*by: int) -> Envelope:
    return sign(KIND, BODY, [KEYS[number] for number in by])


def ids(*numbers: int) -> frozenset[str]:
    return frozenset(PUBLIC[number].keyid for number in numbers)


def form(**changed: Any) -> dict[str, Any]:
    return json.loads(signed(0, 1).encode()) | changed


def read(value: Any) -> Envelope:
    return decode(json.dumps(value).encode())


# --- who signed -----------------------------------------------------------------------------------


def test_pae_is_that_of_the_standard() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("é", b"") == b"DSSEv1 2 \xc3\xa9 0 "


def test_every_valid_signature_is_reported_and_no_other() -> None:
    envelope = signed(0, 1, 2)
    assert signers(envelope, PUBLIC) == ids(0, 1, 2)
    assert signers(envelope, PUBLIC[1:2]) == ids(1)
    assert signers(envelope, PUBLIC[3:]) == frozenset()
    assert signers(envelope, []) == frozenset()
    assert signers(signed(), PUBLIC) == frozenset()


def test_both_schemes_stand_in_one_envelope() -> None:
    envelope = sign(KIND, BODY, [KEYS[0], P256])
    assert signers(envelope, [PUBLIC[0], P256.public]) == ids(0) | {P256.public.keyid}


def test_one_key_counts_once_under_two_ids_or_by_two_signatures() -> None:
    first = signed(0).signatures[0]
    for second in (
        first,
        Signature(None, first.sig),
        Signature("", first.sig),
        Signature("another name", first.sig),
    ):
        envelope = Envelope(KIND, BODY, (first, second))
        assert signers(envelope, PUBLIC) == ids(0)
    # The charter may list it twice: it stays one key.
    again = PublicKey.from_raw(PUBLIC[0].raw)
    assert signers(signed(0), [PUBLIC[0], again]) == ids(0)


def test_two_different_signatures_of_one_p256_key_count_once() -> None:
    message = pae(KIND, BODY)
    both = tuple(Signature(None, P256.sign(message)) for _ in range(2))
    assert both[0].sig != both[1].sig
    assert signers(Envelope(KIND, BODY, both), [P256.public]) == {P256.public.keyid}


@pytest.mark.parametrize("keyid", [None, "", "unknown", "0" * 64])
def test_missing_or_unknown_key_id_hides_no_signature(keyid: str | None) -> None:
    sigs = tuple(Signature(keyid, one.sig) for one in signed(0, 1).signatures)
    assert signers(Envelope(KIND, BODY, sigs), PUBLIC) == ids(0, 1)
    assert signers(decode(Envelope(KIND, BODY, sigs).encode()), PUBLIC) == ids(0, 1)


def test_key_id_of_another_listed_key_makes_no_signature_of_that_key() -> None:
    """A hint that names a listed key is taken at its word: the signature must be that key's."""
    lying = Signature(PUBLIC[1].keyid, signed(0).signatures[0].sig)
    assert signers(Envelope(KIND, BODY, (lying,)), PUBLIC) == frozenset()


def test_signature_holds_for_its_type_and_every_byte_only() -> None:
    envelope = signed(0)
    for kind in ("", KIND + " ", KIND.replace("directive", "exercise.directive"), KIND.upper()):
        assert not signers(Envelope(kind, BODY, envelope.signatures), PUBLIC)
    for body in [*flips(BODY), b"", BODY + b"\0", BODY[:-1]]:
        assert not signers(Envelope(KIND, body, envelope.signatures), PUBLIC)
    # Type and body cannot be cut in another place: their lengths are signed.
    assert not signers(Envelope(KIND[:-1], KIND[-1:].encode() + BODY, envelope.signatures), PUBLIC)


def test_broken_signature_beside_a_good_one_takes_nothing_away() -> None:
    good = signed(0, 1).signatures
    broken = Signature(good[1].keyid, good[1].sig[:-1])
    for order in ((good[0], broken), (broken, good[0]), (Signature(None, b""), good[0])):
        assert signers(Envelope(KIND, BODY, order), PUBLIC) == ids(0)


def test_same_key_is_not_added_twice() -> None:
    assert code_of(lambda: add_signature(signed(0), KEYS[0])) == "envelope.signed"
    assert signers(add_signature(signed(0), KEYS[1]), PUBLIC) == ids(0, 1)


# --- how it may come ------------------------------------------------------------------------------


def test_envelope_comes_back_as_it_was() -> None:
    for envelope in (signed(), signed(0, 1), Envelope("", b"", (Signature(None, b"x"),))):
        assert decode(envelope.encode()) == envelope


def test_unknown_fields_are_passed_over_as_dsse_asks() -> None:
    extended = form(extension={"a": [1, None]})
    extended["signatures"][0]["cert"] = "x"
    assert read(extended) == signed(0, 1)


def test_url_safe_base64_is_read_as_the_same_bytes() -> None:
    safe = form(payload=base64.urlsafe_b64encode(BODY).decode())
    assert safe["payload"] != form()["payload"]
    assert read(safe) == signed(0, 1)


@pytest.mark.parametrize(
    "text",
    [
        "YQ", "YQ=", "YQ===", "YQ==YQ==", "YR==", "Y", "=", "====", " YQ==", "YQ== ", "YQ==\n",
        "Y Q=", "YQ\u00e9=", "Y\u0000Q=", "+/-_", "-_+/", "YWI", "YWJ=", "%59Q==",
    ],
)  # fmt: skip
def test_base64_has_one_form_in_payload_and_signature(text: str) -> None:
    assert code_of(lambda: read(form(payload=text))) == "envelope.base64"
    assert code_of(lambda: read(form(signatures=[{"sig": text}]))) == "envelope.base64"


@pytest.mark.parametrize(
    "changed",
    [
        {"payload": None}, {"payload": 5}, {"payloadType": None}, {"payloadType": []},
        {"signatures": None}, {"signatures": {}}, {"signatures": [None]}, {"signatures": [[]]},
        {"signatures": [{}]}, {"signatures": [{"keyid": "x"}]}, {"signatures": [{"sig": 5}]},
        {"signatures": [{"sig": "", "keyid": 5}]}, {"signatures": ["YQ=="]},
    ],
)  # fmt: skip
def test_field_of_a_wrong_type_is_refused(changed: dict[str, Any]) -> None:
    assert code_of(lambda: read(form(**changed))) == "envelope.malformed"


@pytest.mark.parametrize("name", ["payload", "payloadType", "signatures"])
def test_field_that_is_missing_or_stands_twice_is_refused(name: str) -> None:
    value = form()
    text = json.dumps(value)
    twice = text[:-1] + "," + json.dumps({name: value[name]})[1:]
    assert code_of(lambda: decode(twice.encode())) == "envelope.malformed"
    del value[name]
    assert code_of(lambda: read(value)) == "envelope.malformed"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b"7", b'"x"', b"\xef\xbb\xbf{}", b"\xff\xfe{\0}\0",
        b"{}", b"[" * 10_000, b'{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"payload":"","payloadType":"","signatures":[]} x',
        b'{"payload":"","payloadType":"\xff","signatures":[]}',
        b'{"payload":"","payloadType":"\\ud800","signatures":[]}',
        b'{"payload":"","payloadType":"","signatures":[],"x":NaN}',
        b'{"payload":"","payloadType":"","signatures":[],"x":{"a":1,"a":2}}',
        b'{"payload":"","payloadType":"","signatures":[],"x":01}',
    ],
)  # fmt: skip
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    assert code_of(lambda: decode(data)) == "envelope.malformed"


def test_size_and_number_of_signatures_are_bounded() -> None:
    many = form(signatures=[{"sig": "YQ=="}] * 2_000)
    assert len(read(many).signatures) == 2_000
    many["signatures"].append({"sig": "YQ=="})
    assert code_of(lambda: read(many)) == "envelope.signatures"
    assert code_of(lambda: decode(b" " * (2 * 1024 * 1024 + 1))) == "envelope.size"


def test_signatures_that_name_no_key_cannot_keep_a_node_busy() -> None:
    keys = [Ed25519Signer.from_seed(bytes([n]) * 32).public for n in range(200)]
    one = sign("type", b"payload", [Ed25519Signer.from_seed(bytes([7]) * 32)])
    strangers = [Signature(None, b"x" * 64)] * 101
    crowded = Envelope("type", b"payload", (*one.signatures, *strangers))
    assert code_of(lambda: signers(crowded, keys)) == "envelope.tries"
    few = Envelope("type", b"payload", (*one.signatures, *strangers[:99]))
    assert signers(few, keys) == {one.signatures[0].keyid}
