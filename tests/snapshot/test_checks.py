"""A wrong access log format is a mistake like any other: with its place, beside all others."""

import pytest

from proxyd.config.load import ConfigErrors, Text, load_text
from proxyd.snapshot.checks import check_texts

HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
CONFIGURATION = f"""\
admin:
  access_log:
  - typed_config:
      "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
      log_format: {{json_format: {{code: "%RESPONSE_COD%"}}}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/{HCM}
          stat_prefix: s
          access_log:
          - typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog
              log_format:
                text_format_source: {{inline_string: "%BYTES_SENT% %DOWNSTREAM_HEADER_BYTES_SENT%"}}
          route_config:
            virtual_hosts:
            - {{name: v, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: none}}}}]}}
          http_filters:
          - name: envoy.filters.http.router
"""


def test_formats_are_told_with_their_place_beside_other_mistakes() -> None:
    with pytest.raises(ConfigErrors) as caught:
        load_text(Text("p.yaml", CONFIGURATION), further=check_texts)
    place = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config"
    assert [str(mistake) for mistake in caught.value.mistakes] == [
        (
            "p.yaml:5:33: admin.access_log[0].typed_config.log_format.json_format: "
            "%RESPONSE_COD% is no operator; did you mean %RESPONSE_CODE%?"
        ),
        (
            f"p.yaml:19:37: {place}.access_log[0].typed_config.log_format.text_format_source: "
            "%DOWNSTREAM_HEADER_BYTES_SENT% is not supported by proxyd"
        ),
        (
            f"p.yaml:22:88: {place}.route_config.virtual_hosts[0].routes[0].route.cluster: "
            'unknown cluster "none"'
        ),
    ]


NO_EFFECT = "has no effect on safe_regex: write (?i) in the expression"
ROUTES = """\
- match: {safe_regex: {regex: "(a"}}
  route: {cluster: c, regex_rewrite: {pattern: {regex: "(a)"}, substitution: "\\\\2"}}
  request_headers_to_add: [{header: {key: x, value: "%NO%"}}]
- match:
    prefix: /
    headers: [{name: h, string_match: {safe_regex: {regex: "a"}, ignore_case: true}}]
  redirect: {regex_rewrite: {pattern: {regex: "["}, substitution: x}}
"""


def test_expressions_and_header_values_are_told_with_their_place() -> None:
    head, _, tail = CONFIGURATION.partition('            - {name: v, domains: ["*"], routes: [')
    routes = "".join(f"              {line}\n" for line in ROUTES.splitlines())
    tail = tail.partition("\n")[2]
    text = f'{head}            - name: v\n              domains: ["*"]\n              routes:\n{routes}{tail}'
    with pytest.raises(ConfigErrors) as caught:
        load_text(Text("p.yaml", text), further=check_texts)
    within = (
        "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0]"
    )
    assert [
        str(mistake).partition(f"{within}.")[2] for mistake in caught.value.mistakes if within in str(mistake)
    ] == [
        "routes[0].match.safe_regex.regex: no RE2 expression: missing ): (a",
        'routes[0].route.cluster: unknown cluster "c"',
        "routes[0].route.regex_rewrite.substitution: \\2 refers to a group, and the expression has 1",
        "routes[0].request_headers_to_add[0].header.value: %NO% is no operator",
        f"routes[1].match.headers[0].string_match.ignore_case: {NO_EFFECT}",
        "routes[1].redirect.regex_rewrite.pattern.regex: no RE2 expression: missing ]: [",
    ]
