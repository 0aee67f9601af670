"""Differences: what a new version of an agreement changes, in plain words, widening first.

Each difference says whether it widens what may flow, narrows it, or neither. Where that cannot be
told from the terms alone (an object that becomes of another kind), it counts as widening, for that
is what is read first. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from detente.model import Agreement, Kind, KindRule, Minimisation, PurposeTest, StandIn
from detente.rules.difference import Difference, Effect, by_order, by_set, neither, note
from detente.rules.grade import worse_than
from detente.rules.markings import TLP_LEVELS
from detente.rules.times import span_text, time_text

__all__ = ["Difference", "differences"]

_ORDER: tuple[Effect, ...] = ("widens", "narrows", "neither")
_PAP = ("none", "clear", "green", "amber", "red")
#: How much is passed on by these rules, least first; unsaid is read as the widest.
_ONWARD = ("none", "consent", "units", "unsaid")
#: Which of these demands is the stronger cannot be told of the last two against each other.
_REFERENCES = {"keep": 1, "drop": 0, "hold": 0}
_HELD = {"release": 1, "expire": 0, "return": 0, "review": 0}
#: Verbs that take away from a flow: what makes them easier narrows.
_STOPS = frozenset({"condition", "halt", "narrow", "suspend"})


def differences(old: Agreement, new: Agreement) -> tuple[Difference, ...]:
    """Everything that the newer version says differently: what widens first, then what narrows,
    then the rest, each in the order of the agreement's fields."""
    parts: tuple[Callable[[Agreement, Agreement], Iterator[Difference]], ...] = (
        _members,
        _collections,
        _kinds,
        _kind_rules,
        _purposes,
        _limits,
        _uses,
        _assurances,
        _demands,
        _onward,
        _powers,
        _delegations,
        _term,
        _texts,
    )
    found = [one for part in parts for one in part(old, new)]
    return tuple(sorted(found, key=lambda one: _ORDER.index(one.effect)))


def _members(old: Agreement, new: Agreement) -> Iterator[Difference]:
    before = {one.party: one for one in old.members}
    after = {one.party: one for one in new.members}
    yield from by_set("$.members", "Member", before, after, more_widens=True)
    for party, member in after.items():
        was = before.get(party)
        if was is None:
            continue
        path = f"$.members[{party}]"
        for unit in member.units:
            if unit not in was.units:
                yield note(f"{path}.units", f"Unit of {party} {unit} is added.", widens=True)
        for unit in was.units:
            # What is marked for some units of a party goes only where all its units are named: with
            # one unit less it may go.
            if unit not in member.units:
                yield note(f"{path}.units", f"Unit of {party} {unit} is gone.", widens=True)
        if was.country != member.country:
            words = f"{party}: country {member.country or 'unsaid'}, not {was.country or 'unsaid'}."
            yield note(f"{path}.country", words, widens=member.country is not None)
        if was.contact != member.contact:
            yield neither(
                f"{path}.contact",
                f"Whom to ask at {party}: {member.contact.office} ({member.contact.reach}).",
            )
        if was.charter != member.charter:
            yield neither(
                f"{path}.charter", f"{party} joins with charter {member.charter[:16]}…: compare it."
            )


def _collections(old: Agreement, new: Agreement) -> Iterator[Difference]:
    before = {one.name: one for one in old.collections}
    after = {one.name: one for one in new.collections}
    yield from by_set("$.collections", "Collection", before, after, more_widens=True)
    for name, one in after.items():
        was = before.get(name)
        if was is None:
            continue
        path = f"$.collections[{name}]"
        yield from by_set(
            f"{path}.readers", f"Reader of {name}", was.readers, one.readers, more_widens=True
        )
        if was.sender != one.sender:
            words = f"{name} is sent by {one.sender}, not by {was.sender}."
            yield note(f"{path}.sender", words, widens=True)
        for field in ("purpose", "grade", "unit"):
            then, now = getattr(was, field), getattr(one, field)
            if then != now:
                words = f"{name}: {field} taken as said is {now or 'none'}, not {then or 'none'}."
                yield note(f"{path}.{field}", words, widens=now is not None)
        if was.id != one.id:
            yield neither(f"{path}.id", f"{name} has another id: TAXII clients must be told.")
        if was.title != one.title:
            yield neither(f"{path}.title", f"{name} is called {one.title!r}.")


# --- kinds --------------------------------------------------------------------------------------


def _kinds(old: Agreement, new: Agreement) -> Iterator[Difference]:
    before = {one.id: one for one in old.kinds}
    after = {one.id: one for one in new.kinds}
    for kind_id, kind in after.items():
        was = before.get(kind_id)
        if was is None:
            yield note("$.kinds", f"Kind {kind_id} ({kind.title}) is added.", widens=True)
            continue
        path = f"$.kinds[{kind_id}]"
        yield from _kind_asks(was, kind, path)
        yield from _kind_limits((old, was), (new, kind), path)
        if was.title != kind.title:
            yield neither(f"{path}.title", f"Kind {kind_id} is called {kind.title!r}.")
    for kind_id in before:
        if kind_id not in after:
            words = f"Kind {kind_id} is gone: what waits of it is refused for good."
            yield note("$.kinds", words, widens=False)


def _kind_asks(was: Kind, kind: Kind, path: str) -> Iterator[Difference]:
    """What is asked of an item: asking more narrows."""
    of = f"Kind {kind.id}"
    for field, what in (
        ("assurances", "assurance"),
        ("tests", "test"),
        ("minimise", "minimisation"),
    ):
        then, now = getattr(was, field), getattr(kind, field)
        yield from by_set(f"{path}.{field}", f"{of}: {what}", then, now, more_widens=False)
    for field, words in (
        ("moderated", "a person releases each item"),
        ("evidence", "an item must name its evidence"),
        ("nature", "an item must say whether it is fact or assessment"),
        ("assessed", "the sender must have assessed the recipient"),
    ):
        then, now = getattr(was, field), getattr(kind, field)
        if then != now:
            said = f"{of}: {words}{'' if now else ', no longer'}."
            yield note(f"{path}.{field}", said, widens=not now)
    if was.exempt != kind.exempt:
        words = "exempt from stops" if kind.exempt else "no longer exempt from stops"
        yield note(f"{path}.exempt", f"{of}: {words}.", widens=kind.exempt)
    for field, ranks in (("held", _HELD), ("references", _REFERENCES)):
        then, now = getattr(was, field), getattr(kind, field)
        yield from by_order(
            f"{path}.{field}", f"{of}: {field}", (ranks[then], then), (ranks[now], now)
        )
        if then != now and ranks[then] == ranks[now]:
            yield neither(f"{path}.{field}", f"{of}: {field}: {now} in place of {then}.")
    if was.persons != kind.persons:
        words = "about persons" if kind.persons else "no longer about persons"
        yield neither(f"{path}.persons", f"{of}: {words}.")


def _kind_limits(
    before: tuple[Agreement, Kind], after: tuple[Agreement, Kind], path: str
) -> Iterator[Difference]:
    (_, was), (_, kind) = before, after
    of = f"Kind {kind.id}"
    for field, what, more_widens in (
        ("expire_after_ms", "expires in hold after", True),
        ("fresh_within_ms", "seen no longer ago than", True),
        ("bulk_max", "at most so many at once", True),
    ):
        then, now = getattr(was, field), getattr(kind, field)
        spell = str if field == "bulk_max" else span_text
        yield from by_order(
            f"{path}.{field.removesuffix('_ms')}",
            f"{of}: {what}",
            _limit(then, spell),
            _limit(now, spell),
            more_widens=more_widens,
        )
    then, now = was.grade_least, kind.grade_least
    if then != now:
        lower = now is None or (then is not None and worse_than(now, then) is not False)
        words = f"{of}: grade {now or 'of any worth'} or better, in place of {then or 'any'}."
        yield note(f"{path}.grade_least", words, widens=lower)
    levels = [min(_level(a.tlp_max), _level(k.tlp_max or a.tlp_max)) for a, k in (before, after)]
    if was.tlp_max != kind.tlp_max:
        old, new = ((level, f"tlp:{TLP_LEVELS[level]}") for level in levels)
        yield from by_order(f"{path}.tlp_max", f"{of}: marked at most", old, new)


def _limit(value: int | None, spell: Callable[[int], str]) -> tuple[float, str]:
    return (math.inf, "no limit") if value is None else (value, spell(value))


def _level(tlp: str) -> int:
    return TLP_LEVELS.index(tlp)


def _kind_rules(old: Agreement, new: Agreement) -> Iterator[Difference]:
    """Which kind the rules give, for every type and extension that either version names."""
    places = {
        (stix_type, extension)
        for rule in (*old.kind_rules, *new.kind_rules)
        for stix_type in (*rule.types, "")
        for extension in (rule.extension, None)
    }
    before, after = _first(old.kind_rules), _first(new.kind_rules)
    for stix_type, extension in sorted(places, key=lambda place: (place[0], place[1] or "")):
        then, now = before(stix_type, extension), after(stix_type, extension)
        if then == now:
            continue
        what = f"Objects of type {stix_type}" if stix_type else "Objects of all other types"
        what += f" with {extension}" if extension else ""
        words = f"{what} are of kind {now or 'none: refused'}, not {then or 'none'}."
        yield note("$.kind_rules", words, widens=now is not None)


def _first(rules: Sequence[KindRule]) -> Callable[[str, str | None], str | None]:
    first: dict[tuple[str, str | None], int] = {}
    for index, rule in enumerate(rules):
        for stix_type in rule.types or ("",):
            first.setdefault((stix_type, rule.extension), index)

    def kind_of(stix_type: str, extension: str | None) -> str | None:
        places = {(one, ext) for one in (stix_type, "") for ext in (extension, None)}
        index = min((first[place] for place in places if place in first), default=None)
        return None if index is None else rules[index].kind

    return kind_of


# --- what for -----------------------------------------------------------------------------------


def _purposes(old: Agreement, new: Agreement) -> Iterator[Difference]:
    before = {one.id: one.title for one in old.purposes}
    after = {one.id: one.title for one in new.purposes}
    yield from by_set("$.purposes", "Purpose", before, after, more_widens=True)
    yield from _reworded("$.purposes", "Purpose", before, after)
    for field, words in (("purpose_required", "a purpose"), ("grade_required", "a grade")):
        now = getattr(new, field)
        if getattr(old, field) != now:
            said = f"An item {'must' if now else 'need not'} come with {words}."
            yield note(f"$.{field}", said, widens=not now)


def _limits(old: Agreement, new: Agreement) -> Iterator[Difference]:
    yield from by_order(
        "$.tlp_max",
        "Marked at most",
        (_level(old.tlp_max), f"tlp:{old.tlp_max}"),
        (_level(new.tlp_max), f"tlp:{new.tlp_max}"),
    )
    then, now = old.pap_max or "none", new.pap_max or "none"
    yield from by_order(
        "$.pap_max",
        "Marked at most",
        (_PAP.index(then), f"pap:{then}"),
        (_PAP.index(now), f"pap:{now}"),
    )
    yield from by_set(
        "$.markings", "Scheme of markings", old.markings, new.markings, more_widens=True
    )
    if bool(old.grades) != bool(new.grades):
        words = f"Grades that count: {', '.join(new.grades) or 'all'}."
        yield note("$.grades", words, widens=not new.grades)
    else:
        yield from by_set("$.grades", "Scheme of grades", old.grades, new.grades, more_widens=True)
    if old.read_back != new.read_back:
        words = "must be read back first" if new.read_back else "need not be read back"
        yield note("$.read_back", f"What lets anything go {words}.", widens=not new.read_back)
    if old.preview != new.preview:
        words = "must be previewed" if new.preview else "need not be previewed"
        yield note("$.preview", f"What lets anything go {words}.", widens=not new.preview)
    if old.second_person != new.second_person:
        words = "waits for a second person" if new.second_person else "waits for nobody"
        yield note("$.second_person", f"What is derived {words}.", widens=not new.second_person)


def _uses(old: Agreement, new: Agreement) -> Iterator[Difference]:
    for field, what, widens in (
        ("permitted_uses", "Permitted use", True),
        ("excluded_uses", "Excluded use", False),
    ):
        before = {one.id: one.text for one in getattr(old, field)}
        after = {one.id: one.text for one in getattr(new, field)}
        yield from by_set(f"$.{field}", what, before, after, more_widens=widens)
        yield from _reworded(f"$.{field}", what, before, after)


def _assurances(old: Agreement, new: Agreement) -> Iterator[Difference]:
    before = {one.id: one for one in old.assurances}
    after = {one.id: one for one in new.assurances}
    for name in [*after, *(one for one in before if one not in after)]:
        if name not in before or name not in after:
            state = "added" if name in after else "gone"
            yield neither("$.assurances", f"Assurance {name} is {state}.")
            continue
        yield from by_order(
            f"$.assurances[{name}].valid_max",
            f"Assurance {name} holds for at most",
            _limit(before[name].valid_max_ms, span_text),
            _limit(after[name].valid_max_ms, span_text),
        )
    words = ({name: one.text for name, one in version.items()} for version in (before, after))
    yield from _reworded("$.assurances", "Assurance", *words)


def _reworded(
    path: str, what: str, before: dict[str, str], after: dict[str, str]
) -> Iterator[Difference]:
    for name, text in after.items():
        if name in before and before[name] != text:
            yield neither(f"{path}[{name}]", f"{what} {name} now says: {text}")


def _demands(old: Agreement, new: Agreement) -> Iterator[Difference]:
    for field, what in (("tests", "Test"), ("minimisations", "Minimisation")):
        before, after = ({x.id: x.title for x in getattr(one, field)} for one in (old, new))
        for name in [*after, *(one for one in before if one not in after)]:
            if name not in before or name not in after:
                state = "defined" if name in after else "no longer defined"
                yield neither(f"$.{field}", f"{what} {name} is {state}.")
            elif before[name] != after[name]:
                yield neither(f"$.{field}[{name}]", f"{what} {name} is called {after[name]!r}.")
    tests = {one.id: one for one in old.tests}
    for test in new.tests:
        if test.id in tests:
            yield from _test(tests[test.id], test)
    steps = {one.id: one for one in old.minimisations}
    for one in new.minimisations:
        if one.id in steps:
            yield from _minimisation(steps[one.id], one)


def _test(was: PurposeTest, test: PurposeTest) -> Iterator[Difference]:
    path = f"$.tests[{test.id}]"
    before = {one.id: one for one in was.questions}
    after = {one.id: one for one in test.questions}
    yield from by_set(path, f"Test {test.id}: question", before, after, more_widens=False)
    for name, question in after.items():
        then = before.get(name)
        if then is None:
            continue
        # Without choices any answer passes; without passing every choice does.
        old, new = ({*(one.passing or one.choices)} for one in (then, question))
        if bool(old) != bool(new):
            words = f"Test {test.id}: question {name} is passed by {_any_of(question.choices)}."
            yield note(path, words, widens=not new)
        else:
            what = f"Test {test.id}: question {name}: answer that passes,"
            yield from by_set(path, what, sorted(old), sorted(new), more_widens=True)
        if then.choices != question.choices:
            words = f"Test {test.id}: question {name} is answered by {_any_of(question.choices)}."
            yield neither(path, words)
        if then.text != question.text:
            yield neither(path, f"Test {test.id}: question {name} now says: {question.text}")


def _any_of(choices: Sequence[str]) -> str:
    return ", ".join(choices) or "any answer"


def _minimisation(was: Minimisation, one: Minimisation) -> Iterator[Difference]:
    if was.steps == one.steps:
        return
    path, of = f"$.minimisations[{one.id}]", f"Minimisation {one.id}"
    less = [step for step in was.steps if step not in one.steps]
    more = [step for step in one.steps if step not in was.steps]
    for step in less:
        yield note(path, f"{of}: step {step.do} {step.path} is gone or changed.", widens=True)
    for step in more:
        yield note(path, f"{of}: step {step.do} {step.path} is added.", widens=False)
    if not less and not more:
        yield note(path, f"{of}: its steps run in another order.", widens=True)


def _onward(old: Agreement, new: Agreement) -> Iterator[Difference]:
    rules = [one.onward.rule if one.onward else "unsaid" for one in (old, new)]
    then, now = ((_ONWARD.index(rule), rule) for rule in rules)
    yield from by_order("$.onward", "Passed on to others", then, now)
    texts = [one.onward.text if one.onward else "" for one in (old, new)]
    if texts[0] != texts[1]:
        yield neither("$.onward.text", f"On passing on it now says: {texts[1] or 'nothing'}")
    bodies = [{f"{b.party}: {b.body}": b.inside for b in one.oversight} for one in (old, new)]
    for name in [*bodies[1], *(one for one in bodies[0] if one not in bodies[1])]:
        states = [version.get(name) for version in bodies]
        if states[0] == states[1]:
            continue
        place = {True: "inside the recipient", False: "outside", None: "no longer named"}
        words = f"Oversight, {name}: {place[states[1]]}."
        if True in states:
            yield note("$.oversight", words, widens=states[1] is True)
        else:
            yield neither("$.oversight", words)


# --- who, and for how long ----------------------------------------------------------------------


def _powers(old: Agreement, new: Agreement) -> Iterator[Difference]:
    """Each party's cheapest way to each verb: what is cheaper to stop narrows, what is cheaper to
    let go, agree to, assure or review widens."""
    before, after = _ways(old), _ways(new)
    staying = {one.party for one in old.members} & {one.party for one in new.members}
    for party, verb in [*after, *(way for way in before if way not in after)]:
        if party not in staying:
            continue
        then, now = before.get((party, verb)), after.get((party, verb))
        if then == now:
            continue
        path = f"$.powers[{party}.{verb}]"
        who = [way[1] if way else "nobody" for way in (now, then)]
        words = f"{party} to {verb}: {who[0]}, not {who[1]}."
        cheaper = (now[0] if now else (math.inf,)) <= (then[0] if then else (math.inf,))
        yield note(path, words, widens=cheaper != (verb in _STOPS))


def _delegations(old: Agreement, new: Agreement) -> Iterator[Difference]:
    """Who stands in for whom: one more makes it cheaper to let go, and cheaper to stop."""
    then, now = (
        {_standing_in(one, verb): verb for one in terms.delegations for verb in one.verbs}
        for terms in (old, new)
    )
    for words, verb in now.items():
        if words not in then:
            yield note("$.delegations", f"{words} is added.", widens=verb not in _STOPS)
    for words, verb in then.items():
        if words not in now:
            yield note("$.delegations", f"{words} is gone.", widens=verb in _STOPS)


def _standing_in(one: StandIn, verb: str) -> str:
    span = f"from {time_text(one.from_ms)} until {time_text(one.until_ms)}"
    return f"{one.to} of {one.party} for {one.office} to {verb}, {span}"


Way = tuple[tuple[float, ...], str]


def _ways(agreement: Agreement) -> dict[tuple[str, str], Way]:
    found: dict[tuple[str, str], Way] = {}
    for power in agreement.powers:
        need = max(power.threshold, len(power.including))
        longest = math.inf if power.duration_max_ms is None else power.duration_max_ms
        until = math.inf if power.until_ms is None else power.until_ms
        cost = (need, len(power.including), -len(power.offices), -longest, -until)
        words = f"{need} of {', '.join(power.offices)}"
        words += f", among them {', '.join(power.including)}" if power.including else ""
        if power.duration_max_ms is not None:
            words += f", for {span_text(power.duration_max_ms)} at most"
        if power.until_ms is not None:
            words += f", until {time_text(power.until_ms)}"
        for verb in power.verbs:
            way = found.get((power.party, verb))
            if way is None or cost < way[0]:
                found[power.party, verb] = (cost, words)
    return found


def _term(old: Agreement, new: Agreement) -> Iterator[Difference]:
    for field, what, later_widens in (("from", "It begins", False), ("until", "It ends", True)):
        then, now = getattr(old, f"{field}_ms"), getattr(new, f"{field}_ms")
        yield from by_order(
            f"$.{field}",
            what,
            (then, time_text(then)),
            (now, time_text(now)),
            more_widens=later_widens,
        )
    if new.from_ms > old.until_ms:
        words = f"From {time_text(old.until_ms)} to {time_text(new.from_ms)} no version is in force"
        yield note("$.from", f"{words}: everything is held.", widens=False)
    if old.review_ms != new.review_ms:
        yield neither("$.review", f"It is reviewed by {time_text(new.review_ms)}.")
    if old.notice != new.notice:
        yield neither("$.notice", "How long before the parties are told of changes is different.")


def _texts(old: Agreement, new: Agreement) -> Iterator[Difference]:
    for field, what in (
        ("title", "Its title"),
        ("legal_basis", "Its legal basis"),
        ("treaty", "Its treaty"),
        ("language", "The language that counts"),
    ):
        if getattr(old, field) != getattr(new, field):
            yield neither(f"$.{field}", f"{what} is now: {getattr(new, field) or 'none'}")
    if old.languages != new.languages:
        words = ", ".join(new.languages) or "none"
        yield neither("$.languages", f"Translations exist in: {words}")
    if old.exercise != new.exercise:
        yield neither("$.exercise", f"It is {'an exercise' if new.exercise else 'no exercise'}.")
