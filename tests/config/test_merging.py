"""One configuration over another."""

import pytest

from proxyd.config.binding import bind
from proxyd.config.bootstrap import AdminLayer, RuntimeLayer
from proxyd.config.load import ConfigErrors, load_text
from proxyd.config.merging import merge
from proxyd.config.nodes import parse
from proxyd.config.sources import OVERLAY, Text

FILE = """
node: {id: a, cluster: c, metadata: {x: 1, y: 2}}
stats_flush_interval: 5s
admin:
  address: {socket_address: {address: 127.0.0.1, port_value: 9901}}
  allow_paths: [{exact: /ready}]
layered_runtime:
  layers:
  - {name: one, static_layer: {a: 1}}
static_resources:
  clusters:
  - name: first
"""


def merged(overlay: str):
    return load_text(Text("file", FILE), Text(OVERLAY, overlay), {})


def test_messages_merge_and_scalars_are_replaced():
    bootstrap = merged(
        "{node: {id: b}, stats_flush_interval: 0.5s, admin: {address: {socket_address: {port_value: 0}}}}"
    )
    assert (bootstrap.node.id, bootstrap.node.cluster) == ("b", "c")
    assert bootstrap.stats_flush_interval == 0.5
    socket = bootstrap.admin.address.socket_address
    assert (socket.address, socket.port_value) == ("127.0.0.1", 0)


def test_lists_are_appended_to():
    bootstrap = merged(
        "{staticResources: {clusters: {name: second}}, admin: {allow_paths: [{prefix: /stats}]}}"
    )
    assert [cluster.name for cluster in bootstrap.static_resources.clusters] == ["first", "second"]
    assert [path.exact or path.prefix for path in bootstrap.admin.allow_paths] == ["/ready", "/stats"]


def test_free_form_objects_merge_by_key():
    assert merged("{node: {metadata: {y: 3, z: 4}}}").node.metadata == {"x": 1, "y": 3, "z": 4}


def test_null_and_nothing_change_nothing():
    assert merged("{node: null, admin: {address: ~}}") == merged("{}") == merged("null")


def test_mistakes_name_the_text_they_are_in():
    with pytest.raises(ConfigErrors) as caught:
        merged("{nodes: {}, node: {id: c, id: d}, static_resources: {clusters: [{name: first}, {nam: x}]}}")
    assert [str(mistake) for mistake in caught.value.mistakes] == [
        '--config-yaml:1:2: nodes: unknown field (did you mean "node"?)',
        "--config-yaml:1:27: node.id: set twice: already in line 1",
        (
            '--config-yaml:1:72: static_resources.clusters[1].name: duplicate cluster "first":'
            " static_resources.clusters[0] has it"
        ),
        '--config-yaml:1:81: static_resources.clusters[2].nam: unknown field (did you mean "name"?)',
    ]


def test_both_texts_are_checked_when_neither_is_yaml():
    with pytest.raises(ConfigErrors) as caught:
        load_text(Text("file", "["), Text(OVERLAY, "{"), {})
    assert [mistake.file for mistake in caught.value.mistakes] == ["file", "--config-yaml"]


def test_other_member_of_a_oneof_replaces_the_first():
    base = parse("{name: a, staticLayer: {x: 1}}", "file")
    root = merge(RuntimeLayer, base, parse("{admin_layer: {}}", OVERLAY))
    layer, mistakes = bind(RuntimeLayer, root, {})
    assert not mistakes
    assert layer == RuntimeLayer(name="a", admin_layer=AdminLayer())
    assert len(base.entries) == 2
