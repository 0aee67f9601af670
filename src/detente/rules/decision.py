"""Decision: may an item of this handling go to this party now?

One pure function of the standing and the handling. It is asked once per handling
and standing, never per item. Release, hold or refuse, each with coded reasons that name their
source; an item that waits for nothing but a person's eye is moderated: held, until an office
releases this very one. Unknown, unverifiable or failed means hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from hashlib import sha256
from typing import Literal

import msgspec
from msgspec.structs import replace

from detente.model import Agreement, Cell, Collection, Handling, Kind, Scope, covers
from detente.model.scope import ANY
from detente.rules.demands import unmet
from detente.rules.markings import TLP_LEVELS, marking_holds
from detente.rules.reason import Reason
from detente.rules.releasability import Named
from detente.rules.standing import Order, Promise, Standing

__all__ = ["TLP_LEVELS", "Decision", "Outcome", "Reason", "decide", "likeness"]

_DIRECTIVE = "directive "
#: Hexadecimal digits of the mark of a reason: a feed keeps one for each reviewed item and reason.
MARK_CHARS = 16
#: ``moderate``: nothing stands in the way but what a person may pass for a single item.
Outcome = Literal["hold", "moderate", "refuse", "release"]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome with its reasons; ``orders`` and ``assurances`` are those it stands on."""

    outcome: Outcome
    reasons: tuple[Reason, ...]
    orders: tuple[str, ...] = ()
    assurances: tuple[str, ...] = ()

    @property
    def grounds(self) -> frozenset[str]:
        """What a person has to pass where the item is moderated: a mark for each reason, of its
        code and source, and of how often it is given. A review holds for these and no others.
        Words are left out, for they name the recipient."""
        if self.outcome != "moderate":
            return frozenset()
        times: Counter[tuple[str, str]] = Counter()
        found = set()
        for reason in self.reasons:
            times[reason.code, reason.source] += 1
            mark = f"{reason.code}\n{reason.source}\n{times[reason.code, reason.source]}"
            found.add(sha256(mark.encode()).hexdigest()[:MARK_CHARS])
        return frozenset(found)


def decide(standing: Standing, handling: Handling, *, sender: str, recipient: str) -> Decision:
    """Decide for items of ``handling`` that ``sender`` would give to ``recipient``, whichever way
    they would leave: who fetches, is sent to, or is shown is stopped alike.

    Strongest outcome first: what the agreement rules out is refused; what is not in force,
    unknown or stopped is held; what is conditioned waits for its assurance; the rest is
    released. A party's own copy is its own: recipient and sender the same is released.
    """
    if sender == recipient:
        return Decision(
            outcome="release",
            reasons=(Reason(code="own", source=f"party {sender}", words="The party's own item."),),
        )
    agreement = standing.agreement
    if agreement is None or not standing.agreement_in_force:
        return Decision(outcome="hold", reasons=(_not_in_force(standing),))
    refusals = _refusals(agreement, handling, sender, recipient)
    if refusals:
        return Decision(outcome="refuse", reasons=refusals)
    holds = marking_holds(agreement, handling, sender, recipient)
    kind = agreement.kind(handling.kind)
    holds += unmet(agreement, kind, handling) if kind else ()
    holds += _references(standing, handling, sender, recipient)
    holds += _unassessed(standing, agreement, kind, (sender, recipient)) if kind else ()
    stops = _stopping(standing, agreement, handling, (sender, recipient))
    holds += tuple(_stop_reason(order) for order in stops)
    moderators = _moderating(standing, agreement, handling, (sender, recipient))
    holds += tuple(_review_reason(order) for order in moderators)
    conditions = _conditions(standing, handling, (sender, recipient))
    missing = tuple(reason for reason, promise in conditions if promise is None)
    if holds or missing:
        against = holds + missing
        return Decision(
            outcome="moderate" if all(one.review for one in against) else "hold",
            reasons=against,
            orders=tuple(dict.fromkeys(one.directive.id for one in (*stops, *moderators))),
        )
    return _released(standing, agreement, handling, (sender, recipient), conditions)


def _released(
    standing: Standing,
    agreement: Agreement,
    handling: Handling,
    way: tuple[str, str],
    conditions: list[tuple[Reason, Promise | None]],
) -> Decision:
    """A release, with what it stands on: every condition has its promise."""
    reasons = [
        Reason(
            code="agreement",
            source=f"agreement {agreement.id}",
            words=f"Agreement {agreement.id} is in force and covers kind {handling.kind}.",
        )
    ]
    kind = agreement.kind(handling.kind)
    reasons += _exempted(standing, kind, handling, way)
    reasons += [reason for reason, _ in conditions]
    return Decision(
        outcome="release",
        reasons=tuple(reasons),
        orders=tuple(
            dict.fromkeys(
                reason.source.removeprefix(_DIRECTIVE)
                for reason, _ in conditions
                if reason.source.startswith(_DIRECTIVE)
            )
        ),
        assurances=tuple(dict.fromkeys(p.assurance.id for _, p in conditions if p is not None)),
    )


def likeness(
    standing: Standing, collection: str, named: Named, *, sender: str, recipient: str
) -> Hashable:
    """All of a recipient that ``decide`` looks at, for handlings of one collection whose markings
    name no more than ``named``: two that are alike get the same outcome and grounds from the same
    sender. So a thousand readers of whom the orders speak alike are decided once, and an order is
    not late for being about many."""
    terms = standing.agreement
    read = terms.collection(collection) if terms else None
    return (
        recipient == sender,
        read is not None and recipient in read.readers,
        terms is not None and terms.member(recipient) is not None,
        _assessed(standing, sender, recipient),
        named.facts(terms, recipient),
        tuple(
            (
                order.directive.issuer == recipient,
                tuple(box.party.has(recipient) for box in (*order.stops, *order.moderates)),
                tuple(one.scope.party.has(recipient) for one in order.conditions),
            )
            for order in standing.orders
        ),
        _promised(standing, recipient, sender),
        _promised(standing, sender, recipient),
    )


def _promised(standing: Standing, giver: str, holder: str) -> frozenset[Hashable]:
    """What one has assured the other: the words, and for what; by which papers changes no outcome,
    so that a thousand givers of the same are alike."""
    return frozenset(
        (one.assurance.template, one.assurance.kinds, one.assurance.purposes)
        for one in standing.promises
        if (one.assurance.giver, one.assurance.holder) == (giver, holder)
    )


def _not_in_force(standing: Standing) -> Reason:
    agreement = standing.agreement
    if agreement is None:
        remedy = "All parties sign an agreement, and it is imported."
    elif standing.at_ms < agreement.from_ms:
        remedy = f"None needed: the term of {agreement.id} has not begun."
    else:
        remedy = f"All parties sign a new version of {agreement.id}: its term is over."
    return Reason(
        code="agreement.not-in-force",
        source=f"agreement {agreement.id}" if agreement else "agreement",
        words="No agreement is in force.",
        remedy=remedy,
    )


def _refusals(
    agreement: Agreement, handling: Handling, sender: str, recipient: str
) -> tuple[Reason, ...]:
    source = f"agreement {agreement.id}"
    collection: Collection | None = agreement.collection(handling.collection)
    found = []
    if (
        collection is None
        or collection.sender != sender
        or recipient not in collection.readers
        or agreement.member(recipient) is None
    ):
        found.append(
            Reason(
                code="outside-agreement",
                source=source,
                words=f"{recipient} is no reader of collection {handling.collection}.",
                rests=(f"collection {handling.collection}",),
                remedy=f"All parties sign a version of {agreement.id} in which {sender} sends "
                f"{handling.collection} and {recipient} reads it.",
            )
        )
    if agreement.kind(handling.kind) is None:
        found.append(
            Reason(
                code="outside-agreement",
                source=source,
                words=f"Kind {handling.kind} is not in the agreement.",
                remedy="Publish a version as a kind of the agreement, or all parties sign a "
                f"version of {agreement.id} that has {handling.kind}.",
            )
        )
    return (*found, *_lacking(agreement, handling))


def _lacking(agreement: Agreement, handling: Handling) -> tuple[Reason, ...]:
    """What the agreement wants said of every item, and is not said of this one (R34)."""
    source = f"agreement {agreement.id}"
    found = []
    if agreement.purpose_required and handling.purpose is None:
        found.append(
            Reason(
                code="purpose.missing",
                source=source,
                words="No purpose is stated.",
                remedy=f"Publish a version with a purpose among {_purposes(agreement)}.",
            )
        )
    elif handling.purpose is not None and not any(
        purpose.id == handling.purpose for purpose in agreement.purposes
    ):
        found.append(
            Reason(
                code="purpose.excluded",
                source=source,
                words=f"Purpose {handling.purpose} is not one of the agreement's.",
                remedy=f"Publish a version with a purpose among {_purposes(agreement)}.",
            )
        )
    if agreement.grade_required and handling.grade is None:
        found.append(
            Reason(
                code="grade.missing",
                source=source,
                words="No grade is given.",
                remedy="Publish a version with a grade (scheme:value, such as admiralty:B2).",
            )
        )
    return tuple(found)


def _purposes(agreement: Agreement) -> str:
    return ", ".join(purpose.id for purpose in agreement.purposes)


def _references(
    standing: Standing, handling: Handling, sender: str, recipient: str
) -> tuple[Reason, ...]:
    """What the item refers to that is not given to the recipient, or of which nothing is known: by
    its own handling, each would have to be released. What it refers to in turn stands beside it,
    so this goes one step deep."""
    kind = standing.agreement.kind(handling.kind) if standing.agreement else None
    if kind is None or kind.references != "hold":
        return ()
    found = []
    for one in handling.refers:
        other = handling.referred(one)
        if other is None:
            found.append(
                Reason(
                    code="reference.unknown",
                    source=f"collection {handling.collection}",
                    words="It refers to an object of which nothing is known here.",
                    remedy="An office with the power to review releases this item.",
                    review=True,
                )
            )
            continue
        outcome = decide(standing, other, sender=sender, recipient=recipient).outcome
        if outcome != "release":
            found.append(
                Reason(
                    code="reference.held",
                    source=f"kind {other.kind}",
                    words=f"It refers to a {other.stix_type} of kind {other.kind} "
                    f"that {recipient} is not given.",
                    remedy="It goes once that object may go.",
                    # Each of those is seen by a person, and so is what refers to them.
                    review=outcome == "moderate",
                )
            )
    return tuple(found)


def _seen_by(order: Order, handling: Handling, way: tuple[str, str]) -> tuple[Cell, ...]:
    """The cells of this flow from the standpoint of the order's issuer; none if it is neither
    sender nor recipient, for a party orders its own sending and receiving only (R24)."""
    sender, recipient = way
    # Which way out is asked makes no difference: an order's boxes hold for all (``standing``).
    if order.directive.issuer == sender:
        return handling.cells(party=recipient, direction="out", act="pull")
    if order.directive.issuer == recipient:
        return handling.cells(party=sender, direction="in", act="pull")
    return ()


def _stopping(
    standing: Standing, agreement: Agreement, handling: Handling, way: tuple[str, str]
) -> tuple[Order, ...]:
    """Orders that stop every item of this handling."""
    return _covering(standing, agreement, handling, way, lambda order: order.stops)


def _moderating(
    standing: Standing, agreement: Agreement, handling: Handling, way: tuple[str, str]
) -> tuple[Order, ...]:
    """Orders under which a person decides each item of this handling."""
    return _covering(standing, agreement, handling, way, lambda order: order.moderates)


def _covering(
    standing: Standing,
    agreement: Agreement,
    handling: Handling,
    way: tuple[str, str],
    boxes: Callable[[Order], Iterable[Scope]],
) -> tuple[Order, ...]:
    """Orders of which some of these boxes cover the handling. A kind exempt for safety of life is
    covered only where it is named outright (R28)."""
    kind = agreement.kind(handling.kind)
    exempt = kind is not None and kind.exempt
    return tuple(
        order
        for order in standing.orders
        if any(
            covers(box, cell)
            for cell in _seen_by(order, handling, way)
            for box in boxes(order)
            if not exempt or order.directive.scope.kind.names(handling.kind)
        )
    )


def _passed_by(standing: Standing, handling: Handling, way: tuple[str, str]) -> tuple[Order, ...]:
    """Orders that would stop the item if it were of another kind: what it is exempt from."""
    return tuple(
        order
        for order in standing.orders
        if any(
            covers(replace(stop, kind=ANY), cell)
            for cell in _seen_by(order, handling, way)
            for stop in (*order.stops, *order.moderates)
        )
    )


def _exempted(
    standing: Standing, kind: Kind | None, handling: Handling, way: tuple[str, str]
) -> list[Reason]:
    if kind is None or not kind.exempt:
        return []
    return [
        Reason(
            code="exempt",
            source=f"directive {order.directive.id}",
            words=f"Exempt: {kind.title}; {order.directive.id} stops other kinds.",
        )
        for order in _passed_by(standing, handling, way)
    ]


def _conditions(
    standing: Standing, handling: Handling, way: tuple[str, str]
) -> list[tuple[Reason, Promise | None]]:
    """Each condition that covers the handling, with the promise that meets it or None."""
    sender, recipient = way
    giver_of = {sender: recipient, recipient: sender}
    kind = standing.agreement.kind(handling.kind) if standing.agreement else None
    exempt = kind is not None and kind.exempt
    found = _agreed_conditions(standing, handling, way)
    for order in standing.orders:
        cells = _seen_by(order, handling, way)
        for condition in order.conditions:
            if not any(covers(condition.scope, cell) for cell in cells):
                continue
            # What passes a full stop must pass a condition too: safety of life waits for an
            # assurance only where it is named outright (R28).
            if exempt and not condition.scope.kind.names(handling.kind):
                continue
            giver = giver_of[order.directive.issuer]
            promise = _promise(
                standing, condition.template, (giver, order.directive.issuer), handling
            )
            source = f"directive {order.directive.id}"
            found.append(_assured(source, condition.template, giver, handling, promise))
    return found


def _unassessed(
    standing: Standing, agreement: Agreement, kind: Kind, way: tuple[str, str]
) -> tuple[Reason, ...]:
    """What lacks an assessment of the recipient, where the kind is given on one only (R32). What
    others think of their partners is not known here: of their sending nothing is said."""
    sender, recipient = way
    if not kind.assessed or standing.own not in ("", sender):
        return ()
    if kind.id in _assessed(standing, sender, recipient):
        return ()
    return (
        Reason(
            code="assessment.missing",
            source=f"agreement {agreement.id}, kind {kind.id}",
            words=f"{sender} has no valid assessment of {recipient} for kind {kind.id}.",
            remedy=f"An office with the power to assess signs one of {recipient}; or one with the "
            "power to review, to whom it is referred, releases this item.",
            review=True,
        ),
    )


def _assessed(standing: Standing, sender: str, recipient: str) -> frozenset[str]:
    return frozenset(
        kind
        for one in standing.assessments
        if (one.assessor, one.partner) == (sender, recipient)
        for kind in one.kinds
    )


def _agreed_conditions(
    standing: Standing, handling: Handling, way: tuple[str, str]
) -> list[tuple[Reason, Promise | None]]:
    """The assurances that the agreement itself demands of a recipient of this kind (R45)."""
    sender, recipient = way
    agreement = standing.agreement
    kind = agreement.kind(handling.kind) if agreement else None
    if agreement is None or kind is None:
        return []
    source = f"agreement {agreement.id}, kind {kind.id}"
    found = []
    for template in kind.assurances:
        promise = _promise(standing, template, (recipient, sender), handling)
        found.append(_assured(source, template, recipient, handling, promise))
    return found


def _assured(
    source: str, template: str, giver: str, handling: Handling, promise: Promise | None
) -> tuple[Reason, Promise | None]:
    """What is asked for at ``source``, with the promise that meets it or what would."""
    if promise is not None:
        reason = Reason(
            code="assurance",
            source=source,
            words=f"{giver} has assured {template} ({promise.assurance.id}).",
            rests=(f"assurance {promise.assurance.id}",),
        )
        return reason, promise
    what = f"kind {handling.kind}" + (f", purpose {handling.purpose}" if handling.purpose else "")
    reason = Reason(
        code="assurance.awaiting",
        source=source,
        words=f"Waiting for {giver} to assure {template} for {handling.kind}.",
        remedy=f"{giver} gives assurance {template} for {what}.",
        rests=(f"template {template}",),
    )
    return reason, None


def _promise(
    standing: Standing, template: str, between: tuple[str, str], handling: Handling
) -> Promise | None:
    giver, holder = between
    return next(
        (
            promise
            for promise in standing.promises
            if promise.assurance.template == template
            and promise.assurance.giver == giver
            and promise.assurance.holder == holder
            and handling.kind in promise.assurance.kinds
            and (not promise.assurance.purposes or handling.purpose in promise.assurance.purposes)
        ),
        None,
    )


def _stop_reason(order: Order) -> Reason:
    directive = order.directive
    itself = ", or it ends by itself" if order.until_ms is not None else ""
    return Reason(
        code="directive",
        source=f"directive {directive.id}",
        words=f"Stopped by {directive.issuer} ({directive.verb} {directive.id}).",
        remedy=f"{directive.issuer} resumes by an order that supersedes {directive.id}{itself}.",
    )


def _review_reason(order: Order) -> Reason:
    directive = order.directive
    return Reason(
        code="directive.moderated",
        source=f"directive {directive.id}",
        words=f"{directive.issuer} has each item reviewed ({directive.verb} {directive.id}).",
        remedy="An office with the power to review releases this item.",
        review=True,
    )
