"""TLS with hosts: what they have to be, whom they are asked for, what is told where it fails."""

import asyncio
import ssl
from typing import Any

import pytest

from tests.net.certificates import Authority
from tests.net.tls_house import TlsHouse, address, certificates, chain, client, get, run, server

V12 = ssl.TLSVersion.TLSv1_2
V13 = ssl.TLSVersion.TLSv1_3

REASON = "%UPSTREAM_TRANSPORT_FAILURE_REASON%"
# What a local reply tells of why.
DETAILS = {
    "local_reply_config": {
        "body_format": {
            "text_format_source": {"inline_string": "%RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS%\n" + REASON}
        }
    }
}


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


def trusting(authority: Authority, **fields: Any) -> dict[str, Any]:
    return {"validation_context": {"trusted_ca": {"inline_string": authority.certificate}, **fields}}


def upstream(**fields: Any) -> dict[str, Any]:
    common = {"tls_params": {"tls_maximum_protocol_version": "TLSv1_3"}, **fields.pop("common", {})}
    return {"common_tls_context": common, **fields}


NO_ISSUER = (
    "X509_verify_cert:_certificate_verification_error_at_depth_0:_unable_to_get_local_issuer_certificate"
)
VERIFY = "TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_"


@pytest.mark.parametrize(
    ("trusted", "validation", "words", "counter"),
    [
        (
            False,
            {},
            f"{VERIFY}{NO_ISSUER}:TLS_error_end",
            "fail_verify_error",
        ),
        (
            True,
            {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "cat.example"}}]},
            f"{VERIFY}SAN_matcher,_certificate_SANs_are_[dog.example,_127.0.0.1]:TLS_error_end",
            "fail_verify_san",
        ),
        (
            True,
            {"verify_certificate_hash": ["0" * 64]},
            f"{VERIFY}cert_hash_and_spki:TLS_error_end",
            "fail_verify_cert_hash",
        ),
    ],
)
def test_host_that_is_not_what_it_should_be(authority, trusted, validation, words, counter):
    async def main():
        pair = (authority if trusted else Authority("Stranger")).issue("dog.example", "127.0.0.1")
        tls = upstream(common=trusting(authority, **validation))
        async with TlsHouse(chain(manager=DETAILS), upstream=tls, origin_tls=server(pair)) as house:
            status, body = await house.get()
            assert status == 503
            first, second = body.split("\n")
            expected = "upstream_reset_before_response_started{remote_connection_failure|"
            assert first == f"{expected}{words}}} UF"
            assert second == words
            assert house.count(f"cluster.origin.ssl.{counter}") == 1
            assert house.count("cluster.origin.ssl.connection_error") == 0
            assert house.count("cluster.origin.ssl.handshake") == 0
            assert house.count("cluster.origin.upstream_cx_connect_fail") == 1

    run(main())


ALERT = "TLS_error:|{}:SSL_routines:OPENSSL_internal:{}:TLS_error_end"


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize(
    ("shown", "validation", "number", "name"),
    [
        ("stranger", {}, 268436504, "TLSV1_ALERT_UNKNOWN_CA"),
        (
            "friend",
            {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "foo"}}]},
            268436502,
            "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        ),
    ],
)
def test_sidecar_that_refuses_our_certificate(authority, version, shown, validation, number, name):
    """Both sides are proxyd: the talk's own story."""

    async def main():
        pair = authority.issue("sidecar.example")
        context = certificates(pair.config, **trusting(authority, **validation))
        who = (authority if shown == "friend" else Authority("Stranger")).issue("front.example")
        tls = upstream(
            common={
                "tls_certificates": [who.config],
                "tls_params": {
                    "tls_minimum_protocol_version": version,
                    "tls_maximum_protocol_version": version,
                },
            }
        )
        required = {**context, "require_client_certificate": True}
        async with TlsHouse(chain(required)) as sidecar:
            hosts = [{"endpoint": {"address": address(sidecar.port)}}]
            assignment = {"cluster_name": "origin", "endpoints": [{"lb_endpoints": hosts}]}
            cluster = {"load_assignment": assignment}
            async with TlsHouse(chain(manager=DETAILS), upstream=tls, cluster=cluster) as house:
                status, body = await house.get()
                assert status == 503
                reason = body.split("\n")[1]
                if version == "TLSv1_2":
                    assert reason == ALERT.format(number, name)
                else:
                    assert reason == "-"  # as in Envoy, it comes after the handshake
                # An intended difference: with TLS 1.3 the connection just ends, without alert.
                told = int(version == "TLSv1_2" or shown == "stranger")
                assert house.count("cluster.origin.ssl.connection_error") == told
                told = "fail_verify_error" if shown == "stranger" else "fail_verify_san"
                assert sidecar.count(f"ssl.{told}") == 1

    run(main())


def test_host_without_tls():
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def main():
        async with TlsHouse(chain(manager=DETAILS), upstream={}, origin=plain) as house:
            status, body = await house.get()
            reason = "TLS_error:|268435703:SSL_routines:OPENSSL_internal:WRONG_VERSION_NUMBER:TLS_error_end"
            assert (status, body.split("\n")[1]) == (503, reason)

    run(main())


@pytest.mark.parametrize("version", [V12, V13], ids=["tls1.2", "tls1.3"])
def test_certificate_is_shown_to_the_host(authority, version):
    async def main():
        pair, own = authority.issue("origin.example"), authority.issue("proxy", kind="rsa")
        tls = upstream(common={"tls_certificates": [own.config], **trusting(authority)})
        origin_tls = server(pair, authority.certificate, minimum_version=version, maximum_version=version)
        async with TlsHouse(chain(), upstream=tls, origin_tls=origin_tls) as house:
            assert (await house.get())[0] == 200
            assert house.count("cluster.origin.ssl.curves.X25519") == 1

    run(main())


def test_versions_end_at_1_2_unless_told_otherwise(authority):
    async def main():
        pair = authority.issue("origin.example")
        async with TlsHouse(chain(), upstream={}, origin_tls=server(pair)) as house:
            assert (await house.get())[0] == 200
            assert house.count("cluster.origin.ssl.versions.TLSv1.2") == 1

    run(main())


@pytest.mark.parametrize(("most", "reused"), [(None, 1), (0, 0)])
@pytest.mark.parametrize(
    ("version", "tickets"),
    [(V12, True), (V12, False), (V13, True)],
    ids=["tls1.2", "tls1.2 by identity", "tls1.3"],
)
def test_sessions_are_resumed(authority, version, tickets, most, reused):
    async def main():
        pair = authority.issue("origin.example")
        tls = upstream(sni="origin.example", **({} if most is None else {"max_session_keys": most}))
        origin_tls = server(pair, minimum_version=version, maximum_version=version)
        if not tickets:
            origin_tls.options |= ssl.OP_NO_TICKET
        cluster = {"max_requests_per_connection": 1}
        async with TlsHouse(chain(), upstream=tls, origin_tls=origin_tls, cluster=cluster) as house:
            for _ in range(2):
                assert (await house.get())[0] == 200
            assert house.count("cluster.origin.ssl.handshake") == 2
            assert house.count("cluster.origin.ssl.session_reused") == reused

    run(main())


OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def by_request(**fields: Any) -> dict[str, Any]:
    options = {
        "@type": f"type.googleapis.com/{OPTIONS}",
        "explicit_http_config": {"http_protocol_options": {}},
        "upstream_http_protocol_options": fields,
    }
    return {"typed_extension_protocol_options": {OPTIONS: options}}


def test_each_request_asks_for_its_own_host(authority):
    async def main():
        asked: list[str | None] = []
        pair = authority.issue("a.example", "b.example", "::1")
        origin_tls = server(pair)
        origin_tls.sni_callback = lambda _, name, __: asked.append(name)
        tls = upstream(common=trusting(authority))
        cluster = by_request(auto_sni=True, auto_san_validation=True, override_auto_sni_header="x-host")
        house = TlsHouse(chain(manager=DETAILS), upstream=tls, origin_tls=origin_tls, cluster=cluster)
        async with house:
            reader, writer = await house.connect()
            for name in ("a.example", "b.example", "a.example"):
                assert (await get(reader, writer, f"x-host: {name}\r\n"))[0] == 200
            # A connection that was made for one name carries requests to no other.
            assert asked == ["a.example", "b.example"]
            status, body = await get(reader, writer, "x-host: c.example:443\r\n")
            assert status == 503
            assert "verify_SAN_list,_expected_SANs:_[c.example]" in body
            # An address is not asked for, but validated all the same.
            status, body = await get(reader, writer, "x-host: 10.0.0.1\r\n")
            assert status == 503
            assert "verify_SAN_list,_expected_SANs:_[10.0.0.1]" in body
            assert (await get(reader, writer, "x-host: [::1]:1\r\n"))[0] == 200
            assert (await get(reader, writer, "x-host: [0:0:0::0:1]:1\r\n"))[0] == 200  # written otherwise
            assert asked == ["a.example", "b.example", "c.example", None, None, None]
            writer.close()
            (host,) = house.server._clusters["origin"]._hosts
            names = {key.name for key in host.pool._pools}
            assert names == {"a.example", "b.example", "::1", "0:0:0::0:1"}

    run(main())


def test_no_connection_is_made_before_a_secret_is_there(tmp_path):
    async def main():
        trust = {"name": "trust", "sds_config": {"path_config_source": {"path": str(tmp_path / "sds.json")}}}
        (tmp_path / "sds.json").write_text("{}")
        common = {"validation_context_sds_secret_config": trust}
        async with TlsHouse(chain(manager=DETAILS), upstream=upstream(common=common)) as house:
            status, body = await house.get()
            assert status == 503
            assert body.splitlines()[1] == "TLS_error:_Secret_is_not_supplied_by_SDS"
            factory = "cluster.origin.client_ssl_socket_factory."
            assert house.count(f"{factory}upstream_context_secrets_not_ready") == 1

    run(main())


def test_connecting_and_shaking_hands_have_one_time_limit(authority):
    async def main():
        silent = asyncio.Event()

        async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.read(1000):
                pass
            silent.set()
            writer.close()

        cluster = {"connect_timeout": "0.2s"}
        async with TlsHouse(chain(), upstream={}, origin=origin, cluster=cluster) as house:
            status, body = await house.get()
            assert (status, body.rpartition(": ")[2]) == (503, "connection timeout")
            assert house.count("cluster.origin.upstream_cx_connect_timeout") == 1
            await silent.wait()

    run(main())


def test_log_tells_of_both_sides(authority, tmp_path):
    async def main():
        log = tmp_path / "log"
        line = (
            "%UPSTREAM_TLS_VERSION% %UPSTREAM_PEER_SUBJECT% %UPSTREAM_PEER_DNS_SAN% %DOWNSTREAM_TLS_VERSION% "
            "%DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_ISSUER% %DOWNSTREAM_PEER_SERIAL% "
            "%DOWNSTREAM_PEER_FINGERPRINT_256% %DOWNSTREAM_LOCAL_URI_SAN% %REQUESTED_SERVER_NAME% "
            "%DOWNSTREAM_PEER_CERT_V_END% %DOWNSTREAM_TLS_CIPHER% %FILTER_CHAIN_NAME%\n"
        )
        access_log = {
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": str(log),
                "log_format": {"text_format_source": {"inline_string": line}},
            },
        }
        own = authority.issue("localhost", "spiffe://test/proxy")
        who = authority.issue("client.example")
        context = certificates(own.config, **trusting(authority))
        origin_tls = server(authority.issue("origin.example"))
        served = chain(context, {"access_log": [access_log]}, name="tls chain")
        async with TlsHouse(served, upstream=upstream(), origin_tls=origin_tls) as house:
            await house.get(client(pair=who), "Some.Name")
        cipher = "TLS_AES_256_GCM_SHA384"
        serial = f"{who.x509.serial_number:x}"
        serial = serial.zfill(len(serial) + len(serial) % 2)
        assert log.read_text() == (
            r"TLSv1.3 CN=origin.example,O=Test\, Inc. origin.example TLSv1.3 "
            rf"CN=client.example,O=Test\, Inc. CN=Test CA,O=Test\, Inc. {serial} "
            f"{who.sha256} spiffe://test/proxy - "
            f"{who.x509.not_valid_after_utc:%Y-%m-%dT%H:%M:%S}.000Z {cipher} tls chain\n"
        )

    run(main())


@pytest.mark.parametrize("hostname", ["named.example", ""])
def test_endpoints_are_asked_for_by_their_own_names(authority, hostname):
    async def main():
        asked: list[str | None] = []
        origin_tls = server(authority.issue("named.example", "fixed.example"))
        origin_tls.sni_callback = lambda _, name, __: asked.append(name)
        tls = upstream(
            sni="fixed.example", auto_host_sni=True, auto_sni_san_validation=True, common=trusting(authority)
        )
        async with TlsHouse(chain(), upstream=tls, origin_tls=origin_tls, hostname=hostname) as house:
            assert (await house.get())[0] == 200
        assert asked == [hostname or "fixed.example"]

    run(main())


@pytest.mark.parametrize("known", [True, False])
def test_system_roots_vouch_for_a_host(authority, known, tmp_path, monkeypatch):
    """What the machine trusts, which OpenSSL takes from where the environment says."""
    roots = tmp_path / "roots.pem"
    roots.write_text((authority if known else Authority("Stranger")).certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "nowhere"))

    async def main():
        tls = upstream(common={"validation_context": {"system_root_certs": {}}})
        pair = authority.issue("origin.example")
        async with TlsHouse(chain(), upstream=tls, origin_tls=server(pair)) as house:
            assert (await house.get())[0] == (200 if known else 503)
            assert house.count("cluster.origin.ssl.fail_verify_error") == int(not known)

    run(main())
