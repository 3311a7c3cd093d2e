"""The listener on which most cases are played: nothing special configured."""

LISTENERS = {
    "basic": """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {path: /direct}, direct_response: {status: 418, body: {inline_string: teapot}}}
    - {match: {path: /direct/empty}, direct_response: {status: 204}}
    - {match: {prefix: /redirect}, redirect: {path_redirect: /elsewhere}}
    - {match: {prefix: /refused}, route: {cluster: refused}, name: refused-route}
    - {match: {prefix: /empty}, route: {cluster: empty}}
    - {match: {prefix: /full}, route: {cluster: full}}
    - {match: {prefix: /kept}, route: {cluster: kept}}
    - {match: {prefix: /brief}, route: {cluster: origin, timeout: 0.2s}}
    - {match: {prefix: /idle}, route: {cluster: origin, idle_timeout: 0.2s}}
    - {match: {prefix: /patient}, route: {cluster: origin, timeout: 0s}}
    - {match: {prefix: /b}, route: {cluster: origin}, name: b-route}
"""
}
