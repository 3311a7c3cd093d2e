"""Shakes hands as a case says, asks once and reads to the end."""

import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from proxyd.snapshot import openssl
from tests.conformance.client import Played, connect
from tests.conformance.tls.case import TlsCase
from tests.conformance.wire import Malformed, take_response

_PATIENCE = 5.0  # seconds
_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
# Ends that mean the same to a client: nothing was said before the connection closed.
_CLOSED = {"UNEXPECTED_EOF_WHILE_READING", "closed", "reset"}


@dataclass
class Shaken(Played):
    """What came back, and of the handshake: version, ALPN, certificate, or the alert."""

    tls: dict[str, Any] = field(default_factory=dict)


def play(case: TlsCase, address: tuple[str, int], pki: Path, used: set[int]) -> Shaken:
    sock = connect("127.0.0.2", address, used)
    sock.settimeout(_PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a request waits for an acknowledgement
    played = Shaken(port=sock.getsockname()[1])
    data = b""
    try:
        if case.plain:
            sock.sendall(case.plain)
            data = _read(sock, played)
        else:
            data = _shake(case, sock, pki, played)
    finally:
        sock.close()
    if data:
        try:
            taken = take_response(data, closed=True)
        except Malformed:
            taken = None
        if taken is None:
            played.broken = True
            played.tls["answer"] = "no HTTP"
        else:
            played.responses.append(taken[0])
            played.rest = taken[1]
    return played


def _shake(case: TlsCase, sock: socket.socket, pki: Path, played: Shaken) -> bytes:
    try:
        with _context(case, pki).wrap_socket(sock, server_hostname=case.sni) as wrapped:
            # A client of TLS 1.3 learns only later whether its certificate is taken.
            played.tls["version"] = wrapped.version()
            played.tls["alpn"] = wrapped.selected_alpn_protocol()
            played.tls["certificate"] = _common_name(wrapped.getpeercert(binary_form=True))
            if case.ciphers:
                played.tls["cipher"] = (wrapped.cipher() or ("",))[0]
            if case.accepted:  # what lies unread when the proxy closes would take its alert away
                wrapped.sendall(case.request.encode("latin-1"))
            return _read(wrapped, played)
    except (OSError, ssl.SSLError) as error:
        played.tls["refused"] = _why(error)
        return b""


def _read(sock: socket.socket, played: Shaken) -> bytes:
    data = b""
    try:
        while (message := _complete(data)) is None:
            more = sock.recv(1 << 16)
            if not more:
                break
            data += more
        del message
    except OSError as error:
        why = _why(error)
        if not data or why not in _CLOSED:
            played.tls["refused"] = why
    if not data:
        played.tls.setdefault("refused", "closed")
    return data


def _complete(data: bytes) -> object:
    try:
        return take_response(data)
    except Malformed:
        return None


def _context(case: TlsCase, pki: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    lowest, _, highest = case.versions.partition("-")
    context.minimum_version = _VERSIONS[lowest]
    context.maximum_version = _VERSIONS[highest or lowest]
    if lowest < "1.2":
        context.set_ciphers("ALL:@SECLEVEL=0")
    if case.ciphers:
        context.set_ciphers(case.ciphers)
    if case.curve:
        context.set_ecdh_curve(case.curve)
    if case.signatures:
        assert openssl.set_signatures(context, list(case.signatures))
    if case.alpn:
        context.set_alpn_protocols(list(case.alpn))
    if case.certificate:
        context.load_cert_chain(pki / f"{case.certificate}.crt", pki / f"{case.certificate}.key")
    return context


def _common_name(der: bytes | None) -> str:
    if der is None:
        return ""
    subject = x509.load_der_x509_certificate(der).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _why(error: Exception) -> str:
    """The alert that the peer sent, or ``closed``."""
    if isinstance(error, TimeoutError):
        return "silence"
    reason = error.reason if isinstance(error, ssl.SSLError) and error.reason else ""
    return "closed" if reason in _CLOSED or not reason else reason
