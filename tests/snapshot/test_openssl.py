"""What is reached of OpenSSL behind Python's back."""

import ssl

import pytest

from proxyd.snapshot import openssl
from tests.net.tls_house import buffered_memory

pytestmark = pytest.mark.skipif(not openssl.available(), reason="OpenSSL cannot be reached here")


def test_an_empty_buffers_memory_is_given_back() -> None:
    buffer = ssl.MemoryBIO()
    buffer.write(bytes(300_000))
    assert buffered_memory(buffer) >= 300_000
    openssl.release_memory(buffer)  # it has content
    assert buffer.read(200_000) == bytes(200_000)
    assert buffered_memory(buffer) >= 100_000
    assert len(buffer.read()) == 100_000
    openssl.release_memory(buffer)
    assert buffered_memory(buffer) == 0
    buffer.write(b"as before")
    assert (buffer.pending, buffer.read(), buffer.read()) == (9, b"as before", b"")
    buffer.write_eof()
    assert buffer.eof


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssl, "_libraries", lambda: None)
    openssl.release_memory(ssl.MemoryBIO())
    with pytest.raises(RuntimeError, match="cannot be reached"):
        openssl.turn_off_session_cache(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
