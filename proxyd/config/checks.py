"""What no single field can tell: names that have to exist, and what may not stand twice.

The checks look at Structs and answer with field paths; ``load`` finds the place in the text. They run even
when fields have mistakes of their own: a blank where a name should be is no reason to complain again.
"""

import ipaddress
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from proxyd.config.access_log import AccessLog
from proxyd.config.bootstrap import Bootstrap
from proxyd.config.cluster_checks import check_cluster, check_pipe
from proxyd.config.core import PIPE, Address, CidrRange
from proxyd.config.direct_response import Config as DirectResponse
from proxyd.config.discovery import ConfigSource, PathConfigSource, WatchedDirectory
from proxyd.config.finding import Finding, messages
from proxyd.config.grpc_filters import FilterConfig as GrpcStats
from proxyd.config.http_connection_manager import HttpConnectionManager
from proxyd.config.http_filters import ROUTER, HttpFilter, Router
from proxyd.config.listener import Listener
from proxyd.config.listener_filters import OriginalDst
from proxyd.config.message import Message
from proxyd.config.mistakes import NOT_SUPPORTED, quote
from proxyd.config.network_filters import Echo
from proxyd.config.network_rbac import RBAC
from proxyd.config.rbac_permission import Permission
from proxyd.config.rbac_principal import Principal
from proxyd.config.route_checks import Names, check_routes
from proxyd.config.scalars import ipv4_mapped, is_ip
from proxyd.config.tcp_proxy import TcpProxy
from proxyd.config.tls_checks import chains, check_block, check_filter_chains, check_tls
from proxyd.config.udp_checks import check_no_udp, check_udp_listener
from proxyd.system import native

# The network filters that have a connection to themselves.
_LAST: Final = (HttpConnectionManager, TcpProxy, Echo, DirectResponse)

_ANYWHERE: Final = ipaddress.IPv6Address("::")


def check(bootstrap: Bootstrap) -> Iterator[Finding]:
    """Everything that is wrong with the whole."""
    resources = bootstrap.static_resources
    dynamic = bootstrap.dynamic_resources
    yield from _runtime(bootstrap)
    yield from _addresses(bootstrap)
    if dynamic is not None:
        yield from check_sources("dynamic_resources", dynamic)
    if bootstrap.admin is not None:
        yield from _access_logs("admin.access_log", bootstrap.admin.access_log)
    yield from _unique("static_resources.listeners", "listener", [each.name for each in resources.listeners])
    yield from _unique("static_resources.clusters", "cluster", [each.name for each in resources.clusters])
    for index, cluster in enumerate(resources.clusters):
        path = f"static_resources.clusters[{index}]"
        yield from check_cluster(path, cluster)
        yield from check_sources(path, cluster)
    yield from _unique("static_resources.secrets", "secret", [each.name for each in resources.secrets])
    secrets = {secret.name: secret for secret in resources.secrets}
    yield from check_tls("static_resources", resources, secrets)
    names = dict.fromkeys(cluster.name for cluster in resources.clusters)
    later = dynamic is not None and dynamic.cds_config is not None
    for index, listener in enumerate(resources.listeners):
        path = f"static_resources.listeners[{index}]"
        yield from check_listener(path, listener, names, later)
        yield from check_sources(path, listener)


def _unique(path: str, what: str, names: list[str]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name and first.setdefault(name, index) != index:
            yield Finding(
                f"{path}[{index}].name", f"duplicate {what} {quote(name)}: {path}[{first[name]}] has it"
            )


def _runtime(bootstrap: Bootstrap) -> Iterator[Finding]:
    layers = bootstrap.layered_runtime.layers if bootstrap.layered_runtime else ()
    yield from _unique("layered_runtime.layers", "layer", [layer.name for layer in layers])
    writable = [index for index, layer in enumerate(layers) if layer.admin_layer is not None]
    for index in writable[1:]:
        yield Finding(f"layered_runtime.layers[{index}].admin_layer", "only one layer can be an admin_layer")


def _addresses(bootstrap: Bootstrap) -> Iterator[Finding]:
    """Listening addresses are IPs, each used once; a wildcard beside an address is no conflict."""
    places = []
    if bootstrap.admin is not None and bootstrap.admin.address is not None:
        if bootstrap.admin.address.pipe is not None:
            yield Finding("admin.address.pipe", NOT_SUPPORTED)
        if bootstrap.admin.address.udp:
            yield Finding("admin.address.socket_address.protocol", "the admin API speaks TCP")
        if bootstrap.admin.address.ipv4_compat:
            yield Finding("admin.address.socket_address.ipv4_compat", NOT_SUPPORTED)
        places.append(("admin.address", bootstrap.admin.address))
    for index, listener in enumerate(bootstrap.static_resources.listeners):
        places += addresses(f"static_resources.listeners[{index}].", listener)
    yield from check_addresses(places)


def addresses(path: str, listener: Listener) -> list[tuple[str, Address]]:
    """The addresses of a listener, each with its field path behind ``path``."""
    places = [(f"{path}address", listener.address)]
    for number, additional in enumerate(listener.additional_addresses):
        places.append((f"{path}additional_addresses[{number}].address", additional.address))
    return places


def check_addresses(places: Iterable[tuple[str, Address]]) -> Iterator[Finding]:
    """Whether each is an IP address and none is there twice."""
    taken: dict[tuple[object, int, bool], str] = {}
    for path, address in places:
        pipe = address.pipe
        if pipe is not None:
            yield from check_pipe(f"{path}.pipe", pipe)
            at = (pipe.path, PIPE, False)
            if taken.setdefault(at, path) != path:
                yield Finding(f"{path}.pipe", f"{quote(pipe.path)} is already listened on by {taken[at]}")
            continue
        socket = address.socket_address
        if socket is None:
            continue  # told by the loader
        if not is_ip(socket.address):
            if socket.address:
                yield Finding(
                    f"{path}.socket_address.address", f"{quote(socket.address)} is not an IP address"
                )
            continue
        ip = ipaddress.ip_address(socket.address)
        if socket.ipv4_compat and ip != _ANYWHERE and ipv4_mapped(socket.address) is None:
            yield Finding(
                f"{path}.socket_address.ipv4_compat", "only :: and IPv4-mapped IPv6 addresses can set it"
            )
        key = (ip, socket.port_value, address.udp)
        if socket.port_value and taken.setdefault(key, path) != path:
            where = f"{socket.address}:{socket.port_value}"
            yield Finding(f"{path}.socket_address", f"{where} is already listened on by {taken[key]}")


def check_sources(path: str, root: Message) -> Iterator[Finding]:
    """As in Envoy, the file of a config source has to be there when it is named, and so has its directory."""
    for place, message in messages(root, path):
        if isinstance(message, PathConfigSource):
            yield from _there(f"{place}.path", message.path)
        elif isinstance(message, WatchedDirectory):
            yield from _there(f"{place}.path", message.path, os.path.isdir)
        elif isinstance(message, ConfigSource) and message.path is not None:
            yield from _there(f"{place}.path", message.path)


def _there(path: str, name: str, exists: Callable[[str], bool] = os.path.exists) -> Iterator[Finding]:
    if name and ("\0" in name or not exists(name)):
        what = "directory" if exists is os.path.isdir else "file"
        yield Finding(
            path, f"there is no {what} {quote(name)} (relative paths start at {quote(os.getcwd())})"
        )


def check_listener(path: str, listener: Listener, clusters: Names, later: bool = False) -> Iterator[Finding]:
    """Everything that is wrong with one listener; ``later``: more clusters than those will come."""
    if listener.address.udp:
        yield from check_udp_listener(path, listener)
        return
    yield from check_no_udp(path, listener)
    if not listener.filter_chains and listener.default_filter_chain is None:
        yield Finding(path, "a listener needs a filter chain")
    if not native.knows_original_destinations():
        yield from _original_dst(path, listener)
    yield from check_filter_chains(path, listener)
    yield from _access_logs(f"{path}.access_log", listener.access_log)
    for place, chain in chains(path, listener):
        filters = f"{place}.filters"
        if not chain.filters:
            yield Finding(filters, f"a filter chain without filters is {NOT_SUPPORTED}")
        for number, each in enumerate(chain.filters):
            config = each.typed_config
            last = number == len(chain.filters) - 1
            if not last and isinstance(config, _LAST):
                yield Finding(f"{filters}[{number}]", f"{each.name} has to be the last filter")
            elif last and not isinstance(config, _LAST):
                yield Finding(f"{filters}[{number}]", f"{each.name} cannot be the last filter")
            if isinstance(config, TcpProxy):
                yield from _tcp_proxy(f"{filters}[{number}].typed_config", config)
            elif isinstance(config, RBAC):
                yield from _rbac(f"{filters}[{number}].typed_config", config)
            elif isinstance(config, HttpConnectionManager):
                yield from _manager(f"{filters}[{number}].typed_config", config, clusters, later)


def _original_dst(path: str, listener: Listener) -> Iterator[Finding]:
    """What only some systems can do."""
    places = [f"{path}.use_original_dst"] if listener.use_original_dst else []
    for number, each in enumerate(listener.listener_filters):
        if isinstance(each.typed_config, OriginalDst):
            places.append(f"{path}.listener_filters[{number}]")
    for place in places:
        yield Finding(place, "is for Linux: this system does not tell where a connection was meant to go")


def _rbac(path: str, rbac: RBAC) -> Iterator[Finding]:
    for place, message in messages(rbac, path):
        if isinstance(message, (Permission, Principal)) and message.any is False:
            yield Finding(f"{place}.any", "can only be true")
        elif isinstance(message, CidrRange):
            yield from check_block(place, message)


def _tcp_proxy(path: str, proxy: TcpProxy) -> Iterator[Finding]:
    """As in Envoy a cluster may be unknown: a connection finds out."""
    yield from _access_logs(f"{path}.access_log", proxy.access_log)
    backoff = proxy.backoff_options
    most = None if backoff is None else backoff.max_interval
    if backoff is not None and most is not None and most < backoff.base_interval:
        yield Finding(f"{path}.backoff_options.max_interval", "must not be less than base_interval")


def _manager(path: str, manager: HttpConnectionManager, clusters: Names, later: bool) -> Iterator[Finding]:
    yield from _http_filters(f"{path}.http_filters", manager.http_filters)
    for index, upgrade in enumerate(manager.upgrade_configs):
        if upgrade.filters:
            yield from _http_filters(f"{path}.upgrade_configs[{index}].filters", upgrade.filters)
    common = manager.common_http_protocol_options
    if common is not None and common.max_response_headers_kb is not None:
        yield Finding(
            f"{path}.common_http_protocol_options.max_response_headers_kb", "is for the responses of clusters"
        )
    http1 = manager.http_protocol_options
    if http1 is not None and http1.allow_chunked_length:
        yield Finding(f"{path}.http_protocol_options.allow_chunked_length", f"true is {NOT_SUPPORTED}")
    if manager.strip_matching_host_port and manager.strip_any_host_port:
        yield Finding(f"{path}.strip_matching_host_port", "only one of it and strip_any_host_port can be set")
    internal = manager.internal_address_config
    for index, block in enumerate(internal.cidr_ranges if internal is not None else ()):
        yield from check_block(f"{path}.internal_address_config.cidr_ranges[{index}]", block)
    yield from _access_logs(f"{path}.access_log", manager.access_log)
    if manager.route_config is not None:
        yield from check_routes(f"{path}.route_config", manager.route_config, clusters, later)


def _http_filters(path: str, filters: tuple[HttpFilter, ...]) -> Iterator[Finding]:
    if not filters or not isinstance(filters[-1].typed_config, Router):
        yield Finding(path, f"the last filter has to be {ROUTER}")
    elif filters[-1].disabled:
        yield Finding(f"{path}[{len(filters) - 1}].disabled", "the last filter cannot be disabled")
    for index, each in enumerate(filters[:-1]):
        if isinstance(each.typed_config, Router):
            yield Finding(f"{path}[{index}]", f"{ROUTER} has to be the last filter")
        elif isinstance(each.typed_config, GrpcStats) and each.typed_config.emit_filter_state:
            place = f"{path}[{index}].typed_config.emit_filter_state"
            yield Finding(place, f"true is {NOT_SUPPORTED}")


def _access_logs(path: str, logs: tuple[AccessLog, ...]) -> Iterator[Finding]:
    for index, log in enumerate(logs):
        log_format = log.typed_config.log_format
        if log_format is None or log_format.text_format_source is None:
            continue
        try:
            log_format.text_format_source.contents.decode()
        except UnicodeDecodeError:
            yield Finding(f"{path}[{index}].typed_config.log_format.text_format_source", "not UTF-8")
