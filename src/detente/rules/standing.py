"""Standing: all that is in force at an instant, as one value.

``fold`` is a pure function of signed acts and of time (R1, R65): public statements are no input.
It does not check signatures or powers; ``rules.authority`` does so before an act is recorded,
and only recorded acts are folded.

Both parties fold the same acts and so reach the same digest, whatever the order in which the
partner's acts arrived. An epoch numbers the standings one node has had and stays with that node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec.structs import replace

from detente.model import (
    Agreement,
    Assessment,
    Assurance,
    Charter,
    Condition,
    Directive,
    Scope,
    Withdrawal,
    canonical,
    digest,
    without,
)
from detente.model.scope import ANY, Choice

__all__ = [
    "Act",
    "AgreementOpened",
    "AssessmentMade",
    "AssuranceGiven",
    "AssuranceWithdrawn",
    "CharterSet",
    "DirectiveEffect",
    "Order",
    "Promise",
    "Standing",
    "conditions_of",
    "fold",
    "fold_named",
    "moderates_of",
    "stops_of",
]


class CharterSet(msgspec.Struct, frozen=True, kw_only=True):
    """A party's charter, checked against the one before it."""

    charter: Charter
    digest: str
    at_ms: int


class AgreementOpened(msgspec.Struct, frozen=True, kw_only=True):
    """An agreement that all its parties have signed."""

    agreement: Agreement
    digest: str
    at_ms: int


class DirectiveEffect(msgspec.Struct, frozen=True, kw_only=True):
    """A directive whose quorum was met at ``at_ms`` by its issuer's ledger."""

    directive: Directive
    digest: str
    at_ms: int


class AssuranceGiven(msgspec.Struct, frozen=True, kw_only=True):
    """An assurance signed by an office of its giver that has the power."""

    assurance: Assurance
    digest: str
    at_ms: int


class AssuranceWithdrawn(msgspec.Struct, frozen=True, kw_only=True):
    """An assurance taken back by its giver."""

    withdrawal: Withdrawal
    digest: str
    at_ms: int


class AssessmentMade(msgspec.Struct, frozen=True, kw_only=True):
    """What the node's own party thinks of a partner; no other node has it."""

    assessment: Assessment
    digest: str
    at_ms: int


Act = (
    CharterSet
    | AgreementOpened
    | DirectiveEffect
    | AssuranceGiven
    | AssuranceWithdrawn
    | AssessmentMade
)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A directive with its span of force, end excluded; ``until_ms`` None: until further act.

    ``stops``, ``moderates`` and the scopes of ``conditions`` hold for every way in which an item
    can leave, also where the directive names only some: what is stopped one way must not leave
    another.
    """

    directive: Directive
    digest: str
    since_ms: int
    until_ms: int | None
    stops: tuple[Scope, ...]
    conditions: tuple[Condition, ...]
    moderates: tuple[Scope, ...] = ()


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """An assurance with its span of validity, end excluded."""

    assurance: Assurance
    digest: str
    since_ms: int
    until_ms: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force under one agreement at ``at_ms``.

    ``orders`` and ``promises`` hold only what is in force now; ``coming`` and ``promised`` the
    directives and assurances whose start is still to come; ``past`` the directives that are over.
    ``next_ms`` is the next instant at which the standing changes by the clock alone; nothing may be
    released at or past it without folding again. ``newest`` is the newest version of the agreement
    that is known, also where its term has not begun. ``assessments`` are those that hold, one for a
    partner at most: they bear on the sending of the party that made them, and its node alone has
    them. ``own`` is that node's party (empty where nobody's is asked). ``digest`` is the same on
    both sides, and so says nothing of them.
    """

    agreement: Agreement | None
    newest: Agreement | None
    agreement_digest: str
    opened_ms: int | None
    agreement_in_force: bool
    charters: dict[str, CharterSet]
    orders: tuple[Order, ...]
    coming: tuple[Order, ...]
    past: tuple[Order, ...]
    promises: tuple[Promise, ...]
    promised: tuple[Promise, ...]
    assessments: tuple[Assessment, ...]
    at_ms: int
    next_ms: int | None
    digest: str
    own: str = ""

    def order(self, issuer: str, directive_id: str) -> Order | None:
        """The issuer's order of that id that is in force, or None."""
        return next(
            (
                one
                for one in self.orders
                if (one.directive.issuer, one.directive.id) == (issuer, directive_id)
            ),
            None,
        )

    def charter(self, party: str) -> Charter | None:
        """The newest charter of a party, or None if none was recorded."""
        known = self.charters.get(party)
        return known.charter if known else None


def stops_of(directive: Directive) -> tuple[Scope, ...]:
    """The boxes of cells that a directive stops outright while it is in force."""
    if directive.does in ("halt", "suspend"):
        return (directive.scope,)
    if directive.does == "narrow":
        return without(directive.scope, directive.remains) if directive.remains else ()
    if directive.purposes:
        # The flow goes on for the stated purposes only; every other purpose stays stopped.
        return without(directive.scope, Scope(purpose=Choice.of(*directive.purposes)))
    return ()


def moderates_of(directive: Directive) -> tuple[Scope, ...]:
    """The boxes of cells that a directive lets pass item by item, each by a person's decision."""
    return (directive.scope,) if directive.does == "moderate" else ()


def conditions_of(directive: Directive) -> tuple[Condition, ...]:
    """The conditions under which a directive lets items pass."""
    return directive.conditions


def fold(acts: Iterable[Act], at_ms: int) -> Standing:
    """The standing at ``at_ms``. Acts later than that are ignored, so any past can be asked."""
    acts = list(acts)
    known = [act for act in acts if act.at_ms <= at_ms]
    charters: dict[str, CharterSet] = {}
    for act in known:
        if isinstance(act, CharterSet):
            before = charters.get(act.charter.party)
            if before is None or before.charter.version < act.charter.version:
                charters[act.charter.party] = act
    versions = [act for act in known if isinstance(act, AgreementOpened)]
    opened = _version_at(versions, at_ms)
    orders = _orders([act for act in known if isinstance(act, DirectiveEffect)])
    promises = _promises(known)
    agreement = opened.agreement if opened else None
    alive = agreement is not None and agreement.from_ms <= at_ms < agreement.until_ms
    in_force = tuple(o for o in orders if _within(o.since_ms, o.until_ms, at_ms))
    valid = tuple(p for p in promises if _within(p.since_ms, p.until_ms, at_ms))
    instants = [t for o in orders for t in (o.since_ms, o.until_ms) if t is not None]
    instants += [t for p in promises for t in (p.since_ms, p.until_ms)]
    assessed = _assessments(known)
    instants += [t for one in assessed for t in (one.from_ms, one.until_ms)]
    instants += [t for v in versions for t in (v.agreement.from_ms, v.agreement.until_ms)]
    # A partner's clock may run a little ahead; its act counts when ours gets there.
    instants += [act.at_ms for act in acts]
    return Standing(
        agreement=agreement,
        newest=max((v.agreement for v in versions), key=lambda one: one.version, default=None),
        agreement_digest=opened.digest if opened else "",
        opened_ms=opened.at_ms if opened else None,
        agreement_in_force=alive,
        charters=charters,
        orders=in_force,
        coming=tuple(o for o in orders if o.since_ms > at_ms),
        past=tuple(o for o in orders if o.until_ms is not None and o.until_ms <= at_ms),
        promises=valid,
        promised=tuple(p for p in promises if at_ms < p.since_ms < p.until_ms),
        assessments=tuple(one for one in assessed if _within(one.from_ms, one.until_ms, at_ms)),
        at_ms=at_ms,
        next_ms=min((t for t in instants if t > at_ms), default=None),
        digest=_digest(opened, in_force, valid, alive=alive),
    )


def fold_named(
    acts: Sequence[Act], at_ms: int, agreement_digest: str, *, known_ms: int
) -> Standing:
    """The standing at ``at_ms`` with the charters that were known by ``known_ms``, and under the
    version of the agreement that is named, if there is one of it.

    A partner enacts under the papers that it has; when this node took them in says nothing about
    what they were worth at the partner's instant. Directives and assurances count as in ``fold``.
    """
    taken: list[Act] = []
    versions = [act for act in acts if isinstance(act, AgreementOpened)]
    named = [act for act in versions if act.digest == agreement_digest] or versions
    for act in acts:
        if isinstance(act, AgreementOpened):
            if act in named:
                taken.append(replace(act, at_ms=min(act.at_ms, at_ms)))
        elif not isinstance(act, CharterSet):
            taken.append(act)
        elif act.at_ms <= known_ms:
            taken.append(replace(act, at_ms=min(act.at_ms, at_ms)))
    return fold(taken, at_ms)


def _version_at(versions: Iterable[AgreementOpened], at_ms: int) -> AgreementOpened | None:
    """The newest version whose term has begun; before the first has, the newest of all. So an
    older version stands until the newer begins, and no day lies between them."""
    return max(
        versions,
        key=lambda one: (one.agreement.from_ms <= at_ms, one.agreement.version),
        default=None,
    )


def _within(since_ms: int, until_ms: int | None, at_ms: int) -> bool:
    return since_ms <= at_ms and (until_ms is None or at_ms < until_ms)


def _orders(effects: list[DirectiveEffect]) -> list[Order]:
    since = {effect.digest: max(effect.at_ms, effect.directive.start_ms or 0) for effect in effects}
    # The instant at which a directive takes force is the instant at which those it supersedes
    # end: one number serves both, so no millisecond lies between them (R10). An id is its
    # issuer's: nobody's order ends another's, whatever it is called.
    ended: dict[tuple[str, str], int] = {}
    for effect in effects:
        for old in effect.directive.supersedes:
            start, place = since[effect.digest], (effect.directive.issuer, old)
            ended[place] = min(start, ended.get(place, start))
    orders = []
    for effect in sorted(effects, key=lambda e: (since[e.digest], e.directive.id, e.digest)):
        directive = effect.directive
        end_ms = ended.get((directive.issuer, directive.id))
        ends = [t for t in (directive.end_ms, end_ms) if t is not None]
        orders.append(
            Order(
                directive=directive,
                digest=effect.digest,
                since_ms=since[effect.digest],
                until_ms=min(ends, default=None),
                stops=tuple(replace(box, act=ANY) for box in stops_of(directive)),
                conditions=tuple(
                    replace(one, scope=replace(one.scope, act=ANY))
                    for one in conditions_of(directive)
                ),
                moderates=tuple(replace(box, act=ANY) for box in moderates_of(directive)),
            )
        )
    return orders


def _promises(acts: list[Act]) -> list[Promise]:
    withdrawn: dict[tuple[str, str], int] = {}
    for act in acts:
        if isinstance(act, AssuranceWithdrawn):
            place = (act.withdrawal.giver, act.withdrawal.assurance)
            withdrawn[place] = min(act.at_ms, withdrawn.get(place, act.at_ms))
    promises = []
    for act in acts:
        if isinstance(act, AssuranceGiven):
            until = act.assurance.until_ms
            promises.append(
                Promise(
                    assurance=act.assurance,
                    digest=act.digest,
                    since_ms=max(act.at_ms, act.assurance.from_ms),
                    until_ms=min(
                        until, withdrawn.get((act.assurance.giver, act.assurance.id), until)
                    ),
                )
            )
    return sorted(promises, key=lambda p: (p.since_ms, p.assurance.id))


def _assessments(known: Iterable[Act]) -> tuple[Assessment, ...]:
    """The newest of each partner, as its maker wrote them one after the other."""
    newest = {
        (act.assessment.assessor, act.assessment.partner): act.assessment
        for act in known
        if isinstance(act, AssessmentMade)
    }
    return tuple(newest[place] for place in sorted(newest))


def _digest(
    opened: AgreementOpened | None,
    orders: tuple[Order, ...],
    promises: tuple[Promise, ...],
    *,
    alive: bool,
) -> str:
    return digest(
        canonical(
            {
                "agreement": opened.digest if opened else "",
                "in_force": alive,
                "assurances": sorted(promise.digest for promise in promises),
                "orders": sorted([order.digest, order.since_ms] for order in orders),
            }
        )
    )
