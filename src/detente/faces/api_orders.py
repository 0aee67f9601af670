"""The API's answers about drafts of what officers sign: written out on what is in force; those of
directives looked through for what can be misread."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from msgspec.structs import replace
from starlette.requests import Request

from detente.errors import Invalid
from detente.faces.http import read_body
from detente.gateway.book import Book
from detente.gateway.draft import (
    AssessmentDraft,
    AssuranceDraft,
    DirectiveDraft,
    draft_assessment,
    draft_assurance,
    draft_directive,
)
from detente.gateway.effect import Effects
from detente.gateway.reading import take_read_back
from detente.model import Assessment, Assurance, Directive, decode, encode
from detente.proof import decode as decode_envelope
from detente.rules.drift import drifted
from detente.rules.finding import Facts
from detente.rules.lint import lint
from detente.wire.texts import lexicons, told

__all__ = ["OrderAPI"]

DOCUMENT_BYTES_MAX = 2 * 1024 * 1024

Handler = Callable[[Request], Awaitable[object]]
Draft = TypeVar("Draft", AssessmentDraft, AssuranceDraft, DirectiveDraft)
Document = TypeVar("Document", Assessment, Assurance, Directive)


class OrderAPI:
    """Handlers of drafts, of the lint, of previews and of read-backs."""

    def __init__(self, book: Book, effects: Effects) -> None:
        self._book = book
        self._effects = effects

    def table(self) -> list[tuple[str, str, Handler]]:
        """Every resource."""
        return [
            ("POST", "/api/directives/draft", self.draft),
            ("POST", "/api/assessments/draft", self.assessment),
            ("POST", "/api/assurances/draft", self.assurance),
            ("POST", "/api/directives/lint", self.lint),
            ("POST", "/api/directives/preview", self.preview),
            ("POST", "/api/read-backs", self.read_back),
        ]

    async def draft(self, request: Request) -> object:
        """The payload to be signed, with every heading, what can still be misread in it, and what
        it would do, which it names by its digest."""
        directive = await self._drafted(request, DirectiveDraft, draft_directive)
        effect = await self._effects.foresee(directive)
        directive = replace(directive, preview=await self._effects.keep(effect))
        return {
            "payload": encode(directive).decode(),
            "use": "directive",
            "findings": self._findings(directive, _language(request)),
            "effect": effect,
        }

    async def assurance(self, request: Request) -> object:
        """The payload of an assurance to be signed."""
        assurance = await self._drafted(request, AssuranceDraft, draft_assurance)
        return {"payload": encode(assurance).decode(), "use": "assurance"}

    async def assessment(self, request: Request) -> object:
        """The payload of an assessment to be signed."""
        assessment = await self._drafted(request, AssessmentDraft, draft_assessment)
        return {"payload": encode(assessment).decode(), "use": "assessment"}

    async def lint(self, request: Request) -> object:
        """What can be misread in a drafted or signed directive, on what is in force now."""
        envelope = decode_envelope(await read_body(request.receive, DOCUMENT_BYTES_MAX))
        directive = decode(envelope.payload, Directive)
        return {"findings": self._findings(directive, _language(request))}

    async def preview(self, request: Request) -> object:
        """What a drafted or signed directive would do now; beside it what its signers saw, if that
        was foreseen at this node, and in what it has drifted."""
        envelope = decode_envelope(await read_body(request.receive, DOCUMENT_BYTES_MAX))
        directive = decode(envelope.payload, Directive)
        effect = await self._effects.foresee(directive)
        signed = await self._effects.kept(directive.preview) if directive.preview else None
        return {
            "effect": effect,
            "signed": signed,
            "drift": drifted(signed, effect) if signed else (),
        }

    async def read_back(self, request: Request) -> object:
        """Record what an officer has read back."""
        return await take_read_back(
            self._book, await read_body(request.receive, DOCUMENT_BYTES_MAX)
        )

    async def _drafted(
        self, request: Request, form: type[Draft], write: Callable[..., Document]
    ) -> Document:
        try:
            body = await read_body(request.receive, DOCUMENT_BYTES_MAX)
            draft = msgspec.json.decode(body, type=form)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Invalid("api.body", f"Expected another body: {error}.") from error
        book = self._book
        return write(
            draft,
            book.standing(draft.agreement, book.now_ms()),
            party=book.me.party,
            exercise=book.me.exercise,
            now_ms=book.now_ms(),
            nonce=secrets.token_hex(16),
        )

    def _findings(self, directive: Directive, language: str) -> object:
        book = self._book
        standing = (
            book.standing(directive.agreement, book.now_ms())
            if directive.agreement in book.agreements()
            else None
        )
        facts = Facts(standing=standing, at_ms=book.now_ms(), lexicons=lexicons())
        return told(lint(directive, facts), directive.acknowledged, language)


def _language(request: Request) -> str:
    return request.query_params.get("language") or "en"
