"""Fires hostile requests at a node, a real process, and checks every answer.

    python tests/faults/fuzz_run.py --minutes 10 [--seed N] [--threads 4]

Starts the TAXII lab (`tools/taxii_lab.py`) with short deadlines, gives it credentials of two
parties, and writes generated requests (`fuzz_requests`) to raw sockets. After each must hold:

- the answer is well-formed HTTP, or the connection is closed, within a bound;
- no 5xx but 503 with Retry-After; under /taxii2/ every error has the one shape;
- no answer tells another party's names or contents, a secret, or how the node is made inside;
- no header of ours that a request tried to smuggle in.

Every second it is checked that an ordinary request is still answered. At the end: the node's memory
before and after, and its record, which must verify. ``--timing`` compares how long the node takes
to say no to what is hidden and to what does not exist. Prints a summary in JSON; exits 1 at a
fault.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools
import httpx

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.faults.fuzz_requests import MEDIA, Case, Known, Maker, basic  # noqa: E402  # the path above must be set first

DEADLINE_MS = 400
#: In these answers no part of the node may be named.
INSIDE = re.compile(
    rb"Traceback|File \"|site-packages|uvicorn|starlette|apsw|sqlite|msgspec|orjson|httptools"
    rb"|/tmp/|\.py\b|detente\.(?:faces|gateway|store|wire|rules|proof|node)|object at 0x"
    rb"|[A-Z][a-z]+Error\b"
)
MARK = "hidden-from-others-7f3a"
#: Answers of the connection itself, given before it is known what was asked for.
EARLY = {400, 408, 431, 503}
#: Kinds of cases that are one request, and so have one answer.
SINGLE = {"plain", "cursor", "guess", "alive", "timed", "peer", "operator"}


class Answers:
    """What came back over one connection, parsed strictly."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.bodies: list[bytes] = []
        self.raw = b""
        self.fault = ""
        self.ended = 0
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """More bytes of the node."""
        self.raw += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fault = f"not HTTP: {error}"

    def on_message_begin(self) -> None:
        self.headers.append({})
        self.bodies.append(b"")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[-1][name.lower()] = value

    def on_headers_complete(self) -> None:
        self.statuses.append(self._parser.get_status_code())

    def on_body(self, body: bytes) -> None:
        self.bodies[-1] += body

    def on_message_complete(self) -> None:
        self.ended += 1


@dataclass
class Lab:
    """The lab's process, where it serves, and who may do what."""

    process: subprocess.Popen[str]
    told: dict[str, Any]
    folder: Path
    known: Known
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.told["base"].rsplit(":", 1)[1])

    def rss_kb(self) -> int:
        """Resident memory of the node."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", text)
        return int(found[1]) if found else 0


@contextlib.contextmanager
def lab(place: Path) -> Iterator[Lab]:
    """A lab with credentials of two parties; ended in order."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(place)}
    log = (place / "log").open("wb")
    command = [sys.executable, str(ROOT / "tools" / "taxii_lab.py"), "--page", "3"]
    with subprocess.Popen(
        [*command, "--deadline-ms", str(DEADLINE_MS)],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            folder = next(place.glob("taxii-lab-*")) / "node"
            yield Lab(process, told, folder, prepared(told, folder))
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        finally:
            process.kill()
            log.close()


def prepared(told: dict[str, Any], folder: Path) -> Known:
    """Credentials beside the first, something that only the third party sees, and cursors."""
    operator = (folder / "token").read_text().strip()
    mine = {"authorization": f"Bearer {operator}"}
    with httpx.Client(base_url=told["base"], headers=mine, trust_env=False) as api:

        def add(name: str, party: str, **limits: Any) -> str:
            made = api.post("/api/clients", json={"name": name, "party": party, **limits}).json()
            return str(made.get("password") or made["token"])

        basics = {
            "C": ("lab-client", told["password"]),
            "C2": ("second", add("second", "C")),
            "T": ("third", add("third", "T")),
            "H": ("host", add("host", "H")),
        }
        one = [f"lab/{name}" for name in ("read-only",)]
        tokens = {
            "Cr": add("reader", "C", kind="token", rights="read", collections=one),
            "Cw": add("writer", "C", kind="token", rights="write"),
        }
        hidden = {
            "type": "identity",
            "spec_version": "2.1",
            "id": f"identity--{uuid.uuid4()}",
            "created": "2026-01-01T00:00:00.000Z",
            "modified": "2026-01-01T00:00:00.000Z",
            "name": MARK,
        }
        done = api.post(
            "/api/publish?collection=not-visible&agreement=lab", json={"objects": [hidden]}
        )
        done.raise_for_status()
    names = ("read_write", "read_only", "write_only", "not_visible")
    known = Known({n: told[n] for n in names}, basics, tokens, operator)
    return Known(
        known.collections,
        basics,
        tokens,
        operator,
        cursors(told, known),
        (hidden["id"], *seen_ids(told, known)),
    )


def read(told: dict[str, Any], known: Known, who: str, place: str, what: str, **query: str) -> Any:
    """An ordinary read."""
    return httpx.get(
        f"{told['api_root']}collections/{known.collections[place]}/{what}/",
        params=query,
        auth=known.basics[who],
        headers={"accept": MEDIA.decode()},
        trust_env=False,
    ).json()


def cursors(told: dict[str, Any], known: Known) -> dict[str, str]:
    """Right cursors of several clients and resources."""
    found = {}
    for who in ("C", "C2", "H"):
        for what in ("objects", "manifest"):
            page = read(told, known, who, "read_only", what, limit="1")
            found[f"{who} {what}"] = page["next"]
    return found


def seen_ids(told: dict[str, Any], known: Known) -> list[str]:
    """Ids of objects that are there."""
    page = read(told, known, "C", "read_only", "manifest")
    return [one["id"] for one in page["objects"]]


# --- one case ------------------------------------------------------------------------------------


def fire(port: int, case: Case, bound_s: float) -> Answers | str:
    """Write a case and read to its end; a text if the bound has passed."""
    answers = Answers()
    end = time.monotonic() + bound_s
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        link.bind((case.source, 0))
        link.settimeout(bound_s)
        link.connect(("127.0.0.1", port))
        with contextlib.suppress(OSError):
            for piece in case.pieces:
                link.sendall(piece)
                if case.slow:
                    time.sleep(0.02)
            if case.half:
                link.shutdown(socket.SHUT_WR)
        if case.drop:
            return answers
        return _read(link, answers, end, case.kind in SINGLE)


def _read(link: socket.socket, answers: Answers, end: float, single: bool) -> Answers | str:
    quiet = 0.1  # A connection that is kept alive says nothing more after its answers.
    while True:
        left = end - time.monotonic()
        if left <= 0:
            return answers if answers.statuses else "no answer and no end within the bound"
        link.settimeout(min(left, quiet) if answers.statuses else left)
        try:
            data = link.recv(65_536)
        except TimeoutError:
            if answers.statuses:
                return answers
            continue
        except ConnectionError:
            return answers
        if not data:
            return answers
        answers.feed(data)
        if single and answers.ended:
            return answers


def judge(case: Case, answers: Answers, known: Known) -> list[str]:
    """What is wrong with the answers to a case."""
    faults = [answers.fault] if answers.fault else []
    for status, headers, body in zip(
        answers.statuses, answers.headers, answers.bodies, strict=False
    ):
        if status >= 500 and not (status == 503 and b"retry-after" in headers):
            faults.append(f"status {status}")
        if b"x-injected" in headers:
            faults.append("a header was injected")
        faults += shape(case, status, headers, body)
    faults += leaks(case, answers.raw, known)
    return faults


def shape(case: Case, status: int, headers: dict[bytes, bytes], body: bytes) -> list[str]:
    """Errors have their shape: the one of TAXII below /taxii2/, else the one of the API."""
    if status < 400 or (not body and case.sent.startswith(b"HEAD")):
        return []
    plain = headers.get(b"content-type", b"").startswith(b"text/plain")
    if plain and status in EARLY and headers.get(b"connection") == b"close":
        return []
    if b"/witness/" in case.sent and plain:
        return []
    try:
        told = json.loads(body)
        taxii = {"title", "error_code", "http_status"} <= set(told)
        api = set(told.get("error", ())) == {"code", "sentence", "hint", "path"}
    except (ValueError, AttributeError):
        if case.kind == "pipelined" and not body:
            return []  # An answer to HEAD among others.
        return [f"an error without shape: {status} {body[:80]!r}"]
    sure = re.match(rb"[A-Z]+ /taxii2/?[^ .%]* HTTP/1\.1\r\n", case.sent)
    if (sure and not taxii and case.kind == "plain") or not (taxii or api):
        return [f"an error of another shape: {status} {body[:120]!r}"]
    return (
        [f"http_status {told['http_status']}"]
        if taxii and told["http_status"] != str(status)
        else []
    )


def codes(answers: Answers) -> list[str]:
    """The codes of the errors among the answers."""
    found = re.findall(rb'"(?:error_)?code":"([a-z0-9._-]+)"', b"".join(answers.bodies))
    return [one.decode() for one in found]


def leaks(case: Case, raw: bytes, known: Known) -> list[str]:
    """What an answer may not say, whoever asks."""
    faults = []
    secrets = [*(p for _, p in known.basics.values()), *known.tokens.values(), known.operator]
    for secret in secrets:
        if secret.encode() in raw:
            faults.append("a secret is in the answer")
    inside = None if b"/metrics" in case.sent else INSIDE.search(raw)
    if inside and inside[0] not in case.sent:
        faults.append(
            f"the inside is told: {raw[max(0, inside.start() - 60) : inside.end() + 60]!r}"
        )
    if case.who in ("T", "H", "operator", "?"):
        return faults
    hidden = known.collections["not_visible"].encode()
    if MARK.encode() in raw or (hidden in raw and hidden not in case.sent):
        faults.append("another party's things are told")
    return faults


# --- the run -------------------------------------------------------------------------------------


class Run:
    """Threads that fire, one that looks whether the node still answers, and what was found."""

    def __init__(self, one: Lab, seed: int, patience_s: float) -> None:
        self.lab = one
        self.seed = seed
        self.patience_s = patience_s
        self.count: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.codes: Counter[str] = Counter()
        self.faults: list[dict[str, str]] = []
        self.slowest_s = 0.0
        self.over = threading.Event()
        self._lock = threading.Lock()

    def hunt(self, number: int, cases: int | None) -> None:
        """Fire cases of one seed until the end."""
        maker = Maker(self.lab.known, self.seed * 1000 + number)
        done = 0
        while not self.over.is_set() and (cases is None or done < cases):
            case = maker.case()
            done += 1
            try:
                found = fire(self.lab.port, case, 10 + self.patience_s)
                wrong = [found] if isinstance(found, str) else judge(case, found, self.lab.known)
            except OSError as error:
                found, wrong = Answers(), [f"no connection: {error}"]
            with self._lock:
                self.count[case.kind] += 1
                if isinstance(found, Answers):
                    self.statuses.update(found.statuses)
                    self.codes.update(codes(found))
                for fault in wrong:
                    answer = "" if isinstance(found, str) else repr(found.raw[:600])
                    self.faults.append(
                        {
                            "fault": fault,
                            "kind": case.kind,
                            "sent": repr(case.sent[:1500]),
                            "answer": answer,
                            "case": f"{self.seed}/{number}/{done}",
                        }
                    )

    def alive(self) -> None:
        """An ordinary request, answered in time."""
        begun = time.monotonic()
        case = Case(
            "alive",
            (
                b"GET /taxii2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: "
                + basic(*self.lab.known.basics["C2"])
                + b"\r\n\r\n",
            ),
            source="127.0.0.1",
        )
        found = fire(self.lab.port, case, self.patience_s)
        took = time.monotonic() - begun
        with self._lock:
            self.slowest_s = max(self.slowest_s, took)
            if isinstance(found, str) or found.statuses != [200]:
                told = found if isinstance(found, str) else repr(found.raw[:200])
                self.faults.append({"fault": "an ordinary request is not answered", "answer": told})

    def play(self, *, threads: int, seconds: float | None, cases: int | None) -> None:
        """Fire from several threads, for a time or a number of cases each."""
        hunters = [threading.Thread(target=self.hunt, args=(n, cases)) for n in range(threads)]
        for one in hunters:
            one.start()
        end = None if seconds is None else time.monotonic() + seconds
        while any(one.is_alive() for one in hunters):
            self.alive()
            self.over.wait(1)
            if end is not None and time.monotonic() > end:
                self.over.set()
        for one in hunters:
            one.join()
        self.alive()


def verified(folder: Path, place: Path) -> dict[str, Any]:
    """The record of a running node, exported and checked by the command line."""
    done = subprocess.run(
        [sys.executable, "-m", "detente.main", "ledger", "verify", str(folder), "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(place)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return {"exit": done.returncode, "out": done.stdout[-400:], "err": done.stderr[-400:]}


def unforeseen(place: Path) -> int:
    """Incidents in the node's own log: what nobody foresaw, told or not."""
    return (place / "log").read_bytes().count(b"unforeseen") + (place / "log").read_bytes().count(
        b"Traceback"
    )


def fuzz(
    *,
    seed: int,
    threads: int = 4,
    seconds: float | None = None,
    cases: int | None = None,
    patience_s: float = 1.0,
    timing: int = 0,
) -> dict[str, Any]:
    """A whole run; what was fired, what came back, what was found."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as text:
        place = Path(text)
        with lab(place) as one:
            run = Run(one, seed, patience_s)
            run.alive()
            before = one.rss_kb()
            begun = time.monotonic()
            run.play(threads=threads, seconds=seconds, cases=cases)
            took = time.monotonic() - begun
            after = one.rss_kb()
            record = verified(one.folder, place)
            timed = timings(one, timing) if timing else {}
            if one.process.poll() is not None:
                run.faults.append({"fault": "the node has ended"})
        incidents = unforeseen(place)
        log = (place / "log").read_bytes()[-60000:].decode(errors="replace") if incidents else ""
    if record["exit"] != 0:
        run.faults.append({"fault": "the record does not verify", "answer": repr(record)})
    if incidents:
        run.faults.append({"fault": f"{incidents} incidents in the log", "answer": log})
    return {
        "seed": seed,
        "seconds": round(took, 1),
        "cases": sum(run.count.values()),
        "kinds": dict(run.count),
        "statuses": dict(sorted(run.statuses.items())),
        "codes": dict(run.codes.most_common()),
        "slowest_ordinary_s": round(run.slowest_s, 3),
        "rss_kb": [before, after],
        "record": record,
        "timing": timed,
        "found": Counter(one["fault"][:60] for one in run.faults),
        "faults": run.faults,
    }


def timings(one: Lab, count: int) -> dict[str, Any]:
    """How long it takes to say no, by what is asked for: hidden, or not there at all."""
    hidden, absent = one.known.collections["not_visible"], str(uuid.uuid4())
    user, password = one.known.basics["C"]
    ids = {"hidden": one.known.objects[0], "absent": f"identity--{uuid.uuid4()}"}
    asked = {
        "collection": (
            (f"/taxii2/lab/collections/{hidden}/objects/", basic(user, password)),
            (f"/taxii2/lab/collections/{absent}/objects/", basic(user, password)),
        ),
        "object": tuple(
            (
                f"/taxii2/lab/collections/{one.known.collections['read_only']}/objects/{name}/",
                basic(user, password),
            )
            for name in (ids["hidden"], ids["absent"])
        ),
        "token's name": (
            ("/taxii2/", b"Bearer reader.x"),
            ("/taxii2/", b"Bearer nobody.x"),
        ),
    }
    return {name: compare(one.port, *pair, count) for name, pair in asked.items()}


def compare(
    port: int, first: tuple[str, bytes], second: tuple[str, bytes], count: int
) -> dict[str, float]:
    """Medians in microseconds of two requests in turn, and how sure they differ (rank test, in
    standard deviations: below 3 is nothing)."""
    spent: tuple[list[float], list[float]] = ([], [])
    for at in range(count):
        for which in (0, 1) if at % 2 else (1, 0):
            path, auth = (first, second)[which]
            # Guesses from one address are soon not heard; each comes from another.
            source = f"127.1.{at // 250 % 250}.{at % 250 + 1}"
            data = (
                f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: ".encode()
            )
            begun = time.perf_counter()
            fire(port, Case("timed", (data + auth + b"\r\n\r\n",), source=source), 5)
            spent[which].append((time.perf_counter() - begun) * 1e6)
    return {
        "first_us": round(statistics.median(spent[0])),
        "second_us": round(statistics.median(spent[1])),
        "z": round(rank_z(*spent), 1),
    }


def rank_z(first: list[float], second: list[float]) -> float:
    """Mann and Whitney's rank test as standard deviations from no difference."""
    marked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks = sum(at for at, (_, which) in enumerate(marked, 1) if which == 0)
    n, m = len(first), len(second)
    return (ranks - n * (n + m + 1) / 2) / (n * m * (n + m + 1) / 12) ** 0.5


def main() -> None:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(description="Fire hostile requests at a node.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--patience", type=float, default=1.0, help="seconds for ordinary requests")
    parser.add_argument("--timing", type=int, default=0, help="rounds of the comparison of times")
    options = parser.parse_args()
    summary = fuzz(
        seed=options.seed,
        threads=options.threads,
        seconds=options.minutes * 60,
        patience_s=options.patience,
        timing=options.timing,
    )
    shown = {**summary, "faults": summary["faults"][:40]}
    print(json.dumps(shown, indent=1))
    sys.exit(1 if summary["faults"] else 0)


if __name__ == "__main__":
    main()
