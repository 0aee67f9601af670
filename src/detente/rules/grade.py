"""Grades: schemes of source and information grading, native, never converted (R35).

A grade is ``scheme:value``, or ``scheme@version:value`` where the version matters. Two grades are
compared within one scheme only. What cannot be judged (Admiralty F and 6, 4x4 X, 5x5x5 E) is
neither good nor bad: it never meets a minimum, and is never called below it.

    admiralty  source A to F, information 1 to 6 (STANAG 2511, AJP-2.1)
    4x4        source A, B, C, X; information 1 to 4 (Europol)
    5x5x5      source A to E, information 1 to 5, handling 1 to 5 (UK, until about 2016)
    3x5x2      source 1 to 3, information A to E, handling P or C (UK)
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["SCHEMES", "parse_grade", "worse_than"]

#: For each scheme: the form of a value, the parts that can be compared, best to worst, and those
#: that say "cannot be judged".
SCHEMES: Final[dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]]] = {
    "admiralty": (r"([A-F])([1-6])", ("ABCDE", "12345"), ("F", "6")),
    "4x4": (r"([ABCX])([1-4])", ("ABC", "1234"), ("X", "")),
    "5x5x5": (r"([A-E])([1-5])(?:[1-5])?", ("ABCD", "1234"), ("E", "5")),
    "3x5x2": (r"([1-3])([A-E])(?:[PC])?", ("13", "ABCD"), ("2", "E")),
}


def parse_grade(grade: str) -> tuple[str, str, str]:
    """Scheme, version (empty if not said) and value; ``ValueError`` if it is no grade."""
    scheme, colon, value = grade.partition(":")
    scheme, _, version = scheme.partition("@")
    if not (scheme and colon and value):
        raise ValueError(f"Expected scheme:value, got {grade!r:.60}")
    if scheme in SCHEMES and not re.fullmatch(SCHEMES[scheme][0], value):
        raise ValueError(f"Expected a grade of {scheme}, got {value!r:.60}")
    return scheme, version, value


def worse_than(grade: str | None, least: str) -> bool | None:
    """True if the grade is worse than ``least`` in some part, False if it is as good or better in
    all; None where they cannot be compared: no grade, another scheme, not judged."""
    try:
        scheme, _, value = parse_grade(grade or "")
        wanted, _, lowest = parse_grade(least)
    except ValueError:
        return None
    if scheme != wanted or scheme not in SCHEMES:
        return None
    form, scales, unjudged = SCHEMES[scheme]
    got, floor = (re.fullmatch(form, text) for text in (value, lowest))
    if got is None or floor is None:
        return None
    worse = False
    for part, least_part, scale, none in zip(
        got.groups(), floor.groups(), scales, unjudged, strict=False
    ):
        if part in none or least_part in none:
            return None
        worse = worse or scale.index(part) > scale.index(least_part)
    return worse
