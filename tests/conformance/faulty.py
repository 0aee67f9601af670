"""Faults between the suite and a server: each makes a good server a bad one in one respect.

With ``CONFORMANCE_FAULT`` set to a name, every exchange passes through that fault. By this the
checks are seen to fail (`tests/conformance/seed_faults.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

__all__ = ["FAULTS", "NOTHING", "Exchange", "Faulty"]

FIRST, LAST = "x-taxii-date-added-first", "x-taxii-date-added-last"


class Exchange:
    """A request and its answer, as a fault may change them. ``body`` is None if it is no JSON."""

    def __init__(self, request: httpx.Request, answer: httpx.Response) -> None:
        self.method = request.method
        self.path = request.url.path
        self.status = answer.status_code
        self.headers = answer.headers
        self.content = answer.content
        self.extensions = answer.extensions
        self.body = self._parsed()

    def _parsed(self) -> Any:
        try:
            return json.loads(self.content)
        except ValueError:
            return None

    @property
    def ok(self) -> bool:
        """Whether it is a success with an object as its body."""
        return self.status in (200, 202) and isinstance(self.body, dict)

    @property
    def collections(self) -> list[dict[str, Any]]:
        """The collections of a list of them."""
        return self.body.get("collections", []) if self.ok else []

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records of a manifest."""
        return self.body.get("objects", []) if self.ok and "/manifest/" in self.path else []

    @property
    def is_status(self) -> bool:
        """Whether the body is a status resource."""
        return self.ok and "total_count" in self.body

    @property
    def is_error(self) -> bool:
        """Whether the body is an error message."""
        return self.status >= 400 and isinstance(self.body, dict)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """The answer as it became."""
        content = self.content
        if self.body != self._parsed():
            content = json.dumps(self.body).encode()
        # What was read is decoded and has its own length; HEAD need not tell one.
        kept = [
            (name, value)
            for name, value in self.headers.multi_items()
            if name not in ("content-length", "transfer-encoding", "content-encoding")
        ]
        if self.method != "HEAD":
            kept.append(("content-length", str(len(content))))
        return httpx.Response(
            self.status,
            headers=kept,
            stream=httpx.ByteStream(b"" if self.method == "HEAD" else content),
            request=request,
            extensions=self.extensions,
        )


def put(name: str, value: str | None) -> Callable[[Exchange], None]:
    """A header gets this value, or goes."""

    def fault(one: Exchange) -> None:
        if name in one.headers:
            del one.headers[name]
            if value is not None:
                one.headers[name] = value

    return fault


def turn(old: int, new: int, within: str = "") -> Callable[[Exchange], None]:
    """Answers of one status get another."""

    def fault(one: Exchange) -> None:
        if one.status == old and within in one.path:
            one.status = new

    return fault


def edit(chosen: str, change: Callable[[Any], object]) -> Callable[[Exchange], None]:
    """Change each part of a kind: an attribute of the exchange, or a key of a good body."""

    def fault(one: Exchange) -> None:
        found = getattr(one, chosen, None)
        if chosen.startswith("is_"):
            found = [one.body] if found else []
        elif found is None:
            found = [one.body] if one.ok and chosen in one.body else []
        for part in found:
            change(part)

    return fault


def unlabelled(one: Exchange) -> None:
    if one.status >= 400:
        one.headers["content-type"] = "text/html"


def no_more(one: Exchange) -> None:
    if one.ok and "more" in one.body:
        del one.body["more"]


def empty_list(one: Exchange) -> None:
    if one.ok and one.path.endswith(("/objects/", "/manifest/")) and "objects" not in one.body:
        one.body["objects"] = []


def swap_times(one: Exchange) -> None:
    if FIRST in one.headers and LAST in one.headers:
        one.headers[FIRST], one.headers[LAST] = one.headers[LAST], one.headers[FIRST]


def coarse_times(one: Exchange) -> None:
    for name in (FIRST, LAST):
        if name in one.headers:
            one.headers[name] = one.headers[name][:19] + "Z"


#: Faults of answers: words, and what is done.
ANSWERS: dict[str, Callable[[Exchange], None]] = {
    "The media type of answers lacks its version": put("content-type", "application/taxii+json"),
    "Errors are labelled as HTML": unlabelled,
    "The first time of adding is not told": put(FIRST, None),
    "The last time of adding is not told": put(LAST, None),
    "First and last time of adding are exchanged": swap_times,
    "Times of adding have whole seconds": coarse_times,
    "Objects come newest first": edit("objects", lambda body: body["objects"].reverse()),
    "One object of a page is lost": edit("objects", lambda body: body["objects"].pop()),
    "An object comes twice": edit(
        "objects", lambda body: body["objects"].append(body["objects"][0])
    ),
    "Nothing found is an empty list": empty_list,
    "More is not told": no_more,
    "More is text": edit("more", lambda body: body.update(more=str(body["more"]))),
    "Next is there without more": edit(
        "more", lambda body: body["more"] or body.update(next="last")
    ),
    "Next is a number": edit("next", lambda body: body.update(next=1)),
    "An envelope is told to be a bundle": edit("objects", lambda body: body.update(type="bundle")),
    "Errors have no title": edit("is_error", lambda body: body.pop("title", None)),
    "The status in an error is a number": edit(
        "is_error", lambda body: body.update(http_status=400)
    ),
    "The status in an error is another": edit(
        "is_error", lambda body: body.update(http_status="418")
    ),
    "Unauthorised comes without a challenge": put("www-authenticate", None),
    "Unauthorised is told as forbidden": turn(401, 403),
    "Forbidden is told as success": turn(403, 200),
    "What is not visible is forbidden, not unknown": turn(404, 403, "7b04"),
    "What is not found is a success": turn(404, 200),
    "A bad request is a success": turn(400, 200),
    "A bad request is a fault of the server": turn(400, 500),
    "Not acceptable is told as a bad request": turn(406, 400),
    "Too large is told as a bad request": turn(413, 400),
    "Added is told with 200": turn(202, 200),
    "A right is text": edit("collections", lambda one: one.update(can_read="true")),
    "Every right is told to be there": edit(
        "collections", lambda one: one.update(can_read=True, can_write=True)
    ),
    "Media types are an empty list": edit("collections", lambda one: one.update(media_types=[])),
    "All collections have one alias": edit("collections", lambda one: one.update(alias="a")),
    "A collection's id is no UUID": edit("collections", lambda one: one.update(id="c1")),
    "A title has a dot": edit("collections", lambda one: one.update(title=one["title"] + ".")),
    "Records lack the time of adding": edit("records", lambda one: one.pop("date_added", None)),
    "Records tell whole seconds": edit(
        "records", lambda one: one.update(date_added=one["date_added"][:19] + "Z")
    ),
    "Records tell the time of adding as version": edit(
        "records", lambda one: one.update(version=one["date_added"])
    ),
    "Records tell a foreign media type": edit(
        "records", lambda one: one.update(media_type="text/html")
    ),
    "Versions come newest first": edit("versions", lambda body: body["versions"].reverse()),
    "A status counts one too many": edit(
        "is_status", lambda body: body.update(total_count=body["total_count"] + 1)
    ),
    "A status has an empty list": edit("is_status", lambda body: body.update(pendings=[])),
    "A status has no version of what was added": edit(
        "is_status", lambda body: [one.pop("version", None) for one in body.get("successes", [])]
    ),
    "API roots have no final slash": edit(
        "api_roots", lambda body: body.update(api_roots=[u.rstrip("/") for u in body["api_roots"]])
    ),
    "The default root is not among the roots": edit(
        "api_roots", lambda body: body.update(default="/elsewhere/")
    ),
    "The greatest length is text": edit(
        "max_content_length",
        lambda body: body.update(max_content_length=str(body["max_content_length"])),
    ),
    "TAXII 2.1 is not among the versions": edit(
        "max_content_length",
        lambda body: body.update(versions=["application/taxii+json;version=2.0"]),
    ),
    "What is allowed is not told": put("allow", None),
    "HEAD tells no times": lambda one: put(FIRST, None)(one) if one.method == "HEAD" else None,
}


def without(name: str) -> Callable[[httpx.URL], httpx.URL]:
    """The server does not see this parameter."""
    return lambda url: url.copy_remove_param(name)


def instead(name: str, change: Callable[[str], str]) -> Callable[[httpx.URL], httpx.URL]:
    """The server sees another value."""

    def fault(url: httpx.URL) -> httpx.URL:
        value = url.params.get(name)
        return url if value is None else url.copy_set_param(name, change(value))

    return fault


def _more(value: str) -> str:
    return str(int(value) + 1) if value.isdigit() else value


def _earlier(value: str) -> str:
    whole, dot, rest = value.partition(".")
    micros = rest.removesuffix("Z")
    if not (dot and micros.isdigit() and len(micros) == 6 and int(micros)):
        return value
    return f"{whole}.{int(micros) - 1:06d}Z"


#: Faults of what the server understands of a request.
REQUESTS: dict[str, Callable[[httpx.URL], httpx.URL]] = {
    "match[id] is passed over": without("match[id]"),
    "match[type] is passed over": without("match[type]"),
    "match[version] is passed over": without("match[version]"),
    "match[spec_version] is passed over": without("match[spec_version]"),
    "added_after is passed over": without("added_after"),
    "limit is passed over": without("limit"),
    "next is passed over": without("next"),
    "limit gives one more": instead("limit", _more),
    "added_after includes its instant": instead("added_after", _earlier),
    "Only the first value of match[type] counts": instead(
        "match[type]", lambda value: value.split(",")[0]
    ),
    "Only the last value of match[id] counts": instead(
        "match[id]", lambda value: value.split(",")[-1]
    ),
    "match[version] first means all": instead(
        "match[version]", lambda value: "all" if value == "first" else value
    ),
    "match[version] last is not joined with others": instead(
        "match[version]", lambda value: value.replace(",last", "")
    ),
}
FAULTS = [*ANSWERS, *REQUESTS]
#: No fault, but the same way: what fails with it fails because of the way.
NOTHING = "Nothing"


class Faulty(httpx.BaseTransport):
    """A transport with one fault."""

    def __init__(self, fault: str) -> None:
        self._inner = httpx.HTTPTransport()
        self._fault = fault

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._fault in REQUESTS:
            request.url = REQUESTS[self._fault](request.url)
            return self._inner.handle_request(request)
        answer = self._inner.handle_request(request)
        answer.read()
        one = Exchange(request, answer)
        if self._fault != NOTHING:
            ANSWERS[self._fault](one)
        return one.answer(request)

    def close(self) -> None:
        self._inner.close()
