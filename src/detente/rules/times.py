"""Times in words: instants as ISO 8601 in UTC, and read back from it. Pure; no clock."""

from __future__ import annotations

from datetime import UTC, datetime

from detente.errors import Invalid

__all__ = ["date_text", "instant_text", "parse_instant_ms"]

#: The last millisecond that ISO 8601 has four digits for.
_LAST_MS = 253_402_300_799_999


def date_text(ms: int) -> str:
    """The day in UTC; what is later than the year 9999 is its last day."""
    return datetime.fromtimestamp(min(ms, _LAST_MS) // 1000, UTC).strftime("%Y-%m-%d")


def instant_text(ms: int) -> str:
    """The instant to the minute where it falls on one, else to the millisecond."""
    time = datetime.fromtimestamp(min(ms, _LAST_MS) // 1000, UTC)
    rest = min(ms, _LAST_MS) % 60_000
    tail = f":{rest // 1000:02d}.{rest % 1000:03d}" if rest else ""
    return time.strftime("%Y-%m-%dT%H:%M") + tail + "Z"


def parse_instant_ms(text: str) -> int:
    """Milliseconds of an ISO 8601 time with its zone; a time without one is none."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise Invalid("time.form", f"Expected an ISO 8601 time, got {text[:40]!r}.") from error
    if time.tzinfo is None:
        raise Invalid("time.zone", f"Expected a time with its zone, got {text[:40]!r}.")
    return round(time.timestamp() * 1000)
