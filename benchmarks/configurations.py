"""One and the same task in each proxy's own words.

A listener, one origin behind it, and an access log in a file below `folder`. For HTTP `routes` routes, a pool
of kept-alive connections, forwarded-for, and a request id. With `tls` the listener's certificate is
`folder`'s `certificate.pem` with `key.pem`; `both.pem` has the two.
"""

import json
import os
from pathlib import Path
from typing import NamedTuple

_TYPES = "type.googleapis.com/envoy.extensions."


class Task(NamedTuple):
    """What a proxy is to do."""

    kind: str = "http"  # grpc: HTTP/2 without TLS on both sides. tcp. websocket: HTTP that may be upgraded
    routes: int = 1
    tls: bool = False


def envoy(port: int, origin: int, task: Task, folder: Path) -> str:
    """For Envoy and for proxyd."""
    log = {"@type": _TYPES + "access_loggers.file.v3.FileAccessLog", "path": str(folder / "access.log")}
    logs: list[dict[str, object]] = [{"name": "envoy.access_loggers.file", "typed_config": log}]
    if task.kind == "tcp":
        name = "tcp_proxy"
        terminal: dict[str, object] = {
            "@type": _TYPES + "filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "in",
            "access_log": logs,
            "cluster": "origin",
        }
    else:
        name = "http_connection_manager"
        terminal = _manager(task, logs)
    cluster: dict[str, object] = {
        "name": "origin",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "origin",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(origin)}}]}],
        },
    }
    if task.kind == "grpc":
        options = {
            "@type": _TYPES + "upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options
        }
    chain: dict[str, object] = {
        "filters": [{"name": f"envoy.filters.network.{name}", "typed_config": terminal}]
    }
    if task.tls:
        certificate = {
            "certificate_chain": {"filename": str(folder / "certificate.pem")},
            "private_key": {"filename": str(folder / "key.pem")},
        }
        context = {
            "@type": _TYPES + "transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "tls_certificates": [certificate],
                "alpn_protocols": ["h2", "http/1.1"],
            },
        }
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    listener = {"name": "front", "address": _address(port), "filter_chains": [chain]}
    # JSON is YAML.
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}, indent=1)


def _address(number: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": number}}


def _manager(task: Task, logs: list[dict[str, object]]) -> dict[str, object]:
    """Envoy's HTTP connection manager."""
    table: list[dict[str, object]] = [
        {"match": {"prefix": f"/r{number}/"}, "route": {"cluster": "origin"}}
        for number in range(1, task.routes)
    ]
    table.append({"match": {"prefix": "/body"}, "route": {"cluster": "origin", "timeout": "0s"}})
    table.append({"match": {"prefix": "/"}, "route": {"cluster": "origin"}})
    manager: dict[str, object] = {
        "@type": _TYPES + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "use_remote_address": True,
        "access_log": logs,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": table}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": _TYPES + "filters.http.router.v3.Router"},
            }
        ],
    }
    if task.kind == "websocket":
        manager["upgrade_configs"] = [{"upgrade_type": "websocket"}]
    return manager


def nginx(port: int, origin: int, task: Task, folder: Path) -> str:
    """Bodies pass through as in the others, never by way of a file."""
    user = "user root;" if os.getuid() == 0 else ""
    return f"""\
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 16384; }}
{_nginx_stream(port, origin, folder) if task.kind == "tcp" else _nginx_http(port, origin, task, folder)}
"""


def _nginx_stream(port: int, origin: int, folder: Path) -> str:
    return f"""\
stream {{
log_format line '$remote_addr [$time_local] $status $bytes_sent $bytes_received $session_time $upstream_addr';
access_log {folder}/access.log line buffer=64k flush=1s;
server {{
listen 127.0.0.1:{port} backlog=1024;
proxy_pass 127.0.0.1:{origin};
}}
}}
"""


def _nginx_http(port: int, origin: int, task: Task, folder: Path) -> str:
    grpc, upgrades = task.kind == "grpc", task.kind == "websocket"
    # What the locations below inherit.
    target = "grpc_pass grpc://origin;" if grpc else "proxy_pass http://origin;"
    locations = "\n".join(f"location /r{number}/ {{ {target} }}" for number in range(1, task.routes))
    paths = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    certificate = f"""\
ssl_certificate {folder}/certificate.pem;
ssl_certificate_key {folder}/key.pem;
ssl_protocols TLSv1.2 TLSv1.3;
ssl_session_tickets on;
"""
    upgrade = "proxy_set_header Upgrade $http_upgrade;" if upgrades else ""
    headers = "\n".join(
        f"{'grpc' if grpc else 'proxy'}_set_header {header};"
        for header in (
            "Host $http_host",
            "X-Forwarded-For $proxy_add_x_forwarded_for",
            "X-Forwarded-Proto $scheme",
            "X-Request-Id $request_id",
        )
    )
    return f"""\
http {{
{paths}
access_log {folder}/access.log combined buffer=64k flush=1s;
keepalive_requests 1000000000;
keepalive_timeout 600s;
client_max_body_size 0;
proxy_http_version 1.1;
proxy_set_header Connection {'"upgrade"' if upgrades else '""'};
{upgrade}
{headers}
proxy_request_buffering off;
proxy_max_temp_file_size 0;
upstream origin {{ server 127.0.0.1:{origin}; keepalive 256; keepalive_requests 1000000000; }}
server {{
listen 127.0.0.1:{port} {"ssl " if task.tls else ""}{"http2 " if task.tls or grpc else ""}backlog=1024;
{certificate if task.tls else ""}
{locations}
location / {{ {target} }}
}}
}}
"""


def haproxy(port: int, origin: int, task: Task, folder: Path) -> str:
    """The log goes to standard output, which the caller leads into a file."""
    http2 = " proto h2" if task.kind == "grpc" else ""
    tls = f" ssl crt {folder}/both.pem alpn h2,http/1.1" if task.tls else ""
    rules = "\n".join(
        f" use_backend origin if {{ path_beg /r{number}/ }}" for number in range(1, task.routes)
    )
    tcp = """\
 mode tcp
 option tcplog
"""
    http = """\
 mode http
 option httplog
 option forwardfor
 http-reuse always
 unique-id-format %{+X}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
 unique-id-header x-request-id
"""
    return f"""\
global
 maxconn 8192
 nbthread 1
 log stdout format raw daemon
defaults
 log global
{tcp if task.kind == "tcp" else http}
 timeout connect 5s
 timeout client 600s
 timeout server 600s
 timeout tunnel 600s
frontend front
 bind 127.0.0.1:{port}{tls}{http2}
{rules}
 default_backend origin
backend origin
 server one 127.0.0.1:{origin}{http2}
"""


WRITERS = {"envoy": envoy, "nginx": nginx, "haproxy": haproxy}
