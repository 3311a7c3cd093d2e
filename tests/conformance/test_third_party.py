"""Other people's Envoy files, kept elsewhere: PROXYD_ENVOY_CONFIGS names the directory.

Each bootstrap loads, or every mistake told of it has its place and is about what proxyd does not support.
"""

import os
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from proxyd.config.mistakes import ConfigErrors
from proxyd.config.sources import Sources
from proxyd.supervisor.configuration import read
from tests.conformance.tls.pki import sign

_DIRECTORY = os.environ.get("PROXYD_ENVOY_CONFIGS")

pytestmark = pytest.mark.skipif(
    not _DIRECTORY, reason="PROXYD_ENVOY_CONFIGS does not name the directory of the configurations"
)


def _files() -> list[Path]:
    root = Path(_DIRECTORY or "/nowhere")
    kinds = ("static_resources", "dynamic_resources")
    return sorted(
        path for path in root.rglob("*.yaml") if any(kind in path.read_text("utf-8") for kind in kinds)
    )


@pytest.fixture(scope="module")
def pair() -> tuple[bytes, bytes]:
    """A certificate and its key, which stand in for all that the files name."""
    signed = sign("stand-in", None)
    key = signed.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return signed.certificate.public_bytes(Encoding.PEM), key


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(Path(_DIRECTORY or "/"))))
def test_loads_or_tells_what_is_not_supported(
    path: Path, pair: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / path.name
    _copy(path, copy, pair)
    for kind in ("cds", "lds"):  # of the quick start: beside the file, and meant to be in one of the system's
        resources = path.with_name(f"envoy-dynamic-{kind}-demo.yaml")
        if resources.exists():
            _copy(resources, tmp_path / f"{kind}.yaml", pair)
    try:
        outcomes = read(Sources(config_path=str(copy)), None, {}).assembly.outcomes
        told = [reason for outcome in outcomes for reason in outcome.reasons]
    except ConfigErrors as errors:
        told = [str(mistake) for mistake in errors.mistakes]
    # A cluster that is not supported leaves the routes of other files without one.
    place = re.compile(
        re.escape(str(tmp_path)) + r"/[^:]+:\d+:\d+: .*(not supported by proxyd|unknown cluster)", re.DOTALL
    )
    assert [line for line in told if not place.match(line)] == []


def _copy(path: Path, copy: Path, pair: tuple[bytes, bytes]) -> None:
    """With the files that it names, certificates all of them, below the working directory."""
    text = path.read_text("utf-8").replace("/var/lib/envoy", str(copy.parent))
    for name in re.findall(r"filename: \"?([\w./-]+\.(?:pem|crt|key))", text):
        named = copy.parent / name.lstrip("/")
        named.parent.mkdir(parents=True, exist_ok=True)
        named.write_bytes(pair["key" in named.name])
        text = text.replace(name, str(named))
    copy.write_text(text)
