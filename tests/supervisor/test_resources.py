"""Rounds of reading files of resources: what is taken, what stays, what is told."""

from pathlib import Path
from typing import Any

import pytest

from proxyd.supervisor.resources import FAILURE, REFRESH, REJECTED, SUCCESS
from tests.e2e.resource_files import ResourceFile, answers, assignment, cluster, listener, response, source
from tests.supervisor.resource_house import House, names, told


def test_only_files_that_were_touched_are_read(tmp_path: Path) -> None:
    house = House(tmp_path, listener())
    house.cds.write("broken: [")
    house.lds.write(response(listener(), listener("second")))
    found = house.round(house.lds.path)
    assert names(found) == (["http", "second"], ["backend"])
    assert told(found) == [("lds", SUCCESS)]
    assert told(house.round(house.cds.path)) == [("cds", FAILURE)]
    assert names(house.round()) == (["http", "second"], ["backend"])


def test_a_resource_that_stays_is_the_same_object_and_keeps_its_version(tmp_path: Path) -> None:
    house = House(tmp_path, listener())
    (before,) = [state for key, state in house.known.items() if key.kind == "lds"]
    house.lds.write(response(listener(), listener("second"), version="2"))
    house.round(house.lds.path)
    (after,) = [state for key, state in house.known.items() if key.kind == "lds"]
    assert after.resources["http"] is before.resources["http"]
    assert (after.resources["http"].version_info, after.resources["second"].version_info) == ("", "2")


_REGEX = [{"match": {"safe_regex": {"regex": "("}}, "route": {"cluster": "backend"}}]


@pytest.mark.parametrize(
    ("resources", "reason"),
    [
        ([listener("")], "resources[0].name: is required: a listener is updated by its name"),
        ([listener("still")], 'resources[0].name: "still" is a static listener'),
        (
            [listener("new", "127.0.0.1:8081")],
            "127.0.0.1:8081 is already listened on by listener still: address",
        ),
        (
            [listener("one", "127.0.0.1:9001"), listener("two", "127.0.0.1:9001")],
            "resources[1].address.socket_address: 127.0.0.1:9001 is already listened on by resources[0]",
        ),
        ([listener("new", nonsense=True)], "typed_config.nonsense: unknown field"),
        ([listener("new", server_name="\n")], "must not contain NUL, CR or LF"),
        ([listener("new", routes=_REGEX)], "routes[0].match.safe_regex.regex: "),
    ],
)
def test_mistakes_of_listeners_have_their_place(
    tmp_path: Path, resources: list[dict[str, Any]], reason: str
) -> None:
    still = listener("still", "127.0.0.1:8081")
    del still["@type"]
    still["filter_chains"][0]["filters"][0]["typed_config"]["route_config"] = {"virtual_hosts": []}
    house = House(tmp_path, listener(), listeners=[still])
    house.lds.write(response(*resources, listener()))
    found = house.round(house.lds.path)
    (outcome,) = found.outcomes
    assert outcome.result == REJECTED
    (text,) = outcome.reasons
    assert text.startswith(f"{house.lds.path}:1:")
    assert reason in text
    assert "http" in names(found)[0]


def test_what_would_be_left_empty_is_refused_or_permitted(tmp_path: Path) -> None:
    house = House(tmp_path, listener())
    house.lds.write(response())
    refused = house.round(house.lds.path)
    assert names(refused)[0] == ["http"]
    assert "--allow-empty-updates" in refused.outcomes[0].reasons[0]
    house.lds.write(response(listener("bad", stat_prefix="")))
    assert names(house.round(house.lds.path))[0] == ["http"]
    assert names(house.round(house.lds.path, allow_empty=True))[0] == []


def test_a_bad_listener_that_stays_keeps_its_address_from_others(tmp_path: Path) -> None:
    house = House(tmp_path, listener("old", "127.0.0.1:9001"))
    bad = listener("old", "127.0.0.1:9002", stat_prefix="")
    house.lds.write(response(listener("new", "127.0.0.1:9001"), bad))
    found = house.round(house.lds.path)
    assert names(found)[0] == ["old"]
    assert any("already listened on by listener old" in reason for reason in found.outcomes[0].reasons)


def test_routes_and_hosts_are_put_where_they_are_used_and_go_with_them(tmp_path: Path) -> None:
    rds = ResourceFile(tmp_path / "rds.json", answers(418))
    eds = ResourceFile(tmp_path / "eds.json", assignment("127.0.0.1:7", name="svc"))
    routed = listener(rds={"route_config_name": "routes", "config_source": source(rds.path)})
    hosts = cluster(
        name="hosts", type="EDS", eds_cluster_config={"eds_config": source(eds.path), "service_name": "svc"}
    )
    house = House(tmp_path, routed)
    house.cds.write(response(hosts))
    found = house.round(house.cds.path)
    (manager,) = [
        each.typed_config for each in found.bootstrap.static_resources.listeners[0].filter_chains[0].filters
    ]
    assert manager.route_config is not None
    assert manager.route_config.virtual_hosts[0].routes[0].direct_response is not None
    assert [(entry.ip, entry.port) for entry in found.hosts["hosts"]] == [("127.0.0.1", 7)]
    assert {str(rds.path), str(eds.path)} < found.files()
    house.lds.write(response(listener()))
    house.cds.write(response(cluster("127.0.0.1:1")))
    left = house.round(house.lds.path, house.cds.path)
    assert {key.kind for key in left.states} == {"lds", "cds"}
    assert str(rds.path) not in left.files()


def test_files_that_resources_name_are_read_again(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_text("one")
    answer = {"status": 200, "body": {"filename": str(body)}}
    house = House(tmp_path, listener(routes=[{"match": {"prefix": "/"}, "direct_response": answer}]))
    body.write_text("two")
    found = house.round(body)
    assert told(found) == [("lds", REFRESH)]
    assert "two" in repr(found.bootstrap.static_resources.listeners[0])
    body.unlink()
    lost = house.round(body)
    assert "cannot read it" in lost.outcomes[0].reasons[0]
    assert "two" in repr(lost.bootstrap.static_resources.listeners[0])


def test_a_listener_that_cannot_be_had_is_left_out_or_stays_as_it_was(tmp_path: Path) -> None:
    house = House(tmp_path, listener())
    known = house.known
    house.lds.write(response(listener(server_name="other"), listener("new")))
    found = house.round(house.lds.path)
    without = found.without_listener("new", "in use", known)
    assert without is not None
    assert names(without)[0] == ["http"]
    assert without.outcomes[0].result == REJECTED
    again = without.without_listener("http", "in use", known)
    assert again is not None
    assert "other" not in repr(again.bootstrap)
    assert again.without_listener("http", "in use", known) is None
    refused = found.refused("a worker cannot", known)
    assert "a worker cannot" in refused.outcomes[0].reasons[0]
    assert next(state for key, state in refused.states.items() if key.kind == "lds").resources.keys() == {
        "http"
    }


def test_a_file_of_a_secret_that_holds_none_is_refused(tmp_path: Path) -> None:
    sds = ResourceFile(tmp_path / "sds.json")
    config = {"name": "served", "sds_config": source(sds.path)}
    waits = listener()
    waits["filter_chains"][0]["transport_socket"] = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificate_sds_secret_configs": [config]},
        },
    }
    house = House(tmp_path, waits)
    (outcome,) = house.round(sds.path).outcomes
    assert (outcome.key.scope, outcome.result) == ("sds.served.", REJECTED)
    assert outcome.reasons == (f'{sds.path}: it holds no secret, expected "served"',)
