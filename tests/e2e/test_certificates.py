"""Certificates and keys change in their files: in secrets of their own, and where a listener names them."""

import json
import os
import socket
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509

from tests import windows
from tests.e2e.conftest import Proxyd, StartProxyd
from tests.e2e.origin import Origin
from tests.e2e.resource_files import ResourceFile, bootstrap, cluster, listener, response, source
from tests.e2e.test_updates import numbers
from tests.net.certificates import DAY, NOW, Authority, Pair
from tests.net.tls_house import client

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."


def tls_listener(name: str, **common: Any) -> dict[str, Any]:
    made = listener(name)
    made["filter_chains"][0]["transport_socket"] = {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": f"{_TLS}DownstreamTlsContext", "common_tls_context": common},
    }
    return made


def secret(name: str, directory: Path) -> dict[str, Any]:
    return {"@type": f"{_TLS}Secret", "name": name, "tls_certificate": certificate(directory)}


def certificate(directory: Path) -> dict[str, Any]:
    return {
        "certificate_chain": {"filename": str(directory / "crt")},
        "private_key": {"filename": str(directory / "key")},
    }


def move(directory: Path, name: str, text: str) -> None:
    directory.mkdir(exist_ok=True)
    new = directory / "new"
    new.write_text(text)
    os.utime(new, (0, 0))
    windows.replace(new, directory / name)


def served(port: int) -> str:
    """The common name of the certificate that a new connection is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), 30) as plain,
        context.wrap_socket(plain) as secured,
    ):
        der = secured.getpeercert(binary_form=True)
    assert der is not None
    (name,) = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(name.value)


class Client:
    """A TLS connection that stays."""

    def __init__(self, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 30))

    def ask(self) -> bytes:
        self._socket.sendall(b"GET /name HTTP/1.1\r\nhost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"origin"):
            answer += self._socket.recv(65536)
        return answer

    def close(self) -> None:
        self._socket.close()


def write(directory: Path, pair: Pair) -> None:
    move(directory, "crt", pair.chain)
    move(directory, "key", pair.key)


LIVES = {"one": 30, "two": 30, "three": 4}  # days
FIRST = "server.days_until_first_cert_expiring"


def test_certificates_rotate_under_connections_that_stay(
    start: StartProxyd, origin: Origin, tmp_path: Path
) -> None:
    authority = Authority()
    pairs = {name: authority.issue(name, ends=NOW + days * DAY) for name, days in LIVES.items()}
    secrets, own = tmp_path / "secrets", tmp_path / "own"
    write(secrets, pairs["one"])
    write(own, pairs["one"])
    sds = ResourceFile(tmp_path / "sds.json", secret("server", secrets))
    late = ResourceFile(tmp_path / "late.json")
    config = {"name": "server", "sds_config": source(sds.path)}
    waiting = {"name": "late", "sds_config": source(late.path)}
    lds = ResourceFile(
        tmp_path / "lds.json",
        tls_listener("sds", tls_certificate_sds_secret_configs=[config]),
        tls_listener("waits", tls_certificate_sds_secret_configs=[waiting]),
    )
    static = tls_listener("static", tls_certificates=[certificate(own)])
    del static["@type"]
    made = bootstrap(lds=lds.path)
    backend = cluster(origin.address)
    del backend["@type"]
    made["static_resources"] = {"listeners": [static], "clusters": [backend]}
    proxyd = start(made, "--workers", "2")
    ports = {name: proxyd.port(name) for name in ("sds", "static", "waits")}
    kept = Client(ports["sds"])
    assert kept.ask().startswith(b"HTTP/1.1 200")
    assert served(ports["sds"]) == served(ports["static"]) == "one"

    # A certificate without its key: the last good pair stays until both are there.
    move(secrets, "crt", pairs["two"].chain)
    proxyd.wait_for_log("is not the key of the certificate")
    assert served(ports["sds"]) == "one"
    move(secrets, "key", pairs["two"].key)
    proxyd.wait_for_log("sds: files of server updated")
    assert served(ports["sds"]) == "two"
    assert numbers(proxyd, "sds.server.")["key_rotation_failed"] == 1
    move(own, "key", pairs["three"].key)
    proxyd.wait_for_log("static: update rejected")
    assert served(ports["static"]) == "one"
    move(own, "crt", pairs["three"].chain)
    proxyd.wait_for_log("files of static resources")
    assert served(ports["static"]) == "three"
    proxyd.until(lambda: proxyd.counter(FIRST) == 3, "the first certificate expires sooner")
    used = json.loads(proxyd.admin("/certs")[1])["certificates"]
    shown = {entry["path"]: entry["days_until_expiration"] for each in used for entry in each["cert_chain"]}
    assert shown == {str(secrets / "crt"): "29", str(own / "crt"): "3"}

    # Another secret in the file; the connection made with the first one has noticed nothing.
    write(tmp_path / "more", pairs["three"])
    sds.move(response(secret("server", tmp_path / "more"), version="3"))
    proxyd.wait_for_log("sds: secret server updated")
    assert served(ports["sds"]) == "three"
    assert b"connection: close" not in kept.ask()
    kept.close()
    sds.move(response(secret("other", tmp_path / "more")))
    proxyd.wait_for_log('expected "server", got "other"')
    assert served(ports["sds"]) == "three"

    # Until a secret is there, its listener closes what comes.
    with socket.create_connection(("127.0.0.1", ports["waits"]), 30) as early:
        early.settimeout(30)
        assert early.recv(1) == b""
    late.move(response(secret("late", secrets)))
    proxyd.wait_for_log("sds: secret late updated")
    assert served(ports["waits"]) == "two"
    keys = "".join(pair.key.splitlines()[1] for pair in pairs.values())
    dump = proxyd.admin("/config_dump")[1]
    assert '"name": "server"' in json.dumps(json.loads(dump))
    assert not any(pair.key.splitlines()[1] in dump + "\n".join(proxyd.log) for pair in pairs.values()), keys


def test_of_several_chains_only_those_that_change_drain(
    start: StartProxyd, origin: Origin, tmp_path: Path
) -> None:
    pair = Authority().issue("one")
    write(tmp_path / "certificate", pair)

    def chains(server_name: str) -> dict[str, Any]:
        made = tls_listener("http", tls_certificates=[certificate(tmp_path / "certificate")])
        (tls,) = made["filter_chains"]
        tls["filter_chain_match"] = {"transport_protocol": "tls"}
        (plain,) = listener("http", server_name=server_name)["filter_chains"]
        return {**made, "filter_chains": [tls, plain]}

    lds = ResourceFile(tmp_path / "lds.json", chains("first"))
    cds = ResourceFile(tmp_path / "cds.json", cluster(origin.address))
    proxyd: Proxyd = start(bootstrap(lds=lds.path, cds=cds.path), "--workers", "2")
    port = proxyd.port()
    secure = Client(port)
    secure.ask()
    with socket.create_connection(("127.0.0.1", port), 30) as plain:
        request = b"GET /name HTTP/1.1\r\nhost: x\r\n\r\n"
        plain.sendall(request)
        assert b"server: first\r\n" in plain.recv(65536)
        lds.move(response(chains("second")))
        proxyd.wait_for_log("add/update listener 'http'")
        assert b"connection: close" not in secure.ask()
        plain.sendall(request)
        answer = b"".join(iter(lambda: plain.recv(65536), b""))
        assert b"server: first\r\n" in answer
        assert b"connection: close\r\n" in answer
    secure.close()
    manager = numbers(proxyd, "listener_manager.")
    assert (manager["listener_modified"], manager["listener_in_place_updated"]) == (1, 1)


def test_a_secret_that_has_not_come_holds_up_its_listener_alone(
    start: StartProxyd, origin: Origin, tmp_path: Path
) -> None:
    pair = Authority().issue("one")
    directory = tmp_path / "pair"
    move(directory, "crt", pair.chain)
    move(directory, "key", pair.key)
    other = ResourceFile(tmp_path / "other.json", secret("other", directory))
    missing = {"name": "authorities", "sds_config": source(other.path)}
    waiting = tls_listener(
        "waits",
        tls_certificates=[certificate(directory)],
        validation_context_sds_secret_config=missing,
    )
    plain = tls_listener("serves", tls_certificates=[certificate(directory)])
    lds = ResourceFile(tmp_path / "lds.json", plain, waiting)
    cds = ResourceFile(tmp_path / "cds.json", cluster(origin.address))
    proxyd = start(bootstrap(lds=lds.path, cds=cds.path))
    assert served(proxyd.port("serves")) == "one"
    waiting["stat_prefix"] = "again"
    lds.move(response(plain, waiting))
    proxyd.wait_for_log("add/update listener 'waits'")
    assert served(proxyd.port("serves")) == "one"
    _, text = proxyd.admin("/certs")
    told = json.loads(text)["certificates"]
    assert [(len(each["ca_cert"]), len(each["cert_chain"])) for each in told] == [(0, 1), (0, 1)]


def test_secrets_of_one_name_in_two_files_are_two(start: StartProxyd, origin: Origin, tmp_path: Path) -> None:
    files = {}
    for name in ("one", "other"):
        pair = Authority().issue(name)
        move(tmp_path / name, "crt", pair.chain)
        move(tmp_path / name, "key", pair.key)
        files[name] = ResourceFile(tmp_path / f"{name}.json", secret("server", tmp_path / name))

    def front(listener: str, file: str) -> dict[str, Any]:
        config = {"name": "server", "sds_config": source(files[file].path)}
        return tls_listener(listener, tls_certificate_sds_secret_configs=[config])

    lds = ResourceFile(tmp_path / "lds.json", front("first", "one"))
    cds = ResourceFile(tmp_path / "cds.json", cluster(origin.address))
    proxyd = start(bootstrap(lds=lds.path, cds=cds.path))
    assert served(proxyd.port("first")) == "one"
    lds.move(response(front("first", "one"), front("second", "other")))
    proxyd.wait_for_log("add/update listener 'second'")
    assert (served(proxyd.port("first")), served(proxyd.port("second"))) == ("one", "other")
    lds.move(response(front("first", "other"), front("second", "other")))
    proxyd.wait_for_log("add/update listener 'first'")
    assert served(proxyd.port("first")) == "other"
    rotated = Authority().issue("rotated")
    move(tmp_path / "other", "crt", rotated.chain)
    move(tmp_path / "other", "key", rotated.key)
    proxyd.wait_for_log("sds: files of server updated")
    assert (served(proxyd.port("first")), served(proxyd.port("second"))) == ("rotated", "rotated")


def test_directory_that_is_swapped_is_seen(start: StartProxyd, origin: Origin, tmp_path: Path) -> None:
    """As in Kubernetes: the files stay links, into a directory that is one itself."""
    authority, stranger = Authority(), Authority("Stranger")
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    for number, (pair, trusted) in enumerate(
        [(authority.issue("one"), authority), (authority.issue("two"), stranger)]
    ):
        write(mounted / f"..{number}", pair)
        move(mounted / f"..{number}", "ca", trusted.certificate)
    (mounted / "..data").symlink_to("..0")
    for name in ("crt", "key", "ca"):
        (mounted / name).symlink_to(f"..data/{name}")
    watched = {"watched_directory": {"path": str(mounted)}}
    trust = {"trusted_ca": {"filename": str(mounted / "ca")}, **watched}
    static = tls_listener(
        "static", tls_certificates=[certificate(mounted) | watched], validation_context=trust
    )
    secured = static["filter_chains"][0]["transport_socket"]["typed_config"]
    secured["require_client_certificate"] = True
    del static["@type"]
    backend = cluster(origin.address)
    del backend["@type"]
    proxyd = start({"static_resources": {"listeners": [static], "clusters": [backend]}}, "--workers", "1")
    known = {each: each.issue("client") for each in (authority, stranger)}
    port = proxyd.port("static")
    assert enters(port, known[authority])
    assert not enters(port, known[stranger])
    (mounted / "..new").symlink_to("..1")
    os.replace(mounted / "..new", mounted / "..data")
    proxyd.wait_for_log("files of static resources")
    assert served(port) == "two"
    assert enters(port, known[stranger])
    assert not enters(port, known[authority])


def enters(port: int, pair: Pair) -> bool:
    """Whether a client with this certificate is served."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 30) as plain,
            client(pair=pair).wrap_socket(plain) as secured,
        ):
            secured.sendall(b"GET /name HTTP/1.1\r\nhost: x\r\n\r\n")
            return secured.recv(65536).startswith(b"HTTP/1.1 200")
    except (ssl.SSLError, ConnectionError):
        return False
