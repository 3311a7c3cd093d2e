"""Responses: name → bytes, the method of the request they answer, and the verdict (RFC 9112 and RFC 9110).

A refused one is answered with 502 (503 where nothing came), or, once its head has gone on, cut off so that
the client sees it.
"""

from typing import Final

from tests.cases.verdicts import Accept, Refuse

_OK: Final = b"HTTP/1.1 200 OK\r\n"
_CHUNKED: Final = _OK + b"transfer-encoding: chunked\r\n\r\n"
_WRONG: Final = Refuse(502)
_CUT: Final = Refuse(0)
_NEXT: Final = _OK + b"content-length: 8\r\n\r\nsmuggled"

RESPONSES: Final[dict[str, tuple[bytes, bytes, Accept | Refuse]]] = {
    # -- nothing wrong
    "length": (_OK + b"content-length: 2\r\n\r\nok", b"GET", Accept((b"ok",))),
    "chunks": (_CHUNKED + b"2\r\nok\r\n0\r\n\r\n", b"GET", Accept((b"ok",))),
    "chunks with a trailer": (_CHUNKED + b"2;x=y\r\nok\r\n0\r\nx: 1\r\n\r\n", b"GET", Accept((b"ok",))),
    "until close": (_OK + b"\r\nok", b"GET", Accept((b"ok",), at_close=True)),
    "no reason": (b"HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok", b"GET", Accept((b"ok",))),
    "interim before it": (
        b"HTTP/1.1 103 H\r\n\r\n" + _OK + b"content-length: 2\r\n\r\nok",
        b"GET",
        Accept((b"ok",)),
    ),
    "no content": (b"HTTP/1.1 204 N\r\n\r\n", b"GET", Accept(status=204)),
    "not modified with a length": (
        b"HTTP/1.1 304 N\r\ncontent-length: 9\r\n\r\n",
        b"GET",
        Accept(status=304),
    ),
    "to head": (_OK + b"content-length: 9\r\n\r\n", b"HEAD", Accept()),
    "to head, chunked": (_CHUNKED, b"HEAD", Accept()),
    # -- before and in the status line
    "empty line before it": (b"\r\n" + _OK + b"content-length: 2\r\n\r\nok", b"GET", _WRONG),
    "line feed before it": (b"\n" + _OK + b"content-length: 2\r\n\r\nok", b"GET", _WRONG),
    "control in its reason": (b"HTTP/1.1 200 O\x01\r\ncontent-length: 2\r\n\r\nok", b"GET", _WRONG),
    # -- two framings, or none that can be told
    "length and chunked": (
        _OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET",
        _WRONG,
    ),
    "chunked and length": (
        _OK + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        b"GET",
        _WRONG,
    ),
    "two lengths": (_OK + b"content-length: 2\r\ncontent-length: 9\r\n\r\nok", b"GET", _WRONG),
    "the same length twice": (_OK + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok", b"GET", _WRONG),
    "list of lengths": (_OK + b"content-length: 2, 2\r\n\r\nok", b"GET", _WRONG),
    "length with a plus": (_OK + b"content-length: +2\r\n\r\nok", b"GET", _WRONG),
    "length with a minus": (_OK + b"content-length: -2\r\n\r\nok", b"GET", _WRONG),
    "length in hex": (_OK + b"content-length: 0x2\r\n\r\nok", b"GET", _WRONG),
    "empty length": (_OK + b"content-length:\r\n\r\nok", b"GET", _WRONG),
    "length over 64 bits": (_OK + b"content-length: 18446744073709551618\r\n\r\nok", b"GET", _WRONG),
    "gzip": (_OK + b"transfer-encoding: gzip\r\n\r\nok", b"GET", _WRONG),
    "gzip, chunked": (_OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"GET", _WRONG),
    "chunked, gzip": (_OK + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", b"GET", _WRONG),
    "two codings": (
        _OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET",
        _WRONG,
    ),
    "xchunked": (_OK + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", b"GET", _WRONG),
    "no content with a length": (b"HTTP/1.1 204 N\r\ncontent-length: 2\r\n\r\nok", b"GET", _WRONG),
    "no content, chunked": (b"HTTP/1.1 204 N\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b"GET", _WRONG),
    # -- heads
    "garbage": (b"nonsense\r\n\r\n", b"GET", _WRONG),
    "HTTP/0.9": (b"just text\n", b"GET", _WRONG),
    "HTTP/2.0": (b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok", b"GET", _WRONG),
    "HTTP/1.2": (b"HTTP/1.2 200 OK\r\ncontent-length: 2\r\n\r\nok", b"GET", _WRONG),
    "status of two digits": (b"HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\nok", b"GET", _WRONG),
    "status of four digits": (b"HTTP/1.1 2000 OK\r\ncontent-length: 2\r\n\r\nok", b"GET", _WRONG),
    "status zero": (b"HTTP/1.1 000 OK\r\ncontent-length: 2\r\n\r\nok", b"GET", _WRONG),
    "switching protocols": (
        b"HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n" + _NEXT,
        b"GET",
        _WRONG,
    ),
    "space before the colon": (_OK + b"content-length : 2\r\n\r\nok", b"GET", _WRONG),
    "folded line": (_OK + b"x: a\r\n b\r\ncontent-length: 2\r\n\r\nok", b"GET", _WRONG),
    "no colon": (_OK + b"nonsense\r\ncontent-length: 2\r\n\r\nok", b"GET", _WRONG),
    "NUL in a value": (_OK + b"x: a\0b\r\ncontent-length: 2\r\n\r\nok", b"GET", _WRONG),
    "bare LF": (_OK + b"x: a\ncontent-length: 2\r\n\r\nok", b"GET", _WRONG),
    "bare CR": (_OK + b"x: a\rb\r\ncontent-length: 2\r\n\r\nok", b"GET", _WRONG),
    "too many fields": (_OK + b"x: 1\r\n" * 200 + b"\r\n", b"GET", _WRONG),
    "too large a field": (_OK + b"x: " + b"a" * 90_000 + b"\r\n\r\n", b"GET", _WRONG),
    # -- bodies
    "chunk size of letters": (_CHUNKED + b"xyz\r\nok\r\n", b"GET", _CUT),
    "chunk longer than it says": (_CHUNKED + b"1\r\nok\r\n0\r\n\r\n", b"GET", _CUT),
    "chunk size over 64 bits": (_CHUNKED + b"10000000000000002\r\nok\r\n0\r\n\r\n", b"GET", _CUT),
    "bare LF behind a chunk": (_CHUNKED + b"2\r\nok\n0\r\n\r\n", b"GET", _CUT),
    "trailer without a colon": (_CHUNKED + b"2\r\nok\r\n0\r\nnonsense\r\n\r\n", b"GET", _CUT),
    # -- what nobody asked for must not answer the next request
    "a second response": (_OK + b"content-length: 2\r\n\r\nok" + _NEXT, b"GET", Accept((b"ok",))),
    "bytes behind the length": (_OK + b"content-length: 2\r\n\r\nokGARBAGE", b"GET", Accept((b"ok",))),
    "bytes behind the last chunk": (_CHUNKED + b"2\r\nok\r\n0\r\n\r\nGARBAGE", b"GET", Accept((b"ok",))),
    "a body to head": (_OK + b"content-length: 2\r\n\r\nok", b"HEAD", Accept()),
    "a response behind no content": (b"HTTP/1.1 204 N\r\n\r\n" + _NEXT, b"GET", Accept(status=204)),
    "a body behind not modified": (
        b"HTTP/1.1 304 N\r\ncontent-length: 2\r\n\r\nok",
        b"GET",
        Accept(status=304),
    ),
}
