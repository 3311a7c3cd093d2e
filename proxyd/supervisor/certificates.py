"""Which certificates a configuration uses and how long they are good: /certs and the gauges about it."""

import datetime
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from proxyd.codec.certificate import DNS, IP_ADDRESS, URI, Certificate, split_pem
from proxyd.config.bootstrap import Bootstrap
from proxyd.config.cluster import upstream_tls
from proxyd.config.core import DataSource
from proxyd.config.listener import Listener
from proxyd.config.tls import (
    CommonTlsContext,
    DownstreamTlsContext,
    Secret,
    TlsCertificate,
)
from proxyd.snapshot.tls_context import Identity, TlsError, validation_of
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import Scope, escape
from proxyd.supervisor.sockets import format_address

DAY_S: Final = 86400

_SAN_FIELDS: Final = {DNS: "dns", URI: "uri", IP_ADDRESS: "ip_address"}
_UNNAMED: Final = hashlib.sha256(b"").hexdigest()[:8]  # as Envoy calls what has no name


class UsedCertificate:
    """One certificate and where it was read."""

    def __init__(self, path: str, certificate: Certificate) -> None:
        self.path: Final = path
        self.serial: Final = certificate.serial
        self.begins: Final = certificate.begins
        self.ends: Final = certificate.ends
        self.names: Final = [
            {_SAN_FIELDS[name.kind]: name.value} for name in certificate.names if name.kind in _SAN_FIELDS
        ]

    def days(self, now: float) -> int:
        """Whole days until it expires; 0 when it has."""
        return max(0, int((self.ends - now) // DAY_S))

    def to_json(self, now: float) -> dict[str, Any]:
        """Envoy's CertificateDetails."""
        return {
            "path": self.path,
            "serial_number": self.serial,
            "subject_alt_names": self.names,
            "days_until_expiration": str(self.days(now)),
            "valid_from": _time(self.begins),
            "expiration_time": _time(self.ends),
        }


class UsedContext:
    """One TLS context; ``scope`` is the prefix of its statistics."""

    def __init__(
        self, scope: str, authorities: list[UsedCertificate], certificates: list[UsedCertificate]
    ) -> None:
        self.scope: Final = scope
        self.authorities: Final = authorities
        self.certificates: Final = certificates

    def to_json(self, now: float) -> dict[str, Any]:
        """One element of /certs."""
        return {
            "ca_cert": [each.to_json(now) for each in self.authorities],
            "cert_chain": [each.to_json(now) for each in self.certificates],
        }


def used_contexts(bootstrap: Bootstrap) -> list[UsedContext]:
    """Every TLS context of a checked configuration: those of listeners, then those of clusters."""
    secrets = {secret.name: secret for secret in bootstrap.static_resources.secrets}
    return [_context(scope, common, secrets) for scope, common in _contexts(bootstrap)]


def stat_name(listener: Listener) -> str:
    """What stands for a listener in the names of its statistics, before dots and colons are escaped."""
    return listener.stat_prefix or format_address(listener.address.host, listener.address.port)


def _contexts(bootstrap: Bootstrap) -> Iterator[tuple[str, CommonTlsContext]]:
    for listener in bootstrap.static_resources.listeners:
        name = stat_name(listener)
        for chain in (*listener.filter_chains, listener.default_filter_chain):
            socket = None if chain is None else chain.transport_socket
            if socket is not None and isinstance(socket.typed_config, DownstreamTlsContext):
                yield (
                    f"listener.{escape(name)}.",
                    socket.typed_config.common_tls_context or CommonTlsContext(),
                )
    for cluster in bootstrap.static_resources.clusters:
        upstream = upstream_tls(cluster)
        if upstream is not None:
            name = cluster.alt_stat_name or cluster.name
            yield f"cluster.{escape(name)}.", upstream.common_tls_context or CommonTlsContext()


def _context(scope: str, common: CommonTlsContext, secrets: Mapping[str, Secret]) -> UsedContext:
    authorities: list[UsedCertificate] = []
    try:
        validation = validation_of(common, secrets)
    except TlsError:  # it waits for a secret that has not come yet
        validation = None
    if validation is not None and validation.trusted_ca is not None:
        source = validation.trusted_ca
        # As in Envoy, the first of them stands for all.
        authorities = [UsedCertificate(_path(source), Certificate(der)) for der in _split(source)[:1]]
    found: list[TlsCertificate | None] = list(common.tls_certificates)
    for config in common.tls_certificate_sds_secret_configs:
        secret = secrets.get(config.key)
        found.append(None if secret is None else secret.tls_certificate)
    certificates: list[UsedCertificate] = []
    for each in found:
        if each is not None:
            try:
                identity = Identity(each, "")
            except TlsError:
                continue  # what is checked has none such
            certificates.append(UsedCertificate(identity.source, identity.certificate))
    return UsedContext(scope, authorities, certificates)


def _split(source: DataSource) -> list[bytes]:
    try:
        return split_pem(source.contents)
    except ValueError:
        return []


def _path(source: DataSource) -> str:
    return source.filename or "<inline>"


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class ExpiryStats:
    """``<scope>.ssl.certificate.<name>.expiration_unix_time_seconds`` of the certificates in use."""

    def __init__(self, registry: Registry) -> None:
        self._registry: Final = registry
        self._names: list[str] = []

    def show(self, contexts: Sequence[UsedContext]) -> None:
        """These are in use from now on, and no others."""
        former, self._names = self._names, []
        for context in contexts:
            for kind, used in (("cert", context.certificates), ("ca_cert", context.authorities)):
                for certificate in used:
                    name = f"ssl.certificate.unnamed_{kind}_{_UNNAMED}.expiration_unix_time_seconds"
                    gauge = Scope(self._registry, context.scope).gauge(name, shared=True)
                    gauge.value = int(certificate.ends)
                    self._names.append(context.scope + name)
        self._registry.forget(set(former) - set(self._names))


def days_until_first_expires(contexts: Sequence[UsedContext], now: float) -> int:
    """The least of all certificates in use; 0 where there is none."""
    days = [
        certificate.days(now)
        for context in contexts
        for certificate in (*context.authorities, *context.certificates)
    ]
    return min(days, default=0)
