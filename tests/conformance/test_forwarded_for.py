"""Odd values of what proxies in front say, heard by proxies of every kind."""

import pytest

from tests.conformance.case import Case, case, get, request, response
from tests.conformance.conftest import Agree

_ROUTES = """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /tls}, redirect: {https_redirect: true}}
    - {match: {prefix: /}, route: {cluster: origin}}
internal_address_config:
  cidr_ranges:
  - {address_prefix: 10.0.0.0, prefix_len: 8}
  - {address_prefix: 127.0.0.2, prefix_len: 32}
  - {address_prefix: "2001:db8::", prefix_len: 32}
"""

LISTENERS = {
    "heard-inside": _ROUTES,
    "heard-inside-two-hops": _ROUTES + "xff_num_trusted_hops: 2\n",
    "heard-edge-two-hops": _ROUTES + "use_remote_address: true\nxff_num_trusted_hops: 2\nvia: 'px, two'\n",
    "heard-edge-told": _ROUTES
    + "use_remote_address: true\npreserve_external_request_id: true\nadd_user_agent: true\n"
    + "always_set_request_id_in_response: true\n",
    "heard-edge-not-appended": _ROUTES
    + "use_remote_address: true\nskip_xff_append: true\nxff_num_trusted_hops: 1\n"
    + "scheme_header_transformation: {scheme_to_overwrite: https}\n",
}

_COMMANDS = (
    "x-envoy-upstream-rq-timeout-ms: 5000",
    "x-envoy-expected-rq-timeout-ms: 1",
    "x-envoy-internal: false",
    "x-envoy-external-address: 1.1.1.1",
    "x-envoy-max-retries: 1",
    "x-envoy-force-trace: 1",
)
_ADDRESSES = {
    "empty": "",
    "internal": "10.1.2.3",
    "internal-ipv6": "2001:db8::7",
    "comma": ",",
    "comma-behind": "1.1.1.1,",
    "comma-before": ",1.1.1.1",
    "two-commas": "1.1.1.1,,2.2.2.2",
    "spaces": "1.1.1.1 , 2.2.2.2 ",
    "tabs": "1.1.1.1\t,\t2.2.2.2",
    "port": "1.1.1.1:80",
    "ipv6-port": "[2001:db8::1]:80",
    "ipv6-brackets": "[2001:db8::1]",
    "ipv6-capitals": "2001:DB8::A",
    "ipv6-of-ipv4": "::ffff:10.0.0.1",
    "leading-zero": "01.1.1.1",
    "too-large": "256.1.1.1",
    "three-parts": "1.1.1",
    "two-internal": "10.0.0.1, 10.0.0.2",
    "internal-around": "10.0.0.1,8.8.8.8,10.0.0.3",
    "four": "1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4",
    "words": "a,b,c,d",
    "parameter": "10.0.0.1;x",
}


def _of(listener: str) -> tuple[Case, ...]:
    def asked(name: str, *lines: str, target: str = "/", **more: object) -> Case:
        return case(f"{listener}-{name}", get(target, *lines), listener=listener, **more)

    uuid = "0a1b2c3d-0a1b-{}c3d-8e9f-0a1b2c3d4e5f"
    return (
        *(asked(f"for-{name}", f"x-forwarded-for: {text}", *_COMMANDS) for name, text in _ADDRESSES.items()),
        asked("for-twice", "x-forwarded-for: 10.0.0.1", "x-forwarded-for: 10.0.0.2", *_COMMANDS),
        asked("for-of-loopback", "x-forwarded-for: 10.0.0.1", source="127.0.0.1"),
        asked("commands", *_COMMANDS),
        asked("proto-twice", "x-forwarded-proto: https", "x-forwarded-proto: http"),
        asked("proto-capitals", "x-forwarded-proto: HTTPS", target="/tls"),
        asked("proto-list", "x-forwarded-proto: https, http", target="/tls"),
        asked("proto-other", "x-forwarded-proto: ws", target="/tls"),
        asked("id-twice", "x-request-id: a", "x-request-id: b"),
        asked("id-empty", "x-request-id:"),
        asked("id-capitals", "x-request-id: " + uuid.format("4").upper()),
        asked("id-traced", "x-request-id: " + uuid.format("9")),
        asked("id-client-traced", "x-request-id: " + uuid.format("a")),
        asked("via-empty", "via:"),
        asked("agent-empty", "user-agent:"),
        asked("via-of-the-host", upstream=response(200, "via: 1.1 theirs")),
        case(f"{listener}-https", get("https://h.example/a"), listener=listener),
        case(f"{listener}-http", get("HTTP://h.example/a", "x-forwarded-proto: https"), listener=listener),
        case(f"{listener}-options", request("OPTIONS", "/", "x-forwarded-host: a"), listener=listener),
    )


CASES = tuple(case for listener in LISTENERS for case in _of(listener))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
