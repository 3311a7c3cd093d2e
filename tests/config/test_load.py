"""Whole files: what loads, and the exact words for everything that does not."""

import gc
import pathlib
import time

import pytest

from proxyd.config.load import ConfigErrors, Loaded, Sources, load, load_text
from proxyd.config.sources import Text

CASES = pathlib.Path(__file__).parent / "cases"
VALID = sorted((CASES / "valid").glob("*.*"))
INVALID = sorted(path for path in (CASES / "invalid").glob("*.*") if path.suffix != ".txt")


def names(path: pathlib.Path) -> str:
    return path.name


@pytest.mark.parametrize("path", VALID, ids=names)
def test_valid_file_loads(path):
    loaded = load(Sources(config_path=str(path)), {})
    assert isinstance(loaded, Loaded)
    assert loaded.origin == str(path)


@pytest.mark.parametrize("path", INVALID, ids=names)
def test_invalid_file_says_exactly_what_is_wrong(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    with pytest.raises(ConfigErrors) as caught:
        load(Sources(config_path=path.name), {})
    assert str(caught.value) + "\n" == path.with_suffix(".txt").read_text()


def test_every_expectation_belongs_to_a_case():
    assert {path.stem for path in (CASES / "invalid").glob("*.txt")} == {path.stem for path in INVALID}


def test_camel_case_json_means_what_it_says():
    listener = load(Sources(config_path=str(CASES / "valid" / "camel.json")), {}).bootstrap
    main = listener.static_resources.listeners[0]
    assert main.name == "main \N{GRINNING FACE}"
    assert main.address.socket_address.port_value == 8080
    assert main.per_connection_buffer_limit_bytes == 10000
    assert main.filter_chains[0].filters[0].typed_config.http_protocol_options.accept_http_10 is True


def test_mistakes_of_a_field_are_not_told_again_by_what_depends_on_it():
    text = """
static_resources:
  clusters:
  - name: a
    type: STRICT
    load_assignment:
      cluster_name: a
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: host, port_value: 1}}}}]}]
"""
    assert mistakes(text) == [
        'text:5:11: static_resources.clusters[0].type: unknown value "STRICT" (did you mean "STRICT_DNS"?)'
    ]


def test_name_of_the_router_implies_its_configuration():
    bootstrap = load_text(
        Text(
            "text",
            """
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config: {stat_prefix: x, route_config: {}, http_filters: [{name: envoy.filters.http.router}]}
""",
        )
    )
    manager = bootstrap.static_resources.listeners[0].filter_chains[0].filters[0].typed_config
    assert type(manager).__name__ == "HttpConnectionManager"
    assert type(manager.http_filters[0].typed_config).__name__ == "Router"


def test_wildcard_beside_an_address_is_no_conflict():
    listener = (
        "{{name: {0}, address: {{socket_address: {{address: {0}, port_value: 80}}}}, filter_chains:"
        " [{{filters: [{{name: envoy.filters.network.http_connection_manager, typed_config: {{stat_prefix: x,"
        " route_config: {{}}, http_filters: [{{name: envoy.filters.http.router}}]}}}}]}}]}}"
    )
    listeners = ", ".join(map(listener.format, ("127.0.0.1", "0.0.0.0", "127.0.0.2")))
    load_text(Text("text", f"static_resources: {{listeners: [{listeners}]}}"))


def test_large_file_loads_in_time():
    cluster = """
  - name: cluster_{0}
    connect_timeout: 0.25s
    load_assignment:
      cluster_name: cluster_{0}
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address:
                address: 127.0.0.1
                port_value: 9000
"""
    text = "static_resources:\n  clusters:" + "".join(cluster.format(number) for number in range(4000))
    start = time.process_time()
    bootstrap = load_text(Text("text", text))
    assert len(bootstrap.static_resources.clusters) == 4000
    assert time.process_time() - start < 4  # a megabyte; a fraction of it on a quiet machine


def test_missing_filters_are_not_told_where_one_could_not_be_read():
    text = """
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains: {filters: {name: x, typed_config: 5}}
  - address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    freebind: true
"""
    assert mistakes(text) == [
        (
            "text:5:54: static_resources.listeners[0].filter_chains[0].filters[0].typed_config:"
            " expected a mapping, got the number 5"
        ),
        "text:7:5: static_resources.listeners[1].freebind: not supported by proxyd",
    ]


@pytest.mark.parametrize("value", ["9007199254740993", "1e400", "-.inf", "123456789012345678901234567890"])
def test_numbers_that_a_double_cannot_hold_are_refused(value):
    (mistake,) = mistakes(f"node: {{metadata: {{a: {value}}}}}")
    assert "at most 53 bits" in mistake


def test_unsupported_fields_may_stand_there_unset():
    cluster = "{name: a, transport_socket: null, health_checks: []}"
    text = f"{{static_resources: {{clusters: [{cluster}]}}, hds_config: ~}}"
    assert load_text(Text("text", text)).static_resources.clusters[0].name == "a"
    matcher = "admin: {allow_paths: [{safe_regex: null}]}"
    assert mistakes(matcher) == [
        "text:1:23: admin.allow_paths[0]: one of exact, prefix, suffix, safe_regex, contains is required"
    ]


def test_durations_as_messages():
    assert load_text(Text("text", "stats_flush_interval: {nanos: '5000000'}")).stats_flush_interval == 0.005
    for value in (
        "{seconds: 9999999999999}",
        "{nanos: -1}",
        "{minutes: 1}",
        "{seconds: x}",
        f"{{seconds: {'9' * 399}}}",
    ):
        assert len(mistakes(f"stats_flush_interval: {value}")) == 1


def test_domains_differ_in_more_than_case():
    hosts = "[{name: a, domains: a.example}, {name: b, domains: [A.Example]}]"
    routes = f"http_filters: {{name: envoy.filters.http.router}}, route_config: {{virtual_hosts: {hosts}}}"
    text = (
        "static_resources: {listeners: {address: {socket_address: {address: 127.0.0.1, port_value: 0}},"
        " filter_chains: {filters: {name: envoy.filters.network.http_connection_manager, typed_config:"
        f" {{stat_prefix: x, {routes}}}}}}}}}}}"
    )
    (mistake,) = mistakes(text)
    assert 'duplicate domain "A.Example"' in mistake


def test_garbage_collection_is_left_as_it_was():
    gc.disable()
    try:
        load_text(Text("text", "{}"))
        assert not gc.isenabled()
    finally:
        gc.enable()
    load_text(Text("text", "{}"))
    assert gc.isenabled()


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load_text(Text("text", text), environment={})
    return [str(mistake) for mistake in caught.value.mistakes]
