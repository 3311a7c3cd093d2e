import pytest

from proxyd.config.load import ConfigErrors, Sources
from proxyd.supervisor.configuration import Configuration, read
from proxyd.supervisor.problems import StartError

YAML = """
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}
layered_runtime:
  layers:
  - {name: static, static_layer: {a: 1}}
  - {name: admin, admin_layer: {}}
"""


def test_the_command_line_overrides_the_admin_address():
    sources = Sources(config_yaml=YAML)
    assert read(sources, None, {}).admin_address == ("127.0.0.1", 9901)
    present = read(sources, "[::1]:0", {})
    assert present.admin_address == ("::1", 0)
    assert present.proto_json["admin"]["address"]["socket_address"]["address"] == "::1"
    with pytest.raises(StartError, match="--admin: expected ADDRESS:PORT, got '9901'"):
        read(sources, "9901", {})
    with pytest.raises(StartError, match="--admin: 'localhost' is not an IP address"):
        read(sources, "localhost:9901", {})


def test_no_admin_address_is_no_admin_api():
    assert read(Sources(config_yaml="{}"), None, {}).admin_address is None


def test_runtime_values_fill_the_admin_layer_for_workers_and_stay_out_of_what_was_written():
    present = read(Sources(config_yaml=YAML), None, {"a": "2"})
    layered = present.bootstrap.layered_runtime
    assert layered is not None
    assert layered.layers[1].static_layer == {"a": "2"}
    written = present.written.layered_runtime
    assert written is not None
    assert written.layers[1].static_layer is None
    again = Configuration(present.written, present.origin, {})
    assert again.bootstrap == present.written


def test_mistakes_come_through():
    with pytest.raises(ConfigErrors, match="adress"):
        read(Sources(config_yaml="admin: {adress: {}}"), None, {})
