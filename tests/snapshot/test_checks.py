"""A wrong access log format is a mistake like any other: with its place, beside all others."""

import pytest

from proxyd.config.load import ConfigErrors, Text, load_text
from proxyd.snapshot.checks import check_formats

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
                text_format_source: {{inline_string: "%BYTES_SENT% %DOWNSTREAM_TLS_VERSION%"}}
          route_config:
            virtual_hosts:
            - {{name: v, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: none}}}}]}}
          http_filters:
          - name: envoy.filters.http.router
"""


def test_formats_are_told_with_their_place_beside_other_mistakes() -> None:
    with pytest.raises(ConfigErrors) as caught:
        load_text(Text("p.yaml", CONFIGURATION), further=check_formats)
    place = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config"
    assert [str(mistake) for mistake in caught.value.mistakes] == [
        (
            "p.yaml:5:33: admin.access_log[0].typed_config.log_format.json_format: "
            "%RESPONSE_COD% is no operator; did you mean %RESPONSE_CODE%?"
        ),
        (
            f"p.yaml:19:37: {place}.access_log[0].typed_config.log_format.text_format_source: "
            "%DOWNSTREAM_TLS_VERSION% is not supported by proxyd"
        ),
        (
            f"p.yaml:22:88: {place}.route_config.virtual_hosts[0].routes[0].route.cluster: "
            'unknown cluster "none"'
        ),
    ]
