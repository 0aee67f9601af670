"""JSON that every reader reads the same: what RFC 8259 has, has not, and leaves open.

After the manner of the public suite of parsers' tests: texts that must be read, texts that must be
refused, and texts on which readers differ, which are refused here.
"""

from __future__ import annotations

import json

import pytest

from detente.errors import Invalid
from detente.wire.json import load, load_object
from tests.shared import shared_data

READ = [
    b"[]", b"[ ]", b" \t\r\n[]\r\n", b"{}", b'{"":0}', b'{"a":[]}', b"[[]]", b"[null,true,false]",
    b"null", b"true", b'"x"', b'""', b"0", b"-0", b"1", b"-1", b"0.5", b"1e5", b"1E+2", b"1e-2",
    b"123.456e78", b"[1,2 , 3]", b'{"a":1,"b":2}', b'{"a":{"a":1}}', b'[{"a":1},{"a":2}]',
    b'"\\u0061"', b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', b'"\\u0000"', b'"\\uD834\\uDD1E"',
    '"é€𝄞"'.encode(), '"\u2028\u2029\u007f\ufeff"'.encode(), b'"\\ufdd0\\uffff"',
    b'{"a\\u0000":1}', b'{"\xc3\xa9":1,"e":2}', b"9007199254740993", b"-9223372036854775808",
    b"18446744073709551615", b"1e308", b"5e-324", b"0e+1", b'{"a":"b","A":"b"}',
    b'{"\\u0061b":1,"a":2}',
]  # fmt: skip
REFUSED = [
    b"", b" ", b"[", b"]", b"{", b"}", b"[[]", b"[]]", b"[1,]", b"[,1]", b"[1,,2]", b"[1 2]",
    b"[:1]", b"[1}", b'{"a":1]', b'{"a" 1}', b'{"a":}', b'{:1}', b'{"a"}', b'{"a":1,}',
    b'{,"a":1}', b'{"a":1,,"b":2}', b"{a:1}", b"{'a':1}", b'{1:1}', b'{null:1}', b'{"a":1 "b":2}',
    b"'a'", b'"', b'"a', b'a"', b"a", b'"\\x41"', b'"\\u00"', b'"\\u00g0"', b'"\\U0041"', b'"\\"',
    b'"\\a"', b'"\x00"', b'"\x1f"', b'"\n"', b'"\t"', b'"\r"', b"\x0c[]", b"[\x0b]", b"[\xa0]",
    "[\u2060]".encode(), "[\u00a0]".encode(), b"01", b"-01", b"+1", b"1.", b".5", b"-.5", b"1.e5",
    b"1e", b"1e+", b"--1", b"-", b"0x10", b"1_000", b"1,000", b"1 000", b"Infinity", b"-Infinity",
    b"NaN", b"-NaN", b"nan", b"inf", b"True", b"TRUE", b"nul", b"nulll", b"truefalse", b"None",
    b"undefined", b"[] []", b"[]x", b"1 2", b"{} {}", b"[]//x", b"/**/[]", b"#\n[]", b"[1]\x00",
    b"\xef\xbb\xbf[]", b"\xef\xbb\xbf", b"\xff\xfe[\0]\0", b"\xfe\xff\0[\0]", b"[\0]\0",
    "\uff11".encode(), "\u0661".encode(), b"[1e400]", b"[-1e400]", b"[1e9999999999]",
    b"[" + b"9" * 400 + b"]",
    b'"\\ud800"', b'"\\udc00"', b'"\\ud800\\ud800"', b'"\\udc00\\ud800"', b'"\\ud800x"',
    b'"\\ud800\\n"', b'{"\\ud800":1}', b'"\xed\xa0\x80"', b'"\xff"', b'"\xc3"', b'"\xc0\x80"',
    b'"\xc3\x28"', b'"\xf4\x90\x80\x80"', b'"\xe2\x82"', b'"\xf0\x80\x80\x80"', b'{"\xff":1}',
    b'{"a":1,"a":1}', b'{"a":1,"\\u0061":2}', b'{"":1,"":2}', b'[{"b":{"a":1,"a":2}}]',
    b'{"a":1,"b":2,"a":3}', b'{"\\u00e9":1,"\xc3\xa9":2}', b'{ "a" : 1 , "a" : 2 }',
]  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_text_that_json_has_is_read_as_others_read_it(text: bytes) -> None:
    assert load(text) == json.loads(text)


@pytest.mark.parametrize("text", REFUSED)
def test_text_that_json_has_not_or_that_readers_differ_on_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid) as found:
        load(text)
    assert found.value.code in ("json.malformed", "json.duplicate-key", "json.number")
    for around in (b'{"x":%s}', b"[%s]"):
        if text.strip() and b"%" not in text:
            with pytest.raises(Invalid):
                load(around.replace(b"%s", text))


@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_nesting_of_ten_thousand_is_refused_and_so_is_half_of_it(pair: tuple[bytes, bytes]) -> None:
    opening, closing = pair
    for text in (opening * 10_000 + b"1" + closing * 10_000, opening * 10_000):
        with pytest.raises(Invalid) as found:
            load(text)
        assert found.value.code in ("json.depth", "json.malformed")
    for text in (opening * 300 + b"1" + closing * 300, b" " + opening * 300 + b"1" + closing * 300):
        with pytest.raises(Invalid) as found:
            load(text)
        assert found.value.code == "json.depth"


@pytest.mark.parametrize("text", [b"[]", b"1", b'"x"', b"null", b"true"])
def test_what_is_no_object_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(Invalid) as found:
        load_object(text)
    assert found.value.code == "json.object"


def test_published_inputs_of_canonical_json_are_read_as_others_read_them() -> None:
    files = sorted(shared_data("vectors", "jcs", "input").glob("*.json"))
    assert len(files) == 6
    for file in files:
        assert load(file.read_bytes()) == json.loads(file.read_bytes()), file.name
