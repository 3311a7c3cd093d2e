"""Mistakes in TLS, each told with the field that it is in; and keys, told nowhere."""

import base64
import json
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from proxyd.config.canonical import to_proto_json, to_yaml
from proxyd.config.finding import Finding
from proxyd.config.load import ConfigErrors, load_text
from proxyd.config.sources import Text
from proxyd.snapshot import openssl, tls_context
from proxyd.snapshot.build import SnapshotError, compile_snapshot
from proxyd.snapshot.checks import check_snapshot, check_tls_contexts
from proxyd.stats.metrics import Registry
from tests.net.certificates import Authority
from tests.net.tls_house import DOWNSTREAM, UPSTREAM, address, certificates, chain, tls_socket

AUTHORITY = Authority()
PAIR = AUTHORITY.issue("a.example")
OTHER = AUTHORITY.issue("b.example")
TRUST = {"trusted_ca": {"inline_string": AUTHORITY.certificate}}
CHAIN = "static_resources.listeners[0].filter_chains[0]"
CONTEXT = f"{CHAIN}.transport_socket.typed_config"
COMMON = f"{CONTEXT}.common_tls_context"


def load(
    *chains: dict[str, Any], listener: dict[str, Any] | None = None, cluster: Any = None, secrets: Any = ()
) -> Any:
    config = {
        "static_resources": {
            "listeners": [{"name": "l", "address": address(80), "filter_chains": chains, **(listener or {})}],
            "clusters": [{"name": "origin", **(cluster or {})}],
            "secrets": list(secrets),
        }
    }
    return load_text(Text("test", json.dumps(config)), further=check_snapshot)


def mistakes(*chains: dict[str, Any], **others: Any) -> dict[str, str]:
    with pytest.raises(ConfigErrors) as caught:
        load(*chains, **others)
    return {mistake.path: mistake.message for mistake in caught.value.mistakes}


def source(text: str | bytes) -> dict[str, Any]:
    return {"inline_string": text}


def certificate(**fields: Any) -> dict[str, Any]:
    return {"certificate_chain": source(PAIR.chain), "private_key": source(PAIR.key), **fields}


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ({"private_key": source(OTHER.key)}, ".private_key", "not the key of the certificate in <inline>"),
        ({"private_key": source("x")}, ".private_key", "no private key in PEM form"),
        ({"private_key": source(PAIR.locked_key("right"))}, ".password", "does not open the private key"),
        (
            {"private_key": source(PAIR.locked_key("right")), "password": source("mistaken")},
            ".password",
            "does not open the private key",
        ),
        ({"certificate_chain": source("nothing")}, ".certificate_chain", "no certificate in PEM form"),
        (
            {"certificate_chain": source("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")},
            "",
            "cannot be loaded",
        ),
        ({"pkcs12": {"inline_bytes": "AAAA"}}, ".private_key", "only one of pkcs12 and private_key"),
    ],
)
def test_certificates_and_keys(fields: dict[str, Any], place: str, words: str) -> None:
    found = mistakes(chain(certificates(certificate(**fields))))
    assert re.search(words, found[f"{COMMON}.tls_certificates[0]{place}"])
    assert not any("PRIVATE" in text or "mistaken" in text for text in found.values())


@pytest.mark.parametrize(
    ("context", "place", "words"),
    [
        ({}, "", "needs a certificate"),
        ({"common_tls_context": {}}, ".common_tls_context", "needs a certificate"),
        (
            certificates(
                certificate(), tls_params={"cipher_suites": ["ECDHE-RSA-AES128-GCM-SHA256", "NONE-SUCH"]}
            ),
            ".common_tls_context.tls_params.cipher_suites[1]",
            "NONE-SUCH is unknown to OpenSSL",
        ),
        (
            certificates(certificate(), tls_params={"ecdh_curves": ["X25519", "P-1"]}),
            ".common_tls_context.tls_params.ecdh_curves[1]",
            "P-1 is unknown",
        ),
        (
            certificates(certificate(), tls_params={"signature_algorithms": ["nonsense"]}),
            ".common_tls_context.tls_params.signature_algorithms",
            "unknown",
        ),
        (
            certificates(certificate(), tls_params={"tls_minimum_protocol_version": "TLSv1_1"}),
            ".common_tls_context.tls_params.tls_minimum_protocol_version",
            "TLSv1_1 is not supported by proxyd",
        ),
        (
            certificates(
                certificate(),
                tls_params={
                    "tls_minimum_protocol_version": "TLSv1_3",
                    "tls_maximum_protocol_version": "TLSv1_2",
                },
            ),
            ".common_tls_context.tls_params.tls_minimum_protocol_version",
            "TLSv1_3 is above the maximum",
        ),
        (
            certificates(certificate(), validation_context={"trusted_ca": source("no")}),
            ".common_tls_context.validation_context.trusted_ca",
            "no certificate in PEM form",
        ),
        (
            certificates(certificate(), validation_context={**TRUST, "crl": source("no")}),
            ".common_tls_context.validation_context.crl",
            "no revocation list",
        ),
        (
            certificates(
                certificate(),
                validation_context={
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "a"}}]
                },
            ),
            ".common_tls_context.validation_context.match_typed_subject_alt_names",
            "set trusted_ca",
        ),
        (
            certificates(
                certificate(),
                validation_context={
                    **TRUST,
                    "match_typed_subject_alt_names": [{"san_type": "OTHER_NAME", "matcher": {"exact": "a"}}],
                },
            ),
            ".common_tls_context.validation_context.match_typed_subject_alt_names[0]",
            "needs an oid",
        ),
        (
            certificates(
                certificate(),
                validation_context={
                    **TRUST,
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "a"}}],
                    "match_subject_alt_names": [{"exact": "a"}],
                },
            ),
            ".common_tls_context.validation_context.match_subject_alt_names",
            "no effect beside match_typed_subject_alt_names",
        ),
        (
            certificates(certificate(), validation_context={"match_subject_alt_names": [{"exact": "a"}]}),
            ".common_tls_context.validation_context.match_subject_alt_names",
            "set trusted_ca",
        ),
        (
            certificates(certificate(), validation_context={**TRUST, "only_verify_leaf_cert_crl": True}),
            ".common_tls_context.validation_context.only_verify_leaf_cert_crl",
            "no effect without crl",
        ),
        (
            certificates(certificate(), validation_context={"verify_certificate_hash": ["g" * 64]}),
            ".common_tls_context.validation_context.verify_certificate_hash[0]",
            "SHA-256",
        ),
        (
            certificates(certificate(), validation_context={"verify_certificate_hash": ["abc"]}),
            ".common_tls_context.validation_context.verify_certificate_hash[0]",
            "must not be shorter than 64, is 3",
        ),
        *(
            (
                certificates(
                    certificate(),
                    validation_context={
                        **TRUST,
                        "match_typed_subject_alt_names": [{"matcher": {"exact": "a"}} | kind],
                    },
                ),
                f".common_tls_context.validation_context.match_typed_subject_alt_names[0]{place}",
                words,
            )
            for kind, place, words in (
                ({}, ".san_type", "is required"),
                ({"san_type": "FOO"}, ".san_type", "FOO"),
                ({"san_type": 0}, ".san_type", "SAN_TYPE_UNSPECIFIED is not supported"),
                ({"san_type": "SAN_TYPE_UNSPECIFIED"}, ".san_type", "SAN_TYPE_UNSPECIFIED"),
            )
        ),
        *(
            (
                certificates(certificate(), alpn_protocols=[names]),
                ".common_tls_context.alpn_protocols[0]",
                "1 to 255 bytes",
            )
            for names in ("", "h2,", "x" * 256)
        ),
        *(
            (
                certificates(certificate(), tls_params={"cipher_suites": [text]}),
                ".common_tls_context.tls_params.cipher_suites[0]",
                "^this is unknown to OpenSSL",
            )
            for text in ("A\0B", PAIR.key)
        ),
        (
            {**certificates(certificate()), "session_ticket_keys": {"keys": [source("short")]}},
            ".session_ticket_keys.keys[0]",
            "80 bytes, not 5",
        ),
        (
            {"common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "none"}]}},
            ".common_tls_context.tls_certificate_sds_secret_configs[0].name",
            'unknown secret "none"',
        ),
        (
            {**certificates(certificate()), "ocsp_staple_policy": "MUST_STAPLE"},
            ".ocsp_staple_policy",
            "not supported by proxyd",
        ),
    ],
)
def test_contexts(context: dict[str, Any], place: str, words: str) -> None:
    found = mistakes(chain(context))
    assert f"{CONTEXT}{place}" in found
    assert re.search(words, found[f"{CONTEXT}{place}"])
    assert CONTEXT not in found or not place  # nothing that was not foreseen beside it


class _Broken(dict[str, Any]):
    def get(self, *_: object) -> Any:
        raise RuntimeError("with words that may be secret")


def test_what_nobody_has_foreseen_is_a_mistake_of_its_context() -> None:
    named = {"common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "s"}]}}
    bootstrap = load(chain(named), secrets=[{"name": "s", "tls_certificate": certificate()}])
    (served,) = bootstrap.static_resources.listeners[0].filter_chains
    found = list(check_tls_contexts("x", served, _Broken()))
    assert found == [Finding("x.transport_socket.typed_config", "cannot be used: RuntimeError")]


def test_transport_sockets_are_for_their_side() -> None:
    wrong = chain()
    wrong["transport_socket"] = tls_socket(UPSTREAM, {})
    assert "cannot stand here (expected: DownstreamTlsContext" in mistakes(wrong)[CONTEXT]
    found = mistakes(chain(), cluster={"transport_socket": tls_socket(DOWNSTREAM, {})})
    assert "cannot stand here (expected: UpstreamTlsContext" in " ".join(found.values())


def test_a_client_has_one_certificate() -> None:
    two = {"common_tls_context": {"tls_certificates": [certificate(), certificate()]}}
    (path,) = mistakes(chain(), cluster={"transport_socket": tls_socket(UPSTREAM, two)})
    assert path.endswith("common_tls_context.tls_certificates[1]")


@pytest.mark.parametrize(
    "sni", ["a..b", "10.0.0.1", "::1", "a b", "b\u00fccher.example", ".a", "a" * 64 + ".b"]
)
def test_only_a_host_name_can_be_asked_for(sni: str) -> None:
    asking = {"transport_socket": tls_socket(UPSTREAM, {"sni": sni})}
    found = mistakes(chain(), cluster=asking)
    path = "static_resources.clusters[0].transport_socket.typed_config.sni"
    assert found == {path: f"{sni} is no host name, and nothing else can be asked for"}


@pytest.mark.parametrize(
    ("chains", "listener", "place", "words"),
    [
        (
            [chain(filter_chain_match={"server_names": ["a*.b"]})],
            {},
            "filter_chains[0].filter_chain_match.server_names[0]",
            "wildcard",
        ),
        (
            [chain(name="x"), chain(name="x", filter_chain_match={"destination_port": 1})],
            {},
            "filter_chains[1].name",
            "dup",
        ),
        ([], {}, "", "needs a filter chain"),
        (
            [chain()],
            {"default_filter_chain": chain(filter_chain_match={})},
            "default_filter_chain.filter_chain_match",
            "no effect",
        ),
        (
            [chain()],
            {"listener_filters": [{"name": "envoy.filters.listener.tls_inspector"}] * 2},
            "listener_filters[1]",
            "there already",
        ),
        (
            [chain()],
            {
                "listener_filters": [
                    {
                        "name": "local_ratelimit",
                        "typed_config": {
                            "@type": "type.googleapis.com/"
                            "envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit"
                        },
                    }
                ]
            },
            "listener_filters[0].typed_config",
            "LocalRateLimit is not supported by proxyd",
        ),
    ],
)
def test_filter_chains(chains: Any, listener: dict[str, Any], place: str, words: str) -> None:
    found = mistakes(*chains, listener=listener)
    path = f"static_resources.listeners[0].{place}".removesuffix(".")
    assert words in found[path]


def test_two_chains_for_the_same_connections() -> None:
    bootstrap = load(chain(), chain())
    with pytest.raises(
        SnapshotError, match=r"listener l: filter_chains\[1\] has the same filter_chain_match"
    ):
        compile_snapshot(bootstrap, Registry(), 0)


def test_secrets_are_found_by_name_and_merged() -> None:
    secrets = [
        {"name": "own", "tls_certificate": certificate()},
        {"name": "them", "validation_context": {**TRUST, "verify_certificate_hash": ["0" * 64]}},
    ]
    context = {
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [{"name": "own"}],
            "combined_validation_context": {
                "default_validation_context": {"verify_certificate_hash": ["1" * 64]},
                "validation_context_sds_secret_config": {"name": "them"},
            },
        }
    }
    bootstrap = load(chain(context), secrets=secrets)
    common = bootstrap.static_resources.listeners[0].filter_chains[0].transport_socket.typed_config
    known = {secret.name: secret for secret in bootstrap.static_resources.secrets}
    merged = tls_context.validation_of(common.common_tls_context, known)
    assert merged is not None
    assert merged.verify_certificate_hash == ("1" * 64, "0" * 64)
    assert merged.trusted_ca is not None
    compile_snapshot(bootstrap, Registry(), 0)
    swapped = {"common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "them"}]}}
    (message,) = mistakes(chain(swapped), secrets=secrets).values()
    assert message == 'the secret "them" is no tls_certificate'


def test_locked_keys_and_containers_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    locked = certificate(private_key=source(PAIR.locked_key("secret")), password=source("secret"))
    load(chain(certificates(locked)))
    data = pkcs12.serialize_key_and_certificates(
        b"x", PAIR.key_object, PAIR.x509, [AUTHORITY.x509], BestAvailableEncryption(b"secret")
    )
    container = {"pkcs12": {"inline_bytes": base64.b64encode(data).decode()}, "password": source("secret")}
    load(chain(certificates(container)))
    wrong = {**container, "password": source("other")}
    found = mistakes(chain(certificates(wrong)))
    assert "PKCS #12" in found[f"{COMMON}.tls_certificates[0].pkcs12"]
    monkeypatch.setenv("PROXYD_TEST_KEY", PAIR.key)
    load(chain(certificates(certificate(private_key={"environment_variable": "PROXYD_TEST_KEY"}))))


def test_keys_are_shown_nowhere() -> None:
    locked = certificate(private_key=source(PAIR.locked_key("secret-word")), password=source("secret-word"))
    bootstrap = load(chain(certificates(locked)), secrets=[{"name": "s", "tls_certificate": locked}])
    dump = json.dumps(to_proto_json(bootstrap))
    for text in (dump, repr(bootstrap), str(bootstrap)):
        assert "PRIVATE KEY" not in text
        assert "secret-word" not in text
    assert dump.count('"private_key": {"inline_string": "[redacted]"}') == 2
    assert dump.count('"password": {"inline_string": "[redacted]"}') == 2
    assert PAIR.certificate.split("\n")[1] in dump
    assert "secret-word" in to_yaml(bootstrap)  # the operator's own file


KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw\n-----END PRIVATE KEY-----\n"
NO_NAME = "the text itself is given where the name of"
NOT_THERE = "the file that is named here: cannot read it: No such file or directory"


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ({"password": "pw-secret-1"}, "password", "expected a mapping, got a string"),
        ({"password": ["pw-secret-1"]}, "password", "expected a mapping, got a list"),
        ({"password": 12345678}, "password", "expected a mapping, got a number"),
        ({"password": True}, "password", "expected a mapping, got a boolean"),
        (
            {"password": source(12345678)},
            "password.inline_string",
            "expected a string, got a number (put it in quotes)",
        ),
        (
            {"password": source("x${pw-secret-1}")},
            "password.inline_string",
            '"${" is followed by no environment variable that is set (write "$${" for "${")',
        ),
        (
            {"password": source({"pw-secret-1": None})},
            "password.inline_string",
            "expected a string, got a mapping",
        ),
        (
            {"password": {"inline_bytes": "pw-secret-1!"}},
            "password.inline_bytes",
            "expected base64, got a string",
        ),
        ({"password": {"pw-secret-1": None}}, "password", "unknown field"),
        (
            {"password": {"inline_strng": "pw-secret-1"}},
            "password",
            'unknown field (did you mean "inline_string"?)',
        ),
        ({"private_key": KEY}, "private_key", "expected a mapping, got a string"),
        ({"private_key": {"inline_bytes": KEY}}, "private_key.inline_bytes", "expected base64, got a string"),
        ({"private_key": {"filename": KEY}}, "private_key.filename", f"{NO_NAME} a file is expected"),
        (
            {"private_key": {"environment_variable": KEY}},
            "private_key.environment_variable",
            f"{NO_NAME} an environment variable is expected",
        ),
        ({"private_key": {KEY: None}}, "private_key", "unknown field"),
        # One line that could be a name, and that nothing is named.
        ({"password": {"filename": "pw-secret-1"}}, "password.filename", NOT_THERE),
        ({"password": {"filename": "/pw-secret-1/x"}}, "password.filename", NOT_THERE),
        ({"private_key": {"filename": "/"}}, "private_key.filename", "/: it is a directory, not a file"),
        (
            {"password": {"environment_variable": "pw-secret-1"}},
            "password.environment_variable",
            "the environment variable that is named here is not set",
        ),
        # Beside the fields that hold secrets.
        ({KEY: None}, "", "unknown field"),
        ({"certificate_chain": KEY}, "certificate_chain", "expected a mapping, got a text in PEM form"),
        (
            {"certificate_chain": {"filename": KEY}},
            "certificate_chain.filename",
            f"{NO_NAME} a file is expected",
        ),
        (
            {"certificate_chain": {"filename": "MC4CAQAwBQYDK2Vw\nMC4"}},
            "certificate_chain.filename",
            f"{NO_NAME} a file is expected",
        ),
    ],
)
def test_mistakes_show_no_secret(fields: dict[str, Any], place: str, words: str) -> None:
    where = f"{COMMON}.tls_certificates[0]"
    with pytest.raises(ConfigErrors) as caught:
        load(chain(certificates(certificate(**fields))))
    told = {mistake.path: mistake.message for mistake in caught.value.mistakes}
    assert told[f"{where}.{place}" if place else where] == words
    assert all(mistake.line == 1 and mistake.column > 1 for mistake in caught.value.mistakes)
    for secret in ("pw-secret-1", "inline_strng", "12345678", "PRIVATE KEY", "MC4CAQ"):
        assert secret not in str(caught.value)


def test_no_more_do_those_of_ticket_keys() -> None:
    for keys, place in (("tk-1", ""), ({"keys": "tk-1"}, ".keys[0]"), ({"keys": [{"tk-1": 1}]}, ".keys[0]")):
        found = mistakes(chain({**certificates(certificate()), "session_ticket_keys": keys}))
        assert f"{CONTEXT}.session_ticket_keys{place}" in found
        assert "tk-1" not in str(found)


def test_a_secret_that_is_half_a_character_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXYD_TEST_WORD", "pw\udc80")
    found = mistakes(chain(certificates(certificate(password=source("${PROXYD_TEST_WORD}")))))
    (message,) = found.values()
    assert message == "half of a surrogate pair is no character"


def test_what_needs_openssl_is_refused_where_it_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssl, "_libraries", lambda: None)
    load(chain(certificates(certificate())))
    for context, field in (
        (certificates(certificate(), tls_params={"ecdh_curves": ["X25519"]}), "ecdh_curves"),
        (
            certificates(certificate(), validation_context={**TRUST, "max_verify_depth": 1}),
            "max_verify_depth",
        ),
        ({**certificates(certificate()), "require_client_certificate": True}, "require_client_certificate"),
        ({**certificates(certificate()), "session_timeout": "5s"}, "session_timeout"),
        (
            certificates(certificate(), tls_params={"signature_algorithms": ["ecdsa_secp256r1_sha256"]}),
            "signature_algorithms",
        ),
        (
            {**certificates(certificate()), "disable_stateful_session_resumption": True},
            "disable_stateful_session_resumption",
        ),
        (
            {**certificates(certificate()), "session_ticket_keys": {"keys": [source("k" * 80)]}},
            "session_ticket_keys",
        ),
    ):
        ((path, message),) = mistakes(chain(context)).items()
        assert path.endswith(field)
        assert "is not supported by proxyd on this Python" in message
