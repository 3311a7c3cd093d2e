"""Files of resources change while proxyd serves: what is good is put in place, the rest changes nothing."""

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import windows
from tests.e2e.conftest import Proxyd, StartProxyd
from tests.e2e.load import Load
from tests.e2e.origin import Origin
from tests.e2e.resource_files import (
    ResourceFile,
    answers,
    assignment,
    bootstrap,
    cluster,
    forwarding,
    listener,
    response,
    served_secret,
    source,
)
from tests.net.certificates import Authority
from tests.net.tls_house import DOWNSTREAM, UPSTREAM, client, tls_socket

LDS = "listener_manager.lds."


def ask(port: int, path: str = "/name") -> tuple[int, str]:
    """Status and body of an answer on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def numbers(proxyd: Proxyd, prefix: str) -> dict[str, int]:
    """Counters and gauges that begin so, by the rest of their names."""
    _, text = proxyd.admin(f"/stats?format=json&filter=^{prefix.replace('.', '[.]')}")
    return {
        each["name"].removeprefix(prefix): each["value"]
        for each in json.loads(text)["stats"]
        if "name" in each and isinstance(each["value"], int)
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_listeners_come_change_and_go(start: StartProxyd, origin: Origin, tmp_path: Path) -> None:
    lds = ResourceFile(tmp_path / "xds" / "lds.json", listener())
    cds = ResourceFile(tmp_path / "xds" / "cds.json", cluster(origin.address))
    proxyd = start(bootstrap(lds=lds.path, cds=cds.path), "--workers", "2")
    port = proxyd.port()
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    kept.request("GET", "/name")
    kept.getresponse().read()
    busy = socket.create_connection(("127.0.0.1", port), 30)
    busy.sendall(b"GET /hold HTTP/1.1\r\nhost: x\r\n\r\n")
    assert origin.holding.wait(30)

    # Another listener comes; the first one does not notice.
    lds.move(response(listener(), listener("second"), version="two"))
    proxyd.wait_for_log("add/update listener 'second'")
    assert ask(proxyd.port("second"))[0] == 200
    kept.request("GET", "/name")
    stays = kept.getresponse()
    assert (stays.read(), stays.getheader("connection")) == (b"origin", None)

    # The first one changes, and keeps its port: new connections get the new one at once, old ones leave.
    lds.write(response(listener(server_name="changed"), listener("second"), version="three"))
    proxyd.wait_for_log("add/update listener 'http'")
    assert proxyd.port() == port
    for _ in range(8):  # whichever worker has it
        fresh = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        fresh.request("GET", "/name")
        assert fresh.getresponse().getheader("server") == "changed"
        fresh.close()
    kept.request("GET", "/name")
    last = kept.getresponse()
    assert (last.getheader("server"), last.getheader("connection")) == ("envoy", "close")
    origin.release()
    with busy:
        answer = b"".join(iter(lambda: busy.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"server: envoy\r\n" in answer

    # The second one goes, and with it what was counted under its address.
    gone = proxyd.port("second")
    lds.move(response(listener(server_name="changed"), version="four"))
    proxyd.wait_for_log("remove listener 'second'")
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", gone)) != 0
    manager = numbers(proxyd, "listener_manager.")
    assert [manager[f"listener_{what}"] for what in ("added", "modified", "removed")] == [2, 1, 1]
    assert manager["listener_in_place_updated"] == 1
    assert manager["total_listeners_active"] == 1
    assert manager["lds.update_success"] == manager["lds.update_attempt"] == 4
    assert proxyd.status()["files"][1]["version"] == "four"


def test_what_is_wrong_changes_nothing_and_is_told(
    start: StartProxyd, origin: Origin, tmp_path: Path
) -> None:
    lds = ResourceFile(tmp_path / "lds.json", listener())
    cds = ResourceFile(tmp_path / "cds.json", cluster(origin.address))
    proxyd = start(bootstrap(lds=lds.path, cds=cds.path), "--workers", "2")
    port = proxyd.port()

    lds.move("resources:\n- { '@type': [")
    proxyd.wait_for_log("cannot be read")
    assert proxyd.wait_for_log("not YAML").strip().startswith(f"{lds.path}:3:1: ")
    assert "not YAML" in proxyd.command("status").stdout
    assert "not YAML" in proxyd.command("stats", "lds.update_error").stdout

    # What a certificate cannot be asked for: told as any mistake, and no more the end of a reload.
    asked = {"validation_context": {"match_typed_subject_alt_names": [{"matcher": {"exact": "x"}}]}}
    secured = listener()
    secured["filter_chains"][0]["transport_socket"] = tls_socket(DOWNSTREAM, {"common_tls_context": asked})
    lds.move(response(secured))
    assert "san_type: is required" in proxyd.wait_for_log("san_type")
    assert "san_type" in proxyd.command("status").stdout
    proxyd.command("reload")
    assert ask(port)[0] == 200

    # Of a mixed file the good ones are taken, and the bad one stays as it was.
    bad = listener(stat_prefix="")
    lds.move(response(bad, listener("good")))
    proxyd.wait_for_log("the rest of it is in force")
    assert "stat_prefix" in proxyd.wait_for_log("stat_prefix")
    assert ask(port)[0] == ask(proxyd.port("good"))[0] == 200
    _, dump = proxyd.admin("/config_dump?resource=dynamic_listeners&name_regex=http")
    (shown,) = json.loads(dump)["configs"]
    assert "stat_prefix" in shown["error_state"]["details"]
    assert shown["active_state"]["listener"]["name"] == "http"

    # An address that somebody else has.
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        lds.move(
            response(listener(), listener("good", f"127.0.0.1:{other.getsockname()[1]}"), listener("new"))
        )
        proxyd.wait_for_log("already in use")
    assert ask(proxyd.port("new"))[0] == ask(proxyd.port("good"))[0] == 200

    # What a worker alone can find out.
    log = [{"name": "file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": str(tmp_path / "missing" / "log")}}]  # fmt: skip
    lds.move(response(listener("other", access_log=log)))
    proxyd.wait_for_log("No such file or directory")
    assert ask(proxyd.port("new"))[0] == 200
    assert "http.ingress.downstream_rq_total" in proxyd.command("stats", "http").stdout

    lds.move(response())
    proxyd.wait_for_log("--allow-empty-updates")
    assert ask(port)[0] == 200

    lds.move(response(listener(), version="good"))
    proxyd.wait_for_log("remove listener 'new'")
    assert ask(port)[0] == 200
    assert proxyd.status()["files"][1]["reasons"] == ()
    counted = numbers(proxyd, "listener_manager.")
    attempts = {what: counted[f"lds.update_{what}"] for what in ("attempt", "success", "failure", "rejected")}
    assert attempts == {"attempt": 9, "success": 2, "failure": 1, "rejected": 6}
    assert counted["listener_create_failure"] == 1

    # What is good, and may not be meant so.
    trusting = cluster(origin.address, name="trusting", transport_socket=tls_socket(UPSTREAM, {}))
    cds.move(response(cluster(origin.address), trusting))
    proxyd.wait_for_log("cluster trusting: its hosts are not verified")


def test_routes_clusters_and_hosts_change_under_a_connection_that_stays(
    start: StartProxyd, origin: Origin, tmp_path: Path
) -> None:
    """And a path is followed through what is swapped: links, as Kubernetes does, or the folder itself."""
    volume = tmp_path / "volume"
    volume.mkdir()

    def publish(number: int, routes: dict[str, Any]) -> None:
        (volume / f"..{number}").mkdir()
        (volume / f"..{number}" / "rds.json").write_text(response(routes))
        if windows.HERE:  # not every user may make links there, and Wine makes none
            if number > 1:
                os.replace(volume / "..data", volume / "..old")
            os.replace(volume / f"..{number}", volume / "..data")
            return
        (volume / "..new").symlink_to(f"..{number}")
        os.replace(volume / "..new", volume / "..data")

    to_cluster = answers(200)
    to_cluster["virtual_hosts"][0]["routes"] = [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]
    publish(1, answers(418))
    path = volume / "..data" / "rds.json"
    if not windows.HERE:
        path = volume / "rds.json"
        path.symlink_to("..data/rds.json")
    rds = {"route_config_name": "routes", "config_source": source(path)}
    lds = ResourceFile(tmp_path / "lds.json", listener(rds=rds))
    eds = ResourceFile(tmp_path / "eds.json", assignment())
    dynamic = cluster(type="EDS", eds_cluster_config={"eds_config": source(eds.path)})
    cds = ResourceFile(tmp_path / "cds.json", cluster("127.0.0.1:1", name="other"))
    proxyd = start(bootstrap(lds=lds.path, cds=cds.path))
    client = http.client.HTTPConnection("127.0.0.1", proxyd.port(), timeout=30)

    def status() -> int:
        client.request("GET", "/name")
        answer = client.getresponse()
        answer.read()
        assert answer.getheader("connection") is None
        return answer.status

    assert status() == 418
    publish(2, to_cluster)
    proxyd.wait_for_log("routes routes updated")
    assert status() == 503  # to a cluster that there is not
    proxyd.until(lambda: numbers(proxyd, "http.ingress.")["no_cluster"] == 1, "counted")
    cds.move(response(dynamic, cluster("127.0.0.1:1", name="other")))
    proxyd.wait_for_log("added/updated 1 cluster,")
    proxyd.wait_for_log("hosts of cluster backend updated")
    assert status() == 503  # which has no hosts
    eds.move(response(assignment(origin.address)))
    proxyd.wait_for_log("hosts of cluster backend updated")
    assert status() == 200
    eds.move(response(assignment("127.0.0.1:1", name="wrong")))
    proxyd.wait_for_log('expected "backend", got "wrong"')
    assert status() == 200
    counted = numbers(proxyd, "cluster.backend.")
    assert (counted["update_success"], counted["update_rejected"], counted["membership_total"]) == (2, 1, 1)
    served = f"backend::{origin.address}::rq_success::2"
    proxyd.until(lambda: served in proxyd.admin("/clusters")[1], served)
    assert "backend::added_via_api::true" in proxyd.admin("/clusters")[1]
    cds.move(response(cluster("127.0.0.1:1", name="other")))
    proxyd.wait_for_log("removed 1 cluster")
    assert status() == 503
    assert numbers(proxyd, "cluster.backend.") == {}
    eds.move(response(assignment(origin.address)))  # nobody asks for it now
    cds.move(response(dynamic, cluster("127.0.0.1:1", name="other")))
    proxyd.wait_for_log("hosts of cluster backend updated")
    assert status() == 200
    proxyd.until(  # from 0 on
        lambda: numbers(proxyd, "cluster.backend.")["upstream_rq_total"] == 1, "counted"
    )
    client.close()


def test_workers_to_come_and_reloads_go_on_with_what_is_in_force(
    start: StartProxyd, origin: Origin, tmp_path: Path
) -> None:
    lds = ResourceFile(tmp_path / "lds.json", listener())
    cds = ResourceFile(tmp_path / "cds.json", cluster(origin.address))
    proxyd = start(bootstrap(lds=lds.path, cds=cds.path), "--workers", "2", "--no-watch-in-place")
    port = proxyd.port()
    lds.write(response(listener(), listener("ignored")))
    lds.move(response(listener(), listener("second")))
    proxyd.wait_for_log("add/update listener 'second'")
    second = proxyd.port("second")
    before = [worker["pid"] for worker in proxyd.workers()]
    for pid in before:
        psutil.Process(pid).kill()
    proxyd.until(
        lambda: len(proxyd.workers()) == 2 and not {w["pid"] for w in proxyd.workers()} & set(before),
        "other workers",
    )
    assert ask(port)[0] == ask(second)[0] == 200
    lds.write("no resources at all")  # not heeded, but read by the reload, which takes what was good last
    proxyd.command("reload", "--wait")
    assert ask(port)[0] == ask(second)[0] == 200
    assert "lds: update cannot be read" in "\n".join(proxyd.log)
    lds.move(response(listener()))
    proxyd.wait_for_log("remove listener 'second'")
    assert ask(port)[0] == 200


def test_files_that_static_resources_name_are_read_again(
    start: StartProxyd, origin: Origin, tmp_path: Path
) -> None:
    body = tmp_path / "body.txt"
    body.write_text("one")
    answer = {"status": 200, "body": {"filename": str(body)}}
    routes = [{"match": {"prefix": "/file"}, "direct_response": answer}]
    lds = ResourceFile(tmp_path / "unused.json", listener(routes=routes))
    static = json.loads(lds.path.read_text())["resources"]
    del static[0]["@type"]
    made = bootstrap()
    del made["dynamic_resources"]
    made["static_resources"] = {"listeners": static, "clusters": [cluster(origin.address)]}
    del made["static_resources"]["clusters"][0]["@type"]
    proxyd = start(made)
    assert ask(proxyd.port(), "/file") == (200, "one")
    body.write_text("another")
    proxyd.wait_for_log("files of static resources")
    assert ask(proxyd.port(), "/file") == (200, "another")
    body.write_text("x" * 5000)
    proxyd.wait_for_log("static: update rejected")
    assert ask(proxyd.port(), "/file") == (200, "another")


def test_a_directory_that_is_exchanged_for_another_is_seen(
    start: StartProxyd, origin: Origin, tmp_path: Path
) -> None:
    """Watching holds on to neither the directory nor what is in it."""
    used, new, old = (tmp_path / name for name in ("used", "new", "old"))
    for directory, listeners in ((used, ["first"]), (new, ["first", "second"])):
        ResourceFile(directory / "lds.json", *[listener(name) for name in listeners])
        ResourceFile(directory / "cds.json", cluster(origin.address))
    os.utime(new / "lds.json", (0, 0))
    proxyd = start(bootstrap(lds=used / "lds.json", cds=used / "cds.json"))
    windows.replace(used, old)
    assert ask(proxyd.port("first"))[0] == 200  # without any files
    windows.replace(new, used)
    proxyd.wait_for_log("add/update listener 'second'")
    assert ask(proxyd.port("second"))[0] == 200
    (old / "lds.json").rename(used / "lds.json.back")
    windows.replace(used / "lds.json.back", used / "lds.json")
    proxyd.wait_for_log("remove listener 'second'")


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_two_hundred_updates_under_load_fail_no_request(
    start: StartProxyd, origin: Origin, tmp_path: Path, secure: bool
) -> None:
    rounds = 5 if windows.HERE else 20  # of ten each; on Windows every file has to settle first
    authority = Authority()
    other_key = authority.issue("another").key

    def listeners(**manager: Any) -> list[dict[str, Any]]:
        """The one under load, and one with the certificate of a secret; with TLS both have that."""
        made = [listener(name, rds=rds, **manager) for name in ("http", "more")]
        secret = {"name": "served", "sds_config": source(sds.path)}
        context = {"common_tls_context": {"tls_certificate_sds_secret_configs": [secret]}}
        for each in made[0 if secure else 1 :]:
            each["filter_chains"][0]["transport_socket"] = tls_socket(DOWNSTREAM, context)
        return made

    def hosts(weight: int) -> dict[str, Any]:
        made = assignment(origin.address)
        made["endpoints"][0]["lb_endpoints"][0]["load_balancing_weight"] = weight
        return made

    def backend(**fields: Any) -> dict[str, Any]:
        return cluster(type="EDS", eds_cluster_config={"eds_config": source(eds.path)}, **fields)

    rds_file = ResourceFile(tmp_path / "rds.json", forwarding(0))
    rds = {"route_config_name": "routes", "config_source": source(rds_file.path)}
    sds = ResourceFile(tmp_path / "sds.json", served_secret(authority))
    eds = ResourceFile(tmp_path / "eds.json", hosts(1))
    lds = ResourceFile(tmp_path / "lds.json", *listeners())
    cds = ResourceFile(tmp_path / "cds.json", backend())
    proxyd = start(bootstrap(lds=lds.path, cds=cds.path), "--workers", "2")
    port = proxyd.port()

    def use() -> tuple[int, int]:
        processes = [psutil.Process(worker["pid"]) for worker in proxyd.workers()]
        processes.append(psutil.Process(proxyd.process.pid))
        return sum(map(windows.descriptors, processes)), sum(p.memory_info().rss for p in processes)

    def change(number: int) -> tuple[ResourceFile, str, str]:
        """Of each kind good ones and bad ones: which file becomes what, and which words tell of it."""
        good = listeners(server_name=f"s{number}")
        return (
            (lds, "broken: [", "lds: update cannot be read"),
            (lds, response(*good, listener("bad", stat_prefix="")), "lds: update rejected"),
            (rds_file, response(forwarding(number)), "rds: routes routes updated"),
            (eds, "broken: [", "eds backend: update cannot be read"),
            (cds, response(backend(connect_timeout=f"{number + 1}s")), "cds: added/updated 1 cluster,"),
            (sds, response(served_secret(authority)), "sds: secret served updated"),
            (rds_file, response(answers(404, "other")), "rds routes: update rejected"),
            (lds, response(*good), "add/update listener 'http'"),
            (eds, response(hosts(1 + number % 100)), "eds: hosts of cluster backend updated"),
            (
                sds,
                response(served_secret(authority, private_key={"inline_string": other_key})),
                "sds served: update rejected",
            ),
        )[number % 10]

    def play(updates: int, first: int) -> None:
        for number in range(first, first + updates):
            file, text, words = change(number)
            file.move(text)
            proxyd.wait_for_log(words)

    tls = client() if secure else None
    with (
        Load(port, keep_alive=False, connections=2, tls=tls) as fresh,
        Load(port, keep_alive=True, connections=2, tls=tls) as kept,
    ):
        play(4 * rounds, 0)
        before = use()
        play(6 * rounds, 4 * rounds)
        fresh.wait_for(10)
        kept.wait_for(10)
        after = use()
    assert fresh.failures == []
    assert kept.failures == []
    attempts = {
        LDS: (3 * rounds + 1, rounds, rounds),
        "cluster_manager.cds.": (rounds + 1, 0, 0),
        "http.ingress.rds.routes.": (2 * rounds + 1, rounds, 0),
        "cluster.backend.": (2 * rounds + 1, 0, rounds),
        "sds.served.": (2 * rounds + 1, rounds, 0),
    }
    for scope, expected in attempts.items():
        counted = numbers(proxyd, scope)
        found = tuple(counted[f"update_{what}"] for what in ("attempt", "rejected", "failure"))
        assert (scope, found) == (scope, expected)
        assert counted["update_success"] == expected[0] - sum(expected[1:])
    assert abs(after[0] - before[0]) < 24  # connections come and go
    assert after[1] - before[1] < 12 << 20


@pytest.mark.parametrize("allowed", [False, True])
def test_a_start_with_files_that_are_wrong_or_empty_goes_on(
    start: StartProxyd, origin: Origin, tmp_path: Path, allowed: bool
) -> None:
    lds = ResourceFile(tmp_path / "lds.json", {"@type": "type.googleapis.com/nothing"})
    cds = ResourceFile(tmp_path / "cds.json", cluster(origin.address))
    proxyd = start(bootstrap(lds=lds.path, cds=cds.path), *(["--allow-empty-updates"] if allowed else []))
    assert proxyd.status()["listeners"] == ()
    validated = proxyd.directory / "proxyd.json"
    assert validated.exists()
    lds.move(response(listener()))
    proxyd.wait_for_log("add/update listener 'http'")
    assert ask(proxyd.port())[0] == 200
    lds.move(response())
    if allowed:
        proxyd.wait_for_log("remove listener 'http'")
        assert proxyd.status()["listeners"] == ()
    else:
        proxyd.wait_for_log("it has none to keep")
        assert ask(proxyd.port())[0] == 200
