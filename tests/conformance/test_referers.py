"""A Referer that is no URL goes no further."""

import pytest

from tests.conformance.case import case, get
from tests.conformance.conftest import Agree

LISTENERS = {
    "referers": """
route_config:
  virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: origin}}]}]
"""
}

_VALUES = (
    "http://a.example/b?c=d", "https://a.example", "https://a.example:8443/", "http://[::1]:80/x", "ftp://a/b",
    "http://user@a.example/", "http://a.example/#part", "http://a.example/b c", "http://", "http:///b",
    "http://a.example:99999/", "http://a.example:x/", "http://a_b.example/", "http://a.example?x=/y",
    "/path?q=1", "path", "a/b:c", "a:b", "a b", "a,b", "1.2.3.4, 5.6.7.8", "", "?q", "#part", "/a#b", "android-app://x.y/",
    "http://a.example/\xe9", "/\xe9", "/%zz", "a|b", "/a|b", "//a.example/b", "about:blank", "http://A.EXAMPLE/",
    "/a\\b", "/[a]", "http://a.example/[b]", "/a{b}", "http://a.example/a|b", "http://a.ex^ample/", "/a\tb",
)  # fmt: skip

CASES = tuple(
    case(f"referer-{number}", get("/", f"referer: {value}"), listener="referers")
    for number, value in enumerate(_VALUES)
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: object, agree: Agree) -> None:
    agree(case)  # type: ignore[arg-type]
