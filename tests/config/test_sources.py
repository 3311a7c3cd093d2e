"""Which configuration is meant."""

import os

import pytest

from proxyd.config.cluster import DiscoveryType
from proxyd.config.load import ConfigErrors, Sources, load

FILE = "node: {id: %s}\n"


@pytest.fixture(autouse=True)
def empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mistakes(**options):
    with pytest.raises(ConfigErrors) as caught:
        load(Sources(**options), {})
    return [str(mistake) for mistake in caught.value.mistakes]


def test_order_of_the_places(tmp_path):
    system = tmp_path / "system.yaml"
    explicit = tmp_path / "explicit.yaml"
    assert load(Sources(system_path=str(system))).origin == "embedded default"
    overlay = load(Sources(system_path=str(system), config_yaml="node: {id: overlay}"))
    assert (overlay.origin, overlay.bootstrap.node.id) == ("--config-yaml", "overlay")
    system.write_text(FILE % "system")
    assert load(Sources(system_path=str(system))).bootstrap.node.id == "system"
    (tmp_path / "proxyd.yaml").write_text(FILE % "local")
    assert load(Sources(system_path=str(system))).bootstrap.node.id == "local"
    explicit.write_text(FILE % "explicit")
    loaded = load(Sources(system_path=str(system), config_path="explicit.yaml"))
    assert (loaded.origin, loaded.bootstrap.node.id) == ("explicit.yaml", "explicit")
    both = load(Sources(config_path="explicit.yaml", config_yaml="node: {cluster: c}")).bootstrap.node
    assert (both.id, both.cluster) == ("explicit", "c")


def test_embedded_default_answers_on_loopback():
    bootstrap = load(Sources()).bootstrap
    listener = bootstrap.static_resources.listeners[0]
    assert listener.address.socket_address.address == "127.0.0.1"
    assert bootstrap.admin.address.socket_address.port_value == 9901
    route = listener.filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0].routes[0]
    assert b"proxyd start --listen" in route.direct_response.body.contents


@pytest.mark.parametrize("text", ["\ufeffnode: {id: a}\n", "node: {id: a}\r\n"])
def test_byte_order_mark_and_line_ends_of_windows(text, tmp_path):
    (tmp_path / "file.yaml").write_bytes(text.encode())
    assert load(Sources(config_path="file.yaml")).bootstrap.node.id == "a"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_what_windows_powershell_writes_is_read(encoding, tmp_path):
    (tmp_path / "file.yaml").write_bytes("\ufeffnode: {id: \u00e4}\r\n".encode(encoding))
    assert load(Sources(config_path="file.yaml")).bootstrap.node.id == "\u00e4"
    (tmp_path / "half.yaml").write_bytes("\ufeffnode: {}".encode(encoding) + b"\n")
    assert mistakes(config_path="half.yaml") == ["half.yaml: not UTF-16, as which it begins"]


def test_files_that_cannot_be_read(tmp_path):
    assert mistakes(config_path="none.yaml") == ["none.yaml: cannot read it: No such file or directory"]
    assert mistakes(config_path=".") == [".: it is a directory, not a file"]
    assert mistakes(config_path="a\0b") == ["a\0b: no path holds a NUL character"]
    assert mistakes(config_path=os.devnull) == [f"{os.devnull}: it is a pipe, socket or device, not a file"]
    (tmp_path / "latin.yaml").write_bytes(b"node:\n  id: \xe9\n")
    assert mistakes(config_path="latin.yaml") == ["latin.yaml:2:7: not UTF-8"]


def test_a_link_to_nowhere_is_a_mistake(tmp_path):
    (tmp_path / "proxyd.yaml").symlink_to("nowhere")
    assert mistakes() == ["proxyd.yaml: cannot read it: No such file or directory"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission(tmp_path):
    (tmp_path / "secret.yaml").write_text("{}")
    (tmp_path / "secret.yaml").chmod(0)
    assert mistakes(config_path="secret.yaml") == ["secret.yaml: cannot read it: Permission denied"]


def test_options_make_a_configuration():
    bootstrap = load(Sources(listen="127.0.0.1:8080", upstreams=("127.0.0.1:9000", "[::1]:9001"))).bootstrap
    (listener,) = bootstrap.static_resources.listeners
    (cluster,) = bootstrap.static_resources.clusters
    assert listener.address.socket_address.port_value == 8080
    assert cluster.type is DiscoveryType.STATIC
    hosts = [
        host.endpoint.address.socket_address for host in cluster.load_assignment.endpoints[0].lb_endpoints
    ]
    assert [(host.address, host.port_value) for host in hosts] == [("127.0.0.1", 9000), ("::1", 9001)]


def test_hostname_among_the_upstreams_is_resolved():
    bootstrap = load(Sources(listen=":80", upstreams=("127.0.0.1:9000", "origin.example:80"))).bootstrap
    assert bootstrap.static_resources.clusters[0].type is DiscoveryType.STRICT_DNS
    assert bootstrap.static_resources.listeners[0].address.socket_address.address == "0.0.0.0"


def test_overlay_goes_over_options():
    sources = Sources(listen=":80", upstreams=("127.0.0.1:9000",), config_yaml="node: {id: a}")
    loaded = load(sources)
    assert (loaded.origin, loaded.bootstrap.node.id) == ("command line", "a")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"listen": "127.0.0.1:8080"}, ["--listen: needs --upstream HOST:PORT"]),
        ({"upstreams": ("127.0.0.1:1",)}, ["--upstream: needs --listen ADDRESS:PORT"]),
        (
            {
                "listen": "localhost:80",
                "upstreams": ("http://a:80", "::1:80", "a:b", "a:65536", ":80", "a", "[::1]"),
            },
            [
                '--listen: "localhost" is not an IP address',
                '--upstream: expected HOST:PORT (without http://), got "http://a:80"',
                '--upstream: expected HOST:PORT, got "::1:80"',
                '--upstream: expected HOST:PORT, got "a:b"',
                '--upstream: expected HOST:PORT, got "a:65536"',
                '--upstream: expected HOST:PORT, got ":80"',
                '--upstream: expected HOST:PORT, got "a"',
                '--upstream: expected HOST:PORT, got "[::1]"',
            ],
        ),
        (
            {"config_path": "a.yaml", "listen": "1.2.3.4", "upstreams": ("a:80",)},
            [
                "-c: cannot stand beside --listen and --upstream",
                '--listen: expected ADDRESS:PORT, got "1.2.3.4"',
            ],
        ),
    ],
)
def test_mistaken_options_are_named(options, expected):
    assert mistakes(**options) == expected
