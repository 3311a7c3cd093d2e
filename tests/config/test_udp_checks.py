"""What is wrong with listeners for datagrams, and with those that would be some."""

import json
from typing import Any

import pytest

from proxyd.config.load import ConfigErrors, load_text
from proxyd.config.sources import Text

UDP = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3"
INSPECTOR = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
ECHO = "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"
CHAINS = [{"filters": [{"name": "echo", "typed_config": {"@type": ECHO}}]}]
PLACE = "static_resources.listeners[0]"


def address(port: int = 1, protocol: str = "UDP") -> dict[str, Any]:
    return {"socket_address": {"protocol": protocol, "address": "127.0.0.1", "port_value": port}}


def proxy(**fields: Any) -> dict[str, Any]:
    config = {"@type": f"{UDP}.UdpProxyConfig", "stat_prefix": "x", "cluster": "c", **fields}
    return {
        "name": "proxy",
        "typed_config": {key: value for key, value in config.items() if value is not None},
    }


def listener(*filters: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": "l", "address": address(), "listener_filters": list(filters or [proxy()]), **fields}


def mistakes(*listeners: dict[str, Any], **more: Any) -> list[str]:
    try:
        load_text(Text("text", json.dumps({"static_resources": {"listeners": listeners}, **more})))
    except ConfigErrors as errors:
        return [f"{each.path.removeprefix(PLACE)}: {each.message}" for each in errors.mistakes]
    return []


MATCHER = {
    "on_no_match": {"action": {"name": "r", "typed_config": {"@type": f"{UDP}.Route", "cluster": "c"}}}
}
SIZE = {"downstream_socket_config": {"max_rx_datagram_size": 65535}}
TCP = {"address": address(1, "TCP"), "filter_chains": CHAINS, "listener_filters": []}


@pytest.mark.parametrize(
    "good",
    [
        listener(),
        listener(proxy(cluster=None, matcher=MATCHER)),
        listener(proxy(hash_policies=[{"source_ip": True}], idle_timeout="0.5s")),
        listener(udp_listener_config=SIZE, additional_addresses=[{"address": address(2)}]),
        listener(enable_reuse_port=False),
    ],
)
def test_good_listeners(good: dict[str, Any]) -> None:
    assert mistakes(good) == []


_FILTER = ".listener_filters[0].typed_config"


@pytest.mark.parametrize(
    ("bad", "mistake"),
    [
        (listener(filter_chains=CHAINS), ".filter_chains: has no effect: datagrams make no connections"),
        (listener(use_original_dst=True), ".use_original_dst: has no effect: datagrams make no connections"),
        (listener(tcp_backlog_size=1), ".tcp_backlog_size: has no effect: datagrams make no connections"),
        (listener(listener_filters=[]), ": a UDP listener needs one listener filter"),
        (
            listener({"name": "t", "typed_config": {"@type": INSPECTOR}}),
            ".listener_filters[0]: t is not for UDP listeners",
        ),
        (listener(proxy(), proxy()), ".listener_filters[1]: a UDP listener needs one listener filter"),
        (
            listener(additional_addresses=[{"address": address(2, "TCP")}]),
            ".additional_addresses[0].address: the listener's first address has the protocol UDP",
        ),
        (
            listener(**TCP | {"listener_filters": [proxy()]}),
            ".listener_filters[0]: proxy is for UDP listeners",
        ),
        (
            listener(**TCP, udp_listener_config=SIZE),
            ".udp_listener_config: has no effect: the address has the protocol TCP",
        ),
        (
            listener(**TCP, additional_addresses=[{"address": address(2)}]),
            ".additional_addresses[0].address.socket_address.protocol: the listener's first address has the",
        ),
        (listener(proxy(cluster=None)), f"{_FILTER}: one of cluster, matcher is required"),
        (listener(proxy(matcher=MATCHER)), f"{_FILTER}: only one of cluster and matcher can be set"),
        (listener(proxy(idle_timeout="0s")), f"{_FILTER}.idle_timeout: must be more than 0"),
        (
            listener(proxy(hash_policies=[{"source_ip": False}])),
            f"{_FILTER}.hash_policies[0].source_ip: can only be true",
        ),
        (
            listener(proxy(hash_policies=[{"source_ip": True}, {"key": "k"}])),
            f"{_FILTER}.hash_policies: must not be longer than 1, is 2",
        ),
        (
            listener(proxy(upstream_socket_config={"max_rx_datagram_size": 65536})),
            f"{_FILTER}.upstream_socket_config.max_rx_datagram_size: must be at least 1 and at most 65535",
        ),
        (
            listener(proxy(upstream_socket_config={"prefer_gro": True})),
            f"{_FILTER}.upstream_socket_config.prefer_gro: not supported by proxyd",
        ),
        (listener(proxy(access_log=[{"name": "x"}])), f"{_FILTER}.access_log: not supported by proxyd"),
        (
            listener(proxy(use_original_src_ip=True)),
            f"{_FILTER}.use_original_src_ip: not supported by proxyd",
        ),
        (
            listener(proxy(cluster=None, matcher={**MATCHER, "matcher_tree": {"input": {}}})),
            f"{_FILTER}.matcher.matcher_tree: not supported by proxyd",
        ),
        (
            listener(udp_listener_config={"quic_options": {}}),
            ".udp_listener_config.quic_options: not supported by proxyd",
        ),
    ],
)
def test_bad_listeners(bad: dict[str, Any], mistake: str) -> None:
    found = mistakes(bad)
    assert len(found) == 1
    assert found[0].startswith(mistake)


def test_tcp_and_udp_have_ports_of_their_own() -> None:
    tcp = listener(**TCP | {"name": "t"})
    assert mistakes(listener(), tcp) == []
    (found,) = mistakes(listener(), {**listener(), "name": "m"})
    assert found.endswith("127.0.0.1:1 is already listened on by static_resources.listeners[0].address")


def test_the_admin_api_speaks_tcp() -> None:
    assert mistakes(admin={"address": address(3)}) == [
        "admin.address.socket_address.protocol: the admin API speaks TCP"
    ]
