"""The server under test: named by ``--taxii-lab FILE`` or ``TAXII_LAB`` (a file, or the JSON
itself), else the project's own lab, started as a child process and ended with the run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.kit import Server, Shelf, Target
from tests.conformance.report import Report

LAB = Path(__file__).resolve().parents[2] / "tools" / "taxii_lab.py"
ENDING_S = 30


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--taxii-lab", help="file with the line of JSON that names a server")
    parser.addoption("--conformance-report", help="file to write what failed to, as a table")


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    chosen = request.config.getoption("--taxii-lab", default=None) or os.environ.get("TAXII_LAB")
    if chosen:
        text = chosen if chosen.lstrip().startswith("{") else Path(chosen).read_text()
        yield Target.of(text)
        return
    command = [sys.executable, str(LAB), "--page", "50"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as lab:
        try:
            assert lab.stdout is not None
            line = lab.stdout.readline()
            assert line, "the lab ended before it told where it serves"
            yield Target.of(line)
        finally:
            lab.terminate()
            lab.wait(timeout=ENDING_S)


@pytest.fixture(scope="session")
def server(target: Target) -> Iterator[Server]:
    made = Server(target)
    yield made
    made.http.close()


@pytest.fixture(scope="session")
def rw(target: Target) -> str:
    """The path of the collection that the client reads and writes."""
    return f"collections/{target.read_write}/"


@pytest.fixture(scope="session")
def ro(target: Target) -> str:
    """The path of the collection that the client only reads."""
    return f"collections/{target.read_only}/"


@pytest.fixture(scope="session")
def shelf(server: Server) -> Shelf:
    filled = Shelf(server)
    filled.fill()
    return filled


@pytest.fixture(scope="session")
def records(server: Server, rw: str, shelf: Shelf) -> list[dict[str, Any]]:
    """The manifest of every version on the shelf: where true times of adding stand."""
    found = server.walk(rw + "manifest/", match_id=shelf.all_ids, match_version="all")
    assert [one["id"] for one in found] == [entry.id for entry in shelf.entries]
    return found


# --- report ----------------------------------------------------------------------------------

_report = Report()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    mark = item.get_closest_marker("section")
    if mark is not None and (report.when == "call" or report.failed):
        name = item.nodeid.removeprefix("tests/conformance/test_").replace(".py::test_", ": ")
        why = call.excinfo.exconly() if report.failed and call.excinfo is not None else ""
        _report.add(name.partition("[")[0], mark.args[0], why if report.failed else None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    place = session.config.getoption("--conformance-report", default=None)
    if place:
        Path(place).write_text(_report.table())
