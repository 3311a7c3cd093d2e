"""The Structs against what Envoy's descriptors say, so that none is misspelled or in the wrong oneof."""

import pytest

from proxyd.config import facts
from proxyd.config.bootstrap import Bootstrap
from proxyd.config.schema import Kind, camel, schema_of, type_url


def reachable(struct, found=None):
    found = {} if found is None else found
    if struct not in found:
        found[struct] = schema_of(struct)
        for field in found[struct].fields.values():
            if field.kind in (Kind.MESSAGE, Kind.EXTENSION):
                for choice in field.choices:
                    reachable(choice, found)
    return found.values()


SCHEMAS = sorted(reachable(Bootstrap), key=lambda schema: schema.proto)


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.proto)
def test_message_is_envoys(schema):
    assert facts.is_message(schema.proto)
    assert schema.struct.__name__ == schema.proto.rpartition(".")[2]
    url = type_url(schema.struct)
    assert url is None or url == f"type.googleapis.com/{schema.proto}"
    for field in schema.fields.values():
        if field.computed:
            continue
        assert field.name in facts.fields(schema.proto)
        siblings = facts.oneof_of(schema.proto, field.name)
        if field.oneof is not None:
            assert set(schema.oneofs[field.oneof]) == set(siblings) & set(schema.fields)
        if field.kind is Kind.ENUM:
            known = facts.enum_values(schema.proto, field.name)
            assert {member.name: member.value for member in field.choices[0]}.items() <= known.items()


@pytest.mark.parametrize(
    ("name", "spelling"),
    [("port_value", "portValue"), ("default_host_for_http_10", "defaultHostForHttp10"), ("id", "id")],
)
def test_camel_case_is_protobufs(name, spelling):
    assert camel(name) == spelling
