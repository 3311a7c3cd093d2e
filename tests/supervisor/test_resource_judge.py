"""Secrets of files: of which kind they are, and which file they are in."""

from pathlib import Path
from typing import Any

import pytest

from proxyd.supervisor.certificates import used_contexts
from proxyd.supervisor.resources import REJECTED, SUCCESS
from tests.e2e.resource_files import ResourceFile, listener, response
from tests.net.certificates import Authority
from tests.supervisor.resource_house import (
    House,
    as_static,
    names,
    secret,
    secret_in,
    state_of,
    told,
    with_tls,
)

_AUTHORITY = Authority()
_TRUST = {"trusted_ca": {"inline_string": _AUTHORITY.certificate}}


def serving(name: str, sds: Path, secret_name: str = "served") -> dict[str, Any]:
    """A listener whose certificate is in a file of secrets."""
    return with_tls(listener(name), tls_certificate_sds_secret_configs=[secret_in(sds, secret_name)])


@pytest.mark.parametrize("static", [False, True])
def test_a_secret_stays_of_the_kind_that_its_users_ask_for(tmp_path: Path, static: bool) -> None:
    sds = ResourceFile(tmp_path / "sds.json", secret(tls_certificate=_AUTHORITY.issue("one").config))
    user = serving("user", sds.path)
    house = House(tmp_path, listener(), listeners=[as_static(user)]) if static else House(tmp_path, user)
    sds.write(response(secret(validation_context=_TRUST)))
    found = house.round(sds.path)
    (outcome,) = found.outcomes
    assert (outcome.key.kind, outcome.result, outcome.changed) == ("sds", REJECTED, False)
    assert outcome.reasons == (
        f"{sds.path}:1:36: resources[0]: is no tls_certificate, and listener user uses it as one",
    )
    assert found.bootstrap == house.first.bootstrap


def test_a_secret_that_comes_is_of_the_kind_that_is_asked_for(tmp_path: Path) -> None:
    sds = ResourceFile(tmp_path / "sds.json", secret(validation_context=_TRUST))
    house = House(tmp_path, serving("waits", sds.path))
    assert told(house.first)[-1] == ("lds", SUCCESS)
    assert "is no tls_certificate" in state_of(house.first, "sds").reasons()[0]
    sds.write(response(secret(tls_certificate=_AUTHORITY.issue("one").config)))
    assert told(house.round(sds.path)) == [("sds", SUCCESS)]


def test_who_asks_for_another_kind_of_a_secret_in_use_is_refused(tmp_path: Path) -> None:
    sds = ResourceFile(tmp_path / "sds.json", secret(tls_certificate=_AUTHORITY.issue("one").config))
    first = serving("first", sds.path)
    house = House(tmp_path, first)
    second = serving("second", sds.path)
    context = second["filter_chains"][0]["transport_socket"]["typed_config"]["common_tls_context"]
    context["validation_context_sds_secret_config"] = secret_in(sds.path)
    house.lds.write(response(first, second))
    found = house.round(house.lds.path)
    assert told(found) == [("lds", REJECTED)]
    assert f'the secret "served" in {sds.path} is no validation_context' in found.outcomes[0].reasons[0]
    assert names(found)[0] == ["first"]


def test_secrets_of_one_name_in_two_files_are_two(tmp_path: Path) -> None:
    files = {}
    for name in ("one", "other"):
        pair = _AUTHORITY.issue(name)
        files[name] = ResourceFile(tmp_path / f"{name}.json", secret(tls_certificate=pair.config))
    static = as_static(serving("static", files["one"].path))
    house = House(tmp_path, serving("dynamic", files["other"].path), listeners=[static])

    def certificates() -> list[Any]:
        contexts = used_contexts(house.round().bootstrap)
        return [each.names for context in contexts for each in context.certificates]

    assert certificates() == [[{"dns": "one"}], [{"dns": "other"}]]
    # All who use it move to another file at once.
    house.lds.write(response(serving("dynamic", files["one"].path)))
    assert certificates() == [[{"dns": "one"}], [{"dns": "one"}]]
