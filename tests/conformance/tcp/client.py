"""Plays the client of a TCP case."""

import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.conformance.tcp.case import Do, TcpCase, Tls
from tests.conformance.tcp.hosts import RESET, Host

_PATIENCE = 5.0  # seconds
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass
class Played:
    """What came back, how the connection ended, and whom the client spoke TLS with."""

    data: bytes = b""
    end: str = "open"
    port: int = 0
    certificate: str = ""


def play(case: TcpCase, port: int, host: Host, pki: Path) -> Played:
    played = Played()
    sock = socket.create_connection(("127.0.0.1", port), _PATIENCE)
    sock.settimeout(_PATIENCE)
    played.port = sock.getsockname()[1]
    try:
        if case.tls is not None:
            sock = _context(case.tls, pki).wrap_socket(sock, server_hostname=case.tls.sni)
            played.certificate = _common_name(sock.getpeercert(binary_form=True))
        for step in case.steps:
            if not _act(step, sock, played, host):
                break
    except TimeoutError:
        played.end = "silence"
    except ssl.SSLEOFError:
        played.end = "eof"  # without goodbye
    except ssl.SSLError as error:
        played.end = error.reason or "tls"
    except OSError:
        played.end = "reset"
    finally:
        sock.close()
    return played


def hold(port: int) -> socket.socket:
    """A connection that is let through, and open."""
    sock = socket.create_connection(("127.0.0.1", port), _PATIENCE)
    sock.sendall(b"x")
    sock.recv(1)
    return sock


def _act(step: bytes | float | Do, sock: socket.socket, played: Played, host: Host) -> bool:
    if isinstance(step, bytes):
        sock.sendall(step)
    elif isinstance(step, float):
        time.sleep(step)
    elif isinstance(step, int):
        wanted = len(played.data) + step
        while len(played.data) < wanted:
            data = sock.recv(wanted - len(played.data))
            played.data += data
            if not data:
                played.end = "eof"
                return False
    elif step is Do.READ:
        while data := sock.recv(65536):
            played.data += data
        played.end = "eof"
    elif step is Do.SHUT:
        if isinstance(sock, ssl.SSLSocket):
            sock.unwrap()
        sock.shutdown(socket.SHUT_WR)
    elif step is Do.AWAIT_HOST:
        host.await_data()
    else:
        if step is Do.RESET:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        played.end = "left"
        return False
    return True


def _context(offer: Tls, pki: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    lowest, _, highest = offer.versions.partition("-")
    context.minimum_version = _VERSIONS[lowest]
    context.maximum_version = _VERSIONS[highest or lowest]
    if offer.alpn:
        context.set_alpn_protocols(list(offer.alpn))
    if offer.certificate:
        context.load_cert_chain(pki / f"{offer.certificate}.crt", pki / f"{offer.certificate}.key")
    return context


def _common_name(der: bytes | None) -> str:
    if der is None:
        return ""
    subject = x509.load_der_x509_certificate(der).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
