"""Times and spans as people write and read them, the same wherever they are told. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from detente.errors import Invalid

__all__ = [
    "date_text",
    "instant_ms",
    "instant_text",
    "parse_instant_ms",
    "parse_span_ms",
    "span_text",
    "time_text",
]

#: Units of a span as it is written, smallest first.
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
#: The last millisecond that ISO 8601 has four digits for.
_LAST_MS = 253_402_300_799_999
_SPAN = re.compile(r"\A(\d{1,9})(ms|s|m|h|d)\Z", re.ASCII)


def span_text(ms: int) -> str:
    """The span in the largest unit that divides it, such as ``90m``."""
    unit = next(one for one in reversed(_UNITS_MS) if ms % _UNITS_MS[one] == 0)
    return f"{ms // _UNITS_MS[unit]}{unit}"


def parse_span_ms(text: str) -> int:
    """Milliseconds of a span such as ``90m``, ``24h`` or ``30d``."""
    match = _SPAN.match(text)
    if match is None:
        raise Invalid("time.span", f"Expected a span such as 90m, 24h or 30d, got {text[:40]!r}.")
    return int(match[1]) * _UNITS_MS[match[2]]


def time_text(ms: int | None) -> str:
    """ISO 8601 in UTC with milliseconds, as tables and papers tell it; a dash for none."""
    if ms is None:
        return "–"
    if ms > _LAST_MS:
        return f"{ms} ms since 1970"
    time = datetime.fromtimestamp(ms // 1000, UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03d}Z"


def instant_text(ms: int) -> str:
    """The instant in a sentence: to the minute where it falls on one, else to the millisecond."""
    time = datetime.fromtimestamp(min(ms, _LAST_MS) // 1000, UTC)
    rest = min(ms, _LAST_MS) % 60_000
    tail = f":{rest // 1000:02d}.{rest % 1000:03d}" if rest else ""
    return time.strftime("%Y-%m-%dT%H:%M") + tail + "Z"


def date_text(ms: int) -> str:
    """The day in UTC; what is later than the year 9999 is its last day."""
    return datetime.fromtimestamp(min(ms, _LAST_MS) // 1000, UTC).strftime("%Y-%m-%d")


def parse_instant_ms(text: str) -> int:
    """Milliseconds of an ISO 8601 time with its zone; a time without one is none."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid("time.form", f"Expected an ISO 8601 time, got {text[:40]!r}.") from error
    return instant_ms(time)


def instant_ms(time: datetime) -> int:
    """Milliseconds of a time with its zone; a time without one is none."""
    if time.tzinfo is None:
        raise Invalid("time.zone", f"Expected a time with its zone, got {time.isoformat()}.")
    return round(time.timestamp() * 1000)
