"""Stopped: why a feed gives nothing, in words a partner can act on.

An empty answer under an order would be read as "no news". So whoever gets nothing while an order,
a missing assurance or a lapsed agreement touches the flow is told which, since when, and whom to
ask (R29).
"""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from detente.gateway.gate import Current
from detente.model import Agreement, Choice, Scope, meets
from detente.model.transfer import Stopped
from detente.rules.standing import Order, Standing

__all__ = ["Flow", "stopped_of"]


class Flow(Protocol):
    """The part of a page's ask that says which flow is meant."""

    @property
    def collection(self) -> str: ...
    @property
    def party(self) -> str: ...


def stopped_of(current: Current, own: str, flow: Flow) -> Stopped | None:
    """What stops or conditions the flow from this node's party to ``flow.party``; None if
    nothing does, so that an empty answer is the plain truth. What is a party's own is not
    stopped towards it: the node's copy, and what a sender reads back."""
    standing = current.standing
    terms = standing.agreement
    collection = terms.collection(flow.collection) if terms else None
    if flow.party == own or (collection is not None and collection.sender == flow.party):
        return None
    contact = _contact(standing, own)
    if terms is None or not standing.agreement_in_force:
        return Stopped(
            code="agreement.not-in-force",
            words=f"Agreement {current.agreement} is not in force.",
            directives=(),
            contact=contact,
        )
    stopping = [o for o in standing.orders if _touches(terms, o, o.stops, own, flow)]
    reviewed = [o for o in standing.orders if _touches(terms, o, o.moderates, own, flow)]
    waiting = [o for o in standing.orders if _waits(terms, standing, o, (own, flow))]
    for code, words, orders in (
        ("feed.suspended", "This feed is stopped, wholly or in part, by", stopping),
        ("feed.moderated", "Items of this feed are reviewed one by one under", reviewed),
        ("feed.awaiting-assurance", "This feed waits for an assurance under", waiting),
    ):
        if orders:
            names = tuple(order.directive.id for order in orders)
            return Stopped(
                code=code,
                words=f"{words} directive {', '.join(names)}.",
                directives=names,
                since_ms=min(order.since_ms for order in orders),
                until_ms=_until(orders),
                contact=contact,
            )
    wanting = _unassured(terms, standing, own, flow.party)
    if not wanting:
        return None
    return Stopped(
        code="feed.awaiting-assurance",
        words=f"This feed waits for {flow.party} to assure what agreement {terms.id} asks for "
        f"{', '.join(wanting)}.",
        directives=(),
        contact=contact,
    )


def _unassured(terms: Agreement, standing: Standing, sender: str, reader: str) -> list[str]:
    """The kinds for which the agreement itself asks a reader for an assurance that it has not
    given."""
    given = {
        (promise.assurance.template, kind)
        for promise in standing.promises
        if (promise.assurance.giver, promise.assurance.holder) == (reader, sender)
        for kind in promise.assurance.kinds
    }
    return [
        kind.id
        for kind in terms.kinds
        if any((template, kind.id) not in given for template in kind.assurances)
    ]


def _flow_scope(terms: Agreement, order: Order, own: str, flow: Flow) -> Scope | None:
    """The flow as the order's issuer sees it: the kinds and purposes the agreement has, in this
    collection. None if the issuer is no end of it."""
    if order.directive.issuer not in (own, flow.party):
        return None
    out = order.directive.issuer == own
    return Scope(
        party=Choice.of(flow.party if out else own),
        direction=Choice.of("out" if out else "in"),
        collection=Choice.of(flow.collection),
        kind=Choice.of(*(kind.id for kind in terms.kinds)),
        purpose=Choice.of(*(purpose.id for purpose in terms.purposes)),
    )


def _touches(
    terms: Agreement, order: Order, scopes: tuple[Scope, ...], own: str, flow: Flow
) -> bool:
    mine = _flow_scope(terms, order, own, flow)
    return mine is not None and any(meets(scope, mine) for scope in scopes)


def _waits(terms: Agreement, standing: Standing, order: Order, between: tuple[str, Flow]) -> bool:
    """True if some kind of the flow still waits: what was assured for others does not serve it."""
    own, flow = between
    mine = _flow_scope(terms, order, own, flow)
    giver = flow.party if order.directive.issuer == own else own
    return mine is not None and any(
        meets(condition.scope, replace(mine, kind=Choice.of(kind.id)))
        and not (kind.exempt and not condition.scope.kind.names(kind.id))
        and not any(
            promise.assurance.template == condition.template
            and promise.assurance.giver == giver
            and promise.assurance.holder == order.directive.issuer
            and kind.id in promise.assurance.kinds
            and {purpose.id for purpose in terms.purposes}.issubset(
                promise.assurance.purposes or mine.purpose.only or ()
            )
            for promise in standing.promises
        )
        for condition in order.conditions
        for kind in terms.kinds
    )


def _until(orders: list[Order]) -> int | None:
    ends = [order.until_ms for order in orders]
    return None if None in ends else max(end for end in ends if end is not None)


def _contact(standing: Standing, own: str) -> str:
    member = standing.agreement.member(own) if standing.agreement else None
    return f"{member.contact.office}, {member.contact.reach}" if member else ""
