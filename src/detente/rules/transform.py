"""Transform: the steps of a minimisation or a tear-line, done to one decoded STIX object.

Pure: the same object and steps give the same result, and the object given is never changed. Each
step takes something away or makes it coarser. What the steps may not touch: the properties STIX
requires, what the object is (``type``, ``id``, ``spec_version``) and its markings, which are
lowered by those who state them and never by the way. A granular marking goes with the parts it
was about; the selectors of the others are moved to where their parts are now.

Whether what was taken away is really gone, ``rules.leftover`` says.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from detente.errors import Invalid
from detente.model import Step
from detente.rules import coarsen

__all__ = ["TRACK", "Applied", "Taken", "apply", "check_steps", "selector", "to_bytes"]

#: The track extension of the vessel profile (``wire.vessel``, a higher floor, names them all).
TRACK: Final = "extension-definition--0b1e5a3c-6d0f-4c58-8a3e-2f9d5c7b1a02"

#: As strict as what reads objects in; real STIX nests about ten levels.
DEPTH_MAX: Final = 100
#: Values of one object, keys not counted. An object has at most a megabyte.
VALUES_MAX: Final = 200_000
STEPS_MAX: Final = 100
_SEGMENTS_MAX: Final = 20

_COMMON = ("created", "id", "modified", "spec_version", "type")
_FIXED = frozenset(_COMMON)
_MARKINGS = frozenset({"granular_markings", "object_marking_refs"})
#: What STIX 2.1 requires of a type besides the common properties (a test compares this with the
#: schemas of OASIS).
REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    "attack-pattern": ("name",),
    "autonomous-system": ("number",),
    "campaign": ("name",),
    "course-of-action": ("name",),
    "directory": ("path",),
    "domain-name": ("value",),
    "email-addr": ("value",),
    "extension-definition": ("extension_types", "name", "schema", "version"),
    "grouping": ("context", "object_refs"),
    "identity": ("name",),
    "incident": ("name",),
    "indicator": ("pattern", "pattern_type", "valid_from"),
    "infrastructure": ("name",),
    "intrusion-set": ("name",),
    "ipv4-addr": ("value",),
    "ipv6-addr": ("value",),
    "language-content": ("contents", "object_ref"),
    "mac-addr": ("value",),
    "malware": ("is_family",),
    "malware-analysis": ("product",),
    "mutex": ("name",),
    "network-traffic": ("protocols",),
    "note": ("content", "object_refs"),
    "observed-data": ("first_observed", "last_observed", "number_observed"),
    "opinion": ("object_refs", "opinion"),
    "relationship": ("relationship_type", "source_ref", "target_ref"),
    "report": ("name", "object_refs", "published"),
    "sighting": ("sighting_of_ref",),
    "software": ("name",),
    "threat-actor": ("name",),
    "tool": ("name",),
    "url": ("value",),
    "vulnerability": ("name",),
}
#: What STIX requires inside a property, by where it is.
_REQUIRED_INSIDE = frozenset(
    {
        ("extensions", "*", "extension_type"),
        ("external_references", "*", "source_name"),
        ("kill_chain_phases", "*", "kill_chain_name"),
        ("kill_chain_phases", "*", "phase_name"),
    }
)
#: Where degrees are, in STIX and in the vessel profile.
_DEGREES = frozenset({"lat", "latitude", "lon", "longitude"})
_INDEX = re.compile(r"\[(\d{1,9})\]", re.ASCII)
#: Fields a step must have, and may have, by what it does.
_FIELDS: Final[dict[str, tuple[frozenset[str], frozenset[str]]]] = {
    "coarsen-position": (frozenset({"cell_mdeg"}), frozenset({"cell_mdeg", "path"})),
    "coarsen-time": (frozenset({"span_ms"}), frozenset({"path", "span_ms"})),
    "drop-references": (frozenset(), frozenset({"path"})),
    "keep": (frozenset({"path"}), frozenset({"path"})),
    "remove": (frozenset({"path"}), frozenset({"path"})),
    "replace": (frozenset({"path"}), frozenset({"path", "text"})),
}

Path = tuple[str | int, ...]


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What is no longer there: where it was, as a selector of STIX, and what it was."""

    path: str
    value: Any


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """The object after the steps; for each step how many places it found, for a coarser one how
    many positions or times (0: it matched nothing, which is no error, but worth knowing); and
    what was taken away or changed."""

    value: dict[str, Any]
    touched: tuple[int, ...]
    taken: tuple[Taken, ...]


class _Gone:
    """Stands in the working copy for what was taken away, so that places keep their numbers."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def check_steps(steps: Sequence[Step]) -> None:
    """Refuses steps that lack a field or have one that means nothing to them, and paths that are
    none; nothing is said of an object."""
    if len(steps) > STEPS_MAX:
        raise Invalid("transform.steps", f"Expected at most {STEPS_MAX} steps, got {len(steps)}.")
    for index, step in enumerate(steps):
        needed, known = _FIELDS[step.do]
        has = {
            name
            for name in ("path", "text", "cell_mdeg", "span_ms")
            if getattr(step, name) not in ("", None)
        }
        if not needed <= has <= known:
            raise Invalid(
                "transform.step",
                f"Expected {step.do} with {_names(needed)} of {_names(known)}, got {_names(has)}.",
                path=f"$.steps[{index}]",
            )
        _parse(step.path)


def apply(
    value: Mapping[str, Any], steps: Sequence[Step], *, given: Callable[[str], bool]
) -> Applied:
    """Do the steps, in order, to an object; ``given`` says whether the reader is given the object
    of this id. Paths are those of the object as it came: nothing moves while steps are done.
    Several ``keep`` in a row keep what any of them names.

    Refused (``Invalid``), with nothing done: steps that are none (``transform.step``), an object
    too deep or large (``transform.size``), a step that would take what STIX requires
    (``transform.required``), that touches a marking (``transform.marking``), or that finds another
    sort of value than it is for (``transform.value``).
    """
    check_steps(steps)
    work = _Work(value, given)
    touched: list[int] = []
    for keeps, row in itertools.groupby(steps, lambda step: step.do == "keep"):
        if keeps:
            touched += work.keep([_parse(step.path) for step in row])
        else:
            touched += [work.do(step) for step in row]
    return Applied(value=work.finish(), touched=tuple(touched), taken=tuple(work.taken))


def to_bytes(value: Mapping[str, Any]) -> bytes:
    """The one form in which a transformed object is written: sorted, compact UTF-8. Refuses
    (``Invalid``) what is not JSON."""
    try:
        text = json.dumps(
            value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
        )
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid("transform.value", f"Expected values of JSON, got: {error}.") from error


class _Work:
    """A copy of the object that the steps are done to."""

    def __init__(self, value: Mapping[str, Any], given: Callable[[str], bool]) -> None:
        self._left = VALUES_MAX
        self._root: dict[str, Any] = self._copy(value, DEPTH_MAX)
        self._given = given
        self.taken: list[Taken] = []

    def _copy(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if depth <= 0 or self._left < 0:
            raise Invalid(
                "transform.size",
                f"Expected at most {DEPTH_MAX} levels and {VALUES_MAX} values, got more.",
            )
        if isinstance(value, Mapping):
            return {key: self._copy(inner, depth - 1) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._copy(inner, depth - 1) for inner in value]
        return value

    def do(self, step: Step) -> int:
        """One step other than ``keep``; how many places it found."""
        names = _parse(step.path)
        if step.do == "drop-references":
            return self._drop(names)
        found = 0
        for place in list(_places(self._root, names)):
            found += 1
            if place.path:
                _check_marking(place.path)
            match step.do:
                case "remove":
                    self._remove(place)
                case "replace":
                    self._replace(place, step.text)
                case _:
                    found += self._coarsen(place, step) - 1
        return found

    def _required(self) -> frozenset[str]:
        kind = self._root.get("type")
        return _FIXED | frozenset(REQUIRED.get(kind, ()) if isinstance(kind, str) else ())

    def _take(self, place: _Place) -> None:
        self.taken.append(Taken(path=selector(place.path), value=_whole(place.value)))

    def _remove(self, place: _Place) -> None:
        if _inside(place.path):
            raise _needed(place.path)
        self._take(place)
        place.put(_Gone(place.value))

    def _replace(self, place: _Place, text: str) -> None:
        if place.path[0] in _FIXED:
            raise _needed(place.path)
        if not isinstance(place.value, str):
            raise _other("a text to replace", place)
        self._change(place, text)

    def _change(self, place: _Place, new: Any) -> None:
        if place.value != new:
            self._take(place)
            place.put(new)

    def _coarsen(self, place: _Place, step: Step) -> int:
        """What the path names is coarser then; of an object, what is known to be a position or a
        time in it, but not when the object was created."""
        named, found = not isinstance(place.value, dict), 0
        for leaf in _leaves(place):
            if leaf.path[0] in _MARKINGS or leaf.value is None:
                continue
            if step.cell_mdeg is not None:
                if named or leaf.name in _DEGREES:
                    self._coarsen_degrees(leaf, step.cell_mdeg)
                    found += 1
            elif step.span_ms is not None and (named or leaf.path[0] not in _FIXED):
                found += self._coarsen_time(leaf, step.span_ms, named=named)
        return found

    def _coarsen_degrees(self, leaf: _Place, cell_mdeg: int) -> None:
        if not coarsen.is_number(leaf.value):
            raise _other("degrees", leaf)
        most = 90 if leaf.name in ("lat", "latitude") else 180
        self._change(leaf, coarsen.degrees(leaf.value, cell_mdeg, most=most))
        self._say_position(leaf, cell_mdeg)

    def _say_position(self, leaf: _Place, cell_mdeg: int) -> None:
        """That the position is no longer exact, where the profile has a property for it."""
        least = coarsen.metres(cell_mdeg)
        owner = self._owner(leaf.path)
        if owner is self._root and owner.get("type") == "location":
            owner["precision"] = _larger(owner.get("precision"), float(least))
        accuracy = owner.get("accuracy_m")
        if accuracy is not None and not isinstance(accuracy, _Gone):
            owner["accuracy_m"] = (
                [_larger(one, least) for one in accuracy]
                if isinstance(accuracy, list)
                else _larger(accuracy, least)
            )
        if leaf.path[:2] == ("extensions", TRACK):
            self._generalised("cell_deg", cell_mdeg / 1000)

    def _coarsen_time(self, leaf: _Place, span_ms: int, *, named: bool) -> bool:
        if not named and leaf.name == "offsets_s":
            # They are coarser together with the time they count from.
            return False
        owner = self._owner(leaf.path)
        together = owner.get("offsets_s") if leaf.name == "base_time" and not named else None
        try:
            if isinstance(leaf.value, str):
                if not named and coarsen.instant_ms(leaf.value) is None:
                    return False
                if isinstance(together, list):
                    self._coarsen_offsets(leaf, together, span_ms)
                else:
                    self._change(leaf, coarsen.moment(leaf.value, span_ms))
            elif named and coarsen.is_number(leaf.value):
                self._change(leaf, coarsen.seconds(leaf.value, span_ms))
            elif named:
                raise _other("a time", leaf)
            else:
                return False
        except ValueError as error:
            raise Invalid(
                "transform.value", f"{error}.", path=f"$.{selector(leaf.path)}"
            ) from error
        if leaf.path[:2] == ("extensions", TRACK):
            self._generalised("delay_s", span_ms / 1000)
        return True

    def _coarsen_offsets(self, leaf: _Place, together: list[Any], span_ms: int) -> None:
        base, found = coarsen.offsets(leaf.value, [_alive(one) for one in together], span_ms)
        self._change(leaf, base)
        where = (*leaf.path[:-1], "offsets_s")
        for index, new in enumerate(found):
            if new is not None:
                self._change(_Place(together, index, (*where, index)), new)

    def _generalised(self, name: str, amount: float) -> None:
        """Vessel profile, track: says that the releaser coarsened position or time."""
        track = self._root["extensions"][TRACK]
        said = track.get("generalised")
        said = dict(said) if isinstance(said, dict) else {}
        track["generalised"] = {**said, name: _larger(said.get(name), amount)}

    def _owner(self, path: Path) -> dict[str, Any]:
        """The innermost object that what is at the path belongs to."""
        at: Any = self._root
        found = self._root
        for part in path[:-1]:
            at = at[part]
            found = at if isinstance(at, dict) else found
        return found

    def keep(self, paths: list[list[str]]) -> list[int]:
        """Take away all that none of the paths names; how many places each found."""
        found = [sum(1 for _ in _places(self._root, path)) for path in paths]
        self._keep(_Place({"": self._root}, "", ()), paths, self._required() | _MARKINGS)
        return found

    def _keep(self, within: _Place, paths: list[list[str]], always: frozenset[str]) -> None:
        for place in within.inner():
            inner = [one[1:] for one in paths if one[0] in (_segment(place.key), "*")]
            top = len(place.path) == 1 and place.path[0] in always
            if top or not all(inner) or _inside(place.path):
                continue
            if inner and isinstance(place.value, dict | list):
                self._keep(place, inner, always)
            else:
                self._take(place)
                place.put(_Gone(place.value))

    def _drop(self, names: list[str]) -> int:
        """Take out references to what is not given; how many were."""
        found = 0
        for leaf in list(_leaves(_Place({"": self._root}, "", ()))):
            of = leaf.name
            if leaf.path[0] in _MARKINGS or not of.endswith(("_ref", "_refs")):
                continue
            under = len(leaf.path) >= len(names) and all(
                name in (_segment(part), "*") for name, part in zip(names, leaf.path, strict=False)
            )
            if under and not (isinstance(leaf.value, str) and self._given(leaf.value)):
                self._take(leaf)
                leaf.put(_Gone(leaf.value))
                found += 1
        return found

    def finish(self) -> dict[str, Any]:
        """The object as it is now; refuses one of which nothing is left where STIX requires
        something."""
        for name in self._required():
            if name in self._root and _empty(self._root[name]):
                raise _needed((name,))
        _mark_empty(self._root)
        self._root = {**self._root, **self._granular()}
        result: dict[str, Any] = _compact(self._root)
        return result

    def _granular(self) -> dict[str, Any]:
        """Granular markings by what is left: their selectors moved to where their parts are now,
        those of parts that are gone left out. What cannot be read stays as it is."""
        said = self._root.get("granular_markings")
        if not isinstance(said, list):
            return {}
        found = []
        for one in said:
            selectors = one.get("selectors") if isinstance(one, dict) else None
            if not isinstance(selectors, list):
                found.append(one)
                continue
            moved = [_moved(self._root, text) for text in selectors]
            if left := [text for text in moved if text is not None]:
                found.append({**one, "selectors": left})
        return {"granular_markings": found or _Gone(said)}


class _Place:
    """Where a value is in the working copy."""

    __slots__ = ("holder", "key", "path")

    def __init__(self, holder: Any, key: str | int, path: Path) -> None:
        self.holder, self.key, self.path = holder, key, path

    @property
    def value(self) -> Any:
        """What is there."""
        return self.holder[self.key]

    @property
    def name(self) -> str:
        """The property it is in; for an element of a list that of the list."""
        return next((part for part in reversed(self.path) if isinstance(part, str)), "")

    def put(self, value: Any) -> None:
        """Put another value there."""
        self.holder[self.key] = value

    def inner(self) -> list[_Place]:
        """What is directly inside and not gone."""
        at = self.value
        keys: Iterable[str | int] = ()
        if isinstance(at, dict):
            keys = list(at)
        elif isinstance(at, list):
            keys = range(len(at))
        return [
            _Place(at, key, (*self.path, key)) for key in keys if not isinstance(at[key], _Gone)
        ]


def _places(root: dict[str, Any], names: list[str]) -> Iterator[_Place]:
    """The places a path names, the object itself if it is empty."""
    level = [_Place({"": root}, "", ())]
    for name in names:
        level = [
            inner
            for place in level
            for inner in place.inner()
            if name in ("*", _segment(inner.key))
        ]
    yield from level


def _leaves(place: _Place) -> Iterator[_Place]:
    """All that is in a place and is neither list nor object."""
    if not isinstance(place.value, dict | list):
        yield place
    for inner in place.inner():
        yield from _leaves(inner)


def _parse(path: str) -> list[str]:
    names = path.split(".") if path else []
    if len(names) > _SEGMENTS_MAX or not all(names):
        raise Invalid(
            "transform.step",
            f"Expected at most {_SEGMENTS_MAX} property names with dots between, got {path!r:.80}.",
        )
    return names


def _segment(key: str | int) -> str:
    return f"[{key}]" if isinstance(key, int) else key


def selector(path: Path) -> str:
    """A path as a selector of STIX (granular markings, 7.2.3.1) writes it."""
    return ".".join(map(_segment, path))


def _inside(path: Path) -> bool:
    """True where STIX requires something inside a property."""
    return len(path) == 3 and (path[0], "*", path[2]) in _REQUIRED_INSIDE


def _check_marking(path: Path) -> None:
    if path[0] in _MARKINGS:
        raise Invalid(
            "transform.marking",
            f"Expected a step that leaves the markings alone, got one on {selector(path)}.",
            hint="Who derives or publishes states the markings; a granular one goes with its part.",
            path=f"$.{selector(path)}",
        )


def _needed(path: Path) -> Invalid:
    return Invalid(
        "transform.required",
        f"Expected that what STIX requires stays, got a step that would take {selector(path)}.",
        hint="Replace it by another text, or give another object.",
        path=f"$.{selector(path)}",
    )


def _other(wanted: str, place: _Place) -> Invalid:
    return Invalid(
        "transform.value",
        f"Expected {wanted}, got {type(place.value).__name__}.",
        path=f"$.{selector(place.path)}",
    )


def _larger(said: Any, least: float) -> Any:
    return said if coarsen.is_number(said) and said >= least else least


def _alive(value: Any) -> Any:
    return None if isinstance(value, _Gone) else value


def _whole(value: Any) -> Any:
    """A value as it was before anything in it was taken away."""
    if isinstance(value, _Gone):
        return _whole(value.value)
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list) else value


def _empty(value: Any) -> bool:
    """True if all there was in a value is gone; what came empty is not."""
    if isinstance(value, _Gone):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return isinstance(value, dict | list) and bool(value) and all(map(_empty, inner))


def _mark_empty(at: Any) -> None:
    for place in _Place({"": at}, "", ()).inner():
        if _empty(place.value):
            place.put(_Gone(place.value))
        else:
            _mark_empty(place.value)


def _compact(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _compact(v) for k, v in value.items() if not isinstance(v, _Gone)}
    if isinstance(value, list):
        return [_compact(one) for one in value if not isinstance(one, _Gone)]
    return value


def _moved(root: dict[str, Any], text: Any) -> Any:
    """A selector by the places that are left; None if what it named is gone. One that never named
    anything stays as it is."""
    at: Any = root
    found = []
    for name in str(text).split("."):
        index = int(name[1:-1]) if _INDEX.fullmatch(name) else None
        if isinstance(at, list) and index is not None and index < len(at):
            gone = sum(isinstance(one, _Gone) for one in at[:index])
            found.append(f"[{index - gone}]")
            at = at[index]
        elif isinstance(at, dict) and name in at:
            found.append(name)
            at = at[name]
        else:
            return text
        if isinstance(at, _Gone):
            return None
    return ".".join(found)


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "no field"
