"""Gaps: what an agreement cannot do, contradicts, or leaves open, told before it is signed.

Errors are what can never work: a name that nothing defines, a quorum that nobody can bring
together, a time that ends before it begins. Warnings are what works and will be regretted: no way
round for safety of life, letting go as cheap as stopping, nobody to ask. Whether its words are
lawful or wise is not judged.

With the members' charters it is also seen whether the offices of the powers exist and have enough
holders; without them that is left open. Pure, and in proportion to the agreement's size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from detente.model import Agreement, Charter, Collection, Kind, Power, Question, Step
from detente.rules.gap import Gap, listed, missing, twice, weak, wrong
from detente.rules.gaps_open import open_ends
from detente.rules.grade import SCHEMES, parse_grade, worse_than
from detente.rules.markings import TLP_LEVELS
from detente.rules.quorum import tally_quorum

__all__ = ["Gap", "gaps"]

Charters = Mapping[str, Charter]
#: What each step needs besides its name, as it is written.
_NEEDS = {
    "coarsen-position": ("path", "cell_mdeg"),
    "coarsen-time": ("path", "span"),
    "drop-references": (),
    "keep": ("path",),
    "remove": ("path",),
    "replace": ("path", "text"),
}


def gaps(agreement: Agreement, charters: Charters | None = None) -> tuple[Gap, ...]:
    """Everything that is wrong or weak in an agreement: errors first, each in its order."""
    charters = charters or {}
    checks: tuple[Callable[[Agreement, Charters], Iterator[Gap]], ...] = (
        _repeated,
        _members,
        _collections,
        _kinds,
        _rules,
        _asked,
        _powers,
        _delegations,
        _lacking,
        _term,
        open_ends,
    )
    found = [gap for check in checks for gap in check(agreement, charters)]
    return tuple(sorted(found, key=lambda gap: gap.level))


def _repeated(agreement: Agreement, _: Charters) -> Iterator[Gap]:
    """What is named twice: nobody could say which of the two is meant."""
    lists: dict[str, Sequence[str]] = {
        "members": [one.party for one in agreement.members],
        "kinds": [one.id for one in agreement.kinds],
        "purposes": [one.id for one in agreement.purposes],
        "permitted_uses": [one.id for one in agreement.permitted_uses],
        "excluded_uses": [one.id for one in agreement.excluded_uses],
        "assurances": [one.id for one in agreement.assurances],
        "tests": [one.id for one in agreement.tests],
        "minimisations": [one.id for one in agreement.minimisations],
    }
    for name, values in lists.items():
        for index, value in twice(values):
            yield wrong(
                "name.repeated",
                f"$.{name}[{index}]",
                f"{value} is defined twice under {name}.",
                "Give each a name of its own.",
            )
    names = [
        (name, i) for i, one in enumerate(agreement.collections) for name in (one.name, one.id)
    ]
    for place, value in twice([name for name, _ in names]):
        yield wrong(
            "collection.repeated",
            f"$.collections[{names[place][1]}]",
            f"Two collections are called {value}, by name or id.",
            "Give each a name and a UUID of its own.",
        )
    for index, value in twice(one.title for one in agreement.collections):
        yield wrong(
            "collection.repeated",
            f"$.collections[{index}].title",
            f"Two collections have the title {value!r}.",
            "Give each a title of its own: TAXII clients show nothing else.",
        )
    permitted = {one.id for one in agreement.permitted_uses}
    for index, use in enumerate(agreement.excluded_uses):
        if use.id in permitted:
            yield wrong(
                "use.both",
                f"$.excluded_uses[{index}]",
                f"Use {use.id} is permitted and excluded.",
                "Take it out of one of the lists, or give the two their own ids.",
            )


def _members(agreement: Agreement, charters: Charters) -> Iterator[Gap]:
    senders = {one.sender for one in agreement.collections}
    for index, member in enumerate(agreement.members):
        path = f"$.members[{index}].units"
        for place, unit in twice(member.units):
            yield wrong(
                "unit.repeated",
                f"{path}[{place}]",
                f"Unit {unit} of {member.party} is named twice.",
                "Name it once.",
            )
        if member.party in senders and not member.units:
            yield wrong(
                "unit.none",
                path,
                f"{member.party} sends, and has no unit that could.",
                "Name the bodies inside it that send.",
            )
        charter = charters.get(member.party)
        if charter is None:
            continue
        for place, unit in missing(member.units, charter.units):
            yield weak(
                "unit.not-in-charter",
                f"{path}[{place}]",
                f"{member.party}'s charter does not know unit {unit}.",
                f"Use one of {listed(charter.units)}, or have the charter renewed.",
            )
        if charter.expires_ms < agreement.until_ms:
            yield weak(
                "charter.expires",
                f"$.members[{index}].charter",
                f"{member.party}'s charter expires before the agreement ends; its orders do not "
                "count from then on.",
                "Have the charter renewed in time, or let the agreement end earlier.",
            )


def _collections(agreement: Agreement, _: Charters) -> Iterator[Gap]:
    units = {one.party: dict.fromkeys(one.units) for one in agreement.members}
    purposes = {one.id for one in agreement.purposes}
    for index, one in enumerate(agreement.collections):
        path = f"$.collections[{index}]"
        if one.sender not in units:
            yield wrong(
                "collection.sender-unknown",
                f"{path}.sender",
                f"{one.sender} sends {one.name} and is no member.",
                "Make it a member, or name another sender.",
            )
        for place, reader in missing(one.readers, units):
            yield wrong(
                "collection.reader-unknown",
                f"{path}.readers[{place}]",
                f"{reader} reads {one.name} and is no member.",
                "Make it a member, or take it out.",
            )
        if one.unit is not None and one.unit not in units.get(one.sender, ()):
            own = tuple(units.get(one.sender, ()))
            yield wrong(
                "collection.unit-unknown",
                f"{path}.unit",
                f"{one.unit} is no unit of {one.sender}, who sends {one.name}.",
                f"Use one of {listed(own) or 'its units'}.",
            )
        if one.purpose is not None and one.purpose not in purposes:
            yield wrong(
                "collection.purpose-unknown",
                f"{path}.purpose",
                f"Purpose {one.purpose} of {one.name} is not among the purposes.",
                "Define it under purposes, or use one that is.",
            )
        yield from _collection_grade(agreement, one, path)


def _collection_grade(agreement: Agreement, one: Collection, path: str) -> Iterator[Gap]:
    if one.grade is None:
        return
    try:
        scheme, _, _ = parse_grade(one.grade)
    except ValueError:
        yield wrong(
            "grade.form",
            f"{path}.grade",
            f"{one.grade!r} is no grade.",
            "Write scheme:value, such as admiralty:B2.",
        )
        return
    if agreement.grades and scheme not in agreement.grades:
        yield wrong(
            "grade.not-counted",
            f"{path}.grade",
            f"Grades of {scheme} do not count; {listed(agreement.grades)} do.",
            "Add the scheme to grades, or grade in one that counts.",
        )


def _kinds(agreement: Agreement, _: Charters) -> Iterator[Gap]:
    known = {
        "assurances": {one.id for one in agreement.assurances},
        "tests": {one.id for one in agreement.tests},
        "minimise": {one.id for one in agreement.minimisations},
    }
    for index, kind in enumerate(agreement.kinds):
        path = f"$.kinds[{index}]"
        for field, defined in known.items():
            for place, name in missing(getattr(kind, field), defined):
                where = "minimisations" if field == "minimise" else field
                yield wrong(
                    "kind.demand-unknown",
                    f"{path}.{field}[{place}]",
                    f"Kind {kind.id} asks for {name}, which is not defined under {where}.",
                    f"Define it under {where}, or take it out: until then nothing of the kind is "
                    "given.",
                )
        if kind.held == "expire" and kind.expire_after_ms is None:
            yield wrong(
                "kind.no-time",
                f"{path}.expire_after",
                f"Kind {kind.id} expires in hold, and it is not said when.",
                'Say it, such as expire_after = "6h".',
            )
        if kind.held != "expire" and kind.expire_after_ms is not None:
            yield wrong(
                "kind.time-unused",
                f"{path}.expire_after",
                f'Kind {kind.id} has a time to expire after, and its held is "{kind.held}".',
                'Say held = "expire", or take the time out.',
            )
        yield from _kind_limits(agreement, kind, path)


def _kind_limits(agreement: Agreement, kind: Kind, path: str) -> Iterator[Gap]:
    least = kind.grade_least
    if least is not None and worse_than(least, least) is not False:
        yield wrong(
            "grade.unmeetable",
            f"{path}.grade_least",
            f"Nothing can be shown to be as good as {least!r}: no known scheme, no grade of it, or "
            "one that says that it cannot be judged.",
            f"Use a grade of {listed(sorted(SCHEMES))} that judges, such as admiralty:C3.",
        )
    elif least is not None and agreement.grades:
        scheme, _, _ = parse_grade(least)
        if scheme not in agreement.grades:
            yield wrong(
                "grade.not-counted",
                f"{path}.grade_least",
                f"Grades of {scheme} do not count; {listed(agreement.grades)} do.",
                "Add the scheme to grades, or ask for a grade of one that counts.",
            )
    if kind.tlp_max is not None and TLP_LEVELS.index(kind.tlp_max) > TLP_LEVELS.index(
        agreement.tlp_max
    ):
        yield weak(
            "kind.tlp-above",
            f"{path}.tlp_max",
            f"Kind {kind.id} allows tlp:{kind.tlp_max}, the agreement tlp:{agreement.tlp_max}; the "
            "lower one counts.",
            "Take it out, or raise the agreement's.",
        )


def _rules(agreement: Agreement, charters: Charters) -> Iterator[Gap]:
    kinds = {one.id for one in agreement.kinds}
    caught: dict[str | None, set[str]] = {}
    all_of: set[str | None] = set()
    for index, rule in enumerate(agreement.kind_rules):
        path = f"$.kind_rules[{index}]"
        if rule.kind not in kinds:
            yield wrong(
                "rule.kind-unknown",
                f"{path}.kind",
                f"A rule gives kind {rule.kind}, which is not defined.",
                "Define it under kinds, or use one that is.",
            )
        before = [caught.get(None, set()), caught.get(rule.extension, set())]
        all_caught = all(any(one in known for known in before) for one in rule.types)
        if {None, rule.extension} & all_of or (rule.types and all_caught):
            yield weak(
                "rule.never-reached",
                path,
                f"An earlier rule catches all that this one would give kind {rule.kind}.",
                "Put it before that one, or take it out: the first rule that fits decides.",
            )
        caught.setdefault(rule.extension, set()).update(rule.types)
        if not rule.types:
            all_of.add(rule.extension)
    given = {rule.kind for rule in agreement.kind_rules}
    senders = {one.sender for one in agreement.collections}
    mute = senders <= charters.keys() and all(charters[one].node is None for one in senders)
    for index, kind in enumerate(agreement.kinds):
        if kind.id in given:
            continue
        if mute:
            yield wrong(
                "kind.unreachable",
                f"$.kinds[{index}]",
                f"No rule gives kind {kind.id}, and no sender has a gateway at which it could be "
                "named.",
                "Add a rule under kind_rules, or take the kind out.",
            )
        else:
            yield weak(
                "kind.unruled",
                f"$.kinds[{index}]",
                f"No rule gives kind {kind.id}; only who names it when publishing does, and TAXII "
                "clients cannot.",
                "Add a rule under kind_rules if anything is to be of this kind by itself.",
            )


def _asked(agreement: Agreement, _: Charters) -> Iterator[Gap]:
    """Tests that nobody can pass, and steps that lack what they work with."""
    for index, test in enumerate(agreement.tests):
        path = f"$.tests[{index}].questions"
        for place, name in twice(one.id for one in test.questions):
            yield wrong(
                "test.question-repeated",
                f"{path}[{place}]",
                f"Test {test.id} asks question {name} twice.",
                "Give each question an id of its own.",
            )
        for place, question in enumerate(test.questions):
            yield from _question(test.id, question, f"{path}[{place}]")
    for index, minimisation in enumerate(agreement.minimisations):
        for place, step in enumerate(minimisation.steps):
            yield from _step(minimisation.id, step, f"$.minimisations[{index}].steps[{place}]")


def _question(test: str, question: Question, path: str) -> Iterator[Gap]:
    for place, choice in missing(question.passing, question.choices):
        yield wrong(
            "test.passing-unknown",
            f"{path}.passing[{place}]",
            f"Question {question.id} of test {test} is passed by {choice!r}, which is no choice.",
            f"Add it to choices ({listed(question.choices) or 'there are none'}), or take it out.",
        )


def _step(minimisation: str, step: Step, path: str) -> Iterator[Gap]:
    has = {
        "path": bool(step.path),
        "text": bool(step.text),
        "cell_mdeg": step.cell_mdeg is not None,
        "span": step.span_ms is not None,
    }
    for need in _NEEDS[step.do]:
        if not has.pop(need):
            yield wrong(
                "step.incomplete",
                f"{path}.{need}",
                f"Step {step.do} of minimisation {minimisation} needs {need}.",
                f"Say {need}.",
            )
    if step.do == "drop-references":
        has.pop("path")
    for extra in (name for name, there in has.items() if there):
        yield weak(
            "step.unused",
            f"{path}.{extra}",
            f"Step {step.do} of minimisation {minimisation} does nothing with {extra}.",
            "Take it out, or use the step that is meant.",
        )


# --- powers -----------------------------------------------------------------------------------


def _powers(agreement: Agreement, charters: Charters) -> Iterator[Gap]:
    parties = {one.party for one in agreement.members}
    for index, power in enumerate(agreement.powers):
        path = f"$.powers[{index}]"
        if power.party not in parties:
            yield wrong(
                "power.party-unknown",
                f"{path}.party",
                f"{power.party} is given a power and is no member.",
                "Make it a member, or take the power out.",
            )
        if not power.verbs:
            yield wrong("power.no-verb", f"{path}.verbs", "A power to do nothing.", "Name verbs.")
        for place, office in missing(power.including, power.offices):
            yield wrong(
                "power.including-unknown",
                f"{path}.including[{place}]",
                f"{office} must be among those who sign, and is none of the offices that may.",
                "Add it to offices.",
            )
        if power.threshold < len(power.including):
            yield wrong(
                "power.threshold-low",
                f"{path}.threshold",
                f"{power.threshold} signatures are asked for, and {len(power.including)} offices "
                "must each bring one of their own.",
                f"Say threshold = {len(power.including)}, which is what it takes.",
            )
        if power.until_ms is not None and power.until_ms <= agreement.from_ms:
            yield wrong(
                "power.over",
                f"{path}.until",
                f"The power of {power.party} to {listed(power.verbs)} is over before the agreement "
                "begins.",
                "Say a later until, or take the power out.",
            )
        charter = charters.get(power.party)
        if not power.offices:
            yield wrong(
                "power.no-office",
                f"{path}.offices",
                f"No office of {power.party} has the power to {listed(power.verbs)}.",
                "Name the offices that may sign.",
            )
        elif charter is not None:
            yield from _seated(power, charter, path)


def _delegations(agreement: Agreement, charters: Charters) -> Iterator[Gap]:
    parties = {one.party for one in agreement.members}
    for index, one in enumerate(agreement.delegations):
        path = f"$.delegations[{index}]"
        if one.party not in parties:
            yield wrong(
                "delegation.party-unknown",
                f"{path}.party",
                f"{one.party} delegates and is no member.",
                "Make it a member, or take the delegation out.",
            )
        if one.until_ms <= one.from_ms:
            yield wrong(
                "delegation.no-time",
                f"{path}.until",
                f"{one.to} would stand in for {one.office} at no instant.",
                "Say an until that is after from.",
            )
        for place, verb in enumerate(one.verbs):
            offices = {o for p in agreement.powers_of(one.party, verb) for o in p.offices}
            if one.office not in offices:
                yield wrong(
                    "delegation.no-power",
                    f"{path}.verbs[{place}]",
                    f"{one.office} of {one.party} has no power to {verb} that {one.to} could use.",
                    "Delegate what the office may do, or give it the power.",
                )
        charter = charters.get(one.party)
        known = {office.id for office in charter.offices} if charter else {one.to}
        if one.to not in known:
            yield wrong(
                "delegation.office-unknown",
                f"{path}.to",
                f"{one.party}'s charter has no office {one.to}.",
                f"Use one of {listed(sorted(known - {charter.node if charter else ''}))}.",
            )
        elif charter is not None and one.to == charter.node:
            yield wrong(
                "delegation.node",
                f"{path}.to",
                f"{one.to} is the office of {one.party}'s gateway: a machine would decide.",
                "Name an office that persons hold.",
            )


def _seated(power: Power, charter: Charter, path: str) -> Iterator[Gap]:
    """Whether the charter's offices can bring the quorum together, if all its holders sign."""
    offices = {one.id for one in charter.offices}
    for place, office in missing(power.offices, offices):
        yield wrong(
            "power.office-unknown",
            f"{path}.offices[{place}]",
            f"{power.party}'s charter has no office {office}.",
            f"Use one of {listed(sorted(offices - {charter.node}))}.",
        )
    if charter.node in power.offices:
        yield wrong(
            "power.node",
            f"{path}.offices",
            f"{charter.node} is the office of {power.party}'s gateway: a machine would decide.",
            "Name offices that persons hold.",
        )
    tally = tally_quorum(power, charter, charter.keys)
    if not tally.met:
        lacks = f", and nobody of their own for {listed(tally.missing_offices)}"
        yield wrong(
            "power.unmeetable",
            f"{path}.threshold",
            f"{listed(power.verbs)} by {power.party} takes {tally.need} holders; {power.party}'s "
            f"charter has {tally.have} in {listed(power.offices)}"
            f"{lacks if tally.missing_offices else ''}.",
            "Lower the threshold, add offices, or have the charter renewed with more holders.",
        )


def _lacking(agreement: Agreement, _: Charters) -> Iterator[Gap]:
    """Parties that cannot do what the agreement needs of them."""
    able = {(power.party, verb) for power in agreement.powers for verb in power.verbs}
    everybody = {one.party: "" for one in agreement.members}
    readers = {reader: "" for one in agreement.collections for reader in one.readers}
    senders = {one.sender: "" for one in agreement.collections}
    reviewed = [k.id for k in agreement.kinds if k.moderated or k.held == "review"]
    assured = [k.id for k in agreement.kinds if k.assurances]
    needs = [
        ("agree", everybody, "it could never be opened"),
        ("suspend", senders, "who sends can always stop, and for longer than a halt"),
        ("resume", senders, "what it stops would stay stopped"),
    ]
    if reviewed:
        needs.append(("review", senders, f"{listed(reviewed)} would wait for good"))
    if assured:
        needs.append(("assure", readers, f"{listed(assured)} would wait for good"))
    for verb, parties, why in needs:
        lacking = [one for one in parties if one in everybody and (one, verb) not in able]
        if lacking:
            yield wrong(
                f"power.no-{verb}",
                "$.powers",
                f"No office of {listed(lacking)} has the power to {verb}: {why}.",
                f'Add a power with verbs = ["{verb}"] for each.',
            )


def _term(agreement: Agreement, _: Charters) -> Iterator[Gap]:
    if agreement.from_ms >= agreement.until_ms:
        yield wrong(
            "term.empty", "$.until", "It ends before it begins.", "Let until come after from."
        )
    elif not agreement.from_ms < agreement.review_ms <= agreement.until_ms:
        yield wrong(
            "term.review",
            "$.review",
            "The review does not lie within the term.",
            "Let review come after from and not after until.",
        )
    if agreement.version == 1 and agreement.supersedes is not None:
        yield wrong(
            "version.first",
            "$.supersedes",
            "The first version supersedes nothing.",
            "Say version = 2 or higher, or take supersedes out.",
        )
    parties = {one.party for one in agreement.members}
    for index, party in missing([one.party for one in agreement.oversight], parties):
        yield wrong(
            "oversight.party-unknown",
            f"$.oversight[{index}].party",
            f"{party} is overseen and is no member.",
            "Make it a member, or take it out.",
        )
