"""What is told about the client: x-forwarded-*, x-envoy-*, request ids, via; at the edge and behind it."""

import pytest

from tests.conformance.case import Case, case, cases_of, get, request, response
from tests.conformance.conftest import Agree

_ROUTES = """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /direct}, direct_response: {status: 200, body: {inline_string: x}}}
    - {match: {prefix: /https}, redirect: {https_redirect: true}}
    - {match: {prefix: /no-timeout}, route: {cluster: origin, timeout: 0s}}
    - {match: {prefix: /refused}, route: {cluster: refused}}
    - {match: {prefix: /}, route: {cluster: origin, timeout: 3s}}
"""

LISTENERS = {
    "inside": _ROUTES,
    "edge": _ROUTES + "use_remote_address: true\n",
    "edge-one-hop": _ROUTES + "use_remote_address: true\nxff_num_trusted_hops: 1\n",
    "inside-one-hop": _ROUTES + "xff_num_trusted_hops: 1\n",
    "edge-no-append": _ROUTES + "use_remote_address: true\nskip_xff_append: true\n",
    "via": _ROUTES + "via: proxy-1\n",
    "no-ids": _ROUTES + "generate_request_id: false\n",
    "keeps-ids": _ROUTES + "use_remote_address: true\npreserve_external_request_id: true\n",
    "with-internal": _ROUTES
    + "use_remote_address: true\n"
    + "internal_address_config: {cidr_ranges: [{address_prefix: 127.0.0.2, prefix_len: 32}]}\n",
    "told-port": _ROUTES + "use_remote_address: true\nappend_x_forwarded_port: true\n",
    "told-agent": _ROUTES + "add_user_agent: true\n",
    "cert-details": _ROUTES + "forward_client_cert_details: ALWAYS_FORWARD_ONLY\n",
    "scheme-https": _ROUTES + "scheme_header_transformation: {scheme_to_overwrite: https}\n",
    "tells-ids": _ROUTES + "always_set_request_id_in_response: true\n",
}

_FORGED = (
    "x-forwarded-for: 1.2.3.4, 5.6.7.8",
    "x-forwarded-proto: https",
    "x-forwarded-host: forged",
    "x-forwarded-port: 1",
    "x-forwarded-client-cert: forged",
    "x-request-id: abc",
    "x-envoy-external-address: 9.9.9.9",
    "x-envoy-internal: true",
    "x-envoy-original-path: /forged",
    "x-envoy-original-host: forged",
    "x-envoy-expected-rq-timeout-ms: 5",
    "x-envoy-upstream-rq-timeout-ms: 100",
    "x-envoy-upstream-rq-per-try-timeout-ms: 100",
    "x-envoy-upstream-rq-timeout-alt-response: 1",
    "x-envoy-retry-on: 5xx",
    "x-envoy-retry-grpc-on: cancelled",
    "x-envoy-max-retries: 2",
    "x-envoy-hedge-on-per-try-timeout: true",
    "x-envoy-upstream-alt-stat-name: x",
    "x-envoy-retriable-status-codes: 500",
    "x-envoy-retriable-header-names: x",
    "x-envoy-ip-tags: x",
    "x-envoy-decorator-operation: x",
    "x-envoy-downstream-service-cluster: x",
    "x-envoy-downstream-service-node: x",
    "x-envoy-attempt-count: 7",
    "x-envoy-is-timeout-retry: true",
    "x-envoy-force-trace: true",
    "x-envoy-something-else: 1",
    "x-client-trace-id: 1",
    "x-ot-span-context: 1",
    "x-b3-traceid: 1",
    "traceparent: 00-1-2-03",
    "via: 1.1 q",
    "forwarded: for=1.2.3.4",
)


def _of(listener: str) -> tuple[Case, ...]:
    """The same questions for each listener."""

    asked = cases_of(listener)
    return (
        asked("plain", get("/")),
        asked("forged", get("/", *_FORGED)),
        asked("forwarded-for", get("/", "x-forwarded-for: 1.2.3.4")),
        asked("forwarded-for-three", get("/", "x-forwarded-for: 1.1.1.1, 2.2.2.2,3.3.3.3")),
        asked("forwarded-for-no-address", get("/", "x-forwarded-for: unknown")),
        asked("forwarded-for-twice", get("/", "x-forwarded-for: 1.1.1.1", "x-forwarded-for: 2.2.2.2")),
        asked("forwarded-for-ipv6", get("/", "x-forwarded-for: 2001:db8::1")),
        asked("forwarded-proto", get("/", "x-forwarded-proto: https")),
        asked("forwarded-proto-odd", get("/", "x-forwarded-proto: wss")),
        asked("redirect-forwarded-proto", get("/https", "x-forwarded-proto: https")),
        asked("request-id", get("/", "x-request-id: mine")),
        asked("request-id-uuid", get("/", "x-request-id: 0a1b2c3d-0a1b-4c3d-8e9f-0a1b2c3d4e5f")),
        asked("request-id-direct", get("/direct", "x-request-id: mine")),
        asked("request-id-response", get("/"), upstream=response(200, "x-request-id: theirs")),
        asked("direct", get("/direct")),
        asked("failure", get("/refused")),
        asked("malformed", get("/", "x y: 1")),
        asked("via", get("/", "via: 1.1 other"), upstream=response(200, "via: 1.1 theirs")),
        asked("user-agent", get("/", "user-agent: curl/8", "x-forwarded-for: 1.1.1.1")),
        asked("no-timeout", get("/no-timeout")),
        asked("service-cluster", get("/", "x-envoy-downstream-service-cluster: x")),
        asked("timeout-asked-for", get("/", "x-envoy-upstream-rq-timeout-ms: 50")),
    )


CASES = (
    *_of("inside"),
    *_of("edge"),
    *_of("edge-one-hop"),
    *_of("inside-one-hop"),
    *_of("edge-no-append"),
    *_of("via"),
    *_of("no-ids"),
    *_of("keeps-ids"),
    *_of("tells-ids"),
    *_of("with-internal"),
    *_of("told-port"),
    *_of("told-agent"),
    *_of("cert-details"),
    *_of("scheme-https"),
    case("edge-of-loopback", get("/"), listener="edge", source="127.0.0.1"),
    case("edge-options", request("OPTIONS", "/"), listener="edge"),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
