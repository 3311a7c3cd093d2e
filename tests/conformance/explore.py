"""Invents configurations and exchanges, plays them on Envoy and proxyd, and tells where the two differ.

`python -m tests.conformance.explore --seed 7` plays what seed 7 invents; what it finds is told with listener
and bytes, to become a case of its own. Not part of the tests: whoever looks decides what is a mistake.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.conformance.case import Answer, Case
from tests.conformance.compare import differences, told
from tests.conformance.laboratory import Laboratory

_HOSTS = [
    "a.example",
    "A.Example",
    "a.example:80",
    "a.example:8080",
    "b.a.example",
    "x.y.a.example",
    "a.org",
    "a.example.",
    "[::1]",
    "[::1]:81",
    "10.0.0.1",
    "www.b.com",
    "b.com",
    "c",
]
_DOMAINS = [
    "a.example",
    "a.example:80",
    "*.a.example",
    "*.example",
    "*-x.example",
    "a.*",
    "www.b.*",
    "[::1]",
    "*",
    "B.com",
    "*.com",
    "10.0.0.1",
]
_PATHS = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/c",
    "/A/b",
    "/ab",
    "/a?q=1",
    "/a/b?q=1&r=2",
    "/a?q=&q=2",
    "/a?Q=1&q=%31",
    "/b/1",
    "/b/12x",
    "/a//b",
    "/a/./b",
    "/a/../b",
    "/a%2fb",
    "/a%2Fb/c",
    "/a%20b",
    "/a;p=1",
    "/a?x=/a/b",
    "/%61",
    "/a\\b",
    "/a/b/",
    "//a",
    "/a?",
    "/a?q",
    "/long/" + "x" * 60,
]
_NAMES = [
    "x-a",
    "x-b",
    "x-a-b",
    "accept",
    "user-agent",
    "cookie",
    "x-request-id",
    "x-forwarded-for",
    "via",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-envoy-original-path",
    "referer",
    "authorization",
    "x_u",
]
_VALUES = [
    "1",
    "2",
    "-5",
    "10",
    "abc",
    "ABC",
    "abcdef",
    "",
    "a,b",
    "true",
    " padded ",
    "v\tt",
    "http",
    "https",
    "1.2.3.4",
    "1.2.3.4, 5.6.7.8",
    "a=b; c=d",
]
_EXPRESSIONS = ["[0-9]+", "a.*", ".*b", "(abc|[0-9])*", "^a", "1$", "(?i)abc", "a|ab", "[^/]*"]
_FORMATS = [
    "plain",
    "%REQ(x-a)%",
    "%REQ(:path)%",
    "%REQ(x-b?x-a)%",
    "%PROTOCOL%",
    "%RESPONSE_CODE%",
    "%%",
    "<%REQ(x-a):2%>",
    "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "%RESP(x-t)%",
    "%REQ(:authority)%",
    "%ROUTE_NAME%",
    "%UPSTREAM_CLUSTER%",
    "%RESPONSE_FLAGS%",
    "%REQ(:METHOD)% %REQ(:SCHEME)%",
    "",
]
_ACTIONS = ["APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS"]
_STATUSES = [200, 201, 204, 206, 301, 304, 400, 401, 403, 404, 418, 500, 502, 503, 504, 599]


class Inventor:
    """Draws everything from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def _maybe(self, chance: float) -> bool:
        return self._random.random() < chance

    def _pick(self, items: list[Any]) -> Any:
        return self._random.choice(items)

    def _some(self, items: list[Any], most: int) -> list[Any]:
        return self._random.sample(items, self._random.randint(0, most))

    # -- configuration

    def _text_match(self) -> dict[str, Any]:
        kind = self._pick(["exact", "prefix", "suffix", "contains", "safe_regex"])
        if kind == "safe_regex":
            return {"safe_regex": {"regex": self._pick(_EXPRESSIONS)}}
        match = {kind: self._pick(["1", "abc", "a", "b", "ABC", "bc"])}
        if self._maybe(0.3):
            match["ignore_case"] = True
        return match

    def _header_match(self) -> dict[str, Any]:
        match: dict[str, Any] = {
            "name": self._pick([*_NAMES[:6], ":method", ":path", ":authority", ":scheme"])
        }
        kind = self._pick(["string", "range", "present", "absent"])
        if kind == "string":
            match["string_match"] = self._text_match()
        elif kind == "range":
            match["range_match"] = {"start": -5, "end": 10}
        else:
            match["present_match"] = kind == "present"
        if self._maybe(0.3):
            match["invert_match"] = True
        if self._maybe(0.2):
            match["treat_missing_header_as_empty"] = True
        return match

    def _match(self) -> dict[str, Any]:
        kind = self._pick(["prefix", "prefix", "path", "path_separated_prefix", "safe_regex"])
        match: dict[str, Any] = {}
        if kind == "safe_regex":
            match["safe_regex"] = {"regex": self._pick(["/a.*", "/[ab]/.*", "/b/[0-9]+", "/.*", "/a(/b)?"])}
        elif kind == "path_separated_prefix":
            match[kind] = self._pick(["/a", "/a/b", "/b"])
        else:
            match[kind] = self._pick(["/", "/a", "/a/", "/a/b", "/A/B", "/b", "/a%2fb"])
        if kind != "safe_regex" and self._maybe(0.2):
            match["case_sensitive"] = False
        if self._maybe(0.3):
            match["headers"] = [self._header_match() for _ in range(self._random.randint(1, 2))]
        if self._maybe(0.2):
            parameter: dict[str, Any] = {"name": self._pick(["q", "r", "Q"])}
            parameter |= self._pick([{"present_match": True}, {"string_match": self._text_match()}])
            match["query_parameters"] = [parameter]
        return match

    def _mutations(self, chance: float) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for side in ("request", "response"):
            if self._maybe(chance):
                names = ["x-a", "x-b", "x-t", "X-New", "server", "date", "via", "content-type", "user-agent"]
                found[f"{side}_headers_to_add"] = [
                    {
                        "header": {"key": self._pick(names), "value": self._pick(_FORMATS)},
                        "append_action": self._pick(_ACTIONS),
                        "keep_empty_value": self._maybe(0.3),
                    }
                    for _ in range(self._random.randint(1, 3))
                ]
            if self._maybe(chance / 2):
                found[f"{side}_headers_to_remove"] = self._some(
                    ["x-a", "x-t", "X-New", "server", "accept"], 2
                )
        return found

    def _rewrites(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self._maybe(0.4):
            found |= self._pick(
                [
                    {"prefix_rewrite": self._pick(["/", "/new", "/new/", "/n?z=1"])},
                    {"regex_rewrite": {"pattern": {"regex": "/(a|b)"}, "substitution": "/n\\1"}},
                    {"regex_rewrite": {"pattern": {"regex": "[0-9]+"}, "substitution": "N"}},
                ]
            )
        if self._maybe(0.3):
            found |= self._pick(
                [
                    {"host_rewrite_literal": "rewritten.example"},
                    {"host_rewrite_header": "x-a"},
                    {"auto_host_rewrite": True},
                    {
                        "host_rewrite_path_regex": {
                            "pattern": {"regex": "^/([^/]+).*$"},
                            "substitution": "\\1.h",
                        }
                    },
                ]
            )
            if self._maybe(0.5):
                found["append_x_forwarded_host"] = True
        return found

    def _route(self, number: int) -> dict[str, Any]:
        route: dict[str, Any] = {"match": self._match(), "name": f"route-{number}", **self._mutations(0.25)}
        kind = self._random.random()
        if kind < 0.2:
            body = {"inline_string": self._pick(["", "text", "line\n"])}
            route["direct_response"] = {"status": self._pick(_STATUSES), "body": body}
        elif kind < 0.4:
            choices = [
                ("https_redirect", True),
                ("host_redirect", "r.example"),
                ("port_redirect", 8443),
                ("strip_query", True),
                ("response_code", "FOUND"),
            ]
            redirect = dict(self._some(choices, 3))
            redirect |= self._pick([{}, {"path_redirect": "/p?z"}, {"prefix_rewrite": "/p"}])
            route["redirect"] = redirect
        elif kind < 0.5:
            weights = [
                {"name": name, "weight": weight, **self._mutations(0.3)}
                for name, weight in (("origin", 1), ("kept", 0))
            ]
            route["route"] = {"weighted_clusters": {"clusters": weights}, **self._rewrites()}
        elif kind < 0.55:
            route["route"] = {"cluster_header": "x-b", **self._rewrites()}
        else:
            route["route"] = {
                "cluster": self._pick(["origin"] * 6 + ["refused", "empty"]),
                **self._rewrites(),
            }
        return route

    def _local_reply(self) -> dict[str, Any]:
        mappers = []
        for _ in range(self._random.randint(0, 2)):
            value = {"default_value": self._pick([400, 404, 503]), "runtime_key": "none"}
            code = {"comparison": {"op": self._pick(["EQ", "GE", "LE"]), "value": value}}
            mapper: dict[str, Any] = {"filter": {"status_code_filter": code}}
            if self._maybe(0.5):
                mapper["status_code"] = self._pick([200, 404, 429, 500])
            if self._maybe(0.5):
                mapper["body"] = {"inline_string": self._pick(["mapped %RESPONSE_CODE%", "m"])}
            if self._maybe(0.4):
                mapper["headers_to_add"] = [{"header": {"key": "x-mapped", "value": self._pick(_FORMATS)}}]
            if self._maybe(0.3):
                mapper["body_format_override"] = {
                    "json_format": {"code": "%RESPONSE_CODE%", "body": "%LOCAL_REPLY_BODY%"}
                }
            mappers.append(mapper)
        found: dict[str, Any] = {"mappers": mappers}
        if self._maybe(0.3):
            text = "%LOCAL_REPLY_BODY%:%RESPONSE_CODE%:%REQ(:path)%\n"
            found["body_format"] = {"text_format_source": {"inline_string": text}}
        return found

    def listener(self) -> str:
        """A connection manager's YAML."""
        domains = self._random.sample(_DOMAINS, self._random.randint(2, 6))
        hosts = [
            {
                "name": f"host-{number}",
                "domains": [domain],
                "routes": [self._route(place) for place in range(self._random.randint(1, 5))],
                **self._mutations(0.15),
            }
            for number, domain in enumerate(domains)
        ]
        options: dict[str, Any] = {}
        for name, chance, values in (
            ("use_remote_address", 0.4, [True]),
            ("xff_num_trusted_hops", 0.3, [1, 2]),
            ("skip_xff_append", 0.2, [True]),
            ("append_x_forwarded_port", 0.2, [True]),
            ("via", 0.3, ["proxy"]),
            ("server_name", 0.2, ["named"]),
            ("server_header_transformation", 0.3, ["OVERWRITE", "APPEND_IF_ABSENT", "PASS_THROUGH"]),
            ("normalize_path", 0.3, [True]),
            ("merge_slashes", 0.3, [True]),
            ("path_with_escaped_slashes_action", 0.3,
             ["KEEP_UNCHANGED", "REJECT_REQUEST", "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD"]),
            ("strip_any_host_port", 0.2, [True]),
            ("strip_trailing_host_dot", 0.2, [True]),
            ("preserve_external_request_id", 0.2, [True]),
            ("always_set_request_id_in_response", 0.2, [True]),
            ("generate_request_id", 0.2, [False]),
            ("proxy_100_continue", 0.1, [True]),
            ("http_protocol_options", 0.3,
             [{"accept_http_10": True, "default_host_for_http_10": "a.example"}]),
            ("common_http_protocol_options", 0.3,
             [{"headers_with_underscores_action": "DROP_HEADER"},
              {"headers_with_underscores_action": "REJECT_REQUEST"}, {"max_headers_count": 6}]),
            ("internal_address_config", 0.3,
             [{"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}]),
        ):  # fmt: skip
            if self._maybe(chance):
                options[name] = self._pick(values)
        if self._maybe(0.4):
            options["local_reply_config"] = self._local_reply()
        table = {"virtual_hosts": hosts, **self._mutations(0.15)}
        if self._maybe(0.2):
            table["ignore_port_in_host_matching"] = True
        return str(yaml.safe_dump({"route_config": table, **options}))

    # -- exchanges

    def _request(self) -> bytes:
        method = self._pick(["GET"] * 6 + ["POST", "PUT", "HEAD", "HEAD", "DELETE", "OPTIONS", "PATCH"])
        version = "1.0" if self._maybe(0.08) else "1.1"
        host = self._pick(_HOSTS)
        path = self._pick(_PATHS)
        if self._maybe(0.08):
            path = f"http://{host}{path}"
        lines = [f"{method} {path} HTTP/{version}", f"Host: {host}"]
        names = self._some(_NAMES, 5)
        lines += [f"{self._pick([name, name.title()])}: {self._pick(_VALUES)}" for name in names]
        if self._maybe(0.1):
            lines.append("content-type: application/grpc")
        if self._maybe(0.1):
            lines.append(
                self._pick(
                    ["connection: close", "connection: keep-alive", "expect: 100-continue", "te: trailers"]
                )
            )
        if self._maybe(0.1):
            lines.append(f"x-envoy-upstream-rq-timeout-ms: {self._pick(['100', '0', 'x'])}")
        body = ""
        if method in ("POST", "PUT", "PATCH") and self._maybe(0.8):
            if self._maybe(0.5):
                body = "hello"
                lines.append("content-length: 5")
            else:
                body = "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
                lines.append("transfer-encoding: chunked")
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")

    def _answer(self) -> Answer:
        status = self._pick(_STATUSES)
        lines = [f"HTTP/1.1 {status} Any"]
        names = ["x-t", "server", "date", "via", "content-type", "X-New", "etag", "location"]
        lines += [f"{name}: {self._pick(['1', 'text/plain', 'other'])}" for name in self._some(names, 4)]
        body = ""
        if status not in (204, 304):
            if self._maybe(0.6):
                body = "ok"
                lines.append("content-length: 2")
            elif self._maybe(0.5):
                body = "2\r\nok\r\n0\r\n\r\n"
                lines.append("transfer-encoding: chunked")
            else:
                lines.append("content-length: 0")
        return Answer((("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1"),))

    def case(self, name: str, listener: str) -> Case:
        request = self._request()
        answer = self._answer()
        if request.startswith(b"HEAD"):
            head, end, _ = answer.steps[0].partition(b"\r\n\r\n")  # type: ignore[union-attr]
            answer = Answer((head + end,))
        return Case(name, (request,), listener=listener, answers=(answer,), source="127.0.0.2")


def main(arguments: list[str]) -> int:
    """Play and tell; 1 where something differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--listeners", type=int, default=20)
    parser.add_argument("--cases", type=int, default=400)
    options = parser.parse_args(arguments)
    inventor = Inventor(options.seed)
    listeners = {f"invented-{number}": inventor.listener() for number in range(options.listeners)}
    names = list(listeners)
    cases = [inventor.case(f"case-{n}", names[n % len(names)]) for n in range(options.cases)]
    with tempfile.TemporaryDirectory() as folder:
        laboratory = Laboratory(cases, listeners, "", Path(folder))
    count = 0
    for case in cases:
        found = differences(laboratory.observed["envoy"][case.name], laboratory.observed["proxyd"][case.name])
        if found:
            count += 1
            steps = f"{case.sends[0]!r}\n{case.answers[0].steps[0]!r}"
            sys.stdout.write(f"== {case.name} on {case.listener}\n{steps}\n{told(found)}\n")
            sys.stdout.write(listeners[case.listener])
    sys.stdout.write(f"{count} of {len(cases)} exchanges differ\n")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
