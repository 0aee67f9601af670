"""Words: spans and times as people read them, the same wherever they are told."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["UNITS_MS", "span_text", "time_text"]

#: Units of a span as it is written, smallest first.
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
#: The last instant that a calendar date can be given for.
_LAST_MS = 253_402_300_799_999


def span_text(ms: int) -> str:
    """The span in the largest unit that divides it, such as ``90m``."""
    unit = next(one for one in reversed(UNITS_MS) if ms % UNITS_MS[one] == 0)
    return f"{ms // UNITS_MS[unit]}{unit}"


def time_text(ms: int | None) -> str:
    """ISO 8601 in UTC with milliseconds; a dash for none."""
    if ms is None:
        return "–"
    if ms > _LAST_MS:
        return f"{ms} ms since 1970"
    time = datetime.fromtimestamp(ms // 1000, UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03d}Z"
