"""Detente beside two other TAXII servers, medallion and OpenTAXII, on the same work in one run.

    make bench-peers [PEERS='--sizes 1000,10000,100000,1000000']

Each server is filled to the same number of objects and asked the same questions in turn, round by
round, so that noise meets all of them. Whatever a peer does not reach in its time is told as far as
it got; nothing is extrapolated. Prints a table and writes ``bench/peers.json``.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bench.peer_load import (  # noqa: E402  # the path above must be set first
    RARE,
    Ask,
    Client,
    Took,
    TooSlow,
    id_of,
    repeat,
    together,
    written,
)
from bench.peer_servers import (  # noqa: E402  # the path above must be set first
    PEERS,
    NotInstalled,
    Server,
    installed,
    opened,
)

ENVELOPE = 1_000
ROUNDS = 3
ROUND_S = 0.4
CLIENTS = 4
#: A question whose answer takes longer than this is asked once only.
SLOW_S = 2.0
READ_GOAL, WRITE_GOAL, DEEP_GOAL = 20.0, 40.0, 1.5
Figures = dict[str, Any]


class Bed:
    """A server that is measured: what it stores, and since when."""

    def __init__(self, name: str, folder: Path, budget: argparse.Namespace) -> None:
        self.name = name
        self._folder = folder
        self._budget = budget
        self._stack = contextlib.ExitStack()
        #: Groups of questions that took too long, and with how many objects: asked no more.
        self.given_up: dict[str, int] = {}
        self._numbers = itertools.count(10_000_000)
        self.start()

    def start(self) -> None:
        """Serve, empty."""
        self._stack.close()
        self.server: Server = self._stack.enter_context(opened(self.name, self._folder))
        self.clients = [Client(self.server, self._budget.answer_s) for _ in range(CLIENTS)]
        #: Objects of the series that all servers get, and of all.
        self.filled = self.stored = 0
        #: It left a POST of the filling unanswered, and gets no more of them.
        self.stuck = False
        #: (objects stored, instant after that) as the server was filled.
        self._instants: list[tuple[int, float]] = []

    def close(self) -> None:
        """End the server."""
        self._stack.close()

    def fill(self, size: int, seconds: float) -> list[Took]:
        """Store the series up to ``size`` objects in all, as far as the seconds last."""
        took: list[Took] = []
        while not self.stuck and self.stored < size and sum(one.seconds for one in took) < seconds:
            count = min(ENVELOPE, max(1, size // 10), size - self.stored)
            ask = Ask(name="fill", group="fill", post=count)
            body = self.clients[0].request(ask, written(self.filled, count))
            try:
                took.append(Took(self.clients[0].send(body).seconds, count))
            except TooSlow:
                self.stuck = True
                break
            self.filled += count
            self.stored += count
            # Apart from what comes before and after by more than a clock can be off.
            time.sleep(0.002)
            self._instants.append((self.stored, time.time()))
            time.sleep(0.002)
        return took

    def passed(self, part: float) -> str:
        """A time behind which the objects after this part of the whole were added."""
        at = max((t for n, t in self._instants if n <= self.stored * part), default=0.0)
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def ask(self, ask: Ask, seconds: float) -> list[Took]:
        """The answers to a question, asked for so long."""
        # Made before the clock runs: making them is not the server's work.
        count = ask.requests_max * ask.clients if ask.post else 0
        bodies = [written(next(self._numbers) * ENVELOPE, ask.post) for _ in range(count)]
        if ask.clients > 1:
            took = together(self.clients[: ask.clients], ask, bodies, seconds=seconds)
        else:
            took = list(repeat(self.clients[0], ask, bodies, seconds=seconds))
        if ask.post:
            self.stored += sum(one.count for one in took)
        return took


def limited(count: int, **more: str) -> dict[str, str]:
    """A query for a page; ``version`` and ``type_`` are filters."""
    names = {"version": "match[version]", "type_": "match[type]"}
    return {"limit": str(count), **{names.get(name, name): text for name, text in more.items()}}


#: What is written, last of all, so that every question is asked of the same number of objects.
WRITING = (
    Ask(name="POST of 1", group="post", post=1, requests_max=100),
    Ask(name="POST of 100", group="post", post=100, requests_max=5),
    Ask(
        name=f"POST of 100, {CLIENTS} clients",
        group="post",
        post=100,
        clients=CLIENTS,
        requests_max=3,
    ),
)


def questions(bed: Bed) -> list[Ask]:
    """All questions to a server as it is filled now: what costs least first, writing last."""
    ids = [id_of(bed.filled * k // 20) for k in range(20)]
    deep = bed.passed(0.9)
    manifest, page = "manifest", "pages of objects"
    return [
        Ask(name="match[id], 1", group="id", query={"match[id]": ids[10]}),
        Ask(name="match[id], 20", group="ids", query={"match[id]": ",".join(ids)}),
        *(
            Ask(
                name=f"manifest of {n:,}, {where}",
                group=manifest,
                resource="manifest/",
                query=query,
            )
            for n in (100, 1_000)
            for where, query in (("first", limited(n)), ("deep", limited(n, added_after=deep)))
        ),
        Ask(name="match[type], page of 100", group="type", query=limited(100, type_=RARE)),
        *(
            Ask(name=f"page of {n:,}, {where}", group=page, query=query)
            for n in (100, 1_000)
            for where, query in (("first", limited(n)), ("deep", limited(n, added_after=deep)))
        ),
        *(
            Ask(name=f"page of 1,000, all versions, {where}", group="all", query=query)
            for where, query in (
                ("first", limited(1_000, version="all")),
                ("deep", limited(1_000, version="all", added_after=deep)),
            )
        ),
        Ask(
            name="added_after half way, page of 100",
            group=page,
            query=limited(100, added_after=bed.passed(0.5)),
        ),
        Ask(
            name=f"page of 1,000, first, {CLIENTS} clients",
            group=page,
            query=limited(1_000),
            clients=CLIENTS,
        ),
        *WRITING,
    ]


class Run:
    """All servers through all sizes."""

    def __init__(self, beds: list[Bed], options: argparse.Namespace) -> None:
        self._beds = beds
        self._options = options
        #: Size, question, server: figures.
        self.found: dict[str, dict[str, dict[str, Figures]]] = {}

    def size(self, size: int) -> None:
        """Fill all to a size, ask all questions."""
        found = self.found.setdefault(f"{size:,}", {})
        self._fill(size, found)
        for ask in questions(self._beds[0]):
            name, answers = ask.name, {bed.name: [] for bed in self._beds}
            notes: dict[str, str] = {}
            for _ in range(ROUNDS):
                for bed in self._beds:
                    self._round(bed, ask, size, answers[bed.name], notes)
            found[name] = {
                bed.name: figures(answers[bed.name], ask, notes.get(bed.name, ""), bed.stored)
                for bed in self._beds
            }
            say(line(name, found[name], [bed.name for bed in self._beds], ask))

    def _fill(self, size: int, found: dict[str, dict[str, Figures]]) -> None:
        """In ten steps each, in turn."""
        took: dict[str, list[Took]] = {bed.name: [] for bed in self._beds}
        for part in range(1, 11):
            for bed in self._beds:
                spent = sum(one.seconds for one in took[bed.name])
                started = bed.stored if part == 1 else 0
                to = max(size * part // 10, started)
                took[bed.name] += bed.fill(to, self._options.fill_s - spent)
        name = f"POST of {min(ENVELOPE, size // 10):,}, filling"
        ask = Ask(name=name, group="post", post=1)
        found[name] = {}
        for bed in self._beds:
            short = bed.stored < size
            note = f"only {bed.stored:,} stored after {self._options.fill_s} s" if short else ""
            if bed.stuck:
                note = (
                    f"only {bed.stored:,} stored, then a POST took over {self._options.answer_s} s"
                )
            found[name][bed.name] = figures(took[bed.name], ask, note, bed.stored)
        say(f"\n{size:,} objects stored")
        say(line("", {}, [bed.name for bed in self._beds], ask))
        say(line(name, found[name], [bed.name for bed in self._beds], ask))
        for bed in self._beds:
            if found[name][bed.name]["note"]:
                say(f"  {bed.name}: {found[name][bed.name]['note']}")

    def _round(
        self, bed: Bed, ask: Ask, size: int, answers: list[Took], notes: dict[str, str]
    ) -> None:
        if ask.group in bed.given_up:
            notes[bed.name] = f"over {self._options.answer_s} s with {bed.given_up[ask.group]:,}"
            return
        if answers and max(one.seconds for one in answers) > SLOW_S:
            return
        own = next(one for one in questions(bed) if one.name == ask.name)
        try:
            answers += bed.ask(own, ROUND_S)
        except TooSlow:
            # It may work on that answer for minutes: it begins anew, with as much as before.
            bed.given_up[ask.group] = bed.stored
            notes[bed.name] = f"over {self._options.answer_s} s with {bed.stored:,}"
            filled = bed.filled
            bed.start()
            bed.fill(min(size, filled), self._options.fill_s)


def figures(answers: list[Took], ask: Ask, note: str, stored: int) -> Figures:
    """Objects a second, and the median and the 99th percentile of the latencies."""
    if not answers:
        return {"note": note, "stored": stored}
    times = sorted(one.seconds * 1000 for one in answers)
    if ask.clients > 1:
        rate = statistics.median(one.count / one.seconds for one in answers)
    else:
        rate = sum(one.count for one in answers) / sum(one.seconds for one in answers)
    return {
        "objects_a_second": rate,
        "median_ms": statistics.median(times),
        "p99_ms": times[min(len(times) - 1, len(times) * 99 // 100)],
        "answers": len(answers),
        "objects": max(one.count for one in answers),
        "note": note,
        "stored": stored,
    }


def ratio(found: dict[str, Figures], ask: Ask) -> float | None:
    """Detente's rate to the best rate of the peers that do the same: for writing, of those that
    write to disk."""
    own = found.get("Detente", {}).get("objects_a_second")
    rivals = [name for name in PEERS if not ask.post or name != "medallion"]
    best = max((found.get(name, {}).get("objects_a_second", 0.0) for name in rivals), default=0.0)
    return own / best if own and best else None


def line(name: str, found: dict[str, Figures], servers: list[str], ask: Ask) -> str:
    """One line of the table; without a name the head of it."""
    cells = [f"  {name or 'objects/s (median ms, p99 ms)':<38}"]
    for server in servers:
        one = found.get(server, {})
        if not name:
            cell = server
        elif "objects_a_second" in one:
            cell = f"{one['objects_a_second']:,.0f} ({one['median_ms']:,.1f}, {one['p99_ms']:,.1f})"
        else:
            cell = one.get("note", "") or "-"
        cells.append(f"{cell:>28}")
    times = ratio(found, ask)
    goal = WRITE_GOAL if ask.post else READ_GOAL
    mark = "" if times is None or times >= goal else " BELOW"
    cells.append(f"{'ratio' if not name else f'{times:,.0f}x{mark}' if times else '-':>12}")
    return " ".join(cells)


def deep(found: dict[str, dict[str, dict[str, Figures]]]) -> list[dict[str, Any]]:
    """How much longer deep pages take than first ones, at Detente."""
    rows = []
    for size, asked in found.items():
        for name in ("page of 100", "page of 1,000", "manifest of 100", "manifest of 1,000"):
            first, last = (asked[f"{name}, {where}"]["Detente"] for where in ("first", "deep"))
            if first.get("objects") == last.get("objects"):
                rows.append(
                    {"size": size, "what": name, "ratio": last["median_ms"] / first["median_ms"]}
                )
    return rows


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, flush=True)


def present() -> list[str]:
    """The servers that can be had here."""
    names = ["Detente"]
    for name in PEERS:
        try:
            installed(name)
        except NotInstalled as error:
            say(f"{name} is left out: it cannot be installed here: {error}")
        else:
            names.append(name)
    return names


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Measure Detente beside medallion and OpenTAXII.")
    parser.add_argument("--sizes", default="1000,10000,100000", help="objects stored, rising")
    parser.add_argument("--fill-s", type=int, default=90, help="seconds to fill to each size")
    parser.add_argument("--answer-s", type=int, default=20, help="seconds for one answer")
    parser.add_argument("--servers", default="", help="only these, with commas between")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="bench-peers-") as place,
        contextlib.ExitStack() as all_,
    ):
        beds = []
        for name in options.servers.split(",") if options.servers else present():
            beds.append(Bed(name, Path(place) / name, options))
            all_.callback(beds[-1].close)
        for bed in beds:
            say(f"{bed.name}: an answered write is {bed.server.durable}")
        run = Run(beds, options)
        for size in sizes:
            run.size(size)
    say("\nDetente, deep page to first page (median latency; goal: at most 1.5)")
    rows = deep(run.found)
    for row in rows:
        mark = "" if row["ratio"] <= DEEP_GOAL else "  ABOVE THE GOAL"
        say(f"  {row['size']:>9} stored, {row['what']:<20} {row['ratio']:.2f}{mark}")
    result = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "seconds": time.monotonic() - began,
        "found": run.found,
        "deep": rows,
    }
    (HERE / "peers.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    say(f"\n{result['seconds']:.0f} s; written to bench/peers.json")


if __name__ == "__main__":
    main()
