"""Load: wrk and h2load where requests are many, sockets of our own where bytes or connections are."""

import contextlib
import math
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

HEADERS = (  # with Host, which the client adds, eleven
    "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-encoding: gzip, deflate, br",
    "accept-language: en-US,en;q=0.5",
    "cache-control: no-cache",
    "cookie: session=0123456789abcdef; theme=dark",
    "referer: http://example.com/start",
    "user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "x-first: 1",
    "x-second: two",
    "x-third: three",
)
CONNECTIONS = 64
HTTP2_CONNECTIONS = 8
HTTP2_STREAMS = 16  # of each
PATH = "/r999/page?id=1"
GRPC_PATH = "/helloworld.Greeter/SayHello"
GRPC_HEADERS = (
    "content-type: application/grpc",
    "te: trailers",
    "grpc-accept-encoding: identity, deflate, gzip",
    "user-agent: grpc-c++/1.66.0 grpc-c/43.0.0 (linux; chttp2)",
)
GRPC_MESSAGE = b"\x00\x00\x00\x00\x0b\x0a\x09benchmark"  # a string, field 1, as a request of examples is
TOOLS = {
    "wrk": "apt-get install wrk",
    "h2load": "apt-get install nghttp2-client",
    "nghttp": "apt-get install nghttp2-client",
    "openssl": "apt-get install openssl",
    "taskset": "apt-get install util-linux",
}

_SLICE = 1 << 20


class LoadError(Exception):
    """The load was not served as it should have been; a figure taken from it would mean nothing."""


def requests(port: int, seconds: float, keep_alive: bool, tls: bool = False) -> int:
    """Run wrk; how many requests were answered."""
    headers = [f"-H{line}" for line in (HEADERS if keep_alive else (*HEADERS, "connection: close"))]
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{math.ceil(seconds)}s",
        *headers,
        f"http{'s' if tls else ''}://127.0.0.1:{port}{PATH}",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) requests in", said)
    if found is None or not int(found[1]) or "Non-2xx" in said:
        raise LoadError(f"wrk on port {port}:\n{said}")
    errors = re.search(r"Socket errors: (.*)", said)
    if errors and any(int(number) for number in re.findall(r"\d+", errors[1])):
        raise LoadError(f"wrk on port {port}: {errors[0]}")
    return int(found[1])


def http2_requests(port: int, seconds: float) -> int:
    """Run h2load over TLS; how many requests were answered by HTTP/2."""
    headers = [f"-H{line}" for line in HEADERS]
    command = [
        "h2load", f"-c{HTTP2_CONNECTIONS}", f"-m{HTTP2_STREAMS}", f"--duration={math.ceil(seconds)}",
        *headers, f"https://127.0.0.1:{port}{PATH}",
    ]  # fmt: skip
    return _h2load(command, port, "h2")


def _h2load(command: list[str], port: int, protocol: str) -> int:
    """How many requests were answered, and all well."""
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) succeeded, 0 failed, 0 errored, 0 timeout", said)
    if found is None or not int(found[1]) or f"Application protocol: {protocol}\n" not in said:
        raise LoadError(f"h2load on port {port}:\n{said}")
    return int(found[1])


def grpc_calls(port: int, seconds: float, folder: Path) -> int:
    """Run h2load without TLS; how many unary calls were answered."""
    command = [
        "h2load", f"-c{HTTP2_CONNECTIONS}", f"-m{HTTP2_STREAMS}", f"--duration={math.ceil(seconds)}",
        *_grpc_options(port, folder),
    ]  # fmt: skip
    return _h2load(command, port, "h2c")


def check_grpc(port: int, folder: Path) -> None:
    """One call: h2load does not look at what gRPC says in trailers."""
    command = ["nghttp", "-v", *_grpc_options(port, folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if not re.search(r"recv \(stream_id=\d+\) grpc-status: 0\n", said):
        raise LoadError(f"no call of gRPC on port {port}:\n{said}")


def _grpc_options(port: int, folder: Path) -> list[str]:
    body = folder / "grpc_message"
    body.write_bytes(GRPC_MESSAGE)
    return [*(f"-H{line}" for line in GRPC_HEADERS), f"-d{body}", f"http://127.0.0.1:{port}{GRPC_PATH}"]


def latencies(port: int, seconds: float, rate: int, folder: Path) -> list[int]:
    """Run h2load at `rate` requests a second in all; microseconds of each request, sorted."""
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    count = max(CONNECTIONS, int(rate * seconds))
    headers = [f"-H{line}" for line in HEADERS]
    command = [
        "h2load", "--h1", f"-c{CONNECTIONS}", f"-n{count}", f"--rps={rate / CONNECTIONS:g}",
        f"--log-file={log}", *headers, f"http://127.0.0.1:{port}{PATH}",
    ]  # fmt: skip
    subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    if len(rows) < count or any(row[1] != "200" for row in rows):
        raise LoadError(f"h2load on port {port}: {len(rows)} of {count} answered")
    return sorted(int(row[2]) for row in rows)


def download(port: int, size: int) -> None:
    """Read one response of `size` bytes."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"GET /body/%d HTTP/1.1\r\nhost: x\r\n\r\n" % size)
        buffer = bytearray(_SLICE)
        rest = _head(sock)
        left = size - len(rest)
        while left:
            count = sock.recv_into(buffer)
            if not count:
                raise LoadError(f"port {port}: the response ended {left} bytes early")
            left -= count


def upload(port: int, size: int) -> None:
    """Send one request of `size` bytes."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
        data = bytes(_SLICE)
        for start in range(0, size, _SLICE):
            sock.sendall(data[: size - start])
        _head(sock)


def _tls_client() -> ssl.SSLContext:
    """TLS 1.3."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _one_curve() -> ssl.SSLContext:
    """TLS 1.3 over P-256, so that all proxies do the same."""
    context = _tls_client()
    context.set_ecdh_curve("prime256v1")
    return context


def handshakes(port: int, count: int, resumed: bool) -> None:
    """Shake hands so often, one after the other, each followed by one answered request."""
    context, session = _one_curve(), None
    if resumed:
        session = _shake(context, port, None)
    for _ in range(count):
        _shake(context, port, session)


def _shake(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
    """The session that can be resumed."""
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, session=session) as sock,
    ):
        if sock.session_reused is not (session is not None):
            raise LoadError(f"port {port}: a session was {'not ' if session else ''}resumed")
        sock.sendall(f"GET {PATH} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        _head(sock)
        return sock.session


@contextlib.contextmanager
def idle_connections(port: int, count: int, tls: bool = False) -> Iterator[None]:
    """Connections that have had one request answered and wait."""
    with contextlib.ExitStack() as stack:
        lines = "\r\n".join(HEADERS)
        context = _tls_client() if tls else None
        for _ in range(count):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            sock = stack.enter_context(context.wrap_socket(plain)) if context else plain
            sock.sendall(f"GET {PATH} HTTP/1.1\r\nhost: x\r\n{lines}\r\n\r\n".encode())
            _head(sock)
        time.sleep(1.0)
        yield


def _head(sock: socket.socket) -> bytes:
    """Read the head of a good response; what has come of its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise LoadError(f"the connection ended after {data!r}")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise LoadError(f"answered with {head!r}")
    return rest
