"""Terms: agreements as people write them (TOML), made into the record that is signed.

Times are TOML dates with a zone, spans are text such as ``6h`` or ``90d``; everything else has the
names of ``model.agreement``. Unknown keys are refused with their path.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from detente.errors import Invalid
from detente.model import Agreement, decode
from detente.model.codec import canonical

__all__ = ["parse_span_ms", "parse_time_ms", "read_terms", "time_text"]

_SPAN = re.compile(r"\A(\d{1,9})(ms|s|m|h|d)\Z", re.ASCII)
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
#: Keys of the written form and those of the record they become.
_TIMES = {"from": "from_ms", "until": "until_ms", "review": "review_ms"}
_SPANS = {
    "expire_after": "expire_after_ms",
    "valid_max": "valid_max_ms",
    "duration_max": "duration_max_ms",
}


def parse_span_ms(text: str) -> int:
    """Milliseconds of a span such as ``90m``, ``24h`` or ``30d``."""
    match = _SPAN.match(text)
    if match is None:
        raise Invalid("time.span", f"Expected a span such as 90m, 24h or 30d, got {text[:40]!r}.")
    return int(match[1]) * _UNITS_MS[match[2]]


def parse_time_ms(text: str) -> int:
    """Milliseconds of an ISO 8601 time with a zone."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid("time.form", f"Expected an ISO 8601 time, got {text[:40]!r}.") from error
    return _ms(time)


def time_text(ms: int | None) -> str:
    """ISO 8601 in UTC with milliseconds; a dash for none."""
    if ms is None:
        return "–"
    time = datetime.fromtimestamp(ms // 1000, UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03d}Z"


def _ms(time: datetime) -> int:
    if time.tzinfo is None:
        raise Invalid("time.zone", f"Expected a time with its zone, got {time.isoformat()}.")
    return round(time.timestamp() * 1000)


def read_terms(text: str, charters: Mapping[str, str], *, exercise: bool) -> Agreement:
    """The agreement in a written form; ``charters`` gives the digest of each member's charter."""
    try:
        written = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid("terms.toml", f"Expected TOML: {error}.") from error
    terms = _converted(written, "$")
    if not isinstance(terms, dict):
        raise Invalid("terms.toml", "Expected a table of terms.")
    for member in terms.get("members", []):
        digest = charters.get(member.get("party", ""))
        if digest is None and "charter" not in member:
            raise Invalid(
                "terms.charter",
                f"Expected the charter of {member.get('party')}, got none.",
                hint="Give it with --charter FILE.",
                path="$.members",
            )
        if digest is not None:
            member["charter"] = digest
    if exercise:
        terms["exercise"] = True
    try:
        agreement = msgspec.convert(terms, Agreement, strict=True)
    except msgspec.ValidationError as error:
        raise Invalid("terms.field", f"{error}.") from error
    # Through the canonical form and back, so that what is written is what will be signed.
    return decode(canonical(msgspec.to_builtins(agreement)), Agreement)


def _converted(value: Any, path: str) -> Any:
    if isinstance(value, list):
        return [_converted(one, f"{path}[{index}]") for index, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    found = {}
    for key, inner in value.items():
        if key in _TIMES and isinstance(inner, datetime):
            found[_TIMES[key]] = _ms(inner)
        elif key in _SPANS and isinstance(inner, str):
            found[_SPANS[key]] = parse_span_ms(inner)
        else:
            found[key] = _converted(inner, f"{path}.{key}")
    return found
