"""Coarser degrees and times: rounded by whole numbers, so that every machine gets the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, TypeGuard

__all__ = ["degrees", "instant_ms", "metres", "moment", "offsets", "seconds"]

_TIME = re.compile(
    r"\A(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|z|[+-]\d\d:\d\d)\Z", re.ASCII
)
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLI: Final = timedelta(milliseconds=1)
#: A grid of one thousandth of a degree keeps within this many metres of the true position: half
#: the diagonal of a cell, by the longest degree there is (111.7 km).
_METRES_PER_MDEG: Final = 79


def degrees(value: float, cell_mdeg: int, *, most: int) -> float:
    """The nearest point of the grid that is not beyond ``most`` degrees. No more decimals than the
    grid has; a point of the grid stays what it is."""
    cells = (Decimal(repr(value)) * 1000 / cell_mdeg).to_integral_value(ROUND_HALF_EVEN)
    limit = most * 1000 // cell_mdeg
    return float(Decimal(max(-limit, min(limit, int(cells))) * cell_mdeg) / 1000)


def metres(cell_mdeg: int) -> int:
    """How far from the true position a point of the grid may be."""
    return cell_mdeg * _METRES_PER_MDEG


def instant_ms(text: str) -> int | None:
    """Milliseconds of a time as RFC 3339 writes it, what is finer cut off; None if it is none."""
    found = _TIME.match(text)
    if found is None:
        return None
    day, minute, second, fraction, zone = found.groups()
    # A leap second is the last of its minute: `datetime` knows none.
    second = min(second, "59")
    try:
        time = datetime.fromisoformat(f"{day}T{minute}:{second}{zone.upper()}")
        return (time - _START) // _MILLI + int((fraction or "0").ljust(3, "0")[:3])
    except (ValueError, OverflowError):
        return None


def moment(text: str, span_ms: int) -> str:
    """A time rounded down, in UTC; ``ValueError`` if the text is none."""
    at = instant_ms(text)
    if at is None:
        raise ValueError(f"Expected a time of RFC 3339, got {text!r:.40}")
    return _written(at - at % span_ms)


def seconds(value: float, span_ms: int) -> float:
    """Seconds rounded down to the span."""
    at = int(Decimal(repr(value)) * 1000 // 1)
    return _seconds(at - at % span_ms)


def offsets(base: str, values: Sequence[object], span_ms: int) -> tuple[str, list[float | None]]:
    """A base time and seconds from it, so that each instant they make is rounded down."""
    at = instant_ms(base)
    if at is None:
        raise ValueError(f"Expected a time of RFC 3339, got {base!r:.40}")
    start = at - at % span_ms
    found: list[float | None] = []
    for value in values:
        if value is not None and not is_number(value):
            raise ValueError(f"Expected seconds, got {type(value).__name__}")
        if value is None:
            found.append(None)
            continue
        instant = at + int(Decimal(repr(value)) * 1000 // 1)
        found.append(_seconds(instant - instant % span_ms - start))
    return _written(start), found


def is_number(value: object) -> TypeGuard[float]:
    """True for a number of JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _seconds(ms: int) -> float:
    return ms // 1000 if ms % 1000 == 0 else ms / 1000


def _written(ms: int) -> str:
    try:
        time = _START + ms * _MILLI
    except OverflowError as error:
        raise ValueError("Expected a time after the year 0") from error
    fraction = f".{ms % 1000:03d}" if ms % 1000 else ""
    # `strftime` pads no year before 1000 on every machine; `isoformat` does.
    return time.replace(microsecond=0, tzinfo=None).isoformat() + f"{fraction}Z"
