"""A scanner's verdict on an HTTPS listener that sets nothing but its certificate: `nox -s scan`."""

from typing import Any

import pytest

from tests.e2e.conftest import StartProxyd, config
from tests.e2e.origin import Origin
from tests.net.certificates import Authority
from tests.net.tls_house import DOWNSTREAM, certificates, tls_socket

sslyze: Any = pytest.importorskip("sslyze", reason="sslyze is not installed")

BROKEN = ("ssl_2_0_cipher_suites", "ssl_3_0_cipher_suites", "tls_1_0_cipher_suites", "tls_1_1_cipher_suites")
GOOD = ("tls_1_2_cipher_suites", "tls_1_3_cipher_suites")
ATTACKS = {
    "heartbleed": "is_vulnerable_to_heartbleed",
    "openssl_ccs_injection": "is_vulnerable_to_ccs_injection",
    "tls_compression": "supports_compression",
}


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
@pytest.mark.filterwarnings("ignore")  # the scanner's own
def test_a_scanner_finds_nothing_weak(start: StartProxyd, origin: Origin, kind: str) -> None:
    made = config(origin.address)
    pair = Authority().issue("localhost", kind=kind)
    chain = made["static_resources"]["listeners"][0]["filter_chains"][0]
    chain["transport_socket"] = tls_socket(DOWNSTREAM, certificates(pair.config))
    found = scanned(start(made).port())
    for version in BROKEN:
        assert found(version).accepted_cipher_suites == []
    for version in GOOD:
        suites = found(version).accepted_cipher_suites
        assert suites
        assert all(each.cipher_suite.key_size >= 128 for each in suites)
        assert all(each.ephemeral_key is not None for each in suites)  # forward secrecy
    for attack, field in ATTACKS.items():
        assert getattr(found(attack), field) is False
    assert found("robot").robot_result.name.startswith("NOT_VULNERABLE")
    assert found("tls_fallback_scsv").supports_fallback_scsv is True
    renegotiation = found("session_renegotiation")
    assert renegotiation.supports_secure_renegotiation is True
    assert renegotiation.is_vulnerable_to_client_renegotiation_dos is False


def scanned(port: int) -> Any:
    """What gives a command's result by its name."""
    scanner = sslyze.Scanner()
    where = sslyze.ServerNetworkLocation("localhost", port, ip_address="127.0.0.1")
    scanner.queue_scans([sslyze.ServerScanRequest(server_location=where)])
    (result,) = scanner.get_results()
    assert result.scan_result is not None, result.connectivity_error_trace

    def attempt(name: str) -> Any:
        each = getattr(result.scan_result, name)
        assert each.result is not None, f"{name}: {each.error_reason}"
        return each.result

    return attempt
