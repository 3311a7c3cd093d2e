"""Variables of the environment in scalars."""

import pytest

from proxyd.config.environment import substitute
from proxyd.config.load import ConfigErrors, load_text
from proxyd.config.sources import Text

ENVIRONMENT = {"HOST": "127.0.0.1", "PORT": "8080", "EMPTY": "", "NESTED": "${PORT}"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${PORT}", "8080"),
        ("a${HOST}b${PORT}c", "a127.0.0.1b8080c"),
        ("${NO:-x}${EMPTY:-y}${PORT:-z}", "xy8080"),
        ("${NO:-}", ""),
        ("${NO:-a:-b c}", "a:-b c"),
        ("[${EMPTY}]", "[]"),
        ("$${PORT}", "${PORT}"),
        ("$PORT $$ %ENVIRONMENT(PORT)%", "$PORT $$ %ENVIRONMENT(PORT)%"),
        ("${NESTED}", "${PORT}"),
    ],
)
def test_substitutes(text, expected):
    assert substitute(text, ENVIRONMENT) == expected


@pytest.mark.parametrize("text", ["${", "${}", "${a b}", "${1}", "x${PORT", "${NO}", "${NO-x}"])
def test_refuses(text):
    with pytest.raises(ValueError, match=r"is not set|names no environment variable"):
        substitute(text, ENVIRONMENT)


def test_word_is_typed_after_substitution():
    text = """
node: {id: "${PORT}", cluster: '$${x}', metadata: {plain: a}}
admin:
  address:
    socket_address:
      address: ${HOST}
      port_value: ${PORT}
layered_runtime:
  layers:
  - name: ${PORT}
    static_layer:
      plain: ${PORT}
      quoted: "${PORT}"
      unset: ${NO:-}
"""
    bootstrap = load_text(Text("text", text), environment=ENVIRONMENT)
    assert (bootstrap.node.id, bootstrap.node.cluster) == ("8080", "${x}")
    assert bootstrap.admin.address.socket_address.port_value == 8080
    layer = bootstrap.layered_runtime.layers[0]
    assert layer.name == "8080"
    assert layer.static_layer == {"plain": 8080, "quoted": "8080", "unset": None}


def test_what_a_variable_holds_is_checked_like_the_rest():
    with pytest.raises(ConfigErrors) as caught:
        load_text(Text("text", "stats_flush_interval: ${PORT}"), environment=ENVIRONMENT)
    assert str(caught.value).startswith("text:1:23: stats_flush_interval: expected a duration in seconds")
