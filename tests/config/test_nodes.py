"""Text to nodes, with both of PyYAML's parsers: libyaml's and the one in Python."""

import pytest
import yaml

from proxyd.config import nodes
from proxyd.config.nodes import Mapping, Scalar, Sequence, TextError, parse

PARSERS = [parser for parser in ("CSafeLoader", "SafeLoader") if hasattr(yaml, parser)]


@pytest.fixture(params=PARSERS, autouse=True)
def parser(request, monkeypatch):
    monkeypatch.setattr(nodes, "_Parser", getattr(yaml, request.param))


def plain(node):
    if isinstance(node, Scalar):
        return node.text if node.plain else repr(node.text)
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Mapping)
    return {key.text: plain(child) for key, child in node.entries}


def mistake(text):
    with pytest.raises(TextError) as caught:
        parse(text, "text")
    return str(caught.value.mistake)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: [yes, '2', \"3\"]", {"a": "1", "b": ["yes", "'2'", "'3'"]}),
        ("a: !!str 5\nb: !!int 5\nc: ! 5", {"a": "'5'", "b": "5", "c": "'5'"}),
        ("a: &x {b: c}\nd: *x", {"a": {"b": "c"}, "d": {"b": "c"}}),
        ("\ufeffa: b\r\nc: d\r\n", {"a": "b", "c": "d"}),
        ("a:\n", {"a": ""}),
        ('{\n\t"a":\t"tab\\there",\n\t"b": 2\n}', {"a": "'tab\\there'", "b": "2"}),
        ('{"a": "\\ud83d\\ude00 \\u00e9"}', {"a": "'\N{GRINNING FACE} é'"}),
        ("---\na: b\n...\n", {"a": "b"}),
    ],
)
def test_reads(text, expected):
    assert plain(parse(text, "text")) == expected


def test_places_count_from_one():
    root = parse("a: b\n\nc:\n  - d\n", "text")
    key, value = root.entries[1]
    assert (key.line, key.column) == (3, 1)
    assert (value.items[0].line, value.items[0].column) == (4, 5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "text: the file is empty"),
        ("# nothing", "text: the file is empty"),
        ("\ta: b", "text:1:1: a tab cannot indent YAML: use spaces"),
        ("a: b\n---\nc: d", "text:2:1: a second document: a configuration is one document"),
        ("a: *b", "text:1:4: the alias has no anchor (put text that begins with * in quotes)"),
        ("a: &x [*x]", "text:1:8: the alias stands inside what it refers to"),
        (
            "a: !x b",
            "text:1:4: only standard YAML tags are understood (put text that begins with ! in quotes)",
        ),
        ("a: !x {}", "text:1:4: only standard YAML tags are understood (put text that begins"),
        ("{[a]: b}", "text:1:2: a key has to be a word"),
        ("é: \x01", "text:1:4: not a printable character"),
        ("a: \ud800", "text:"),
    ],
)
def test_refuses(text, expected):
    assert mistake(text).startswith(expected)


WORD = "hunter2"


@pytest.mark.parametrize(
    "value",
    [
        *(
            f"{sign}{WORD}"
            for sign in ("*", "!", "!<", "%", "@", "`", "&x *", "? ", "- ", "'", '"', "{", "[")
        ),
        *(f"!{WORD}{more}" for more in (" x", " {}", "!x y", "%zz x", "> x")),
        f"*{WORD}*x",
        f"&{WORD} [*{WORD}]",
        f"&{WORD} &{WORD} x",
        f"{WORD}: x",
        f"{WORD}]: x",
        f'"{WORD}\\q"',
        f"|{WORD}",
    ],
)
def test_a_password_that_is_no_yaml_is_not_shown(value):
    told = mistake(f"user: me\npassword: {value}")
    assert told.startswith(("text:2:", "text:3:1: "))
    assert WORD not in told


@pytest.mark.parametrize("opening", ["[", "- ", "{a: "])
def test_depth_has_a_limit_that_the_stack_does_not_feel(opening):
    assert "nested deeper than 200 levels" in mistake(opening * 5_000)


def test_aliases_cannot_multiply_without_end():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "aliases expand to more than 1000000 nodes" in mistake("\n".join(lines))
