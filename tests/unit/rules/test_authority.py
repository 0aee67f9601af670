"""Who may sign what, by hand. anna holds two cards; she and ben are deputies too."""

from __future__ import annotations

import base64

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from detente.errors import Conflict, DetenteError, Invalid, NotAuthorised
from detente.model import (
    Choice,
    Condition,
    Directive,
    Power,
    Root,
    Scope,
    StandIn,
    digest,
    encode,
)
from detente.proof import Ed25519Signer
from detente.rules.authority import (
    check_agreement,
    check_assurance,
    check_charter,
    check_directive,
    required_verbs,
)
from detente.rules.quorum import tally_quorum
from detente.rules.standing import Standing, fold
from detente.rules.widening import widens
from tests.unit.rules.kit import (
    DAY,
    FROM,
    UNTIL,
    agreement,
    assurance,
    charter,
    directive,
    effect,
    keyid,
    opened,
    signed,
)

AT = 2_000
HEADS = ("anna-1", "ben")
ALL = ("anna-1", "ben", "minister")


def standing(*acts: object, at_ms: int = AT) -> Standing:
    return fold([*opened(), *acts], at_ms)  # type: ignore[list-item]  # acts of the kit


def enacted(order: Directive, *names: str, on: Standing | None = None, at_ms: int = AT) -> str:
    """ "ok", or the code of the refusal."""
    envelope = signed("directive", order, *names)
    try:
        check_directive(envelope, on or standing(), at_ms=at_ms, exercise=False)
    except DetenteError as error:
        return error.code
    return "ok"


# --- quorum -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "have", "met"),
    [
        ((), 0, False),
        (("anna-1",), 1, False),
        (("anna-1", "anna-1"), 1, False),
        (("anna-1", "anna-2"), 1, False),
        (("anna-1", "ben"), 2, True),
        (("anna-1", "anna-2", "ben"), 2, True),
        (("anna-1", "duty", "minister", "node"), 1, False),
        (("ben", "carla", "anna-2"), 3, True),
    ],
)
def test_quorum_counts_distinct_holders_of_the_named_offices(
    names: tuple[str, ...], have: int, met: bool
) -> None:
    power = Power(party="A", verbs=("suspend",), offices=("head",), threshold=2)
    tally = tally_quorum(power, charter("A"), [keyid(name) for name in names])
    assert (tally.have, tally.met) == (have, met)


def test_key_that_the_charter_does_not_list_counts_for_nothing() -> None:
    stranger = Ed25519Signer(Ed25519PrivateKey.from_private_bytes(b"\x77" * 32))
    power = Power(party="A", verbs=("halt",), offices=("head",))
    assert not tally_quorum(power, charter("A"), [stranger.public.keyid]).met


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (("anna-1", "ben", "carla"), ("minister",)),
        (("anna-1", "ben", "minister"), ()),
        (("minister",), ()),
    ],
)
def test_named_office_must_be_among_the_signers(
    names: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    power = Power(
        party="A",
        verbs=("resume",),
        offices=("head", "minister"),
        threshold=3,
        including=("minister",),
    )
    tally = tally_quorum(power, charter("A"), [keyid(name) for name in names])
    assert tally.missing_offices == missing
    assert tally.met == (len(names) == 3 and not missing)


@pytest.mark.parametrize(
    ("names", "met"),
    [
        (("anna-1", "anna-2"), False),
        (("anna-1", "carla"), True),
        (("ben", "carla"), True),
        (("carla", "minister"), False),
    ],
)
def test_one_person_does_not_stand_for_two_named_offices(names: tuple[str, ...], met: bool) -> None:
    power = Power(
        party="A",
        verbs=("resume",),
        offices=("deputy", "head", "minister"),
        threshold=2,
        including=("deputy", "head"),
    )
    assert tally_quorum(power, charter("A"), [keyid(name) for name in names]).met is met


@pytest.mark.parametrize(
    ("office", "names", "at_ms", "code"),
    [
        ("head", ("ben", "duty"), AT, "ok"),
        ("duty", ("ben", "duty"), AT, "ok"),
        ("head", ("ben", "duty"), AT - 1, "authority.quorum"),
        ("head", ("ben", "duty"), AT + 10, "authority.quorum"),
        ("head", ("ben", "minister"), AT, "authority.quorum"),
        ("minister", ("ben", "duty"), AT, "authority.office"),
        ("duty", ("ben", "carla"), AT, "authority.office"),
    ],
)
def test_who_stands_in_for_an_office_signs_for_it_as_long_and_for_what_is_delegated(
    office: str, names: tuple[str, ...], at_ms: int, code: str
) -> None:
    one = StandIn(
        party="A", office="head", to="duty", verbs=("suspend",), from_ms=AT, until_ms=AT + 10
    )
    terms = agreement(delegations=(one,))
    digest_of = digest(encode(terms))
    order = directive("D1", office=office, agreement_digest=digest_of)
    on = fold(opened(terms), at_ms)
    assert enacted(order, *names, on=on, at_ms=at_ms) == code
    narrow = replace(order, verb="narrow", remains=Scope(kind=Choice.of("VI")))
    assert enacted(narrow, "ben", "duty", on=on, at_ms=at_ms) == "authority.quorum"


def test_one_who_stands_in_for_a_named_office_is_no_second_person() -> None:
    power = Power(
        party="A", verbs=("resume",), offices=("head", "minister"), threshold=2,
        including=("minister",),
    )  # fmt: skip
    rooms = {"minister": frozenset({"head"})}
    for names, met in ((("ben",), False), (("ben", "carla"), True), (("anna-1", "anna-2"), False)):
        keyids = [keyid(name) for name in names]
        assert tally_quorum(power, charter("A"), keyids, rooms).met is met
        assert not tally_quorum(power, charter("A"), keyids).met


@pytest.mark.parametrize(("at_ms", "code"), [(AT - 1, "ok"), (AT, "authority.no-power")])
def test_power_is_none_any_more_from_its_end_on(at_ms: int, code: str) -> None:
    terms = agreement(powers=tuple(replace(power, until_ms=AT) for power in agreement().powers))
    order = directive("D1", agreement_digest=digest(encode(terms)))
    assert enacted(order, *HEADS, on=fold(opened(terms), at_ms), at_ms=at_ms) == code


# --- directives -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "names", "code"),
    [
        ("suspend", HEADS, "ok"),
        ("suspend", ("anna-1", "anna-2"), "authority.quorum"),
        ("suspend", ("duty", "ben"), "authority.quorum"),
        ("suspend", ("minister", "ben"), "authority.quorum"),
        ("halt", ("duty",), "ok"),
        ("halt", ("ben",), "authority.quorum"),
        ("halt", (), "authority.quorum"),
    ],
)
def test_each_verb_needs_its_own_power(verb: str, names: tuple[str, ...], code: str) -> None:
    end = AT + 1_000 if verb == "halt" else None
    assert enacted(directive("D1", verb, end_ms=end), *names) == code  # type: ignore[arg-type]  # one of the verbs


@pytest.mark.parametrize(
    ("office", "names", "code"),
    [
        ("duty", ("duty",), "ok"),
        ("head", ("duty",), "authority.office"),
        ("nobody", ("duty",), "authority.office"),
        ("node", ("duty", "node"), "authority.office"),
        ("head", ("duty", "ben"), "authority.office"),
    ],
)
def test_order_is_shown_as_the_office_that_signed_it_with_the_power(
    office: str, names: tuple[str, ...], code: str
) -> None:
    halt = directive("H1", "halt", office=office, end_ms=AT + 50, review_ms=None)
    assert enacted(halt, *names) == code


@pytest.mark.parametrize(
    ("at_ms", "code"),
    [(1_499, "directive.window"), (1_500, "ok"), (2_499, "ok"), (2_500, "directive.window")],
)
def test_directive_counts_from_its_draft_to_before_its_signing_ends(at_ms: int, code: str) -> None:
    order = directive("D1", drafted_ms=1_500, sign_by_ms=2_500)
    assert enacted(order, *HEADS, on=standing(at_ms=at_ms), at_ms=at_ms) == code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"start_ms": AT - 1}, "directive.start"),
        ({"start_ms": AT}, "ok"),
        ({"end_ms": AT}, "directive.end"),
        ({"end_ms": AT + 1}, "ok"),
        ({"start_ms": AT + 5, "end_ms": AT + 5}, "directive.end"),
        ({"review_ms": None}, "directive.no-end"),
        ({"review_ms": None, "end_ms": AT + 9}, "ok"),
        ({"issuer": "C"}, "authority.charter"),
        ({"agreement_digest": "1" * 64}, "agreement.digest"),
        ({"agreement": "A2"}, "agreement.not-in-force"),
        ({"remains": Scope()}, "directive.remains"),
        ({"conditions": (Condition(template="AS", scope=Scope()),)}, "directive.conditions"),
        ({"supersedes": ("D0",)}, "directive.superseded-unknown"),
        ({"purposes": ("z",)}, "directive.purpose"),
        ({"scope": Scope(kind=Choice.of("ZZ"))}, "directive.kind-unknown"),
        ({"scope": Scope(kind=Choice.but("ZZ"))}, "directive.kind-unknown"),
        ({"scope": Scope(unit=Choice.of("Z"))}, "directive.unit-unknown"),
        ({"scope": Scope(party=Choice.of("A"))}, "directive.party-unknown"),
        ({"scope": Scope(collection=Choice.of("z"))}, "directive.collection-unknown"),
        ({"scope": Scope(purpose=Choice.of("z"))}, "directive.purpose-unknown"),
        ({"scope": Scope(act=Choice.of("push"))}, "directive.act"),
        ({"scope": Scope(act=Choice.but("view"))}, "directive.act"),
        ({"verb": "narrow"}, "directive.incomplete"),
        ({"verb": "condition"}, "directive.incomplete"),
        ({"verb": "resume"}, "directive.incomplete"),
    ],
)
def test_directive_that_says_the_wrong_thing_is_refused(
    fields: dict[str, object], code: str
) -> None:
    assert enacted(directive("D1", **fields), *ALL) == code  # type: ignore[arg-type]  # fields of a directive


@pytest.mark.parametrize(
    ("end", "code"),
    [(None, "directive.halt-span"), (AT + DAY, "ok"), (AT + DAY + 1, "directive.halt-span")],
)
def test_halt_ends_within_a_day(end: int | None, code: str) -> None:
    assert enacted(directive("H1", "halt", end_ms=end), "duty") == code


def test_halt_is_given_once_until_a_quorum_has_spoken() -> None:
    first = effect(directive("H1", "halt", end_ms=AT + 100), AT)
    again = directive("H2", "halt", end_ms=AT + 900)
    assert (
        enacted(again, "duty", on=standing(first, at_ms=AT + 50), at_ms=AT + 50)
        == "directive.halt-again"
    )
    over = AT + 200
    assert (
        enacted(again, "duty", on=standing(first, at_ms=over), at_ms=over) == "directive.halt-again"
    )
    spoken = effect(directive("D1", end_ms=AT + 150), AT + 120)
    assert enacted(again, "duty", on=standing(first, spoken, at_ms=over), at_ms=over) == "ok"
    partners = effect(directive("H0", "halt", issuer="B", end_ms=AT + 100), AT)
    assert enacted(again, "duty", on=standing(partners)) == "ok"


@pytest.mark.parametrize("at_ms", [AT + 50, AT + 500])
def test_directive_is_enacted_once_also_after_its_end(at_ms: int) -> None:
    order = directive("D1", end_ms=AT + 100)
    on = standing(effect(order, AT), at_ms=at_ms)
    assert enacted(msgspec.structs.replace(order, end_ms=AT + 900), *HEADS, on=on, at_ms=at_ms) == (
        "directive.replayed"
    )


def test_order_of_the_partner_is_not_superseded() -> None:
    on = standing(effect(directive("D1", issuer="B"), AT))
    order = directive("D2", "resume", supersedes=("D1",))
    assert enacted(order, *ALL, on=on) == "directive.superseded-foreign"


WIDENINGS = [
    ({"scope": Scope()}, False),
    ({"scope": Scope(kind=Choice.of("VI"))}, True),
    ({"scope": Scope(kind=Choice.but("ZZZ"))}, True),
    ({"scope": Scope(kind=Choice.of("SL", "VI", "VT"))}, True),
    ({"scope": Scope(direction=Choice.of("in", "out"))}, False),
    ({"scope": Scope(unit=Choice.of("U", "V"))}, True),
    ({"verb": "narrow", "remains": Scope(kind=Choice.of("VI"))}, True),
    ({"verb": "condition", "conditions": (Condition(template="AS", scope=Scope()),)}, True),
    ({"end_ms": AT + 10}, True),
]


@pytest.mark.parametrize(("fields", "wider"), WIDENINGS)
def test_order_that_leaves_anything_open_needs_the_power_to_resume(
    fields: dict[str, object], wider: bool
) -> None:
    """The one it supersedes stops everything, until AT + 100, also kinds nobody has named."""
    on = standing(effect(directive("D1", end_ms=AT + 100), AT))
    order = directive("D2", **{"end_ms": AT + 100, "supersedes": ("D1",), **fields})  # type: ignore[arg-type]  # fields of a directive
    assert widens(order, on) is wider
    assert ("resume" in required_verbs(order, on)) is wider
    if "ZZZ" not in str(fields):
        assert enacted(order, *HEADS, on=on) == ("authority.quorum" if wider else "ok")
        assert enacted(order, *ALL, on=on) == "ok"


@pytest.mark.parametrize(("end_ms", "wider"), [(AT + 10, True), (None, False)])
def test_order_without_an_end_is_not_ended_by_one_that_ends_soon(
    end_ms: int | None, wider: bool
) -> None:
    on = standing(effect(directive("D1"), AT))
    order = directive("D2", end_ms=end_ms, supersedes=("D1",))
    assert widens(order, on) is wider
    assert enacted(order, *HEADS, on=on) == ("authority.quorum" if wider else "ok")


def test_stop_of_everything_does_not_take_the_place_of_one_that_names_what_is_exempt() -> None:
    """Safety of life is stopped by name only: the wider words stop less of it."""
    named = directive("D1", scope=Scope(kind=Choice.of("SL", "VI")))
    on = standing(effect(named, AT))
    wide = directive("D2", scope=Scope(), supersedes=("D1",))
    same = directive("D2", scope=Scope(kind=Choice.of("SL", "VI", "VT")), supersedes=("D1",))
    assert (widens(wide, on), widens(same, on)) == (True, False)
    asked = (Condition(template="AS", scope=Scope(kind=Choice.of("SL"))),)
    on = standing(effect(directive("D1", "condition", conditions=asked), AT))
    loose = (Condition(template="AS", scope=Scope()),)
    assert widens(directive("D2", "condition", conditions=loose, supersedes=("D1",)), on)
    # Neither stops it, so nothing is opened.
    on = standing(effect(directive("D1", scope=Scope()), AT))
    assert not widens(wide, on)


def test_quorum_may_end_a_halt_earlier_by_a_stop_of_the_same_cells() -> None:
    halt = directive("H1", "halt", end_ms=AT + 100, review_ms=None)
    on = standing(effect(halt, AT))
    order = directive("D1", end_ms=AT + 50, supersedes=("H1",))
    assert not widens(order, on)
    assert enacted(order, *HEADS, on=on) == "ok"


def test_condition_may_become_a_stop_or_stay_but_not_go_without_resume() -> None:
    asked = (Condition(template="AS", scope=Scope(kind=Choice.of("VI"))),)
    on = standing(effect(directive("D1", "condition", conditions=asked), AT))
    same = directive("D2", "condition", conditions=asked, supersedes=("D1",))
    stop = directive("D2", scope=Scope(kind=Choice.of("VI")), supersedes=("D1",))
    less = directive("D2", scope=Scope(kind=Choice.of("VT")), supersedes=("D1",))
    assert [widens(order, on) for order in (same, stop, less)] == [False, False, True]


def test_exercise_and_live_documents_never_mix() -> None:
    order = directive("D1", exercise=True)
    cases = (
        (signed("directive", order, *HEADS, exercise=True), False, "document.type"),
        (signed("directive", order, *HEADS), False, "document.exercise"),
        (signed("directive", directive("D1"), *HEADS, exercise=True), True, "document.exercise"),
    )
    for envelope, exercise, code in cases:
        with pytest.raises(Invalid) as found:
            check_directive(envelope, standing(), at_ms=AT, exercise=exercise)
        assert found.value.code == code


# --- charters, agreements, assurances ---------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "ok"),
    [(("ben", "carla"), True), (("ben",), False), (("ben", "anna-1"), False), ((), False)],
)
def test_charter_is_signed_by_its_root(names: tuple[str, ...], ok: bool) -> None:
    envelope = signed("charter", charter("A"), *names)
    if ok:
        assert check_charter(envelope, None, exercise=False) == charter("A")
        return
    with pytest.raises(NotAuthorised) as found:
        check_charter(envelope, None, exercise=False)
    assert found.value.code == "charter.quorum"


@pytest.mark.parametrize(("version", "ok"), [(1, False), (2, True), (3, False)])
def test_charters_follow_each_other_by_one(version: int, ok: bool) -> None:
    envelope = signed("charter", charter("A", version=version), "ben", "carla")
    if ok:
        check_charter(envelope, charter("A"), exercise=False)
        return
    with pytest.raises(Conflict) as found:
        check_charter(envelope, charter("A"), exercise=False)
    assert found.value.code == "charter.chain"


@pytest.mark.parametrize(
    ("names", "ok"),
    [
        (("ben", "carla", "minister", "duty"), True),
        (("ben", "carla"), False),
        (("minister", "duty"), False),
        (("ben", "minister", "duty"), False),
        (("ben", "carla", "minister"), False),
    ],
)
def test_next_charter_is_signed_by_the_old_root_and_by_the_new(
    names: tuple[str, ...], ok: bool
) -> None:
    root = Root(keys=tuple(sorted(map(keyid, ("minister", "duty")))), threshold=2)
    new = msgspec.structs.replace(charter("A", version=2), root=root)
    envelope = signed("charter", new, *names)
    if ok:
        assert check_charter(envelope, charter("A"), exercise=False) == new
        return
    with pytest.raises(NotAuthorised) as found:
        check_charter(envelope, charter("A"), exercise=False)
    assert found.value.code == "charter.quorum"


def test_two_cards_of_one_person_are_one_root_holder() -> None:
    cards = tuple(sorted(map(keyid, ("anna-1", "anna-2", "ben"))))
    one = msgspec.structs.replace(charter("A"), root=Root(keys=cards, threshold=2))
    with pytest.raises(NotAuthorised) as found:
        check_charter(signed("charter", one, "anna-1", "anna-2"), None, exercise=False)
    assert found.value.code == "charter.quorum"
    check_charter(signed("charter", one, "anna-1", "ben"), None, exercise=False)
    # A threshold that only the cards of one person could meet is none.
    alone = Root(keys=tuple(sorted(map(keyid, ("anna-1", "anna-2")))), threshold=2)
    with pytest.raises(Invalid) as form:
        check_charter(
            signed("charter", msgspec.structs.replace(one, root=alone), "anna-1", "anna-2"),
            None,
            exercise=False,
        )
    assert form.value.code == "charter.threshold"


def test_key_under_another_id_or_in_no_sound_form_makes_no_charter() -> None:
    sound = charter("A")
    ben, node = keyid("ben"), keyid("node")
    small = base64.b64encode(
        bytes.fromhex("302a300506032b6570032100") + bytes.fromhex("01" + "00" * 31)
    ).decode()
    for key, code in (
        (sound.keys[ben], "charter.keyid"),
        (msgspec.structs.replace(sound.keys[node], public="!"), "charter.key"),
        (msgspec.structs.replace(sound.keys[node], public="YQ=="), "key.malformed"),
        (msgspec.structs.replace(sound.keys[node], public=small), "key.point"),
        (msgspec.structs.replace(sound.keys[node], scheme="p256"), "key.scheme"),
    ):
        wrong = msgspec.structs.replace(sound, keys={**sound.keys, node: key})
        with pytest.raises(Invalid) as found:
            check_charter(signed("charter", wrong, "ben", "carla"), None, exercise=False)
        assert found.value.code == code


def test_first_charter_is_version_one() -> None:
    with pytest.raises(Conflict):
        check_charter(
            signed("charter", charter("A", version=2), "ben", "carla"), None, exercise=False
        )


@pytest.mark.parametrize(("expires", "code"), [(AT, "authority.charter-expired"), (AT + 1, "ok")])
def test_expired_charter_gives_no_order(expires: int, code: str) -> None:
    acts = opened()
    acts[0] = msgspec.structs.replace(acts[0], charter=charter("A", expires_ms=expires))
    assert enacted(directive("D1"), *HEADS, on=fold(acts, AT)) == code


def test_agreement_needs_a_power_and_charter_of_every_member() -> None:
    terms = agreement()
    two = agreement(members=terms.members[:2])
    charters = {party: charter(party) for party in "AB"}
    assert check_agreement(signed("agreement", two, "ben"), charters, None, exercise=False) == two
    for envelope, known, code in (
        (signed("agreement", two), charters, "agreement.unsigned"),
        (signed("agreement", two, "minister"), charters, "agreement.unsigned"),
        (signed("agreement", two, "ben"), {"A": charter("A")}, "agreement.charter-missing"),
        (signed("agreement", terms, "ben"), charters, "agreement.charter-missing"),
    ):
        with pytest.raises(NotAuthorised) as found:
            check_agreement(envelope, known, None, exercise=False)
        assert found.value.code == code


@pytest.mark.parametrize(
    ("fields", "names", "code"),
    [
        ({}, ("ben",), "ok"),
        ({}, ("duty",), "authority.quorum"),
        ({}, ("minister",), "authority.quorum"),
        ({"until_ms": FROM + 5_000}, ("ben",), "ok"),
        ({"until_ms": FROM + 5_001}, ("ben",), "assurance.span"),
        ({"until_ms": FROM}, ("ben",), "assurance.span"),
        ({"kinds": ("ZZ",)}, ("ben",), "assurance.kind"),
        ({"purposes": ("z",)}, ("ben",), "assurance.purpose"),
        ({"template": "ZZ"}, ("ben",), "assurance.template"),
        ({"holder": "X"}, ("ben",), "assurance.holder"),
        ({"giver": "X"}, ("ben",), "authority.charter"),
        ({"agreement_digest": "1" * 64}, ("ben",), "agreement.digest"),
    ],
)
def test_assurance_says_only_what_its_template_and_signer_may(
    fields: dict[str, object], names: tuple[str, ...], code: str
) -> None:
    one = assurance(**fields)
    got = "ok"
    try:
        check_assurance(signed("assurance", one, *names), standing(), at_ms=AT, exercise=False)
    except DetenteError as error:
        got = error.code
    assert got == code


def test_lapsed_agreement_carries_no_order() -> None:
    order = directive("D1", sign_by_ms=UNTIL + 10, review_ms=UNTIL + 20)
    on = standing(at_ms=UNTIL)
    assert enacted(order, *HEADS, on=on, at_ms=UNTIL) == "agreement.not-in-force"
    assert digest(encode(agreement())) == on.agreement_digest
