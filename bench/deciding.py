"""What deciding costs: a change of standing over many agreements, parties and handlings.

    make bench-deciding

Fifty agreements of a hundred parties and five hundred handlings each, with orders, conditions and
assurances in force. One change bears on one agreement: its acts are folded anew and every handling
is decided for every party. A new handling is decided for the feeds of all parties. Pure rules, no
store; the same functions the node asks. Written to ``bench/deciding.json``.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

from msgspec.structs import replace

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from detente.gateway.feeds import Decided  # noqa: E402  # the path above must be set first
from detente.gateway.gate import Current  # noqa: E402  # the path above must be set first
from detente.model import (  # noqa: E402  # the path above must be set first
    Agreement,
    Assurance,
    AssuranceTemplate,
    Choice,
    Collection,
    Condition,
    Contact,
    Directive,
    Handling,
    Kind,
    Member,
    Purpose,
    Scope,
    digest,
    encode,
)
from detente.rules.standing import (  # noqa: E402  # the path above must be set first
    Act,
    AgreementOpened,
    AssuranceGiven,
    DirectiveEffect,
    fold,
)

AGREEMENTS, PARTIES, HANDLINGS = 50, 100, 500
CHANGE_MS_GOAL, NEW_MS_GOAL = 200, 5
NOW, UNTIL = 1_000_000, 10**12
MARKINGS = ((), ("tlp:green",), ("tlp:amber",), ("tlp:amber", "rel:COL,USA"), ("orcon",))


def terms(number: int) -> Agreement:
    """An agreement in which the first party sends to all others; half of the parties have one
    country, half another."""
    names = [f"P{n}" for n in range(PARTIES)]
    contact = Contact(office="Duty", reach="by radio")
    return Agreement(
        id=f"A{number}",
        title="A measured agreement",
        legal_basis="None",
        members=tuple(
            Member(
                party=name,
                units=("U1", "U2"),
                charter="0" * 64,
                contact=contact,
                country="COL" if n % 2 else "USA",
            )
            for n, name in enumerate(names)
        ),
        collections=(
            Collection(
                name="out",
                id=f"5f0c7a52-3f6e-4c7e-9d0a-{number:012d}",
                title="Out",
                sender="P0",
                readers=tuple(names[1:]),
            ),
        ),
        kinds=tuple(
            Kind(id=f"K{n}", title=f"K{n}", evidence=n % 5 == 1, nature=n % 7 == 1)
            for n in range(20)
        ),
        purposes=(Purpose(id="p", title="P"), Purpose(id="q", title="Q")),
        assurances=(AssuranceTemplate(id="AS", text="Words", valid_max_ms=UNTIL),),
        powers=(),
        from_ms=0,
        until_ms=UNTIL,
        review_ms=UNTIL,
    )


def handlings() -> dict[int, Handling]:
    """Five hundred, over kinds, units, purposes and markings."""
    return {
        n: Handling(
            collection="out",
            kind=f"K{n % 20}",
            stix_type=f"type-{n % 25}",
            originator="P0",
            unit=f"U{1 + n % 2}",
            markings=MARKINGS[n % len(MARKINGS)],
            purpose="pq"[n % 2],
            grade=f"admiralty:{'ABC'[n % 3]}{1 + n % 5}",
            flags=("evidence", "fact") if n % 3 else (),
        )
        for n in range(HANDLINGS)
    }


def acts(agreement: Agreement) -> list[Act]:
    """A stop of some kinds towards some parties, a condition on others, some assurances."""
    named = digest(encode(agreement))
    base = Directive(
        id="D0",
        agreement=agreement.id,
        agreement_digest=named,
        issuer="P0",
        office="head",
        verb="suspend",
        scope=Scope(kind=Choice.of("K1", "K2"), party=Choice.but("P7", "P9")),
        drafted_ms=0,
        sign_by_ms=UNTIL,
        reason="Measured",
        nonce="0" * 32,
    )
    condition = replace(
        base,
        id="D1",
        verb="condition",
        conditions=(Condition(template="AS", scope=Scope(kind=Choice.of("K3", "K4"))),),
    )
    found: list[Act] = [AgreementOpened(agreement=agreement, digest=named, at_ms=0)]
    for order in (base, condition):
        found.append(DirectiveEffect(directive=order, digest=digest(encode(order)), at_ms=1))
    for n in range(1, 21):
        given = Assurance(
            id=f"S{n}",
            agreement=agreement.id,
            agreement_digest=named,
            giver=f"P{n}",
            holder="P0",
            template="AS",
            kinds=("K3",),
            from_ms=0,
            until_ms=UNTIL,
            office="head",
            nonce="0" * 32,
        )
        found.append(AssuranceGiven(assurance=given, digest=digest(encode(given)), at_ms=1))
    return found


def decided(current: Current, some: dict[int, Handling], parties: list[str]) -> int:
    """Every outcome for every party; how many."""
    all_ = Decided(current, "P0")
    return sum(len(all_.outcomes("out", some, party)) for party in parties)


def main() -> int:
    """Measure, print, write."""
    some = handlings()
    changes, news = [], []
    for number in range(AGREEMENTS):
        agreement = terms(number)
        parties = [member.party for member in agreement.members]
        known = acts(agreement)
        began = time.perf_counter()
        standing = fold(known, NOW)
        current = Current(agreement=agreement.id, epoch=1, acts=len(known), standing=standing)
        count = decided(current, some, parties)
        changes.append((time.perf_counter() - began) * 1000)
        assert count == PARTIES * HANDLINGS
        new = {HANDLINGS: replace(some[0], grade="admiralty:F6")}
        began = time.perf_counter()
        decided(current, new, parties)
        news.append((time.perf_counter() - began) * 1000)
    rows = []
    for what, times, goal in (
        ("standing recomputed after a change, all decided", changes, CHANGE_MS_GOAL),
        ("a new handling decided for all feeds", news, NEW_MS_GOAL),
    ):
        median, worst = statistics.median(times), max(times)
        rows.append({"what": what, "median_ms": median, "worst_ms": worst, "goal_ms": goal})
        mark = "" if worst <= goal else "  ABOVE THE GOAL"
        print(f"{what:<50} median {median:7.2f} ms, worst {worst:7.2f} ms (at most {goal}){mark}")
    sizes = {"agreements": AGREEMENTS, "parties": PARTIES, "handlings": HANDLINGS}
    text = json.dumps({"sizes": sizes, "rows": rows}, indent=2) + "\n"
    (HERE / "deciding.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
