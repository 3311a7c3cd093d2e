"""What the loader has against network filters, listener filters and Unix domain sockets."""

import pytest

from proxyd.config.load import ConfigErrors, load_text
from proxyd.config.sources import Text
from proxyd.system import native

_NETWORK = "type.googleapis.com/envoy.extensions.filters.network"
_LISTENER = "type.googleapis.com/envoy.extensions.filters.listener"
ECHO = f'{{name: echo, typed_config: {{"@type": {_NETWORK}.echo.v3.Echo}}}}'
SNI = f'{{name: sni, typed_config: {{"@type": {_NETWORK}.sni_cluster.v3.SniCluster}}}}'
ADDRESS = "{socket_address: {address: 127.0.0.1, port_value: 1}}"
HOSTS = "load_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: %s}}]}]}"


def tcp(fields: str) -> str:
    return f'{{name: tcp, typed_config: {{"@type": {_NETWORK}.tcp_proxy.v3.TcpProxy, {fields}}}}}'


def mistakes(listener: str = "", cluster: str = "") -> list[str]:
    """What is wrong with a listener's fields, or with a cluster's."""
    listeners = f"listeners: [{{name: l, address: {ADDRESS}, {listener}}}]" if listener else "listeners: []"
    clusters = f"clusters: [{{name: a, {cluster}}}]" if cluster else "clusters: []"
    text = f"static_resources: {{{listeners}, {clusters}}}"
    try:
        load_text(Text("t", text))
    except ConfigErrors as errors:
        return [f"{mistake.path.rpartition(']')[2]}: {mistake.message}" for mistake in errors.mistakes]
    return []


def filters(*parts: str) -> str:
    return f"filter_chains: [{{filters: [{', '.join(parts)}]}}]"


@pytest.mark.parametrize(
    ("listener", "expected"),
    [
        (filters(ECHO), []),
        (filters(SNI, tcp("stat_prefix: s, cluster: unknown")), []),  # as in Envoy, a connection finds out
        (filters(SNI), [": sni cannot be the last filter"]),
        (filters(ECHO, ECHO), [": echo has to be the last filter"]),
        (filters(tcp("stat_prefix: s")), [".typed_config: one of cluster, weighted_clusters is required"]),
        (
            filters(tcp("stat_prefix: s, cluster: a, tunneling_config: {hostname: x}")),
            [".typed_config.tunneling_config: not supported by proxyd"],
        ),
        (
            filters(tcp("stat_prefix: s, cluster: a, hash_policy: [{filter_state: {key: x}}]")),
            [".filter_state: not supported by proxyd"],
        ),
        (
            filters(tcp("stat_prefix: s, cluster: a, max_downstream_connection_duration: 0s")),
            [".typed_config.max_downstream_connection_duration: must be at least 0.001s, is 0s"],
        ),
        (
            filters(
                tcp("stat_prefix: s, cluster: a, backoff_options: {base_interval: 2s, max_interval: 1s}")
            ),
            [".typed_config.backoff_options.max_interval: must not be less than base_interval"],
        ),
    ],
)
def test_filters(listener, expected):
    assert mistakes(listener) == expected


def test_a_listener_filter_stands_once():
    def proxy(fields: str = "") -> str:
        return (
            f'{{name: p, typed_config: {{"@type": {_LISTENER}.proxy_protocol.v3.ProxyProtocol, {fields}}}}}'
        )

    once = f"{filters(ECHO)}, listener_filters: [{proxy()}]"
    assert mistakes(once) == []
    twice = f"{filters(ECHO)}, listener_filters: [{proxy()}, {proxy()}]"
    assert mistakes(twice) == [": the reader of the PROXY protocol is there already"]
    rules = f"{filters(ECHO)}, listener_filters: [{proxy('rules: [{tlv_type: 1}]')}]"
    assert mistakes(rules) == [".typed_config.rules: not supported by proxyd"]


def test_original_destinations_are_refused_where_nothing_tells_them(monkeypatch):
    original = f'{{name: o, typed_config: {{"@type": {_LISTENER}.original_dst.v3.OriginalDst}}}}'
    listener = f"{filters(ECHO)}, use_original_dst: true, listener_filters: [{original}]"
    monkeypatch.setattr(native, "knows_original_destinations", lambda: True)
    assert mistakes(listener) == []
    monkeypatch.setattr(native, "knows_original_destinations", lambda: False)
    assert mistakes(f"{filters(ECHO)}, use_original_dst: false, bind_to_port: false") == []
    why = "is for Linux: this system does not tell where a connection was meant to go"
    assert mistakes(listener) == [f".use_original_dst: {why}", f": {why}"]


@pytest.mark.skipif(not native.unix_sockets(), reason="a system without Unix domain sockets")
@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (HOSTS % "{pipe: {path: /run/app}}", []),
        (HOSTS % "{pipe: {path: '@app'}}", []),
        (
            HOSTS % f"{{pipe: {{path: /{'a' * 107}}}}}",
            [".endpoint.address.pipe.path: must have at most 107 bytes, and no NUL among them"],
        ),
        (
            "type: STRICT_DNS, " + HOSTS % "{pipe: {path: /run/app}}",
            [".endpoint.address.pipe: is for STATIC and EDS: STRICT_DNS resolves names"],
        ),
        (
            HOSTS % "{pipe: {path: /a}, socket_address: {address: 127.0.0.1, port_value: 1}}",
            [".endpoint.address: only one of pipe and socket_address can be set"],
        ),
        (HOSTS % "{}", [".endpoint.address: one of socket_address, pipe is required"]),
    ],
)
def test_hosts_at_unix_sockets(cluster, expected):
    assert mistakes(cluster=cluster) == expected


def test_unix_sockets_are_refused_where_there_are_none(monkeypatch):
    monkeypatch.setattr(native, "unix_sockets", lambda: False)
    why = "there are no Unix domain sockets on this system"
    assert mistakes(cluster=HOSTS % "{pipe: {path: /run/app}}") == [f".endpoint.address.pipe: {why}"]
    listener = f"{{name: l, address: {{pipe: {{path: /run/x}}}}, {filters(ECHO)}}}"
    with pytest.raises(ConfigErrors) as caught:
        load_text(Text("t", f"static_resources: {{listeners: [{listener}]}}"))
    assert [mistake.message for mistake in caught.value.mistakes] == [why]


@pytest.mark.skipif(not native.unix_sockets(), reason="a system without Unix domain sockets")
def test_two_listeners_cannot_have_one_path():
    one, two = (
        f"{{name: {name}, address: {{pipe: {{path: /run/x}}}}, {filters(ECHO)}}}" for name in ("one", "two")
    )
    with pytest.raises(ConfigErrors) as caught:
        load_text(Text("t", f"static_resources: {{listeners: [{one}, {two}]}}"))
    assert [mistake.message for mistake in caught.value.mistakes] == [
        '"/run/x" is already listened on by static_resources.listeners[0].address'
    ]


def test_the_admin_api_is_at_no_unix_socket():
    with pytest.raises(ConfigErrors) as caught:
        load_text(Text("t", "admin: {address: {pipe: {path: /run/x}}}"))
    assert "not supported by proxyd" in str(caught.value)
