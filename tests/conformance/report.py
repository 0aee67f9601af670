"""What a server did not pass, as a table of Markdown: one line for each kind of check."""

from __future__ import annotations

import re

__all__ = ["Report"]

REASON_CHARS_MAX = 90


class Report:
    """Collects outcomes; checks that differ in their parameters only stand together."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], list[str | None]] = {}

    def add(self, name: str, section: str, why: str | None) -> None:
        """One check of this name: passed (None), or why not."""
        self._rows.setdefault((name, section), []).append(why)

    def table(self) -> str:
        """The counts, then every kind of check of which one failed, with the first reason."""
        every = [why for rows in self._rows.values() for why in rows]
        passed = every.count(None)
        lines = [
            f"{passed} of {len(every)} checks passed, {len(every) - passed} did not.",
            "",
            "| check | section | failed | what was got, first case |",
            "|---|---|---|---|",
        ]
        for (name, section), rows in self._rows.items():
            failed = [why for why in rows if why is not None]
            if failed:
                words = name.replace("_", " ")
                lines.append(
                    f"| {words} | {section} | {len(failed)} of {len(rows)} | {_short(failed[0])} |"
                )
        return "\n".join(lines) + "\n"


def _short(why: str) -> str:
    """The first line, without what differs from run to run."""
    line = why.splitlines()[0] if why else ""
    line = line.removeprefix("AssertionError: ").removeprefix("assert ")
    line = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", line)
    line = re.sub(r"127\.0\.0\.1:\d+", "HOST", line)
    line = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME", line)
    return "`" + line.replace("|", "/").replace("`", "'")[:REASON_CHARS_MAX] + "`"
