"""What no single field of a cluster can tell."""

import math
from collections.abc import Iterator
from typing import Final

from proxyd.config.cluster import HTTP_OPTIONS_KEY, Cluster, ClusterLoadAssignment, DiscoveryType
from proxyd.config.core import Address, Http1ProtocolOptions, HttpProtocolOptions, Pipe
from proxyd.config.finding import Finding
from proxyd.config.load_balancing import (
    MAXIMUM_RING,
    MINIMUM_RING,
    LbPolicy,
    Maglev,
    MaglevLbConfig,
    RingHash,
    RingHashLbConfig,
)
from proxyd.config.message import Message
from proxyd.config.mistakes import NOT_SUPPORTED, did_you_mean, quote
from proxyd.config.scalars import ipv4_mapped, is_ip
from proxyd.config.tls import UpstreamTlsContext
from proxyd.system import native

_MOST_PATH: Final = 107  # bytes of sun_path, less the NUL at its end
_COMMON: Final = (
    "idle_timeout",
    "max_connection_duration",
    "max_headers_count",
    "max_response_headers_kb",
    "max_requests_per_connection",
)


def check_cluster(path: str, cluster: Cluster) -> Iterator[Finding]:
    """Everything that is wrong with one cluster."""
    yield from _http_options(path, cluster)
    yield from _load_balancing(path, cluster)
    yield from _rings(path, cluster)
    yield from _names(path, cluster)
    yield from _eds(path, cluster)
    yield from _original_dst(path, cluster)
    rate = cluster.dns_failure_refresh_rate
    if rate is not None and rate.max_interval is not None and rate.max_interval < rate.base_interval:
        yield Finding(f"{path}.dns_failure_refresh_rate.max_interval", "must not be less than base_interval")


def _http_options(path: str, cluster: Cluster) -> Iterator[Finding]:
    for key in cluster.typed_extension_protocol_options:
        if key != HTTP_OPTIONS_KEY:
            hint = did_you_mean(key, [HTTP_OPTIONS_KEY])
            yield Finding(f"{path}.typed_extension_protocol_options[{quote(key)}]", f"unknown options{hint}")
    options = cluster.typed_extension_protocol_options.get(HTTP_OPTIONS_KEY)
    if options is None:
        return
    place = f"{path}.typed_extension_protocol_options[{quote(HTTP_OPTIONS_KEY)}]"
    common = options.common_http_protocol_options
    if common is not None:
        yield from _only(f"{place}.common_http_protocol_options", common, HttpProtocolOptions(), _COMMON)
        if common.max_requests_per_connection is not None and cluster.max_requests_per_connection is not None:
            yield Finding(
                f"{path}.max_requests_per_connection",
                "only one of it and that of common_http_protocol_options can be set",
            )
    for name in ("explicit_http_config", "use_downstream_protocol_config", "auto_config"):
        chosen = getattr(options, name)
        if chosen is not None and chosen.http_protocol_options is not None:
            yield from _only(
                f"{place}.{name}.http_protocol_options",
                chosen.http_protocol_options,
                Http1ProtocolOptions(),
                ("enable_trailers", "header_key_format"),
            )
    socket = cluster.transport_socket
    if options.auto_config is not None and (
        socket is None or not isinstance(socket.typed_config, UpstreamTlsContext)
    ):
        yield Finding(
            f"{place}.auto_config", "needs a transport_socket with TLS, where the version is agreed on"
        )


def _only(path: str, options: Message, unset: Message, known: tuple[str, ...]) -> Iterator[Finding]:
    """Options that downstreams have, too, and of which only the ``known`` ones work for upstreams."""
    for name in options.__struct_fields__:
        if name not in known and getattr(options, name) != getattr(unset, name):
            yield Finding(f"{path}.{name}", f"of an upstream is {NOT_SUPPORTED}")


def _load_balancing(path: str, cluster: Cluster) -> Iterator[Finding]:
    policy = cluster.lb_policy
    if policy is LbPolicy.LOAD_BALANCING_POLICY_CONFIG and cluster.load_balancing_policy is None:
        yield Finding(f"{path}.lb_policy", "LOAD_BALANCING_POLICY_CONFIG needs load_balancing_policy")
    for name, config, of in (
        ("least_request_lb_config", cluster.least_request_lb_config, LbPolicy.LEAST_REQUEST),
        ("round_robin_lb_config", cluster.round_robin_lb_config, LbPolicy.ROUND_ROBIN),
        ("ring_hash_lb_config", cluster.ring_hash_lb_config, LbPolicy.RING_HASH),
        ("maglev_lb_config", cluster.maglev_lb_config, LbPolicy.MAGLEV),
        ("original_dst_lb_config", cluster.original_dst_lb_config, LbPolicy.CLUSTER_PROVIDED),
    ):
        if config is None:
            continue
        # Envoy lets options pass that it does not use.
        if cluster.load_balancing_policy is not None:
            yield Finding(
                f"{path}.{name}",
                "has no effect beside load_balancing_policy",
                (f"{path}.load_balancing_policy",),
            )
        elif policy is not of:
            yield Finding(
                f"{path}.{name}", f"has no effect: lb_policy is {policy.name}", (f"{path}.lb_policy",)
            )


def _rings(path: str, cluster: Cluster) -> Iterator[Finding]:
    """Sizes that RING_HASH and MAGLEV cannot have."""
    places: list[tuple[str, Message]] = []
    if cluster.ring_hash_lb_config is not None:
        places.append((f"{path}.ring_hash_lb_config", cluster.ring_hash_lb_config))
    if cluster.maglev_lb_config is not None:
        places.append((f"{path}.maglev_lb_config", cluster.maglev_lb_config))
    if cluster.load_balancing_policy is not None:
        for index, each in enumerate(cluster.load_balancing_policy.policies):
            place = f"{path}.load_balancing_policy.policies[{index}].typed_extension_config.typed_config"
            places.append((place, each.typed_extension_config.typed_config))
    for place, config in places:
        if isinstance(config, (RingHashLbConfig, RingHash)):
            least = MINIMUM_RING if config.minimum_ring_size is None else config.minimum_ring_size
            most = MAXIMUM_RING if config.maximum_ring_size is None else config.maximum_ring_size
            if least > most:
                yield Finding(place, f"minimum_ring_size ({least}) is more than maximum_ring_size ({most})")
        elif (
            isinstance(config, (MaglevLbConfig, Maglev))
            and config.table_size is not None
            and not _is_prime(config.table_size)
        ):
            yield Finding(f"{place}.table_size", "must be a prime number")


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def _eds(path: str, cluster: Cluster) -> Iterator[Finding]:
    read = (f"{path}.type", f"{path}.cluster_type", f"{path}.eds_cluster_config")
    eds = cluster.type is DiscoveryType.EDS
    if eds and cluster.eds_cluster_config is None:
        yield Finding(path, "EDS needs eds_cluster_config", read)
    elif eds and cluster.load_assignment is not None:
        yield Finding(
            f"{path}.load_assignment", "has no effect: the hosts are those of eds_cluster_config", read
        )
    elif not eds and cluster.eds_cluster_config is not None:
        yield Finding(f"{path}.eds_cluster_config", f"has no effect: type is {cluster.type.name}", read)


def _original_dst(path: str, cluster: Cluster) -> Iterator[Finding]:
    """A cluster without hosts of its own, whose load balancer comes with it."""
    read = (f"{path}.type", f"{path}.cluster_type", f"{path}.lb_policy")
    if cluster.type is not DiscoveryType.ORIGINAL_DST:
        if cluster.lb_policy is LbPolicy.CLUSTER_PROVIDED:
            yield Finding(f"{path}.lb_policy", "CLUSTER_PROVIDED is for ORIGINAL_DST", read)
        if cluster.cleanup_interval is not None:
            yield Finding(f"{path}.cleanup_interval", f"has no effect: type is {cluster.type.name}", read)
        return
    if cluster.lb_policy is not LbPolicy.CLUSTER_PROVIDED:
        place = path if cluster.lb_policy is LbPolicy.ROUND_ROBIN else f"{path}.lb_policy"
        yield Finding(place, "ORIGINAL_DST needs lb_policy CLUSTER_PROVIDED", read)
    for name in ("load_balancing_policy", "load_assignment"):
        if getattr(cluster, name) is not None:
            yield Finding(f"{path}.{name}", "has no effect: type is ORIGINAL_DST", read)
    options = cluster.original_dst_lb_config
    if options is not None and options.http_header_name and not options.use_http_header:
        yield Finding(f"{path}.original_dst_lb_config.http_header_name", "needs use_http_header")


def check_pipe(path: str, pipe: Pipe) -> Iterator[Finding]:
    """What the system can have against a Unix domain socket."""
    if not native.unix_sockets():
        yield Finding(path, "there are no Unix domain sockets on this system")
    elif len(pipe.path.encode()) > _MOST_PATH or "\0" in pipe.path:
        yield Finding(f"{path}.path", f"must have at most {_MOST_PATH} bytes, and no NUL among them")


def check_assignment(path: str, assignment: ClusterLoadAssignment) -> Iterator[Finding]:
    """Hosts that nobody resolves are IP addresses; ``path`` is the assignment's."""
    for locality, group in enumerate(assignment.endpoints):
        for index, host in enumerate(group.lb_endpoints):
            pipe = host.endpoint.address.pipe
            if pipe is not None:
                where = f"{path}.endpoints[{locality}].lb_endpoints[{index}].endpoint.address.pipe"
                yield from check_pipe(where, pipe)
                continue
            yield from _no_ipv4_compat(
                f"{path}.endpoints[{locality}].lb_endpoints[{index}].endpoint.address", host.endpoint.address
            )
            address = host.endpoint.address.host
            if address and not is_ip(address):
                yield Finding(
                    f"{path}.endpoints[{locality}].lb_endpoints[{index}].endpoint.address.socket_address.address",
                    f"{quote(address)} is not an IP address: STATIC needs one, STRICT_DNS resolves names",
                )


def _no_ipv4_compat(path: str, address: Address) -> Iterator[Finding]:
    """Of hosts it is for those that have an IPv4-mapped address, which are connected to in any case."""
    if address.ipv4_compat and ipv4_mapped(address.host) is None:
        yield Finding(
            f"{path}.socket_address.ipv4_compat", "of hosts only IPv4-mapped IPv6 addresses can set it"
        )


def _names(path: str, cluster: Cluster) -> Iterator[Finding]:
    """STATIC hosts are IP addresses, and a LOGICAL_DNS cluster has one name."""
    read = (f"{path}.type", f"{path}.cluster_type")
    groups = cluster.load_assignment.endpoints if cluster.load_assignment is not None else ()
    if cluster.type is DiscoveryType.LOGICAL_DNS and [len(group.lb_endpoints) for group in groups] != [1]:
        yield Finding(
            path if cluster.load_assignment is None else f"{path}.load_assignment",
            "LOGICAL_DNS needs a single endpoint",
            (*read, f"{path}.load_assignment"),
        )
    if cluster.type in (DiscoveryType.STRICT_DNS, DiscoveryType.LOGICAL_DNS):
        for locality, group in enumerate(groups):
            for index, host in enumerate(group.lb_endpoints):
                if host.endpoint.address.pipe is not None:
                    yield Finding(
                        f"{path}.load_assignment.endpoints[{locality}].lb_endpoints[{index}].endpoint.address.pipe",
                        f"is for STATIC and EDS: {cluster.type.name} resolves names",
                        read,
                    )
                yield from _no_ipv4_compat(
                    f"{path}.load_assignment.endpoints[{locality}].lb_endpoints[{index}].endpoint.address",
                    host.endpoint.address,
                )
    if cluster.type is DiscoveryType.STATIC and cluster.load_assignment is not None:
        for finding in check_assignment(f"{path}.load_assignment", cluster.load_assignment):
            yield finding._replace(rests_on=read)
