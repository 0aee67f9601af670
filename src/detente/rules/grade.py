"""Grades: schemes of source and information grading, native, never converted (R35).

A grade is ``scheme:value``, or ``scheme@version:value`` where the version matters. Two grades are
compared within one scheme only, and within one version where the minimum names it. What cannot be
judged is neither good nor bad: it never meets a minimum, and is never called below it. Where that
stands among the letters is a matter of each scheme:

    admiralty  source A to F, information 1 to 6 (STANAG 2511, AJP-2.1); not judged: F, 6
    4x4        source A, B, C, X; information 1 to 4 (Europol); not judged: X
    5x5x5      source A to E, information 1 to 5, handling 1 to 5 (UK, until about 2016); not
               judged: E (untested), 4 (cannot be judged), while 5 is suspected to be false
    3x5x2      source 1 to 3, information A to E, handling P or C (UK); not judged: 2 (untested),
               D (not known), while E is suspected to be false
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
    "5x5x5": (r"([A-E])([1-5])(?:[1-5])?", ("ABCD", "1235"), ("E", "4")),
    "3x5x2": (r"([1-3])([A-E])(?:[PC])?", ("13", "ABCE"), ("2", "D")),
}

#: Scheme and version: short names that can stand anywhere.
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,31}", re.ASCII)


def parse_grade(grade: str) -> tuple[str, str, str]:
    """Scheme, version (empty if not said) and value; ``ValueError`` if it is no grade."""
    scheme, colon, value = grade.partition(":")
    scheme, _, version = scheme.partition("@")
    words = (scheme, version) if version else (scheme,)
    if not (colon and all(map(_WORD.fullmatch, words)) and _is_value(value)):
        raise ValueError(f"Expected scheme:value, got {grade!r:.60}")
    if scheme in SCHEMES and not re.fullmatch(SCHEMES[scheme][0], value):
        raise ValueError(f"Expected a grade of {scheme}, got {value!r:.60}")
    return scheme, version, value


def _is_value(text: str) -> bool:
    # Native, so letters of any script; short and printable, as it stands in lists.
    return 0 < len(text) <= 64 and text.isprintable() and text == text.strip()


def worse_than(grade: str | None, least: str) -> bool | None:
    """True if the grade is worse than ``least`` in some part, False if it is as good or better in
    all; None where they cannot be compared: no grade, another scheme or version, not judged."""
    try:
        scheme, version, value = parse_grade(grade or "")
        wanted, named, lowest = parse_grade(least)
    except ValueError:
        return None
    if scheme != wanted or scheme not in SCHEMES or named not in ("", version):
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
