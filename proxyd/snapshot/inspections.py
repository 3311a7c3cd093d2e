"""Listener filters in their compiled form."""

from collections.abc import Sequence
from typing import Final

from proxyd.codec.client_hello import MAX_BYTES
from proxyd.config.listener_filters import (
    HttpInspector,
    ListenerFilter,
    OriginalDst,
    ProxyProtocol,
    TlsInspector,
)
from proxyd.stats.listener_filter_scopes import HttpInspectorStats, ProxyProtocolStats
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import TlsInspectorStats

TLS_INSPECTOR: Final = 0
PROXY_PROTOCOL: Final = 1
HTTP_INSPECTOR: Final = 2
ORIGINAL_DST: Final = 3  # looks at no byte


class InspectionSnapshot:
    """One compiled listener filter; ``kind`` is a constant above."""

    def __init__(self, kind: int) -> None:
        self.kind: Final = kind


class TlsInspectorSnapshot(InspectionSnapshot):
    """``max_client_hello`` in bytes."""

    def __init__(self, config: TlsInspector, registry: Registry) -> None:
        super().__init__(TLS_INSPECTOR)
        self.stats: Final = TlsInspectorStats(registry)
        self.max_client_hello: Final[int] = config.max_client_hello_size or MAX_BYTES
        self.closes_on_bad_hello: Final[bool] = config.close_connection_on_client_hello_parsing_errors


class ProxyProtocolSnapshot(InspectionSnapshot):
    """``disallowed`` are versions, 1 and 2."""

    def __init__(self, config: ProxyProtocol, registry: Registry) -> None:
        super().__init__(PROXY_PROTOCOL)
        self.stats: Final = ProxyProtocolStats(registry, config.stat_prefix)
        self.allows_none: Final[bool] = config.allow_requests_without_proxy_protocol
        self.disallowed: Final = frozenset(version.value + 1 for version in config.disallowed_versions)


class HttpInspectorSnapshot(InspectionSnapshot):
    """It has no options."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(HTTP_INSPECTOR)
        self.stats: Final = HttpInspectorStats(registry)


def compile_inspections(
    filters: Sequence[ListenerFilter], needs_client_hello: bool, hands_over: bool, registry: Registry
) -> list[InspectionSnapshot]:
    """In their order. As in Envoy, chains that are told apart by what the TLS inspector finds bring it, and
    use_original_dst (``hands_over``) brings what finds the address.
    """
    compiled: list[InspectionSnapshot] = []
    for each in filters:
        config = each.typed_config
        if isinstance(config, ProxyProtocol):
            compiled.append(ProxyProtocolSnapshot(config, registry))
        elif isinstance(config, HttpInspector):
            compiled.append(HttpInspectorSnapshot(registry))
        elif isinstance(config, OriginalDst):
            compiled.append(InspectionSnapshot(ORIGINAL_DST))
        elif isinstance(config, TlsInspector):
            compiled.append(TlsInspectorSnapshot(config, registry))
    if needs_client_hello and not any(each.kind == TLS_INSPECTOR for each in compiled):
        compiled.append(TlsInspectorSnapshot(TlsInspector(), registry))
    if hands_over and not any(each.kind == ORIGINAL_DST for each in compiled):
        compiled.append(InspectionSnapshot(ORIGINAL_DST))
    return compiled
