"""Whatever the tree, loading ends in a Bootstrap or in ConfigErrors."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxyd.config import facts
from proxyd.config.bootstrap import Bootstrap
from proxyd.config.canonical import to_yaml
from proxyd.config.load import ConfigErrors, load_text
from proxyd.config.schema import Kind, Shape, camel, schema_of, type_url
from proxyd.config.sources import OVERLAY, Text

MODERATE = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

words = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            "",
            "${",
            "${X}",
            "$${",
            "1s",
            "-1s",
            "5",
            "true",
            "*",
            "127.0.0.1",
            "HTTP1",
            ".nan",
            "<<",
            "@type",
            "1" * 999,
        ]
    ),
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.integers(10**30, 10**40), words)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3)
)


def value_of(field, depth):
    """A value that may fit the field, or anything at all."""
    if depth <= 0:
        return scalars
    if field.kind in (Kind.MESSAGE, Kind.EXTENSION):
        value = st.one_of([message_of(choice, depth - 1) for choice in field.choices])
    elif field.kind is Kind.ENUM:
        value = st.sampled_from([member.name for member in field.choices[0]])
    elif field.kind is Kind.BOOL:
        value = st.booleans()
    elif field.kind is Kind.INT:
        value = st.integers(0, 70000)
    elif field.kind is Kind.JSON:
        value = st.dictionaries(words, anything, max_size=3)
    else:
        value = words
    if field.shape is Shape.LIST:
        value = st.lists(value, max_size=2)
    elif field.shape is Shape.MAP:
        value = st.dictionaries(words, value, max_size=2)
    return value if depth % 3 else st.one_of(value, value, value, anything)


def message_of(struct, depth):
    schema = schema_of(struct)

    @st.composite
    def build(draw):
        tree = {"@type": url} if (url := type_url(struct)) and draw(st.booleans()) else {}
        for field in schema.fields.values():
            if field.required or draw(st.integers(0, 2)) == 0:
                spelling = camel(field.name) if draw(st.integers(0, 4)) == 0 else field.name
                tree[spelling] = draw(value_of(field, depth))
        if draw(st.integers(0, 9)) == 0:
            tree[draw(st.sampled_from(facts.fields(struct.proto) or ["x"]))] = draw(anything)
        return tree

    return build()


def load_or_refuse(text, overlay=None):
    try:
        bootstrap = load_text(Text("text", text), Text(OVERLAY, overlay) if overlay else None, {"X": "5"})
    except ConfigErrors:
        return
    canonical = to_yaml(bootstrap)
    if "${" not in canonical:
        assert load_text(Text("canonical", canonical), environment={}) == bootstrap


@MODERATE
@given(message_of(Bootstrap, 6))
def test_trees_that_look_like_configurations(tree):
    load_or_refuse(json.dumps(tree))


@MODERATE
@given(message_of(Bootstrap, 4), message_of(Bootstrap, 4))
def test_two_trees_merge(tree, overlay):
    load_or_refuse(json.dumps(tree), json.dumps(overlay))


@MODERATE
@given(anything)
def test_any_tree(tree):
    load_or_refuse(json.dumps(tree))


@MODERATE
@given(st.text(alphabet="ab:-{}[],&*!|>'\"%@`#?~\n \t\\${}0.", max_size=60))
def test_any_text(text):
    load_or_refuse(text)
