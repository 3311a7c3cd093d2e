"""What requests over HTTP/2 cost on the wire, as an access log tells it, where it does not depend on chance.

The host tells the date, so that no answer is longer than another one by the second in which it was given. How
long a request's head is depends on whether the host's SETTINGS came before it: tests/net has what is asked.
"""

import pytest

from tests.conformance.case import Case, answer
from tests.conformance.conftest import Agree
from tests.conformance.http2 import Ask, fields, http2, reply
from tests.conformance.test_http2_upstream import CLUSTERS

__all__ = ["CLUSTERS"]

_ROUTES = """
generate_request_id: false
route_config:
  response_headers_to_remove: [x-envoy-upstream-service-time]
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /older}, route: {cluster: origin}}
    - {match: {prefix: /}, route: {cluster: newer}}
log:
  wire_received: "%DOWNSTREAM_WIRE_BYTES_RECEIVED%"
  wire_sent: "%DOWNSTREAM_WIRE_BYTES_SENT%"
  wire_answered: "%UPSTREAM_WIRE_BYTES_RECEIVED%"
"""

LISTENERS = {"h2-wire": _ROUTES, "h2-wire-large": _ROUTES + "max_request_headers_kb: 96\n"}

_DATE = ("date", "Mon, 01 Jan 2024 00:00:00 GMT")
_PIECES = (b"abc", b"de")
_LARGE = (b"x" * 16000,) * 3


def _post(*pieces: bytes, trailers: tuple[tuple[str, str], ...] = ()) -> Ask:
    return Ask(fields("/", method="POST"), pieces, trailers)


CASES = (
    http2("wire-get", fields(), listener="h2-wire", replies=(reply(_DATE),)),
    http2("wire-body", fields(), listener="h2-wire", replies=(reply(_DATE, body=(b"abc",)),)),
    http2("wire-large", fields(), listener="h2-wire", replies=(reply(_DATE, body=_LARGE),)),
    http2("wire-post", _post(b"abc"), listener="h2-wire", replies=(reply(_DATE),)),
    http2("wire-post-large", _post(*_LARGE), listener="h2-wire", replies=(reply(_DATE),)),
    http2(
        "wire-trailers",
        _post(b"abc", trailers=(("x-a", "b"),)),
        listener="h2-wire",
        replies=(reply(_DATE, body=(b"abc",), trailers=(("x-t", "1"),)),),
    ),
    http2(
        "wire-interim",
        fields(),
        listener="h2-wire",
        replies=(reply(_DATE, interim=(((":status", "103"), ("link", "x")),)),),
    ),
    http2("wire-breaks-off", fields(), listener="h2-wire", replies=(reply(_DATE, body=(b"abc",), resets=2),)),
    http2(
        "wire-older",
        fields("/older"),
        listener="h2-wire",
        answer=answer(b"HTTP/1.1 200 OK\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\ncontent-length: 0\r\n\r\n"),
    ),
    http2("wire-cancelled", Ask(fields(), resets=8), listener="h2-wire", replies=(reply(waits=True),)),
    http2(
        "wire-long-value",
        fields("/", ("x-long", "~" * 15000)),
        listener="h2-wire-large",
        replies=(reply(_DATE),),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
