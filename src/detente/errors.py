"""The errors of Detente, told apart by who is at fault.

    DetenteError
    ├── Invalid        what was given is malformed or breaks a stated rule: mend the input
    ├── NotAuthorised  the one who asks may not: wrong credential, office, key or quorum
    ├── Missing        what was named does not exist for the one who asks
    ├── Conflict       it stands against the present state: replayed, reordered, already there
    ├── Unchecked      it could not be checked: neither true nor false is known
    ├── PeerError      the partner's node answered wrongly or broke its own protocol
    ├── Unavailable    not now: overloaded, shutting down, unreachable
    └── Broken         an invariant of this node does not hold: the gate shuts itself

*Could not be checked* is a sibling of *checked and false*, never a kind of it.

Every error has a stable ``code`` (lower-case words joined by dots), one sentence that says what
was expected first and what came second, and, where it helps, a ``hint``. Outcomes of a decision
(release, hold, refuse) are values, never exceptions.
"""

from __future__ import annotations

__all__ = [
    "Broken",
    "Conflict",
    "DetenteError",
    "Invalid",
    "Missing",
    "NotAuthorised",
    "PeerError",
    "Unavailable",
    "Unchecked",
]


class DetenteError(Exception):
    """The root of the tree; never raised itself.

    ``code`` is stable and documented; ``sentence`` is for people; ``hint`` says what to do next;
    ``path`` names the place inside a document (``$.scope.kind``) where there is one.
    """

    def __init__(self, code: str, sentence: str, *, hint: str = "", path: str = "") -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence
        self.hint = hint
        self.path = path

    def __str__(self) -> str:
        place = f" (at {self.path})" if self.path else ""
        hint = f" Hint: {self.hint}" if self.hint else ""
        return f"{self.code}: {self.sentence}{place}{hint}"


class Invalid(DetenteError):
    """What was given is malformed or breaks a stated rule; the input must be mended."""


class NotAuthorised(DetenteError):
    """The one who asks may not do this: wrong credential, office, key or quorum."""


class Missing(DetenteError):
    """What was named does not exist, or does not exist for the one who asks."""


class Conflict(DetenteError):
    """The request stands against the present state: replayed, reordered, or already there."""


class Unchecked(DetenteError):
    """Something could not be checked, so nothing is known; the safe side is taken."""


class PeerError(DetenteError):
    """The partner's node answered wrongly or broke the protocol."""


class Unavailable(DetenteError):
    """Not now: overloaded, shutting down, or unreachable. ``retry_s``: when to try again."""

    def __init__(
        self, code: str, sentence: str, *, hint: str = "", path: str = "", retry_s: int = 1
    ) -> None:
        super().__init__(code, sentence, hint=hint, path=path)
        self.retry_s = retry_s


class Broken(DetenteError):
    """An invariant of this node does not hold; the gate shuts itself and says so."""
