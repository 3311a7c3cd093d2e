"""Every task's configuration loads and says what it is to say."""

from pathlib import Path

import pytest
from configurations import WRITERS, Task, envoy

from proxyd.config.load import load_text
from proxyd.config.sources import Text
from proxyd.snapshot.build import compile_snapshot
from proxyd.stats.metrics import Registry

TASKS = [Task(), Task(routes=3), Task("grpc"), Task("websocket"), Task("tcp")]


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_it_loads_in_proxyd(task: Task, tmp_path: Path) -> None:
    snapshot = compile_snapshot(
        load_text(Text("benchmark", envoy(8080, 8081, task, tmp_path))), Registry(), 0
    )
    assert len(snapshot.listeners) == 1


@pytest.mark.parametrize("dialect", sorted(WRITERS))
@pytest.mark.parametrize(
    ("task", "word"),
    [
        (Task(routes=3), "/r2/"),
        (Task(tls=True), ".pem"),
        (Task("grpc"), {"envoy": "http2_protocol_options", "nginx": "grpc_pass", "haproxy": "proto h2"}),
        (Task("tcp"), {"envoy": "TcpProxy", "nginx": "stream {", "haproxy": "mode tcp"}),
        (Task("websocket"), {"envoy": "upgrade_configs", "nginx": "$http_upgrade", "haproxy": "mode http"}),
    ],
    ids=str,
)
def test_only_the_task_that_needs_it_has_it(
    dialect: str, task: Task, word: str | dict[str, str], tmp_path: Path
) -> None:
    write = WRITERS[dialect]
    wanted = word if isinstance(word, str) else word[dialect]
    assert wanted in write(8080, 8081, task, tmp_path)
    assert wanted == "mode http" or wanted not in write(8080, 8081, Task(), tmp_path)
