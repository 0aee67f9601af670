"""What an agreement leaves open: nothing here keeps it from working; the parties are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from detente.model import Agreement, Charter, Power
from detente.rules.gap import Gap, listed, twice, weak
from detente.rules.grade import SCHEMES

__all__ = ["open_ends"]

_YEAR_MS = 366 * 24 * 3_600_000
#: Schemes of markings that decisions know. Those of the first line always count.
_ALWAYS = frozenset({"noforn", "orcon", "pap", "rel", "statement", "tlp"})
_ENFORCED = _ALWAYS | {"acs", "cise", "europol", "iep"}


def open_ends(agreement: Agreement, _: Mapping[str, Charter]) -> Iterator[Gap]:
    """The warnings about what is not there."""
    yield from _absent(agreement)
    yield from _people(agreement)
    yield from _cheap(agreement)
    yield from _flows(agreement)
    yield from _exempt(agreement)
    yield from _schemes(agreement)
    yield from _dates(agreement)


def _absent(agreement: Agreement) -> Iterator[Gap]:
    if not agreement.legal_basis.strip() and not agreement.treaty.strip():
        yield weak(
            "basis.none",
            "$.legal_basis",
            "Neither a legal basis nor a treaty is named.",
            "Say in legal_basis on what the exchange stands; it is shown with every release.",
        )
    if agreement.onward is None:
        yield weak(
            "onward.none",
            "$.onward",
            "It is not said who else may have what was given.",
            "Say onward with rule none, units or consent, and the words of the parties.",
        )
    if not agreement.excluded_uses:
        yield weak(
            "use.none-excluded",
            "$.excluded_uses",
            "No use is ruled out.",
            "Say in agreed words what nobody may do with what is given.",
        )
    if not any(kind.exempt for kind in agreement.kinds):
        yield weak(
            "kind.none-exempt",
            "$.kinds",
            "No kind is exempt for safety of life: a stop of everything stops that too.",
            "Add a kind with exempt = true, and a rule that gives it.",
        )
    if agreement.notice is None:
        yield weak(
            "notice.none",
            "$.notice",
            "Nobody is told before the term ends or the review is due.",
            'Say notice, such as { end = "90d", review = "90d" }.',
        )
    if agreement.version > 1 and agreement.supersedes is None:
        yield weak(
            "version.supersedes",
            "$.supersedes",
            f"Version {agreement.version} does not name the version that it follows.",
            "Say supersedes with the digest that `detente agreement show` tells of that one.",
        )


def _people(agreement: Agreement) -> Iterator[Gap]:
    for index, member in enumerate(agreement.members):
        for field in ("office", "reach"):
            if not getattr(member.contact, field).strip():
                yield weak(
                    "contact.none",
                    f"$.members[{index}].contact.{field}",
                    f"Who is stopped cannot ask {member.party} why: its contact has no {field}.",
                    "Name an office that answers, and how it is reached; never a person.",
                )
    able = {power.party for power in agreement.powers if "suspend" in power.verbs}
    senders = {one.sender for one in agreement.collections}
    readers = {reader for one in agreement.collections for reader in one.readers}
    bound = [p for p in (m.party for m in agreement.members) if p in readers - senders - able]
    if bound:
        yield weak(
            "power.reader-no-suspend",
            "$.powers",
            f"{listed(bound)} only reads, and cannot suspend what comes to it.",
            'Add a power with verbs = ["suspend"] if it is to be able to.',
        )
    overseen = {one.party for one in agreement.oversight}
    without = [one.party for one in agreement.members if one.party not in overseen]
    if without:
        yield weak(
            "oversight.none",
            "$.oversight",
            f"No body is named that oversees {listed(without)}.",
            "Name it, and say whether it counts as part of the recipient (inside).",
        )
    located = [one.country for one in agreement.members if one.country]
    nowhere = [one.party for one in agreement.members if one.country is None]
    if nowhere and (located or "rel" in agreement.markings):
        yield weak(
            "member.no-country",
            "$.members",
            f"{listed(nowhere)} has no country: what is marked as releasable to countries is not "
            "given to it.",
            "Say country, in three letters (ISO 3166-1 alpha-3).",
        )


def _cheap(agreement: Agreement) -> Iterator[Gap]:
    """Stopping is cheap and widening is dear: who may err should err on the safe side."""
    costs: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for power in agreement.powers:
        for verb in power.verbs:
            costs.setdefault((power.party, verb), []).append(_cost(power))
    cheap = []
    for member in agreement.members:
        stops = costs.get((member.party, "suspend")) or costs.get((member.party, "halt"))
        resumes = costs.get((member.party, "resume"))
        if stops and resumes and min(resumes) <= min(stops):
            cheap.append(member.party)
    if cheap:
        yield weak(
            "power.resume-cheap",
            "$.powers",
            f"To resume takes {listed(cheap)} no more than to suspend.",
            "Ask more signatures for resume, or one of a higher office (including).",
        )


def _cost(power: Power) -> tuple[int, int]:
    return max(power.threshold, len(power.including)), len(power.including)


def _flows(agreement: Agreement) -> Iterator[Gap]:
    busy = {party for one in agreement.collections for party in (one.sender, *one.readers)}
    idle = [one.party for one in agreement.members if one.party not in busy]
    if idle:
        yield weak(
            "member.idle",
            "$.members",
            f"{listed(idle)} neither sends nor reads.",
            "Add a collection, or leave it out.",
        )
    for index, one in enumerate(agreement.collections):
        path = f"$.collections[{index}].readers"
        if not one.readers:
            yield weak("collection.no-reader", path, f"Nobody reads {one.name}.", "Name readers.")
        if one.sender in one.readers:
            yield weak(
                "collection.reads-itself",
                path,
                f"{one.sender} is a reader of {one.name}, which is its own.",
                "Take it out: what is its own it has.",
            )
        for place, reader in twice(one.readers):
            yield weak(
                "collection.reader-twice",
                f"{path}[{place}]",
                f"{reader} is named twice as a reader of {one.name}.",
                "Name it once.",
            )


def _exempt(agreement: Agreement) -> Iterator[Gap]:
    for index, kind in enumerate(agreement.kinds):
        path = f"$.kinds[{index}]"
        waits = {
            "moderated": kind.moderated,
            "evidence": kind.evidence,
            "assurances": bool(kind.assurances),
            "tests": bool(kind.tests),
            "assessed": kind.assessed,
            "grade_least": kind.grade_least is not None,
        }
        for field in (name for name, there in waits.items() if there and kind.exempt):
            yield weak(
                "kind.exempt-waits",
                f"{path}.{field}",
                f"Kind {kind.id} is exempt from stops, and still waits for its {field}.",
                "Take it out: what saves a life should wait for nobody.",
            )
        if kind.fresh_within_ms is not None and kind.held == "release":
            yield weak(
                "kind.stale-released",
                f"{path}.held",
                f"Kind {kind.id} must be fresh, and what was held goes out however old it is.",
                'Say held = "expire" with expire_after, or held = "review".',
            )


def _schemes(agreement: Agreement) -> Iterator[Gap]:
    for index, scheme in enumerate(agreement.markings):
        if scheme not in _ENFORCED:
            yield weak(
                "marking.not-enforced",
                f"$.markings[{index}]",
                f"Nobody enforces markings of {scheme}: what carries one is held all the same.",
                f"Use one of {', '.join(sorted(_ENFORCED - _ALWAYS))}, or take it out.",
            )
    for index, scheme in enumerate(agreement.grades):
        if scheme not in SCHEMES:
            yield weak(
                "grade.not-compared",
                f"$.grades[{index}]",
                f"Grades of {scheme} can be carried, never compared.",
                f"Known are {', '.join(sorted(SCHEMES))}.",
            )
    for index, language in twice((agreement.language, *agreement.languages)):
        yield weak(
            "language.twice",
            f"$.languages[{index - 1}]",
            f"Language {language} is named twice.",
            "Say under languages only what the text is translated into.",
        )


def _dates(agreement: Agreement) -> Iterator[Gap]:
    if agreement.review_ms - agreement.from_ms > 5 * _YEAR_MS:
        yield weak(
            "term.no-review",
            "$.review",
            "It is not reviewed within five years.",
            "Let review come sooner; data rules of most parties ask for it.",
        )
    notice = agreement.notice
    if notice is None:
        return
    for field, span in (("end", notice.end_ms), ("review", notice.review_ms)):
        if span >= agreement.until_ms - agreement.from_ms:
            yield weak(
                "notice.too-long",
                f"$.notice.{field}",
                "The notice is as long as the term: it would be told from the first day.",
                "Make it shorter.",
            )
