"""The wheel in an environment of its own, without the repository."""

import http.client
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import proxyd
from tests.e2e.conftest import Proxyd

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a clean environment with nothing but the wheel and what it needs."""
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    folder = tmp_path_factory.mktemp("clean")

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    (wheel,) = folder.glob("proxyd-*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", str(folder / "env"))
    python = str(folder / "env" / "bin" / "python")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", str(wheel))
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    # What it needs comes from here; .pth files in there, such as that of this checkout, are not heeded.
    (site / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env" / "bin"


def _run(program: Path, *words: str) -> str:
    done = subprocess.run(
        [program, *words], cwd=program.parent, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_it_brings(installed: Path) -> None:
    command = installed / "proxyd"
    where = _run(installed / "python", "-c", "import proxyd; print(proxyd.__file__)")
    assert where.startswith(str(installed.parent))
    assert _run(command, "--version").startswith(f"proxyd {proxyd.__version__} ")
    assert "proxyd is running." in _run(command, "config")  # the configuration that is built in
    _run(installed / "python", "-c", "from proxyd.demo.stage import conf; conf('front-proxy'); conf('edge')")
    assert (installed.parent / "share" / "man" / "man1" / "proxyd.1").exists()
    assert "_PROXYD_COMPLETE=bash_complete" in _run(command, "completion", "bash")


def test_it_serves_its_admin_pages(installed: Path, tmp_path: Path) -> None:
    address = [
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        "127.0.0.1:9",
        "--admin",
        "127.0.0.1:0",
        "--workers",
        "1",
    ]
    instance = Proxyd(tmp_path, address, python=str(installed / "python"))
    try:
        instance.wait_for_log("serving")
        connection = http.client.HTTPConnection(instance.status()["admin"], timeout=30)
        for path in ("/", "/stats?format=html", "/workers"):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
        connection.close()
    finally:
        assert instance.end() == 0
        assert instance.process.stderr is not None
        instance.process.stderr.close()
