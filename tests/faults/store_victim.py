"""A process that writes until it is killed: ``python -m tests.faults.store_victim PATH FIRST``.

Work ``n`` appends ``1 + n % 37`` items that name the work, and an entry. Its number is printed
when the write has returned, so what is printed must outlive the kill. Four works are under way at
any time, so that commits hold several.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys

from detente.ports import NewItem, Tx
from detente.store.sqlite import SQLiteStore
from tests.unit.store.kit import KEY, LOG, SIGNER


def size_of(n: int) -> int:
    return 1 + n % 37


def made_by(n: int) -> list[NewItem]:
    found = []
    for i in range(size_of(n)):
        raw = b'{"work":%d,"i":%d}' % (n, i)
        digest = hashlib.sha256(raw).digest()
        found.append(NewItem(key=digest[:16], raw=raw, sha256=digest, handling=1 + n % 5))
    return found


def entry_of(n: int) -> bytes:
    return b'{"work":%d}' % n


async def main(path: str, first: int) -> None:
    store = SQLiteStore.open(path, create=True, signers=lambda _: SIGNER)

    async def write(start: int) -> None:
        n = start
        while True:

            def work(tx: Tx, n: int = n) -> None:
                tx.append_items(KEY, made_by(n), 1)
                tx.append_entry(LOG, entry_of(n))

            await store.write(work)
            os.write(1, b"%d\n" % n)
            n += 4

    await asyncio.gather(*(write(first + i) for i in range(4)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
