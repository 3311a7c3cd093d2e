"""Dispatch: methods, unknown paths, allow_paths, errors, and what goes with every reply."""

import logging

import pytest

from proxyd.admin.endpoints import ENDPOINTS
from proxyd.admin.messages import AdminReply
from tests.admin.conftest import Ask, FakeContext

CHANGING = [endpoint.path for endpoint in ENDPOINTS if endpoint.changes]
READING = [endpoint.path for endpoint in ENDPOINTS if not endpoint.changes]


def body(reply: AdminReply) -> str:
    return reply.body.decode()


def test_the_table_has_envoys_paths_and_workers() -> None:
    assert set(CHANGING) == {
        "/drain_listeners", "/healthcheck/fail", "/healthcheck/ok", "/logging", "/quitquitquit",
        "/reopen_logs",
        "/reset_counters", "/runtime_modify",
    }  # fmt: skip
    assert set(READING) == {
        "/", "/certs", "/clusters", "/config_dump", "/help", "/hot_restart_version", "/init_dump",
        "/listeners",
        "/memory", "/ready", "/runtime", "/server_info", "/stats", "/stats/prometheus", "/workers",
    }  # fmt: skip


@pytest.mark.parametrize("path", READING)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_reading_is_open_to_every_method(ask: Ask, path: str, method: str) -> None:
    reply = ask(path, method)
    assert reply.status == 200
    assert ("cache-control", "no-cache, max-age=0") in reply.headers
    assert ("x-content-type-options", "nosniff") in reply.headers
    assert reply.body


@pytest.mark.parametrize("path", CHANGING)
@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
def test_changing_needs_post(ask: Ask, context: FakeContext, path: str, method: str) -> None:
    reply = ask(path, method)
    assert reply.status == 405
    assert reply.content_type == "text/plain; charset=UTF-8"
    assert body(reply) == f"Method {method} not allowed, POST required."
    assert context.calls == []


@pytest.mark.parametrize("path", ["/nosuch", "/stats/", "/help/", "", "/stats/recentlookups"])
def test_an_unknown_path_is_told_what_there_is(ask: Ask, path: str) -> None:
    reply = ask(path)
    assert reply.status == 404
    assert body(reply).startswith("invalid path. admin commands are:\n  /: ")


def test_help_lists_paths_sorted_with_methods_parameters_and_choices(ask: Ask) -> None:
    lines = body(ask("/help")).splitlines()
    assert lines[0] == "admin commands are:"
    paths = [line.split(":")[0].split()[0] for line in lines if line.startswith("  /")]
    assert paths == sorted(paths)
    assert any(line.startswith("  /quitquitquit (POST): ") for line in lines)
    assert any(line.startswith("      format: ") and line.endswith("; One of (text, json)") for line in lines)


def test_only_allowed_paths_are_answered(ask: Ask, context: FakeContext) -> None:
    context.config["admin"] = {
        "allow_paths": [{"prefix": "/stats"}, {"exact": "/Ready", "ignore_case": True}, {"safe_regex": {}}]
    }
    assert ask("/stats?filter=x").status == 200
    assert ask("/ready").status == 200
    refused = ask("/server_info")
    assert refused.status == 403
    assert body(refused) == "request to path /server_info not allowed"
    assert ask("/nosuch").status == 403
    assert ask("/quitquitquit", "POST").status == 403


@pytest.mark.parametrize(
    ("matcher", "path", "allowed"),
    [
        ({"suffix": "info"}, "/server_info", True),
        ({"contains": "ver_"}, "/server_info", True),
        ({"contains": "VER_", "ignore_case": True}, "/server_info", True),
        ({"suffix": "INFO"}, "/server_info", False),
        ({"safe_regex": {"regex": "/server_.*"}}, "/server_info", True),
        ({"safe_regex": {"regex": "server_.*"}}, "/server_info", False),
        ({"unknown": ""}, "/server_info", False),
        ("/server_info", "/server_info", False),
    ],
)
def test_matchers_of_allowed_paths(
    ask: Ask, context: FakeContext, matcher: object, path: str, allowed: bool
) -> None:
    context.config["admin"] = {"allow_paths": [matcher]}
    assert ask(path).status == (200 if allowed else 403)


def test_a_handler_that_fails_is_a_500_for_that_request_only(
    ask: Ask, context: FakeContext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode() -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(context, "memory", explode)
    with caplog.at_level(logging.ERROR):
        reply = ask("/memory")
    assert reply.status == 500
    assert b"boom" not in reply.body
    assert "RuntimeError: boom" in caplog.text
    assert ask("/ready").status == 200


def test_too_many_parameters_are_refused(ask: Ask) -> None:
    assert ask("/stats?" + "a=1&" * 2000).status == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9901", 200),
        ("[::1]:9901", 200),
        ("localhost", 200),
        ("LOCALHOST.:9901", 200),
        ("Admin.Example:9901", 200),
        ("evil.example", 403),
        ("evil.example:9901", 403),
        ("", 403),
    ],
)
def test_only_our_own_host_names_are_answered(ask: Ask, context: FakeContext, host: str, status: int) -> None:
    context.hosts = ["admin.example"]
    assert ask("/ready", host=host).status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:9901"}, 200),
        ({"sec_fetch_site": "same-origin", "origin": "http://127.0.0.1:9901"}, 200),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:8080"}, 403),
    ],
)
def test_another_site_cannot_change_anything(
    ask: Ask, context: FakeContext, headers: dict[str, str], status: int
) -> None:
    reply = ask("/reset_counters", "POST", host="127.0.0.1:9901", **headers)
    assert reply.status == status
    assert bool(context.calls) == (status == 200)
