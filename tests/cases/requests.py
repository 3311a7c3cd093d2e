"""Requests: name → the bytes of a connection, and the verdict. Written from RFC 9112 and RFC 9110.

Refused is what a next hop could take for something else than we do, what breaks the grammar, and whatever
arrives on the connection behind it.
"""

from typing import Final

from tests.cases.verdicts import Accept, Refuse

_GET: Final = b"GET /a HTTP/1.1\r\nhost: h\r\n"
_POST: Final = b"POST /a HTTP/1.1\r\nhost: h\r\n"
_CHUNKED: Final = _POST + b"transfer-encoding: chunked\r\n\r\n"
_SMUGGLED: Final = b"GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n"
_LATE: Final = Refuse(400)
_NOT_IMPLEMENTED: Final = Refuse(501)

REQUESTS: Final[dict[str, tuple[bytes, Accept | Refuse]]] = {
    # -- nothing wrong
    "plain": (_GET + b"\r\n", Accept()),
    "empty lines before it": (b"\r\n\r\n" + _GET + b"\r\n", Accept()),
    "two in a row": (_GET + b"\r\n" + _GET + b"\r\n", Accept((b"", b""))),
    "length": (_POST + b"content-length: 3\r\n\r\nabc", Accept((b"abc",))),
    "length with zeros before it": (_POST + b"content-length: 0003\r\n\r\nabc", Accept((b"abc",))),
    "length, then another request": (
        _POST + b"content-length: 3\r\n\r\nabc" + _SMUGGLED,
        Accept((b"abc", b"")),
    ),
    "length over a request": (
        _POST + b"content-length: %d\r\n\r\n" % len(_SMUGGLED) + _SMUGGLED,
        Accept((_SMUGGLED,)),
    ),
    "chunks": (_CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", Accept((b"abcde",))),
    "chunks in upper case": (_CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n", Accept((b"0123456789",))),
    "chunked in upper case": (
        _POST + b"Transfer-Encoding: CHUNKED\r\n\r\n1\r\na\r\n0\r\n\r\n",
        Accept((b"a",)),
    ),
    "chunk extension": (_CHUNKED + b"3;a=b\r\nabc\r\n0\r\n\r\n", Accept((b"abc",))),
    "chunk extension in quotes": (_CHUNKED + b'3;a="b;\tc"\r\nabc\r\n0\r\n\r\n', Accept((b"abc",))),
    "chunk of a request": (
        _CHUNKED + b"%x\r\n" % len(_SMUGGLED) + _SMUGGLED + b"\r\n0\r\n\r\n",
        Accept((_SMUGGLED,)),
    ),
    "trailers": (_CHUNKED + b"1\r\na\r\n0\r\nx: 1\r\ny: 2\r\n\r\n", Accept((b"a",))),
    "trailer with a host": (_CHUNKED + b"1\r\na\r\n0\r\nhost: other\r\n\r\n", Accept((b"a",))),
    "spaces around values": (_POST + b"content-length: \t 3 \t \r\n\r\nabc", Accept((b"abc",))),
    "underscore instead of dash": (
        _POST + b"content-length: 1\r\ntransfer_encoding: chunked\r\n\r\na",
        Accept((b"a",)),
    ),
    "get with a body": (_GET + b"content-length: 1\r\n\r\na", Accept((b"a",))),
    "absolute target": (b"GET http://h/a HTTP/1.1\r\nhost: other\r\n\r\n", Accept()),
    "high bytes in a value": (_GET + b"x: \xff\xe9\r\n\r\n", Accept()),
    "framing words in another field": (
        _POST + b"content-length: 1\r\nx: x transfer-encoding: chunked\r\n\r\na",
        Accept((b"a",)),
    ),
    # -- two framings
    "length and chunked": (
        _POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Refuse(),
    ),
    "chunked and length": (
        _POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        Refuse(),
    ),
    "length zero and chunked": (
        _POST + b"content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Refuse(),
    ),
    "length and chunked over a request": (
        _POST + b"content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nX" + _SMUGGLED,
        Refuse(),
    ),
    "length and identity": (_POST + b"content-length: 3\r\ntransfer-encoding: identity\r\n\r\nabc", Refuse()),
    "two lengths": (_POST + b"content-length: 3\r\ncontent-length: 5\r\n\r\nabcde", Refuse()),
    "two lengths, one zero": (
        _POST + b"content-length: 0\r\ncontent-length: 36\r\n\r\n" + _SMUGGLED,
        Refuse(),
    ),
    "the same length twice": (_POST + b"content-length: 3\r\nContent-Length: 3\r\n\r\nabc", Refuse()),
    "list of lengths": (_POST + b"content-length: 3, 3\r\n\r\nabc", Refuse()),
    # -- lengths that are none
    "length with a plus": (_POST + b"content-length: +3\r\n\r\nabc", Refuse()),
    "length with a minus": (_POST + b"content-length: -1\r\n\r\nabc", Refuse()),
    "length in hex": (_POST + b"content-length: 0x3\r\n\r\nabc", Refuse()),
    "length in letters": (_POST + b"content-length: three\r\n\r\nabc", Refuse()),
    "length with a space in it": (_POST + b"content-length: 1 0\r\n\r\nabcdefghij", Refuse()),
    "length with an underscore": (_POST + b"content-length: 1_0\r\n\r\nabcdefghij", Refuse()),
    "length with a comma": (_POST + b"content-length: 3,\r\n\r\nabc", Refuse()),
    "length with a point": (_POST + b"content-length: 3.0\r\n\r\nabc", Refuse()),
    "length with an exponent": (_POST + b"content-length: 1e1\r\n\r\nabcdefghij", Refuse()),
    "length in quotes": (_POST + b'content-length: "3"\r\n\r\nabc', Refuse()),
    "empty length": (_POST + b"content-length:\r\n\r\nabc", Refuse()),
    "length over 64 bits": (_POST + b"content-length: 18446744073709551619\r\n\r\nabc", Refuse()),
    "length of a superscript digit": (_POST + b"content-length: \xb2\r\n\r\nab", Refuse()),
    "length with a vertical tab": (_POST + b"content-length: \x0b3\r\n\r\nabc", Refuse()),
    "length with a NUL": (_POST + b"content-length: 3\0\r\n\r\nabc", Refuse()),
    "length folded": (_POST + b"content-length:\r\n 3\r\n\r\nabc", Refuse()),
    # -- codings that are not chunked
    "gzip": (_POST + b"transfer-encoding: gzip\r\n\r\nabc", _NOT_IMPLEMENTED),
    "gzip, chunked": (_POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", _NOT_IMPLEMENTED),
    "chunked, gzip": (_POST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", _NOT_IMPLEMENTED),
    "chunked, identity": (_POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", _NOT_IMPLEMENTED),
    "chunked twice": (_POST + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n", _NOT_IMPLEMENTED),
    "two codings": (
        _POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        _NOT_IMPLEMENTED,
    ),
    "identity, then chunked": (
        _POST + b"transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        _NOT_IMPLEMENTED,
    ),
    "xchunked": (_POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", _NOT_IMPLEMENTED),
    "chunkedx": (_POST + b"transfer-encoding: chunkedx\r\n\r\n0\r\n\r\n", _NOT_IMPLEMENTED),
    "chunked with a parameter": (
        _POST + b"transfer-encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
        _NOT_IMPLEMENTED,
    ),
    "chunked in quotes": (_POST + b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n', _NOT_IMPLEMENTED),
    "comma before chunked": (_POST + b"transfer-encoding: ,chunked\r\n\r\n0\r\n\r\n", _NOT_IMPLEMENTED),
    "empty coding": (_POST + b"transfer-encoding:\r\n\r\n0\r\n\r\n", _NOT_IMPLEMENTED),
    "chunked behind a vertical tab": (_POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", Refuse()),
    "chunked behind a NUL": (_POST + b"transfer-encoding: \0chunked\r\n\r\n0\r\n\r\n", Refuse()),
    "chunked folded": (_POST + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n", Refuse()),
    "chunked in HTTP/1.0": (
        b"POST /a HTTP/1.0\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        Refuse(426),
    ),
    # -- field lines
    "space before the colon": (_POST + b"content-length : 3\r\n\r\nabc", Refuse()),
    "space before the colon of a coding": (
        _POST + b"transfer-encoding : chunked\r\ncontent-length: 3\r\n\r\nabc",
        Refuse(),
    ),
    "tab before the colon": (_POST + b"transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n", Refuse()),
    "space before the first field": (b"GET /a HTTP/1.1\r\n host: h\r\n\r\n", Refuse()),
    "folded line": (_GET + b"x: a\r\n b\r\n\r\n", Refuse()),
    "folded line with a coding": (
        _POST + b"content-length: 3\r\nx: a\r\n transfer-encoding: chunked\r\n\r\nabc",
        Refuse(),
    ),
    "no colon": (_GET + b"nonsense\r\n\r\n", Refuse()),
    "no name": (_GET + b": a\r\n\r\n", Refuse()),
    "NUL in a value": (_GET + b"x: a\0b\r\n\r\n", Refuse()),
    "NUL in a name": (_GET + b"x\0: a\r\n\r\n", Refuse()),
    "control in a value": (_GET + b"x: a\x08b\r\n\r\n", Refuse()),
    "high byte in a name": (_GET + b"x\xe9: a\r\n\r\n", Refuse()),
    "brackets in a name": (_GET + b"x[y]: a\r\n\r\n", Refuse()),
    "bare CR in a value": (_GET + b"x: a\rtransfer-encoding: chunked\r\n\r\n", Refuse()),
    "bare LF between fields": (_POST + b"x: a\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", Refuse()),
    "bare LF behind a length": (_POST + b"content-length: 36\n\r\n" + _SMUGGLED, Refuse()),
    "bare LF everywhere": (b"GET /a HTTP/1.1\nhost: h\n\n", Refuse()),
    "CR CR LF": (_POST + b"content-length: 3\r\r\n\r\nabc", Refuse()),
    "too many fields": (_GET + b"x: 1\r\n" * 200 + b"\r\n", Refuse(431)),
    "too large a field": (_GET + b"x: " + b"a" * 70_000 + b"\r\n\r\n", Refuse(431)),
    # -- Host and the target
    "no host": (b"GET /a HTTP/1.1\r\n\r\n", Refuse()),
    "empty host": (b"GET /a HTTP/1.1\r\nhost:\r\n\r\n", Refuse()),
    "two hosts": (_GET + b"host: other\r\n\r\n", Refuse()),
    "the same host twice": (_GET + b"host: h\r\n\r\n", Refuse()),
    "host with a space": (b"GET /a HTTP/1.1\r\nhost: h other\r\n\r\n", Refuse()),
    "host with a slash": (b"GET /a HTTP/1.1\r\nhost: h/other\r\n\r\n", Refuse()),
    "host with a control": (b"GET /a HTTP/1.1\r\nhost: h\x01\r\n\r\n", Refuse()),
    "host nominated for removal": (_GET + b"connection: host\r\n\r\n", Refuse()),
    "absolute target with a user": (b"GET http://u@h/a HTTP/1.1\r\nhost: h\r\n\r\n", Refuse()),
    "absolute target without a host": (b"GET http:///a HTTP/1.1\r\nhost: h\r\n\r\n", Refuse()),
    "absolute target with a bad port": (b"GET http://h:8x/a HTTP/1.1\r\nhost: h\r\n\r\n", Refuse()),
    "absolute target of another scheme": (b"GET file://h/a HTTP/1.1\r\nhost: h\r\n\r\n", Refuse()),
    "relative target": (b"GET a HTTP/1.1\r\nhost: h\r\n\r\n", Refuse()),
    "target with a space": (b"GET /a HTTP/1.1 /b HTTP/1.1\r\nhost: h\r\n\r\n", Refuse()),
    "target with a NUL": (b"GET /a\0b HTTP/1.1\r\nhost: h\r\n\r\n", Refuse()),
    "target with a fragment": (b"GET /a#b HTTP/1.1\r\nhost: h\r\n\r\n", Refuse()),
    # -- the request line
    "no version": (b"GET /a\r\nhost: h\r\n\r\n", Refuse(426)),
    "HTTP/0.9": (b"GET /a HTTP/0.9\r\nhost: h\r\n\r\n", Refuse(426)),
    "HTTP/1.0": (b"GET /a HTTP/1.0\r\nhost: h\r\n\r\n", Refuse(426)),
    "HTTP/1.2": (b"GET /a HTTP/1.2\r\nhost: h\r\n\r\n", Refuse(426)),
    "HTTP/2.0": (b"GET /a HTTP/2.0\r\nhost: h\r\n\r\n", Refuse(426)),
    "version of two digits": (b"GET /a HTTP/1.10\r\nhost: h\r\n\r\n", Refuse()),
    "version in lower case": (b"GET /a http/1.1\r\nhost: h\r\n\r\n", Refuse()),
    "space behind the version": (b"GET /a HTTP/1.1 \r\nhost: h\r\n\r\n", Refuse()),
    "two spaces": (b"GET  /a HTTP/1.1\r\nhost: h\r\n\r\n", Accept()),  # a MAY that misleads nobody
    "tab between": (b"GET\t/a HTTP/1.1\r\nhost: h\r\n\r\n", Refuse()),
    "method in lower case": (b"get /a HTTP/1.1\r\nhost: h\r\n\r\n", Refuse()),
    "unknown method": (b"SMUGGLE /a HTTP/1.1\r\nhost: h\r\n\r\n", Refuse()),
    "connect": (b"CONNECT h:80 HTTP/1.1\r\nhost: h:80\r\n\r\n" + _SMUGGLED, Refuse(404)),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refuse()),
    "TLS": (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", Refuse()),
    # -- chunks
    "chunk size of letters": (_CHUNKED + b"xyz\r\nabc\r\n0\r\n\r\n", _LATE),
    "chunk size with a minus": (_CHUNKED + b"-1\r\na\r\n0\r\n\r\n", _LATE),
    "chunk size with a plus": (_CHUNKED + b"+1\r\na\r\n0\r\n\r\n", _LATE),
    "chunk size with 0x": (_CHUNKED + b"0x1\r\na\r\n0\r\n\r\n", _LATE),
    "chunk size with an underscore": (_CHUNKED + b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n", _LATE),
    "chunk size over 64 bits": (_CHUNKED + b"10000000000000001\r\na\r\n0\r\n\r\n", _LATE),
    "no chunk size": (_CHUNKED + b"\r\na\r\n0\r\n\r\n", _LATE),
    "space before the chunk size": (_CHUNKED + b" 1\r\na\r\n0\r\n\r\n", _LATE),
    "space behind the chunk size": (_CHUNKED + b"1 \r\na\r\n0\r\n\r\n", _LATE),
    "chunk longer than it says": (_CHUNKED + b"1\r\nabc\r\n0\r\n\r\n", _LATE),
    "chunk shorter than it says": (_CHUNKED + b"5\r\nabc\r\n0\r\n\r\n", _LATE),
    "no CRLF behind a chunk": (_CHUNKED + b"3\r\nabc0\r\n\r\n", _LATE),
    "bare LF behind a chunk size": (_CHUNKED + b"3\nabc\r\n0\r\n\r\n", _LATE),
    "bare LF behind a chunk": (_CHUNKED + b"3\r\nabc\n0\r\n\r\n", _LATE),
    "bare LF in an extension": (_CHUNKED + b"3;a\nbc\r\nabc\r\n0\r\n\r\n", _LATE),
    "bare CR in an extension": (_CHUNKED + b"3;a\rb\r\nabc\r\n0\r\n\r\n", _LATE),
    "NUL in an extension": (_CHUNKED + b"3;a\0\r\nabc\r\n0\r\n\r\n", _LATE),
    "trailer with a length": (_CHUNKED + b"1\r\na\r\n0\r\ncontent-length: 36\r\n\r\n", _LATE),
    "trailer with a coding": (_CHUNKED + b"1\r\na\r\n0\r\ntransfer-encoding: chunked\r\n\r\n", _LATE),
    "trailer without a colon": (_CHUNKED + b"1\r\na\r\n0\r\nnonsense\r\n\r\n", _LATE),
    "trailer ended by a bare LF": (_CHUNKED + b"1\r\na\r\n0\r\nx: 1\n\r\n", _LATE),
    # -- unfinished: nothing complete goes on
    "unfinished head": (b"GET /a HTTP/1.1\r\nhost: h\r\n", Refuse(0)),
    "unfinished body": (_POST + b"content-length: 9\r\n\r\nabc", Refuse(0)),
    "unfinished chunk": (_CHUNKED + b"9\r\nabc", Refuse(0)),
    "unfinished trailers": (_CHUNKED + b"1\r\na\r\n0\r\nx: 1\r\n", Refuse(0)),
    # -- what stands behind a good one
    "garbage behind a request": (_GET + b"\r\n" + b"nonsense\r\n\r\n", Accept()),
    "garbage behind a body": (_POST + b"content-length: 3\r\n\r\nabcX" + _SMUGGLED, Accept((b"abc",))),
    "a request behind connection close": (_GET + b"connection: close\r\n\r\n" + _SMUGGLED, Accept()),
    "body behind a length of zero": (_POST + b"content-length: 0\r\n\r\nG", Accept()),
}
