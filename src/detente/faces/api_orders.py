"""The API's answers about drafts of directives: written, and looked through for what can be
misread."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request

from detente.errors import Invalid
from detente.faces.http import read_body
from detente.gateway.book import Book
from detente.gateway.draft import DirectiveDraft, draft_directive
from detente.gateway.reading import take_read_back
from detente.model import Directive, decode, encode
from detente.proof import decode as decode_envelope
from detente.rules.finding import Facts
from detente.rules.lint import lint
from detente.wire.texts import lexicons, told

__all__ = ["OrderAPI"]

DOCUMENT_BYTES_MAX = 2 * 1024 * 1024

Handler = Callable[[Request], Awaitable[object]]


class OrderAPI:
    """Handlers under ``/api/directives/``."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def table(self) -> list[tuple[str, str, Handler]]:
        """Every resource."""
        return [
            ("POST", "/api/directives/draft", self.draft),
            ("POST", "/api/directives/lint", self.lint),
            ("POST", "/api/read-backs", self.read_back),
        ]

    async def draft(self, request: Request) -> object:
        """The payload to be signed, with every heading, and what can still be misread in it."""
        try:
            body = await read_body(request.receive, DOCUMENT_BYTES_MAX)
            draft = msgspec.json.decode(body, type=DirectiveDraft)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Invalid("api.body", f"Expected another body: {error}.") from error
        book = self._book
        directive = draft_directive(
            draft,
            book.standing(draft.agreement, book.now_ms()),
            party=book.me.party,
            exercise=book.me.exercise,
            now_ms=book.now_ms(),
            nonce=secrets.token_hex(16),
        )
        return {
            "payload": encode(directive).decode(),
            "use": "directive",
            "findings": self._findings(directive, _language(request)),
        }

    async def lint(self, request: Request) -> object:
        """What can be misread in a drafted or signed directive, on what is in force now."""
        envelope = decode_envelope(await read_body(request.receive, DOCUMENT_BYTES_MAX))
        directive = decode(envelope.payload, Directive)
        return {"findings": self._findings(directive, _language(request))}

    async def read_back(self, request: Request) -> object:
        """Record what an officer has read back."""
        return await take_read_back(
            self._book, await read_body(request.receive, DOCUMENT_BYTES_MAX)
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
