"""The stat names of TLS: ``<scope>.ssl.``, of a listener or of a cluster."""

from typing import Final

from proxyd.stats.metrics import Counter, Registry
from proxyd.stats.scopes import Scope, escape

LISTENER: Final = "listener."
CLUSTER: Final = "cluster."


class TlsStats:
    """Handshakes of one listener or one cluster; which algorithms they used is counted as each appears."""

    def __init__(self, registry: Registry, kind: str, name: str) -> None:
        """``kind`` is LISTENER or CLUSTER, ``name`` what comes behind it in other stats of the same."""
        scope = Scope(registry, f"{kind}{escape(name)}.ssl.")
        self.connection_error: Final = scope.counter("connection_error")
        self.handshake: Final = scope.counter("handshake")
        self.session_reused: Final = scope.counter("session_reused")
        self.no_certificate: Final = scope.counter("no_certificate")
        self.fail_verify_no_cert: Final = scope.counter("fail_verify_no_cert")
        self.fail_verify_error: Final = scope.counter("fail_verify_error")
        self.fail_verify_san: Final = scope.counter("fail_verify_san")
        self.fail_verify_cert_hash: Final = scope.counter("fail_verify_cert_hash")
        scope.zero_counters(_ZERO_COUNTERS)
        factory = "server_ssl_socket_factory." if kind == LISTENER else "client_ssl_socket_factory."
        contexts = Scope(registry, f"{kind}{escape(name)}.{factory}")
        stream = "downstream" if kind == LISTENER else "upstream"
        other = "upstream" if kind == LISTENER else "downstream"
        self.secrets_not_ready: Final = contexts.counter(f"{stream}_context_secrets_not_ready")
        contexts.zero_counters(f"{other}_context_secrets_not_ready ssl_context_update_by_sds")
        self._scope: Final = scope
        self._named: Final[dict[str, Counter]] = {}

    def count(self, kind: str, name: str) -> None:
        """One more handshake with this of ``ciphers``, ``versions``, ``curves`` or ``sigalgs``."""
        full = f"{kind}.{name}"
        counter = self._named.get(full)
        if counter is None:
            counter = self._named[full] = self._scope.counter(full)
        counter.value += 1


_ZERO_COUNTERS: Final = "ocsp_staple_failed ocsp_staple_omitted ocsp_staple_requests ocsp_staple_responses"
