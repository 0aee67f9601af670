"""The write-ahead log stays short, and carrying it over never fails a commit."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from detente.store import carrier
from detente.store.carrier import Carrier
from detente.store.sqlite import SQLiteStore
from tests.unit.store.kit import KEY, item, play, raws


def test_log_stays_within_its_bound_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "STEP_PAGES", 40)
    monkeypatch.setattr(carrier, "BOUND_PAGES", 200)
    path = tmp_path / "store.db"
    batch = [item(n, size=900) for n in range(300)]

    async def story(store: SQLiteStore) -> None:
        for _ in range(60):
            await store.write(lambda tx: tx.append_items(KEY, batch, 1))
        assert path.with_name("store.db-wal").stat().st_size < 3 * 200 * 8_300
        found = await store.read(lambda view: list(raws(view, KEY, 0, 60 * 300)))
        assert found == [one.raw for one in batch] * 60

    play(path, story)


def test_error_while_carrying_does_not_reach_the_commit(tmp_path: Path) -> None:
    class Failing:
        def wal_checkpoint(self, mode: int) -> None:
            raise apsw.IOError("disk I/O error")

    async def story(store: SQLiteStore) -> None:
        one = Carrier(tmp_path / "store.db")
        assert one.committed(Failing(), "main", 10**6) == apsw.SQLITE_OK  # type: ignore[arg-type]  # stands in for a connection whose disk fails
        one.start()
        one.stop()

    play(tmp_path / "store.db", story)
