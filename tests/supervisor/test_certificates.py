import json
from typing import Any

import pytest

from proxyd.config.load import load_text
from proxyd.config.sources import Text
from proxyd.snapshot.checks import check_snapshot, tls_warnings
from proxyd.stats.metrics import Registry
from proxyd.supervisor.certificates import ExpiryStats, days_until_first_expires, used_contexts
from tests.net.certificates import DAY, NOW, Authority
from tests.net.tls_house import UPSTREAM, address, certificates, chain, tls_socket


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def load(listener: dict[str, Any], cluster: dict[str, Any]) -> Any:
    listener = {"name": "l", "address": address(80), **listener}
    config = {"static_resources": {"listeners": [listener], "clusters": [{"name": "origin", **cluster}]}}
    return load_text(Text("test", json.dumps(config)), further=check_snapshot)


def test_certificates_are_told_as_envoy_tells_them(authority: Authority) -> None:
    ends = NOW + 10 * DAY
    pair = authority.issue("a.example", "10.0.0.1", "spiffe://a/b", "me@b.example", ends=ends)
    trusted = {"validation_context": {"trusted_ca": {"inline_string": authority.certificate}}}
    bootstrap = load(
        {"filter_chains": [chain(certificates(pair.config))]},
        {"transport_socket": tls_socket(UPSTREAM, {"common_tls_context": trusted})},
    )
    contexts = used_contexts(bootstrap)
    now = NOW.timestamp() + 5
    listener, cluster = [context.to_json(now) for context in contexts]
    serial = f"{pair.x509.serial_number:x}"
    assert listener == {
        "ca_cert": [],
        "cert_chain": [
            {
                "path": "<inline>",
                "serial_number": serial.zfill(len(serial) + len(serial) % 2),
                "subject_alt_names": [
                    {"dns": "a.example"},
                    {"ip_address": "10.0.0.1"},
                    {"uri": "spiffe://a/b"},
                ],
                "days_until_expiration": "9",
                "valid_from": f"{NOW - DAY:%Y-%m-%dT%H:%M:%SZ}",
                "expiration_time": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
            }
        ],
    }
    assert (len(cluster["ca_cert"]), cluster["cert_chain"]) == (1, [])
    assert days_until_first_expires(contexts, now) == 9
    assert days_until_first_expires(contexts, now + 20 * 86400) == 0
    assert days_until_first_expires([], now) == 0
    registry = Registry()
    stats = ExpiryStats(registry)
    stats.show(contexts)
    name = "listener.127.0.0.1_80.ssl.certificate.unnamed_cert_e3b0c442.expiration_unix_time_seconds"
    assert registry.gauges[name].value == int(ends.timestamp())
    stats.show(contexts[1:])
    assert list(registry.gauges) == [
        "cluster.origin.ssl.certificate.unnamed_ca_cert_e3b0c442.expiration_unix_time_seconds"
    ]
    assert list(tls_warnings(bootstrap)) == []


def test_hosts_that_are_not_verified_are_warned_of() -> None:
    bootstrap = load({"filter_chains": [chain()]}, {"transport_socket": tls_socket(UPSTREAM, {})})
    (warning,) = tls_warnings(bootstrap)
    assert warning.startswith("cluster origin: its hosts are not verified")
