"""Which requests an access log with a filter tells of: all kinds of filters, asked the same."""

import pytest

from tests.conformance.case import OK, Case, answer, cases_of, get, post
from tests.conformance.conftest import Agree

_ROUTES = """
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - {match: {prefix: /direct}, direct_response: {status: 500, body: {inline_string: mine}}}
    - {match: {prefix: /redirect}, redirect: {path_redirect: /x}}
    - {match: {prefix: /refused}, route: {cluster: refused}}
    - {match: {prefix: /b}, route: {cluster: origin}}
"""

_FILTERS = {
    "status-ge": "{status_code_filter: {comparison: {op: GE, value: {default_value: 400, runtime_key: x}}}}",
    "status-ne": "{status_code_filter: {comparison: {op: NE, value: {default_value: 200, runtime_key: x}}}}",
    "status-le": "{status_code_filter: {comparison: {op: LE, value: {default_value: 301, runtime_key: x}}}}",
    "flags": "{response_flag_filter: {flags: [NR, UF, DPE]}}",
    "any-flag": "{response_flag_filter: {}}",
    "header": "{header_filter: {header: {name: x-log, string_match: {prefix: y}, invert_match: true}}}",
    "duration": "{duration_filter: {comparison: {op: GE, value: {default_value: 60, runtime_key: x}}}}",
    "none": "{runtime_filter: {runtime_key: none}}",
    "half": "{runtime_filter: {runtime_key: none, percent_sampled: {numerator: 50}}}",
    "all": "{runtime_filter: {runtime_key: none, percent_sampled: {numerator: 100}}}",
    "both": """
  and_filter:
    filters:
    - {status_code_filter: {comparison: {op: GE, value: {default_value: 300, runtime_key: x}}}}
    - or_filter:
        filters:
        - {response_flag_filter: {flags: [NR]}}
        - {header_filter: {header: {name: ":method", string_match: {exact: POST}}}}
""",
}

LISTENERS = {f"filter-{name}": f"{_ROUTES}\nlog_filter: {text}\n" for name, text in _FILTERS.items()}


def _of(listener: str) -> tuple[Case, ...]:
    asked = cases_of(listener)
    by_id = (  # as the filter takes its lot from the id, both take the same
        asked("sampled", get("/b", "x-request-id: 00000001-0000-4000-8000-000000000000")),
        asked("not-sampled", get("/b", "x-request-id: 00000063-0000-4000-8000-000000000000")),
    )
    if listener == "filter-half":
        return by_id
    return (
        *by_id,
        asked("ok", get("/b")),
        asked("not-routed", get("/nothing")),
        asked("refused", get("/refused")),
        asked("malformed", get("/b", "x y: 1")),
        asked("wanted", get("/b", "x-log: yes")),
        asked("not-wanted", get("/b", "x-log: no")),
        asked("slow", get("/b"), answer=answer(0.1, OK)),
        asked("post", post("/direct", "a")),
        asked("redirect", get("/redirect")),
    )


CASES = tuple(case for listener in LISTENERS for case in _of(listener))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_envoy(case: Case, agree: Agree) -> None:
    agree(case)
