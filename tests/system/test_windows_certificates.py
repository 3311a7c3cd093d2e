"""Whom a context trusts that trusts whom Windows trusts."""

import ssl

import pytest

from proxyd.system import native
from tests import windows
from tests.net.certificates import Authority

if not windows.HERE:
    pytest.skip(windows.WINDOWS, allow_module_level=True)

SERVER, CLIENT = ssl.Purpose.SERVER_AUTH, ssl.Purpose.CLIENT_AUTH


@pytest.fixture(autouse=True)
def _no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", "nowhere")


def trusted(purpose: ssl.Purpose = SERVER) -> list[bytes]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    native.load_system_roots(context, purpose)
    return context.get_ca_certs(binary_form=True)


def encoded(name: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(Authority(name).certificate)


def test_the_roots_of_this_windows_are_trusted() -> None:
    roots = {der for der, _, _ in ssl.enum_certificates("ROOT")}
    assert trusted()
    assert set(trusted()) <= roots - {der for der, _, _ in ssl.enum_certificates("Disallowed")}


def test_what_is_distrusted_or_for_other_ends_or_no_root_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for_all, for_servers, for_clients, distrusted, intermediate = map(
        encoded, ("all", "servers", "clients", "distrusted", "intermediate")
    )
    stores = {
        "ROOT": [
            (for_all, "x509_asn", True),
            (for_servers, "x509_asn", {SERVER.oid}),
            (for_clients, "x509_asn", {CLIENT.oid, "1.2.3"}),
            (distrusted, "x509_asn", True),
            (for_all, "pkcs_7_asn", True),
            (b"no certificate", "x509_asn", True),
        ],
        "CA": [(intermediate, "x509_asn", True)],
        "Disallowed": [(distrusted, "x509_asn", True)],
    }
    monkeypatch.setattr(ssl, "enum_certificates", stores.__getitem__)
    assert sorted(trusted()) == sorted([for_all, for_servers])
    assert sorted(trusted(CLIENT)) == sorted([for_all, for_clients])
