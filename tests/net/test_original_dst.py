"""Hosts of ORIGINAL_DST clusters: made as requests name them, forgotten when nobody uses them."""

from proxyd.codec.headers import Headers
from proxyd.filters.connection_info import NO_CONNECTION
from tests.net.conftest import MakeStage
from tests.net.dialogue import OK, request, starts
from tests.net.playbook import Client, Origin, Stage


def dst(stage: MakeStage, **cluster: object) -> Stage:
    return stage(
        cluster={
            "type": "ORIGINAL_DST",
            "load_assignment": None,
            "lb_policy": "CLUSTER_PROVIDED",
            "original_dst_lb_config": {"use_http_header": True},
            **cluster,
        }
    )


def ask_of(play: Stage, host: str) -> tuple[Client, Origin]:
    client = play.connect()
    client.say(request("GET", "/a", f"x-envoy-original-dst-host: {host}"))
    return client, play.origin()


def members(play: Stage) -> int:
    return play.registry.gauges["cluster.backend.membership_total"].value


def test_a_host_for_each_destination_is_made_once(stage: MakeStage) -> None:
    play = dst(stage)
    client, origin = ask_of(play, "10.0.0.7:81")
    origin.say(OK)
    client.say(request("GET", "/b", "x-envoy-original-dst-host: 10.0.0.7:81"))
    origin.say(OK)
    _, other = ask_of(play, "[fd00::0:7]:81")
    assert other.transport.get_extra_info("peername") == ("fd00::7", 81)
    other.say(OK)
    assert members(play) == 2
    assert play.upstream("membership_change") == 2
    assert play.upstream("upstream_cx_total") == 2


def test_hosts_are_forgotten_when_nobody_uses_them(stage: MakeStage) -> None:
    play = dst(stage, cleanup_interval="2s")
    _, idle = ask_of(play, "10.0.0.7:81")
    idle.say(OK)
    client, gone = ask_of(play, "10.0.0.8:81")
    gone.say(OK)
    gone.close()
    play.pass_time(2.1)
    assert members(play) == 2  # both were asked for meanwhile
    play.pass_time(2)
    assert members(play) == 1  # what has a connection stays
    client.say(request("GET", "/b", "x-envoy-original-dst-host: 10.0.0.8:81"))
    play.origin().say(OK)
    assert members(play) == 2
    idle.close()
    play.pass_time(20)
    assert members(play) == 1


def test_there_are_no_more_hosts_than_connections_may_be(stage: MakeStage) -> None:
    play = dst(stage)
    _, oldest = ask_of(play, "10.0.0.1:81")
    _, second = ask_of(play, "10.0.0.2:81")
    second.say(OK)
    cluster = play.server._clusters["backend"]
    for number in range(3, 1025):
        named = f"10.{number >> 8}.0.{number & 255}:82".encode()
        assert cluster.choose(NO_CONNECTION, Headers([(b"x-envoy-original-dst-host", named)])) is not None
    assert members(play) == 1024
    assert not second.closed
    _, last = ask_of(play, "10.9.0.1:81")
    assert members(play) == 1024
    assert second.closed  # the oldest one that carries no request
    assert not oldest.closed
    oldest.say(OK)
    last.say(OK)


def test_what_is_under_way_is_finished_when_the_cluster_changes(stage: MakeStage) -> None:
    play = dst(stage)
    client, origin = ask_of(play, "10.0.0.7:81")
    _, idle = ask_of(play, "10.0.0.8:81")
    idle.say(OK)
    play.change()
    play.turn()
    assert idle.closed
    origin.say(OK)
    assert starts(client) == ["HTTP/1.1 200 OK", "ok"]
    assert origin.closed


def test_a_request_without_a_destination_has_no_host(stage: MakeStage) -> None:
    play = dst(stage)
    client = play.connect()
    client.say(request("GET", "/a"))
    client.say(request("GET", "/a", "x-envoy-original-dst-host: somebody"))
    assert starts(client) == ["HTTP/1.1 503 Service Unavailable", "no healthy upstream"] * 2
    assert play.upstream("original_dst_host_invalid") == 1
    assert play.upstream("upstream_cx_none_healthy") == 2
