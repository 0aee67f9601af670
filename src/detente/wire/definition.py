"""Marking definitions: what an object of type ``marking-definition`` says.

One definition may say several things (a FIRST Information Exchange Policy has a TLP), in its
``definition``, in extensions, or in what OpenCTI and MISP put in their place; all of it counts.
Whatever in it is not understood makes it a marking that is not known as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from detente.errors import Invalid
from detente.rules.caveats import MarkingText
from detente.rules.markings import PAP_LEVELS, TLP_LEVELS
from detente.wire.control import CONTROL, read_control
from detente.wire.json import load_object
from detente.wire.stix import is_id
from detente.wire.tags import IEP_CONDITIONS, is_uuid, level_of, read_tag, time_ms, unknown_name

__all__ = ["ACS", "FIXED_IDS", "IEP", "PAP", "TLP", "Meaning", "read_definition", "texts_of"]

#: FIRST TLP 2.0, PAP, FIRST IEP 2.0 and ACS 3.0 as OASIS common objects.
TLP: Final = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"
PAP: Final = "extension-definition--f8d78575-edfd-406e-8e84-6162a8450f5b"
IEP: Final = "extension-definition--762e2e97-ee51-43e5-a9ea-165fbb862c4a"
ACS: Final = "extension-definition--3a65884d-005a-4290-8335-cb2d778a83ce"
#: The Admiralty scale as markings (dogesec): grades, not restrictions.
_RELIABILITY: Final = "extension-definition--cdb5a8fd-b8df-4a7a-ae21-a07fed723797"
_CREDIBILITY: Final = "extension-definition--88c675ee-098f-4502-8108-5167d24a5e11"

#: Ids with a fixed meaning, whatever a definition of that id says: TLP 1.0 (STIX 2.1, 7.2.1.4; it
#: has no clear and no amber+strict), TLP 2.0 and PAP.
FIXED_IDS: Final = {
    "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": "tlp:clear",
    "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": "tlp:green",
    "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": "tlp:amber",
    "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": "tlp:red",
    "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487": "tlp:clear",
    "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb": "tlp:green",
    "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421": "tlp:amber",
    "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003": "tlp:amber+strict",
    "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1": "tlp:red",
    "marking-definition--a3bea94c-b469-41dc-9cfe-d6e7daba7730": "pap:clear",
    "marking-definition--ad15a0cd-55b6-4588-a14c-a66105329b92": "pap:clear",
    "marking-definition--c43594d1-4b11-4c59-93ab-1c9b14d53ce9": "pap:green",
    "marking-definition--60f8932b-e51e-4458-b265-a2e8be9a80ab": "pap:amber",
    "marking-definition--740d36e5-7714-4c30-961a-3ae632ceee0e": "pap:red",
}

#: Characters of a text that is shown; what is longer is cut, and says so.
TEXT_MAX: Final = 20_000


class Meaning(msgspec.Struct, frozen=True):
    """What a definition says: names of markings with their words, and the two halves of a grade in
    the Admiralty scale (empty if it is none)."""

    names: tuple[str, ...] = ()
    texts: tuple[MarkingText, ...] = ()
    reliability: str = ""
    credibility: str = ""


class _Reading:
    """One definition as it is read; what is said adds up."""

    def __init__(self, marking_id: str, at_ms: int | None) -> None:
        self.id, self.at_ms = marking_id, at_ms
        self.names: list[str] = []
        self.texts: list[MarkingText] = []
        self.reliability = self.credibility = ""

    def say(self, name: str, text: str = "") -> None:
        self.names.append(name)
        if text.strip():
            self.texts.append(MarkingText(marking=name, text=_short(text)))

    def unknown(self) -> None:
        self.names.append(self.unknown_name)

    @property
    def unknown_name(self) -> str:
        return f"unknown:{self.id}" if is_id(self.id) else unknown_name("")

    def tag(self, text: str) -> bool:
        """Take in a text that may be a tag; False if it is none."""
        names = read_tag(text, self.at_ms)
        self.names += names
        return bool(names)


def read_definition(marking_id: str, raw: bytes | None, at_ms: int | None) -> Meaning:
    """What a definition says at a time; at any time if none is given, as for its words.

    Never raises: what is not there, cannot be read, or is no marking definition of that id is a
    marking that is not known.
    """
    if marking_id in FIXED_IDS:
        return Meaning((FIXED_IDS[marking_id],))
    reading = _Reading(marking_id, at_ms)
    try:
        value = load_object(raw) if raw is not None else {}
    except Invalid:
        value = {}
    if value.get("type") != "marking-definition" or value.get("id") != marking_id:
        return Meaning((reading.unknown_name,))
    _classic(reading, value)
    _foreign(reading, value)
    extensions = value.get("extensions", {})
    if not isinstance(extensions, dict):
        reading.unknown()
        extensions = {}
    for name, inner in extensions.items():
        reader = _EXTENSIONS.get(name)
        is_known = reader is not None and isinstance(inner, dict) and reader(reading, inner)
        if not is_known or inner.get("extension_type") != "property-extension":
            reading.unknown()
    if not (reading.names or reading.reliability or reading.credibility):
        reading.unknown()
    return Meaning(
        tuple(dict.fromkeys(reading.names)),
        tuple(reading.texts),
        reading.reliability,
        reading.credibility,
    )


def texts_of(marking_id: str, raw: bytes | None) -> tuple[MarkingText, ...]:
    """The words of a definition that a person has to see, by name of the marking; of one that is
    not understood all that it says, as it is written."""
    meaning = read_definition(marking_id, raw, None)
    unread = next((name for name in meaning.names if name.startswith("unknown:")), None)
    written = _as_written(raw) if unread is not None and raw is not None else ""
    if unread is None or not written:
        return meaning.texts
    return (*meaning.texts, MarkingText(marking=unread, text=_short(written)))


def _as_written(raw: bytes) -> str:
    try:
        value = load_object(raw)
    except Invalid:
        return ""
    said = (value.get("name"), value.get("definition"), value.get("extensions"))
    parts = [
        one if isinstance(one, str) else msgspec.json.encode(one, order="sorted").decode()
        for one in said
        if one
    ]
    return " ".join(parts)


def _classic(reading: _Reading, value: dict[str, Any]) -> None:
    """``definition_type`` with ``definition`` (STIX 2.1, 7.2.1). A statement that is nothing but a
    tag is that marking too: so MISP's converter writes tags that STIX has no marking for."""
    kind, definition = value.get("definition_type"), value.get("definition")
    if kind is None and definition is None:
        return
    scheme = kind.strip().lower() if isinstance(kind, str) else ""
    if definition is None and reading.tag(scheme):
        return
    said = ""
    if isinstance(definition, dict) and len(definition) == 1:
        ((key, inner),) = definition.items()
        said = inner if isinstance(inner, str) and key.lower() == scheme else ""
    if scheme == "statement" and said.strip():
        reading.say(f"statement:{reading.id}", said)
        reading.tag(said)
    elif scheme in ("pap", "tlp") and said:
        tagged = said if ":" in said else f"{scheme}:{said}"
        if not reading.tag(tagged):
            reading.unknown()
    else:
        reading.unknown()


def _foreign(reading: _Reading, value: dict[str, Any]) -> None:
    """What tools say beside the standard. OpenCTI writes markings that STIX 2.1 does not have as
    statements, and what they are in properties of its own; any tool may say it in the name."""
    name = value.get("name")
    if isinstance(name, str):
        reading.tag(name)
    kind = value.get("x_opencti_definition_type")
    said = value.get("x_opencti_definition")
    if (kind is None and said is None) or (isinstance(kind, str) and kind.lower() == "statement"):
        return
    if not (isinstance(said, str) and reading.tag(said)):
        reading.unknown()


def _tlp(reading: _Reading, inner: dict[str, Any]) -> bool:
    return _level(reading, inner, "tlp_2_0", "tlp", TLP_LEVELS)


def _pap(reading: _Reading, inner: dict[str, Any]) -> bool:
    return _level(reading, inner, "pap", "pap", PAP_LEVELS)


def _level(
    reading: _Reading, inner: dict[str, Any], key: str, scheme: str, levels: tuple[str, ...]
) -> bool:
    said = inner.get(key)
    level = level_of(said, levels) if isinstance(said, str) else None
    if level is None or set(inner) != {"extension_type", key}:
        return False
    reading.say(f"{scheme}:{level}")
    return True


_IEP_WORDS: Final = ("description", "policy_name", "name", "external_reference")
_IEP_KEYS: Final = frozenset(
    {
        *(condition.replace("-", "_") for condition in IEP_CONDITIONS),
        *_IEP_WORDS,
        "end_date",
        "extension_type",
        "external_references",
        "iep_id",
        "iep_version",
        "start_date",
        "tlp",
        "tlp_ref",
    }
)


def _iep(reading: _Reading, inner: dict[str, Any]) -> bool:
    """FIRST IEP 2.0. Its own published examples lack what its schema requires, so what is there is
    checked, and of what is not only the id and the version are required. Outside its dates it is
    a marking that is not known."""
    iep_id = inner.get("iep_id")
    if not (isinstance(iep_id, str) and is_uuid(iep_id.lower())):
        return False
    if inner.get("iep_version") not in (2, "2.0") or not inner.keys() <= _IEP_KEYS:
        return False
    words = [inner[key] for key in _IEP_WORDS if isinstance(inner.get(key), str)]
    is_known = True
    for condition, values in IEP_CONDITIONS.items():
        said = inner.get(condition.replace("-", "_"))
        if said is not None:
            is_known = is_known and isinstance(said, str) and said in values
            words.append(f"{condition.replace('-', ' ').capitalize()}: {said}.")
    for key in ("start_date", "end_date"):
        if key in inner:
            time = time_ms(inner[key]) if isinstance(inner[key], str) else None
            words.append(f"{key.replace('_', ' ').capitalize()}: {inner[key]}.")
            is_known = is_known and time is not None and not _outside(reading.at_ms, key, time)
    is_known = _iep_tlp(reading, inner) and is_known  # the TLP counts either way
    if is_known:
        reading.say(f"iep:{iep_id.lower()}", " ".join(words))
    return is_known


def _iep_tlp(reading: _Reading, inner: dict[str, Any]) -> bool:
    """The TLP of an IEP, by its colour or by the id of a definition of fixed meaning."""
    said, ref = inner.get("tlp"), inner.get("tlp_ref")
    level = level_of(said, TLP_LEVELS) if isinstance(said, str) else None
    fixed = FIXED_IDS.get(ref, "") if isinstance(ref, str) else ""
    if level is not None:
        reading.say(f"tlp:{level}")
    if fixed.startswith("tlp:"):
        reading.say(fixed)
    return (said is None or level is not None) and (ref is None or fixed.startswith("tlp:"))


def _outside(at_ms: int | None, key: str, time: int) -> bool:
    if at_ms is None:
        return False
    return time > at_ms if key == "start_date" else time <= at_ms


def _acs(reading: _Reading, inner: dict[str, Any]) -> bool:
    """ACS 3.0 is shown, not interpreted."""
    said = {key: one for key, one in inner.items() if key != "extension_type"}
    if not said:
        return False
    reading.say(f"acs:{reading.id}", msgspec.json.encode(said, order="sorted").decode())
    return True


def _control(reading: _Reading, inner: dict[str, Any]) -> bool:
    found = read_control(inner)
    if found is None:
        return False
    names, texts = found
    reading.names += names
    reading.texts += texts
    return True


def _grade_half(inner: dict[str, Any], key: str, values: str) -> str:
    said = inner.get(key)
    return said if isinstance(said, str) and len(said) == 1 and said in values else ""


def _reliability(reading: _Reading, inner: dict[str, Any]) -> bool:
    reading.reliability = _grade_half(inner, "admiralty_source_reliability", "ABCDEF")
    return bool(reading.reliability)


def _credibility(reading: _Reading, inner: dict[str, Any]) -> bool:
    key = "admiralty_information_credibility"
    reading.credibility = _grade_half(inner, key, "123456")
    return bool(reading.credibility)


_EXTENSIONS: Final[dict[str, Callable[[_Reading, dict[str, Any]], bool]]] = {
    ACS: _acs,
    CONTROL: _control,
    IEP: _iep,
    PAP: _pap,
    TLP: _tlp,
    _CREDIBILITY: _credibility,
    _RELIABILITY: _reliability,
}


def _short(text: str) -> str:
    if len(text) <= TEXT_MAX:
        return text
    return f"{text[:TEXT_MAX]} … ({len(text) - TEXT_MAX} characters more in the definition)"
