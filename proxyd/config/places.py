"""From a field path back to the node it speaks of."""

import re
from typing import Final

from proxyd.config.nodes import Mapping, Node, Sequence
from proxyd.config.schema import camel

_STEP: Final = re.compile(r'\[([0-9]+)\]|\["((?:[^"\\]|\\.)*)"\]|([^.\[]+)')


def locate(root: Node, path: str) -> Node:
    """The node at the path, or the nearest one above it that the text has."""
    node = root
    for index, key, name in _STEP.findall(path):
        below = _item(node, int(index)) if index else _child(node, key or name)
        if below is None:
            break
        node = below
    return node


def lineage(path: str) -> list[str]:
    """The path and all paths above it."""
    return [path[: match.end()] for match in _STEP.finditer(path)]


def _item(node: Node, index: int) -> Node | None:
    if isinstance(node, Sequence):
        return node.items[index] if index < len(node.items) else None
    return node  # a single value that stands for a list of one


def _child(node: Node, name: str) -> Node | None:
    if not isinstance(node, Mapping):
        return None
    return next((child for key, child in node.entries if key.text in (name, camel(name))), None)
