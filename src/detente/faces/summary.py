"""Summary: an agreement in words that fit on one screen, for whoever is asked to sign it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from detente.model import Agreement, Kind
from detente.rules.times import span_text, time_text

__all__ = ["summary"]

_NAMED_MAX = 8
_ONWARD = {
    "none": "to nobody",
    "units": "to other units of the same party",
    "consent": "with consent of the originator",
}


def summary(agreement: Agreement, digest: str, signatures: int) -> Iterator[str]:
    """Its lines, in the order in which one asks: what, on what, until when, who, what flows, on
    which conditions, for what, and who may do what. Long lists say how many more there are; the
    whole is in the document."""
    mark = "EXERCISE  " if agreement.exercise else ""
    yield f"{mark}Agreement {agreement.id}, version {agreement.version}: {agreement.title}"
    yield _line("digest", f"{digest}, {signatures} signatures")
    yield _line("stands on", "; ".join(t for t in (agreement.legal_basis, agreement.treaty) if t))
    yield _line("term", f"{time_text(agreement.from_ms)} to {time_text(agreement.until_ms)}")
    yield _line("review", time_text(agreement.review_ms) + _notice(agreement))
    yield _line("language", f"{agreement.language} counts; also {_few(agreement.languages)}")
    for number, member in enumerate(agreement.members[:_NAMED_MAX]):
        words = f"{member.party} ({_few(member.units)})"
        words += f", {member.country}" if member.country else ""
        words += f"; ask {member.contact.office}, {member.contact.reach}"
        yield _line("" if number else "members", words)
    if len(agreement.members) > _NAMED_MAX:
        yield _line("", f"and {len(agreement.members) - _NAMED_MAX} more")
    for number, one in enumerate(agreement.collections[:_NAMED_MAX]):
        words = f"{one.name}: {one.sender} to {_few(one.readers)}"
        yield _line("" if number else "flows", words)
    if len(agreement.collections) > _NAMED_MAX:
        yield _line("", f"and {len(agreement.collections) - _NAMED_MAX} more")
    for number, kind in enumerate(agreement.kinds):
        yield _line("" if number else "kinds", f"{kind.id} {kind.title}: {_demands(kind)}")
    yield _line("limits", _limits(agreement))
    yield _line("purposes", _few([one.id for one in agreement.purposes]))
    for field, name in (("permitted_uses", "permitted"), ("excluded_uses", "excluded")):
        for number, use in enumerate(getattr(agreement, field)):
            yield _line("" if number else name, f"{use.id} {use.text}")
    for number, template in enumerate(agreement.assurances):
        words = f"{template.id} {template.text} (for {span_text(template.valid_max_ms)} at most)"
        yield _line("" if number else "assurances", words)
    onward = agreement.onward
    yield _line(
        "onward", "not said" if onward is None else f"{_ONWARD[onward.rule]}. {onward.text}"
    )
    bodies = [f"{b.party}: {b.body}{' (inside)' if b.inside else ''}" for b in agreement.oversight]
    yield _line("oversight", _few(bodies))
    yield from _powers(agreement)


def _line(name: str, words: str) -> str:
    return f"  {name:12}{words}"


def _few(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_MAX
    listed = ", ".join(names[:_NAMED_MAX]) or "none"
    return f"{listed} and {more} more" if more > 0 else listed


def _notice(agreement: Agreement) -> str:
    notice = agreement.notice
    if notice is None:
        return "; nobody is told before"
    spans = (("end", notice.end_ms), ("review", notice.review_ms), ("amendment", notice.amend_ms))
    return "; told before: " + ", ".join(f"{name} {span_text(ms)}" for name, ms in spans)


def _demands(kind: Kind) -> str:
    """What becomes of a kind that is held, and what is asked of an item of it."""
    held = f"{kind.held} when the flow goes on"
    if kind.expire_after_ms is not None:
        held = f"expires after {span_text(kind.expire_after_ms)} in hold"
    said = [
        (kind.exempt, "EXEMPT from stops"),
        (kind.moderated, "each item reviewed"),
        (kind.assurances, f"assured {_few(kind.assurances)}"),
        (kind.tests, f"test {_few(kind.tests)}"),
        (kind.minimise, f"minimised {_few(kind.minimise)}"),
        (kind.assessed, "recipient assessed"),
        (kind.evidence, "with evidence"),
        (kind.nature, "fact or assessment said"),
        (kind.grade_least, f"graded {kind.grade_least} or better"),
        (kind.fresh_within_ms, f"seen within {span_text(kind.fresh_within_ms or 0)}"),
        (kind.bulk_max, f"at most {kind.bulk_max} at once"),
        (kind.tlp_max, f"at most tlp:{kind.tlp_max}"),
        (kind.references != "keep", f"references: {kind.references}"),
    ]
    return "; ".join([held, *(words for there, words in said if there)])


def _limits(agreement: Agreement) -> str:
    said = [
        (True, f"at most tlp:{agreement.tlp_max}"),
        (agreement.pap_max, f"at most pap:{agreement.pap_max}"),
        (agreement.markings, f"markings understood: {_few(agreement.markings)}"),
        (agreement.purpose_required, "purpose required"),
        (agreement.grade_required, "grade required"),
        (agreement.grades, f"grades that count: {_few(agreement.grades)}"),
        (agreement.read_back, "what lets anything go is read back first"),
        (agreement.preview, "what lets anything go is previewed first"),
        (agreement.second_person, "a second person sees what is derived"),
    ]
    return "; ".join(words for there, words in said if there)


def _powers(agreement: Agreement) -> Iterator[str]:
    """Parties with the same powers are told together."""
    ways: dict[str, list[str]] = {}
    for power in agreement.powers:
        need = max(power.threshold, len(power.including))
        words = f"{need} of {_few(power.offices)}"
        words += f", among them {_few(power.including)}" if power.including else ""
        if power.duration_max_ms is not None:
            words += f", for {span_text(power.duration_max_ms)} at most"
        if power.until_ms is not None:
            words += f", until {time_text(power.until_ms)}"
        ways.setdefault(f"{', '.join(power.verbs)}: {words}", []).append(power.party)
    for number, (words, parties) in enumerate(ways.items()):
        yield _line("" if number else "powers", f"{words} ({_few(parties)})")
    for number, one in enumerate(agreement.delegations):
        words = f"{one.to} for {one.office} of {one.party} to {', '.join(one.verbs)}"
        span = f"from {time_text(one.from_ms)} until {time_text(one.until_ms)}"
        yield _line("" if number else "stand-ins", f"{words}, {span}")
