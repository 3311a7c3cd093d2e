"""Mistakes that show only when a configuration is compiled, told with the path of the field they are in."""

import logging
import ssl
from collections.abc import Iterator

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.cluster import Cluster, upstream_tls
from proxyd.config.core import (
    HeaderValueOption,
    RegexMatchAndSubstitute,
    RegexMatcher,
    StringMatcher,
    SubstitutionFormatString,
)
from proxyd.config.finding import Finding, messages
from proxyd.config.listener import FilterChain
from proxyd.config.message import Message
from proxyd.config.proxy_protocol import ProxyProtocolUpstreamTransport
from proxyd.config.tls import DownstreamTlsContext, Secret
from proxyd.snapshot.formatter import FormatError, compile_format
from proxyd.snapshot.header_mutation import compile_value
from proxyd.snapshot.peer_validation import PeerValidation
from proxyd.snapshot.regex import RegexError, Substitution, compile_regex
from proxyd.snapshot.tls import ClientTls, Secrets, ServerTls, TlsError, TlsSettings
from proxyd.snapshot.tls_context import Identity, SecretError, set_trust
from proxyd.stats.metrics import Registry
from proxyd.stats.tls_scopes import CLUSTER, LISTENER, TlsStats

logger = logging.getLogger("config")


def check_snapshot(bootstrap: Bootstrap) -> Iterator[Finding]:
    """Everything of the kind."""
    yield from check_resource(bootstrap, "", {each.name: each for each in bootstrap.static_resources.secrets})


def check_resource(root: Message, root_path: str, secrets: Secrets) -> Iterator[Finding]:
    """The same of one resource, which stands at ``root_path`` of its text."""
    yield from check_texts(root, root_path)
    for path, message in messages(root, root_path):
        yield from check_tls_contexts(path, message, secrets)


def tls_warnings(bootstrap: Bootstrap) -> Iterator[str]:
    """What can run and may not be what was meant."""
    for cluster in bootstrap.static_resources.clusters:
        upstream = upstream_tls(cluster)
        if upstream is None:
            continue
        common = upstream.common_tls_context
        if common is None or (
            common.validation_context is None
            and common.validation_context_sds_secret_config is None
            and common.combined_validation_context is None
        ):
            yield (
                f"cluster {cluster.name}: its hosts are not verified, anybody can stand in for them: "
                "set validation_context.trusted_ca"
            )


def check_tls_contexts(path: str, message: Message, secrets: Secrets) -> Iterator[Finding]:
    """What OpenSSL has against the certificates, keys and algorithms of a cluster or a filter chain."""
    settings = TlsSettings(secrets)
    try:
        if isinstance(message, Cluster):
            config = upstream_tls(message)
            socket = message.transport_socket
            inner = socket is not None and isinstance(socket.typed_config, ProxyProtocolUpstreamTransport)
            path += ".transport_socket.typed_config" * (2 if inner else 1)
            if config is not None:
                ClientTls(config, message, settings, TlsStats(Registry(None), CLUSTER, ""))
        elif isinstance(message, FilterChain) and message.transport_socket is not None:
            path = f"{path}.transport_socket.typed_config"
            context = message.transport_socket.typed_config
            if isinstance(context, DownstreamTlsContext):
                ServerTls(context, settings, TlsStats(Registry(None), LISTENER, ""))
    except SecretError:
        return  # told by the loader, or there later
    except TlsError as error:
        yield Finding(f"{path}.{error.field}", str(error))
    except (RegexError, AssertionError):
        return  # told for the expression; what is missing has been told by the loader
    except Exception as unforeseen:
        logger.debug("TLS at %s", path, exc_info=unforeseen)
        yield Finding(path, f"cannot be used: {type(unforeseen).__name__}")


def compile_secret(secret: Secret) -> None:
    """Find out whether a secret can be used. Raises TlsError, RegexError."""
    if secret.tls_certificate is not None:
        Identity(secret.tls_certificate, "tls_certificate").use(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    if secret.validation_context is not None:
        PeerValidation(secret.validation_context)
        set_trust(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), secret.validation_context, "validation_context")


def check_texts(root: Message, root_path: str = "") -> Iterator[Finding]:
    """Every format that names an operator wrongly, every expression that RE2 does not take.

    ``root_path`` is where ``root`` stands in its text.
    """
    for path, message in messages(root, root_path):
        if isinstance(message, RegexMatcher):
            yield from _regex(path, message)
        elif isinstance(message, RegexMatchAndSubstitute):
            yield from _substitution(path, message)
        elif isinstance(message, StringMatcher):
            if message.safe_regex is not None and message.ignore_case:
                yield Finding(
                    f"{path}.ignore_case", "has no effect on safe_regex: write (?i) in the expression"
                )
        elif isinstance(message, HeaderValueOption):
            yield from _header_value(path, message)
        elif isinstance(message, SubstitutionFormatString):
            yield from _format(path, message)


def _regex(path: str, matcher: RegexMatcher) -> Iterator[Finding]:
    try:
        compile_regex(matcher.regex)
    except RegexError as error:
        yield Finding(f"{path}.regex", str(error))


def _substitution(path: str, rewrite: RegexMatchAndSubstitute) -> Iterator[Finding]:
    try:
        compile_regex(rewrite.pattern.regex)
    except RegexError:
        return  # told for the expression
    try:
        Substitution(rewrite.pattern.regex, rewrite.substitution)
    except RegexError as error:
        yield Finding(f"{path}.substitution", str(error))


def _header_value(path: str, option: HeaderValueOption) -> Iterator[Finding]:
    try:
        compile_value(option.header.value)
    except FormatError as error:
        yield Finding(f"{path}.header.value", str(error))


def _format(path: str, log_format: SubstitutionFormatString) -> Iterator[Finding]:
    try:
        compile_format(log_format)
    except UnicodeDecodeError:
        return  # told by the loader
    except FormatError as error:
        field = "text_format_source" if log_format.json_format is None else "json_format"
        yield Finding(f"{path}.{field}", str(error))
