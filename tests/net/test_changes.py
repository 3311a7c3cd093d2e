"""Another configuration in place: what has not changed does not notice, what has ends with its requests."""

from pathlib import Path

import pytest

from tests.net.conftest import MakeStage
from tests.net.dialogue import GET, HEARD_OK, OK, ask
from tests.net.playbook import FILE_LOG

LAST = [*HEARD_OK[:3], "connection: close", *HEARD_OK[3:]]
TEAPOT = [{"match": {"prefix": "/"}, "direct_response": {"status": 418}}]


def test_the_same_configuration_again_changes_nothing(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    before, cluster = play.server._listeners[0], play.server._clusters["backend"]
    play.change()
    assert play.server._listeners[0] is before
    assert play.server._clusters["backend"] is cluster
    origin.say(OK)
    assert client.hears() == HEARD_OK
    client.say(GET)
    origin.say(OK)
    assert client.hears() == HEARD_OK


def test_connections_of_a_listener_that_changes_end_with_their_next_response(stage: MakeStage) -> None:
    play = stage()
    busy, origin = ask(play)
    idle = play.connect()
    play.change(TEAPOT)
    fresh = play.connect()
    fresh.say(GET)
    assert fresh.hears()[0] == "HTTP/1.1 418 Unknown"
    assert not fresh.closed
    origin.say(OK)
    assert busy.hears() == LAST
    assert busy.closed
    idle.say(GET)
    origin.heard()
    origin.say(OK)
    assert idle.hears() == LAST  # it goes on with the routes that it began with
    assert idle.closed
    assert play.server._former == set()


def test_what_is_left_of_it_is_cut_after_the_drain_time(stage: MakeStage) -> None:
    play = stage()
    client, _ = ask(play)
    play.change(TEAPOT, drain=5.0)
    play.pass_time(4.9)
    assert not client.closed
    play.pass_time(0.2)
    assert client.closed


def test_a_cluster_that_changes_gets_new_pools_and_the_old_ones_finish(stage: MakeStage) -> None:
    play = stage()
    busy, old = ask(play)
    done, other = ask(play)
    other.say(OK)
    assert done.hears() == HEARD_OK
    play.change(cluster={"connect_timeout": "3s"})
    play.turn()
    assert other.closed
    assert not old.closed
    done.say(GET)
    new = play.origin()
    new.heard()
    new.say(OK)
    assert done.hears() == HEARD_OK  # on a connection that has not noticed
    assert len(play.server._retired) == 1
    old.say(OK)
    assert busy.hears() == HEARD_OK
    assert old.closed
    assert play.server._retired == set()


def test_a_cluster_that_is_gone_is_not_found(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    route = {"match": {"prefix": "/"}, "route": {"cluster_header": "x-to"}}
    play.change([route], cluster={"name": "other"})
    origin.say(OK)
    assert client.hears() == LAST
    lost = play.connect()
    lost.say(b"GET / HTTP/1.1\r\nhost: x\r\nx-to: backend\r\n\r\n")
    assert lost.hears()[0] == "HTTP/1.1 503 Service Unavailable"
    assert play.http("no_cluster") == 1


def test_a_limit_counts_those_who_are_leaving(stage: MakeStage) -> None:
    runtime = {"envoy.resource_limits.listener.front.connection_limit": 2}
    play = stage(runtime=runtime)
    old = play.connect()
    limit = play.listener.connections.limit
    play.change(TEAPOT, listener={"stat_prefix": "other"})
    assert play.listener.connections.limit is not limit
    assert play.listener.connections.limit._open == [1]
    old.reset()
    assert play.listener.connections.limit._open == [0]


def test_a_change_that_cannot_be_prepared_changes_nothing(stage: MakeStage, tmp_path: Path) -> None:
    play = stage()
    before = play.server._listeners[0]
    log = {"@type": FILE_LOG, "path": str(tmp_path / "missing" / "log")}
    with pytest.raises(FileNotFoundError):
        play.change(manager={"access_log": [{"name": "log", "typed_config": log}]})
    assert play.server._listeners[0] is before
    client, origin = ask(play)
    origin.say(OK)
    assert client.hears() == HEARD_OK


def test_logs_are_closed_when_nobody_writes_to_them_any_more(stage: MakeStage, tmp_path: Path) -> None:
    play = stage()
    client, origin = ask(play)
    log = {"@type": FILE_LOG, "path": str(tmp_path / "other.log")}
    play.change(manager={"access_log": [{"name": "log", "typed_config": log}]})
    play.server.flush_logs()
    assert len(play.server._logs._files) == 2  # the request under way will be logged
    origin.say(OK)
    assert client.closed
    play.server.flush_logs()
    assert [Path(path).name for path in play.server._logs._files] == ["other.log"]


def test_a_drain_waits_for_connections_of_former_listeners(stage: MakeStage) -> None:
    play = stage()
    client, origin = ask(play)
    play.change(TEAPOT)
    play.server.drain(close_idle=False)
    play.turn()
    assert (play.idle, play.server.connections) == (0, 1)
    origin.say(OK)
    assert client.hears() == LAST
    play.turn()
    assert play.idle == 1
