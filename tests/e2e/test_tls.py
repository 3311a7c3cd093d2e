"""TLS over real processes: sessions that outlive workers and reloads, certificates that operators see."""

import json
import socket
import ssl
from typing import Any

import pytest

from tests.e2e.conftest import StartProxyd, config
from tests.e2e.origin import Origin
from tests.net.certificates import DAY, NOW, Authority
from tests.net.tls_house import DOWNSTREAM, certificates, client, tls_socket

V12 = ssl.TLSVersion.TLSv1_2
V13 = ssl.TLSVersion.TLSv1_3


class Visitor:
    """Makes connections, each with the session of the last one."""

    def __init__(self, version: ssl.TLSVersion) -> None:
        self._context = client(minimum_version=version, maximum_version=version)
        self.session: ssl.SSLSession | None = None

    def get(self, port: int) -> bool:
        """Whether the connection of this request resumed the session."""
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            self._context.wrap_socket(plain, server_hostname="localhost", session=self.session) as tls,
        ):
            tls.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            assert tls.recv(65536).startswith(b"HTTP/1.1 200 OK")
            self.session = tls.session
            return bool(tls.session_reused)


def secured(origin: Origin, authority: Authority) -> dict[str, Any]:
    """Two listeners with the same certificate; ``strict`` demands one of its clients."""
    made = config(origin.address, listeners={"free": "127.0.0.1:0", "strict": "127.0.0.1:0"})
    pair = authority.issue("localhost", ends=NOW + 5 * DAY)
    free = certificates(pair.config)
    trust = {"trusted_ca": {"inline_string": authority.certificate}}
    strict = {**certificates(pair.config, validation_context=trust), "require_client_certificate": True}
    for listener, context in zip(made["static_resources"]["listeners"], (free, strict), strict=True):
        listener["filter_chains"][0]["transport_socket"] = tls_socket(DOWNSTREAM, context)
    return made


def test_sessions_outlive_workers_and_reloads_but_not_their_trust(start: StartProxyd, origin: Origin) -> None:
    proxyd = start(secured(origin, Authority()), "--workers", "2")
    visitors = [Visitor(V12), Visitor(V13)]
    for visitor in visitors:
        assert not visitor.get(proxyd.port("free"))
    for _ in range(2):
        for visitor in visitors:
            assert all(visitor.get(proxyd.port("free")) for _ in range(8))  # by either worker
            with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
                visitor.get(proxyd.port("strict"))
        proxyd.command("reload")
    proxyd.until(
        lambda: proxyd.counter("listener.127.0.0.1_0.ssl.fail_verify_no_cert") == 4, "4 clients refused"
    )
    assert proxyd.counter("listener.127.0.0.1_0.ssl.session_reused") == 32
    used = json.loads(proxyd.admin("/certs")[1])["certificates"]
    assert [len(context["ca_cert"]) for context in used] == [0, 1]
    assert [context["cert_chain"][0]["days_until_expiration"] for context in used] == ["4", "4"]
    assert proxyd.counter("server.days_until_first_cert_expiring") == 4
    assert "PRIVATE KEY" not in "\n".join(proxyd.log)
    _, dump = proxyd.admin("/config_dump")
    assert "[redacted]" in dump
    assert "PRIVATE KEY" not in dump
