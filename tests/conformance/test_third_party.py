"""Other people's Envoy files, kept elsewhere: PROXYD_ENVOY_CONFIGS names the directory.

Each bootstrap loads, or every mistake told of it has its place and is about what proxyd does not support.
"""

import os
import re
from pathlib import Path

import pytest

from proxyd.config.load import load
from proxyd.config.mistakes import ConfigErrors
from proxyd.config.sources import Sources
from proxyd.snapshot.checks import check_snapshot
from tests.net.certificates import Authority

_DIRECTORY = os.environ.get("PROXYD_ENVOY_CONFIGS")

pytestmark = pytest.mark.skipif(
    not _DIRECTORY, reason="PROXYD_ENVOY_CONFIGS does not name the directory of the configurations"
)


def _files() -> list[Path]:
    root = Path(_DIRECTORY or "/nowhere")
    return sorted(path for path in root.rglob("*.yaml") if "static_resources" in path.read_text("utf-8"))


def _make_certificates(text: str, directory: Path) -> None:
    """The files that a configuration names in ``certs/``, as it needs them: a key, else its certificate."""
    authority = Authority()
    pair = authority.issue("example.com", kind="rsa")
    for name in re.findall(r"filename: ['\"]?(certs/[^\s'\"]+)", text):
        (directory / "certs").mkdir(exist_ok=True)
        content = pair.key if "key" in name else authority.certificate if "ca" in name else pair.chain
        (directory / name).write_text(content)


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(Path(_DIRECTORY or "/"))))
def test_loads_or_tells_what_is_not_supported(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = path.read_text("utf-8")
    _make_certificates(text, tmp_path)
    monkeypatch.chdir(tmp_path if (tmp_path / "certs").exists() else path.parent)
    try:
        load(Sources(config_path=str(path)), further=check_snapshot)
    except ConfigErrors as errors:
        told = [str(mistake) for mistake in errors.mistakes]
        place = re.compile(re.escape(str(path)) + r":\d+:\d+: .*not supported by proxyd", re.DOTALL)
        assert [line for line in told if not place.match(line)] == []
