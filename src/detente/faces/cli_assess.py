"""Assessments on the command line: what this party thinks of a partner, for its own use only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from detente.faces.cli_orders import File, Folder, Json, Keys, span_ms
from detente.faces.client import NodeClient
from detente.faces.documents import envelope_in, read_file, signed_file, write_new
from detente.faces.speak import answer, stated, tell, tell_signed
from detente.proof import sign
from detente.rules.document import payload_type

__all__ = ["assessment"]

assessment = typer.Typer(
    no_args_is_help=True, help="What this party thinks of a partner; no partner is told."
)


@assessment.command("draft")
@stated
def assessment_draft(
    folder: Folder,
    out: Annotated[Path, typer.Option("-o", "--out", help="The new file.")],
    agreement: Annotated[str, typer.Option(help="The agreement.")],
    assessment_id: Annotated[str, typer.Option("--id", help="Its id, as W-2026-1.")],
    of: Annotated[str, typer.Option(help="The partner.")],
    office: Annotated[str, typer.Option(help="The office that signs it.")],
    basis: Annotated[str, typer.Option(help="What it rests on, in words.")],
    lasts: Annotated[str, typer.Option(help="A span, as 365d.")],
    kind: Annotated[
        list[str] | None, typer.Option(help="A kind it covers (repeat); none: it covers nothing.")
    ] = None,
    review: Annotated[str | None, typer.Option(help="Look again after this span.")] = None,
    as_json: Json = False,
) -> None:
    """Write an assessment that an officer can sign; it takes the place of the one before."""
    client = NodeClient(folder)
    fields = {
        "agreement": agreement,
        "id": assessment_id,
        "partner": of,
        "office": office,
        "kinds": kind or [],
        "basis": basis,
        "lasts_ms": span_ms(lasts),
        "review_after_ms": span_ms(review) if review else None,
    }
    drafted = client.post("/api/assessments/draft", msgspec.json.encode(fields))
    exercise = client.get("/api/node")["exercise"]
    kind_of = payload_type("assessment", exercise=exercise)
    write_new(out, sign(kind_of, drafted["payload"].encode(), []).encode())
    answer(
        {"file": str(out)},
        as_json=as_json,
        words=lambda: tell(f"Written to {out}; sign it with `detente assessment sign`."),
    )


@assessment.command("sign")
@stated
def assessment_sign(file: File, key: Keys, as_json: Json = False) -> None:
    """Add a signature to an assessment, offline."""
    envelope = signed_file(file, "assessment", key)
    count = len(envelope.signatures)
    answer(
        {"file": str(file), "signatures": count},
        as_json=as_json,
        words=lambda: tell_signed(file, count),
    )


@assessment.command("import")
@stated
def assessment_import(folder: Folder, file: File, as_json: Json = False) -> None:
    """Record a signed assessment in the node's own ledger."""
    done = NodeClient(folder).post("/api/assessments", read_file(file))
    one = done["enacted"]
    answer(done, as_json=as_json, words=lambda: print(f"{one['document']}: {one['state']}"))


@assessment.command("show")
@stated
def assessment_show(file: File) -> None:
    """What an assessment says."""
    answer(msgspec.json.decode(envelope_in(file).payload), as_json=False)
