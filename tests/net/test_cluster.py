"""Hosts, pools and limits."""

from proxyd.snapshot.clusters import HostEntry
from tests.net.conftest import MakeStage
from tests.net.dialogue import GET, HEARD_OK, OK, ask, request, response, starts
from tests.net.playbook import Stage


def dns(stage: MakeStage) -> Stage:
    endpoint = {"endpoint": {"address": {"socket_address": {"address": "backend.test", "port_value": 80}}}}
    return stage(
        cluster={
            "type": "STRICT_DNS",
            "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint]}]},
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
