"""The container and the compose file, as far as that can be checked without an engine that runs them."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxyd.cli import cli
from proxyd.demo import containers
from proxyd.demo.stage import conf

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "conf" / "containers" / "compose.yaml"


def _dockerfile() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def _last(instruction: str) -> str:
    return [words for name, words in _dockerfile() if name == instruction][-1]


def _proxyd(words: list[str]) -> None:
    """Raise click's exception unless this is a command line of proxyd."""
    command = cli.get_command(cli.make_context("proxyd", ["--", *words], resilient_parsing=True), words[0])
    assert command is not None
    command.make_context(words[0], words[1:])


def _list(text: str) -> list[str]:
    parsed = yaml.safe_load(text)
    assert isinstance(parsed, list), "the exec form: with a shell as process 1 no signal would get through"
    return parsed


def test_it_is_not_root_and_hears_signals() -> None:
    user = _last("USER")
    assert user == "10001:10001"
    assert "--uid 10001" in _last("RUN")
    assert _last("STOPSIGNAL") == "SIGTERM"
    assert _list(_last("ENTRYPOINT")) == ["proxyd"]
    _proxyd(_list(_last("CMD")))


def test_its_health_is_what_the_instance_says() -> None:
    program, *words = _list(_last("HEALTHCHECK").partition("CMD ")[2])
    assert program == "proxyd"
    assert words == ["status", "--check"]
    _proxyd(words)


def test_everything_that_the_wheel_is_made_of_is_copied() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert all((ROOT / name).exists() for name in kept)
    pyproject = (ROOT / "pyproject.toml").read_text("utf-8")
    named = set(re.findall(r'^"((?:conf|docs)/[^"]+)" =', pyproject, re.MULTILINE))
    assert all(any(Path(name).is_relative_to(each) for each in kept) for name in named)
    assert {"proxyd", "hatch_build.py", "pyproject.toml", "README.md", "LICENSE"} <= kept


# -- the demonstration


def _services() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]
    return services


def test_the_services_are_those_of_the_demonstration() -> None:
    services = _services()
    assert set(services) == {"files", "front", "dog", "cat", "dog-application", "cat-application"}
    for name in ("front", "dog", "cat"):
        _proxyd(services[name]["command"])
        assert (conf("front-proxy") / services[name]["command"][-1]).exists()
        assert services[name]["depends_on"]["files"]["condition"] == "service_completed_successfully"
    for name in ("dog", "cat"):
        assert services[f"{name}-application"]["network_mode"] == f"service:{name}"
        assert services[f"{name}-application"]["command"] == ["application", name]


def test_the_files_know_the_services_by_their_names(tmp_path: Path) -> None:
    assert containers.main([*_services()["files"]["command"][:1], str(tmp_path)]) == 0
    clusters = yaml.safe_load((tmp_path / "front" / "cds.yaml").read_text())["resources"]
    found = {}
    for cluster in clusters:
        (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        found[cluster["name"]] = (
            cluster["type"],
            endpoint["endpoint"]["address"]["socket_address"]["address"],
        )
    assert found == {"dog": ("STRICT_DNS", "dog"), "cat": ("STRICT_DNS", "cat")}
    for name in ("front", "dog", "cat"):
        (listener,) = yaml.safe_load((tmp_path / name / "lds.yaml").read_text())["resources"]
        assert listener["address"]["socket_address"]["address"] == "0.0.0.0"
    admin = "{ address: 127.0.0.1, port_value: 9902 }"
    assert admin in (tmp_path / "dog" / "envoy.yaml").read_text()


@pytest.mark.parametrize("name", ["front", "dog", "cat"])
def test_the_files_are_valid(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    containers.lay(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["validate", "-c", f"{name}/envoy.yaml"])
    assert result.exit_code == 0, result.output


def test_words_that_make_no_sense(capsys: pytest.CaptureFixture[str]) -> None:
    assert containers.main(["application", "cow"]) == 2
    assert "usage" in capsys.readouterr().err


def _has_compose() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0


def test_compose_understands_the_file() -> None:
    if not _has_compose():
        pytest.skip("docker compose is not installed")
    command = shlex.split(f"docker compose -f {COMPOSE} config --quiet")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
