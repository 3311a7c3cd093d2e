"""Other people's Envoy files at work, as they were meant: PROXYD_ENVOY_CONFIGS names their directory.

Addresses, certificates and the names of upstreams are replaced by what there is here: ports of 127.0.0.1,
certificates made for the run, applications of the tests. All else is theirs.
"""

import os
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from tests.e2e.applications import Application
from tests.e2e.conftest import Proxyd
from tests.net.certificates import Authority, Pair
from tests.net.tls_house import client, server

_DIRECTORY = os.environ.get("PROXYD_ENVOY_CONFIGS")
_QUICK_START = "docs/start/quick-start/_include"

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        not _DIRECTORY, reason="PROXYD_ENVOY_CONFIGS does not name the directory of the configurations"
    ),
]

# The host and port that a file names as an upstream, to the port of an application here.
Upstreams = dict[tuple[str, int], int]
Run = Callable[..., Proxyd]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Start proxyd on a file of theirs, in a directory of its own that has ``files``."""
    started: list[Proxyd] = []

    def start(file: str, upstreams: Upstreams, files: dict[str, str] | None = None) -> Proxyd:
        directory = tmp_path / f"proxy-{len(started)}"
        for name, content in (files or {}).items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        directory.mkdir(exist_ok=True)
        config = directory / "envoy.yaml"
        config.write_text(text := adapted(file, upstreams, directory))
        admin = [] if "admin:" in text else ["--admin", "127.0.0.1:0"]
        proxyd = Proxyd(directory, ["-c", str(config), *admin])
        started.append(proxyd)
        proxyd.wait_for_log("serving")
        return proxyd

    yield start
    for proxyd in started:
        family = proxyd.family() if proxyd.process.poll() is None else []
        proxyd.end()
        _, left = psutil.wait_procs(family, timeout=10)
        assert not left, f"still running: {left}"
        assert proxyd.process.stderr is not None
        proxyd.process.stderr.close()


def adapted(file: str, upstreams: Upstreams, directory: Path) -> str:
    """A file of theirs with addresses of this machine, which must be all that differs."""
    text = (Path(_DIRECTORY or "/nowhere") / file).read_text("utf-8")
    config = yaml.safe_load(text.replace("/var/lib/envoy", str(directory)))
    resources = config.get("static_resources", {})
    found = config.get("resources", [])  # of a file of resources
    kinds = [each["@type"].rpartition(".")[2] for each in found]
    listeners = resources.get("listeners", []) + [
        each for each, kind in zip(found, kinds, strict=True) if kind == "Listener"
    ]
    clusters = resources.get("clusters", []) + [
        each for each, kind in zip(found, kinds, strict=True) if kind == "Cluster"
    ]
    for listener in listeners:
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": 0}
    if "admin" in config:
        config["admin"]["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": 0}
    for cluster in clusters:
        for locality in cluster["load_assignment"]["endpoints"]:
            for endpoint in locality["lb_endpoints"]:
                address = endpoint["endpoint"]["address"]["socket_address"]
                port = upstreams[address["address"], address["port_value"]]
                address.update(address="127.0.0.1", port_value=port)
    return yaml.safe_dump(config, sort_keys=False)


def port_of(proxyd: Proxyd) -> int:
    """That of its only listener."""
    (listener,) = proxyd.status()["listeners"]
    return int(listener["addresses"][0].rpartition(":")[2])


def pem(name: str, pair: Pair, key: str) -> dict[str, str]:
    """A certificate and its key as files."""
    return {f"certs/{name}.pem": pair.chain, f"certs/{key}.pem": pair.key}


def ask(
    port: int, path: str = "/", context: ssl.SSLContext | None = None, name: str = "localhost"
) -> tuple[int, str]:
    """Status and body of a request."""
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        sock = plain if context is None else context.wrap_socket(plain, server_hostname=name)
        with sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n".encode())
            answer = b""
            while data := sock.recv(65536):
                answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head[9:12]), body.decode()


def shown(port: int, name: str, context: ssl.SSLContext) -> bytes:
    """The certificate that a client of this name is shown."""
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname=name) as sock,
    ):
        return sock.getpeercert(True) or b""


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate)


def with_alpn(context: ssl.SSLContext, *protocols: str) -> ssl.SSLContext:
    context.set_alpn_protocols(list(protocols))
    return context


def test_tls_inspector_sends_each_protocol_its_way(run: Run, authority: Authority) -> None:
    one, two = authority.issue("service-https0"), authority.issue("service-https1")
    with (
        Application("http1", with_alpn(server(one), "http/1.1")) as https0,
        Application("http2", with_alpn(server(two), "h2", "http/1.1")) as https1,
        Application("plain") as plain,
    ):
        upstreams = {
            ("service-https0", 443): https0.port, ("service-https1", 443): https1.port,
            ("service-http", 80): plain.port,
        }  # fmt: skip
        port = port_of(run("examples/tls-inspector/envoy.yaml", upstreams))
        trust = authority.certificate
        assert ask(port) == (200, "plain /")
        assert ask(port, context=with_alpn(client(trust), "http/1.1")) == (
            200, "http1 / over TLS, asked for localhost",
        )  # fmt: skip
        # The application's own certificates: TLS passes through.
        assert shown(port, "a.example", with_alpn(client(trust), "http/1.1")) == der(one)
        assert shown(port, "a.example", with_alpn(client(trust), "h2")) == der(two)
        assert ask(port, context=with_alpn(client(trust), "h2"))[1].startswith("http2 /")


def test_tls_sni_terminates_two_names_and_passes_a_third(run: Run, authority: Authority) -> None:
    first, second, third = (authority.issue(f"domain{number}.example.com") for number in (1, 2, 3))
    with (
        Application("service0") as http0,
        Application("service1") as http1,
        Application("secured", server(third)) as https,
    ):
        upstreams = {
            ("service-http0", 80): http0.port, ("service-http1", 80): http1.port,
            ("service-https", 443): https.port,
        }  # fmt: skip
        files = pem("domain1.crt", first, "domain1.key") | pem("domain2.crt", second, "domain2.key")
        proxyd = run("examples/tls-sni/envoy.yaml", upstreams, files)
        port = port_of(proxyd)
        context = client(authority.certificate)
        context.check_hostname = True
        assert ask(port, context=context, name="domain1.example.com") == (200, "service0 /")
        assert ask(port, context=context, name="domain2.example.com") == (200, "service1 /")
        assert ask(port, context=context, name="domain3.example.com") == (
            200, "secured / over TLS, asked for domain3.example.com",
        )  # fmt: skip
        assert shown(port, "domain3.example.com", context) == der(third)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask(port, context=context, name="domain4.example.com")

        # Their other file is a client of this one: the path says which name it asks for.
        front = run("examples/tls-sni/envoy-client.yaml", {("proxy", 10000): port})
        assert ask(port_of(front), "/domain1") == (200, "service0 /domain1")
        assert ask(port_of(front), "/domain2") == (200, "service1 /domain2")
        assert ask(port_of(front), "/domain3")[1].startswith("secured /domain3 over TLS")


def test_double_proxy_carries_a_database_over_mutual_tls(run: Run, authority: Authority) -> None:
    backend_name, frontend_name = (f"proxy-postgres-{side}.example.com" for side in ("backend", "frontend"))
    ca = {"certs/cacert.pem": authority.certificate}
    served = pem("servercert", authority.issue(backend_name), "serverkey") | ca
    asking = pem("clientcert", authority.issue(frontend_name), "clientkey") | ca
    stranger = pem("clientcert", authority.issue("stranger.example.com"), "clientkey") | ca
    with Application("postgres", echoes=True) as database, Application("app") as app:
        backend = run("examples/double-proxy/envoy-backend.yaml", {("postgres", 5432): database.port}, served)
        upstreams = {("proxy-postgres-backend.example.com", 5432): port_of(backend)}
        frontend = run("examples/double-proxy/envoy-frontend.yaml", upstreams, asking)
        assert echoed(port_of(frontend), b"select 1;")
        shaken = "listener.127.0.0.1_0.ssl.handshake"
        backend.until(lambda: backend.counter(shaken) == 1, "a handshake")  # published a moment later
        other = run("examples/double-proxy/envoy-frontend.yaml", upstreams, stranger)
        assert not echoed(port_of(other), b"select 1;")
        backend.until(
            lambda: backend.counter("listener.127.0.0.1_0.ssl.fail_verify_san") == 1, "a stranger refused"
        )
        front = run("examples/double-proxy/envoy.yaml", {("app", 8080): app.port})
        assert ask(port_of(front), "/page") == (200, "app /page")


def echoed(port: int, data: bytes) -> bool:
    """Whether what is said comes back."""
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(data)
            return sock.recv(len(data)) == data
    except ConnectionError:
        return False


def test_dynamic_config_fs_moves_a_cluster(run: Run, tmp_path: Path) -> None:
    """The example's clusters; its listeners are not among the files, so one of the quick start asks them."""
    quick = f"{_QUICK_START}/envoy-dynamic"
    clusters = "examples/dynamic-config-fs/configs/cds.yaml"
    with Application("service1") as first, Application("service2") as second:
        files = {
            "cds.yaml": adapted(clusters, {("service1", 8080): first.port}, tmp_path),
            "lds.yaml": adapted(f"{quick}-lds-demo.yaml", {}, tmp_path),
        }
        proxyd = run(f"{quick}-filesystem-demo.yaml", {}, files)
        port = port_of(proxyd)
        assert ask(port) == (200, "service1 /")
        moved = tmp_path / "next.yaml"
        moved.write_text(adapted(clusters, {("service1", 8080): second.port}, tmp_path))
        shutil.move(moved, proxyd.directory / "cds.yaml")
        proxyd.until(lambda: ask(port) == (200, "service2 /"), "the other service answers")


def test_dynamic_files_of_the_quick_start(run: Run, authority: Authority, tmp_path: Path) -> None:
    pair = authority.issue("www.envoyproxy.io")
    quick = f"{_QUICK_START}/envoy-dynamic"
    with Application("site", server(pair), http2=True) as site:
        files = {
            "cds.yaml": adapted(f"{quick}-cds-demo.yaml", {("www.envoyproxy.io", 443): site.port}, tmp_path),
            "lds.yaml": adapted(f"{quick}-lds-demo.yaml", {}, tmp_path),
        }
        port = port_of(run(f"{quick}-filesystem-demo.yaml", {}, files))
        assert ask(port) == (200, "site / over TLS, asked for www.envoyproxy.io, by HTTP/2")


def test_win32_front_proxy_serves_its_service(run: Run) -> None:
    with Application("service") as service:
        proxyd = run("win32-front-proxy/service-envoy.yaml", {("127.0.0.1", 8080): service.port})
        assert ask(port_of(proxyd), "/service/1") == (200, "service /service/1")
        assert ask(port_of(proxyd), "/else")[0] == 404
        assert proxyd.admin("/ready") == (200, "LIVE\n")


def quick_start(kind: str) -> str:
    return f"{_QUICK_START}/envoy-demo{kind}.yaml"


def files_of(authority: Authority, served: str, asking: str = "client.example.com") -> dict[str, str]:
    """The certificates that the files of the quick start name."""
    return (
        pem("servercert", authority.issue(served), "serverkey")
        | pem("clientcert", authority.issue(asking), "clientkey")
        | {"certs/cacert.pem": authority.certificate}
    )


@pytest.fixture
def site(authority: Authority) -> Iterator[Application]:
    """Stands for the site that all of them lead to."""
    pair = authority.issue("www.envoyproxy.io")
    with Application("site", server(pair)) as made:
        yield made


def test_quick_start(run: Run, site: Application) -> None:
    proxyd = run(quick_start(""), {("www.envoyproxy.io", 443): site.port})
    assert ask(port_of(proxyd)) == (200, "site / over TLS, asked for www.envoyproxy.io")


def test_quick_start_tls(run: Run, site: Application, authority: Authority) -> None:
    proxyd = run(
        quick_start("-tls"), {("www.envoyproxy.io", 443): site.port}, files_of(authority, "localhost")
    )
    status, body = ask(port_of(proxyd), context=client(authority.certificate))
    assert (status, body[:6]) == (200, "site /")


def test_quick_start_tls_sni(run: Run, site: Application, authority: Authority) -> None:
    name = "my-service-name.example.com"
    proxyd = run(quick_start("-tls-sni"), {("www.envoyproxy.io", 443): site.port}, files_of(authority, name))
    context = client(authority.certificate)
    assert ask(port_of(proxyd), context=context, name=name)[0] == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(port_of(proxyd), context=context, name="else.example.com")


def test_quick_start_tls_client_auth(run: Run, site: Application, authority: Authority) -> None:
    files = files_of(authority, "localhost")
    proxyd = run(quick_start("-tls-client-auth"), {("www.envoyproxy.io", 443): site.port}, files)
    port = port_of(proxyd)
    known = authority.issue("proxy-postgres-frontend.example.com")
    assert ask(port, context=client(authority.certificate, known))[0] == 200
    for pair in (None, authority.issue("stranger.example.com")):
        with pytest.raises((ssl.SSLError, ConnectionError, ValueError)):
            ask(port, context=client(authority.certificate, pair))


@pytest.mark.parametrize("name", ["proxy-postgres-backend.example.com", "www.envoyproxy.io"])
def test_quick_start_tls_validation(run: Run, authority: Authority, name: str) -> None:
    with Application("site", server(authority.issue(name))) as site:
        files = files_of(authority, "localhost")
        proxyd = run(quick_start("-tls-validation"), {("www.envoyproxy.io", 443): site.port}, files)
        secured = "transport_socket" in yaml.safe_load((proxyd.directory / "envoy.yaml").read_text())[
            "static_resources"]["listeners"][0]["filter_chains"][0]  # fmt: skip
        context = client(authority.certificate) if secured else None
        status, _ = ask(port_of(proxyd), context=context)
        assert status == (200 if name.startswith("proxy-postgres-backend") else 503)
