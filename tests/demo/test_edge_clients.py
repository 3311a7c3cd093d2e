"""The second demonstration with HTTPS added, in a real browser and by curl: TLS 1.3 and HTTP/2."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxyd.demo import edge
from proxyd.demo.client import is_listening
from proxyd.demo.play import until
from proxyd.demo.stage import PROXYD, Stage, opened
from tests.demo.browser import Chromium, chromium_program, pin_of

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory = tmp_path_factory.mktemp("edge")
    with opened(directory, PROXYD, True, print) as stage:
        edge.lay(stage)
        stage.save("lds-https.yaml", "lds.yaml")
        until("somebody at the port of HTTPS", lambda: is_listening(stage.port(edge.HTTPS)))
        yield stage


def spoken(stage: Stage) -> tuple[int, int]:
    """How many requests have come by HTTP/2 and by HTTP/1.1."""
    admin = stage.admin(edge.ADMIN)
    return (
        admin.counter("http.https.downstream_rq_http2_total"),
        admin.counter("http.https.downstream_rq_http1_total"),
    )


@pytest.mark.skipif(chromium_program() is None, reason="Chromium is not installed")
def test_a_browser_speaks_http_2(stage: Stage, tmp_path: Path) -> None:
    _, older = spoken(stage)
    seen: set[str] = set()
    with Chromium(tmp_path / "profile", pin_of(stage.certificates / "edge.crt")) as browser:
        browser.open(f"https://localhost:{stage.port(edge.HTTPS)}/")
        protocol = browser.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
        assert protocol == "h2"
        for _ in range(20):
            seen.add(browser.evaluate("document.title"))
            if len(seen) == 2:
                break
            browser.reload()
    assert len(seen) == 2, "both applications answer"
    assert spoken(stage)[0] > 0
    assert spoken(stage)[1] == older
    assert stage.admin(edge.ADMIN).counter("cluster.applications.upstream_cx_http1_total") > 0


def curl(stage: Stage, *options: str) -> list[str]:
    command = ["curl", "--silent", "--show-error", "--cacert", str(stage.certificates / "ca.crt")]
    written = "%{http_version} %{response_code} %{ssl_verify_result}"
    done = subprocess.run(
        [*command, "--output", "/dev/null", "--write-out", written, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_speaks_either_version(stage: Stage) -> None:
    https = f"https://localhost:{stage.port(edge.HTTPS)}/"
    plain = f"http://localhost:{stage.port(edge.HTTP)}/"
    assert curl(stage, "--http2", "--tlsv1.3", https) == ["2", "200", "0"]
    assert curl(stage, "--http1.1", https) == ["1.1", "200", "0"]
    assert curl(stage, "--http2-prior-knowledge", plain)[:2] == ["2", "200"]
    assert curl(stage, "--http2", plain)[:2] == ["1.1", "200"]  # as Envoy, without an upgrade from HTTP/1.1
