import asyncio
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

import proxyd
from proxyd import cli
from proxyd.supervisor import commands
from proxyd.supervisor.instance import RunDirectory
from proxyd.system import native

CONF = Path(__file__).resolve().parent.parent / "conf"
BROKEN = """\
static_resources:
  listenerz: []
  clusters:
  - name: a
    type: STATICC
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No proxyd.yaml in the working directory, and no instance but the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROXYD_RUN_DIR", str(tmp_path / "run"))
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.cli, words)


class FakeSupervisor:
    """An instance that gives the replies it was told to, one a command, and remembers the commands.

    The reply None hangs up without one.
    """

    def __init__(self, name: str = "default") -> None:
        self.replies: list[commands.Reply | None] = []
        self.ends_instead_of_answering = False
        self.received: list[commands.Command] = []
        self._directory = RunDirectory.claim(name, None)
        self._serves = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._serves.wait(20)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._server = await native.serve_control(self._directory.listen(), self._answer)
        self._serves.set()
        await self._ended.wait()
        for _ in range(4):
            await asyncio.sleep(0)  # asyncio loses, unclosed, whom it has let in as a server closes
        self._end()
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.gather(*others)

    def _end(self) -> None:
        if self._directory is not None:
            self._server.close()
            self._directory.close()
            self._directory = None

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.read(4)
        if head:  # else only a look whether somebody listens
            (length,) = struct.unpack("!I", head)
            request = msgspec.msgpack.decode(await reader.readexactly(length), type=commands.Request)
            self.received.append(request.command)
            if self.ends_instead_of_answering:
                self._end()
            elif reply := self.replies.pop(0):
                payload = msgspec.msgpack.encode(reply)
                writer.write(struct.pack("!I", len(payload)) + payload)
        writer.close()
        await writer.wait_closed()


@pytest.fixture
def supervisor(elsewhere: Path) -> Iterator[FakeSupervisor]:
    fake = FakeSupervisor()
    yield fake
    fake.close()


# -- what needs no instance ----------------------------------------------------------------------------------


def test_what_it_prints_is_utf8_whatever_the_code_page(elsewhere: Path) -> None:
    name = "gr\u00f6\u00dfe \u65e5\u672c.yaml"
    (elsewhere / name).write_text("node: {id: \u65e5\u672c}\r\n", "utf-8", newline="")
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    for words, said in (
        (("config", "-c", name), "  id: \u65e5\u672c"),
        (("validate", "-c", name), f"configuration '{name}' OK"),
        (("validate", "-c", f"no {name}"), f"no {name}: cannot read it: No such file or directory"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "proxyd", *words], capture_output=True, env=environment, check=False
        )
        output = (done.stdout + done.stderr).decode("utf-8")
        assert said in output.splitlines(), output


def test_version_tells_all_that_a_bug_report_needs() -> None:
    said = run("--version").output
    assert said.startswith(f"proxyd {proxyd.__version__} (CPython {sys.version.split()[0]}, ")
    assert "plain data plane" in said or "compiled data plane" in said


def test_validate_says_ok() -> None:
    path = str(CONF / "proxyd.yaml")
    result = run("validate", "-c", path)
    assert (result.exit_code, result.stdout) == (0, f"configuration '{path}' OK\n")


def test_validate_follows_the_files_that_the_bootstrap_names(elsewhere: Path) -> None:
    shutil.copytree(CONF / "edge", elsewhere, dirs_exist_ok=True)
    assert run("validate", "-c", "envoy.yaml").exit_code == 0
    clusters = Path("cds.yaml")
    clusters.write_text(clusters.read_text().replace("ROUND_ROBIN", "ROUND_ROBINX"))
    wrong = run("validate", "-c", "envoy.yaml")
    assert wrong.exit_code == 1
    assert 'cds.yaml:7:14: resources[0].lb_policy: unknown value "ROUND_ROBINX"' in wrong.stderr
    clusters.unlink()
    missing = run("validate", "-c", "envoy.yaml")
    assert missing.exit_code == 1
    assert "dynamic_resources.cds_config.path_config_source.path: there is no file" in missing.stderr


def test_validate_without_options_takes_what_would_run(elsewhere: Path) -> None:
    assert run("validate").stdout == "configuration 'embedded default' OK\n"
    (elsewhere / "proxyd.yaml").write_text((CONF / "proxyd.yaml").read_text())
    assert run("validate").stdout == "configuration 'proxyd.yaml' OK\n"


@pytest.mark.parametrize("command", ["validate", "config", "start"])
def test_all_mistakes_are_told_at_once(elsewhere: Path, command: str) -> None:
    (elsewhere / "bad.yaml").write_text(BROKEN)
    result = run(command, "-c", "bad.yaml")
    assert result.exit_code == 1
    assert result.stdout == ""
    first, second = (line for line in result.stderr.splitlines() if line.startswith("bad.yaml:"))
    assert first.startswith("bad.yaml:2:3: static_resources.listenerz: ")
    assert second.startswith("bad.yaml:5:11: static_resources.clusters[0].type: ")


def test_config_prints_what_loads_to_the_same() -> None:
    first = run("config", "--listen", "127.0.0.1:8080", "--upstream", "127.0.0.1:9000")
    assert first.exit_code == 0
    Path("made.yaml").write_text(first.stdout)
    assert run("config", "-c", "made.yaml").stdout == first.stdout


def test_listen_needs_an_upstream() -> None:
    result = run("config", "--listen", "127.0.0.1:8080")
    assert result.exit_code == 1
    assert "needs --upstream HOST:PORT" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["begin"],
        ["start", "--wrokers", "2"],
        ["start", "--workers", "0"],
        ["start", "--log-level", "loud"],
        ["start", "--component-log-level", "upstream"],
        ["start", "--component-log-level", "upstream:loud"],
        ["start", "--drain-time-s", "-1"],
        ["start", "--drain-time-s", "nan"],
        ["start", "--drain-time-s", "inf"],
        ["status", "extra"],
    ],
)
def test_a_command_line_that_makes_no_sense_is_code_2(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert "Error: " in result.stderr


@pytest.mark.parametrize("size", ["0", "-1", "many", "1KM", "M", "1.5G", ""])
def test_a_size_is_a_number_of_bytes(elsewhere: Path, size: str) -> None:
    result = run("start", "--log-rotate-size", size)
    assert result.exit_code == 2
    assert f"expected a size such as 100M, got {size!r}" in result.output


@pytest.mark.parametrize("command", ["reload", "stop", "status", "stats", "reopen-logs"])
def test_without_an_instance_the_commands_say_so(command: str) -> None:
    result = run(command)
    assert result.exit_code == 1
    assert re.fullmatch("proxyd: no .*running.*\\n", result.stderr)
    named = run(command, "--name", "edge")
    assert re.fullmatch("proxyd: no .*'edge'.*\\n", named.stderr)


# -- speaking to an instance ---------------------------------------------------------------------------------


def test_reload_reports(supervisor: FakeSupervisor, elsewhere: Path) -> None:
    supervisor.replies.append(
        commands.Reloaded(generation=2, workers=4, seconds=0.5, carried=7, drained=True)
    )
    result = run("reload", "--wait", "--workers", "4", "-c", "new.yaml")
    assert result.stdout == (
        "generation 2 has taken over with 4 workers in 0.50 s; "
        "the old workers have drained, 7 connections carried through\n"
    )
    wanted = commands.Reload(wait=True, workers=4, config_path=str(elsewhere / "new.yaml"))
    assert supervisor.received == [wanted]


def test_a_refusal_is_code_1_and_tells_every_reason(supervisor: FakeSupervisor) -> None:
    supervisor.replies.append(commands.Refused(("a.yaml:1:1: x: unknown field", "nothing has changed")))
    result = run("reload")
    assert result.exit_code == 1
    assert result.stderr == "a.yaml:1:1: x: unknown field\nnothing has changed\n"


def test_stop(supervisor: FakeSupervisor) -> None:
    supervisor.replies += [commands.Done(), commands.Done()]
    assert run("stop").stdout == "stopped\n"
    assert run("stop", "--now").exit_code == 0
    assert supervisor.received == [commands.Stop(), commands.Stop(now=True)]


def test_an_instance_that_ends_without_a_word_has_stopped(supervisor: FakeSupervisor) -> None:
    supervisor.ends_instead_of_answering = True
    assert (run("stop").exit_code, supervisor.received) == (0, [commands.Stop()])


def test_an_instance_that_hangs_up_and_runs_on_has_not_stopped(supervisor: FakeSupervisor) -> None:
    supervisor.replies.append(None)
    result = run("stop")
    assert result.exit_code == 1
    assert "ended before it answered" in result.stderr


def test_reopen_logs(supervisor: FakeSupervisor) -> None:
    supervisor.replies.append(commands.Done())
    assert run("reopen-logs").stdout == "logs reopened\n"
    assert supervisor.received == [commands.ReopenLogs()]


def _report() -> commands.StatusReport:
    worker = commands.WorkerStatus(
        worker=0,
        pid=101,
        generation=3,
        state="ready",
        connections=5,
        requests=1234,
        uptime_s=61.0,
        cpu_percent=12.34,
        memory_bytes=48 << 20,
        loop_lag_s=0.0015,
    )
    return commands.StatusReport(
        name="default",
        pid=100,
        version="0.1.0",
        state="LIVE",
        uptime_s=7200.0,
        generation=3,
        config="proxyd.yaml",
        admin="127.0.0.1:9901",
        listeners=(commands.ListenerStatus(name="http", addresses=("127.0.0.1:8080", "[::1]:8080")),),
        workers=(worker,),
        last_reload="",
    )


def test_status_for_people(supervisor: FakeSupervisor) -> None:
    supervisor.replies.append(_report())
    lines = run("status").stdout.splitlines()
    assert lines[:5] == [
        "instance       default (pid 100, proxyd 0.1.0)",
        "state          LIVE, generation 3, up 2 h",
        "config         proxyd.yaml",
        "admin          http://127.0.0.1:9901/",
        "listener http  127.0.0.1:8080, [::1]:8080",
    ]
    assert lines[-2:] == [
        "WORKER  PID  GENERATION  STATE  CONNECTIONS  REQUESTS  CPU %  MEMORY MiB  LAG ms  UP",
        "     0  101           3  ready            5      1234   12.3        48.0    1.50  1 min 1 s",
    ]


def test_status_for_machines(supervisor: FakeSupervisor) -> None:
    supervisor.replies.append(_report())
    report = json.loads(run("status", "--json").stdout)
    assert report["state"] == "LIVE"
    assert report["workers"][0]["pid"] == 101


def test_stats(supervisor: FakeSupervisor) -> None:
    supervisor.replies += [commands.StatsPage("a.b: 1\n"), commands.StatsPage('{"stats":[]}')]
    assert run("stats", "a.b", "--used").stdout == "a.b: 1\n"
    assert run("stats", "--json").stdout == '{"stats":[]}\n'
    assert supervisor.received == [
        commands.Stats(pattern="a.b", used_only=True),
        commands.Stats(format="json"),
    ]


def test_stats_watched_show_changes_until_interrupted(
    supervisor: FakeSupervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor.replies += [commands.StatsPage("rq: 1\n"), commands.StatsPage("rq: 4\n")]
    waits = iter([None])

    def sleep(_: float) -> None:
        try:
            next(waits)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(cli.time, "sleep", sleep)
    result = run("stats", "--watch")
    assert (result.exit_code, result.stdout) == (0, "rq: 1\nrq: 4  (+3)\n")


def test_among_several_instances_one_has_to_be_named(supervisor: FakeSupervisor) -> None:
    other = FakeSupervisor("edge")
    try:
        result = run("stop")
        assert result.exit_code == 1
        assert "several instances are running, choose one with --name: default, edge" in result.stderr
        other.replies.append(commands.Done())
        assert run("stop", "--name", "edge").exit_code == 0
        assert (supervisor.received, other.received) == ([], [commands.Stop()])
    finally:
        other.close()


# -- as a process --------------------------------------------------------------------------------------------


def test_a_reader_that_goes_away_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as broken:
        done = subprocess.run(
            [sys.executable, "-m", "proxyd", "config"], stdout=broken, stderr=subprocess.PIPE, check=False
        )
    assert done.stderr == b""


def test_a_full_disk_is_told_as_such() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "proxyd", "config"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (1, b"proxyd: No space left on device\n")


def test_a_quick_command_loads_no_data_plane() -> None:
    code = """
import sys
from proxyd.cli import cli
try:
    cli(["stats"])
except SystemExit as end:
    print(end.code, [name for name in ("proxyd.net", "proxyd.snapshot", "uvloop", "yaml", "anyio")
                     if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1 []\n"
