"""Reason: why an item is released, held or refused, and what would have to change."""

from __future__ import annotations

import msgspec

__all__ = ["Reason"]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why: a code, what it rests on (``directive D1``, ``agreement A1, kind PE``), and plain words.

    ``remedy`` says what would have to change for another outcome; empty where nothing stands in
    the way. ``review``: an office with the power to review may pass a single item in spite of it.
    ``rests``: what it rests on besides its source (``assurance P1``, ``template AS``).
    """

    code: str
    source: str
    words: str
    remedy: str = ""
    review: bool = False
    rests: tuple[str, ...] = ()
