"""Habits that are not left to memory: the one door, broad excepts, ignores, dangerous calls."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from tests.house.source import Source, comments_of, dotted, walk_with_parents

DOOR = "detente.gateway.gate"
CLEARED = "Cleared"
REASON_LETTERS_MIN = 8

BROAD = frozenset({"Exception", "BaseException"})
MAY_CATCH_BROADLY = frozenset({"faces", "node"})
# Other edges: where the code above is another thread, which only a value can reach.
EDGES = frozenset({"detente.store.writer"})
MAY_USE_ANY = (
    "detente.model.codec",
    "detente.wire",
    # They work on objects of STIX of any form, decoded; what comes out is plain JSON again.
    "detente.rules.transform",
    "detente.rules.leftover",
    # Answers of the API as the command line prints them: docs/decisions/0004-answers-as-json.md.
    "detente.faces.cli",
    "detente.faces.client",
    "detente.faces.speak",
    "detente.main",
)

UNSAFE_MODULES = frozenset(
    {"pickle", "cPickle", "shelve", "marshal", "dill", "telnetlib", "xmlrpc"}
)
UNSAFE_BUILTINS = frozenset({"eval", "exec", "__import__"})
UNSAFE_CALLS = frozenset({"os.system", "os.popen", "tempfile.mktemp", "yaml.load"})
EXECUTE = frozenset({"execute", "executemany", "executescript"})

_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*$")
_NOQA = re.compile(r"noqa\b(?P<codes>:\s*[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*)?", re.IGNORECASE)
_IGNORE = re.compile(r"type:\s*ignore(?P<codes>\[[a-z-]+(?:,\s*[a-z-]+)*\])?")
_MARKS = re.compile(
    r"#|noqa\b(:\s*[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*)?|type:\s*ignore(\[[^\]]*\])?|pragma:[a-z ]*",
    re.IGNORECASE,
)


def check_one_door(sources: Sequence[Source]) -> list[str]:
    """Complain wherever `Cleared` could be made outside the gate.

    Outside, the name may stand in imports (under its own name), annotations and `isinstance`; as
    an argument or callee of any other call, or bound to another name, it could mint one.
    """
    complaints: list[str] = []
    for source in sources:
        if source.module == DOOR:
            continue
        for node, parents in walk_with_parents(source.tree):
            if isinstance(node, ast.alias):
                if node.name == CLEARED and node.asname not in {None, CLEARED}:
                    complaints.append(f"{source.at(node)}: {CLEARED} under another name")
            elif dotted(node).split(".")[-1] == CLEARED and not _only_named(node, parents):
                complaints.append(f"{source.at(node)}: only {DOOR} makes a {CLEARED}")
    return complaints


def _only_named(node: ast.AST, parents: tuple[ast.AST, ...]) -> bool:
    chain = [*parents, node]
    for parent, child in zip(reversed(parents), reversed(chain), strict=False):
        if isinstance(parent, ast.arg | ast.AnnAssign) and parent.annotation is child:
            return True
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) and parent.returns is child:
            return True
        if isinstance(parent, ast.Call):
            return dotted(parent.func) == "isinstance" and child in parent.args[1:]
        if isinstance(parent, ast.Assign | ast.NamedExpr):
            # `Send = Callable[[Cleared], None]` is a type; `Other = Cleared` is a second door.
            return isinstance(parent.value, ast.Subscript | ast.BinOp)
        if isinstance(parent, ast.ClassDef):
            return False
    return True


def has_reason(source: Source, line: int, comments: dict[int, str]) -> bool:
    """Tell whether words stand beside the line, or alone on the line above it."""
    above = source.text.splitlines()[line - 2].strip() if line > 1 else ""
    words = [comments.get(line, "")]
    if above.startswith("#"):
        words.append(comments.get(line - 1, ""))
    left = [_MARKS.sub("", text) for text in words]
    return any(len(re.findall(r"[A-Za-z]", text)) >= REASON_LETTERS_MIN for text in left)


def check_broad_excepts(sources: Sequence[Source]) -> list[str]:
    """Complain of broad excepts below the faces, and of any that does not say why.

    One that puts something away and raises the same again swallows nothing; it is left alone.
    """
    complaints: list[str] = []
    for source in sources:
        comments = comments_of(source)
        for node in ast.walk(source.tree):
            if not (isinstance(node, ast.ExceptHandler) and _is_broad(node.type)):
                continue
            if isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None:
                continue
            if source.part not in MAY_CATCH_BROADLY and source.module not in EDGES:
                complaints.append(f"{source.at(node)}: broad except outside faces and node")
            elif not has_reason(source, node.lineno, comments):
                complaints.append(f"{source.at(node)}: broad except without its reason beside it")
    return complaints


def _is_broad(caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    kinds = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(dotted(kind).split(".")[-1] in BROAD for kind in kinds)


def check_ignores(sources: Sequence[Source]) -> list[str]:
    """Complain of every ignore that does not name its code and its reason."""
    complaints: list[str] = []
    for source in sources:
        comments = comments_of(source)
        for line, text in comments.items():
            for pattern in (_NOQA, _IGNORE):
                # Only at the start of a comment does it work, and only there is it meant.
                found = next(
                    (m for m in map(pattern.match, map(str.strip, text.split("#"))) if m), None
                )
                if not found:
                    continue
                place = f"{source.place}:{line}"
                if not found["codes"]:
                    complaints.append(f"{place}: {found[0]!r} names no code")
                elif not has_reason(source, line, comments):
                    complaints.append(f"{place}: {found[0]!r} names no reason")
    return complaints


def check_any(sources: Sequence[Source]) -> list[str]:
    """Complain of `Any` outside the codec and the wire."""
    return [
        f"{source.at(node)}: Any outside {' and '.join(MAY_USE_ANY)}"
        for source in sources
        if not source.module.startswith(MAY_USE_ANY)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom)
        and node.module == "typing"
        and any(alias.name == "Any" for alias in node.names)
    ]


def check_dangerous_calls(sources: Sequence[Source]) -> list[str]:
    """Complain of code out of data: pickle, eval, a shell, SQL put together from pieces."""
    complaints: list[str] = []
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            else:
                names = []
            complaints.extend(
                f"{source.at(node)}: {name} turns data into code"
                for name in names
                if name.split(".")[0] in UNSAFE_MODULES
            )
            if isinstance(node, ast.Call):
                fault = _call_fault(node)
                if fault:
                    complaints.append(f"{source.at(node)}: {fault}")
    return complaints


def _call_fault(call: ast.Call) -> str:
    name = dotted(call.func)
    if name in UNSAFE_BUILTINS or name in UNSAFE_CALLS:
        return f"{name}() turns data into code"
    for keyword in call.keywords:
        if keyword.arg == "shell" and not _is_constant(keyword.value, value=False):
            return "a shell between us and the program"
    if name.split(".")[-1] in EXECUTE and call.args and _is_pieced(call.args[0]):
        return "SQL put together from pieces; give values as parameters"
    return ""


def _is_constant(node: ast.expr, *, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_pieced(text: ast.expr) -> bool:
    """Tell whether a text is put together at run time from anything but constants."""
    if isinstance(text, ast.JoinedStr):
        pieces = [piece for piece in text.values if isinstance(piece, ast.FormattedValue)]
        return not all(_CONSTANT.match(dotted(piece.value)) for piece in pieces)
    if isinstance(text, ast.BinOp):
        return not all(isinstance(side, ast.Constant) for side in (text.left, text.right))
    if isinstance(text, ast.Call):
        return dotted(text.func).endswith((".format", ".join", ".replace"))
    return False


def check_still_tests(sources: Sequence[Source]) -> list[str]:
    """Complain of tests that sleep, read the wall clock, or mock: each hides what it tests."""
    complaints: list[str] = []
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = getattr(node, "module", None) or ""
                names = {module, *(alias.name for alias in node.names)}
                if any(name.split(".")[0] in {"mock", "freezegun"} for name in names) or (
                    "unittest.mock" in names
                ):
                    complaints.append(f"{source.at(node)}: a mock")
            elif isinstance(node, ast.Call):
                name = dotted(node.func)
                if name in {"time.sleep", "sleep"} or (
                    name == "asyncio.sleep"
                    and not (node.args and _is_constant(node.args[0], value=0))
                ):
                    complaints.append(f"{source.at(node)}: {name}() waits for luck")
                elif name in {"time.time", "time.time_ns", "datetime.now", "datetime.datetime.now"}:
                    complaints.append(f"{source.at(node)}: {name}() reads the wall clock")
    return complaints
