"""How soon all have it: many readers wait on one node, one object is published.

    make bench-longpoll [LONGPOLL='--clients 2000']

The readers are in a process of their own and wait with ``wait=60``: first all of one party, then
half of them of one party and the others each of a party of its own. Measured are the memory that
waiting costs the node, and the time from the publication's first byte until the first, the median
and the last reader have the whole answer. Written to ``bench/longpoll.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bench.place import (  # noqa: E402  # the path above must be set first
    AGREEMENT,
    COLLECTION,
    Place,
    envelope,
    memory_mb,
    open_place,
)

MEMORY_GOAL_MB, REACHED_GOAL_MS = 150.0, 500.0
#: Readers that connect at the same moment; the node checks each password once.
TOGETHER = 50
SETTLE_S = 2.0
Credentials = list[str]


class Reader(asyncio.Protocol):
    """One connection: asks, and notes when each whole answer has come."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._got = bytearray()
        self._transport: asyncio.Transport | None = None
        self.answered: asyncio.Future[tuple[int, float]] = asyncio.Future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to write."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def ask(self) -> asyncio.Future[tuple[int, float]]:
        """Ask again; the status and the instant of the answer, as a future."""
        assert self._transport is not None
        self._got.clear()
        self.answered = asyncio.get_running_loop().create_future()
        self._transport.write(self._request)
        return self.answered

    def data_received(self, data: bytes) -> None:
        """Take bytes; note the instant if the answer is whole."""
        self._got += data
        head, found, rest = bytes(self._got).partition(b"\r\n\r\n")
        size = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
        if found and len(rest) >= int(size or 0) and not self.answered.done():
            self.answered.set_result((int(head[9:12]), time.time()))

    def connection_lost(self, _exc: Exception | None) -> None:
        """The node closed it: as no answer."""
        if not self.answered.done():
            self.answered.set_result((0, time.time()))


async def wait_all(address: str, credentials: Credentials, after: str, pipe: Connection) -> None:
    """Connect all, let them wait, tell; then tell when each was answered."""
    host, _, port = address.partition("//")[2].partition(":")
    loop = asyncio.get_running_loop()
    answers = []
    gate = asyncio.Semaphore(TOGETHER)

    async def one(login: str) -> asyncio.Future[tuple[int, float]]:
        request = (
            f"GET /taxii2/{AGREEMENT}/collections/{COLLECTION}/objects/?added_after={after}&wait=60"
            f" HTTP/1.1\r\nhost: {host}\r\naccept: application/taxii+json;version=2.1\r\n"
            f"authorization: {login}\r\n\r\n"
        )
        async with gate:
            _, reader = await loop.create_connection(
                lambda: Reader(request.encode()), host, int(port)
            )
        return reader.ask()

    answers = await asyncio.gather(*(one(each) for each in credentials))
    await asyncio.sleep(SETTLE_S)
    pipe.send(sum(future.done() for future in answers))
    pipe.send([await future for future in answers])


def readers(address: str, credentials: Credentials, after: str, pipe: Connection) -> None:
    """The process of the readers."""
    asyncio.run(wait_all(address, credentials, after, pipe))


def round_of(place: Place, credentials: Credentials, number: int) -> dict[str, Any]:
    """Let all wait, publish one object, and see when all have it."""
    with place.operator() as http:
        place.publish(http, envelope(number * 10, 1))
        time.sleep(0.1)
        after = time.strftime("%Y-%m-%dT%H:%M:%S.999999Z", time.gmtime())
        time.sleep(1.1)
        before = memory_mb(place.pid)["VmRSS"]
        own, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=readers, args=(place.address, credentials, after, theirs)
        )
        process.start()
        if not own.poll(120):
            raise RuntimeError("the readers did not come to wait")
        early = own.recv()
        waiting = memory_mb(place.pid)["VmRSS"]
        began = time.time()
        place.publish(http, envelope(number * 10 + 1, 1))
        published_ms = (time.time() - began) * 1000
        if not own.poll(90):
            raise RuntimeError("the readers were not answered")
        answers = own.recv()
        process.join(timeout=30)
    took = sorted((at - began) * 1000 for status, at in answers if status == 200)
    return {
        "readers": len(credentials),
        "answered before": early,
        "not answered": len(credentials) - len(took),
        "memory_mb": waiting - before,
        "published_ms": published_ms,
        "first_ms": took[0],
        "median_ms": statistics.median(took),
        "last_ms": took[-1],
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description="Measure waiting readers.")
    parser.add_argument("--clients", type=int, default=2_000, help="readers that wait")
    parser.add_argument("--rounds", type=int, default=3, help="publications for each mixture")
    options = parser.parse_args()
    wanted = options.clients + 500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    found: dict[str, list[dict[str, Any]]] = {}
    half = options.clients // 2
    with (
        tempfile.TemporaryDirectory(prefix="bench-longpoll-") as folder,
        open_place(Path(folder) / "node", half + 1) as place,
    ):
        print(f"process {place.pid}; credentials of {half + 1} parties", flush=True)
        one = place.login_of("R0")
        others = [place.login_of(f"R{n}") for n in range(1, options.clients - half + 1)]
        mixtures = {
            "all of one party": [one] * options.clients,
            "half of parties of their own": [one] * half + others,
        }
        number = 0
        for name, credentials in mixtures.items():
            found[name] = []
            for _ in range(options.rounds):
                number += 1
                got = round_of(place, credentials, number)
                found[name].append(got)
                print(f"{name}: " + tell(got), flush=True)
    (HERE / "longpoll.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{os.cpu_count()} cores; written to bench/longpoll.json")


def tell(got: dict[str, Any]) -> str:
    """One round in words."""
    reached = got["last_ms"] <= REACHED_GOAL_MS and not got["not answered"]
    small = got["memory_mb"] <= MEMORY_GOAL_MB
    return (
        f"{got['readers']:,} wait ({got['memory_mb']:.0f} MB more{'' if small else ', TOO MUCH'}), "
        f"published in {got['published_ms']:.0f} ms; first {got['first_ms']:.0f}, median "
        f"{got['median_ms']:.0f}, last {got['last_ms']:.0f} ms{'' if reached else ', TOO LATE'}; "
        f"{got['not answered']} not answered, {got['answered before']} too early"
    )


if __name__ == "__main__":
    main()
