"""Bytes that only one of the two takes for HTTP, or both for something else than they seem."""

import pytest

from tests.conformance.basic import LISTENERS as LISTENERS
from tests.conformance.case import OK, Case, Do, answer, case, get, request, response
from tests.conformance.conftest import Agree

_OK_LINE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
_CONTINUE = "expect: 100-continue"
_HOSTS = {
    "slash": "a/b",
    "question": "a?b",
    "at": "a@b",
    "comma": "a,b",
    "open": "[::1",
    "word-port": "a:b",
    "large-port": "a:99999",
    "escape": "a%20b",
    "high": "\xe9",
    "star": "*",
    "space": "a b",
    "backslash": "a\\b",
    "braces": "{a}",
    "semicolon": "a;b",
    "hash": "a#b",
    "ipv6": "::1",
    "empty-port": "a:",
    "two-ports": "a:80:80",
    "angles": "<a>",
    "quote": 'a"b',
    "signs": "-a.b_c~!$&'()*+=",
}


def _asked(name: str, text: str) -> Case:
    return case(f"strict-{name}", text)


def _chunks(name: str, body: str) -> Case:
    return _asked(f"chunk-{name}", request("POST", "/b", "transfer-encoding: chunked", body=body))


def _expecting(name: str, *lines: str) -> Case:
    return _asked(f"expect-{name}", request("POST", "/b", *lines, "content-length: 1", body="a"))


def _told(name: str, told: bytes) -> Case:
    return case(f"strict-response-{name}", get("/b"), answer=answer(told, Do.CLOSE))


CASES = (
    _chunks("extension", "1;a;b=c;d\r\nx\r\n0;z\r\n\r\n"),
    _chunks("extension-escape", '1;a="b\\"c;d"\r\nx\r\n0\r\n\r\n'),
    _chunks("extension-no-value", "1;a=\r\nx\r\n0\r\n\r\n"),
    _chunks("extension-long", f"1;a={'b' * 5000}\r\nx\r\n0\r\n\r\n"),
    _chunks("extension-empty", "1;\r\nx\r\n0\r\n\r\n"),
    _chunks("extension-tab", "1;\ta\r\nx\r\n0\r\n\r\n"),
    _chunks("extension-spaces", "1; a = b\r\nx\r\n0\r\n\r\n"),
    _chunks("extension-space-before", "1 ;a=b\r\nx\r\n0\r\n\r\n"),
    _chunks("extension-high", "1;a=\xe9\r\nx\r\n0\r\n\r\n"),
    _chunks("extension-open-quote", '1;a="b\r\nx\r\n0\r\n\r\n'),
    _chunks("size-zeros", "0" * 20 + "1\r\nx\r\n0\r\n\r\n"),
    _chunks("size-plus", "+1\r\nx\r\n0\r\n\r\n"),
    _chunks("size-hex", "0x1\r\nx\r\n0\r\n\r\n"),
    _chunks("size-17-digits", "10000000000000000\r\nx\r\n0\r\n\r\n"),
    _chunks("size-none", "\r\nx\r\n0\r\n\r\n"),
    _chunks("size-too-large", "2\r\nx\r\n0\r\n\r\n"),
    _chunks("size-space-before", " 1\r\nx\r\n0\r\n\r\n"),
    _chunks("no-end", "1\r\nx0\r\n\r\n"),
    _chunks("trailer-no-name", "0\r\n: x\r\n\r\n"),
    _chunks("trailer-coding", "0\r\ntransfer-encoding: x\r\n\r\n"),
    _chunks("trailer-host", "0\r\nhost: x\r\n\r\n"),
    _expecting("twice", _CONTINUE, _CONTINUE),
    _expecting("list", f"{_CONTINUE}, x"),
    _expecting("parameter", f"{_CONTINUE};a=b"),
    _asked("expect-nothing", request("POST", "/b", _CONTINUE, "content-length: 0")),
    _asked("version-1.2", "GET /b HTTP/1.2\r\nhost: h\r\n\r\n"),
    _asked("version-1", "GET /b HTTP/1\r\nhost: h\r\n\r\n"),
    _asked("version-1.11", "GET /b HTTP/1.11\r\nhost: h\r\n\r\n"),
    _asked("version-lower-case", "GET /b http/1.1\r\nhost: h\r\n\r\n"),
    *(_asked(f"host-{name}", get("/b", host=host)) for name, host in _HOSTS.items()),
    _asked("absolute-fragment", get("http://a.example/b#c")),
    _asked("absolute-backslash", get("http://a.example\\b")),
    _asked("absolute-no-authority", get("http:/b")),
    _asked("absolute-nothing", get("http://")),
    _asked("absolute-only-query", get("http://?b")),
    _asked("absolute-empty-host-field", get("http://a.example/b", host="")),
    _asked("absolute-two-hosts", get("http://a.example/b", "host: x")),
    _asked("absolute-port-and-user", get("http://a.example:80@b.example/b")),
    _asked("absolute-zone", get("http://[fe80::1%25eth0]/b")),
    _asked("absolute-connect", request("CONNECT", "http://a.example/")),
    _asked("connect-no-port", request("CONNECT", "h.example")),
    _asked("connect-word-port", request("CONNECT", "h.example:x")),
    _asked("connect-length", request("CONNECT", "h.example:443", "content-length: 3", body="abc")),
    _told("empty-line-before", b"\r\n" + OK),
    _told("line-feed-before", b"\n" + OK),
    _told("empty-line-behind", OK + b"\r\n"),
    _told("reason-control", _OK_LINE.replace(b"OK", b"a\x01")),
    _told("reason-delete", _OK_LINE.replace(b"OK", b"a\x7f")),
    _told("reason-tab", _OK_LINE.replace(b"OK", b"a\tb")),
    _told("reason-high", _OK_LINE.replace(b"OK", b"\xe9")),
    _told("value-control", _OK_LINE.replace(b"content", b"x: a\x01b\r\ncontent")),
    _told("line-feeds", _OK_LINE.replace(b"\r", b"")),
    _told("folded", _OK_LINE.replace(b"content", b"x: a\r\n b\r\ncontent")),
    _told("tab-in-line", _OK_LINE.replace(b"1.1 ", b"1.1\t")),
    _told("no-name", _OK_LINE.replace(b"content", b": x\r\ncontent")),
    _told("lower-case", _OK_LINE.replace(b"HTTP", b"http")),
    _told("coding-http10", _CHUNKED.replace(b"1.1", b"1.0") + b"1\r\na\r\n0\r\n\r\n"),
    _told("coding-identity", _CHUNKED.replace(b"chunked", b"identity") + b"abc"),
    _told("coding-twice", _CHUNKED[:-2] + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    _told("length-plus", _OK_LINE.replace(b"0\r\n\r\n", b"+2\r\n\r\nok")),
    _told("length-empty", _OK_LINE.replace(b" 0\r\n\r\n", b"\r\n\r\nok")),
    _told("length-huge", _OK_LINE.replace(b"0\r\n\r\n", b"9" * 20 + b"\r\n\r\nok")),
    _told("status-099", _OK_LINE.replace(b"200", b"099")),
    _told("status-999", _OK_LINE.replace(b"200", b"999")),
    _told("304-body", response(304)),
    _told("interim-length", b"HTTP/1.1 100 Continue\r\ncontent-length: 3\r\n\r\nabc" + OK),
    _told("interim-then-garbage", b"HTTP/1.1 103 Hints\r\n\r\ngarbage\r\n\r\n"),
    _told("extension-open-quote", _CHUNKED + b'1;a="\r\na\r\n0\r\n\r\n'),
    _told("many-interim", b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + OK),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
