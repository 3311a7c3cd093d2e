"""Files that resources name change: certificates, keys, bodies."""

import json
from pathlib import Path
from typing import Any

import pytest

from proxyd.config import data_source
from proxyd.config.load import Sources
from proxyd.config.look import look
from proxyd.supervisor import configuration
from proxyd.supervisor.resources import (
    REFRESH,
    REJECTED,
    ROTATION,
    STATIC_KEY,
    SUCCESS,
    Assembly,
)
from proxyd.supervisor.watcher import SETTLED, Changes
from tests.e2e.resource_files import ResourceFile, listener, response, source
from tests.net.certificates import Authority
from tests.supervisor.resource_house import (
    House,
    PairFiles,
    as_static,
    secret,
    secret_in,
    state_of,
    told,
    with_tls,
)


def changed(assembly: Assembly) -> set[str]:
    """The files that a watcher finds to be others than those that were read."""
    watched = Changes(in_place=True)
    watched.watch(assembly.files(), assembly.looks)
    looks = {path: look(path) for path in watched.paths}
    return watched.take(looks, 0.0) | watched.take(looks, SETTLED)


def answering(body: Path) -> dict[str, Any]:
    """A listener that answers with the contents of a file."""
    answer = {"status": 200, "body": {"filename": str(body)}}
    return listener(routes=[{"match": {"prefix": "/"}, "direct_response": answer}])


@pytest.fixture
def fickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is another one as soon as it has been read."""
    path = tmp_path / "fickle"
    path.write_text("first")
    real = data_source.read_file

    def read(name: str) -> bytes:
        contents = real(name)
        if name == str(path):
            path.write_text(path.read_text() + ", and more")
        return contents

    monkeypatch.setattr(data_source, "read_file", read)
    return path


def test_what_changes_between_its_reading_and_the_first_look_is_seen(tmp_path: Path, fickle: Path) -> None:
    assert changed(House(tmp_path, answering(fickle)).first) == {str(fickle)}


def test_so_is_what_a_static_resource_names(tmp_path: Path, fickle: Path) -> None:
    config = tmp_path / "proxyd.json"
    config.write_text(json.dumps({"static_resources": {"listeners": [as_static(answering(fickle))]}}))
    read = configuration.read(Sources(config_path=str(config)), None, {})
    assert changed(read.assembly) == {str(fickle)}


def test_and_what_is_read_again(tmp_path: Path, fickle: Path) -> None:
    """The second reading finds it as it was when the watcher told of it; then it changes once more."""
    house = House(tmp_path, answering(fickle))
    again = house.round(fickle)
    assert told(again) == [("lds", REFRESH)]
    assert changed(again) == {str(fickle)}


def test_a_static_listener_is_compiled_with_the_secrets_of_files(tmp_path: Path) -> None:
    """One that waited for its secret would be good whatever its own certificate is, and workers refuse it."""
    authority = Authority()
    files = PairFiles(tmp_path / "pair", authority.issue("one"))
    trust = {"trusted_ca": {"inline_string": authority.certificate}}
    sds = ResourceFile(tmp_path / "sds.json", secret(validation_context=trust))
    static = with_tls(
        as_static(listener("still")),
        tls_certificates=[files.config],
        validation_context_sds_secret_config=secret_in(sds.path),
    )
    house = House(tmp_path, listener(), listeners=[static])
    files.key.write_text(authority.issue("two").key)
    found = house.round(files.key)
    (outcome,) = found.outcomes
    assert (outcome.key, outcome.result, outcome.changed) == (STATIC_KEY, REJECTED, False)
    assert "is not the key of the certificate" in outcome.reasons[0]
    assert found.bootstrap == house.first.bootstrap


def test_what_is_wrong_with_a_static_resource_is_told_until_it_is_mended(tmp_path: Path) -> None:
    authority = Authority()
    files = PairFiles(tmp_path / "pair", authority.issue("one"))
    body = tmp_path / "body"
    body.write_text("one")
    listeners = [
        with_tls(as_static(listener("still")), tls_certificates=[files.config]),
        {**as_static(answering(body)), "name": "answering"},
    ]
    house = House(tmp_path, listener(), listeners=listeners)
    assert STATIC_KEY not in house.known
    two = authority.issue("two")
    files.key.write_text(two.key)
    assert told(house.round(files.key)) == [("static", REJECTED)]

    # Neither a round about something else nor another static file that is good makes it forgotten.
    house.lds.write(response(listener(), listener("second")))
    assert told(house.round(house.lds.path)) == [("lds", SUCCESS)]
    body.write_text("two")
    assert told(house.round(body)) == [("static", SUCCESS)]
    state = house.known[STATIC_KEY]
    assert state.result == REJECTED
    assert list(state.problems) == ["listeners[0]"]
    assert state.reasons()[0].startswith("static_resources.listeners[0]: listener still: ")

    files.crt.write_text(two.chain)
    assert told(house.round(files.crt)) == [("static", SUCCESS)]
    assert (house.known[STATIC_KEY].reasons(), house.known[STATIC_KEY].result) == ((), SUCCESS)


def test_a_refresh_does_not_hide_what_else_is_wrong_with_its_file(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_text("one")
    house = House(tmp_path, answering(body))
    house.lds.write(response(answering(body), listener("bad", stat_prefix="")))
    assert told(house.round(house.lds.path)) == [("lds", REJECTED)]
    body.write_text("two")
    found = house.round(body)
    assert told(found) == [("lds", REFRESH)]
    assert "stat_prefix" in state_of(found, "lds").reasons()[0]


def test_a_refresh_that_workers_refuse_is_no_attempt_at_the_file(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_text("one")
    house = House(tmp_path, answering(body))
    before = house.known
    body.write_text("two")
    found = house.round(body)
    assert found.refused_files([str(body), "/another"]) == {str(body)}
    refused = found.refused("a worker cannot", before)
    assert [(each.result, each.reasons) for each in refused.outcomes] == [(ROTATION, ("a worker cannot",))]
    state = state_of(refused, "lds")
    assert state.result == SUCCESS  # of the file itself
    assert state.reasons() == (f"{house.lds.path}: a worker cannot",)

    # Tried again, it is in force, and nothing is wrong any more.
    house.known = dict(refused.states)
    again = house.round(body)
    assert told(again) == [("lds", REFRESH)]
    assert state_of(again, "lds").reasons() == ()


def test_of_what_is_refused_as_a_whole_only_what_somebody_asks_for_is_told(tmp_path: Path) -> None:
    house = House(tmp_path, listener())
    before = house.known
    rds = ResourceFile(tmp_path / "rds.json")
    routed = listener(rds={"route_config_name": "routes", "config_source": source(rds.path)})
    house.lds.write(response(routed))
    found = house.round(house.lds.path)
    assert told(found) == [("lds", SUCCESS), ("rds", SUCCESS)]  # the latter an empty one
    refused = found.refused("a worker cannot", before)
    assert told(refused) == [("lds", REJECTED)]
    assert {key.kind for key in refused.states} == {"lds", "cds"}
