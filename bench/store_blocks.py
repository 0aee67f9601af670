"""Measures the SQLite store: durable appends, pages read at any depth, single writes.

    python -m bench.store_blocks [--items 1000000] [--directory DIR] [--known]

Items are of about 1 kB with random keys; envelopes of 1,000 items with one ledger entry each.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path

from detente.ports import Block, NewItem, Tx
from detente.proof import Ed25519Signer
from detente.store.blocks import BlockCache, BlockReader
from detente.store.schema import open_reader
from detente.store.sqlite import SQLiteStore

KEY, LOG = "agr-bench/tracks", "gw.bench.example/detente/agr-bench"
ENVELOPE = 1_000
HANDLINGS = 20


def envelope(n: int, filler: str) -> list[NewItem]:
    """A thousand items of about 1 kB; runs of handlings, as real envelopes have."""
    items = []
    for i in range(n * ENVELOPE, (n + 1) * ENVELOPE):
        raw = b'{"id":"vessel--%032x","n":%d,"t":"%s"}' % (i, i, filler.encode())
        digest = hashlib.sha256(raw).digest()
        key = hashlib.sha256(b"vessel--%d" % i).digest()[:16]
        items.append(NewItem(key=key, raw=raw, sha256=digest, handling=1 + i // 50 % HANDLINGS))
    return items


def memory_mb() -> float:
    """Resident memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


async def append(store: SQLiteStore, count: int, *, ask: bool) -> list[dict[str, float]]:
    """Append the items; the rate of every tenth part, without the time to make the items."""
    parts = []
    filler = "x" * 930
    step = max(1, count // ENVELOPE // 10)
    spent, done, worst, made = 0.0, 0, 0.0, 0
    for n in range(count // ENVELOPE):
        items = envelope(n, filler)
        asked = [(item.key, item.mark, item.sha256) for item in items]

        def work(
            tx: Tx,
            items: list[NewItem] = items,
            asked: list[tuple[bytes, bytes, bytes]] = asked,
        ) -> None:
            if ask:
                assert not any(tx.known(KEY, asked))
            tx.append_items(KEY, items, time.time_ns() // 1000)
            tx.append_entry(LOG, b'{"act":"publish","n":"%d"}' % len(items) * 8)

        start = time.perf_counter()
        await store.write(work)
        took = time.perf_counter() - start
        spent, worst, done, made = spent + took, max(worst, took), done + len(items), made + 1
        if made % step == 0:
            parts.append(
                {
                    "items": (n + 1) * ENVELOPE,
                    "per_s": round(done / spent),
                    "worst_ms": round(worst * 1e3, 1),
                    "memory_mb": round(memory_mb()),
                }
            )
            spent, done, worst = 0.0, 0, 0.0
    return parts


def pages(path: Path, count: int, *, aligned: bool) -> float:
    """Items a second in pages of 1,000 at random depths, with nothing in our cache."""
    connection = open_reader(path)
    rounds = 200
    spots = [random.randrange(0, count - 2 * ENVELOPE) for _ in range(rounds)]
    if aligned:
        spots = [spot // ENVELOPE * ENVELOPE for spot in spots]
    start = time.perf_counter()
    for spot in spots:
        reader = BlockReader(connection, BlockCache(0, 0))
        a, body = spot, []
        while a < spot + ENVELOPE:
            block = reader.block(1, a)
            assert isinstance(block, Block)
            b = min(block.first + block.count, spot + ENVELOPE)
            i, j = a - block.first, b - block.first
            body.append(block.body[block.ends[i - 1] + 1 if i else 0 : block.ends[j - 1]])
            a = b
        assert len(b",".join(body)) > ENVELOPE
    took = time.perf_counter() - start
    connection.close()
    return rounds * ENVELOPE / took


async def singles(store: SQLiteStore, rounds: int = 1_500) -> dict[str, float]:
    """Milliseconds of a write of one item with a ledger entry, one after the other."""
    times = []
    for n in range(rounds):
        raw = b'{"id":"one--%d"}' % n
        item = NewItem(
            key=hashlib.sha256(b"one%d" % n).digest()[:16],
            raw=raw,
            sha256=hashlib.sha256(raw).digest(),
            handling=1,
        )

        def work(tx: Tx, item: NewItem = item) -> None:
            tx.append_items(KEY + "/single", [item], time.time_ns() // 1000)
            tx.append_entry(LOG, b'{"act":"publish"}' * 10)

        start = time.perf_counter()
        await store.write(work)
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    return {"p50_ms": round(statistics.median(times), 3), "p99_ms": round(times[-rounds // 100], 2)}


async def meta(store: SQLiteStore, rounds: int = 500) -> float:
    """Median milliseconds of the smallest write."""
    times = []
    for n in range(rounds):
        start = time.perf_counter()
        await store.write(lambda tx, n=n: tx.put_meta("n", str(n)))
        times.append((time.perf_counter() - start) * 1e3)
    return round(statistics.median(times), 3)


async def looks(store: SQLiteStore, count: int) -> dict[str, float]:
    """Milliseconds of the smaller reads, through the store's threads."""
    found = {}
    works = {
        "count": lambda v: v.count(KEY, 3, count // 7, count * 6 // 7),
        "first_of": lambda v: v.first_of(KEY, 3, random.randrange(count)),
        "find": lambda v: v.find(
            KEY, hashlib.sha256(b"vessel--%d" % random.randrange(count)).digest()[:16]
        ),
        "seq_after": lambda v: v.seq_after(KEY, v.collection(KEY).last_us - 10_000),
        "collection": lambda v: v.collection(KEY),
    }
    for name, work in works.items():
        times = []
        for _ in range(100):
            start = time.perf_counter()
            await store.read(work)
            times.append((time.perf_counter() - start) * 1e3)
        found[name + "_ms"] = round(statistics.median(times), 3)
    return found


async def run(count: int, directory: Path, *, ask: bool) -> dict[str, object]:
    """All measurements on a fresh file."""
    signer = Ed25519Signer.from_seed(b"7" * 32)
    path = directory / "bench.db"
    store = SQLiteStore.open(path, create=True, signers=lambda _: signer)
    start, cpu = time.perf_counter(), time.process_time()
    results: dict[str, object] = {"append": await append(store, count, ask=ask)}
    results["append_wall_s"] = round(time.perf_counter() - start, 1)
    results["append_cpu_s"] = round(time.process_time() - cpu, 1)
    results["file_bytes_per_item"] = round(path.stat().st_size / count)
    results["page_aligned_per_s"] = round(pages(path, count, aligned=True))
    results["page_any_per_s"] = round(pages(path, count, aligned=False))
    results |= await looks(store, count)
    results["meta_ms"] = await meta(store)
    results["single"] = await singles(store)
    results["memory_mb"] = round(memory_mb())
    await store.close()
    start = time.perf_counter()
    store = SQLiteStore.open(path, signers=lambda _: signer)
    results["open_s"] = round(time.perf_counter() - start, 2)
    await store.close()
    return results


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--directory", type=Path, default=None)
    parser.add_argument("--known", action="store_true", help="ask for duplicates before appending")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        results = asyncio.run(run(options.items, Path(directory), ask=options.known))
    for name, value in results.items():
        if isinstance(value, list):
            for part in value:
                print(name, json.dumps(part))
        else:
            print(f"{name:24} {json.dumps(value)}")


if __name__ == "__main__":
    main()
