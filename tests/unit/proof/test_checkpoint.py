"""Notes, checkpoints, cosignatures, proof files and the witness's step, against odd forms."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from detente.errors import Invalid, NotAuthorised
from detente.proof import (
    AddCheckpoint,
    Checkpoint,
    Ed25519Signer,
    Note,
    Proof,
    VerifierKey,
    WitnessVerdict,
    check_proof,
    cosign,
    encode_add_checkpoint,
    encode_proof,
    parse_add_checkpoint,
    parse_checkpoint,
    parse_note,
    parse_proof,
    sign_checkpoint,
    verify_checkpoint,
    verify_cosignature,
    witness_step,
)
from tests.unit.proof.kit import (
    KEYS,
    code_of,
    flips,
    leaves_of,
    naive_consistency,
    naive_inclusion,
    naive_root,
)

LOG, WITNESS, OTHER = KEYS[:3]
ORIGIN = "gw.example/detente/agr-1"
COSIGNER = "gw.other.example/witness"
VKEY = VerifierKey(ORIGIN, 1, LOG.public)
COSIGNER_VKEY = VerifierKey(COSIGNER, 4, WITNESS.public)
LEAVES = leaves_of(40)
DASH = "\u2014 "


def head(size: int, *, origin: str = ORIGIN, root: bytes | None = None) -> Checkpoint:
    return Checkpoint(origin, size, naive_root(LEAVES[:size]) if root is None else root)


def note(size: int = 5, *, by: Ed25519Signer = LOG, root: bytes | None = None) -> Note:
    return sign_checkpoint(head(size, root=root), by)


def text_of(*, origin: str = ORIGIN, size: str = "5", root: str | None = None) -> str:
    return f"{origin}\n{size}\n{root or base64.b64encode(naive_root(LEAVES[:5])).decode()}\n"


def signed_text(text: str) -> bytes:
    """A text that the log did sign, whatever it says."""
    return Note(text, ((ORIGIN, VKEY.hint + LOG.sign(text.encode())),)).encode()


# --- verifier keys --------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [1, 4])
def test_verifier_key_comes_back_from_its_text(algorithm: int) -> None:
    vkey = VerifierKey(ORIGIN, algorithm, LOG.public)
    assert VerifierKey.parse(vkey.encode()) == vkey
    assert len(vkey.hint) == 4


def test_hint_depends_on_name_algorithm_and_key() -> None:
    hints = {
        VerifierKey(name, algorithm, key.public).hint
        for name in (ORIGIN, COSIGNER)
        for algorithm in (1, 4)
        for key in KEYS
    }
    assert len(hints) == 2 * 2 * len(KEYS)


GOOD = VKEY.encode()
NAME, HASH, DATA = GOOD.split("+", 2)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "vkey.form"),
        (NAME, "vkey.form"),
        (f"{NAME}+{HASH}", "vkey.form"),
        (f"+{HASH}+{DATA}", "vkey.form"),
        (f"a b+{HASH}+{DATA}", "vkey.form"),
        (f"{NAME}\n+{HASH}+{DATA}", "vkey.form"),
        (f"{NAME}+{HASH}+", "vkey.form"),
        (f"{NAME}+{HASH}+!", "vkey.form"),
        (f"{NAME}+{HASH}+{DATA}\n", "vkey.form"),
        (f"{NAME}+{HASH}+{DATA[:-4]}", "key.length"),
        (f"{NAME}+{HASH.upper()}+{DATA}", "vkey.hash"),
        (f"{NAME}+00000000+{DATA}", "vkey.hash"),
        (f"{NAME}+{HASH}00+{DATA}", "vkey.hash"),
        (f"{NAME}x+{HASH}+{DATA}", "vkey.hash"),
        (f"{NAME}+{HASH}+{base64.b64encode(bytes([2]) + LOG.public.raw).decode()}", "vkey.form"),
        (f"{NAME}+{HASH}+{base64.b64encode(bytes([6]) + LOG.public.raw).decode()}", "vkey.form"),
        (f"{NAME}+{HASH}+{base64.b64encode(bytes([4]) + LOG.public.raw).decode()}", "vkey.hash"),
        (f"{NAME}+{HASH}+{base64.b64encode(bytes([1]) + bytes(32)).decode()}", "key.point"),
    ],
)
def test_verifier_key_in_another_form_is_refused(text: str, code: str) -> None:
    assert code_of(lambda: VerifierKey.parse(text)) == code


@pytest.mark.parametrize(
    ("name", "ok"), [("x" * 255, True), ("x" * 256, False), ("é" * 128, False)]
)
def test_name_has_at_most_255_bytes(name: str, ok: bool) -> None:
    text = VerifierKey(name, 1, LOG.public).encode()
    if ok:
        assert VerifierKey.parse(text).name == name
        assert parse_checkpoint(text_of(origin=name)).origin == name
    else:
        assert code_of(lambda: VerifierKey.parse(text)) == "vkey.form"
        assert code_of(lambda: parse_checkpoint(text_of(origin=name))) == "checkpoint.form"


# --- the three lines ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["0", "1", "9", "10", str(2**53 - 1)])
def test_size_is_read_in_its_one_decimal_form(size: str) -> None:
    assert parse_checkpoint(text_of(size=size)).size == int(size)
    assert parse_checkpoint(text_of(size=size)).text() == text_of(size=size)


@pytest.mark.parametrize(
    "size",
    [
        "", "00", "01", "007", "-1", "-0", "+5", " 5", "5 ", "5.0", "0x5", "5e0", "1_000", "٥",
        "５", "²", "five", str(2**53), str(2**63 - 1), str(2**63), str(2**64), "9" * 40,
    ],
)  # fmt: skip
def test_size_in_another_form_or_beyond_2_to_the_53_is_refused(size: str) -> None:
    assert code_of(lambda: parse_checkpoint(text_of(size=size))) == "checkpoint.form"
    # Nor does the log's own signature make it one.
    assert code_of(lambda: verify_checkpoint(signed_text(text_of(size=size)), VKEY)) in (
        "checkpoint.form",
        "note.form",
    )


@pytest.mark.parametrize(
    "origin", ["", "a b", "a+b", "+", " a", "a\t", "a\u00a0b", "a\u2003b", "a\u2028b", "a\x85"]
)
def test_origin_with_a_space_of_any_kind_or_a_plus_is_refused(origin: str) -> None:
    assert code_of(lambda: parse_checkpoint(text_of(origin=origin))) == "checkpoint.form"


def test_extension_lines_are_refused_also_when_they_are_signed() -> None:
    for more in ("x\n", "\n", "5\n", "x\ny\n"):
        text = text_of() + more
        assert code_of(lambda t=text: parse_checkpoint(t)) == "checkpoint.form"
        assert code_of(lambda t=text: verify_checkpoint(signed_text(t), VKEY)) in (
            "checkpoint.form",
            "note.form",
        )


@pytest.mark.parametrize(
    "text",
    [
        "", "\n\n\n", text_of()[:-1], text_of().replace("\n", "\r\n"), text_of()[:-1] + "\r\n",
        "\n" + text_of(), text_of().replace("5\n", "5\r"), text_of().replace("\n", "\n\n", 1),
    ],
)  # fmt: skip
def test_lines_end_with_one_newline_each_and_nothing_else(text: str) -> None:
    assert code_of(lambda: parse_checkpoint(text)).startswith("checkpoint.")


@pytest.mark.parametrize("length", [0, 12, 31, 33])
def test_root_has_32_bytes_in_the_one_base64_form(length: int) -> None:
    root = base64.b64encode(bytes(length)).decode() or "="
    assert code_of(lambda: parse_checkpoint(text_of(root=root))).startswith("checkpoint.")
    good = base64.b64encode(b"\xff" * 32).decode()
    for other in (
        good.rstrip("="),
        good.replace("/", "_"),
        good[:-2] + "9=",
        good + "=",
        " " + good,
    ):
        assert code_of(lambda o=other: parse_checkpoint(text_of(root=o))).startswith("checkpoint.")


# --- notes ----------------------------------------------------------------------------------------


def test_checkpoint_of_its_log_is_believed_and_no_other() -> None:
    assert verify_checkpoint(note().encode(), VKEY) == head(5)
    cases: list[tuple[bytes, VerifierKey, str]] = [
        (note(by=OTHER).encode(), VKEY, "note.unsigned"),
        (note().encode(), VerifierKey(ORIGIN, 1, OTHER.public), "note.unsigned"),
        (note().encode(), VerifierKey(ORIGIN, 4, LOG.public), "checkpoint.origin"),
        (note().encode(), VerifierKey(COSIGNER, 1, LOG.public), "checkpoint.origin"),
        (Note(note(6).text, note(5).lines).encode(), VKEY, "checkpoint.signature"),
    ]
    for data, vkey, code in cases:
        with pytest.raises(NotAuthorised) as found:
            verify_checkpoint(data, vkey)
        assert found.value.code == code


def test_log_key_signs_no_checkpoint_of_another_origin() -> None:
    """The name in the signature line is that of the key; the origin must be it too."""
    foreign = head(5, origin="gw.example/detente/agr-2").text()
    data = Note(foreign, ((ORIGIN, VKEY.hint + LOG.sign(foreign.encode())),)).encode()
    assert code_of(lambda: verify_checkpoint(data, VKEY)) == "checkpoint.origin"


def test_every_flipped_bit_of_the_signature_is_noticed() -> None:
    name, line = note().lines[0]
    for other in flips(line[4:]):
        data = Note(note().text, ((name, line[:4] + other),)).encode()
        assert code_of(lambda d=data: verify_checkpoint(d, VKEY)) == "checkpoint.signature"
    for hint in flips(line[:4]):
        data = Note(note().text, ((name, hint + line[4:]),)).encode()
        assert code_of(lambda d=data: verify_checkpoint(d, VKEY)) == "note.unsigned"


def test_unknown_signature_lines_are_kept_and_passed_over() -> None:
    strange = (
        ("other.example/log", b"\1\2\3\4" + b"x" * 64),
        (ORIGIN, b"\0\0\0\0" + b"another algorithm, of the same name"),
        ("other.example/log", b"12345"),
    )
    good = note()
    both = Note(good.text, (*strange, *good.lines, *strange))
    data = both.encode()
    assert parse_note(data) == both
    assert parse_note(data).encode() == data
    assert verify_checkpoint(data, VKEY) == head(5)


def test_two_signatures_of_one_log_are_one_and_the_first_counts() -> None:
    good = note()
    twice = Note(good.text, good.lines * 2)
    assert verify_checkpoint(twice.encode(), VKEY) == head(5)
    bad = (ORIGIN, VKEY.hint + b"x" * 64)
    first = Note(good.text, (bad, *good.lines))
    assert code_of(lambda: verify_checkpoint(first.encode(), VKEY)) == "checkpoint.signature"
    rotated = Note(good.text, (*note(by=OTHER).lines, *good.lines))
    for key in (LOG, OTHER):
        assert verify_checkpoint(rotated.encode(), VerifierKey(ORIGIN, 1, key.public)) == head(5)


BODY, LINE = note().encode().decode().split("\n\n")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "note.form"),
        (BODY, "note.form"),
        (BODY + "\n\n", "note.form"),
        (BODY + "\n" + LINE, "note.form"),
        (BODY + "\n\n" + LINE[:-1], "note.form"),
        (BODY + "\n\n" + LINE + "\n", "note.form"),
        (BODY + "\r\n\r\n" + LINE, "note.form"),
        (BODY + "\n\n" + LINE[:-1] + "\r\n", "note.form"),
        (BODY + "\x00\n\n" + LINE, "note.form"),
        (BODY + "\t\n\n" + LINE, "note.form"),
        (BODY + "\n\n" + LINE + "x\n", "note.signature"),
        (BODY + "\n\n" + LINE.replace(DASH, "- "), "note.signature"),
        (BODY + "\n\n" + LINE.replace(DASH, "\u2013 "), "note.signature"),
        (BODY + "\n\n" + LINE.replace(DASH, "\u2014"), "note.signature"),
        (BODY + "\n\n" + LINE.replace(ORIGIN, "a+b"), "note.signature"),
        (BODY + "\n\n" + DASH + ORIGIN + "\n", "note.signature"),
        (BODY + "\n\n" + DASH + ORIGIN + " AAAA\n", "note.signature"),
        (BODY + "\n\n" + DASH + ORIGIN + " AAAAAA==\n", "note.signature"),
        (BODY + "\n\n" + DASH + ORIGIN + " !!!!!!!!\n", "note.signature"),
        (BODY + "\n\n" + LINE * 101, "note.signatures"),
        ("x" * 70_000 + "\n\n" + LINE, "note.size"),
    ],
)
def test_note_in_another_form_is_refused(text: str, code: str) -> None:
    assert code_of(lambda: parse_note(text.encode())) == code
    assert code_of(lambda: verify_checkpoint(text.encode(), VKEY)) == code


def test_note_is_utf_8() -> None:
    assert code_of(lambda: parse_note(note().encode().replace(b"agr", b"\xff\xfeg"))) == "note.utf8"
    assert code_of(lambda: parse_note(note().encode().decode().encode("utf-16"))) == "note.utf8"


def test_text_may_hold_empty_lines_and_the_last_one_ends_it() -> None:
    text = "first\n\nsecond\n"
    assert parse_note(Note(text, note().lines).encode()).text == text


# --- cosignatures ---------------------------------------------------------------------------------


def cosigned(time_s: int = 1_764_000_000, *, by: Ed25519Signer = WITNESS) -> Note:
    made = note()
    return Note(made.text, (*made.lines, cosign(made.text, COSIGNER, by, time_s)))


@pytest.mark.parametrize("time_s", [0, 1, 1_764_000_000, 2**63, 2**64 - 1])
def test_cosignature_carries_its_time(time_s: int) -> None:
    data = cosigned(time_s).encode()
    assert verify_cosignature(parse_note(data), COSIGNER_VKEY) == time_s
    assert verify_checkpoint(data, VKEY) == head(5)


def test_every_flipped_bit_of_time_and_signature_is_noticed() -> None:
    made = cosigned()
    name, line = made.lines[1]
    for other in flips(line[4:]):
        changed = Note(made.text, (made.lines[0], (name, line[:4] + other)))
        with pytest.raises(NotAuthorised) as found:
            verify_cosignature(changed, COSIGNER_VKEY)
        assert found.value.code == "cosignature.signature"


def test_cosignature_of_another_key_text_or_length_is_refused() -> None:
    made = cosigned()
    line = made.lines[1][1]
    cases: list[tuple[Note, VerifierKey, str]] = [
        (note(), COSIGNER_VKEY, "note.unsigned"),
        (cosigned(by=OTHER), COSIGNER_VKEY, "note.unsigned"),
        (Note(note(6).text, made.lines), COSIGNER_VKEY, "cosignature.signature"),
        (Note(made.text, ((COSIGNER, line[:-1]),)), COSIGNER_VKEY, "cosignature.form"),
        (Note(made.text, ((COSIGNER, line + b"x"),)), COSIGNER_VKEY, "cosignature.form"),
        (Note(made.text, ((COSIGNER, line[:4] + line[12:]),)), COSIGNER_VKEY, "cosignature.form"),
        # A signature of a log is no cosignature, even by the same key.
        (made, VKEY, "cosignature.form"),
    ]
    for one, vkey, code in cases:
        assert code_of(lambda n=one, v=vkey: verify_cosignature(n, v)) == code


def test_log_signature_and_cosignature_of_one_key_are_never_taken_for_each_other() -> None:
    text = note().text
    own = cosign(text, ORIGIN, LOG, 7)
    forged = Note(text, ((ORIGIN, VKEY.hint + own[1][12:]),))
    assert code_of(lambda: verify_checkpoint(forged.encode(), VKEY)) == "checkpoint.signature"
    vkey = VerifierKey(ORIGIN, 4, LOG.public)
    wrong = Note(text, ((ORIGIN, vkey.hint + (7).to_bytes(8, "big") + LOG.sign(text.encode())),))
    assert code_of(lambda: verify_cosignature(wrong, vkey)) == "cosignature.signature"


# --- proof files ----------------------------------------------------------------------------------


def proof(index: int = 2, size: int = 5) -> bytes:
    path = tuple(naive_inclusion(index, LEAVES[:size]))
    return encode_proof(Proof(index, path, note(size).encode()))


def test_proof_file_shows_its_entry_and_no_other() -> None:
    assert check_proof(proof(), b"entry 2", VKEY) == head(5)
    for entry in (b"entry 1", b"entry 3", b"", b"entry 2 "):
        assert code_of(lambda e=entry: check_proof(proof(), e, VKEY)) == "proof.root"
    moved = proof().replace(b"index 2", b"index 3")
    assert code_of(lambda: check_proof(moved, b"entry 2", VKEY)) == "proof.root"
    assert code_of(lambda: check_proof(moved, b"entry 3", VKEY)) == "proof.root"
    outside = proof().replace(b"index 2", b"index 5")
    assert code_of(lambda: check_proof(outside, b"entry 2", VKEY)) == "proof.index"


def test_proof_file_asks_for_every_cosigner_named() -> None:
    path = tuple(naive_inclusion(2, LEAVES[:5]))
    both = encode_proof(Proof(2, path, cosigned().encode()))
    assert check_proof(both, b"entry 2", VKEY, [COSIGNER_VKEY]) == head(5)
    third = VerifierKey("third.example/witness", 4, OTHER.public)
    for data, cosigners in ((proof(), [COSIGNER_VKEY]), (both, [COSIGNER_VKEY, third])):
        assert code_of(lambda d=data, c=cosigners: check_proof(d, b"entry 2", VKEY, c)) == (
            "note.unsigned"
        )


def test_extra_line_is_read_over_once_in_its_place() -> None:
    first, rest = proof().split(b"\n", 1)
    assert parse_proof(first + b"\nextra eA==\n" + rest) == parse_proof(proof())
    for wrong in (b"\nextra eA==\nextra eA==\n", b"\nextra\n", b"\nother eA==\n"):
        assert code_of(lambda w=wrong: parse_proof(first + w + rest)) == "proof.form"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d: b"", "proof.form"),
        (lambda d: d.replace(b"@v1", b"@v2"), "proof.form"),
        (lambda d: d.replace(b"\n\n", b"\n"), "proof.form"),
        (lambda d: d.replace(b"\n", b"\r\n"), "proof.form"),
        (lambda d: d.replace(b"index 2", b"index 02"), "proof.form"),
        (lambda d: d.replace(b"index 2", b"index -2"), "proof.form"),
        (lambda d: d.replace(b"index 2", b"index  2"), "proof.form"),
        (lambda d: d.replace(b"index 2", b"index"), "proof.form"),
        (lambda d: d.replace(b"index 2", b"2"), "proof.form"),
        (lambda d: d.replace(b"index 2", b"index " + b"9" * 16), "proof.form"),
        (lambda d: d.replace(b"index 2", b"index " + str(2**63).encode()), "proof.form"),
        (lambda d: d.replace(b"index 2\n", b"index 2\n" + b"AAAA\n" * 65), "proof.form"),
        (lambda d: d.replace(b"index 2\n", b"index 2\n!\n"), "proof.hash"),
        (lambda d: d.replace(b"index 2\n", b"index 2\n \n"), "proof.hash"),
        (lambda d: d.replace(b"index", b"\xff"), "proof.form"),
    ],
)
def test_proof_file_in_another_form_is_refused(change: Callable[[bytes], bytes], code: str) -> None:
    data = change(proof())
    assert data != proof()
    with pytest.raises(Invalid) as found:
        parse_proof(data)
    assert found.value.code == code


def test_proof_file_with_a_hash_more_or_less_or_of_another_length_is_refused() -> None:
    path = tuple(naive_inclusion(2, LEAVES[:5]))
    for wrong, code in (
        (path[:-1], "proof.length"),
        ((*path, path[0]), "proof.length"),
        ((), "proof.length"),
        ((path[0][:-1], *path[1:]), "proof.hash"),
    ):
        data = encode_proof(Proof(2, wrong, note().encode()))
        assert code_of(lambda d=data: check_proof(d, b"entry 2", VKEY)) == code


# --- the witness ----------------------------------------------------------------------------------


def ask(
    old: int, new: int, *, hashes: tuple[bytes, ...] | None = None, by: Ed25519Signer = LOG
) -> AddCheckpoint:
    made = tuple(naive_consistency(old, LEAVES[:new])) if 0 < old < new else ()
    return AddCheckpoint(old, made if hashes is None else hashes, note(new, by=by).encode())


def last(size: int) -> tuple[int, bytes] | None:
    return (size, naive_root(LEAVES[:size])) if size else None


def fork(new: int) -> bytes:
    """A head of the same log over another history."""
    return note(new, root=naive_root([b"\7" * 32, *LEAVES[1:new]])).encode()


STEPS = [
    ("first head", 0, ask(0, 5), WitnessVerdict.OK),
    ("empty log", 0, ask(0, 0), WitnessVerdict.OK),
    ("growth", 5, ask(5, 9), WitnessVerdict.OK),
    ("the same again", 5, ask(5, 5), WitnessVerdict.OK),
    ("old is not what was seen", 5, ask(4, 9), WitnessVerdict.CONFLICT),
    ("old begins anew", 5, ask(0, 9), WitnessVerdict.CONFLICT),
    ("old was never seen", 0, ask(3, 9), WitnessVerdict.CONFLICT),
    ("the log shrinks", 9, ask(5, 5), WitnessVerdict.CONFLICT),
    ("old above the new size", 9, AddCheckpoint(9, (), note(5).encode()), 400),
    ("another key", 5, ask(5, 9, by=OTHER), WitnessVerdict.SIGNATURE),
    ("no proof of growth", 5, ask(5, 9, hashes=()), WitnessVerdict.INCONSISTENT),
    ("a proof where none is due", 5, ask(5, 5, hashes=(LEAVES[0],)), WitnessVerdict.INCONSISTENT),
    ("a proof from nothing", 0, ask(0, 5, hashes=(LEAVES[0],)), WitnessVerdict.INCONSISTENT),
    ("short hashes", 5, ask(5, 9, hashes=(b"x",)), WitnessVerdict.INCONSISTENT),
    ("a fork of the same size", 5, AddCheckpoint(5, (), fork(5)), WitnessVerdict.CONFLICT),
    ("a fork that grows", 5, AddCheckpoint(5, ask(5, 9).proof, fork(9)), 422),
    ("from an empty head to a fork", 0, AddCheckpoint(0, (), fork(5)), WitnessVerdict.OK),
]


@pytest.mark.parametrize(
    ("size", "request_", "verdict"), [step[1:] for step in STEPS], ids=[step[0] for step in STEPS]
)
def test_witness_answers_by_what_it_saw_last(
    size: int, request_: AddCheckpoint, verdict: int
) -> None:
    got, checkpoint = witness_step(last(size), request_, VKEY)
    assert got == verdict
    assert (checkpoint is not None) is (verdict == WitnessVerdict.OK)
    if checkpoint is not None:
        assert (checkpoint.size, checkpoint.origin) == (parse_checkpoint(
            parse_note(request_.note).text
        ).size, ORIGIN)  # fmt: skip


def test_every_flipped_bit_of_a_consistency_proof_is_refused_by_the_witness() -> None:
    good = ask(5, 9)
    for at, one in enumerate(good.proof):
        for other in flips(one):
            hashes = (*good.proof[:at], other, *good.proof[at + 1 :])
            verdict, _ = witness_step(last(5), ask(5, 9, hashes=hashes), VKEY)
            assert verdict is WitnessVerdict.INCONSISTENT


def test_request_comes_back_as_it_was() -> None:
    for request in (ask(0, 5), ask(5, 9), ask(5, 5)):
        assert parse_add_checkpoint(encode_add_checkpoint(request)) == request


BODY_OF_REQUEST = encode_add_checkpoint(ask(5, 9))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda d: b"", "witness.form"),
        (lambda d: d.replace(b"old 5", b"old 05"), "witness.form"),
        (lambda d: d.replace(b"old 5", b"old -5"), "witness.form"),
        (lambda d: d.replace(b"old 5", b"old"), "witness.form"),
        (lambda d: d.replace(b"old 5", b"5"), "witness.form"),
        (lambda d: d.replace(b"old 5", b"old " + str(2**53).encode()), "witness.form"),
        (lambda d: d.replace(b"old 5", b"old " + str(2**63).encode()), "witness.form"),
        (lambda d: d.replace(b"old 5", b"\xff"), "witness.form"),
        (lambda d: d.replace(b"\n\n", b"\n"), "witness.form"),
        (lambda d: d.replace(b"\n", b"\r\n"), "witness.form"),
        (lambda d: d.replace(b"old 5\n", b"old 5\n" + b"AAAA\n" * 63), "witness.form"),
        (lambda d: d.replace(b"old 5\n", b"old 5\n\xff\n"), "witness.proof"),
        (lambda d: d.replace(b"old 5\n", b"old 5\nA\n"), "witness.proof"),
    ],
)
def test_request_in_another_form_is_refused(change: Callable[[bytes], bytes], code: str) -> None:
    data = change(BODY_OF_REQUEST)
    assert data != BODY_OF_REQUEST
    assert code_of(lambda: parse_add_checkpoint(data)) == code
