"""THE list of intended differences from Envoy. An entry that is no longer needed fails its case.

Each entry: why, the cases, and the fields in which they may differ (as the comparison prints them; ``*``
stands for anything). What is a mistake of proxyd's does not belong here but in ``owed.py``.
"""

from fnmatch import fnmatchcase
from typing import Any, NamedTuple


class Intended(NamedTuple):
    reason: str
    cases: tuple[str, ...]
    fields: tuple[str, ...] = ("*",)


# Listeners where a malformed message costs its stream alone.
_H2_STREAMS = ("h2-streams", "h2-streams-too")
_H2_FIELDS = (
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "te",
    "line-feed",
    "carriage-return",
    "nul",
    "name-with-space",
    "empty-name",
    "two-paths",
    "late-pseudo",
    "unknown-pseudo",
    "status",
    "bad-authority",
    "user",
    "path-with-space",
    "bad-method",
    "bad-scheme",
    "bad-length",
    "two-lengths",
    "trailers-with-pseudo",
    "protocol",
)
_H2_MESSAGES = (
    "no-path",
    "no-scheme",
    "no-method",
    "no-authority",
    "path-without-slash",
    "path-url",
    "star",
    "length-without-body",
)

INTENDED = (
    Intended(
        "HTTP/2: who breaks a rule is told so, by RST_STREAM and GOAWAY, where Envoy is silent; and which "
        "rule it was is not known where the engine refuses a field before it is seen",
        (*(f"h2-h2-{name}" for name in _H2_FIELDS), "h2-upper-case-name", "h2-control"),
        ("rest", "log[0].details"),
    ),
    Intended(
        "HTTP/2: who breaks a rule is told so, by RST_STREAM and GOAWAY; Envoy is silent",
        tuple(f"h2-h2-{name}" for name in _H2_MESSAGES),
        ("rest",),
    ),
    Intended(
        "HTTP/2: which rule was broken is not known: the engine refuses a field before it is seen",
        tuple(f"h2-{listener}-{name}" for listener in _H2_STREAMS for name in _H2_FIELDS),
        ("log[0].details",),
    ),
    Intended(
        "RFC 9113 section 8.3.1: a Host that differs from :authority is an attempt to be understood in two "
        "ways. Section 8.2.1: no value begins with a blank",
        ("h2-host-differs", "h2-leading-blank"),
    ),
    Intended(
        "RFC 9113 section 8.7: what a host says that it has not looked at is asked once more; Envoy does it "
        "where retry_on says so",
        ("h1-h2-reset-refused", "h2-up-reset-refused"),
    ),
    Intended(
        "HTTP2-Settings is a matter of one hop in HTTP/1, as it is called there",
        ("h2-http2-settings",),
        ("upstream[0].headers.http2-settings",),
    ),
    Intended(
        "RFC 9110 section 7.6.1: what Connection names goes no further, in responses either",
        ("h2-one-hop-fields",),
        ("responses[0].headers.x-a",),
    ),
    Intended(
        "RFC 9112 section 2.2: lines end in CRLF. To take a single LF for an end is a MAY, and what was one "
        "field for a hop in front of us would be two for us: the oldest way to smuggle",
        (
            "line-bare-lf",
            "field-bare-cr",
            "field-bare-cr-at-end",
            "field-bare-lf",
            "trailer-bare-lf",
            "strict-response-line-feeds",
        ),
    ),
    Intended(
        "RFC 9112 sections 3 and 3.2: the request line has single spaces and nothing behind its version",
        ("line-tab", "line-trailing-space", "strict-response-tab-in-line"),
    ),
    Intended(
        "RFC 9112 section 5.2: folded lines must be refused or made one; who frames by them may do neither",
        ("field-folded", "field-folded-tab", "field-folded-host", "trailer-folded", "strict-response-folded"),
    ),
    Intended(
        "RFC 9112 section 3.2: two Host fields are refused; http has no empty host (RFC 9110 section 4.2.1)",
        ("host-twice", "host-twice-same", "host-empty", "limits-old-no-host", "strict-absolute-two-hosts"),
    ),
    Intended(
        "RFC 9110 section 4.2.4: user information in a target is an error, as it is used to deceive",
        ("absolute-user", "strict-absolute-port-and-user"),
    ),
    Intended(
        "RFC 9112 section 7.1: a chunk is as long as it says, its lines end in CRLF, extensions are names "
        "and values without spaces, controls and open quotes. RFC 9110 section 6.5.1: framing is no matter "
        "of trailers",
        (
            "chunk-space-after",
            "chunk-longer-than-said",
            "chunk-bare-lf-behind-data",
            "chunk-extension-nul",
            "trailer-length",
            "strict-chunk-extension-empty",
            "strict-chunk-extension-tab",
            "strict-chunk-extension-spaces",
            "strict-chunk-extension-space-before",
            "strict-chunk-extension-high",
            "strict-chunk-extension-open-quote",
            "strict-chunk-size-too-large",
            "strict-chunk-trailer-coding",
            "strict-response-extension-open-quote",
        ),
    ),
    Intended(
        "RFC 9112 section 6.1: HTTP/1.0 has no transfer codings; section 2.3: nor is there an HTTP/0.9",
        (
            "old-chunked-request",
            "old-with-host-chunked-request",
            "old-http09",
            "old-with-host-http09",
        ),
    ),
    Intended(
        "RFC 9110 section 7.8: Upgrade in HTTP/1.0 is ignored",
        ("limits-old-upgrade",),
    ),
    Intended(
        "RFC 9112 section 6.3: 204 and 304 end with their heads; what Envoy sends behind them is read as the "
        "beginning of the next response",
        (
            "replies-plain-direct-204",
            "replies-plain-direct-304-head",
            "replies-mapped-204",
            "replies-mapped-204-head",
        ),
    ),
    Intended(
        "Of YAML's numbers Envoy knows those of 32 bits without fractions, and logs the others as text",
        ("values-numbers",),
        ("log[0].fraction", "log[0].large"),
    ),
    Intended(
        "RFC 9110 section 10.1.1: an expectation in HTTP/1.0 is ignored",
        ("old-expect", "old-with-host-expect"),
    ),
    Intended(
        "RFC 9112 section 3.2.2: without a path the target's is /, with a query too",
        ("absolute-query-no-path",),
    ),
    Intended(
        "A Connection field does not take away by which length the body is framed",
        ("connection-nominates-length",),
        ("upstream[0].*",),
    ),
    Intended(
        "RFC 9110 section 7.6.1: fields of one hop are dropped from responses too",
        ("response-hop-by-hop", "response-nominated"),
        ("responses[0].headers.*",),
    ),
    Intended(
        "Envoy joins the lines of some fields by commas, which means the same (RFC 9110 section 5.3)",
        ("fields-repeated", "response-fields"),
        ("*.headers.*",),
    ),
    Intended(
        "RFC 9112 section 4: a response has a known version 1.x and a status of three digits; a switch of "
        "protocols answers who asked for it (RFC 9110 section 7.8)",
        (
            "response-status-two-digits",
            "response-status-four-digits",
            "strict-response-status-099",
            "response-http2",
            "response-http12",
            "interim-101-unasked",
        ),
    ),
    Intended(
        "An interim response is not the start of the response",
        ("interim-then-close", "strict-response-interim-then-garbage"),
        ("log[0].details",),
    ),
    Intended(
        "Envoy ends a connection on which three local replies wait at once; here they wait their turn",
        ("three-kinds", "local-between", "ten-local"),
    ),
    Intended(
        "Envoy documents LOCAL_REPLY_BODY as what was answered, and leaves it empty in access logs",
        ("log-fields-direct", "log-fields-malformed", "log-fields-refused"),
        ("log[0].reply",),
    ),
    Intended("Envoy's list of methods has this one misspelt", ("method-M-SEARCH",)),
    Intended(
        "gRPC-Web as text: a message is passed on as it comes and as it is. Envoy waits for all of it, so "
        "that one that is cut off is not seen, and passes on raw what follows unknown flags",
        ("web-answer-cut", "web-answer-unknown-flags"),
        ("responses[0].body", "log[0].sent"),
    ),
    Intended(
        "grpc_http1_bridge: the prefix of an answer's message is taken away where it comes in pieces, too",
        ("bridge-upgrade-pieces",),
        ("responses[0].*", "log[0].sent"),
    ),
    Intended(
        "grpc_http1_bridge: Envoy calls a body of HTTP/2's clients gRPC, and does not make a message of it",
        ("h2-bridge-upgrade", "h2-bridge-upgrade-trailers"),
        ("upstream[0].headers.content-type",),
    ),
    Intended(
        "grpc_http1_bridge: Envoy makes no message of a body that has trailers behind it",
        ("bridge-http1-upgrade-chunk-and-trailers",),
        ("upstream[0].body",),
    ),
    Intended(
        "A field that no message has is a mistake in a file of resources too: Envoy ignores it there",
        ("lds-unknown-field", "lds-back-4"),
    ),
    Intended(
        "The statistics of a subscription that is gone are forgotten at once: in Envoy when all has drained",
        ("lds-nothing", "lds-back-5"),
        ("http.routed.rds.routes.config_reload",),
    ),
    Intended(
        "Envoy counts a cluster as added or modified before it finds out that it cannot have it",
        ("cds-name-of-a-host", "cds-mixed-with-a-host", "cds-mixed-last"),
        ("cluster_manager.cluster_added",),
    ),
    Intended(
        "One cluster that breaks a rule is refused alone, as a listener is: Envoy refuses its whole file",
        ("cds-mixed", "cds-back-2"),
    ),
    Intended(
        "A filter chain with server_names is found without the TLS inspector, too: Envoy never finds it then",
        ("sni-uninspected-name", "passes-through-uninspected"),
    ),
    Intended(
        "RFC 8446 section 5.1: nobody may send an empty record of a handshake",
        ("hello-empty-record",),
    ),
    Intended(
        "RFC 6066 section 3: a server's name has no final dot; with one it is the same name",
        ("hello-name-final-dot",),
        ("*log[0].sni",),
    ),
    Intended(
        "The PROXY protocol, section 2.2: a header of version 2 with an unspecified family must be accepted",
        ("v2-unspecified",),
    ),
    Intended(
        "What can be no PROXY header any more is refused at once: Envoy waits for more of it",
        ("v1-bare-lf", "none-short"),
    ),
    Intended(
        "Python cannot send an alert of its own choice over TLS 1.3, whose alerts are encrypted: the "
        "connection closes; over TLS 1.2 the alert is Envoy's",
        (
            "tls-spki-bare-1.3",
            "tls-hash-bare-1.3",
            "tls-hash-only-client-1.3",
            "tls-spki-or-hash-deep-1.3",
            "tls-two-names-bare-1.3",
            "tls-two-names-wildcard-client-1.3",
            "tls-san-dns-exact-bare-1.3",
            "tls-san-untyped-dns-bare-1.3",
            "tls-san-untyped-dns-wildcard-client-1.3",
            "tls-san-untyped-dns-covered-1.3",
            "tls-san-untyped-other-name-1.3",
            "tls-san-untyped-wildcard-1.3",
            "tls-san-untyped-none-1.3",
            "tls-san-dns-exact-other-1.3",
            "tls-san-other-exact-other-1.3",
            "tls-san-uri-exact-other-1.3",
            "tls-san-email-exact-other-1.3",
            "tls-san-ip-exact-other-1.3",
        ),
        ("tls.refused",),
    ),
    Intended(
        "OpenSSL has other alerts than BoringSSL for a certificate that is not valid yet or that signs in no "
        "agreed way, and none for bytes that are no TLS",
        (
            "tls-required-future-1.2",
            "tls-required-future-1.3",
            "tls-signatures-other-ecdsa-secp256r1-sha256-1.3",
            "tls-garbage",
        ),
        ("tls.*",),
    ),
    Intended(
        "Python does not say at which certificate of a chain a revocation list is missing; BoringSSL has two "
        "lines for a host that does not like how a client would sign",
        ("upstream-verified-crl-chain", "upstream-signatures-other", "upstream-signatures-other-13"),
        ("log[0].details", "log[0].why"),
    ),
    Intended(
        "require_client_certificate demands one where nothing is said of who may have signed it, too, and "
        "require_sni a name: Envoy lets everybody in",
        (
            "tls-required-unverified-nobody-1.2",
            "tls-required-unverified-nobody-1.3",
            "tls-required-unverified-client-1.2",
            "tls-required-unverified-client-1.3",
            "demands-name-missing",
        ),
    ),
    Intended(
        "The method is looked at before the controls in it", ("line-method-with-nul",), ("log[0].details",)
    ),
)


def unintended(case: str, found: dict[str, tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
    """The differences that no entry explains."""
    patterns = _patterns(case)
    return {
        key: values
        for key, values in found.items()
        if not any(fnmatchcase(key, pattern) for pattern, _ in patterns)
    }


def unneeded(case: str, found: dict[str, tuple[Any, Any]]) -> list[str]:
    """What entries allow this case and nothing in it uses."""
    return [
        f"{pattern} ({reason})"
        for pattern, reason in _patterns(case)
        if not any(fnmatchcase(key, pattern) for key in found)
    ]


def _patterns(case: str) -> list[tuple[str, str]]:
    return [
        (pattern.replace("[", "[[]"), entry.reason)
        for entry in INTENDED
        if case in entry.cases
        for pattern in entry.fields
    ]
