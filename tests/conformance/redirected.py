"""Run in a network namespace of its own: a proxy to which iptables leads connections meant for somebody else.

``python -m tests.conformance.redirected KIND DIRECTORY`` prints what was observed, as JSON. Clients have
addresses that nobody else has, so what the proxy connects to itself is not led back to it.
"""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.conformance.bootstrap import FILE_LOG, HTTP, ROUTER
from tests.conformance.proxies import Proxy

_TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_HTTP_INSPECTOR = "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"
_ORIGINAL_DST = "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"
_LOG = (
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT% %UPSTREAM_HOST% "
    "%FILTER_CHAIN_NAME%\n"
)
_CLIENTS = {"4": "127.0.0.9", "6": "fd00::9"}
_MEANT = {"4": "127.0.0.2", "6": "fd00::2"}
_HOME = {"4": "127.0.0.1", "6": "::1"}
# Hosts greet those who come to them, and tell where that was.
_PORTS = {"http": 8081, "tcp": 8082, "chosen": 8083}
# These ports all lead to one listener, which hands connections over to others.
_HANDED = {"address": 8084, "port": 8085, "nobody": 8086, "both": 8087, "each": 8088, "mapped": 8089}
_PATIENCE = 10.0


def main(kind: str, directory: Path) -> None:
    """Set the namespace up, play, tell."""
    _run("ip", "link", "set", "lo", "up")
    families = ["4", "6"] if _has_ipv6() else ["4"]
    for family in families:
        for port in (*_PORTS.values(), *_HANDED.values()):
            _host(_MEANT[family], port)
    log = directory / "log"
    with Proxy(kind, directory, json.dumps(_bootstrap(families, log))) as proxy:
        for name, port in proxy.ports.items():
            what, family = name.split("-")
            for meant in [_PORTS[what]] if what in _PORTS else _HANDED.values() if what == "virtual" else ():
                _lead(family, meant, port)
        seen = {f"{what}-{family}": _ask(what, family) for what in (*_PORTS, *_HANDED) for family in families}
        seen["listeners"] = " ".join(sorted(proxy.ports))
        counted = proxy.settled_stats(
            "^cluster[.]meant[.](membership_(total|change)|upstream_cx_total)"
            "|^listener[.]of-.*[.]downstream_(cx_(total|active)|pre_cx_active)$"
        )
    seen["counted"] = counted
    seen["log"] = "\n".join(sorted(log.read_text().splitlines()))
    sys.stdout.write(json.dumps(seen))


def _has_ipv6() -> bool:
    done = subprocess.run(
        ["ip", "-6", "address", "add", "fd00::9/128", "dev", "lo", "nodad"], check=False, capture_output=True
    )
    if done.returncode:
        return False
    _run("ip", "-6", "address", "add", "fd00::2/128", "dev", "lo", "nodad")
    return True


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)


def _lead(family: str, port: int, to: int) -> None:
    """What clients of ours send to this port of anybody goes to the proxy."""
    command = "iptables" if family == "4" else "ip6tables"
    rule = [
        "-p",
        "tcp",
        "-s",
        _CLIENTS[family],
        "--dport",
        str(port),
        "-j",
        "REDIRECT",
        "--to-ports",
        str(to),
    ]
    _run(command, "-w", "-t", "nat", "-A", "OUTPUT", *rule)


def _host(ip: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    server = socket.create_server((ip, port), family=family, backlog=16)
    threading.Thread(target=_greet, args=(server,), daemon=True).start()


def _greet(server: socket.socket) -> None:
    while True:
        sock, _ = server.accept()
        with sock:
            ip, port = sock.getsockname()[:2]
            text = f"this is {ip} {port}"
            if port == _PORTS["http"] or port in _HANDED.values():
                sock.recv(65536)
                text = f"HTTP/1.1 200 OK\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n{text}"
            sock.sendall(text.encode())


def _ask(what: str, family: str) -> str:
    """What a client hears who means to go to the host of that kind."""
    kind = socket.AF_INET6 if family == "6" else socket.AF_INET
    with socket.socket(kind) as sock:
        sock.settimeout(_PATIENCE)
        sock.bind((_CLIENTS[family], 0))
        sock.connect((_MEANT[family], {**_PORTS, **_HANDED}[what]))
        if what == "http" or what in _HANDED:
            sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        heard = b""
        while data := sock.recv(65536):
            heard += data
    return heard.rpartition(b"\r\n\r\n")[2].decode()


def _bootstrap(families: list[str], log: Path) -> dict[str, Any]:
    logger = {
        "@type": FILE_LOG,
        "path": str(log),
        "log_format": {"text_format_source": {"inline_string": _LOG}},
    }
    access_log = [{"name": "log", "typed_config": logger}]
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "meant"}}]
    manager = {
        "@type": f"{HTTP}.HttpConnectionManager",
        "stat_prefix": "http",
        "access_log": access_log,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
    }

    def bytes_to(cluster: str) -> dict[str, Any]:
        return {"@type": _TCP_PROXY, "stat_prefix": "tcp", "cluster": cluster, "access_log": access_log}

    def chain(name: str, config: dict[str, Any], **match: Any) -> dict[str, Any]:
        return {
            "name": name,
            "filter_chain_match": match,
            "filters": [{"name": name, "typed_config": config}],
        }

    chains = {
        "http": [chain("all", manager)],
        "tcp": [chain("all", bytes_to("meant"))],
        # By where they meant to go.
        "chosen": [
            chain("other", bytes_to("nothing"), destination_port=_PORTS["tcp"]),
            chain("port", bytes_to("meant"), destination_port=_PORTS["chosen"]),
        ],
    }
    here = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "here"}}}
    hosts = [{"name": "all", "domains": ["*"], "routes": [here]}]
    answer = {**manager, "route_config": {"virtual_hosts": hosts}}
    listeners = [
        {
            "name": f"{what}-{family}",
            "stat_prefix": f"of-{what}-{family}",
            "address": {"socket_address": {"address": _HOME[family], "port_value": 0}},
            "listener_filters": [{"name": "original", "typed_config": {"@type": _ORIGINAL_DST}}],
            "filter_chains": chains[what],
        }
        for family in families
        for what in chains
    ]
    for family in families:
        everywhere = "0.0.0.0" if family == "4" else "::"
        listeners += [
            {
                "name": f"virtual-{family}",
                "stat_prefix": f"of-virtual-{family}",
                "address": {"socket_address": {"address": _HOME[family], "port_value": 0}},
                "use_original_dst": True,
                "listener_filters": [{"name": "http", "typed_config": {"@type": _HTTP_INSPECTOR}}],
                "filter_chains": [chain("passed", bytes_to("meant"))],
            },
            _unbound(f"address-{family}", _MEANT[family], _HANDED["address"], chain("handed", answer)),
            _unbound(
                f"port-{family}",
                everywhere,
                _HANDED["port"],
                chain("other", bytes_to("meant"), application_protocols=["h2c"]),
                chain("handed", manager, application_protocols=["http/1.1"]),
            ),
        ]
    if "6" in families:
        listeners += [
            _unbound("both-46", "::", _HANDED["both"], chain("both", answer), ipv4_compat=True),
            _unbound("each-46", "::", _HANDED["each"], chain("6", answer), ipv4_compat=True),
            _unbound(
                "mapped-4",
                f"::ffff:{_MEANT['4']}",
                _HANDED["mapped"],
                chain("mapped", answer),
                ipv4_compat=True,
            ),
            _unbound("each-4", "0.0.0.0", _HANDED["each"], chain("4", manager)),
        ]
    return {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "static_resources": {
            "listeners": listeners,
            "clusters": [{"name": "meant", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}],
        },
    }


def _unbound(name: str, ip: str, port: int, *chains: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "stat_prefix": f"of-{name}",
        "address": {"socket_address": {"address": ip, "port_value": port, **more}},
        "bind_to_port": False,
        "listener_filters": [{"name": "http", "typed_config": {"@type": _HTTP_INSPECTOR}}],
        "filter_chains": chains,
    }


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
