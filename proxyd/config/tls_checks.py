"""What no single field of TLS and of filter chains can tell."""

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from proxyd.config.core import CidrRange
from proxyd.config.discovery import ConfigSource
from proxyd.config.finding import Finding, messages
from proxyd.config.listener import FilterChain, FilterChainMatch, Listener
from proxyd.config.message import Message
from proxyd.config.mistakes import NOT_SUPPORTED, did_you_mean, quote
from proxyd.config.scalars import is_ip
from proxyd.config.tls import (
    CertificateValidationContext,
    CommonTlsContext,
    DownstreamTlsContext,
    SanType,
    SdsSecretConfig,
    Secret,
    SubjectAltNameMatcher,
    TlsCertificate,
    TlsParameters,
    TlsProtocol,
    TlsSessionTicketKeys,
    TrustChainVerification,
    UpstreamTlsContext,
)

Secrets = Mapping[str, Secret]

_HASH: Final = re.compile(r"(?:[0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2}")
_SPKI: Final = re.compile(r"[A-Za-z0-9+/]{43}=")
_OID: Final = re.compile(r"[0-2](?:\.[0-9]+)+")
_TICKET_KEY_BYTES: Final = 80


def check_tls(path: str, root: Message, secrets: Secrets) -> Iterator[Finding]:
    """Everything that is wrong with the TLS inside ``root``; ``secrets`` are those that it may name."""
    for place, message in messages(root, path):
        if isinstance(message, DownstreamTlsContext):
            yield from _downstream(place, message, secrets)
        elif isinstance(message, UpstreamTlsContext):
            yield from _upstream(place, message, secrets)
        elif isinstance(message, TlsCertificate):
            yield from _certificate(place, message)
        elif isinstance(message, CertificateValidationContext):
            yield from _validation(place, message)
        elif isinstance(message, SubjectAltNameMatcher):
            yield from _san(place, message)
        elif isinstance(message, TlsSessionTicketKeys):
            yield from _ticket_keys(place, message)
        elif isinstance(message, TlsParameters):
            yield from _parameters(place, message)


def _downstream(path: str, context: DownstreamTlsContext, secrets: Secrets) -> Iterator[Finding]:
    common = context.common_tls_context
    place = f"{path}.common_tls_context"
    if common is None or not (common.tls_certificates or common.tls_certificate_sds_secret_configs):
        yield Finding(
            path if common is None else place,
            "a listener's TLS needs a certificate (tls_certificates)",
            (f"{place}.tls_certificates", f"{place}.tls_certificate_sds_secret_configs"),
        )
    yield from _secret(
        f"{path}.session_ticket_keys_sds_secret_config",
        context.session_ticket_keys_sds_secret_config,
        "session_ticket_keys",
        secrets,
    )
    if common is not None:
        yield from _common(place, common, secrets)


def _upstream(path: str, context: UpstreamTlsContext, secrets: Secrets) -> Iterator[Finding]:
    common = context.common_tls_context
    if common is None:
        return
    place = f"{path}.common_tls_context"
    if len(common.tls_certificates) + len(common.tls_certificate_sds_secret_configs) > 1:
        second = f"[{1}]" if len(common.tls_certificates) > 1 else ""
        yield Finding(f"{place}.tls_certificates{second}", "a client has one certificate at most")
    yield from _common(place, common, secrets)


def _common(path: str, common: CommonTlsContext, secrets: Secrets) -> Iterator[Finding]:
    for index, config in enumerate(common.tls_certificate_sds_secret_configs):
        place = f"{path}.tls_certificate_sds_secret_configs[{index}]"
        yield from _secret(place, config, "tls_certificate", secrets)
    place = f"{path}.validation_context_sds_secret_config"
    yield from _secret(place, common.validation_context_sds_secret_config, "validation_context", secrets)
    combined = common.combined_validation_context
    if combined is not None:
        place = f"{path}.combined_validation_context.validation_context_sds_secret_config"
        yield from _secret(
            place, combined.validation_context_sds_secret_config, "validation_context", secrets
        )
    for index, item in enumerate(common.alpn_protocols):
        for name in item.split(","):
            if not 0 < len(name.encode()) < 256:
                yield Finding(f"{path}.alpn_protocols[{index}]", "a protocol's name has 1 to 255 bytes")


def _secret(path: str, config: SdsSecretConfig | None, kind: str, secrets: Secrets) -> Iterator[Finding]:
    if config is None or not config.name or config.sds_config is not None:
        return  # what is in a file may be there later
    secret = secrets.get(config.name)
    if secret is None:
        yield Finding(
            f"{path}.name",
            f"unknown secret {quote(config.name)}{did_you_mean(config.name, list(secrets))}",
            ("static_resources.secrets",),
        )
    elif getattr(secret, kind) is None:
        yield Finding(
            f"{path}.name", f"the secret {quote(config.name)} is no {kind}", ("static_resources.secrets",)
        )


def _certificate(path: str, certificate: TlsCertificate) -> Iterator[Finding]:
    if certificate.pkcs12 is not None:
        for name in ("certificate_chain", "private_key"):
            if getattr(certificate, name) is not None:
                yield Finding(f"{path}.{name}", f"only one of pkcs12 and {name} can be set")
        return
    for name in ("certificate_chain", "private_key"):
        if getattr(certificate, name) is None:
            yield Finding(path, f"{name} is required (or pkcs12)", (f"{path}.pkcs12", f"{path}.{name}"))


def _validation(path: str, context: CertificateValidationContext) -> Iterator[Finding]:
    trusts = context.trusted_ca is not None or context.system_root_certs is not None
    rests = (f"{path}.trusted_ca", f"{path}.system_root_certs")
    # A context of a secret may be half of one: the other half has the authority.
    whole = "combined_validation_context" not in path and not path.startswith("static_resources.secrets")
    names = "match_typed_subject_alt_names"
    if not context.match_typed_subject_alt_names:
        names = "match_subject_alt_names"
    asks = bool(context.match_typed_subject_alt_names or context.match_subject_alt_names)
    accepts = context.trust_chain_verification is TrustChainVerification.ACCEPT_UNTRUSTED
    if whole and not trusts and asks and not accepts:
        yield Finding(f"{path}.{names}", "names that nobody vouches for prove nothing: set trusted_ca", rests)
    if context.match_typed_subject_alt_names and context.match_subject_alt_names:
        yield Finding(f"{path}.match_subject_alt_names", "has no effect beside match_typed_subject_alt_names")
    if whole and context.crl is not None and not trusts:
        yield Finding(f"{path}.crl", "needs trusted_ca", rests)
    if context.only_verify_leaf_cert_crl and context.crl is None and whole:
        yield Finding(f"{path}.only_verify_leaf_cert_crl", "has no effect without crl", (f"{path}.crl",))
    for index, text in enumerate(context.verify_certificate_hash):
        if not _HASH.fullmatch(text):
            yield Finding(
                f"{path}.verify_certificate_hash[{index}]", "expected a SHA-256 in 64 hexadecimal digits"
            )
    for index, text in enumerate(context.verify_certificate_spki):
        if not _SPKI.fullmatch(text):
            yield Finding(f"{path}.verify_certificate_spki[{index}]", "expected a SHA-256 in base64")


def _san(path: str, matcher: SubjectAltNameMatcher) -> Iterator[Finding]:
    if matcher.san_type is SanType.OTHER_NAME:
        if not _OID.fullmatch(matcher.oid):
            yield Finding(
                f"{path}.oid" if matcher.oid else path,
                "OTHER_NAME needs an oid such as 1.3.6.1.4.1.311.20.2.3",
            )
    elif matcher.oid:
        yield Finding(f"{path}.oid", "is for OTHER_NAME alone")


def _ticket_keys(path: str, keys: TlsSessionTicketKeys) -> Iterator[Finding]:
    for index, source in enumerate(keys.keys):
        place = f"{path}.keys[{index}]"
        if index:
            yield Finding(place, f"more than one ticket key is {NOT_SUPPORTED}")
        elif source.contents and len(source.contents) != _TICKET_KEY_BYTES:
            yield Finding(place, f"a ticket key has {_TICKET_KEY_BYTES} bytes, not {len(source.contents)}")


def _parameters(path: str, parameters: TlsParameters) -> Iterator[Finding]:
    least, most = parameters.tls_minimum_protocol_version, parameters.tls_maximum_protocol_version
    if TlsProtocol.TLS_AUTO not in (least, most) and least > most:
        yield Finding(
            f"{path}.tls_minimum_protocol_version", f"{least.name} is above the maximum, {most.name}"
        )


# Filter chains


_KINDS: Final = {
    "TlsInspector": "TLS inspector",
    "HttpInspector": "HTTP inspector",
    "ProxyProtocol": "reader of the PROXY protocol",
    "OriginalDst": "finder of original destinations",
    "UdpProxyConfig": "UDP proxy",
}


def check_filter_chains(path: str, listener: Listener) -> Iterator[Finding]:
    """What is wrong with the chains beside what they hold, and with what chooses among them."""
    names: dict[str, str] = {}
    for place, chain in chains(path, listener):
        if chain.name and names.setdefault(chain.name, place) != place:
            yield Finding(
                f"{place}.name", f"duplicate filter chain {quote(chain.name)}: {names[chain.name]} has it"
            )
        if chain.filter_chain_match is not None:
            yield from _match(f"{place}.filter_chain_match", chain.filter_chain_match)
    default = listener.default_filter_chain
    if default is not None and default.filter_chain_match is not None:
        yield Finding(
            f"{path}.default_filter_chain.filter_chain_match", "has no effect on the default filter chain"
        )
    kinds: set[str] = set()
    for index, each in enumerate(listener.listener_filters):
        kind = type(each.typed_config).__name__
        if kind in kinds:
            yield Finding(f"{path}.listener_filters[{index}]", f"the {_KINDS[kind]} is there already")
        kinds.add(kind)


def chains(path: str, listener: Listener) -> Iterator[tuple[str, FilterChain]]:
    """All filter chains of a listener with their field paths, the default one last."""
    for index, chain in enumerate(listener.filter_chains):
        yield f"{path}.filter_chains[{index}]", chain
    if listener.default_filter_chain is not None:
        yield f"{path}.default_filter_chain", listener.default_filter_chain


def _match(path: str, match: FilterChainMatch) -> Iterator[Finding]:
    for index, name in enumerate(match.server_names):
        rest = name.removeprefix("*.")
        if "*" in rest or not rest:
            yield Finding(
                f"{path}.server_names[{index}]",
                f"{quote(name)}: a wildcard stands for whole labels, as *.a.b",
            )
    for field in ("prefix_ranges", "direct_source_prefix_ranges", "source_prefix_ranges"):
        ranges: tuple[CidrRange, ...] = getattr(match, field)
        for index, block in enumerate(ranges):
            yield from check_block(f"{path}.{field}[{index}]", block)


def check_block(path: str, block: CidrRange) -> Iterator[Finding]:
    """What is wrong with a block of addresses."""
    if block.address_prefix and not is_ip(block.address_prefix):
        yield Finding(f"{path}.address_prefix", f"{quote(block.address_prefix)} is not an IP address")
    elif (block.prefix_len or 0) > 32 and ":" not in block.address_prefix:
        yield Finding(f"{path}.prefix_len", "an IPv4 address has 32 bits")


class SecretUse(NamedTuple):
    """Where a message refers to a secret in a file."""

    path: str
    kind: str  # the field of Secret that it asks for
    config: SdsSecretConfig
    source: ConfigSource


def secrets_of_files(root: Message, path: str = "") -> Iterator[SecretUse]:
    """Everything in a message that refers to a secret in a file."""
    for place, message in messages(root, path):
        if isinstance(message, SdsSecretConfig) and message.sds_config is not None:
            # tls_certificate_sds_secret_configs[0], validation_context_sds_secret_config, ...
            kind = place.rpartition(".")[2].partition("_sds_secret_config")[0]
            yield SecretUse(place, kind, message, message.sds_config)
