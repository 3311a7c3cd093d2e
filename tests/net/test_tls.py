"""TLS over real sockets: what is agreed, who is let in, what is said where somebody is not."""

import asyncio
import base64
import ssl
import urllib.parse

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from tests.net.certificates import DAY, NOW, Authority
from tests.net.tls_house import TlsHouse, certificates, chain, client, get, run, server

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
            assert house.count("ssl.curves.X25519") == 1
            assert house.count("http.test.downstream_cx_ssl_total") == 1

    run(main())


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
@pytest.mark.parametrize(
    "form", ["locked key", "locked by the environment", "PKCS #12", "PKCS #12 from a file"]
)
def test_keys_under_a_password_serve(authority, kind, form, tmp_path, monkeypatch):
    """The whole chain is sent, whatever the certificate came in."""
    below = Authority("Below", parent=authority)
    pair = below.issue("localhost", kind=kind)
    monkeypatch.setenv("PROXYD_TEST_WORD", "open sesame")
    word = {"inline_string": "open sesame"}
    if form.startswith("PKCS"):
        locked = BestAvailableEncryption(b"open sesame")
        data = pkcs12.serialize_key_and_certificates(b"x", pair.key_object, pair.x509, [below.x509], locked)
        file = tmp_path / "pair.p12"
        file.write_bytes(data)
        inline = {"inline_bytes": base64.b64encode(data).decode()}
        config = {"pkcs12": {"filename": str(file)} if "file" in form else inline, "password": word}
    else:
        given = {"environment_variable": "PROXYD_TEST_WORD"} if "environment" in form else word
        locked_key = {"inline_string": pair.locked_key("open sesame")}
        config = {**pair.config, "private_key": locked_key, "password": given}

    async def main():
        async with TlsHouse(chain(certificates(config), body="x")) as house:
            assert await house.get(client(authority.certificate)) == (200, "x")

    run(main())


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

    run(main())


def mutual(authority: Authority, **context: object) -> dict[str, object]:
    """A context that demands a certificate of the authority's."""
    pair = authority.issue("localhost", "spiffe://test/proxy")
    validation = {"trusted_ca": {"inline_string": authority.certificate}, **context}
    made = certificates(pair.config, validation_context=validation)
    return {**made, "require_client_certificate": True}


async def refused(house: TlsHouse, context: ssl.SSLContext) -> str:
    """Why a client is not served: what its TLS says, or nothing where the connection just ends."""
    try:
        await house.get(context)
    except ssl.SSLError as error:
        return error.reason or ""
    except (asyncio.IncompleteReadError, ConnectionError):
        return ""
    raise AssertionError("the client was served")


@BOTH
def test_client_without_certificate_is_refused(authority, version):
    async def main():
        async with TlsHouse(chain(mutual(authority))) as house:
            why = await refused(house, client(**exactly(version)))
            assert why in ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE")
            assert house.count("ssl.fail_verify_no_cert") == 1
            assert house.count("ssl.handshake") == 0

    run(main())


@BOTH
def test_client_of_another_authority_is_refused(authority, version):
    async def main():
        stranger = Authority("Stranger").issue("client")
        async with TlsHouse(chain(mutual(authority))) as house:
            assert await refused(house, client(pair=stranger, **exactly(version))) == "TLSV1_ALERT_UNKNOWN_CA"
            assert house.count("ssl.fail_verify_error") == 1

    run(main())


@BOTH
@pytest.mark.parametrize(
    ("names", "san_type", "matcher", "good"),
    [
        (["a.example"], "DNS", {"exact": "a.example"}, True),
        (["*.example"], "DNS", {"exact": "a.example"}, True),
        (["a.example"], "DNS", {"exact": "foo"}, False),
        (["a.example"], "URI", {"exact": "a.example"}, False),
        (["spiffe://x/y"], "URI", {"prefix": "spiffe://x/"}, True),
        (["spiffe://x/y"], "URI", {"suffix": "/z"}, False),
        (["10.1.2.3"], "IP_ADDRESS", {"exact": "10.1.2.3"}, True),
        (["10.1.2.3"], "IP_ADDRESS", {"safe_regex": {"regex": "10[.]2[.].*"}}, False),
        (["me@x.example"], "EMAIL", {"contains": "ME@", "ignore_case": True}, True),
        (["me@x.example"], "EMAIL", {"contains": "ME@"}, False),
    ],
)
def test_names_of_a_clients_certificate(authority, version, names, san_type, matcher, good):
    async def main():
        context = mutual(
            authority, match_typed_subject_alt_names=[{"san_type": san_type, "matcher": matcher}]
        )
        async with TlsHouse(chain(context)) as house:
            who = client(pair=authority.issue(*names), **exactly(version))
            if good:
                assert (await house.get(who))[0] == 200
            else:
                why = await refused(house, who)
                # With TLS 1.3 only an encrypted alert would be heard, which Python cannot send.
                assert why == ("SSLV3_ALERT_CERTIFICATE_UNKNOWN" if version == V12 else "")
            assert house.count("ssl.fail_verify_san") == int(not good)
            assert house.count("ssl.handshake") == int(good)

    run(main())


@pytest.mark.parametrize("field", ["verify_certificate_hash", "verify_certificate_spki"])
@pytest.mark.parametrize("trusts", [True, False])
def test_hashes_of_a_clients_certificate(authority, field, trusts):
    async def main():
        known, unknown = authority.issue("client"), authority.issue("client")
        value = known.sha256 if field.endswith("hash") else known.spki
        validation = {field: [value]}
        if trusts:
            validation["trusted_ca"] = {"inline_string": authority.certificate}
        pair = authority.issue("localhost")
        async with TlsHouse(chain(certificates(pair.config, validation_context=validation))) as house:
            assert (await house.get(client(pair=known)))[0] == 200
            await refused(house, client(pair=unknown))
            assert house.count("ssl.fail_verify_cert_hash") == 1
            await refused(house, client())
            assert house.count("ssl.fail_verify_no_cert") == 1

    run(main())


def test_untrusted_clients_are_accepted_where_that_is_said(authority):
    async def main():
        stranger = Authority("Stranger").issue("client")
        validation = {"trust_chain_verification": "ACCEPT_UNTRUSTED"}
        pair = authority.issue("localhost")
        context = certificates(pair.config, validation_context=validation)
        manager = {
            "forward_client_cert_details": "SANITIZE_SET",
            "set_current_client_cert_details": {"dns": True},
        }
        async with TlsHouse(chain(context, manager)) as house:
            _, body = await house.get(client(pair=stranger))
            assert f"x-forwarded-client-cert: Hash={stranger.sha256};DNS=client\r\n" in body
            assert "x-forwarded-client-cert" not in (await house.get(client()))[1]

    run(main())


@pytest.mark.parametrize(("validation", "good"), [({}, False), ({"allow_expired_certificate": True}, True)])
def test_expired_certificates(authority, validation, good):
    async def main():
        expired = authority.issue("client", begins=NOW - 9 * DAY, ends=NOW - DAY)
        async with TlsHouse(chain(mutual(authority, **validation))) as house:
            if good:
                assert (await house.get(client(pair=expired)))[0] == 200
            else:
                assert await refused(house, client(pair=expired)) == "SSLV3_ALERT_CERTIFICATE_EXPIRED"

    run(main())


def test_revoked_certificates_are_refused(authority):
    async def main():
        revoked, good = authority.issue("client"), authority.issue("client")
        context = mutual(authority, crl={"inline_string": authority.revocation_list(revoked)})
        async with TlsHouse(chain(context)) as house:
            assert (await house.get(client(pair=good)))[0] == 200
            assert await refused(house, client(pair=revoked)) == "SSLV3_ALERT_CERTIFICATE_REVOKED"

    run(main())


# As Envoy counts, see tests/conformance.
@pytest.mark.parametrize(("depth", "good"), [(0, False), (1, False), (2, True), (None, True)])
def test_depth_of_a_chain_is_limited(authority, depth, good):
    async def main():
        middle = Authority("Middle", authority)
        context = mutual(authority, **({} if depth is None else {"max_verify_depth": depth}))
        async with TlsHouse(chain(context)) as house:
            who = client(pair=middle.issue("client"))
            if good:
                assert (await house.get(who))[0] == 200
            else:
                await refused(house, who)
                assert house.count("ssl.fail_verify_error") == 1

    run(main())


# Which certificate, which chain


def serial_of(writer: asyncio.StreamWriter) -> int:
    der = writer.get_extra_info("ssl_object").getpeercert(True)
    return x509.load_der_x509_certificate(der).serial_number


def test_certificate_is_chosen_by_name_and_key(authority):
    async def main():
        first = authority.issue("first.example", kind="rsa")
        rsa = authority.issue("a.example", "*.b.example", kind="rsa")
        ecdsa = authority.issue("a.example")
        context = certificates(first.config, rsa.config, ecdsa.config)
        async with TlsHouse(chain(context)) as house:

            async def shown(name: str, **versions: object) -> int:
                _, writer = await house.connect(client(**versions), name)
                writer.close()
                return serial_of(writer)

            assert await shown("a.example") == ecdsa.x509.serial_number
            assert await shown("A.EXAMPLE") == ecdsa.x509.serial_number
            assert await shown("x.b.example") == rsa.x509.serial_number
            assert await shown("x.y.b.example") == first.x509.serial_number
            assert await shown("unknown.example") == first.x509.serial_number
            old = client(**exactly(V12))
            old.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
            _, writer = await house.connect(old, "a.example")
            writer.close()
            assert serial_of(writer) == rsa.x509.serial_number

    run(main())


def test_chains_are_chosen_by_server_name_protocol_and_alpn(authority):
    async def main():
        pair = authority.issue("localhost")
        tls = certificates(pair.config)
        chains = [
            chain(tls, body="exact", filter_chain_match={"server_names": ["a.example.com"]}, name="exact"),
            chain(tls, body="suffix", filter_chain_match={"server_names": ["*.example.com"]}),
            chain(
                certificates(pair.config, alpn_protocols=["special,http/1.1"]),
                body="alpn",
                filter_chain_match={"application_protocols": ["special"]},
            ),
            chain(body="plain", filter_chain_match={"transport_protocol": "raw_buffer"}),
        ]
        async with TlsHouse(*chains) as house:
            assert await house.get(client(), "a.example.com") == (200, "exact")
            assert await house.get(client(), "A.b.example.com") == (200, "suffix")
            assert await house.get() == (200, "plain")
            special = client()
            special.set_alpn_protocols(["other", "special"])
            assert await house.get(special, "elsewhere.org") == (200, "alpn")
            assert house.count("no_filter_chain_match") == 0
            await refused(house, client())
            assert house.count("no_filter_chain_match") == 1
            assert house.count("tls_inspector.tls_found") == 4
            assert house.count("tls_inspector.tls_not_found") == 1
            assert house.count("downstream_pre_cx_active") == 0

    run(main())


def test_the_default_chain_takes_what_no_other_matches(authority):
    async def main():
        pair = authority.issue("localhost")
        only = chain(certificates(pair.config), body="tls", filter_chain_match={"server_names": ["a.b"]})
        async with TlsHouse(only, default_filter_chain=chain(body="default")) as house:
            assert await house.get(client(), "a.b") == (200, "tls")
            assert await house.get() == (200, "default")

    run(main())


def test_names_are_demanded_where_that_is_said(authority):
    async def main():
        pair = authority.issue("localhost")
        async with TlsHouse(chain({**certificates(pair.config), "require_sni": True}, body="x")) as house:
            assert await house.get(client()) == (200, "x")
            await refused(house, nameless(client()))
            assert house.count("ssl.connection_error") == 1

    run(main())


def nameless(context: ssl.SSLContext) -> ssl.SSLContext:
    """A context whose clients ask for an address: they send no name."""

    class Nameless(ssl.SSLContext):
        def wrap_bio(self, incoming, outgoing, server_side=False, server_hostname=None, session=None):
            return super().wrap_bio(incoming, outgoing, server_side, None, session)

    made = Nameless(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def test_protocols_and_versions_are_agreed(authority):
    async def main():
        pair = authority.issue("localhost")
        params = {"tls_minimum_protocol_version": "TLSv1_3"}
        context = certificates(pair.config, alpn_protocols=["http/1.1"], tls_params=params)
        async with TlsHouse(chain(context, body="x")) as house:
            who = client()
            who.set_alpn_protocols(["h2", "http/1.1"])
            _, writer = await house.connect(who)
            writer.close()
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            why = await refused(house, client(**exactly(V12)))
            assert why == "TLSV1_ALERT_PROTOCOL_VERSION"

    run(main())


def test_other_names_of_a_clients_certificate(authority):
    async def main():
        upn = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x04me@x")
        matcher = {"san_type": "OTHER_NAME", "oid": "1.3.6.1.4.1.311.20.2.3", "matcher": {"exact": "me@x"}}
        context = mutual(authority, match_typed_subject_alt_names=[matcher])
        async with TlsHouse(chain(context, body="x")) as house:
            assert await house.get(client(pair=authority.issue("a", others=[upn]))) == (200, "x")
            await refused(house, client(pair=authority.issue("me@x")))
            assert house.count("ssl.fail_verify_san") == 1

    run(main())


@pytest.mark.parametrize(
    ("mode", "with_certificate", "without"),
    [
        ("SANITIZE", None, None),
        ("FORWARD_ONLY", "Hash=old", None),
        ("APPEND_FORWARD", "Hash=old,{own}", None),
        ("SANITIZE_SET", "{own}", None),
        ("ALWAYS_FORWARD_ONLY", "Hash=old", "Hash=old"),
    ],
)
def test_what_is_forwarded_of_a_clients_certificate(authority, mode, with_certificate, without):
    async def main():
        pair = authority.issue("localhost", "spiffe://test/proxy")
        who = authority.issue("b.example", "c.example", "spiffe://a/b")
        trust = {"trusted_ca": {"inline_string": authority.certificate}}
        details = {"subject": True, "cert": True, "chain": True, "dns": True, "uri": True}
        manager = {"forward_client_cert_details": mode, "set_current_client_cert_details": details}
        pem = urllib.parse.quote(who.certificate, safe="")
        own = (
            f'By=spiffe://test/proxy;Hash={who.sha256};Cert="{pem}";Chain="{pem}";'
            r'Subject="CN=b.example,O=Test\, Inc.";URI=spiffe://a/b;DNS=b.example;DNS=c.example'
        )
        async with TlsHouse(chain(certificates(pair.config, validation_context=trust), manager)) as house:
            for context, expected in ((client(pair=who), with_certificate), (client(), without)):
                reader, writer = await house.connect(context)
                for _ in range(2):
                    _, body = await get(reader, writer, "x-forwarded-client-cert: Hash=old\r\n")
                    told = [line[25:] for line in body.split("\r\n") if "client-cert" in line]
                    assert told == ([] if expected is None else [expected.replace("{own}", own)])
                writer.close()

    run(main())


def test_hosts_that_demand_tls_are_content(authority):
    async def main():
        pair = authority.issue("localhost")
        hosts = [
            {
                "name": "all",
                "domains": ["*"],
                "require_tls": "ALL",
                "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 204}}],
            }
        ]
        manager = {"route_config": {"virtual_hosts": hosts}, "use_remote_address": True}
        async with TlsHouse(chain(certificates(pair.config), manager)) as house:
            reader, writer = await house.connect(client())
            writer.write(b"GET https://a/ HTTP/1.1\r\nhost: a\r\nx-forwarded-proto: http\r\n\r\n")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
            writer.close()

    run(main())
