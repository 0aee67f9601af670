"""What tests of the store share: items, a signer, and a store that closes itself."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from detente.model import version_mark
from detente.ports import NewItem, Tx, View
from detente.proof import Ed25519Signer, VerifierKey
from detente.store.sqlite import SQLiteStore

T = TypeVar("T")

SIGNER = Ed25519Signer.from_seed(hashlib.sha256(b"detente test log key").digest())
KEY = "agr-1/tracks"
LOG = "gw.alfa.example/detente/agr-1"
VKEY = VerifierKey(LOG, 1, SIGNER.public)


def item(n: int, *, handling: int = 1, version: int = 0, size: int = 0) -> NewItem:
    """Item ``n`` in a version; the same arguments give the same bytes."""
    raw = b'{"id":"x--%d","v":%d,"t":"%s"}' % (n, version, b"." * size)
    key = hashlib.sha256(b"x--%d" % n).digest()[:16]
    sha256 = hashlib.sha256(raw).digest()
    mark = version_mark(key, f"v{version}")
    return NewItem(key=key, raw=raw, sha256=sha256, handling=handling, mark=mark)


def known(tx: Tx, key: str, asked: Sequence[NewItem]) -> list[int | None]:
    """For each item the newest entry with its bytes."""
    return tx.known(key, [(one.key, one.mark, one.sha256) for one in asked])


def items(a: int, b: int, *, handling: int = 1) -> list[NewItem]:
    """Items ``a`` to ``b - 1``."""
    return [item(n, handling=handling) for n in range(a, b)]


@asynccontextmanager
async def opened(path: Path, **options: Any) -> AsyncIterator[SQLiteStore]:
    """A store at a path, made if it is missing, and closed at the end."""
    store = SQLiteStore.open(path, **{"create": True, "signers": lambda _: SIGNER, **options})
    try:
        yield store
    finally:
        await store.close()


def play(path: Path, story: Callable[[SQLiteStore], Coroutine[Any, Any, T]], **options: Any) -> T:
    """Run a story on a store of its own loop."""

    async def run() -> T:
        async with opened(path, **options) as store:
            return await story(store)

    return asyncio.run(run())


def raws(view: View, key: str, a: int, b: int) -> Iterator[bytes]:
    """The bytes of the entries ``a`` to ``b - 1``, read block by block."""
    while a < b:
        block = view.block(key, a)
        assert block is not None
        for seq in range(a, min(b, block.first + block.count)):
            yield block.raw(seq)
        a = block.first + block.count
