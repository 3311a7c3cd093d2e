"""What no single field of a UDP listener can tell."""

from collections.abc import Iterator
from typing import Final

from proxyd.config.finding import Finding
from proxyd.config.listener import Listener
from proxyd.config.udp_proxy import UdpProxyConfig

# What only connections have.
_OF_CONNECTIONS: Final = (
    "filter_chains",
    "default_filter_chain",
    "per_connection_buffer_limit_bytes",
    "listener_filters_timeout",
    "continue_on_listener_filters_timeout",
    "tcp_backlog_size",
    "access_log",
    "use_original_dst",
    "bind_to_port",
)


def check_udp_listener(path: str, listener: Listener) -> Iterator[Finding]:
    """Everything that is wrong with a listener for datagrams."""
    unset = Listener(address=listener.address)
    for name in _OF_CONNECTIONS:
        if getattr(listener, name) != getattr(unset, name):
            yield Finding(f"{path}.{name}", "has no effect: datagrams make no connections")
    for number, more in enumerate(listener.additional_addresses):
        if not more.address.udp:
            place = f"{path}.additional_addresses[{number}].address"
            yield Finding(place, "the listener's first address has the protocol UDP")
    filters = listener.listener_filters
    if len(filters) != 1:
        place = f"{path}.listener_filters[1]" if filters else path
        yield Finding(place, "a UDP listener needs one listener filter", (f"{path}.listener_filters",))
    for number, each in enumerate(filters):
        config = each.typed_config
        place = f"{path}.listener_filters[{number}]"
        if not isinstance(config, UdpProxyConfig):
            yield Finding(place, f"{each.name} is not for UDP listeners")
            continue
        for index, policy in enumerate(config.hash_policies):
            if policy.source_ip is False:
                yield Finding(f"{place}.typed_config.hash_policies[{index}].source_ip", "can only be true")


def check_no_udp(path: str, listener: Listener) -> Iterator[Finding]:
    """What a listener for connections cannot have."""
    if listener.udp_listener_config is not None:
        yield Finding(f"{path}.udp_listener_config", "has no effect: the address has the protocol TCP")
    for number, more in enumerate(listener.additional_addresses):
        if more.address.udp:
            place = f"{path}.additional_addresses[{number}].address.socket_address.protocol"
            yield Finding(place, "the listener's first address has the protocol TCP")
    for number, each in enumerate(listener.listener_filters):
        if isinstance(each.typed_config, UdpProxyConfig):
            yield Finding(f"{path}.listener_filters[{number}]", f"{each.name} is for UDP listeners")
