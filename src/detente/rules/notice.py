"""Notice: what people are to be told in time of the agreement itself: its end, its next version,
its review. It decides nothing: at the end of the term everything is held, told or not (R31)."""

from __future__ import annotations

from detente.model import Agreement, Notice
from detente.rules.standing import Standing
from detente.rules.times import time_text

__all__ = ["notices"]


def notices(standing: Standing) -> tuple[str, ...]:
    """What is to be told at the standing's instant, most pressing first.

    What has happened is told without end; what is to come from the agreement's notice on. A next
    version that begins before the present one ends takes the place of the end.
    """
    agreement, at_ms = standing.agreement, standing.at_ms
    if agreement is None:
        return ()
    notice = agreement.notice or Notice()
    coming = standing.newest
    if coming is not None and not (coming.version > agreement.version and coming.from_ms > at_ms):
        coming = None
    if not standing.agreement_in_force:
        return (_out_of_force(agreement, at_ms), *_begins(coming))
    follows = coming is not None and coming.from_ms <= agreement.until_ms
    ends_ms = coming.from_ms if coming is not None and follows else agreement.until_ms
    found = []
    if coming is not None and follows:
        if at_ms >= ends_ms - notice.amend_ms:
            found.append(f"Version {coming.version} takes over at {time_text(ends_ms)}.")
    elif at_ms >= ends_ms - notice.end_ms:
        found.append(
            f"The term ends at {time_text(ends_ms)}; everything is held from then on, unless a "
            "newer version has begun."
        )
        found += _begins(coming)
    if at_ms >= agreement.review_ms:
        found.append(f"The review was due by {time_text(agreement.review_ms)}.")
    elif agreement.review_ms < ends_ms and at_ms >= agreement.review_ms - notice.review_ms:
        found.append(f"The review is due by {time_text(agreement.review_ms)}.")
    return tuple(found)


def _out_of_force(agreement: Agreement, at_ms: int) -> str:
    if at_ms < agreement.from_ms:
        return f"It begins at {time_text(agreement.from_ms)}; everything is held until then."
    return f"The term ended at {time_text(agreement.until_ms)}; everything is held."


def _begins(coming: Agreement | None) -> list[str]:
    if coming is None:
        return []
    return [f"Version {coming.version} begins at {time_text(coming.from_ms)}."]
