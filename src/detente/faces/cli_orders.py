"""Directives and assurances on the command line: draft, sign, enact, show."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from detente.errors import Invalid
from detente.faces.cli_effect import directive_preview, effect_lines
from detente.faces.cli_lint import check_form, directive_lint, tell_findings
from detente.faces.cli_read import directive_card, directive_read_back
from detente.faces.client import NodeClient
from detente.faces.documents import envelope_in, key_in, read_file, signed_file, write_new
from detente.faces.speak import answer, stated, table, tell, tell_signed
from detente.model import Choice, Condition, Effect, InternalReason, Scope, decode, digest, encode
from detente.model.directive import HALT_MS_MAX, Directive
from detente.proof import sign
from detente.rules.document import payload_type
from detente.rules.times import parse_span_ms, time_text

__all__ = ["assurance", "directive", "halt", "span_ms"]

Folder = Annotated[Path, typer.Argument(help="The node's folder.", metavar="DIR")]
File = Annotated[Path, typer.Argument(help="The document.", metavar="FILE")]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Units = Annotated[list[str] | None, typer.Option("--unit", help="A unit (repeat).")]
Kinds = Annotated[list[str] | None, typer.Option("--kind", help="A kind (repeat).")]
OtherKinds = Annotated[list[str] | None, typer.Option("--except-kind", help="All but (repeat).")]
Remains = Annotated[
    list[str] | None,
    typer.Option("--remains-except-kind", help="narrow: all remains but these kinds."),
]
Conditions = Annotated[
    list[str] | None, typer.Option("--condition", help="TEMPLATE:KIND,KIND (repeat).")
]
Warnings = Annotated[
    list[str] | None,
    typer.Option("--acknowledge", help="A warning of the lint that is meant, as L16 (repeat)."),
]
Internal = Annotated[
    Path | None,
    typer.Option("--internal-reason", help="A text that stays here; the order has its digest."),
]
Keys = Annotated[list[Path], typer.Option("--key", help="A private key file (repeat).")]


def span_ms(text: str) -> int:
    """Milliseconds of a span."""
    return parse_span_ms(text)


def scope_of(
    *,
    unit: list[str] | None = None,
    kind: list[str] | None = None,
    except_kind: list[str] | None = None,
    to: list[str] | None = None,
    collection: list[str] | None = None,
    direction: str = "out",
) -> Scope:
    """The scope that options say; a dimension not named means all of it."""
    if kind and except_kind:
        raise Invalid("cli.scope", "Expected --kind or --except-kind, got both.")
    fields: dict[str, Choice] = {}
    if direction != "both":
        fields["direction"] = Choice.of(direction)
    for name, values in (("unit", unit), ("kind", kind), ("party", to), ("collection", collection)):
        if values:
            fields[name] = Choice.of(*values)
    if except_kind:
        fields["kind"] = Choice.but(*except_kind)
    try:
        return Scope(**fields)
    except ValueError as error:
        raise Invalid("cli.scope", f"{error}.") from error


directive = typer.Typer(no_args_is_help=True, help="Signed orders over one's own sending.")
assurance = typer.Typer(no_args_is_help=True, help="A recipient's signed promises.")


@stated
def halt(
    folder: Folder,
    key: Keys,
    agreement: Annotated[str, typer.Option(help="The agreement.")],
    reason: Annotated[str, typer.Option(help="Told to the partner.")],
    office: Annotated[str, typer.Option(help="The office that halts.")] = "duty",
    directive_id: Annotated[str, typer.Option("--id", help="Else made up.")] = "",
    unit: Units = None,
    kind: Kinds = None,
    except_kind: OtherKinds = None,
    lasts: Annotated[str, typer.Option(help="At most 24h.")] = "24h",
    acknowledge: Warnings = None,
    as_json: Json = False,
) -> None:
    """Stop at once: one officer, at most 24 hours, lapses by itself."""
    if span_ms(lasts) > HALT_MS_MAX:
        raise Invalid("directive.halt-span", f"Expected at most 24h, got {lasts}.")
    client = NodeClient(folder)
    draft = {
        "agreement": agreement,
        "id": directive_id or f"H-{secrets.token_hex(4)}",
        "verb": "halt",
        "office": office,
        "reason": reason,
        "scope": msgspec.to_builtins(scope_of(unit=unit, kind=kind, except_kind=except_kind)),
        "lasts_ms": span_ms(lasts),
        "acknowledged": acknowledge or [],
    }
    drafted = client.post("/api/directives/draft", msgspec.json.encode(draft))
    exercise = client.get("/api/node")["exercise"]
    signers = [key_in(path) for path in key]
    envelope = sign(
        payload_type("directive", exercise=exercise), drafted["payload"].encode(), signers
    )
    done = client.post("/api/directives", envelope.encode())
    answer(done, as_json=as_json, words=lambda: _tell_enacted(done))


@directive.command("draft")
@stated
def directive_draft(
    folder: Folder,
    out: Annotated[Path, typer.Option("-o", "--out", help="The new file.")],
    agreement: Annotated[str, typer.Option(help="The agreement.")],
    directive_id: Annotated[str, typer.Option("--id", help="Its id, as D1.")],
    verb: Annotated[str, typer.Option(help="What it does, or: extend, correct, revoke.")],
    office: Annotated[str, typer.Option(help="The office that orders.")],
    reason: Annotated[str, typer.Option(help="Told to the partner.")],
    unit: Units = None,
    kind: Kinds = None,
    except_kind: OtherKinds = None,
    to: Annotated[list[str] | None, typer.Option(help="A partner (repeat).")] = None,
    direction: Annotated[str, typer.Option(help="out, in or both.")] = "out",
    remains_except_kind: Remains = None,
    condition: Conditions = None,
    purpose: Annotated[list[str] | None, typer.Option(help="Only for (repeat).")] = None,
    supersedes: Annotated[list[str] | None, typer.Option(help="Ends (repeat).")] = None,
    lasts: Annotated[str | None, typer.Option(help="A span, as 90d.")] = None,
    review_in: Annotated[str | None, typer.Option(help="A span, as 30d.")] = None,
    legal_basis: Annotated[str, typer.Option(help="What it rests on.")] = "",
    amends: Annotated[str, typer.Option(help="extend, correct: the order.")] = "",
    acknowledge: Warnings = None,
    more: Annotated[Path | None, typer.Option(help="Further headings, a JSON file.")] = None,
    internal_reason: Internal = None,
    as_json: Json = False,
) -> None:
    """Write a directive that officers can sign."""
    fields = _more(more) | {"agreement": agreement, "id": directive_id, "verb": verb}
    fields |= {"office": office, "reason": reason, "legal_basis": legal_basis, "amends": amends}
    fields["acknowledged"] = acknowledge or []
    if not amends or unit or kind or except_kind or to or condition or purpose or supersedes:
        scope = scope_of(unit=unit, kind=kind, except_kind=except_kind, to=to, direction=direction)
        fields |= {"scope": msgspec.to_builtins(scope), "purposes": purpose or []}
        fields["conditions"] = [_condition(one, scope) for one in condition or ()]
        fields["supersedes"] = supersedes or []
    if remains_except_kind:
        fields["remains"] = msgspec.to_builtins(scope_of(except_kind=remains_except_kind))
    if lasts:
        fields["lasts_ms"] = span_ms(lasts)
    client = NodeClient(folder)
    if internal_reason:
        fields["reason_internal"] = _write_internal(client, internal_reason, directive_id, out)
    drafted = _write_draft(client, fields, out, review_in)
    tell_findings(drafted["findings"])

    def words() -> None:
        for line in effect_lines(msgspec.convert(drafted["effect"], Effect)):
            print(line)
        tell(f"Written to {out}; sign it with `detente directive sign`.")

    told = {"file": str(out), "findings": drafted["findings"], "effect": drafted["effect"]}
    answer(told, as_json=as_json, words=words)


def _more(path: Path | None) -> dict[str, Any]:
    """Headings for which there is no option, as the API takes them."""
    if path is None:
        return {}
    try:
        return msgspec.json.decode(read_file(path), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Invalid("cli.more", f"Expected a JSON object in {path}: {error}.") from error


def _write_internal(client: NodeClient, path: Path, directive_id: str, out: Path) -> str:
    """Write the internal reason as a document beside the draft; its digest goes into the order."""
    try:
        text = read_file(path).decode()
    except UnicodeDecodeError as error:
        raise Invalid("cli.text", f"Expected UTF-8 text in {path}, got other bytes.") from error
    kept = InternalReason(
        directive=directive_id,
        issuer=client.get("/api/node")["party"],
        text=text,
        salt=secrets.token_hex(32),
    )
    data = encode(kept)
    write_new(out.with_suffix(".internal.json"), data, private=True)
    return digest(data)


def _write_draft(
    client: NodeClient, fields: dict[str, Any], out: Path, review_in: str | None
) -> dict[str, Any]:
    """Write the draft; what the node says of it."""
    node = client.get("/api/node")
    if review_in:
        fields["review_ms"] = node["now_ms"] + span_ms(review_in)
    drafted = client.post("/api/directives/draft", msgspec.json.encode(fields))
    kind_of = payload_type("directive", exercise=node["exercise"])
    write_new(out, sign(kind_of, drafted["payload"].encode(), []).encode())
    return dict(drafted)


def _condition(text: str, scope: Scope) -> dict[str, Any]:
    template, _, kinds = text.partition(":")
    named = msgspec.structs.replace(
        scope, kind=Choice.of(*kinds.split(",")) if kinds else scope.kind
    )
    return msgspec.to_builtins(Condition(template=template, scope=named))  # type: ignore[no-any-return]  # a struct becomes a dict


directive.command("lint")(directive_lint)
directive.command("read-back")(directive_read_back)
directive.command("card")(directive_card)
directive.command("preview")(directive_preview)


@directive.command("sign")
@stated
def directive_sign(file: File, key: Keys, as_json: Json = False) -> None:
    """Add signatures to a directive, offline; not to one that can be misread."""
    envelope = signed_file(file, "directive", key, check_form)
    read = decode(envelope.payload, Directive)
    answer(
        {"directive": read.id, "signatures": len(envelope.signatures)},
        as_json=as_json,
        words=lambda: _tell_directive(read, len(envelope.signatures)),
    )


@directive.command("show")
@stated
def directive_show(
    file: File,
    internal: Annotated[
        Path | None, typer.Option(help="Its internal reason: is it the one that was bound?")
    ] = None,
    as_json: Json = False,
) -> None:
    """What a directive says, from its fields alone."""
    envelope = envelope_in(file)
    read = decode(envelope.payload, Directive)
    if internal is not None and digest(read_file(internal)) != read.reason_internal:
        raise Invalid(
            "directive.internal",
            f"Expected the internal reason with digest {read.reason_internal}, got another.",
        )
    answer(read, as_json=as_json, words=lambda: _tell_directive(read, len(envelope.signatures)))


@directive.command()
@stated
def enact(
    folder: Folder,
    file: File,
    read_back: Annotated[
        list[Path] | None, typer.Option("--read-back", help="What an officer read (repeat).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put it into force. Answers when no covered byte leaves any more."""
    client = NodeClient(folder)
    for read in read_back or ():
        client.post("/api/read-backs", read_file(read))
    done = client.post("/api/directives", read_file(file))
    answer(done, as_json=as_json, words=lambda: _tell_enacted(done))


@directive.command("list")
@stated
def directive_list(folder: Folder, as_json: Json = False) -> None:
    """Directives in force, to come and over."""
    found = NodeClient(folder).get("/api/directives")
    rows = [
        (
            d["order"]["directive"],
            d["order"]["verb"],
            d["order"]["issuer"],
            d["state"],
            time_text(d["order"]["since_ms"]),
            time_text(d["order"]["until_ms"]),
        )
        for d in found["directives"]
    ]
    columns = ("directive", "verb", "issuer", "state", "since", "until")
    answer(found, as_json=as_json, words=lambda: table("Directives", columns, rows))


#: Fields that have their line, or are the document's own.
_TOLD = frozenset(
    """v id agreement agreement_digest issuer office verb exercise scope remains conditions start_ms
    end_ms review_ms supersedes reason drafted_ms sign_by_ms nonce""".split()
)


def _tell_directive(read: Directive, signatures: int) -> None:
    mark = "EXERCISE " if read.exercise else ""
    print(
        f"{mark}{read.verb.upper()} {read.id} of {read.issuer} ({read.office}), "
        f"agreement {read.agreement}"
    )
    print(f"  scope     {_words(read.scope)}")
    if read.remains is not None:
        print(f"  remains   {_words(read.remains)}")
    for condition in read.conditions:
        print(f"  condition {condition.template} for {_words(condition.scope)}")
    print(f"  start     {'when enacted' if read.start_ms is None else time_text(read.start_ms)}")
    print(f"  end       {time_text(read.end_ms)}, review {time_text(read.review_ms)}")
    print(f"  ends      {', '.join(read.supersedes) or 'no other directive'}")
    print(f"  reason    {read.reason}")
    # The other headings as the document has them: nothing that is signed is left out.
    for name, value in msgspec.to_builtins(read).items():
        if name not in _TOLD and value:
            words = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            print(f"  {name:<9} {words}")
    print(f"  {signatures} signatures, to be signed by {time_text(read.sign_by_ms)}")


def _words(scope: Scope) -> str:
    parts = []
    for name in Scope.__struct_fields__:
        choice: Choice = getattr(scope, name)
        if choice.only is not None:
            parts.append(f"{name} {', '.join(choice.only)}")
        elif choice.excluding is not None:
            parts.append(f"{name} all but {', '.join(choice.excluding)}")
    return "; ".join(parts) or "everything"


def _tell_enacted(done: dict[str, Any]) -> None:
    one = done["enacted"]
    print(
        f"{one['document']}: {one['state']} since {time_text(one['in_force_ms'])} "
        f"on {', '.join(one['nodes'])}; {len(one['cut_pages'])} sends cut"
    )
    for party, told in done["notice"].items():
        print(f"  notice to {party}: {told}")


@assurance.command("draft")
@stated
def assurance_draft(
    folder: Folder,
    out: Annotated[Path, typer.Option("-o", "--out", help="The new file.")],
    agreement: Annotated[str, typer.Option(help="The agreement.")],
    assurance_id: Annotated[str, typer.Option("--id", help="Its id, as AS1.")],
    template: Annotated[str, typer.Option(help="A template of the agreement.")],
    to: Annotated[str, typer.Option(help="The party that is assured.")],
    office: Annotated[str, typer.Option(help="The office that assures.")],
    kind: Annotated[list[str], typer.Option(help="A kind (repeat).")],
    purpose: Annotated[list[str] | None, typer.Option(help="Only for (repeat).")] = None,
    lasts: Annotated[str | None, typer.Option(help="A span, as 90d.")] = None,
    as_json: Json = False,
) -> None:
    """Write an assurance that an officer can sign."""
    client = NodeClient(folder)
    fields = {
        "agreement": agreement,
        "id": assurance_id,
        "template": template,
        "holder": to,
        "office": office,
        "kinds": kind,
        "purposes": purpose or [],
        "lasts_ms": span_ms(lasts) if lasts else None,
    }
    drafted = client.post("/api/assurances/draft", msgspec.json.encode(fields))
    exercise = client.get("/api/node")["exercise"]
    kind_of = payload_type("assurance", exercise=exercise)
    write_new(out, sign(kind_of, drafted["payload"].encode(), []).encode())
    answer(
        {"file": str(out)},
        as_json=as_json,
        words=lambda: tell(f"Written to {out}; sign it with `detente assurance sign`."),
    )


@assurance.command("sign")
@stated
def assurance_sign(file: File, key: Keys, as_json: Json = False) -> None:
    """Add a signature to an assurance, offline."""
    envelope = signed_file(file, "assurance", key)
    count = len(envelope.signatures)
    answer(
        {"file": str(file), "signatures": count},
        as_json=as_json,
        words=lambda: tell_signed(file, count),
    )


@assurance.command("import")
@stated
def assurance_import(folder: Folder, file: File, as_json: Json = False) -> None:
    """Record a signed assurance; partners are told."""
    done = NodeClient(folder).post("/api/assurances", read_file(file))
    answer(done, as_json=as_json, words=lambda: _tell_enacted(done))


@assurance.command("show")
@stated
def assurance_show(file: File) -> None:
    """What an assurance says."""
    envelope = envelope_in(file)
    answer(msgspec.json.decode(envelope.payload), as_json=False)
