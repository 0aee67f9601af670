"""Typed results of queries. The tables are STRICT, so a column holds what it is declared to."""

from __future__ import annotations

from typing import TypeVar, cast

import apsw

__all__ = ["row", "rows", "value"]

T = TypeVar("T")


def rows(db: apsw.Connection, _form: type[T], query: str, *values: apsw.SQLiteValue) -> list[T]:
    """All rows, each of the form given (``tuple[int, bytes]``): promised, not checked."""
    return cast("list[T]", db.execute(query, values).fetchall())


def row(db: apsw.Connection, _form: type[T], query: str, *values: apsw.SQLiteValue) -> T | None:
    """The first row, if there is one."""
    return cast("T | None", db.execute(query, values).fetchone())


def value(db: apsw.Connection, _form: type[T], query: str, *values: apsw.SQLiteValue) -> T | None:
    """The first column of the first row; None if there is no row or it is NULL."""
    return cast("T | None", db.execute(query, values).get)
