"""HTTP/2 as others speak it: nghttp and h2load (Debian: nghttp2-client), bare and by TLS."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import StartProxyd, config
from tests.e2e.origin import Origin
from tests.net.certificates import Authority
from tests.net.tls_house import DOWNSTREAM, certificates, tls_socket

NGHTTP = shutil.which("nghttp")
H2LOAD = shutil.which("h2load")
_REQUESTS = 2000


def said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def urls(start: StartProxyd, origin: Origin) -> dict[str, str]:
    """Where proxyd, of two workers, serves: by the names of what it is spoken to through."""
    made = config(origin.address, listeners={"bare": "127.0.0.1:0", "tls": "127.0.0.1:0"})
    pair = Authority().issue("localhost")
    context = certificates(pair.config, alpn_protocols=["h2", "http/1.1"])
    chain = made["static_resources"]["listeners"][1]["filter_chains"][0]
    chain["transport_socket"] = tls_socket(DOWNSTREAM, context)
    proxyd = start(made, "--workers", "2")
    return {
        "bare": f"http://127.0.0.1:{proxyd.port('bare')}",
        "tls": f"https://127.0.0.1:{proxyd.port('tls')}",
    }


@pytest.mark.skipif(H2LOAD is None, reason="h2load is not installed")
@pytest.mark.parametrize("way", ["bare", "tls"])
def test_many_requests_side_by_side(urls: dict[str, str], way: str) -> None:
    report = said("h2load", "-n", str(_REQUESTS), "-c", "8", "-m", "16", f"{urls[way]}/bytes?1000")
    assert f"{_REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout" in report
    assert f"status codes: {_REQUESTS} 2xx" in report
    assert re.search(rf"\({_REQUESTS * 1000}\) data", report)


@pytest.mark.skipif(NGHTTP is None, reason="nghttp is not installed")
@pytest.mark.parametrize("way", ["bare", "tls"])
def test_a_large_body_goes_up_and_comes_back(urls: dict[str, str], way: str, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_text("".join(f"line {number}\n" for number in range(60_000)))
    answer = said("nghttp", "--no-dep", f"--data={body}", "-H", "x-mine: 1", f"{urls[way]}/")
    head, _, echoed = answer.partition("\n\n") if "\r\n\r\n" not in answer else answer.partition("\r\n\r\n")
    assert "x-mine: 1" in head
    assert echoed == body.read_text()


@pytest.mark.skipif(NGHTTP is None, reason="nghttp is not installed")
@pytest.mark.parametrize("way", ["bare", "tls"])
def test_its_frames(urls: dict[str, str], way: str) -> None:
    told = said(
        "nghttp", "-v", "--no-dep", "--window-bits=16", f"{urls[way]}/name", f"{urls[way]}/bytes?200000"
    )
    assert len(re.findall(r":status: 200", told)) == 2
    assert "[SETTINGS_MAX_CONCURRENT_STREAMS(0x03):1024]" in told
    assert "RST_STREAM" not in told
