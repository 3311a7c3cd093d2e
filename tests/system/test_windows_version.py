"""The oldest Windows that proxyd runs on."""

import subprocess
import sys

import pytest

from tests import windows

if not windows.HERE:
    pytest.skip(windows.WINDOWS, allow_module_level=True)

_ON_BUILD = """
import sys

class Version:
    build = {build}
    def __getattr__(self, name, real=sys.getwindowsversion()):
        return getattr(real, name)

sys.getwindowsversion = Version
sys.argv = ["proxyd", "--version"]
from proxyd.__main__ import main
main()
"""


@pytest.mark.parametrize(("build", "code"), [(17134, 1), (17763, 0)])
def test_an_older_one_is_refused_in_one_line(build: int, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ON_BUILD.format(build=build)], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    if code:
        (line,) = done.stderr.splitlines()
        assert line.startswith("proxyd: proxyd needs Windows Server 2019, Windows 10 (1809) or a later one")
