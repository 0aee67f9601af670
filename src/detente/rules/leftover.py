"""Leftover: does a tear-line still hold what was to be taken out of it, or lead back to what it
was made from?

Pure, and apart from ``transform``: what is searched for is what the steps take from the parent,
and it is searched for in all of the child, whoever made it. Not seen: the same thing in other
words, in another script, encoded, or in parts shorter than four letters or digits; that is what
the second person is for. How a child's id was made cannot be seen either, so it must be a random
one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from detente.errors import Invalid
from detente.model import Step
from detente.rules import coarsen
from detente.rules.transform import Taken, apply, selector

__all__ = ["Finding", "left_over"]

#: Shorter texts, and numbers of fewer digits, are in everything.
TELLING_MIN: Final = 4
#: Different texts searched for; each is searched for in all of the child.
HIDDEN_MAX: Final = 10_000

_RANDOM_ID = re.compile(
    r"\A[a-z][a-z0-9-]*--[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z"
)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TIMES = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_INDEX = re.compile(r"\[(\d{1,9})\]", re.ASCII)
#: Values of these say what STIX an object is, and nothing about the world.
_FORMAL = frozenset({"extension_type", "spec_version"})
#: Names of properties that STIX itself has inside others.
_STIX_NAMES = frozenset(
    """description external_id extension_type hashes kill_chain_name lang marking_ref phase_name
    selectors source_name url""".split()
)

Path = tuple[str | int, ...]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must not be in the child: where it is there, and what it is in plain words,
    which never tell the thing itself.

    ``left.text``, ``left.number``, ``left.time``: it was taken from the parent; ``left.key``: the
    name of something that was; ``left.place``: the child has something where the parent's was
    taken out; ``left.parent``: it names the parent; ``left.version``: it has the parent's times;
    ``left.selector``: it marks a part that is not there; ``left.id``: the child's id is not random.
    """

    code: str
    path: str
    words: str


def left_over(
    parent: Mapping[str, Any],
    child: Mapping[str, Any],
    steps: Sequence[Step],
    *,
    given: Callable[[str], bool],
) -> tuple[Finding, ...]:
    """Everything in ``child`` that ``steps`` take from ``parent``, or that leads back to it, in
    the order of the child. Empty only if there is nothing.

    Refuses (``Invalid``) steps that cannot be done to the parent, and more to search for than
    ``HIDDEN_MAX`` texts (``transform.size``).
    """
    done = apply(parent, steps, given=given)
    hidden = _Hidden(parent, done.taken, after=done.value)
    found: dict[tuple[str, str], Finding] = {}
    for path, value, key in _walk(child, ()):
        for code, words in hidden.in_value(value, is_key=key):
            place = selector(path)
            found.setdefault((code, place), Finding(code=code, path=place, words=words))
    return tuple(found.values()) + _about(parent, child, steps, done.taken, done.value)


class _Hidden:
    """What is searched for."""

    def __init__(
        self, parent: Mapping[str, Any], taken: Sequence[Taken], *, after: Mapping[str, Any]
    ) -> None:
        self._texts: dict[str, str] = {}
        self._numbers: dict[Decimal, str] = {}
        self._times: dict[int, str] = {}
        self._keys: dict[str, str] = {}
        stays = {_folded(path[-1]) for path, _, key in _walk(after, ()) if key and path}
        for one in taken:
            for path, value, key in _walk(one.value, (one.path,)):
                if not key:
                    self._add(path, value)
                elif (name := _folded(value)) not in stays and value not in _STIX_NAMES:
                    self._keys[name] = one.path
        if len(self._texts) > HIDDEN_MAX:
            raise Invalid(
                "transform.size",
                f"Expected at most {HIDDEN_MAX} texts to take out, got {len(self._texts)}.",
            )
        stix_id = str(parent.get("id", ""))
        uuid = stix_id.rpartition("--")[2].casefold()
        self._parent = tuple(one for one in (uuid, uuid.replace("-", "")) if one)

    def _add(self, path: Path, value: Any) -> None:
        where = str(path[0])
        if isinstance(value, str) and path[-1] not in _FORMAL:
            at = coarsen.instant_ms(value)
            if at is not None:
                self._times[at] = where
            text = _folded(value)
            if len(text) >= TELLING_MIN:
                self._texts.setdefault(text, where)
            # An id leads to the same object in any type of it.
            uuid = text.rpartition("--")[2]
            if uuid != text and len(uuid) >= TELLING_MIN:
                self._texts.setdefault(uuid, where)
        elif coarsen.is_number(value):
            number = _plain(value)
            if _digits(number) >= TELLING_MIN:
                self._numbers.setdefault(number, where)

    def in_value(self, value: Any, *, is_key: bool) -> Iterator[tuple[str, str]]:
        """What is found in one value or name of the child."""
        written = coarsen.is_number(value)
        text = f"{_plain(value):f}" if written else _folded(value)
        if any(one in text for one in self._parent):
            yield "left.parent", "The id of what it was made from."
        if is_key and text in self._keys:
            yield "left.key", f"A name that was taken from {self._keys[text]}."
        for hidden, where in self._texts.items():
            if hidden in text:
                yield "left.text", f"Words that were taken from {where}."
        # Of a number its own value counts, however many digits are around it in a text.
        for one in _NUMBER.findall(text) if self._numbers else ():
            if where := self._numbers.get(_plain(one), ""):
                yield "left.number", f"A number that was taken from {where}."
        for one in _TIMES.findall(str(value)) if self._times and not written else ():
            if where := self._times.get(coarsen.instant_ms(one) or 0, ""):
                yield "left.time", f"A time that was taken from {where}."


def _about(
    parent: Mapping[str, Any],
    child: Mapping[str, Any],
    steps: Sequence[Step],
    taken: Sequence[Taken],
    after: Mapping[str, Any],
) -> tuple[Finding, ...]:
    """What is wrong with the child as a whole."""
    found = []
    if not _RANDOM_ID.match(str(child.get("id", ""))):
        found.append(
            Finding(code="left.id", path="id", words="An id that was not drawn at random.")
        )
    coarser = any(step.do == "coarsen-time" for step in steps)
    times = {coarsen.instant_ms(str(parent.get(name, ""))) for name in ("created", "modified")}
    rounded = {one.path for one in taken}
    for path, value, _ in _walk(child, ()):
        at = coarsen.instant_ms(value) if isinstance(value, str) else None
        # A time that was made coarser may well fall on that of the parent.
        if (
            at is not None
            and selector(path) not in rounded
            and at in times
            and (coarser or path[0] in ("created", "modified"))
        ):
            found.append(
                Finding(
                    code="left.version",
                    path=selector(path),
                    words="The time at which the parent or its version was made.",
                )
            )
    for one in taken:
        # A list moves up when something is taken out of it, so only names stay the same place.
        if "[" not in one.path and not _at(after, one.path) and _at(child, one.path):
            found.append(
                Finding(code="left.place", path=one.path, words="Something is where it was.")
            )
    for name in _lost_selectors(child):
        found.append(
            Finding(code="left.selector", path=name, words="A marking of a part not there.")
        )
    return tuple(found)


def _lost_selectors(child: Mapping[str, Any]) -> Iterator[str]:
    """Places of selectors that name nothing."""
    granular = child.get("granular_markings")
    for number, one in enumerate(granular if isinstance(granular, list) else ()):
        selectors = one.get("selectors") if isinstance(one, Mapping) else None
        for index, text in enumerate(selectors if isinstance(selectors, list) else ()):
            if not (isinstance(text, str) and _at(child, text)):
                yield f"granular_markings.[{number}].selectors.[{index}]"


def _at(value: Mapping[str, Any], place: str) -> bool:
    at: Any = value
    for name in place.split("."):
        index = _INDEX.fullmatch(name)
        if isinstance(at, list) and index and int(index[1]) < len(at):
            at = at[int(index[1])]
        elif isinstance(at, Mapping) and name in at:
            at = at[name]
        else:
            return False
    return True


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, Any, bool]]:
    """Every text, number and name in a value; True with those that are names."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield (*path, name), name, True
            yield from _walk(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _walk(inner, (*path, index))
    elif value is not None and not isinstance(value, bool):
        yield path, value, False


def _folded(text: Any) -> str:
    """A text as it is compared: compatible forms as one, no case, no invisible letters, any white
    space as one space."""
    plain = unicodedata.normalize("NFKC", str(text)).casefold()
    return " ".join("".join(c for c in plain if unicodedata.category(c) != "Cf").split())


def _plain(number: Any) -> Decimal:
    """A number without its sign, in one form."""
    return abs(Decimal(repr(number) if not isinstance(number, str) else number)).normalize()


def _digits(number: Decimal) -> int:
    return len(number.as_tuple().digits)
