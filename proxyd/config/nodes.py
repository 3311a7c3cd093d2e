"""YAML and JSON text to a tree of nodes that know their place.

Law of this file: nothing is typed here. A scalar is its text and whether it stood plain or in quotes; what
the text means depends on the field it is for, and ``binding`` knows that. So ``yes`` is a boolean nowhere by
accident, and no port is a sexagesimal number.

The tree is built from events with a stack of our own: PyYAML's composer recurses in C, and a hostile file can
overflow the stack with it. Aliases share their node and are paid for by the size they expand to.
"""

import re
from typing import Any, Final

import yaml

from proxyd.config.mistakes import Mistake

MAX_DEPTH: Final = 200
MAX_ALIASED: Final = 1_000_000  # nodes that aliases may add to what the text itself spells out


class Node:
    """A place in a text; lines and columns count from 1."""

    __slots__ = ("column", "line", "source")

    source: str
    line: int
    column: int


class Scalar(Node):
    """A word. ``plain`` says that it stood without quotes, and so may be a number, a boolean or null."""

    __slots__ = ("plain", "text")

    def __init__(self, source: str, line: int, column: int, text: str, plain: bool) -> None:
        self.source, self.line, self.column = source, line, column
        self.text: Final = text
        self.plain: Final = plain


class Sequence(Node):
    """A list."""

    __slots__ = ("items",)

    def __init__(self, source: str, line: int, column: int) -> None:
        self.source, self.line, self.column = source, line, column
        self.items: Final[list[Node]] = []


class Mapping(Node):
    """Keys and values in the order of the text, duplicates included: whoever reads it refuses them."""

    __slots__ = ("entries",)

    def __init__(self, source: str, line: int, column: int) -> None:
        self.source, self.line, self.column = source, line, column
        self.entries: Final[list[tuple[Scalar, Node]]] = []


class TextError(Exception):
    """The text is no YAML (or more than proxyd is ready to read)."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(str(mistake))
        self.mistake = mistake


# libyaml where PyYAML was built with it, ten times slower without.
_Parser: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_STRING_TAG: Final = "tag:yaml.org,2002:str"
_PLAIN_TAGS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("bool", "float", "int", "null"))
_COLLECTION_TAGS: Final = frozenset(("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "!"))

# JSON is YAML but for tabs between its words, and characters beyond the first plane in two escapes.
_STRING_OR_TAB: Final = re.compile(r'"(?:\\.|[^"\\])*"|\t')
_SURROGATES: Final = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def parse(text: str, source: str) -> Node:
    """The only document of ``text``; ``source`` is the name that mistakes carry.

    Raises TextError: no YAML, empty, several documents, nested too deep, aliases that expand without end.
    """
    text = text.removeprefix("\ufeff")
    if text.lstrip()[:1] in ("{", "["):
        text = _STRING_OR_TAB.sub(lambda match: " " if match[0] == "\t" else match[0], text)
        text = _SURROGATES.sub(_join_surrogates, text)
    builder = _Builder(source)
    try:
        parser = _Parser(text)
        while not isinstance(event := parser.get_event(), yaml.StreamEndEvent):
            builder.take(event)
    except yaml.YAMLError as error:
        raise TextError(_explain(error, text, source)) from None
    except UnicodeEncodeError:  # a command line can carry bytes that are no text
        raise TextError(Mistake(source, 0, 0, "", "not UTF-8")) from None
    if builder.root is None:
        raise TextError(Mistake(source, 0, 0, "", "the file is empty"))
    return builder.root


def _join_surrogates(match: re.Match[str]) -> str:
    pair = ((int(match[1], 16) - 0xD800) << 10) + int(match[2], 16) - 0xDC00 + 0x10000
    return f"\\U{pair:08x}"


class _Builder:
    """Events in, nodes out."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.root: Node | None = None
        self.stack: list[Sequence | Mapping] = []
        self.keys: list[Scalar | None] = []  # of each open mapping: the key that waits for its value
        self.anchors: dict[str, tuple[Node, int]] = {}  # the node and how many nodes it expands to
        self.open: list[tuple[str | None, int]] = []  # of each open collection: anchor, count at its start
        self.count = 0
        self.aliased = 0

    def take(self, event: Any) -> None:  # the stubs type events in part only
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        kind = type(event)
        if kind is yaml.ScalarEvent:
            plain = _is_plain(event)
            if plain is None:
                raise self._error(line, column, _NO_TAG)
            node: Node = Scalar(self.source, line, column, event.value, plain)
            self.count += 1
            if event.anchor:
                self.anchors[event.anchor] = (node, 1)
            self._add(node)
        elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
            if event.tag is not None and event.tag not in _COLLECTION_TAGS:
                raise self._error(line, column, _NO_TAG)
            if len(self.stack) == MAX_DEPTH:
                raise self._error(line, column, _TOO_DEEP)
            collection = (Mapping if kind is yaml.MappingStartEvent else Sequence)(self.source, line, column)
            self._add(collection)
            self.open.append((event.anchor, self.count))
            self.count += 1
            self.stack.append(collection)
            self.keys.append(None)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            anchor, start = self.open.pop()
            self.keys.pop()
            finished = self.stack.pop()
            if anchor:
                self.anchors[anchor] = (finished, self.count - start)
        elif kind is yaml.AliasEvent:
            self._alias(event.anchor, line, column)
        elif kind is yaml.DocumentStartEvent and self.root is not None:
            raise self._error(line, column, "a second document: a configuration is one document")

    def _alias(self, anchor: str, line: int, column: int) -> None:
        if anchor not in self.anchors:
            inside = any(anchor == name for name, _ in self.open)
            raise self._error(line, column, _CYCLE if inside else _NO_ANCHOR)
        node, size = self.anchors[anchor]
        self.count += size
        self.aliased += size
        if self.aliased > MAX_ALIASED:
            raise self._error(line, column, f"aliases expand to more than {MAX_ALIASED} nodes")
        self._add(node)

    def _add(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        if isinstance(parent, Sequence):
            parent.items.append(node)
        elif (key := self.keys[-1]) is not None:
            parent.entries.append((key, node))
            self.keys[-1] = None
        elif isinstance(node, Scalar):
            self.keys[-1] = node
        else:
            raise self._error(node.line, node.column, "a key has to be a word")

    def _error(self, line: int, column: int, message: str) -> TextError:
        return TextError(Mistake(self.source, line, column, "", message))


_TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH} levels"
# Without the name: it may be a password that nobody has put in quotes.
_NO_TAG: Final = "only standard YAML tags are understood (put text that begins with ! in quotes)"
_NO_ANCHOR: Final = "the alias has no anchor (put text that begins with * in quotes)"
_CYCLE: Final = "the alias stands inside what it refers to"


def _is_plain(event: Any) -> bool | None:
    """Whether the scalar may be more than a string; ``None`` for a tag that means nothing here."""
    tag = event.tag
    if tag is None:
        return bool(event.implicit[0])
    if tag in _PLAIN_TAGS:
        return True
    return False if tag in (_STRING_TAG, "!") else None


def _explain(error: yaml.YAMLError, text: str, source: str) -> Mistake:
    """A mistake of syntax in the operator's words where we know better than libyaml."""
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        if error.encoding != "unicode":  # libyaml counts bytes
            before = text.encode()[: error.position].decode(errors="ignore")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return Mistake(source, line, column, "", "not a printable character")
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    if mark is None:
        return Mistake(source, 0, 0, "", f"not YAML: {problem}")
    if "undefined tag handle" in problem:
        return Mistake(source, mark.line + 1, mark.column + 1, "", _NO_TAG)
    if "maximum nesting depth" in problem:  # libyaml has a limit too, and may look that far ahead
        return Mistake(source, mark.line + 1, mark.column + 1, "", _TOO_DEEP)
    message = f"not YAML: {problem}"
    if context := getattr(error, "context", None):
        message += f" {context}"
    lines = text.splitlines()
    written = lines[mark.line] if mark.line < len(lines) else ""
    if written[mark.column : mark.column + 1] == "\t" or written.lstrip(" ").startswith("\t"):
        message = "a tab cannot indent YAML: use spaces"
    elif "${" in written:
        message += ' (inside { } or [ ], put "${...}" in quotes)'
    return Mistake(source, mark.line + 1, mark.column + 1, "", message)
