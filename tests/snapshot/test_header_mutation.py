"""Header mutations of one level, with the results that Envoy 1.40 gave."""

from typing import Any

import msgspec
import pytest

from proxyd.codec.headers import Headers
from proxyd.config.core import HeaderValueOption
from proxyd.filters.stream_info import StreamInfo
from proxyd.snapshot.header_mutation import (
    HeaderMutation,
    compile_request_mutation,
    compile_response_mutation,
)

APPEND, IF_ABSENT, OVERWRITE, IF_EXISTS = range(4)


def option(name: str, value: str, action: int = APPEND, **more: Any) -> HeaderValueOption:
    header = {"header": {"key": name, "value": value}, "append_action": action, **more}
    return msgspec.convert(header, HeaderValueOption)


def applied(
    fields: list[tuple[str, str]], *to_add: HeaderValueOption, remove: tuple[str, ...] = ()
) -> list[tuple[str, str]]:
    mutation = compile_request_mutation(to_add, remove)
    assert mutation is not None
    return run(mutation, fields)


def run(mutation: HeaderMutation, fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    info = StreamInfo()
    info.path = b"/p?q=a%0d%0ab"
    info.protocol = "HTTP/1.1"
    info.request_headers = Headers([(name.encode(), value.encode()) for name, value in fields])
    mutation.apply(info.request_headers, info)
    return [(name.decode(), value.decode()) for name, value in info.request_headers.items]


def test_a_level_without_mutations_is_none() -> None:
    assert compile_request_mutation((), ()) is None
    assert compile_response_mutation((), ()) is None


@pytest.mark.parametrize(
    ("action", "absent", "present"),
    [
        (APPEND, ["v"], ["1", "2", "v"]),
        (IF_ABSENT, ["v"], ["1", "2"]),
        (OVERWRITE, ["v"], ["v"]),
        (IF_EXISTS, [], ["v"]),
    ],
)
def test_append_actions(action: int, absent: list[str], present: list[str]) -> None:
    header = option("X-H", "v", action)
    assert [value for _, value in applied([], header)] == absent
    assert [value for _, value in applied([("x-h", "1"), ("x-h", "2")], header)] == present


def test_the_old_form_of_append_actions() -> None:
    assert applied([("a", "1")], option("a", "2", append=False)) == [("a", "2")]
    assert applied([("a", "1")], option("a", "2", append=True)) == [("a", "1"), ("a", "2")]


def test_removals_come_first_and_names_have_any_case() -> None:
    header = option("x-a", "[%REQ(X-A)%]", keep_empty_value=True)
    assert applied([("x-a", "1"), ("b", "2"), ("x-a", "3")], header, remove=("X-A", "none")) == [
        ("b", "2"),
        ("x-a", "[]"),
    ]


def test_a_level_overwrites_before_it_adds_and_sees_nothing_of_itself() -> None:
    assert applied(
        [("mix", "0"), ("a", "1")],
        option("mix", "1"),
        option("mix", "2", OVERWRITE),
        option("two", "1", IF_ABSENT),
        option("two", "2", IF_ABSENT),
        option("new", "1"),
        option("new", "never", IF_EXISTS),
        option("a", "[%REQ(a)%]", OVERWRITE),
        option("b", "%REQ(a)%"),
    ) == [("mix", "2"), ("a", "[1]"), ("mix", "1"), ("two", "1"), ("two", "2"), ("new", "1"), ("b", "1")]


@pytest.mark.parametrize(
    ("value", "keep", "result"),
    [
        ("a%REQ(none)%b", False, ["ab"]),
        ("%REQ(none)%", False, []),
        ("%REQ(none)%", True, [""]),
        ("", False, []),
        ("", True, [""]),
        ("100%%", False, ["100%"]),
        ("%PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS%", False, ["HTTP/1.1 0 -"]),
    ],
)
def test_what_is_missing_leaves_nothing(value: str, keep: bool, result: list[str]) -> None:
    assert [text for _, text in applied([], option("x", value, keep_empty_value=keep))] == result


def test_a_value_cannot_end_its_field() -> None:
    assert applied([], option("x", "%QUERY_PARAM(q)%")) == [("x", "ab")]


def test_fields_of_one_line_are_joined() -> None:
    fields = [("accept", "a"), ("accept", "b"), ("cookie", "c")]
    assert applied(fields, option("accept", "+"), option("cookie", "+"), option("user-agent", "+")) == [
        ("accept", "a,b,+"),
        ("cookie", "c"),
        ("cookie", "+"),
        ("user-agent", "+"),
    ]
    response = compile_response_mutation((option("vary", "+"), option("accept", "+")), ())
    assert response is not None
    assert run(response, [("vary", "a"), ("accept", "b")]) == [
        ("vary", "a,+"),
        ("accept", "b"),
        ("accept", "+"),
    ]


def test_a_changed_request_id_is_the_requests_id() -> None:
    info = StreamInfo()
    info.request_id = b"1"
    info.request_headers = Headers([(b"x-request-id", b"1")])
    changing = compile_request_mutation((option("x-request-id", "2", OVERWRITE),), ())
    assert changing is not None
    changing.apply(info.request_headers, info)
    assert info.request_id == b"2"
    removing = compile_request_mutation((), ("x-request-id",))
    assert removing is not None
    removing.apply(info.request_headers, info)
    assert info.request_id == b""
