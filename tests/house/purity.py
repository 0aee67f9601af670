"""Up to `rules` the house is pure: the same input gives the same output, anywhere, at any time.

The list of what a pure module may import is short and positive, so that a new library is looked
at before it enters. Calls that read a clock, a file or randomness through an allowed module are
named one by one. Not seen: what an allowed library does inside.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from tests.house.source import PACKAGE, Source, dotted

PURE = frozenset({"", "errors", "model", "proof", "rules"})

_NAMES = """
    __future__ abc array base64 binascii bisect collections copy dataclasses datetime decimal
    enum fractions functools hashlib heapq hmac ipaddress itertools json math operator re string
    struct textwrap types typing unicodedata uuid zlib
    cryptography msgspec orjson
"""
PURE_MAY_IMPORT = frozenset(_NAMES.split())

# By the end of the dotted name: where a pure-looking module reaches for the world.
IMPURE_ENDINGS = frozenset(
    {
        "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
        "uuid.uuid1", "uuid.uuid4", "uuid1", "uuid4", "urandom",
    }
)  # fmt: skip
# Key generation draws randomness; whoever composes the node does it.
IMPURE_METHODS = frozenset({"generate", "generate_private_key", "generate_key"})
IMPURE_BUILTINS = frozenset({"open", "input", "print", "breakpoint", "globals"})

# The one clock lives in `node`; asking for the time anywhere else makes a second one.
CLOCKS = frozenset(
    {
        "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime",
        "datetime.now", "datetime.utcnow", "datetime.today", "date.today",
    }
)  # fmt: skip


def _ends(name: str, endings: frozenset[str]) -> bool:
    return any(name == ending or name.endswith("." + ending) for ending in endings)


def check_pure_imports(sources: Sequence[Source]) -> list[str]:
    """Complain of any import in a pure module that is not on the list."""
    complaints: list[str] = []
    for source in sources:
        if source.part not in PURE:
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            complaints.extend(
                f"{source.at(node)}: {name} is not among what a pure module may import"
                for name in names
                if name.split(".")[0] not in PURE_MAY_IMPORT | {PACKAGE}
            )
    return complaints


def check_pure_calls(sources: Sequence[Source]) -> list[str]:
    """Complain of calls in a pure module that read clock, file, terminal or randomness."""
    complaints: list[str] = []
    for source in sources:
        if source.part not in PURE:
            continue
        for node in ast.walk(source.tree):
            name = dotted(node)
            if name and _ends(name, IMPURE_ENDINGS):
                complaints.append(f"{source.at(node)}: {name} is not pure")
            if not isinstance(node, ast.Call):
                continue
            called = dotted(node.func)
            if called in IMPURE_BUILTINS:
                complaints.append(f"{source.at(node)}: {called}() is not pure")
            elif "." in called and called.split(".")[-1] in IMPURE_METHODS:
                complaints.append(f"{source.at(node)}: {called}() draws randomness")
    return complaints


def check_one_clock(sources: Sequence[Source]) -> list[str]:
    """Complain of reading the wall clock outside of `node`; monotonic waits are no clock."""
    complaints: list[str] = []
    for source in sources:
        if source.part == "node":
            continue
        borrowed = _borrowed(source)
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Name | ast.Attribute):
                name = dotted(node)
                head, _, rest = name.partition(".")
                full = f"{borrowed.get(head, head)}.{rest}" if rest else borrowed.get(head, head)
                if _ends(full, CLOCKS):
                    complaints.append(f"{source.at(node)}: {name} is a second clock")
    return complaints


def _borrowed(source: Source) -> dict[str, str]:
    """Local names for what was imported: `from time import time_ns as t` gives t: time.time_ns."""
    names = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom) and node.module in {"time", "datetime"}:
            for alias in node.names:
                full = alias.name if node.module == "datetime" else f"time.{alias.name}"
                names[alias.asname or alias.name] = full
        elif isinstance(node, ast.Import):
            names.update({alias.asname: alias.name for alias in node.names if alias.asname})
    return names
