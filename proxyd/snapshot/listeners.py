"""Listeners in their compiled form: their filter chains, and how one is chosen."""

import ipaddress
from typing import Final

from proxyd.config.core import PIPE, Address, Node
from proxyd.config.direct_response import Config as DirectResponse
from proxyd.config.http_connection_manager import HttpConnectionManager
from proxyd.config.listener import FilterChain, Listener
from proxyd.config.network_filters import Echo
from proxyd.config.scalars import ipv4_mapped
from proxyd.config.tcp_proxy import TcpProxy
from proxyd.config.tls import DownstreamTlsContext
from proxyd.config.udp_proxy import UdpProxyConfig
from proxyd.snapshot.clusters import BUFFER_LIMIT
from proxyd.snapshot.filter_chains import ConnectionFacts, FilterChainIndex
from proxyd.snapshot.http_connection_manager import (
    AccessLogSnapshot,
    ConnectionManagerSnapshot,
    compile_access_logs,
)
from proxyd.snapshot.inspections import compile_inspections
from proxyd.snapshot.limit_names import filter_limit_names
from proxyd.snapshot.network_filters import (
    DirectResponseSnapshot,
    NetworkFilterSnapshot,
    compile_network_filter,
)
from proxyd.snapshot.runtime import Runtime
from proxyd.snapshot.tcp_proxy import TcpProxySnapshot
from proxyd.snapshot.tls import SecretNotReadyError, ServerTls, TlsSettings
from proxyd.snapshot.udp_proxy import UdpProxySnapshot
from proxyd.stats.metrics import Registry
from proxyd.stats.scopes import ListenerStats
from proxyd.stats.tls_scopes import LISTENER, TlsStats

LISTENER_FILTERS_TIMEOUT_S: Final = 15.0  # Envoy's default
_CONNECTION_LIMIT: Final = "envoy.resource_limits.listener.{}.connection_limit"


# What the last filter of a chain is.
Terminal = ConnectionManagerSnapshot | TcpProxySnapshot | DirectResponseSnapshot


class FilterChainSnapshot:
    """One compiled filter chain. ``tls`` is None where clients speak over bare TCP."""

    def __init__(
        self,
        config: FilterChain,
        terminal: Terminal,
        filters: list[NetworkFilterSnapshot],
        tls: ServerTls | None,
        waits: TlsStats | None,
    ) -> None:
        self.written: Final = config
        self.name: Final = config.name
        self.terminal: Final = terminal  # the last filter, which has the connection to itself
        self.filters: Final = filters  # in front of it
        self.tls: Final = tls
        self.waits: Final = waits  # for a secret: until it is there, connections are counted and closed
        self.handshake_timeout: Final[float] = config.transport_socket_connect_timeout or 0.0  # 0.0: none


class ListenerSnapshot:
    """One compiled listener."""

    def __init__(
        self,
        config: Listener,
        registry: Registry,
        worker: int,
        runtime: Runtime,
        node: Node | None,
        settings: TlsSettings | None = None,
        key: str = "",
    ) -> None:
        """Raises RouterError, FormatError, RegexError, TlsError, DuplicateMatchError."""
        self.written: Final = config
        self.key: Final[str] = key or config.name  # by which it is known again
        host, port = config.address.host, config.address.port
        if ":" in host and port != PIPE:
            host = f"[{host}]"
        self.address: Final[str] = host if port == PIPE else f"{host}:{port}"
        self.name: Final = config.name or self.address
        # Those who are redirected are handed over to whose address it is.
        self.hands_over: Final[bool] = config.use_original_dst is True
        places = [
            each
            for each in (config.address, *(more.address for more in config.additional_addresses))
            if each.pipe is None
        ]
        self.addresses: Final[list[tuple[str, int]]] = [(_ip(each), each.port) for each in places]
        # Those that come along unless they are another listener's own.
        self.ipv4_addresses: Final[list[tuple[str, int]]] = [
            ("0.0.0.0", each.port) for each in places if each.ipv4_compat and each.port and _ip(each) == "::"
        ]
        stat_address = config.stat_prefix or self.address
        self.stats: Final = ListenerStats(registry, self.address, config.stat_prefix, worker)
        limit = config.per_connection_buffer_limit_bytes
        self.buffer_limit: Final[int] = BUFFER_LIMIT if limit is None else limit
        # -1 for none. It is all workers' together, and nothing can name a listener without a name.
        self.connection_limit: Final[int] = (
            _whole_number(runtime, _CONNECTION_LIMIT.format(config.name)) if config.name else -1
        )
        self.access_logs: Final[list[AccessLogSnapshot]] = compile_access_logs(config.access_log, runtime)
        self._index: Final = FilterChainIndex([chain.filter_chain_match for chain in config.filter_chains])
        chains = [*config.filter_chains]
        if config.default_filter_chain is not None:
            chains.append(config.default_filter_chain)
        self._default: Final = len(config.filter_chains) if config.default_filter_chain is not None else -1
        self.chains: Final[list[FilterChainSnapshot]] = []
        tls_stats: TlsStats | None = None
        for chain in chains:
            socket = chain.transport_socket
            tls: ServerTls | None = None
            waits: TlsStats | None = None
            if socket is not None and isinstance(socket.typed_config, DownstreamTlsContext):
                if tls_stats is None:
                    tls_stats = TlsStats(registry, LISTENER, stat_address)
                try:
                    tls = ServerTls(socket.typed_config, settings or TlsSettings({}), tls_stats)
                except SecretNotReadyError:
                    waits = tls_stats
            terminal = self._terminal(chain, stat_address, registry, runtime, node, tls is not None)
            limited = filter_limit_names(self.key, chain)
            filters = [
                compile_network_filter(each.typed_config, registry, runtime, limited.get(position, ""))
                for position, each in enumerate(chain.filters[:-1])
            ]
            self.chains.append(FilterChainSnapshot(chain, terminal, filters, tls, waits))
        self.udp: Final[UdpProxySnapshot | None] = _udp_proxy(config, stat_address, registry)
        self.inspections: Final = compile_inspections(
            config.listener_filters, self._index.needs_client_hello, self.hands_over, registry
        )
        self.inspects: Final[bool] = bool(self.inspections)
        timeout = config.listener_filters_timeout
        self.filters_timeout: Final[float] = LISTENER_FILTERS_TIMEOUT_S if timeout is None else timeout
        self.continue_on_timeout: Final[bool] = config.continue_on_listener_filters_timeout

    def _terminal(
        self,
        chain: FilterChain,
        stat_address: str,
        registry: Registry,
        runtime: Runtime,
        node: Node | None,
        tls: bool,
    ) -> Terminal:
        last = chain.filters[-1].typed_config
        if isinstance(last, HttpConnectionManager):
            manager = ConnectionManagerSnapshot(
                last, stat_address, self.buffer_limit, registry, runtime, node, tls
            )
            manager.connection.filter_chain_name = chain.name
            return manager
        if isinstance(last, TcpProxy):
            return TcpProxySnapshot(last, registry, runtime, self.buffer_limit, chain.name, tls)
        assert isinstance(last, (Echo, DirectResponse)), "the loader lets no other filter be the last"
        return DirectResponseSnapshot(last, self.buffer_limit, chain.name, tls)

    @property
    def plain(self) -> bool:
        """Whether every connection goes over bare TCP through the same chain."""
        only = len(self.chains) == 1 and (self._index.single or self._default == 0)
        chain = self.chains[0] if only else None
        return chain is not None and not self.inspects and chain.tls is None and chain.waits is None

    def find(self, facts: ConnectionFacts) -> int:
        """The index of the chain for a connection, -1 where none is for it."""
        found = self._index.find(facts)
        return self._default if found < 0 else found


def _ip(address: Address) -> str:
    """In the form in which a connection's addresses are."""
    mapped = ipv4_mapped(address.host) if address.ipv4_compat else None
    return mapped or str(ipaddress.ip_address(address.host))


def _udp_proxy(config: Listener, stat_address: str, registry: Registry) -> UdpProxySnapshot | None:
    for each in config.listener_filters:
        if isinstance(each.typed_config, UdpProxyConfig):
            return UdpProxySnapshot(each.typed_config, config, stat_address, registry)
    return None


class RuntimeNumberError(ValueError):
    """A runtime value that should be a whole number and is none."""


def _whole_number(runtime: Runtime, key: str) -> int:
    """The number under ``key``, which text may stand for, or -1 where there is none."""
    value = runtime.get(key)
    if value is None:
        return -1
    if not isinstance(value, bool):
        text = f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)
        if text.isascii() and text.isdigit():
            return int(text)
    raise RuntimeNumberError(f"layered_runtime: {key} is {value!r}, not a whole number")
