"""Detente beside other TAXII 2.1 servers: the same work, the same client, in one run.

    make bench-peers [ITEMS=100000] [BUDGET=60]

For each number of stored objects (10,000, 100,000 and so on up to ITEMS) every server is filled
through POST in envelopes of 1,000 and asked the same questions. Who does not get there within
BUDGET seconds a step, or answers within twice that, is told with how far it came; nothing is
extrapolated. A question is asked a
few times and the median counts. Prints a table and writes ``bench/peers.json``.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bench.rivals import Rival, detente, install, medallion, opentaxii  # noqa: E402  # path first

MEDIA = "application/taxii+json;version=2.1"
TYPES = ("indicator", "infrastructure", "malware", "identity", "tool")
OBJECT_BYTES = 1_000
DEEP = 0.9
TIMES = 5
#: A question is not repeated once it has taken this long in all.
ENOUGH_S = 3.0
#: Detente's aims against the best of the others.
AIM_READ, AIM_WRITE, AIM_DEEP = 20, 40, 1.5


def object_of(number: int) -> dict[str, Any]:
    """A valid object of about 1 kB."""
    kind = TYPES[number % len(TYPES)]
    name = hashlib.sha256(f"peers {number}".encode()).hexdigest()
    return {
        "type": kind,
        "spec_version": "2.1",
        "id": f"{kind}--{name[:8]}-{name[8:12]}-4{name[13:16]}-8{name[17:20]}-{name[20:32]}",
        "created": "2026-01-01T00:00:00.000Z",
        "modified": "2026-01-01T00:00:00.000Z",
        "name": f"object {number}",
        "description": "x" * (OBJECT_BYTES - 290),
        **({"is_family": False} if kind == "malware" else {}),
        **(
            {
                "pattern": "[ipv4-addr:value = '198.51.100.1']",
                "pattern_type": "stix",
                "valid_from": "2026-01-01T00:00:00Z",
            }
            if kind == "indicator"
            else {}
        ),
    }


class Client:
    """One connection that is kept open."""

    def __init__(self, rival: Rival, budget_s: float) -> None:
        self.rival = rival
        self._http = http.client.HTTPConnection(rival.host, rival.port, timeout=budget_s)

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[float, bytes]:
        """Seconds and body of an answer; raises on anything but success."""
        headers = {"accept": MEDIA, **self.rival.headers}
        if body is not None:
            headers["content-type"] = MEDIA
        began = time.perf_counter()
        self._http.request(method, self.rival.path + path, body, headers)
        answer = self._http.getresponse()
        data = answer.read()
        took = time.perf_counter() - began
        if answer.status not in (200, 202):
            raise RuntimeError(f"{self.rival.name} answered {answer.status}: {data[:300]!r}")
        return took, data

    def add(self, first: int, count: int) -> float:
        """Post an envelope; the seconds it took."""
        made = {"objects": [object_of(number) for number in range(first, first + count)]}
        took, data = self.ask("POST", "objects/", json.dumps(made, separators=(",", ":")).encode())
        status = json.loads(data)
        if status.get("success_count") != count:
            # Some servers work on after they have answered; that is part of the work.
            took += self._until_complete(status["id"], count)
        return took

    def _until_complete(self, status_id: str, count: int) -> float:
        began = time.perf_counter()
        root = self.rival.path.split("collections/")[0]
        while True:
            self._http.request(
                "GET", f"{root}status/{status_id}/", headers={"accept": MEDIA, **self.rival.headers}
            )
            status = json.loads(self._http.getresponse().read())
            if status["status"] == "complete":
                if status["success_count"] != count:
                    raise RuntimeError(f"{self.rival.name}: {str(status)[:300]}")
                return time.perf_counter() - began


class Course:
    """One server on its way: how many objects it has, and what it was measured at."""

    def __init__(self, rival: Rival, budget_s: float) -> None:
        self.rival = rival
        self.client = Client(rival, budget_s)
        self.budget_s = budget_s
        self.stored = 0
        self.rows: dict[tuple[int, str], float] = {}
        self.notes: list[str] = []
        self.out = False

    def reach(self, items: int) -> None:
        """Fill up to so many objects; the rates of envelopes of 1, 100 and 1,000 at the end."""
        began = time.monotonic()
        deep_at = int(items * DEEP)
        after = ""
        while self.stored < items - 1_000 - 20 * 100 - 50:
            if time.monotonic() - began > self.budget_s:
                self.out = True
                self.notes.append(
                    f"{self.rival.name} has {self.stored:,} of {items:,} objects after "
                    f"{self.budget_s:.0f} s and is left out from here"
                )
                return
            if not after and self.stored >= deep_at:
                after = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            self.client.add(self.stored, 1_000)
            self.stored += 1_000
        self.after = after or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        for size, times in ((1_000, 1), (100, 10), (1, 50)):
            spans = []
            for _ in range(times):
                spans.append(self.client.add(self.stored, size))
                self.stored += size
            self.rows[items, f"POST envelopes of {size:,}"] = size / statistics.median(spans)

    def question(self, items: int, name: str, path: str, unit: int) -> None:
        """Ask a few times; objects a second by the median."""
        spans: list[float] = []
        try:
            while len(spans) < TIMES and sum(spans) < ENOUGH_S:
                took, data = self.client.ask("GET", path)
                spans.append(took)
            found = json.loads(data).get("objects", [])
            if len(found) != unit:
                self.notes.append(f"{self.rival.name}: {name} gave {len(found)}, not {unit}")
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            self.notes.append(f"{self.rival.name}: {name} at {items:,}: {str(error)[:120]}")
            self.client = Client(self.rival, self.budget_s)
            return
        self.rows[items, name] = unit / statistics.median(spans)

    def read(self, items: int) -> None:
        """Every question about what is stored now."""
        some = [object_of(number)["id"] for number in range(0, items, items // 20)][:20]
        deep = "added_after=" + quote(self.after)
        filters = {
            "GET 100, first page": ("objects/?limit=100", 100),
            "GET 100, deep": (f"objects/?limit=100&{deep}", 100),
            "GET 1,000, first page": ("objects/?limit=1000", 1_000),
            "GET 1,000, deep": (f"objects/?limit=1000&{deep}", 1_000),
            "GET 1,000 of one type": (
                "objects/?" + urlencode({"limit": 1000, "match[type]": "malware"}),
                1_000,
            ),
            "GET one object by filter": ("objects/?" + urlencode({"match[id]": some[3]}), 1),
            "GET 20 objects by filter": (
                "objects/?" + urlencode({"match[id]": ",".join(some)}),
                20,
            ),
            "GET 1,000, all versions": (
                "objects/?" + urlencode({"limit": 1000, "match[version]": "all"}),
                1_000,
            ),
            "manifest of 100": ("manifest/?limit=100", 100),
            "manifest of 1,000": ("manifest/?limit=1000", 1_000),
        }
        end = time.monotonic() + 2 * self.budget_s
        for name, (path, unit) in filters.items():
            if time.monotonic() > end:
                self.notes.append(f"{self.rival.name} at {items:,}: no time left for {name}")
                continue
            self.question(items, name, path, unit)


def table(courses: list[Course], sizes: list[int]) -> tuple[str, list[dict[str, Any]]]:
    """For people and for the file."""
    ours, others = courses[0], courses[1:]
    lines, rows = [], []
    names = [course.rival.name for course in courses]
    lines.append(f"{'objects a second':<26}" + "".join(f"{name:>14}" for name in names) + "   best")
    for items in sizes:
        lines.append(f"with {items:,} stored")
        for (at, name), own in ours.rows.items():
            if at != items:
                continue
            write = name.startswith("POST")
            best = max((c.rows[at, name] for c in others if (at, name) in c.rows), default=None)
            cells = "".join(
                f"{course.rows[at, name]:>14,.0f}" if (at, name) in course.rows else f"{'–':>14}"
                for course in courses
            )
            aim = AIM_WRITE if write else AIM_READ
            ratio = "" if best is None else f"{own / best:>6.0f}×"
            mark = "" if best is None or own >= aim * best else f"  below {aim}×"
            lines.append(f"  {name:<24}{cells} {ratio}{mark}")
            rows.append(
                {
                    "stored": at,
                    "what": name,
                    **{c.rival.name: c.rows.get((at, name)) for c in courses},
                }
            )
    lines += [
        f"deep to first page of 1,000 with {items:,} stored: "
        f"{ours.rows[items, 'GET 1,000, first page'] / ours.rows[items, 'GET 1,000, deep']:.2f} "
        f"(at most {AIM_DEEP})"
        for items in sizes
        if (items, "GET 1,000, deep") in ours.rows
    ]
    return "\n".join(lines), rows


def main() -> int:
    """All servers, size by size."""
    most = int(os.environ.get("ITEMS", "100000"))
    budget_s = float(os.environ.get("BUDGET", "60"))
    sizes = [size for size in (10_000, 100_000, 1_000_000) if size <= most]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rivals = []
        for name, start, packages in (
            ("Detente", detente, ()),
            ("medallion", medallion, ("medallion",)),
            ("OpenTAXII", opentaxii, ("opentaxii", "gunicorn")),
        ):
            own = folder / name
            own.mkdir()
            if not packages:
                rivals.append(stack.enter_context(start(own)))
                continue
            python = install(packages)
            if python is not None:
                rivals.append(stack.enter_context(start(own, python)))
        courses = [Course(rival, budget_s) for rival in rivals]
        for items in sizes:
            for course in courses:
                if course.out:
                    continue
                print(f"{course.rival.name}: {items:,} …", file=sys.stderr, flush=True)
                # Ours is the one to be measured; it always goes all the way.
                course.budget_s = budget_s if course is not courses[0] else 3_600
                course.reach(items)
                if not course.out:
                    course.read(items)
        text, rows = table(courses, sizes)
    print(text)
    for course in courses:
        for note in course.notes:
            print(f"note: {note}")
    (HERE / "peers.json").write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
