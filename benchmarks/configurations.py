"""One and the same task in each proxy's own words.

A listener, `routes` routes to one origin behind a pool of kept-alive connections, forwarded-for, a request
id, and an access log in a file below `folder`. With `tls` the listener's certificate is `folder`'s
`certificate.pem` with `key.pem`; `both.pem` has the two.
"""

import json
import os
from pathlib import Path

_TYPES = "type.googleapis.com/envoy.extensions."


def envoy(port: int, origin: int, routes: int, folder: Path, tls: bool = False) -> str:
    """For Envoy and for proxyd."""

    def address(number: int) -> dict[str, object]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    table: list[dict[str, object]] = [
        {"match": {"prefix": f"/r{number}/"}, "route": {"cluster": "origin"}} for number in range(1, routes)
    ]
    table.append({"match": {"prefix": "/body"}, "route": {"cluster": "origin", "timeout": "0s"}})
    table.append({"match": {"prefix": "/"}, "route": {"cluster": "origin"}})
    log = {"@type": _TYPES + "access_loggers.file.v3.FileAccessLog", "path": str(folder / "access.log")}
    manager = {
        "@type": _TYPES + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "use_remote_address": True,
        "access_log": [{"name": "envoy.access_loggers.file", "typed_config": log}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": table}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": _TYPES + "filters.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    cluster = {
        "name": "origin",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "origin",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(origin)}}]}],
        },
    }
    chain: dict[str, object] = {"filters": filters}
    if tls:
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
    listener = {"name": "front", "address": address(port), "filter_chains": [chain]}
    # JSON is YAML.
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}, indent=1)


def nginx(port: int, origin: int, routes: int, folder: Path, tls: bool = False) -> str:
    """Bodies pass through as in the others, never by way of a file."""
    locations = "\n".join(
        f"location /r{number}/ {{ proxy_pass http://origin; }}" for number in range(1, routes)
    )
    paths = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.getuid() == 0 else ""
    certificate = f"""\
ssl_certificate {folder}/certificate.pem;
ssl_certificate_key {folder}/key.pem;
ssl_protocols TLSv1.2 TLSv1.3;
ssl_session_tickets on;
"""
    return f"""\
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 16384; }}
http {{
{paths}
access_log {folder}/access.log combined buffer=64k flush=1s;
keepalive_requests 1000000000;
keepalive_timeout 600s;
client_max_body_size 0;
proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_set_header Host $http_host;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header X-Forwarded-Proto $scheme;
proxy_set_header X-Request-Id $request_id;
proxy_request_buffering off;
proxy_max_temp_file_size 0;
upstream origin {{ server 127.0.0.1:{origin}; keepalive 256; keepalive_requests 1000000000; }}
server {{
listen 127.0.0.1:{port} {"ssl http2 " if tls else ""}backlog=1024;
{certificate if tls else ""}
{locations}
location / {{ proxy_pass http://origin; }}
}}
}}
"""


def haproxy(port: int, origin: int, routes: int, folder: Path, tls: bool = False) -> str:
    """The log goes to standard output, which the caller leads into a file."""
    rules = "\n".join(f" use_backend origin if {{ path_beg /r{number}/ }}" for number in range(1, routes))
    return f"""\
global
 maxconn 8192
 nbthread 1
 log stdout format raw daemon
defaults
 mode http
 log global
 option httplog
 option forwardfor
 http-reuse always
 unique-id-format %{{+X}}o\\ %ci:%cp_%fi:%fp_%Ts_%rt:%pid
 unique-id-header x-request-id
 timeout connect 5s
 timeout client 600s
 timeout server 600s
frontend front
 bind 127.0.0.1:{port}{f" ssl crt {folder}/both.pem alpn h2,http/1.1" if tls else ""}
{rules}
 default_backend origin
backend origin
 server one 127.0.0.1:{origin}
"""


WRITERS = {"envoy": envoy, "nginx": nginx, "haproxy": haproxy}
