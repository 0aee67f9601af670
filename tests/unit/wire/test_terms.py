"""Terms as people write them: both languages say the same, every field can be said, and what is not
understood is refused with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from detente.errors import DetenteError, Invalid
from detente.model import (
    Agreement,
    AssuranceTemplate,
    Collection,
    Contact,
    ExcludedUse,
    Kind,
    KindRule,
    Member,
    Minimisation,
    Notice,
    Onward,
    Oversight,
    PermittedUse,
    Power,
    Purpose,
    PurposeTest,
    Question,
    StandIn,
    Step,
)
from detente.rules.times import parse_span_ms, span_text, time_text
from detente.wire.terms import Language, read_terms
from detente.wire.yaml import read_yaml

DAY_MS = 24 * 3_600_000

#: An agreement that leaves no field at its default.
FULL = Agreement(
    id="A1",
    version=2,
    title="Everything said",
    exercise=True,
    language="es",
    languages=("en",),
    legal_basis="basis: a text, with a comma",
    treaty="treaty",
    members=tuple(
        Member(
            party=party,
            units=(f"{party}-1",),
            charter=digit * 64,
            contact=Contact(office="Duty", reach="radio"),
            country="NOR",
        )
        for party, digit in (("NO", "1"), ("B", "2"))
    ),
    collections=(
        Collection(
            name="c",
            id="5f0c7a52-3f6e-4c7e-9d0a-0e3f4b1c2d01",
            title="C",
            sender="NO",
            readers=("B",),
            purpose="p",
            grade="admiralty:B2",
            unit="NO-1",
        ),
    ),
    kinds=(
        Kind(
            id="K",
            title="kind",
            held="expire",
            expire_after_ms=90_000,
            exempt=True,
            assurances=("AS",),
            moderated=True,
            evidence=True,
            nature=True,
            fresh_within_ms=1_001,
            grade_least="admiralty:C3",
            tests=("T",),
            minimise=("M",),
            assessed=True,
            bulk_max=9,
            persons=True,
            tlp_max="green",
            references="hold",
        ),
    ),
    kind_rules=(KindRule(kind="K", types=("note",), extension="x"),),
    purposes=(Purpose(id="p", title="P"),),
    purpose_required=False,
    grade_required=False,
    grades=("admiralty",),
    tlp_max="red",
    pap_max="amber",
    markings=("iep",),
    permitted_uses=(PermittedUse(id="U1", text="yes"),),
    excluded_uses=(ExcludedUse(id="X1", text="no"),),
    assurances=(AssuranceTemplate(id="AS", text="true", valid_max_ms=DAY_MS),),
    tests=(
        PurposeTest(
            id="T",
            title="t",
            questions=(Question(id="q", text="2026", choices=("no", "y"), passing=("y",)),),
        ),
    ),
    minimisations=(
        Minimisation(
            id="M",
            title="m",
            steps=(Step(do="replace", path="name", text="1.5", cell_mdeg=5, span_ms=3_600_000),),
        ),
    ),
    second_person=True,
    read_back=True,
    preview=True,
    onward=Onward(rule="none", text="to nobody"),
    oversight=(Oversight(party="B", body="court", inside=True),),
    notice=Notice(amend_ms=DAY_MS, end_ms=2 * DAY_MS, review_ms=3_600_000),
    powers=(
        Power(
            party="B",
            verbs=("halt",),
            offices=("duty",),
            threshold=2,
            including=("duty",),
            duration_max_ms=DAY_MS,
            until_ms=1_850_000_000_000,
        ),
    ),
    delegations=(
        StandIn(
            party="B",
            office="duty",
            to="deputy",
            verbs=("halt",),
            from_ms=1_800_000_000_000,
            until_ms=1_810_000_000_000,
        ),
    ),
    from_ms=1_767_225_600_123,
    until_ms=1_900_000_000_000,
    review_ms=1_800_000_000_000,
    supersedes="3" * 64,
)


def spelt(key: str, value: int, top: bool) -> str:  # one fact of a key
    return time_text(value) if top or key in ("from_ms", "until_ms") else span_text(value)


def written(value: Any, *, top: bool = True) -> Any:
    """The record in written form: names without ``_ms``, spans and times as text."""
    if isinstance(value, list | tuple):
        return [written(one, top=False) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key.removesuffix("_ms"): spelt(key, inner, top)
        if key.endswith("_ms")
        else written(inner, top=False)
        for key, inner in value.items()
        if key != "v"
    }


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {as_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(as_toml(one) for one in value) + "]"
    return json.dumps(value)


def spelled(agreement: Agreement, language: Language) -> str:
    said = written(msgspec.to_builtins(agreement))
    if language == "yaml":
        return json.dumps(said)
    lines = [f"{key} = {as_toml(one)}" for key, one in said.items()]
    # In TOML a time can be a date of its own.
    return "\n".join(
        line.replace('"', "") if line.startswith(("from", "until", "review")) else line
        for line in lines
    )


def records(value: object) -> Iterator[msgspec.Struct]:
    if isinstance(value, msgspec.Struct):
        yield value
        for name in value.__struct_fields__:
            yield from records(getattr(value, name))
    elif isinstance(value, tuple):
        for one in value:
            yield from records(one)


def test_the_full_agreement_leaves_no_field_unsaid() -> None:
    for record in records(FULL):
        for name, default in zip(
            reversed(record.__struct_fields__),
            reversed(type(record).__struct_defaults__),
            strict=False,
        ):
            if default is not msgspec.NODEFAULT and name != "v":
                assert getattr(record, name) != default, (type(record).__name__, name)


@pytest.mark.parametrize("language", ["toml", "yaml"])
def test_every_field_can_be_written_and_is_read_back(language: Language) -> None:
    assert read_terms(spelled(FULL, language), {}, exercise=False, language=language) == FULL


def test_yaml_in_blocks_says_the_same_as_toml() -> None:
    toml = 'id = "A1"\n[[powers]]\nparty = "NO"\nverbs = ["halt"]\n'
    yaml = "id: A1 # the first\npowers:\n  - party: NO\n    verbs:\n    - halt\n"
    assert read_yaml(yaml) == {"id": "A1", "powers": [{"party": "NO", "verbs": ["halt"]}]}
    codes = []
    for text, language in ((toml, "toml"), (yaml, "yaml")):
        with pytest.raises(Invalid) as found:
            read_terms(text, {}, exercise=False, language=language)  # type: ignore[arg-type]  # plain tuples
        codes.append((found.value.code, found.value.path))
    assert codes[0] == codes[1]


def test_words_that_older_yaml_takes_for_others_stay_texts() -> None:
    text = "[no, off, Yes, 012, 0x1F, 1_000, 2026-01-01, 12:30:00, <<, true, 7, 'true']"
    assert read_yaml(text) == [
        "no", "off", "Yes", 12, "0x1F", "1_000", "2026-01-01", "12:30:00", "<<", True, 7, "true",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "each key once"),
        ("a: {b: 1, b: 2}", "each key once"),
        ("a: &x [1]\nb: *x", "every value written out"),
        ("b: *x", "every value written out"),
        ("a: !!python/object/apply:os.system [id]", "plain values"),
        ("!!map {a: 1}", "plain values"),
        ("a: 1\n---\nb: 2", "one document"),
        ("1: a", "a text as key"),
        ("? {a: 1}\n: b", "a text as key"),
        ("a: 1.5", "a whole number"),
        ("a: .inf", "a whole number"),
        ("a:", "a value"),
        ("a: ~", "a value"),
        ("", "a table of terms"),
        ("# nothing", "a table of terms"),
        ("a: b: c", "YAML"),
        ("a:\n\tb: 1", "YAML"),
        ("a: 'b", "YAML"),
        ("a: \x00", "YAML"),
        ("a: '\ud800'", "well-formed text"),
        ("[" * 40 + "]" * 40, "at most 32 levels"),
        ("[" * 100_000, "maximum nesting depth"),
        ("{a: " * 40, "at most 32 levels"),
        ("- [" + "1," * 1_000_001 + "]", "1000000 values"),
    ],
)
def test_yaml_that_could_be_misread_is_refused(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said) as found:
        read_yaml(text)
    assert found.value.code == "terms.yaml"


def test_a_bomb_of_aliases_is_refused_at_the_first() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    with pytest.raises(Invalid, match="anchor or alias in line 1"):
        read_yaml("\n".join(lines))


@pytest.mark.parametrize(
    ("old", "new", "code", "path"),
    [
        ('"held": "expire"', '"held": "burn"', "terms.field", "$.kinds[0].held"),
        ('"held": "expire"', '"hold": "expire"', "terms.unknown", "$.kinds[0]"),
        ('"rule": "none"', '"rule": "none", "ruler": 1', "terms.unknown", "$.onward"),
        ('"do": "replace"', '"do": "burn"', "terms.field", "$.minimisations[0].steps[0].do"),
        ('"moderated": true', '"moderated": "yes"', "terms.field", "$.kinds[0].moderated"),
        ('"expire_after": "90s"', '"expire_after": 90', "terms.field", "$.kinds[0].expire_after"),
        ('"expire_after": "90s"', '"expire_after": "1w"', "time.span", "$.kinds[0].expire_after"),
        ('"amend": "1d"', '"amend": "soon"', "time.span", "$.notice.amend"),
        ('"until": "2030-03-17T17:46:40.000Z"', '"until": "2030-03-17"', "time.zone", "$.until"),
        ('"until": "2030-03-17T17:46:40.000Z"', '"until": "later"', "time.form", "$.until"),
        ('"units": ["B-1"]', '"units": ["B 1"]', "terms.field", "$.members[1].units[0]"),
        ('"country": "NOR"', '"country": "no"', "terms.field", "$.members[0].country"),
        ('"members": [', '"members": 5, "x": [', "terms.field", "$.members"),
        ('"id": "A1"', '"id": "A1", "v": 1', "terms.unknown", "$"),
        ('"id": "A1"', '"identity": "A1"', "terms.unknown", "$"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_path(
    old: str, new: str, code: str, path: str
) -> None:
    text = spelled(FULL, "yaml")
    assert old in text
    with pytest.raises(Invalid) as found:
        read_terms(text.replace(old, new, 1), {}, exercise=False, language="yaml")
    assert (found.value.code, found.value.path) == (code, path)


def test_a_key_that_is_nearly_right_is_named() -> None:
    text = spelled(FULL, "yaml").replace('"threshold"', '"treshold"')
    with pytest.raises(Invalid) as found:
        read_terms(text, {}, exercise=False, language="yaml")
    assert "threshold" in found.value.hint


@pytest.mark.parametrize(
    "text", ["[" * 10_000, "a = " + "[" * 10_000, "a = " + "9" * 5_000, "\x00"]
)
def test_hostile_toml_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        read_terms(text, {}, exercise=False)


def test_a_member_without_a_charter_is_refused_unless_it_is_only_looked_at() -> None:
    said = written(msgspec.to_builtins(FULL))
    del said["members"][1]["charter"]
    text = json.dumps(said)
    with pytest.raises(DetenteError) as found:
        read_terms(text, {}, exercise=True, language="yaml")
    assert (found.value.code, found.value.path) == ("terms.charter", "$.members[1]")
    looked = read_terms(text, {}, exercise=True, language="yaml", unsigned=True)
    assert looked.members[1].charter == "0" * 64
    made = read_terms(text, {"B": "2" * 64}, exercise=True, language="yaml")
    assert made == FULL


@pytest.mark.parametrize("ms", [1, 999, 1000, 90_000, 3_600_000, DAY_MS, 90 * DAY_MS])
def test_a_span_is_read_back_as_it_is_told(ms: int) -> None:
    assert parse_span_ms(span_text(ms)) == ms
