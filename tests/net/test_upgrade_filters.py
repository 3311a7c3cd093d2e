"""Filters of a protocol's own: requests that upgrade to it go through those, others through the manager's."""

from typing import Any

import pytest

from tests.net.conftest import MakeStage
from tests.net.dialogue import request
from tests.net.http2_client import connect
from tests.net.playbook import ROUTER, Stage

STATS = {
    "name": "stats",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
        "stats_for_all_methods": True,
    },
}
LAST = {"name": "router", "typed_config": {"@type": ROUTER}}
OFF = {"stats": {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}}
GRPC = ("content-type: application/grpc", "content-length: 0")
UPGRADE = ("connection: upgrade", "upgrade: WebSocket")
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\ngrpc-status: 0\r\n\r\n"
)
OK = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 0\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


def counted(play: Stage) -> int:
    counter = play.registry.counters.get("cluster.backend.grpc.svc.Method.total")
    return 0 if counter is None else counter.value


# Filters of all and of the protocol, what the route says of them, and who is counted. All as Envoy does it.
CASES: dict[str, tuple[list[Any], list[Any], dict[str, Any], bool, bool]] = {
    "of all": ([STATS, LAST], [], {}, True, True),
    "none of its own": ([STATS, LAST], [LAST], {}, False, True),
    "its own": ([LAST], [STATS, LAST], {}, True, False),
    "both": ([STATS, LAST], [STATS, LAST], {}, True, True),
    "turned off by the route": ([LAST], [STATS, LAST], OFF, False, False),
    "its own are turned off, too": ([STATS, LAST], [STATS, LAST], OFF, False, False),
}


@pytest.mark.parametrize(("of_all", "own", "said", "upgrades", "others"), CASES.values(), ids=CASES)
def test_whose_filters(
    stage: MakeStage, of_all: list[Any], own: list[Any], said: dict[str, Any], upgrades: bool, others: bool
) -> None:
    upgrade = {"upgrade_type": "websocket", **({"filters": own} if own else {})}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "backend"}, "typed_per_filter_config": said}
    play = stage(routes=[route], manager={"http_filters": of_all, "upgrade_configs": [upgrade]})
    client = play.connect()
    client.say(request("POST", "/svc/Method", *GRPC, *UPGRADE))
    host = play.origin()
    host.say(SWITCH)
    assert client.hears()[0] == "HTTP/1.1 101 Switching Protocols"
    host.say(b"hello")
    assert client.heard() == b"hello"
    host.close()
    client.close()
    assert counted(play) == upgrades
    client = play.connect()
    client.say(request("POST", "/svc/Method", *GRPC))
    play.origin().say(OK)
    assert client.hears()[0] == "HTTP/1.1 200 OK"
    assert counted(play) == upgrades + others


def test_a_websocket_of_http_2_has_them_as_well(stage: MakeStage) -> None:
    own = [{"upgrade_type": "websocket", "filters": [STATS, LAST]}]
    options = {"allow_connect": True}
    play = stage(manager={"http_filters": [LAST], "upgrade_configs": own, "http2_protocol_options": options})
    client = connect(play)
    client.open(
        [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", "x"),
            (":path", "/svc/Method"),
            ("content-type", "application/grpc"),
        ],
        end=False,
    )
    play.origin().say(SWITCH)
    assert counted(play) == 1
