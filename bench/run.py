"""The measurements of a node, beside the raw limit of the machine in the same run.

    make bench [ITEMS=1000000]

Every figure is of a real node in a process of its own, over HTTP on loopback, with the checks and
the ledger that it always has. Prints a table and writes ``bench/results.json``. The goals stand
beside; a figure below its goal is marked, and nothing fails: machines differ.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bench.place import Place, envelope, memory_mb, open_place  # noqa: E402  # the path above first
from bench.raw import bare_in, bare_out  # noqa: E402  # the path above must be set first
from bench.reading import PAGE, Reader, read_together  # noqa: E402  # the path above must be first
from detente.wire.stix import Limits, cut  # noqa: E402  # the path above must be set first

ENVELOPE = 1_000
READERS = 8
#: Ways of handling objects in one collection: as many as one publication may add.
HANDLINGS = 256
#: Envelopes that are made before the clock runs; making them is not the node's work.
MADE = 50
Row = dict[str, Any]


def row(what: str, unit: str, got: float, goal: float | None = None, *, most: bool = False) -> Row:
    """One line of the table; ``most``: the goal is an upper bound."""
    reached = None if goal is None else (got <= goal if most else got >= goal)
    return {"what": what, "unit": unit, "got": got, "goal": goal, "most": most, "reached": reached}


def raw_limit(folder: Path) -> list[Row]:
    """Bare SQLite with the same bytes."""
    objects = [
        one.raw
        for n in range(100)
        for one in cut(envelope(n * ENVELOPE, ENVELOPE), Limits()).objects
    ]
    path = folder / "bare.db"
    return [
        row("bare SQLite table in, durable, 1,000 a commit", "objects/s", bare_in(path, objects)),
        row("bare SQLite table out, joined pages of 1,000", "objects/s", bare_out(path)),
    ]


def fill(place: Place, items: int) -> Iterator[tuple[int, float, float]]:
    """Publish so many objects; after each tenth part: the number, its rate, its worst answer in
    milliseconds."""
    step = max(ENVELOPE, items // 10)
    with place.operator() as http:
        for start in range(0, items, step):
            spent = worst = 0.0
            for first in range(start, start + step, MADE * ENVELOPE):
                last = min(first + MADE * ENVELOPE, start + step)
                made = [envelope(n, ENVELOPE) for n in range(first, last, ENVELOPE)]
                for body in made:
                    began = time.perf_counter()
                    place.publish(http, body)
                    took = time.perf_counter() - began
                    spent, worst = spent + took, max(worst, took)
            yield start + step, step / spent, worst * 1000


def intake(place: Place, items: int) -> list[Row]:
    """The rate of durable publication, and whether it falls as the node fills."""
    parts = []
    for count, rate, worst_ms in fill(place, items):
        parts.append(rate)
        memory = memory_mb(place.pid)["VmRSS"]
        say(f"  {count:>9,} objects: {rate:,.0f}/s, worst {worst_ms:.0f} ms, {memory:.0f} MB")
    return [
        row("intake, envelopes of 1,000, one client", "objects/s", statistics.mean(parts), 20_000),
        row("intake, last tenth to first tenth", "ratio", parts[-1] / parts[0]),
        row("memory after intake", "MB", memory_mb(place.pid)["VmRSS"], 300, most=True),
    ]


def serving(place: Place, items: int) -> list[Row]:
    """Pages out of the whole feed, at any depth, and out of memory."""
    reader = Reader(place, "R0")
    rows = []
    pages, seconds = reader.walk("", items // PAGE + 10)
    if pages < items // PAGE:
        raise RuntimeError(f"expected {items // PAGE} pages, got {pages}")
    whole = pages * PAGE / seconds
    rows.append(row("serving the whole feed, one reader", "objects/s", whole, 150_000))
    readers = [Reader(place, f"R{n}") for n in range(READERS)]
    depth = {"first": "", "deep": f"next={middle(readers[0], items)}"}
    for name, query in depth.items():
        rate = read_together(readers[:1], query, pages=20, seconds=3)
        rows.append(row(f"serving 20 pages again and again, {name}", "objects/s", rate))
    rows.append(row("deep to first", "ratio", rows[-1]["got"] / rows[-2]["got"]))
    rate = read_together(readers, "", pages=20, seconds=5)
    rows.append(row(f"the same stretch to {READERS} readers, in memory", "objects/s", rate, 10**6))
    rate = read_together(readers, "", pages=items // PAGE, seconds=1)
    rows.append(row(f"the whole feed to {READERS} readers", "objects/s", rate, 150_000))
    memory = memory_mb(place.pid)
    rows.append(row("memory after serving", "MB", memory["VmRSS"], 300, most=True))
    rows.append(row("memory at its highest", "MB", memory["VmHWM"]))
    return rows


def middle(reader: Reader, items: int) -> str:
    """A cursor half way into the feed."""
    query, name = f"limit={PAGE}", ""
    for _ in range(items // PAGE // 2):
        name = reader.page(query)["next"]
        query = f"limit={PAGE}&next={name}"
    return name


def orders(place: Place, items: int) -> list[Row]:
    """Stop and resume over a backlog that nobody has read: a party of its own has it all."""
    stops, resumptions = [], []
    with place.operator() as http:
        for n in range(7):
            stops.append(place.order(http, f"S{n}", "suspend"))
            resumptions.append(place.order(http, f"X{n}", "resume", (f"S{n}",)))
    return [
        row(f"stop, {items:,} wait, until in force", "ms", statistics.median(stops), 50, most=True),
        row("stop, worst of 7", "ms", max(stops)),
        row("resume, the same", "ms", statistics.median(resumptions), 50, most=True),
        row("resume, worst of 7", "ms", max(resumptions)),
    ]


def parties(folder: Path, count: int) -> list[Row]:
    """What a thousand readers cost a publisher: two nodes in turn, so that noise meets both."""
    rates: dict[int, list[float]] = {1: [], count: []}
    with (
        open_place(folder / "one", 1) as one,
        open_place(folder / "many", count) as many,
        one.operator() as first,
        many.operator() as second,
    ):
        for n in range(60):
            body = envelope(n * ENVELOPE, ENVELOPE)
            for number, place, http in ((1, one, first), (count, many, second)):
                began = time.perf_counter()
                place.publish(http, body)
                if n >= 10:  # the first find every handling new
                    rates[number].append(time.perf_counter() - began)
        memory = memory_mb(many.pid)["VmRSS"]
        for n in range(HANDLINGS):
            query = {"collection": "tracks", "grade": f"of:{n}"}
            body = envelope((60 + n) * ENVELOPE, 1)
            second.post("/api/publish", params=query, content=body).raise_for_status()
        stops = [many.order(second, f"S{n}", "suspend", (f"S{n - 1}",) * (n > 0)) for n in range(3)]
    ratio = statistics.median(rates[count]) / statistics.median(rates[1])
    return [
        row(
            f"publishing to {count:,} parties, cost to that of one", "ratio", ratio, 1.2, most=True
        ),
        row(f"memory of the node with {count:,} parties", "MB", memory),
        row(f"stop, {count:,} parties, {HANDLINGS} handlings", "ms", stops[0]),
        row("the same stop again, worst of 2", "ms", max(stops[1:])),
    ]


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def table(rows: list[Row]) -> str:
    """The rows for people."""
    lines = []
    for one in rows:
        got = f"{one['got']:,.2f}" if one["got"] < 100 else f"{one['got']:,.0f}"
        goal = ""
        if one["goal"] is not None:
            bound = "at most" if one["most"] else "at least"
            goal = f"{bound} {one['goal']:,}" + ("" if one["reached"] else "  NOT REACHED")
        lines.append(f"{one['what']:<52} {got:>12} {one['unit']:<10} {goal}".rstrip())
    return "\n".join(lines)


def main() -> int:
    """All measurements."""
    items = int(os.environ.get("ITEMS", "1000000"))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIRECTORY")) as made:
        folder = Path(made)
        say("raw limit …")
        rows += raw_limit(folder)
        with open_place(folder / "node", READERS + 1) as place:
            rows.append(row("memory of an empty node", "MB", memory_mb(place.pid)["VmRSS"]))
            say(f"intake of {items:,} objects …")
            rows += intake(place, items)
            say("orders …")
            rows += orders(place, items)
            say("serving …")
            rows += serving(place, items)
        say("parties …")
        rows += parties(folder, 1000)
    found = {one["what"]: one["got"] for one in rows}
    raw_in, raw_out = (one["got"] for one in rows[:2])
    taken = found["intake, envelopes of 1,000, one client"]
    given = found["serving the whole feed, one reader"]
    rows.append(row("intake to the bare table", "ratio", taken / raw_in))
    rows.append(row("serving to the bare table", "ratio", given / raw_out))
    print(table(rows))
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "items": items}
    result = json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n"
    (HERE / "results.json").write_text(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
