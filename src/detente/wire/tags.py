"""Tags: labels of objects that are machine tags of taxonomies of markings, as MISP writes them.

What is understood gives the name of the marking; what belongs to such a taxonomy and is not
understood is a marking that is not known; every other label is no marking. Letter case makes no
difference, nor do blanks around the parts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from detente.rules.markings import CISE_LEVELS, PAP_LEVELS, TLP_LEVELS
from detente.rules.releasability import parse_releasable
from detente.wire.control import NAME_MAX, tlp_of_cise

__all__ = [
    "IEP_CONDITIONS",
    "admiralty_of",
    "is_uuid",
    "level_of",
    "read_tag",
    "time_ms",
    "unknown_name",
]

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
#: Markings that are also written by themselves.
_BARE: Final = frozenset({"noforn", "orcon"})
#: Longer labels are no tags of any taxonomy, and are not read.
_TAG_MAX: Final = 1_000

_MAY_MUST: Final = frozenset({"may", "must", "must-not"})
_ACTIONS: Final = frozenset(
    """none contact-for-instruction internally-visible-actions externally-visible-indirect-actions
    externally-visible-direct-actions""".split()
)
#: Conditions of FIRST's Information Exchange Policy (1 and 2.0) and their values, as they are
#: written here: small letters and hyphens.
IEP_CONDITIONS: Final = {
    "affected-party-notifications": _MAY_MUST,
    "attribution": _MAY_MUST,
    "commercial-use": _MAY_MUST,
    "encrypt-at-rest": _MAY_MUST,
    "encrypt-in-transit": _MAY_MUST,
    "obfuscate-affected-parties": _MAY_MUST,
    "permitted-actions": _ACTIONS,
    "provider-attribution": _MAY_MUST,
    "unmodified-resale": _MAY_MUST,
}
#: Parts of an IEP that set no condition by themselves, but say that there is one.
_IEP_NAMING: Final = frozenset(
    "description external-reference iep-version name reference url version".split()
)
_ACS: Final = frozenset(
    """privilege_action classification formal_determination caveat sensitivity shareability
    entity""".split()
)
_ADMIRALTY: Final = {
    "source-reliability": (0, "ABCDEF"),
    "information-credibility": (1, "123456"),
}


def level_of(value: str, levels: tuple[str, ...]) -> str | None:
    """The level that a text says, in any letter case; white is clear under its old name."""
    said = value.strip().lower()
    said = "clear" if said == "white" and "clear" in levels else said
    return said if said in levels else None


def is_uuid(text: str) -> bool:
    """True if a text is a UUID in small letters."""
    return _UUID.fullmatch(text) is not None


def time_ms(text: str) -> int | None:
    """Milliseconds since 1970 of a time or a date in ISO 8601, UTC if it does not say; None if it
    is none."""
    try:
        time = datetime.fromisoformat(text)
        return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)
    except (OverflowError, ValueError):
        return None


def unknown_name(text: str) -> str:
    """The name of a marking that is not known, made of what there is of it."""
    kept = "".join(sign if "!" <= sign <= "~" else "_" for sign in text[:200])
    return f"unknown:{kept or 'unreadable'}"


def read_tag(label: str, at_ms: int | None) -> tuple[str, ...]:
    """The markings that a label is, at a time (any if None); none if it is an ordinary label."""
    head = label if len(label) <= _TAG_MAX else label[:_TAG_MAX]
    ordinary = head.isascii() and head.isprintable() and head[:1].isalnum()
    plain = head if ordinary else _plain(head)
    scheme, colon, rest = plain.partition(":")
    scheme = scheme.strip().lower()
    # Without a colon it is no machine tag: an object may well be about NATO or about Europol.
    if scheme not in _MARKING or not (colon or scheme in _BARE):
        return ()
    found = _names(scheme, rest.strip(), at_ms) if len(label) <= _TAG_MAX else None
    if found is None or any(len(name) > NAME_MAX for name in found):
        return (unknown_name(plain.strip().lower()),)
    return found


#: Letters by their category that show nothing (Unicode's default ignorable code points).
_FILLERS: Final = frozenset("\u115f\u1160\u17b4\u17b5\u3164\uffa0")
#: What stands around a tag and does not change what it says.
_AROUND: Final = " \t#\"'`[](){}<>\u00ab\u00bb\u2018\u2019\u201c\u201d"


def _plain(text: str) -> str:
    """A text in the letters that it looks like: wide ones are plain, and what nobody sees (blanks
    of no width, signs of direction and control, fillers, variation selectors) is gone. So are
    quotes, brackets and the sign of a hashtag around it."""
    wide = unicodedata.normalize("NFKC", text)
    seen = "".join(
        sign
        for sign in wide
        if unicodedata.category(sign) not in ("Cc", "Cf", "Mn") and sign not in _FILLERS
    )
    inner = seen.strip()
    # A value in quotes ends with one: they go only where something stands in front as well.
    return inner.strip(_AROUND) if inner[:1] in _AROUND else inner


def admiralty_of(label: str) -> tuple[str, str] | None:
    """Source reliability and information credibility, one of them empty, that a label is in the
    Admiralty scale; None if it is none of its two, or a value that grades do not have."""
    if len(label) > _TAG_MAX:
        return None
    scheme, _, rest = label.partition(":")
    if scheme.strip().lower() != "admiralty-scale":
        return None
    predicate, value = _pair(rest)
    place, values = _ADMIRALTY.get(predicate, (0, ""))
    said = value.upper()
    if len(said) != 1 or said not in values:
        return None
    return (said, "") if place == 0 else ("", said)


def _pair(rest: str) -> tuple[str, str]:
    """Predicate and value of ``predicate="value"``."""
    predicate, _, value = rest.partition("=")
    return predicate.strip().lower(), value.strip().strip('"').strip()


Names = tuple[str, ...] | None


def _tlp(rest: str) -> Names:
    level = level_of(rest, TLP_LEVELS)
    return (f"tlp:{level}",) if level else None


def _pap(rest: str) -> Names:
    level = level_of(rest, PAP_LEVELS)
    return (f"pap:{level}",) if level else None


def _iep(rest: str, at_ms: int | None) -> Names:
    predicate, value = _pair(rest)
    predicate = predicate.replace("_", "-")
    said = value.lower().replace("_", "-").replace(" ", "-")
    if predicate in ("tlp", "traffic-light-protocol"):
        return _tlp(value)
    if predicate in ("id", "id-ref"):
        return (f"iep:{said}",) if is_uuid(said) else None
    if predicate in ("end-date", "start-date"):
        time = time_ms(value)
        if time is None:
            return None
        outside = at_ms is not None and (time > at_ms if predicate[0] == "s" else time <= at_ms)
        return None if outside else ("iep:named",)
    if predicate in _IEP_NAMING:
        return ("iep:named",)
    return (
        (f"iep:{predicate}={said}",) if said in IEP_CONDITIONS.get(predicate, frozenset()) else None
    )


def _ism(rest: str) -> Names:
    """Of the markings of the US intelligence community, the two that say who may have it."""
    predicate, value = _pair(rest)
    if predicate != "dissem":
        return None
    return {"NF": ("noforn:USA",), "OC": ("orcon",)}.get(value.upper())


def _acs(rest: str) -> Names:
    predicate, value = _pair(rest)
    said = value.lower()
    fits = predicate in _ACS and re.fullmatch(r"[a-z0-9._-]{1,100}", said, re.ASCII)
    return (f"acs:{predicate}={said}",) if fits else None


def _rel(rest: str) -> Names:
    found = parse_releasable(f"rel:{rest.replace(' ', '')}")
    return (found.name(),) if found else None


def _noforn(rest: str) -> Names:
    marking = f"noforn:{rest.upper()}"
    return (marking,) if parse_releasable(marking) else None


def _orcon(rest: str) -> Names:
    return None if rest else ("orcon",)


def _europol(rest: str) -> Names:
    """H3 is words, which a label does not have."""
    code = rest.lower()
    return (f"europol:{code}",) if code in ("h0", "h1", "h2") else None


def _cise(rest: str) -> Names:
    level = level_of(rest, CISE_LEVELS)
    return (f"cise:{level}", *tlp_of_cise(level)) if level else None


#: Those that set conditions for a time, and those of which nothing is understood: what it takes to
#: hold what is classified is nothing that a gateway can see.
_IEP: Final = frozenset({"iep", "iep2-policy", "iep2-reference"})
_NOT_READ: Final = frozenset({"euci", "nato"})
_TAXONOMIES: Final[dict[str, Callable[[str], Names]]] = {
    "acs-marking": _acs,
    "cise": _cise,
    "dni-ism": _ism,
    "europol": _europol,
    "noforn": _noforn,
    "orcon": _orcon,
    "pap": _pap,
    "rel": _rel,
    "tlp": _tlp,
}
_MARKING: Final = _TAXONOMIES.keys() | _IEP | _NOT_READ


def _names(scheme: str, rest: str, at_ms: int | None) -> Names:
    """The names that a tag of a taxonomy of markings is; None if it is not understood."""
    if scheme in _IEP:
        return _iep(rest, at_ms)
    return None if scheme in _NOT_READ else _TAXONOMIES[scheme](rest)
