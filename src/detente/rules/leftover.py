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
HIDDEN_MAX: Final = 2_000

_RANDOM_ID = re.compile(
    r"\A[a-z][a-z0-9-]*--[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z"
)
_ID = re.compile(
    r"\A[a-z][a-z0-9-]*--([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\Z", re.ASCII
)
_NAME = re.compile(r"\A[a-z0-9_]{1,250}\Z", re.ASCII)
#: What is made anew for a child, or cannot be another.
_MADE = (("type",), ("spec_version",), ("created",), ("modified",))
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
    places = [(path, _said(path, value, is_key=key), key) for path, value, key in _walk(child, ())]
    hidden.narrow("\n".join(said.text for _, said, _ in places))
    found: dict[tuple[str, str], Finding] = {}
    for path, said, key in places:
        for code, words in hidden.in_place(said, is_key=key):
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
            at = one.path.split(".")
            names = [at[-1]] if len(at) > 1 or at[-1].startswith("x_") else []
            for path, value, key in _walk(one.value, (one.path,)):
                if key:
                    names.append(value)
                else:
                    self._add(path, value)
            for name in names:
                if name not in _STIX_NAMES and _folded(name) not in stays:
                    self._keys[_folded(name)] = one.path
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
            if found := _ID.match(text):
                self._texts.setdefault(found[1], where)
        elif coarsen.is_number(value):
            number = _plain(value)
            if _digits(number) >= TELLING_MIN:
                self._numbers.setdefault(number, where)

    def narrow(self, all_of_it: str) -> None:
        """Search in each place only for texts that are anywhere at all."""
        self._texts = {text: where for text, where in self._texts.items() if text in all_of_it}

    def in_place(self, said: _Said, *, is_key: bool) -> Iterator[tuple[str, str]]:
        """What is found in one value or name of the child."""
        if any(one in said.whole for one in self._parent):
            yield "left.parent", "The id of what it was made from."
        if is_key and said.whole in self._keys:
            yield "left.key", f"A name that was taken from {self._keys[said.whole]}."
        for hidden, where in self._texts.items():
            if hidden in said.text:
                yield "left.text", f"Words that were taken from {where}."
        # Of a number its own value counts, however many letters are around it in a text.
        for one in said.numbers if self._numbers else ():
            if where := self._numbers.get(_plain(one), ""):
                yield "left.number", f"A number that was taken from {where}."
        for at in said.times if self._times else ():
            if where := self._times.get(at, ""):
                yield "left.time", f"A time that was taken from {where}."


class _Said(msgspec.Struct, frozen=True):
    """What one place of the child says: all of it, what of it its author has chosen, and the
    numbers and times in it."""

    whole: str
    text: str = ""
    numbers: tuple[str, ...] = ()
    times: tuple[int, ...] = ()


def _said(path: Path, value: Any, *, is_key: bool) -> _Said:
    """What STIX or a schema prescribes, or was made for the child, is nobody's words: a removed
    "ship" is not left over in ``relationship_type``, nor 2025 in when the child was made."""
    if coarsen.is_number(value):
        text = f"{_plain(value):f}"
        return _Said(text, text, (text,))
    whole = _folded(value)
    if found := _ID.match(whole):
        # The type before it is no secret; its digits are no number.
        return _Said(whole, "" if path == ("id",) else found[1])
    if _is_name(path, whole) if is_key else path in _MADE or path[-1] in _FORMAL:
        return _Said(whole)
    times = tuple(at for one in _TIMES.findall(str(value)) if (at := coarsen.instant_ms(one)))
    numbers = () if _TIMES.fullmatch(str(value)) else tuple(_NUMBER.findall(whole))
    return _Said(whole, whole, numbers, times)


def _is_name(path: Path, name: str) -> bool:
    """True for the name of a property that STIX or an extension has given it."""
    if not _NAME.match(name):
        return False
    own = len(path) == 1 and not name.startswith("x_")
    return own or name in _STIX_NAMES or (len(path) == 3 and path[0] == "extensions")


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
