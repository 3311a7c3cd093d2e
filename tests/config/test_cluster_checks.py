import json
from typing import Any

import pytest

from proxyd.config.load import ConfigErrors, load_text
from proxyd.config.sources import Text

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
LEAST_REQUEST = "type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest"
PLACE = "static_resources.clusters[0]"


def host(address: str = "10.0.0.1", **more: Any) -> dict[str, Any]:
    return {"endpoint": {"address": {"socket_address": {"address": address, "port_value": 80}}}, **more}


def hosts(*groups: list[dict[str, Any]]) -> dict[str, Any]:
    return {"cluster_name": "c", "endpoints": [{"lb_endpoints": group} for group in groups]}


def http_options(**fields: Any) -> dict[str, Any]:
    config = {
        "@type": f"type.googleapis.com/{OPTIONS}",
        "explicit_http_config": {"http_protocol_options": {}},
    }
    return {"typed_extension_protocol_options": {OPTIONS: {**config, **fields}}}


def policy(**fields: Any) -> dict[str, Any]:
    config = {"name": "x", "typed_config": {"@type": LEAST_REQUEST, **fields}}
    return {"policies": [{"typed_extension_config": config}]}


def original_dst(**fields: Any) -> dict[str, Any]:
    return {"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", **fields}


def mistakes(**cluster: Any) -> list[str]:
    """What is wrong, each without its place in the text."""
    try:
        load_text(Text("text", json.dumps({"static_resources": {"clusters": [{"name": "c", **cluster}]}})))
    except ConfigErrors as errors:
        return [f"{each.path.removeprefix(PLACE + '.')}: {each.message}" for each in errors.mistakes]
    return []


@pytest.mark.parametrize(
    "cluster",
    [
        {"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"choice_count": 2}},
        {
            "lb_policy": "LEAST_REQUEST",
            "least_request_lb_config": {"active_request_bias": {"default_value": 1, "runtime_key": "a"}},
        },
        {"lb_policy": "ROUND_ROBIN", "round_robin_lb_config": {}},
        {"lb_policy": "LOAD_BALANCING_POLICY_CONFIG", "load_balancing_policy": policy(choice_count=4)},
        {"lb_policy": "RANDOM", "load_assignment": hosts([host(load_balancing_weight=0xFFFFFFFF)])},
        {"type": "LOGICAL_DNS", "load_assignment": hosts([host("name.test")])},
        {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 5, "maximum_ring_size": 5}},
        {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 5000011}},
        {"type": "STRICT_DNS", "dns_failure_refresh_rate": {"base_interval": "2s", "max_interval": "2s"}},
        http_options(common_http_protocol_options={"max_response_headers_kb": 8192, "max_headers_count": 1}),
        {"max_requests_per_connection": 3, **http_options()},
        {"upstream_connection_options": {"tcp_keepalive": {}}},
        original_dst(),
        original_dst(original_dst_lb_config={"use_http_header": True, "http_header_name": "x-where"}),
        original_dst(original_dst_lb_config={"upstream_port_override": 0}, cleanup_interval="1s"),
    ],
)
def test_good_clusters(cluster: dict[str, Any]) -> None:
    assert mistakes(**cluster) == []


_OPTIONS = f'typed_extension_protocol_options["{OPTIONS}"]'
_REFUSED = "is not supported by proxyd"


@pytest.mark.parametrize(
    ("cluster", "mistake"),
    [
        (
            {"least_request_lb_config": {}},
            "least_request_lb_config: has no effect: lb_policy is ROUND_ROBIN",
        ),
        (
            {"lb_policy": "RANDOM", "round_robin_lb_config": {}},
            "round_robin_lb_config: has no effect: lb_policy is RANDOM",
        ),
        (
            {"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {}, "load_balancing_policy": policy()},
            "least_request_lb_config: has no effect beside load_balancing_policy",
        ),
        (
            {"lb_policy": "LOAD_BALANCING_POLICY_CONFIG"},
            "lb_policy: LOAD_BALANCING_POLICY_CONFIG needs load_balancing_policy",
        ),
        ({"load_balancing_policy": {"policies": []}}, "load_balancing_policy.policies: must not be empty"),
        (
            {"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"choice_count": 1}},
            "least_request_lb_config.choice_count: must be at least 2 ",
        ),
        (
            {
                "lb_policy": "LEAST_REQUEST",
                "least_request_lb_config": {"active_request_bias": {"default_value": -0.5}},
            },
            "least_request_lb_config.active_request_bias.default_value: must not be negative, is -0.5",
        ),
        (
            {
                "lb_policy": "LEAST_REQUEST",
                "least_request_lb_config": {"active_request_bias": {"default_value": "many"}},
            },
            'least_request_lb_config.active_request_bias.default_value: expected a number, got "many"',
        ),
        (
            {"maglev_lb_config": {"table_size": 7}},
            "maglev_lb_config: has no effect: lb_policy is ROUND_ROBIN",
        ),
        (
            {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"maximum_ring_size": 1000}},
            "ring_hash_lb_config: minimum_ring_size (1024) is more than maximum_ring_size (1000)",
        ),
        (
            {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 8388609}},
            "ring_hash_lb_config.minimum_ring_size: must be at least 1 and at most 8388608",
        ),
        (
            {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"hash_function": "MURMUR_HASH_2"}},
            "ring_hash_lb_config.hash_function: MURMUR_HASH_2 is not supported by proxyd",
        ),
        (
            {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": 65536}},
            "maglev_lb_config.table_size: must be a prime number",
        ),
        ({"type": "LOGICAL_DNS"}, ": LOGICAL_DNS needs a single endpoint"),
        ({"type": "ORIGINAL_DST"}, ": ORIGINAL_DST needs lb_policy CLUSTER_PROVIDED"),
        (original_dst(lb_policy="RANDOM"), "lb_policy: ORIGINAL_DST needs lb_policy CLUSTER_PROVIDED"),
        ({"lb_policy": "CLUSTER_PROVIDED"}, "lb_policy: CLUSTER_PROVIDED is for ORIGINAL_DST"),
        ({"cleanup_interval": "1s"}, "cleanup_interval: has no effect: type is STATIC"),
        ({"original_dst_lb_config": {}}, "original_dst_lb_config: has no effect: lb_policy is ROUND_ROBIN"),
        (
            original_dst(load_assignment=hosts([host()])),
            "load_assignment: has no effect: type is ORIGINAL_DST",
        ),
        (
            original_dst(load_balancing_policy=policy()),
            "load_balancing_policy: has no effect: type is ORIGINAL_DST",
        ),
        (
            original_dst(original_dst_lb_config={"http_header_name": "x-where"}),
            "original_dst_lb_config.http_header_name: needs use_http_header",
        ),
        (
            original_dst(original_dst_lb_config={"upstream_port_override": 65536}),
            "original_dst_lb_config.upstream_port_override: must be at most 65535",
        ),
        (
            original_dst(original_dst_lb_config={"metadata_key": {"key": "a"}}),
            "original_dst_lb_config.metadata_key: not supported by proxyd",
        ),
        (
            {"type": "LOGICAL_DNS", "load_assignment": hosts([host("a")], [host("b")])},
            "load_assignment: LOGICAL_DNS needs a single endpoint",
        ),
        (
            {"type": "LOGICAL_DNS", "load_assignment": hosts([host("a"), host("b")])},
            "load_assignment: LOGICAL_DNS needs a single endpoint",
        ),
        (
            {"dns_failure_refresh_rate": {"base_interval": "2s", "max_interval": "1s"}},
            "dns_failure_refresh_rate.max_interval: must not be less than base_interval",
        ),
        (
            {"load_assignment": hosts([host(load_balancing_weight=0)])},
            "load_assignment.endpoints[0].lb_endpoints[0].load_balancing_weight: must be at least 1 ",
        ),
        (
            {"max_requests_per_connection": 3}
            | http_options(common_http_protocol_options={"max_requests_per_connection": 3}),
            "max_requests_per_connection: only one of it and that of common_http_protocol_options can be set",
        ),
        (
            http_options(common_http_protocol_options={"max_stream_duration": "1s"}),
            f"{_OPTIONS}.common_http_protocol_options.max_stream_duration: of an upstream {_REFUSED}",
        ),
        (
            http_options(explicit_http_config={"http_protocol_options": {"accept_http_10": True}}),
            f"{_OPTIONS}.explicit_http_config.http_protocol_options.accept_http_10: of an upstream is not",
        ),
    ],
)
def test_mistakes_in_clusters(cluster: dict[str, Any], mistake: str) -> None:
    found = [each.removeprefix(PLACE) for each in mistakes(**cluster)]
    assert len(found) == 1
    assert found[0].startswith(mistake)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("respect_dns_ttl", True),
        ("wait_for_warm_on_init", False),
        ("ignore_health_on_host_removal", True),
        ("preconnect_policy", {}),
        ("circuit_breakers", {}),
        ("common_lb_config", {}),
        ("connection_pool_per_downstream_connection", True),
    ],
)
def test_what_is_not_there_is_refused_by_name(field: str, value: Any) -> None:
    assert mistakes(**{field: value}) == [f"{field}: not supported by proxyd"]


def test_weights_of_localities_are_refused_by_name() -> None:
    groups = hosts([host()])
    groups["endpoints"][0]["load_balancing_weight"] = 1
    assert mistakes(load_assignment=groups) == [
        "load_assignment.endpoints[0].load_balancing_weight: not supported by proxyd"
    ]


def test_what_is_spoken_can_be_agreed_on_by_tls_alone() -> None:
    options = {"@type": f"type.googleapis.com/{OPTIONS}", "auto_config": {}}
    found = mistakes(typed_extension_protocol_options={OPTIONS: options})
    (only,) = found
    assert only.endswith("auto_config: needs a transport_socket with TLS, where the version is agreed on")


@pytest.mark.parametrize("name", ["use_downstream_protocol_config", "explicit_http_config"])
def test_options_of_http_1_are_looked_at_wherever_they_stand(name: str) -> None:
    options = {
        "@type": f"type.googleapis.com/{OPTIONS}",
        name: {"http_protocol_options": {"accept_http_10": True}},
    }
    (found,) = mistakes(typed_extension_protocol_options={OPTIONS: options})
    assert found.endswith(
        f"{name}.http_protocol_options.accept_http_10: of an upstream is not supported by proxyd"
    )
