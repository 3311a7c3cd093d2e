"""Fields of which Envoy keeps one line, values joined by commas; of others it keeps as many as there are.

Whether a field is among them shows in two places: what an appended value becomes, and what is compared with a
matcher, the joined values or each of them.
"""

from typing import Final

_ONE_LINE_IN_BOTH: Final = frozenset(
    b"content-encoding content-type grpc-accept-encoding via x-envoy-attempt-count "
    b"x-envoy-decorator-operation x-request-id".split()
)
ONE_LINE_IN_REQUESTS: Final = _ONE_LINE_IN_BOTH | frozenset(
    b"accept accept-encoding access-control-request-headers access-control-request-method "
    b"access-control-request-private-network authorization cache-control expect grpc-timeout if-match "
    b"if-modified-since if-none-match if-range origin pragma referer te user-agent x-client-trace-id "
    b"x-envoy-downstream-service-cluster x-envoy-downstream-service-node x-envoy-expected-rq-timeout-ms "
    b"x-envoy-external-address x-envoy-is-timeout-retry x-envoy-original-host x-envoy-original-path "
    b"x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto".split()
)
ONE_LINE_IN_RESPONSES: Final = _ONE_LINE_IN_BOTH - {b"grpc-accept-encoding"} | frozenset(
    b"access-control-allow-credentials access-control-allow-headers access-control-allow-methods "
    b"access-control-allow-origin access-control-allow-private-network access-control-expose-headers "
    b"access-control-max-age age cache-control date etag expires grpc-message grpc-status last-modified "
    b"location proxy-status server vary x-envoy-degraded x-envoy-immediate-health-check-fail "
    b"x-envoy-ratelimited x-envoy-upstream-canary x-envoy-upstream-healthchecked-cluster "
    b"x-envoy-upstream-service-time".split()
)
