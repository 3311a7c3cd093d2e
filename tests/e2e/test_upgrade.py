"""Another process, of another version, takes over a running instance; nothing is lost, whatever happens."""

import re
import shutil
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

import proxyd
from proxyd.supervisor.commands import Refused, Reply, Upgrade, Upgraded
from proxyd.supervisor.instance import find
from tests import windows
from tests.e2e.conftest import HOLDING, Proxyd, StartProxyd, config, rewrite
from tests.e2e.load import Load
from tests.e2e.origin import Origin

PACKAGE = Path(proxyd.__file__).resolve().parent


pytestmark = pytest.mark.timeout(300)  # on a machine that is busy with more than this


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """A directory with the next version of proxyd."""
    root = tmp_path / "newer"
    shutil.copytree(PACKAGE, root / "proxyd", ignore=shutil.ignore_patterns("__pycache__"))
    init = root / "proxyd" / "__init__.py"
    text = init.read_text("utf-8")
    assert proxyd.__version__ in text
    init.write_text(text.replace(proxyd.__version__, "99.0.0"), "utf-8")
    return root


def _upgrade(instance: Proxyd, root: Path, executable: str = sys.executable) -> Reply:
    """What `proxyd upgrade` of the installation in ``root`` does."""
    return find(None, str(instance.directory)).call(Upgrade(executable=executable, root=str(root)))


def _refused(reply: Reply) -> str:
    assert isinstance(reply, Refused), reply
    return "\n".join(reply.reasons)


def test_upgrades_under_load_fail_no_request_and_keep_every_count(
    start: StartProxyd, origin: Origin, newer: Path
) -> None:
    instance = start(config(origin.address), "--workers", "2")
    port = instance.port()
    with Load(port, keep_alive=False) as fresh, Load(port, keep_alive=True) as kept:
        fresh.wait_for(20)
        kept.wait_for(20)
        done = _upgrade(instance, newer)
        assert isinstance(done, Upgraded)
        assert (done.version, done.former_version) == ("99.0.0", proxyd.__version__)
        assert instance.status()["version"] == "99.0.0"
        fresh.wait_for(50)
        kept.wait_for(50)
        done = _upgrade(instance, PACKAGE.parent)  # and back again
        assert isinstance(done, Upgraded)
        assert (done.version, done.generation, done.workers) == (proxyd.__version__, 3, 2)
        fresh.wait_for(50)
        kept.wait_for(50)
    assert fresh.failures == []
    assert kept.failures == []
    sent = fresh.answered + kept.answered
    instance.until(
        lambda: instance.counter("http.ingress.downstream_rq_completed") == sent, f"{sent} requests counted"
    )
    assert instance.counter("cluster.backend.upstream_rq_completed") == sent
    assert instance.counter("listener_manager.listener_added") == 3  # by each process


def test_who_started_it_keeps_it(start: StartProxyd, origin: Origin) -> None:
    """The first process goes on as the guardian of the second and the third."""
    instance = start(config(origin.address), "--workers", "1")
    first = instance.process.pid
    pids = [first]
    for _ in range(2):
        said = instance.command("upgrade", "--wait").stdout
        assert re.search(r"has taken over from .* with 1 worker .* has drained", said)
        instance.until(lambda: instance.status()["predecessor"] == 0, "the old process has ended")
        now = instance.status()["pid"]
        pids.append(now)
        if not windows.HERE:
            instance.until(lambda now=now: psutil.Process(now).ppid() == first, "the first one adopts it")
            instance.until(lambda: len(psutil.Process(first).children()) == 1, "the second one is gone")
    assert len(set(pids)) == 3
    assert psutil.pid_exists(first)
    instance.until(lambda: not psutil.pid_exists(pids[1]), "nobody needs the second one")
    if windows.HERE:
        instance.command("reload")
    else:
        instance.process.send_signal(signal.SIGHUP)
    instance.wait_for_log("reloaded: generation 4")
    family = instance.family()
    assert instance.end() == 0
    _, left = psutil.wait_procs(family, timeout=10)
    assert left == []


def test_a_guardian_ends_as_its_child_ends(start: StartProxyd, origin: Origin) -> None:
    instance = start(config(origin.address), "--workers", "1")
    instance.command("upgrade", "--wait")
    instance.until(lambda: instance.status()["predecessor"] == 0, "the old process has ended")
    psutil.Process(instance.status()["pid"]).kill()
    # Windows knows no signals: there psutil's kill() has the code of SIGTERM's number.
    assert instance.process.wait(90) == (signal.SIGTERM if windows.HERE else 128 + signal.SIGKILL)


def test_who_ends_a_guardian_by_force_ends_all(start: StartProxyd, origin: Origin) -> None:
    if not windows.HERE:
        pytest.skip("about Windows alone")
    instance = start(config(origin.address), "--workers", "1")
    for _ in range(2):
        instance.command("upgrade", "--wait")
        instance.until(lambda: instance.status()["predecessor"] == 0, "the old process has ended")
    family = instance.family()
    assert len(family) == 3
    instance.process.kill()
    _, left = psutil.wait_procs(family, timeout=30)
    assert left == []


def test_a_request_under_way_is_answered_by_the_old_process(start: StartProxyd, origin: Origin) -> None:
    instance = start(config(origin.address, routes=HOLDING), "--workers", "1")
    old = instance.status()["pid"]
    with socket.create_connection(("127.0.0.1", instance.port()), 30) as busy:
        busy.sendall(b"GET /hold HTTP/1.1\r\nhost: x\r\n\r\n")
        assert origin.holding.wait(30)
        said = instance.command("upgrade").stdout
        assert "the old process drains, 1 connection carried through" in said
        assert instance.status()["predecessor"] == old
        assert f"the old process (pid {old}) drains" in instance.command("status").stdout
        origin.release()
        answer = b""
        while data := busy.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"held")
    instance.until(lambda: instance.status()["predecessor"] == 0, "the old process has ended")
    assert instance.counter("http.ingress.downstream_rq_completed") == 1  # which the old one has counted


def test_a_stop_waits_for_the_old_process(start: StartProxyd, origin: Origin) -> None:
    instance = start(config(origin.address, routes=HOLDING), "--workers", "1")
    with socket.create_connection(("127.0.0.1", instance.port()), 30) as busy:
        busy.sendall(b"GET /hold HTTP/1.1\r\nhost: x\r\n\r\n")
        assert origin.holding.wait(30)
        instance.command("upgrade")
        instance.stop()
        instance.wait_for_log("draining")
        origin.release()
        assert busy.recv(65536).startswith(b"HTTP/1.1 200")
    assert instance.process.wait(90) == 0


def test_the_admin_api_stays_where_it_is(start: StartProxyd, origin: Origin) -> None:
    instance = start(config(origin.address), "--workers", "1")
    before = instance.status()
    instance.command("upgrade")
    after = instance.status()
    assert after["admin"] == before["admin"]
    assert after["pid"] != before["pid"]
    assert after["generation"] == 2
    assert after["uptime_s"] > before["uptime_s"]
    assert instance.admin("/ready") == (200, "LIVE\n")


def test_what_was_changed_at_run_time_stays(start: StartProxyd, origin: Origin) -> None:
    instance = start(config(origin.address), "--workers", "1")
    instance.command("reload", "--workers", "2")
    instance.admin("/logging?http=trace", "POST")
    instance.admin("/healthcheck/fail", "POST")
    instance.command("upgrade")
    assert len(instance.workers()) == 2
    assert "http: trace" in instance.admin("/logging", "POST")[1]
    assert instance.admin("/ready")[0] == 503


# -- what cannot take over


def _serves_on(instance: Proxyd, pid: int, family: list[psutil.Process]) -> None:
    assert instance.status()["pid"] == pid
    with socket.create_connection(("127.0.0.1", instance.port()), 30) as client:
        client.sendall(b"GET /name HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    instance.until(
        lambda: {each.pid for each in instance.family()} == {each.pid for each in family}, "no other"
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise RuntimeError('a broken version')", "a broken version"),
        ("import os; os.kill(os.getpid(), 9)", "status 9" if windows.HERE else "status -9"),
        ("", "No module named"),
    ],
)
def test_a_version_that_does_not_start_leaves_the_old_one_serving(
    start: StartProxyd, origin: Origin, tmp_path: Path, code: str, said: str
) -> None:
    instance = start(config(origin.address), "--workers", "1")
    pid, family = instance.process.pid, instance.family()
    broken = tmp_path / "broken"
    (broken / "proxyd").mkdir(parents=True)
    (broken / "proxyd" / "__init__.py").write_text(code)
    assert said in _refused(_upgrade(instance, broken))
    _serves_on(instance, pid, family)
    instance.command("upgrade")  # the good one still can


def test_an_interpreter_that_is_not_there(start: StartProxyd, origin: Origin) -> None:
    instance = start(config(origin.address), "--workers", "1")
    pid, family = instance.process.pid, instance.family()
    assert "/no/python cannot be started: No such file" in _refused(
        _upgrade(instance, PACKAGE.parent, "/no/python")
    )
    _serves_on(instance, pid, family)


def test_workers_that_do_not_start_leave_the_old_ones_serving(
    start: StartProxyd, origin: Origin, newer: Path
) -> None:
    instance = start(config(origin.address), "--workers", "1")
    pid, family = instance.process.pid, instance.family()
    main = newer / "proxyd" / "workers" / "main.py"
    main.write_text(main.read_text("utf-8").replace("def run(boot", "def gone(boot"), "utf-8")
    assert "the new workers cannot start" in _refused(_upgrade(instance, newer))
    _serves_on(instance, pid, family)


def test_a_configuration_with_a_mistake_leaves_the_old_one_serving(
    start: StartProxyd, origin: Origin
) -> None:
    good = config(origin.address)
    instance = start(good, "--workers", "1")
    pid, family = instance.process.pid, instance.family()
    bad = config(origin.address)
    bad["static_resources"]["clusters"][0]["nme"] = "x"
    rewrite(instance, bad)
    done = instance.command("upgrade", check=False)
    assert done.returncode == 1
    assert "proxyd.json:1:" in done.stderr
    assert "nme" in done.stderr
    _serves_on(instance, pid, family)
    rewrite(instance, good)
    instance.command("upgrade")


def test_a_stop_in_between_ends_both(start: StartProxyd, origin: Origin, tmp_path: Path) -> None:
    instance = start(config(origin.address), "--workers", "1")
    hanging = tmp_path / "hanging"
    (hanging / "proxyd").mkdir(parents=True)
    came = tmp_path / "came"
    (hanging / "proxyd" / "__init__.py").write_text(
        "import os, threading\n"
        f"with open({str(came)!r}, 'w') as file:\n"
        "    file.write(str(os.getpid()))\n"
        f"os.replace({str(came)!r}, {str(came) + '.whole'!r})\n"
        "threading.Event().wait()"
    )
    came = tmp_path / "came.whole"

    def ask() -> str:
        return _refused(_upgrade(instance, hanging))

    with ThreadPoolExecutor() as pool:
        asked = pool.submit(ask)
        instance.until(came.exists, "the new process has been started")
        both = [*instance.family(), psutil.Process(int(came.read_text()))]
        instance.stop()
        assert "stopping" in asked.result(90)
    assert instance.process.wait(90) == 0
    _, left = psutil.wait_procs(both, timeout=10)
    assert left == []
