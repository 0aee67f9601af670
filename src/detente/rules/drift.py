"""Drift: has what an order would do changed since its signers saw it (R6)?

A little more or less of the same is no other order; another order on the flow, a flow that would
stand otherwise, or counts that are far off are.
"""

from __future__ import annotations

from collections import Counter

from detente.model import Effect, OtherOrder

__all__ = ["MARGIN_ITEMS", "MARGIN_PERCENT", "drifted"]

#: Counts of a kind may differ by so many items, or by so much of what was foreseen.
MARGIN_ITEMS = 10
MARGIN_PERCENT = 10


def drifted(foreseen: Effect, now: Effect) -> tuple[str, ...]:
    """What differs past the margin, in words, most telling first; none if the order would still do
    what its signers saw."""
    found = [
        f"{one.issuer} {one.directive} ({one.verb}) stands on the same flow"
        for one in now.others
        if one.then == "stays"
        and one.same_flow
        and not any(_same(one, old) for old in foreseen.others)
    ]
    found += [
        f"{one.issuer} {one.directive} ({one.verb}) stands there no more"
        for one in foreseen.others
        if one.same_flow and not any(_same(one, new) for new in now.others)
    ]
    before = {(f.collection, f.recipients, f.kind): f.after for f in foreseen.flows}
    for flow in now.flows:
        was = before.get((flow.collection, flow.recipients, flow.kind))
        if was is not None and was != flow.after:
            found.append(f"{flow.kind} in {flow.collection} would be {flow.after}, not {was}")
    old, new = _counts(foreseen), _counts(now)
    for place in sorted({*old, *new}):
        if abs(new[place] - old[place]) > max(MARGIN_ITEMS, old[place] * MARGIN_PERCENT // 100):
            kind, state = place
            found.append(f"{new[place]} items of {kind} would be {state}, not {old[place]}")
    return tuple(found)


def _same(one: OtherOrder, other: OtherOrder) -> bool:
    return (one.issuer, one.directive) == (other.issuer, other.directive)


def _counts(effect: Effect) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for one in effect.moves:
        counts[one.kind, one.after] += one.count
    return counts
