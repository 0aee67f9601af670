"""A short run of hostile requests with a fixed seed; `make fuzz` is the long one."""

from __future__ import annotations

import pytest

from tests.faults.fuzz_requests import Case, Known, Maker
from tests.faults.fuzz_run import Answers, fuzz, judge

KNOWN = Known(
    {
        "read_write": "6f0d5e0a-53a5-4c3e-8f0a-6d5c2a1e7b01",
        "not_visible": "6f0d5e0a-53a5-4c3e-8f0a-6d5c2a1e7b04",
    },
    {"C": ("c", "a-password-of-c"), "T": ("t", "a-password-of-t")},
    {"Cr": "reader.a-token-of-c"},
    "the-operators-token",
    {"C objects": "AAAA"},
    ("identity--00000000-0000-4000-8000-000000000000",),
)


def test_hostile_requests_find_nothing() -> None:
    # Ordinary requests may take long where many tests run at once; that they end is what counts.
    summary = fuzz(seed=1, threads=2, cases=250, patience_s=30)
    assert summary["faults"] == []
    assert summary["cases"] == 500
    assert len(summary["codes"]) > 15


def test_one_seed_gives_the_same_requests() -> None:
    first, again, other = (Maker(KNOWN, seed) for seed in (1, 1, 2))
    drawn = [[one.case() for _ in range(200)] for one in (first, again, other)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


GOOD = b'{"title":"x","error_code":"x.y","http_status":"404"}'


def answered(status: bytes, body: bytes, more: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %b Words\r\ncontent-type: application/taxii+json;version=2.1\r\n%b" % (
        status,
        more,
    )
    return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (answered(b"404", GOOD), ""),
        (answered(b"500", GOOD.replace(b"404", b"500")), "status 500"),
        (answered(b"503", GOOD.replace(b"404", b"503")), "status 503"),
        (answered(b"503", GOOD.replace(b"404", b"503"), b"retry-after: 1\r\n"), ""),
        (b"nonsense", "not HTTP"),
        (answered(b"400", GOOD), "http_status"),
        (answered(b"404", GOOD.replace(b"title", b"Title")), "another shape"),
        (answered(b"404", GOOD[1:]), "without shape"),
        (answered(b"404", GOOD, b"X-Injected: 1\r\n"), "injected"),
        (answered(b"404", GOOD.replace(b"x.y", b"apsw")), "inside"),
        (answered(b"404", GOOD.replace(b"x.y", b"KeyError")), "inside"),
        (answered(b"404", GOOD.replace(b"x.y", b"a-password-of-c")), "secret"),
        (answered(b"404", GOOD.replace(b"x.y", b"hidden-from-others-7f3a")), "another party"),
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
