"""Hostile requests: what a hand that means ill would write to a node, made from a seed.

Each request is bytes in pieces, written to a raw socket, so that nothing between here and the node
mends it. ``Maker`` draws them; what must hold of the answers is said in ``fuzz_run``.
"""

from __future__ import annotations

import base64
import gzip
import json
import random
import uuid
import zlib
from dataclasses import dataclass, field
from urllib.parse import quote

MEDIA = b"application/taxii+json;version=2.1"
#: Read while it is refused: most cases are small, some are as large as a limit.
BOMB = gzip.compress(b"\0" * 10_000_000)
DEEP = b"[" * 50_000
ODD_TEXTS = (
    "", " ", "\0", "\x00\x01", "\r\nX-Injected: 1", "%0d%0aX-Injected:%201", "é", "\u202e", "🛑",
    "../../etc/passwd", "..%2f..%2f", "%2e%2e", "%00", "%", "%zz", "%c0%ae", "%ed%a0%80", "//",
    "a" * 300, "a" * 3000, "'", '"', "' OR 1=1 --", "<script>", "${7*7}", "{{7*7}}", "-1", "0",
    "1e9", "9" * 30, "NaN", "null", "true", "²", "١", "\ufeff", "2026-01-01T00:00:00Z",
    "9999-12-31T23:59:60.999999999Z", "0000-00-00T00:00:00Z", "0001-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z", "all", "first,last", "all,all", "last,last", "2.1", "2.0",
    "indicator", "status", "collections", "objects", "*", "?", "#", ";", "a;b=c",
)  # fmt: skip
METHODS = (*["GET"] * 20, "HEAD", "HEAD", "HEAD", "POST", "POST", "DELETE", "OPTIONS", "PUT",
           "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "G ET", "FOO",
           "M-SEARCH", "PRI")  # fmt: skip
PARAMETERS = ("limit", "added_after", "next", "wait", "match[id]", "match[type]",
              "match[version]", "match[spec_version]", "at_ms", "agreement", "collection",
              "object", "party", "kind", "", "constructor")  # fmt: skip
SOUND = ("limit=1", "limit=2", "added_after=2020-01-01T00:00:00Z", "match[type]=indicator",
         "match[version]=all", "match[version]=first,last", "match[spec_version]=2.1", "wait=0",
         "added_after=9999-12-31T23:59:60.999999999Z", "match[id]=%00",
         "match%5Btype%5D=%F0%9F%9B%91",
         "match[version]=0001-01-01T00:00:00.000Z", "limit=9999999999999999999",
         "added_after=0001-01-01T00:00:00Z", "agreement=lab", "at_ms=9999999999999999")  # fmt: skip
API = ("node", "standing", "publish", "charters", "charters/H", "agreements", "agreements/lab",
       "directives", "directives/draft", "directives/lint", "read-backs", "assurances",
       "assurances/draft", "documents/0", "feeds", "holds", "holds/release", "recalls", "trace",
       "why", "items/open", "peers", "peers/sync", "peers/notify",
       "clients", "clients/nobody", "clock", "derivations")  # fmt: skip
PEER = ("/peer/v1/acts", "/peer/v1/page", "/peer/v1/receipts", "/peer/v1/notice",
        "/witness/add-checkpoint")  # fmt: skip
OTHER = ("/", "/healthz", "/healthz/", "/metrics", "/favicon.ico", "/taxii2", "/api", "/peer/v1/",
         "*", "http://evil.example/taxii2/", "//evil.example/%2e%2e", "/./", "/taxii2/../api/node",
         "/TAXII2/", "/taxii/", "/.git/config", "/detente.db")  # fmt: skip
NAMED_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "Content-Encoding", "Range",
                 "If-None-Match", "If-Modified-Since", "X-Forwarded-For", "X-Forwarded-Proto",
                 "X-Forwarded-Host", "Forwarded", "X-HTTP-Method-Override", "Cookie", "Origin",
                 "Upgrade", "Connection", "Expect", "Referer", "User-Agent", "TE", "Trailer",
                 "X-Original-URL", "Host", "Proxy", "Content-Length", "Via")  # fmt: skip
HEADER_VALUES = (
    b"", b"*/*", b"*/*;q=0", b"text/html", b",,,,", b";q=", b"application/*;q=1e9", b"\xff\xfe",
    b"gzip", b"zstd", b"gzip;q=0, *;q=0.5", b"br, " * 300, b"identity", b"x" * 9000, b"\t",
    b"bytes=0-0,5-2,-1", b"bytes=-99999999999999999999", b"100-continue", b"200-ok",
    b"127.0.0.1", b"evil.example, ::1, 127.0.0.1", b"x" * 300 + b", y", b"https", b"javascript",
    b"websocket", b"h2c", b"Upgrade", b"close", b"keep-alive, Upgrade", b"chunked", b"0", b"-1",
    b"18446744073709551616", b"5", b"a\r\nX-Injected: 1", b"a\nX-Injected: 1", b"a\rb", b"\0",
    b"[::1", b"[::1]:99999", b"a:b:c", b"evil.example/..", b"a@b", b"a b", b"%00",
    b"evil.example:x",
    b"application/json", MEDIA, MEDIA + b"; charset=\xff", b'application/taxii+json;version="2.1"',
    b"application/taxii+json;version=2.1;version=2.0",
)  # fmt: skip


@dataclass(frozen=True)
class Known:
    """What the attacker knows of a node: places, and credentials by who holds them."""

    collections: dict[str, str]
    basics: dict[str, tuple[str, str]]
    tokens: dict[str, str]
    operator: str
    cursors: dict[str, str] = field(default_factory=dict)
    objects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One hostile connection. ``who``: whose right credential it shows, if any. ``pieces`` are
    written one after another, ``slow`` with pauses; ``half`` closes the writing side after them;
    ``drop`` leaves without reading. ``source``: the address it comes from."""

    kind: str
    pieces: tuple[bytes, ...]
    who: str = ""
    slow: bool = False
    half: bool = False
    drop: bool = False
    source: str = "127.0.0.2"

    @property
    def sent(self) -> bytes:
        """All bytes of it."""
        return b"".join(self.pieces)


class Maker:
    """Draws cases. The same seed and the same knowledge give the same cases."""

    def __init__(self, known: Known, seed: int) -> None:
        self.known = known
        self.dice = random.Random(seed)
        self._kinds = (
            (self.plain, 60),
            (self.mangled, 8),
            (self.lying, 8),
            (self.body, 14),
            (self.pipelined, 4),
            (self.slow, 1),
            (self.cursor, 12),
            (self.guess, 3),
            (self.peer, 6),
            (self.operator, 10),
            (self.noise, 3),
        )

    def case(self) -> Case:
        """The next case."""
        makers, weights = zip(*self._kinds, strict=True)
        case = self.dice.choices(makers, weights)[0]()
        if self.dice.random() < 0.05:
            case = Case(case.kind, case.pieces, case.who, case.slow, half=True, source=case.source)
        elif self.dice.random() < 0.03:
            case = Case(case.kind, case.pieces, case.who, case.slow, drop=True, source=case.source)
        return case

    # --- parts ---------------------------------------------------------------------------------

    def odd(self) -> str:
        """A value nobody means."""
        if self.dice.random() < 0.2:
            return "".join(chr(self.dice.choice((*range(1, 0x250), 0x1F4A9))) for _ in range(8))
        return self.dice.choice(ODD_TEXTS)

    def path(self) -> str:
        """A path: right, nearly right, or wild."""
        dice, known = self.dice, self.known
        draw = dice.random()
        if draw < 0.08:
            return dice.choice(OTHER)
        if draw < 0.14:
            return "/" + "/".join(self.encoded(self.odd()) for _ in range(dice.randrange(1, 5)))
        if draw < 0.2:
            return dice.choice(("/api/" + dice.choice(API), dice.choice(PEER)))
        collection = dice.choice(
            [*known.collections.values(), str(uuid.UUID(int=dice.getrandbits(128)))]
        )
        parts = ["taxii2", "lab", "collections", collection, "objects"]
        tail = dice.choice(
            (
                [],
                ["objects"],
                ["objects"],
                ["manifest"],
                ["objects", self.object()],
                ["objects", self.object(), "versions"],
                ["status", self.odd()],
            )
        )
        parts = parts[: dice.choice((1, 2, 3, 4))] if not tail else parts[:4] + tail
        if tail[:1] == ["status"]:
            parts = ["taxii2", "lab", "status", self.encoded(self.odd())]
        if dice.random() < 0.15:
            parts[dice.randrange(len(parts))] = self.encoded(self.odd())
        if dice.random() < 0.05:
            parts.insert(dice.randrange(len(parts)), dice.choice(("", ".", "..", "%2e", "%2F")))
        return "/" + "/".join(parts) + dice.choice(("/", "/", "/", "", "//"))

    def object(self) -> str:
        """An id of an object: one that is there, or odd."""
        if self.dice.random() < 0.5:
            return self.dice.choice(self.known.objects)
        return self.encoded(self.odd()) or "x"

    def encoded(self, text: str) -> str:
        """Percent-encoded, or only where a request line would otherwise break."""
        if self.dice.random() < 0.9:
            return quote(text.encode("utf-8", "replace"), safe="")
        return (
            text.replace(" ", "%20").replace("\r", "%0d").replace("\n", "%0a").replace("\0", "%00")
        )

    def query(self) -> str:
        """Parameters with odd values, repeated, many, or none."""
        dice = self.dice
        if dice.random() < 0.5:
            return ""
        if dice.random() < 0.4:
            return "?" + dice.choice(SOUND) + dice.choice(("", "&" + dice.choice(SOUND)))
        count = dice.choice((1, 1, 2, 3, 8, 400))
        pairs = []
        for _ in range(count):
            name = dice.choice(PARAMETERS)
            value = self.odd()
            if name == "next" and self.known.cursors and dice.random() < 0.5:
                value = dice.choice(list(self.known.cursors.values()))
            if name == "wait":
                # A long wait on a feed without news is held open, as it must be.
                value = dice.choice(("0", "1", "-1", "x", "", "1" * 40, "0x1", "\0"))
            pairs.append(f"{self.encoded(name)}={self.encoded(value)}")
        return "?" + dice.choice(("&", "&", ";", "&&")).join(pairs)

    def auth(self) -> tuple[str, bytes]:
        """Whose right credential, and the header's value."""
        dice, known = self.dice, self.known
        draw = dice.random()
        if draw < 0.5:
            who = dice.choice(list(known.basics))
            return who, basic(*known.basics[who])
        if draw < 0.6:
            who = dice.choice(list(known.tokens))
            return who, dice.choice((b"Bearer ", b"bearer ", b"BEARER ")) + known.tokens[
                who
            ].encode()
        if draw < 0.7:
            return "", b""
        return "", dice.choice(
            (
                b"Basic",
                b"Basic ",
                b"Basic !!!",
                b"Basic \xff\xff",
                b"Basic " + b"QQ" * 4000,
                b"Bearer",
                b"Bearer ",
                b"Bearer .",
                b"Bearer a.b.c.d",
                b"Bearer " + b"x" * 6000 + b".y",
                b"Bearer \xe9.\xe9",
                b"Digest username=x",
                b"Negotiate AAAA",
                b"Basic\t" + b"eDp5",
                basic("\0", "\0"),
                basic("x", ""),
                basic("", ""),
                basic("é" * 20, "ü"),
                b"Basic " + base64.b64encode(b"\xff:\xff"),
                b"Basic " + base64.b64encode(b"none"),
            )
        )

    def headers(self, more: tuple[tuple[bytes, bytes], ...] = ()) -> bytes:
        """A header block; mostly sound, with odd ones in between."""
        dice = self.dice
        lines = [(b"Host", b"lab.example")] if dice.random() < 0.97 else []
        lines += more
        if dice.random() < 0.6:
            lines.append((b"Connection", b"close"))
        for _ in range(dice.choice((0, 0, 0, 0, 1, 1, 2, 5))):
            name = dice.choice(NAMED_HEADERS).encode()
            lines.append((name, dice.choice(HEADER_VALUES)))
        if dice.random() < 0.01:
            lines += [(b"X-%d" % n, b"y") for n in range(dice.choice((50, 500, 3000)))]
        if dice.random() < 0.01:
            lines.append((dice.choice((b"X Y", b"", b"X\0", b"\xff", b"X:", b" X")), b"y"))
        return b"".join(name + b": " + value + b"\r\n" for name, value in lines) + b"\r\n"

    def line(self, method: str | None = None, path: str | None = None) -> bytes:
        """A request line."""
        target = (path if path is not None else self.path() + self.query()).encode(
            "utf-8", "replace"
        )
        version = (
            b"HTTP/1.1"
            if self.dice.random() < 0.97
            else self.dice.choice(
                (b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"HTP/1.1", b"")
            )
        )
        return (
            (method or self.dice.choice(METHODS)).encode()
            + b" "
            + target
            + b" "
            + version
            + b"\r\n"
        )

    # --- kinds ---------------------------------------------------------------------------------

    def plain(self) -> Case:
        """A request without a body."""
        who, auth = self.auth()
        more = ((b"Accept", MEDIA), *(((b"Authorization", auth),) if auth else ()))
        if self.dice.random() < 0.02:
            more += ((b"Authorization", self.auth()[1]),)
            who = "?"
        return Case("plain", (self.line() + self.headers(more),), who)

    def mangled(self) -> Case:
        """A sound request with a few bytes changed, lost or added."""
        data = bytearray(self.plain().sent)
        for _ in range(self.dice.choice((1, 2, 5))):
            at = self.dice.randrange(len(data))
            draw = self.dice.randrange(3)
            if draw == 0:
                data[at] = self.dice.randrange(256)
            elif draw == 1:
                del data[at]
            else:
                data.insert(at, self.dice.choice(b"\r\n\0 :/%\xff"))
        return Case("mangled", (bytes(data),), "?", half=True)

    def lying(self) -> Case:
        """Lengths that lie, and two readings of where a body ends."""
        who, auth = self.auth()
        path = f"/taxii2/lab/collections/{self.known.collections['read_write']}/objects/"
        body = self.dice.choice((b"", b"{}", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"G" * 100))
        forms = (
            (b"Content-Length: 5", b"Content-Length: 6"),
            (b"Content-Length: 5, 5",),
            (b"Content-Length: +5",),
            (b"Content-Length: 0x5",),
            (b"Content-Length: 5 ",),
            (b"Content-Length: 99999999999999999999",),
            (b"Content-Length: -1",),
            (b"Content-Length: 2", b"Transfer-Encoding: chunked"),
            (b"Transfer-Encoding: chunked", b"Content-Length: 2"),
            (b"Transfer-Encoding: chunked, chunked",),
            (b"Transfer-Encoding: xchunked",),
            (b"Transfer-Encoding: identity",),
            (b"Transfer-Encoding : chunked",),
            (b"Transfer-Encoding:\tchunked",),
            (b"Transfer-Encoding: chunked", b"Transfer-encoding: x"),
            (b"Transfer-Encoding: gzip, chunked",),
            (b" Transfer-Encoding: chunked",),
            (b"X: y\rTransfer-Encoding: chunked",),
            (b"Transfer-Encoding: \x0bchunked",),
            (b"Content-Length: 1000000000",),
            (b"Content-Length: 2", b"Content-Length: 2"),
        )
        head = self.line("POST", path) + b"Host: a\r\n"
        head += b"Authorization: " + auth + b"\r\nContent-Type: " + MEDIA + b"\r\n"
        head += b"".join(one + b"\r\n" for one in self.dice.choice(forms)) + b"\r\n"
        smuggled = b"GET /api/node HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        return Case("lying", (head + body, smuggled), who or "?", half=True)

    def body(self) -> Case:
        """A body: nested, truncated, packed, in odd chunks."""
        who, auth = self.auth()
        dice = self.dice
        data = self.payload()
        path = (
            f"/taxii2/lab/collections/{dice.choice(list(self.known.collections.values()))}/objects/"
        )
        kind = dice.choice((MEDIA, MEDIA, b"application/json", b"", b"text/plain"))
        more: tuple[tuple[bytes, bytes], ...] = ((b"Content-Type", kind), (b"Authorization", auth))
        if dice.random() < 0.2:
            packed = {b"gzip": gzip.compress(data), b"deflate": zlib.compress(data), b"br": data}
            name = dice.choice(list(packed))
            data, more = packed[name], (*more, (b"Content-Encoding", name))
            if dice.random() < 0.3:
                data = BOMB
        if dice.random() < 0.3:
            head = self.line("POST", path) + self.headers(
                (*more, (b"Transfer-Encoding", b"chunked"))
            )
            return Case("body", (head, *self.chunks(data)), who or "?", half=True)
        head = self.line("POST", path) + self.headers(
            (*more, (b"Content-Length", b"%d" % len(data)))
        )
        if dice.random() < 0.05:
            head = head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n", 1)
        return Case("body", (head, data), who or "?", half=True)

    def payload(self) -> bytes:
        """The bytes of a body."""
        dice = self.dice
        thing = {
            "type": "indicator",
            "spec_version": "2.1",
            "id": f"indicator--{uuid.UUID(int=dice.getrandbits(128), version=4)}",
            "created": "2026-01-01T00:00:00.000Z",
            "modified": "2026-01-01T00:00:00.000Z",
            "pattern": "[x:y = 1]",
            "pattern_type": "stix",
            "valid_from": "2026-01-01T00:00:00Z",
        }
        if dice.random() < 0.5:
            key = dice.choice(list(thing))
            thing[key] = dice.choice((self.odd(), None, 1, [], {}, 1e300, [[]], True))  # type: ignore[assignment]  # wrong on purpose
        good = json.dumps({"objects": [thing] * dice.choice((1, 1, 2, 300))}).encode()
        return dice.choice(
            (
                good,
                good,
                good,
                good[: dice.randrange(len(good))],
                DEEP,
                b'{"objects":' + DEEP,
                b'{"objects":[' + b'{"a":' * 5000,
                b"",
                b"null",
                b"{}",
                b'{"objects":{}}',
                b"\xff\xfe",
                b'{"objects":["\\ud800"]}',
                b'{"objects":[1e999]}',
                b'{"objects":[' + b"9" * 6000 + b"]}",
                b'{"objects":[],"objects":[]}',
                good.replace(b'"type"', b'"type":1,"type"', 1),
                b'{"objects":[' + b"{}," * 11_000 + b"{}]}",
                b"\xef\xbb\xbf" + good,
                b" " * 100_000,
            )
        )

    def chunks(self, data: bytes) -> list[bytes]:
        """A body in chunks of odd sizes, some of them false."""
        dice, found, at = self.dice, [], 0
        while at < len(data) and len(found) < 50:
            size = dice.choice((1, 2, 7, 1000, 65_536)) if len(found) < 49 else len(data)
            piece = data[at : at + size]
            told = dice.choice((b"%x", b"%X", b"0000%x")) % len(piece)
            if dice.random() < 0.02:
                told = dice.choice((b"-1", b"fffffffffffffffff", b"", b"zz", b"+5", b"1_0", b"0x5"))
            extension = dice.choice((b"", b"", b"", b";a=b", b";" + b"x" * 2000))
            found.append(told + extension + b"\r\n" + piece + b"\r\n")
            at += size
        end = dice.choice(
            (b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX-Injected: 1\r\n\r\n", b"", b"0\r\n")
        )
        return [*found, end]

    def pipelined(self) -> Case:
        """Several requests at once."""
        count = self.dice.choice((2, 3, 10, 40))
        # No HEAD among them: its answer has a length and no body, and a parser must know which.
        pieces = [one for one in (self.plain().sent for _ in range(count)) if one[:4] != b"HEAD"]
        return Case("pipelined", (b"".join(pieces),), "?", half=True)

    def slow(self) -> Case:
        """Headers or a body, a few bytes at a time, never ending."""
        data = self.dice.choice((self.plain, self.body, self.lying))().sent[:400]
        step = self.dice.choice((1, 3, 50))
        pieces = tuple(data[at : at + step] for at in range(0, min(len(data) - 2, step * 40), step))
        return Case("slow", pieces, "?", slow=True)

    def cursor(self) -> Case:
        """A `next` that was changed, or is somebody else's, or of another place."""
        dice, known = self.dice, self.known
        token = dice.choice(list(known.cursors.values()) or ["AAAA"])
        draw = dice.randrange(5)
        if draw == 0:
            at = dice.randrange(len(token))
            token = token[:at] + dice.choice("ABab01-_=%") + token[at + 1 :]
        elif draw == 1:
            token = token[: dice.randrange(len(token))]
        elif draw == 2:
            forged = b'{"collection":"x","client":"lab-client","after_us":0}'
            token = base64.urlsafe_b64encode(dice.randbytes(16) + forged).decode()
        elif draw == 3:
            token = token * dice.choice((2, 30))
        who = dice.choice(list(known.basics))
        place = dice.choice(list(known.collections.values()))
        what = dice.choice(("objects", "manifest", f"objects/{self.dice.choice(known.objects)}"))
        path = f"/taxii2/lab/collections/{place}/{what}/?next={quote(token, safe='=')}"
        more = ((b"Accept", MEDIA), (b"Authorization", basic(*known.basics[who])))
        return Case("cursor", (self.line("GET", path) + self.headers(more),), who)

    def guess(self) -> Case:
        """A wrong secret for a name that exists or does not, from a place of its own."""
        dice = self.dice
        name = dice.choice((*(n for n, _ in self.known.basics.values()), "nobody", self.odd()))
        auth = dice.choice(
            (basic(name, self.odd()), b"Bearer " + name.encode("latin-1", "replace") + b".x")
        )
        more = (
            (b"Accept", MEDIA),
            (b"Authorization", auth.replace(b"\n", b"").replace(b"\r", b"")),
        )
        return Case(
            "guess", (self.line("GET", "/taxii2/") + self.headers(more),), source="127.0.0.3"
        )

    def peer(self) -> Case:
        """Unsigned, half signed or senseless requests of the peer protocol and to the witness."""
        dice = self.dice
        inner = dice.choice(
            (b"{}", b"null", DEEP[:3000], b"\xff", json.dumps({"to": "H", "what": "acts"}).encode())
        )
        envelope = {
            "payload": base64.b64encode(inner).decode(),
            "payloadType": dice.choice(
                ("x", "application/vnd.detente.request+json", "\ud800", "", self.odd())
            ),
            "signatures": dice.choice(
                (
                    [],
                    [{"sig": "AAAA"}],
                    [{"sig": "AAAA", "keyid": "0" * 64}] * 300,
                    {},
                    None,
                    [{"sig": self.odd()}],
                )
            ),
        }
        note = b"old %s\nAAAA\n\n%s\n%s\nAAAA\n\n" % (
            dice.choice((b"0", b"-1", b"9" * 5000, b"\xc2\xb2", b"1_0", b"x")),
            dice.choice(
                (b"lab.example/detente/exercise/lab", b"c.example/detente/exercise/lab", b"\xff")
            ),
            dice.choice((b"1", b"0", b"-5", b"9" * 5000)),
        )
        data = dice.choice(
            (json.dumps(envelope).encode(), note, self.payload(), note + "— x AAAA\n".encode())
        )
        head = self.line("POST", dice.choice(PEER))
        return Case(
            "peer",
            (head + self.headers(((b"Content-Length", b"%d" % len(data)),)), data),
            half=True,
        )

    def operator(self) -> Case:
        """The API, with the node's token and with others."""
        dice = self.dice
        who, token = dice.choice(
            (
                ("operator", self.known.operator),
                ("operator", self.known.operator),
                ("", "x"),
                ("", ""),
            )
        )
        body = dice.choice(
            (
                {},
                {
                    "now_ms": dice.choice(
                        (-1, 0, 2**53 - 1, 253_402_300_800_000, 2**63, 2**70, 1.5, "x")
                    )
                },
                {
                    "agreement": self.odd(),
                    "collection": self.odd(),
                    "object": self.odd(),
                    "version": self.odd(),
                },
                {
                    "agreement": "lab",
                    "item": self.odd(),
                    "party": "C",
                    "by": self.odd(),
                    "code": self.odd(),
                },
                {"party": self.odd(), "agreement": "lab", "address": self.odd()},
                {"party": "C", "agreement": "lab", "limit": dice.choice((0, -1, 2**70))},
                {
                    "name": self.odd(),
                    "party": "C",
                    "kind": "certificate",
                    "certificate": self.odd(),
                },
                {
                    "name": self.odd(),
                    "party": self.odd(),
                    "lasts_ms": dice.choice((1000, 2**53 - 1, 2**60)),
                },
                [],
                None,
                7,
            )
        )
        data = dice.choice((json.dumps(body).encode(), json.dumps(body).encode(), self.payload()))
        path = "/api/" + dice.choice(API) + self.query()
        method = dice.choice(("GET", "POST", "POST", "DELETE", "HEAD"))
        more = (
            (b"Authorization", b"Bearer " + token.encode()),
            (b"Content-Length", b"%d" % len(data)),
        )
        return Case(
            "operator", (self.line(method, path) + self.headers(more), data), who, half=True
        )

    def noise(self) -> Case:
        """No HTTP at all: random bytes, the start of TLS, the preface of HTTP/2."""
        data = self.dice.choice(
            (
                self.dice.randbytes(200),
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"\r\n" * 3000,
                b"\0" * 40_000,
                b"GET",
            )
        )
        return Case("noise", (data,), half=True)


def basic(name: str, password: str) -> bytes:
    """The value of a Basic header."""
    return b"Basic " + base64.b64encode(f"{name}:{password}".encode())
