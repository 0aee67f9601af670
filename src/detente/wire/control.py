"""Control: releasability, originator control and handling codes on a marking definition.

REL TO, NOFORN, ORCON, Europol's handling codes and CISE's sensitivity have no form in STIX. This
one property extension of ``marking-definition`` carries them, each in its own words. Its id is
frozen: it is a name that partners rely on. It is read strictly: a property that is not understood,
or an extension that says nothing, makes the whole a marking that is not known, and that is held.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from detente.model.names import PartyID, Record
from detente.rules.caveats import MarkingText
from detente.rules.releasability import Releasable

__all__ = ["CONTROL", "NAME_MAX", "Control", "read_control", "tlp_of_cise"]

CONTROL: Final = "extension-definition--0b1e5a3c-6d0f-4c58-8a3e-2f9d5c7b1a05"

#: Characters of the name of a marking, as scopes of orders may hold them.
NAME_MAX: Final = 300

_Country = Annotated[str, msgspec.Meta(pattern=r"\A[A-Z]{3}\Z")]
_Unit = Annotated[
    str,
    msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"),
]
_Words = Annotated[str, msgspec.Meta(min_length=1, max_length=10_000, pattern=r"\S")]
#: As many as a name can hold, and more.
_MOST: Final = msgspec.Meta(min_length=1, max_length=100)


class Control(Record, frozen=True, kw_only=True):
    """The extension. To whom the item may be released: ``releasable_countries``,
    ``releasable_parties`` and ``releasable_units`` (``party/unit``), which count together;
    ``no_foreign``: to no party of another country; ``originator_control``; ``europol_codes`` with
    the words that H3 stands for; ``cise_sensitivity``. ``description`` is shown with each."""

    extension_type: Literal["property-extension"]
    releasable_countries: Annotated[tuple[_Country, ...], _MOST] | None = None
    releasable_parties: Annotated[tuple[PartyID, ...], _MOST] | None = None
    releasable_units: Annotated[tuple[_Unit, ...], _MOST] | None = None
    no_foreign: _Country | None = None
    originator_control: bool | None = None
    europol_codes: Annotated[tuple[Literal["H0", "H1", "H2", "H3"], ...], _MOST] | None = None
    europol_text: _Words | None = None
    cise_sensitivity: Literal["white", "green", "amber", "red", "non-specified"] | None = None
    description: _Words | None = None

    def __post_init__(self) -> None:
        if self.originator_control is False:
            raise ValueError("Expected `originator_control` to be true or absent, got false")
        if ("H3" in (self.europol_codes or ())) is not (self.europol_text is not None):
            raise ValueError("Expected `europol_text` with H3 and only with it")

    def names(self) -> tuple[str, ...]:
        """The names of the markings that this says."""
        released = Releasable(
            countries=frozenset(self.releasable_countries or ()),
            parties=frozenset(self.releasable_parties or ()),
            units=frozenset(_split(unit) for unit in self.releasable_units or ()),
        )
        found = [released.name()] if released != Releasable() else []
        found += [f"noforn:{self.no_foreign}"] if self.no_foreign else []
        found += ["orcon"] if self.originator_control else []
        found += [f"europol:{code.lower()}" for code in self.europol_codes or ()]
        if self.cise_sensitivity:
            found += [f"cise:{self.cise_sensitivity}", *tlp_of_cise(self.cise_sensitivity)]
        return tuple(found)


def read_control(value: Any) -> tuple[tuple[str, ...], tuple[MarkingText, ...]] | None:
    """The names and words of the extension; None if it is malformed, says nothing, or says more
    than a name can hold."""
    try:
        control = msgspec.convert(value, Control, strict=True)
    except msgspec.ValidationError:
        return None
    names = control.names()
    if not names or any(len(name) > NAME_MAX for name in names):
        return None
    texts = [(name, control.description) for name in names if not name.startswith("tlp:")]
    texts.insert(0, ("europol:h3", control.europol_text))
    return names, tuple(MarkingText(marking=name, text=text) for name, text in texts if text)


def tlp_of_cise(sensitivity: str) -> tuple[str, ...]:
    """The TLP that CISE's sensitivity is by its own definition; none where it is not said."""
    if sensitivity == "non-specified":
        return ()
    return ("tlp:clear" if sensitivity == "white" else f"tlp:{sensitivity}",)


def _split(unit: str) -> tuple[str, str]:
    party, _, name = unit.partition("/")
    return party, name
