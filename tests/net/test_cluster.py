"""Hosts, pools and limits."""

from proxyd.snapshot.clusters import HostEntry
from tests.net.conftest import MakeStage
from tests.net.dialogue import GET, HEARD_OK, OK, ask, request, response, starts
from tests.net.playbook import HTTP_OPTIONS, Stage

TYPE = f"type.googleapis.com/{HTTP_OPTIONS}"


def dns(stage: MakeStage, kind: str = "STRICT_DNS", **options: object) -> Stage:
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "backend.test", "port_value": 80}}}}
    return stage(
        cluster={
            "type": kind,
            "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint]}]},
            **options,
        }
    )


ONE = HostEntry("10.0.0.1", 80, "backend.test")
TWO = HostEntry("10.0.0.2", 80, "backend.test")


def test_hosts_take_turns(stage: MakeStage) -> None:
    play = stage(hosts=(("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.3", 81)))
    for _ in range(6):
        play.connect().say(GET)
    turns = [dial.address for dial in play.loop.dials]
    assert turns[:3] == turns[3:]
    assert set(turns) == {("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.3", 81)}
    assert play.registry.gauges["cluster.backend.membership_total"].value == 3
    for dial in play.loop.dials:
        dial.refuse()


def test_a_cluster_has_no_host_until_it_is_resolved(stage: MakeStage) -> None:
    play = dns(stage)
    client = play.connect()
    client.say(GET)
    assert starts(client)[1] == "no healthy upstream"
    play.server.update_hosts("backend", [ONE])
    client.say(GET)
    play.origin().say(OK)
    assert client.hears() == HEARD_OK
    play.server.update_hosts("unknown", [ONE])


def test_hosts_that_stay_keep_their_connections(stage: MakeStage) -> None:
    play = dns(stage)
    play.server.update_hosts("backend", [ONE])
    client, origin = ask(play)
    origin.say(OK)
    play.server.update_hosts("backend", [ONE, TWO])
    for _ in range(2):
        client.say(GET)
        if play.loop.dials:
            play.origin().say(OK)
        else:
            origin.say(OK)
    assert client.hears() == HEARD_OK * 3
    assert play.host("cx_total") == 1


def test_hosts_that_go_end_their_idle_connections_and_finish_their_requests(stage: MakeStage) -> None:
    play = dns(stage)
    play.server.update_hosts("backend", [ONE])
    (busy, first), (idle, second) = ask(play), ask(play)
    second.say(OK)
    play.server.update_hosts("backend", [TWO])
    play.turn()
    assert second.closed
    assert not first.closed
    first.say(OK)
    assert busy.hears() == HEARD_OK
    assert first.closed
    idle.say(GET)
    assert play.loop.dials[0].address == ("10.0.0.2", 80)
    play.origin().say(OK)


def test_a_request_that_waits_for_a_host_that_goes_is_served_by_it(stage: MakeStage) -> None:
    play = dns(stage)
    play.server.update_hosts("backend", [ONE])
    client = play.connect()
    client.say(GET)
    play.server.update_hosts("backend", [])
    origin = play.origin()
    origin.say(OK)
    assert client.hears() == HEARD_OK
    assert origin.closed


def test_an_address_that_is_found_twice_is_one_host(stage: MakeStage) -> None:
    play = dns(stage)
    play.server.update_hosts("backend", [ONE, ONE, TWO])
    client = play.connect()
    client.say(GET * 3)
    for _ in range(3):
        if play.loop.dials:
            origin = play.origin()
            origin.say(OK)
    assert play.upstream("upstream_cx_total") == 2
    assert play.http("downstream_rq_total") >= 2
    client.reset()


def test_a_failed_connection_fails_all_that_wait(stage: MakeStage) -> None:
    play = stage()
    clients = [play.connect() for _ in range(3)]
    for client in clients:
        client.say(GET)
    assert len(play.loop.dials) == 3
    play.loop.dials.pop(0).refuse()
    assert [starts(client)[0] for client in clients] == ["HTTP/1.1 503 Service Unavailable"] * 3
    assert play.upstream("upstream_rq_pending_failure_eject") == 3
    for _ in range(2):
        play.loop.dials.pop(0).accept()
    clients[0].say(GET)
    assert play.loop.dials == []


def test_requests_over_the_limit_are_refused_and_those_below_it_wait(stage: MakeStage) -> None:
    play = stage()
    cluster = play.server._clusters["backend"]
    cluster.pending = cluster.config.max_pending_requests - 2
    cluster.connections = cluster.config.max_connections - 1
    one, two, three = (play.connect() for _ in range(3))
    for client in (one, two, three):
        client.say(GET)
    heard = three.hears()
    assert heard[0] == "HTTP/1.1 503 Service Unavailable"
    assert "x-envoy-overloaded: true" in heard
    assert heard[-1].endswith("reset reason: overflow")
    assert play.log() == ["GET /a 503 UO upstream_reset_before_response_started{overflow}"]
    assert play.upstream("upstream_rq_pending_overflow") == 1
    assert play.upstream("upstream_cx_overflow") == 1
    origin = play.origin()
    origin.say(OK)
    assert one.hears() == HEARD_OK
    origin.say(OK)
    assert two.hears() == HEARD_OK


def test_who_waits_over_the_limit_gets_a_connection_when_one_closes(stage: MakeStage) -> None:
    play = stage()
    cluster = play.server._clusters["backend"]
    cluster.connections = cluster.config.max_connections - 1
    one, two, three = (play.connect() for _ in range(3))
    for client in (one, two, three):
        client.say(GET)
    for client in (one, two, three):
        play.origin().say(response("connection: close", "content-length: 2", body=b"ok"))
        assert client.hears() == HEARD_OK


def test_who_waits_longest_is_served_first(stage: MakeStage) -> None:
    play = stage()
    clients = [play.connect() for _ in range(3)]
    for number, client in enumerate(clients):
        client.say(request("GET", f"/{number}"))
    dials = list(play.loop.dials)
    play.loop.dials.clear()
    origin = dials[2].accept()
    assert origin.request()[0] == "GET /0 HTTP/1.1"
    origin.say(OK)
    assert origin.request()[0] == "GET /1 HTTP/1.1"
    dials[0].accept().say(OK)
    origin.say(OK)
    dials[1].accept()
    assert [starts(client) for client in clients] == [["HTTP/1.1 200 OK", "ok"]] * 3


def test_upgrades_of_http_2_are_ignored(stage: MakeStage) -> None:
    play = stage()
    fields = (
        "connection: upgrade, http2-settings",
        "upgrade: h2c",
        "http2-settings: AA",
        "content-length: 2",
    )
    client, origin = ask(play, request("POST", "/a", *fields, body=b"ab") + GET)
    origin.say(OK)
    origin.say(OK)
    assert client.hears() == HEARD_OK * 2


def test_hosts_share_by_their_weights(stage: MakeStage) -> None:
    play = dns(stage)
    play.server.update_hosts("backend", [ONE._replace(weight=3), TWO])
    for _ in range(8):
        play.connect().say(GET)
    assert sorted(dial.address[0] for dial in play.loop.dials) == ["10.0.0.1"] * 6 + ["10.0.0.2"] * 2
    for dial in list(play.loop.dials):
        dial.refuse()
    play.server.update_hosts("backend", [ONE, TWO])  # the same hosts, weighing something else
    play.loop.dials.clear()
    for _ in range(8):
        play.connect().say(GET)
    assert sorted(dial.address[0] for dial in play.loop.dials) == ["10.0.0.1"] * 4 + ["10.0.0.2"] * 4


def test_the_host_with_fewer_requests_under_way_gets_the_next(stage: MakeStage) -> None:
    options = {"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"choice_count": 50}}
    play = dns(stage, **options)
    play.server.update_hosts("backend", [ONE, TWO])
    turns = []
    for _ in range(6):
        client = play.connect()
        client.say(GET)
        dial = play.dial()
        turns.append(dial.address[0])
        dial.accept()
    # Fifty picks of two miss one of them about never.
    assert all(turns[number] != turns[number + 1] for number in (0, 2, 4))


def test_a_logical_host_moves_for_new_connections_only(stage: MakeStage) -> None:
    play = dns(stage, "LOGICAL_DNS")
    play.server.update_hosts("backend", [ONE])
    client, origin = ask(play)
    origin.say(OK)
    play.server.update_hosts("backend", [TWO])
    client.say(GET)  # on the connection that is there
    origin.heard()
    other = play.connect()
    other.say(GET)
    dial = play.dial()
    assert dial.address == ("10.0.0.2", 80)
    dial.accept().say(OK)
    origin.say(OK)
    assert client.hears() == HEARD_OK * 2
    assert other.hears() == HEARD_OK
    assert play.counter("host.backend;backend.test:80.rq_total") == 3
    assert play.counter("host.backend;backend.test:80.cx_total") == 2
    play.server.update_hosts("backend", [])  # nothing is known: it stays where it was
    client.say(GET)
    other.say(GET)
    assert play.upstream("upstream_cx_none_healthy") == 0


def test_a_host_that_goes_and_comes_back_begins_anew(stage: MakeStage) -> None:
    play = dns(stage)
    play.server.update_hosts("backend", [ONE])
    busy, first = ask(play)
    play.server.update_hosts("backend", [])
    play.server.update_hosts("backend", [ONE])
    client, second = ask(play)
    second.say(OK)
    first.say(OK)
    play.turn()
    assert (first.closed, second.closed) == (True, False)
    assert busy.hears() == client.hears() == HEARD_OK


def test_connections_to_hosts_that_went_end_with_the_server(stage: MakeStage) -> None:
    play = dns(stage)
    play.server.update_hosts("backend", [ONE])
    _, origin = ask(play)
    waits = play.connect()
    waits.say(GET)
    play.server.update_hosts("backend", [TWO])
    cluster = play.server._clusters["backend"]
    assert [host.address for host in cluster._leaving] == ["10.0.0.1:80"]
    cluster.abort()
    play.turn()
    assert origin.closed
    assert cluster._leaving == set()


def test_a_host_that_went_is_forgotten_once_idle(stage: MakeStage) -> None:
    play = dns(stage)
    play.server.update_hosts("backend", [ONE])
    cluster = play.server._clusters["backend"]
    client = play.connect()
    client.say(GET)
    play.server.update_hosts("backend", [TWO])
    assert len(cluster._leaving) == 1
    client.reset()
    dial = play.dial()
    assert len(cluster._leaving) == 1  # its connection is still being made
    dial.accept()
    play.turn()
    assert cluster._leaving == set()
    play.server.update_hosts("backend", [])
    assert cluster._leaving == set()


def test_requests_over_the_limit_of_requests_are_refused(stage: MakeStage) -> None:
    play = stage()
    one, origin = ask(play)
    origin.say(OK)
    cluster = play.server._clusters["backend"]
    cluster.requests = cluster.config.max_requests - 1
    gauge = play.registry.gauges["cluster.backend.circuit_breakers.default.rq_open"]
    one.say(GET)
    assert gauge.value == 1
    two = play.connect()
    two.say(GET)  # waits for a connection, and then there are too many
    play.origin()
    heard = two.hears()
    assert heard[0] == "HTTP/1.1 503 Service Unavailable"
    assert "x-envoy-overloaded: true" in heard
    assert play.upstream("upstream_rq_pending_overflow") == 1
    three = play.connect()
    three.say(GET)  # and here there is one, idle
    assert three.hears()[0] == "HTTP/1.1 503 Service Unavailable"
    assert play.upstream("upstream_rq_pending_overflow") == 2
    origin.say(OK)
    assert gauge.value == 0
    three.say(GET)
    assert play.upstream("upstream_rq_pending_overflow") == 2
    cluster.requests -= cluster.config.max_requests - 1


def test_limits_that_are_reached_are_shown(stage: MakeStage) -> None:
    play = stage()
    cluster = play.server._clusters["backend"]
    gauges = [
        play.registry.gauges[f"cluster.backend.circuit_breakers.default.{name}"]
        for name in ("cx_open", "rq_pending_open")
    ]
    cluster.connections = cluster.config.max_connections - 1
    cluster.pending = cluster.config.max_pending_requests - 1
    client = play.connect()
    client.say(GET)
    assert [gauge.value for gauge in gauges] == [1, 1]
    origin = play.origin()
    assert [gauge.value for gauge in gauges] == [1, 0]
    origin.say(response("connection: close", "content-length: 2", body=b"ok"))
    assert [gauge.value for gauge in gauges] == [0, 0]
    cluster.connections = cluster.pending = 0


def test_limits_of_response_heads(stage: MakeStage) -> None:
    options = {
        "common_http_protocol_options": {"max_response_headers_kb": 1, "max_headers_count": 3},
        "explicit_http_config": {"http_protocol_options": {}},
    }
    play = stage(cluster={"typed_extension_protocol_options": {HTTP_OPTIONS: {"@type": TYPE, **options}}})
    for fields, status in (
        (("a: 1", "content-length: 2"), "200 OK"),
        (("a: 1", "b: 2", "c: 3", "content-length: 2"), "502 Bad Gateway"),
        (("a: " + "x" * 2000, "content-length: 2"), "502 Bad Gateway"),
    ):
        client, origin = ask(play)
        origin.say(response("connection: close", *fields, body=b"ok"))
        assert starts(client)[0] == f"HTTP/1.1 {status}"
