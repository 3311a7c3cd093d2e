"""From a path to its node."""

import pytest

from proxyd.config.nodes import parse
from proxyd.config.places import lineage, locate

TEXT = """
oneList:
- {a_b: c}
single: {key: value}
map:
  "x.y[0]": 1
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("", (2, 1)),
        ("one_list[0].a_b", (3, 9)),
        ("one_list[0].missing.deeper", (3, 3)),
        ("one_list[7]", (3, 1)),
        ("single[0].key", (4, 15)),
        ('map["x.y[0]"]', (6, 13)),
        ("nothing", (2, 1)),
    ],
)
def test_locates_the_nearest_node(path, place):
    node = locate(parse(TEXT, "text"), path)
    assert (node.line, node.column) == place


def test_lineage_ends_with_the_path():
    assert lineage("a.b[0].c") == ["a", "a.b", "a.b[0]", "a.b[0].c"]
