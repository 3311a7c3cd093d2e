"""State, memory, logging, runtime, workers, and what can be done to the server."""

import json

import pytest

from proxyd.admin.context import DRAINING, RuntimeLayer
from tests.admin.conftest import Ask, FakeContext


def test_ready_says_the_state(ask: Ask, context: FakeContext) -> None:
    assert (ask("/ready").status, ask("/ready").body) == (200, b"LIVE\n")
    context.state = DRAINING
    assert (ask("/ready").status, ask("/ready").body) == (503, b"DRAINING\n")


def test_server_info(ask: Ask) -> None:
    reply = ask("/server_info")
    assert reply.content_type == "application/json"
    assert json.loads(reply.body) == {
        "version": "proxyd/1.0",
        "state": "LIVE",
        "uptime_current_epoch": "5s",
        "uptime_all_epochs": "13s",
        "hot_restart_version": "disabled",
        "command_line_options": {"concurrency": 2},
        "node": {"id": "edge-1"},
    }
    assert ask("/hot_restart_version").body == b"disabled"


def test_memory_is_six_numbers_as_strings_set_out_like_envoys(ask: Ask) -> None:
    assert ask("/memory").body.decode() == (
        '{\n "allocated": "100",\n "heap_size": "150",\n "pageheap_unmapped": "0",\n "pageheap_free": "50",\n'
        ' "total_thread_cache": "0",\n "total_physical_bytes": "200"\n}\n'
    )


def test_certs_and_init_dump(ask: Ask, context: FakeContext) -> None:
    assert ask("/certs").body == b'{\n "certificates": []\n}\n'
    context.used_certificates = [{"ca_cert": [], "cert_chain": [{"path": "a.crt"}]}]
    (used,) = json.loads(ask("/certs").body)["certificates"]
    assert used == context.used_certificates[0]
    assert ask("/init_dump").body == b"{}\n"


@pytest.mark.parametrize(
    ("target", "call"),
    [
        ("/healthcheck/fail", ("healthcheck_fail",)),
        ("/healthcheck/ok", ("healthcheck_ok",)),
        ("/reset_counters", ("reset_counters",)),
        ("/reopen_logs", ("reopen_logs",)),
        ("/quitquitquit", ("quit",)),
        ("/drain_listeners", ("drain_listeners", False, False, False)),
        ("/drain_listeners?graceful", ("drain_listeners", True, False, False)),
        ("/drain_listeners?skip_exit&inboundonly", ("drain_listeners", False, True, True)),
    ],
)
def test_what_can_be_done(ask: Ask, context: FakeContext, target: str, call: tuple[object, ...]) -> None:
    reply = ask(target, "POST")
    assert (reply.status, reply.body) == (200, b"OK\n")
    assert context.calls == [call]


def test_logging_shows_levels(ask: Ask, context: FakeContext) -> None:
    reply = ask("/logging", "POST")
    assert reply.body == b"active loggers:\n  admin: info\n  supervisor: info\n\n"
    assert ask("/logging?level=", "POST").status == 200
    assert context.calls == []


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("level=debug", {"admin": "debug", "supervisor": "debug"}),
        ("admin=trace", {"admin": "trace"}),
        ("paths=admin:off,supervisor:warning", {"admin": "off", "supervisor": "warning"}),
    ],
)
def test_logging_changes_levels(ask: Ask, context: FakeContext, query: str, wanted: dict[str, str]) -> None:
    reply = ask(f"/logging?{query}", "POST")
    assert reply.status == 200
    assert context.calls == [("set_log_levels", wanted)]
    for name, level in wanted.items():
        assert f"  {name}: {level}\n" in reply.body.decode()


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("level=warn", "unknown logger level"),
        ("nosuch=info", "unknown logger name"),
        ("admin=loud", "unknown logger level"),
        ("level=info&admin=debug", "invalid number of parameters"),
        ("paths=admin:debug,nosuch", "empty logger name or empty logger level"),
        ("paths=nosuch:debug", "unknown logger name"),
    ],
)
def test_logging_refuses(ask: Ask, context: FakeContext, query: str, error: str) -> None:
    reply = ask(f"/logging?{query}", "POST")
    assert reply.status == 400
    text = reply.body.decode()
    assert text.startswith(f"error: {error}\n\nusage: /logging?<name>=<level> (change single level)\n")
    assert "levels: trace debug info warning error critical off \n" in text
    assert text.endswith("active loggers:\n  admin: info\n  supervisor: info\n\n")
    assert context.calls == []


def test_runtime_without_layers(ask: Ask) -> None:
    assert json.loads(ask("/runtime").body) == {"layers": [], "entries": {}}
    reply = ask("/runtime_modify?a=b", "POST")
    assert (reply.status, reply.body) == (503, b"No admin layer specified")


def test_runtime_layers(ask: Ask, context: FakeContext) -> None:
    context.layers = [
        RuntimeLayer("static", {"a.b": "1", "c": "x"}),
        RuntimeLayer("admin", {"a.b": "7"}, admin=True),
    ]
    assert json.loads(ask("/runtime").body) == {
        "layers": ["static", "admin"],
        "entries": {
            "a.b": {"final_value": "7", "layer_values": ["1", "7"]},
            "c": {"final_value": "x", "layer_values": ["x", ""]},
        },
    }
    assert ask("/runtime_modify", "POST").status == 400
    assert ask("/runtime_modify?a=1&b=", "POST").body == b"OK\n"
    form = ask("/runtime_modify", "POST", b"zz=5", content_type="application/x-www-form-urlencoded")
    assert form.status == 200
    assert context.calls == [("runtime_modify", {"a": "1", "b": ""}), ("runtime_modify", {"zz": "5"})]


def test_workers(ask: Ask) -> None:
    head, line = ask("/workers").body.decode().splitlines()
    cells = dict(zip(head.split(), line.split(), strict=True))
    assert cells["pid"] == "4242"
    assert cells["state"] == "ready"
    assert (cells["connections"], cells["requests"], cells["active"]) == ("3", "70", "1")
    assert (cells["memory_mib"], cells["lag_ms"], cells["lag_max_ms"]) == ("64.0", "0.40", "20.00")
    [worker] = json.loads(ask("/workers?format=json").body)["workers"]
    assert worker["requests_total"] == 70
    assert worker["memory_bytes"] == 64 << 20
    assert worker["loop_lag_seconds"] == 0.0004
    assert ask("/workers?format=xml").status == 400


def test_a_log_that_stays_closed_is_named(ask: Ask, context: FakeContext) -> None:
    context.not_reopened = ["cannot open /x/log: Permission denied (worker 0)"]
    reply = ask("/reopen_logs", "POST")
    assert (reply.status, reply.body) == (500, b"cannot open /x/log: Permission denied (worker 0)\n")
