"""Caveats: what a person must see with an item, in a fixed order (R36, R46).

A machine keeps back what it can decide on; what only a person can keep to is said here, in the
words of the scheme, of the marking's definition and of the agreement. Nothing is judged. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from detente.model import Agreement, Handling
from detente.rules.markings import PAP_LEVELS, TLP_LEVELS
from detente.rules.releasability import parse_releasable

__all__ = ["Caveat", "CaveatKind", "MarkingText", "caveats_of", "level_words"]

#: In the order in which they are shown.
CaveatKind = Literal[
    "tlp",
    "pap",
    "releasability",
    "originator-control",
    "handling-code",
    "iep",
    "acs",
    "statement",
    "unknown",
    "part",
    "purpose",
    "permitted-use",
    "excluded-use",
    "onward",
]

_TLP: Final = {
    "clear": "No limit on disclosure.",
    "green": "Only within the community; not in public.",
    "amber": "Only within the organisation and to its clients, to those who need to know.",
    "amber+strict": "Only within the organisation, to those who need to know.",
    "red": "Only for the persons to whom it is given.",
}
_PAP: Final = {
    "clear": "No limit on what is done with it.",
    "green": "Actions that the target can notice are allowed, such as closing its ways in and out.",
    "amber": "Only passive checks, also at services of third parties; nothing towards the target.",
    "red": "Only passive checks in own records, which nobody outside can notice.",
}
_CODES: Final = {
    "europol:h0": "Only to prevent and to combat crime.",
    "europol:h1": "Not as evidence in court without the provider's permission.",
    "europol:h2": "Not to be passed on without the provider's permission.",
    "europol:h3": "Other restrictions, in the provider's words; to be read before use.",
}
_ONWARD: Final = {
    "consent": "Passed on only to whom the originator consents.",
    "none": "Not to be passed on to anybody.",
    "units": "Passed on only to units of the same party.",
}
_NO_TEXT: Final = "Its words are not here; ask the originator before use."


class MarkingText(msgspec.Struct, frozen=True, kw_only=True):
    """Words of a marking's definition, by the name of the marking that they belong to."""

    marking: str
    text: str


class Caveat(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be seen: ``name`` is that of the marking, purpose or use. ``must_read``: to be
    read before the item is opened."""

    kind: CaveatKind
    name: str
    words: str
    must_read: bool = False


def caveats_of(
    agreement: Agreement, handling: Handling, texts: Iterable[MarkingText]
) -> tuple[Caveat, ...]:
    """All caveats of an item, those of its markings first, then those of the agreement.

    ``texts`` are those of the definitions that the object refers to; of other markings' they are
    not shown. A marking that lives by its words and has none here says so.
    """
    words: dict[str, list[str]] = {}
    for one in texts:
        words.setdefault(one.marking, []).append(one.text)
    return (
        *_levels(handling),
        *_releasability(handling.markings, words),
        *_control(handling, words),
        *_codes(handling.markings, words),
        *_worded("iep", handling.markings, words),
        *_worded("acs", handling.markings, words),
        *_worded("statement", handling.markings, words),
        *_unknown(handling.markings, words),
        *_part(handling),
        *_agreed(agreement, handling),
    )


def level_words(marking: str) -> str:
    """What a level of TLP or PAP means, in a sentence; empty for other markings."""
    scheme, _, level = marking.partition(":")
    return {"pap": _PAP, "tlp": _TLP}.get(scheme, {}).get(level, "")


def _levels(handling: Handling) -> Iterator[Caveat]:
    """The strictest TLP and the strictest PAP, with what they mean."""
    for level in reversed(TLP_LEVELS):
        if f"tlp:{level}" in handling.markings:
            yield Caveat(kind="tlp", name=f"tlp:{level}", words=_TLP[level])
            break
    for level in reversed(PAP_LEVELS):
        if f"pap:{level}" in handling.markings:
            yield Caveat(kind="pap", name=f"pap:{level}", words=_PAP[level])
            break


def _releasability(markings: Sequence[str], words: Mapping[str, Sequence[str]]) -> Iterator[Caveat]:
    for marking in markings:
        named = parse_releasable(marking)
        if named is None:
            continue
        targets = named.name().removeprefix("rel:").replace(",", ", ")
        said = (
            f"Not to be released to parties of other countries than {targets}."
            if marking.startswith("noforn:")
            else f"To be released only to {targets}."
        )
        yield Caveat(kind="releasability", name=marking, words=_joined(said, words.get(marking)))


def _control(handling: Handling, words: Mapping[str, Sequence[str]]) -> Iterator[Caveat]:
    if "orcon" in handling.markings:
        said = f"{handling.originator} decides who else receives it and for which other use."
        yield Caveat(
            kind="originator-control", name="orcon", words=_joined(said, words.get("orcon"))
        )


def _codes(markings: Sequence[str], words: Mapping[str, Sequence[str]]) -> Iterator[Caveat]:
    for marking in markings:
        if marking in _CODES:
            must_read = marking == "europol:h3"
            own = words.get(marking) or ([_NO_TEXT] if must_read else [])
            yield Caveat(
                kind="handling-code",
                name=marking,
                words=_joined(_CODES[marking], own),
                must_read=must_read,
            )
        elif marking.startswith("cise:"):
            said = f"Sensitivity in CISE: {marking.removeprefix('cise:')}."
            yield Caveat(
                kind="handling-code", name=marking, words=_joined(said, words.get(marking))
            )


def _worded(
    kind: Literal["acs", "iep", "statement"],
    markings: Sequence[str],
    words: Mapping[str, Sequence[str]],
) -> Iterator[Caveat]:
    """Markings that are words. One that came as a label (``iep:unmodified-resale=must-not``) says
    what it says in its name."""
    for marking in markings:
        if marking.startswith(f"{kind}:"):
            _, is_label, _ = marking.partition("=")
            said = f"{marking}." if is_label else ""
            own = words.get(marking) or ([] if is_label else [_NO_TEXT])
            yield Caveat(kind=kind, name=marking, words=_joined(said, own))


def _unknown(markings: Sequence[str], words: Mapping[str, Sequence[str]]) -> Iterator[Caveat]:
    for marking in markings:
        if marking.startswith("unknown:"):
            said = "A marking that is not known here; ask the originator."
            yield Caveat(kind="unknown", name=marking, words=_joined(said, words.get(marking)))


def _part(handling: Handling) -> Iterator[Caveat]:
    if "part" in handling.flags:
        yield Caveat(
            kind="part",
            name="part",
            words="Some of these markings are those of a part of the object only; all are taken "
            "for the whole.",
        )


def _agreed(agreement: Agreement, handling: Handling) -> Iterator[Caveat]:
    for purpose in agreement.purposes:
        if purpose.id == handling.purpose:
            yield Caveat(
                kind="purpose", name=purpose.id, words=f"To be used only for: {purpose.title}"
            )
    for permitted in agreement.permitted_uses:
        yield Caveat(kind="permitted-use", name=permitted.id, words=permitted.text)
    for excluded in agreement.excluded_uses:
        yield Caveat(kind="excluded-use", name=excluded.id, words=excluded.text)
    if agreement.onward is not None:
        rule, text = agreement.onward.rule, agreement.onward.text
        yield Caveat(kind="onward", name=rule, words=_joined(_ONWARD[rule], [text] if text else []))


def _joined(first: str, rest: Sequence[str] | None) -> str:
    return " ".join(one for one in (first, *dict.fromkeys(rest or ())) if one)
