"""TLS over real sockets: what is agreed, who is let in, what is said where somebody is not."""

import asyncio
import ssl

import pytest

from tests.net.certificates import Authority
from tests.net.tls_house import TlsHouse, certificates, chain, client, server

V12 = ssl.TLSVersion.TLSv1_2
V13 = ssl.TLSVersion.TLSv1_3
BOTH = pytest.mark.parametrize("version", [V12, V13], ids=["tls1.2", "tls1.3"])


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


def exactly(version: ssl.TLSVersion) -> dict[str, ssl.TLSVersion]:
    return {"minimum_version": version, "maximum_version": version}


@BOTH
def test_request_over_tls_is_forwarded(authority, version):
    async def main():
        pair = authority.issue("localhost")
        async with TlsHouse(chain(certificates(pair.config))) as house:
            context = client(authority.certificate, **exactly(version))
            context.check_hostname = True
            status, body = await house.get(context)
            assert status == 200
            assert "x-forwarded-proto: https" in body
            assert house.count("ssl.handshake") == 1
            assert house.count("ssl.no_certificate") == 1
            assert house.count(f"ssl.versions.{'TLSv1.2' if version == V12 else 'TLSv1.3'}") == 1
            assert house.count("http.test.downstream_cx_ssl_total") == 1

    asyncio.run(main())


@BOTH
def test_cluster_over_tls_is_reached(authority, version):
    async def main():
        pair = authority.issue("origin.example")
        upstream = {
            "sni": "origin.example",
            "common_tls_context": {
                "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
                "validation_context": {
                    "trusted_ca": {"inline_string": authority.certificate},
                    "match_typed_subject_alt_names": [
                        {"san_type": "DNS", "matcher": {"exact": "origin.example"}}
                    ],
                },
            },
        }
        origin_tls = server(pair, **exactly(version))
        async with TlsHouse(chain(), upstream=upstream, origin_tls=origin_tls) as house:
            status, body = await house.get()
            assert (status, body[:14]) == (200, "GET / HTTP/1.1")
            assert house.count("cluster.origin.ssl.handshake") == 1
            assert house.count("cluster.origin.upstream_cx_connect_fail") == 0

    asyncio.run(main())
