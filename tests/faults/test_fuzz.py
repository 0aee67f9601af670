"""A short run of hostile requests with a fixed seed; `make fuzz` is the long one."""

from __future__ import annotations

import pytest

from tests.faults.fuzz_requests import Case, Known, Maker
from tests.faults.fuzz_run import Answers, fuzz, judge

KNOWN = Known(
    {"not_visible": "6f0d5e0a-53a5-4c3e-8f0a-6d5c2a1e7b04"},
    {"C": ("c", "a-password-of-c"), "T": ("t", "a-password-of-t")},
    {"Cr": "reader.a-token-of-c"},
    "the-operators-token",
    {"C objects": "AAAA"},
    ("identity--00000000-0000-4000-8000-000000000000",),
)


def test_hostile_requests_find_nothing() -> None:
    # Ordinary requests may take long where many tests run at once; that they end is what counts.
    summary = fuzz(seed=1, threads=2, cases=600, patience_s=30)
    assert summary["faults"] == []
    assert summary["cases"] == 1200
    assert len(summary["codes"]) > 15


def test_one_seed_gives_the_same_requests() -> None:
    first, again, other = (Maker(KNOWN, seed) for seed in (1, 1, 2))
    drawn = [[one.case() for _ in range(200)] for one in (first, again, other)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


GOOD = (
    b"HTTP/1.1 404 Not Found\r\ncontent-type: application/taxii+json;version=2.1\r\n"
    b'content-length: 53\r\n\r\n{"title":"x","error_code":"x.y","http_status":"404"}  '
)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (GOOD, ""),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", "status 500"),
        (b"HTTP/1.1 503 Oh\r\ncontent-length: 0\r\n\r\n", "status 503"),
        (b"nonsense", "not HTTP"),
        (GOOD.replace(b'"404"', b'"400"'), "http_status"),
        (GOOD.replace(b"title", b"Title"), "another shape"),
        (GOOD.replace(b"{", b"["), "without shape"),
        (GOOD.replace(b"\r\n\r\n", b"\r\nX-Injected: 1\r\n\r\n"), "injected"),
        (GOOD.replace(b"x.y", b"apsw"[:3] + b"w").replace(b'"x"', b'"" '), "inside"),
        (GOOD.replace(b'"title":"x"', b'"title":"a-password-of-c"'), "secret"),
        (GOOD.replace(b'"title":"x"', b'"title":"hidden-from-others-7f3a"'), "another party"),
        (GOOD.replace(b'"title":"x"', b'"title":"File \\"x"'), "inside"),
        (GOOD.replace(b'"title":"x"', b'"title":"KeyError"'), "inside"),
    ],
)
def test_the_judge_sees_each_fault(answer: bytes, fault: str) -> None:
    answers = Answers()
    answers.feed(answer)
    case = Case("plain", (b"GET /taxii2/x/ HTTP/1.1\r\n\r\n",), "C")
    found = judge(case, answers, KNOWN)
    if fault:
        assert any(fault in one for one in found), found
    else:
        assert found == []
