"""What grpc_stats counts of calls: the exchanges, and at the end every one of its counters and histograms.

Cases of other modules do not use these clusters, and a run of some cases compares what those have counted.
"""

import re
from typing import Any

import pytest

from tests.conformance.case import Case, post
from tests.conformance.conftest import Agree
from tests.conformance.http2 import Ask, Http2Case, fields, http2, reply
from tests.conformance.laboratory import Laboratory

_FILTER = "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_OFF = '{"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}'
_ON = '{"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {}}'
_LIST = "individual_method_stats_allowlist: {services: [{name: a.B, method_names: [M, N]}]}"
_OPTIONS = {
    "all": "stats_for_all_methods: true, enable_upstream_stats: true",
    "none": "enable_upstream_stats: true",
    "false": "stats_for_all_methods: false",
    "list": _LIST,
    "dots": "stats_for_all_methods: true, replace_dots_in_grpc_service_name: true",
    "list-dots": f"{_LIST}, replace_dots_in_grpc_service_name: true",
}


def _listener(name: str, options: str, disabled: bool = False) -> str:
    disabling = "disabled: true, " if disabled else ""
    return f"""
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {{match: {{prefix: /direct}}, direct_response: {{status: 200}}}}
    - {{match: {{prefix: /refused}}, route: {{cluster: grpc-refused}}}}
    - match: {{prefix: /off}}
      route: {{cluster: grpc-{name}}}
      typed_per_filter_config: {{stats: {_OFF}}}
    - match: {{prefix: /on}}
      route: {{cluster: grpc-{name}}}
      typed_per_filter_config: {{stats: {_ON}, nobody: {_OFF}}}
    - {{match: {{prefix: /}}, route: {{cluster: grpc-{name}}}}}
http_filters:
- {{{disabling}name: stats, typed_config: {{"@type": {_FILTER}, {options}}}}}
- {{name: envoy.filters.http.router, typed_config: {{"@type": {_ROUTER}}}}}
"""


LISTENERS = {f"grpc-{name}": _listener(name, options) for name, options in _OPTIONS.items()}
LISTENERS["grpc-disabled"] = _listener("all", _OPTIONS["all"], disabled=True)
_FRESH = "max_requests_per_connection: 1"
CLUSTERS = "grpc-refused: {load_assignment: $refused}\n" + "".join(
    f"grpc-{name}: {{load_assignment: $newer, http2_protocol_options: {{}}, {_FRESH}}}\n" for name in _OPTIONS
)
STATS = "^cluster[.]grpc-.*[.]grpc[.]"

_GRPC = ("content-type", "application/grpc")
_PLAIN = ("content-type", "text/plain")
_MESSAGE = b"\0\0\0\0\1x"
_ENDED = (("grpc-status", "0"),)
_OK = reply(_GRPC, body=(_MESSAGE * 2,), trailers=_ENDED)


def call(
    name: str,
    path: str,
    *pieces: bytes,
    kind: tuple[str, str] = _GRPC,
    listener: str = "grpc-all",
    **more: Any,
) -> Http2Case:
    more.setdefault("replies", (_OK,))
    ask = Ask(fields(path, kind, method="POST"), pieces or (_MESSAGE,))
    return http2(f"stats-{listener}-{name}", ask, listener=listener, **more)


def told(status: str) -> dict[str, Any]:
    """A message and this status."""
    return {"replies": (reply(_GRPC, body=(_MESSAGE,), trailers=(("grpc-status", status),)),)}


def replied(*more: tuple[str, str], **rest: Any) -> dict[str, Any]:
    return {"replies": (reply(*more, **rest),)}


_SMALL = "\0\0\0\0\1x"

CASES = (
    *(
        call(*case, listener=listener, **more)
        for listener in LISTENERS
        for *case, more in (
            ("pieces", "/a.B/M", _MESSAGE * 2 + b"\0\0\0", b"\0\1x", {}),
            ("fails", "/a.B/N?x=y", told("5")),
            ("other", "/a.C/M", told("0")),
            ("off", "/off.Service/M", {}),
            ("on", "/on.Service/M", {}),
        )
    ),
    *(
        call(f"status-{status or 'empty'}", "/s/status", **told(status))
        for status in ("0", "00", "16", "17", "abc", "")
    ),
    call("only-a-head", "/s/head", **replied(_GRPC, ("grpc-status", "7"))),
    call("no-status", "/s/none", **replied(_GRPC, body=(_MESSAGE,))),
    call("no-status-in-trailers", "/s/none", **replied(_GRPC, body=(_MESSAGE,), trailers=(("x", "0"),))),
    call(
        "both-statuses", "/s/both", **replied(_GRPC, ("grpc-status", "3"), body=(_MESSAGE,), trailers=_ENDED)
    ),
    call("reset", "/s/reset", **replied(_GRPC, body=(_MESSAGE,), resets=2)),
    call("answer-of-another-type", "/s/plain", **replied(_PLAIN, body=(_MESSAGE,), trailers=_ENDED)),
    call("not-found", "/s/missing", **replied(_PLAIN, body=(_MESSAGE,), status="404")),
    call("not-found-grpc", "/s/missing", **replied(_GRPC, body=(_MESSAGE,), status="404")),
    call("flags", "/s/flags", b"\7\0\0\0\1x\1\0\0"),
    call("empty-messages", "/s/empty", b"\0" * 10, b"\0" * 5 + b"\1"),
    call("no-message", "/s/nothing", b""),
    call("three-parts", "/s/x/three"),
    call("one-part", "/one"),
    call("more-slashes", "//s2//m//"),
    call("colons", "/s:t/m:n"),
    call("percent", "/s%20/m.o"),
    call("more-dots", "/a.b.c.D/m.n", listener="grpc-dots"),
    call("refused", "/refused/m", replies=()),
    call("direct", "/direct/m", replies=()),
    call("not-grpc", "/s/m", kind=_PLAIN),
    call("proto", "/s/m", kind=("content-type", "application/grpc+proto")),
    call("web", "/s/m", kind=("content-type", "application/grpc-web")),
    Http2Case(
        "stats-http1",
        (post("/s/http1", _SMALL, "content-type: application/grpc").encode("latin-1"),),
        listener="grpc-all",
        replies=(_OK,),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)


def test_the_numbers_agree_with_envoy(laboratory: Laboratory) -> None:
    """What was recorded of times is chance; which times were, is not."""
    envoy, proxyd = (
        [re.sub("(upstream_rq_time): .*", r"\1", line) for line in laboratory.stats[kind].splitlines()]
        for kind in ("envoy", "proxyd")
    )
    assert len(envoy) > 100
    assert envoy == proxyd
