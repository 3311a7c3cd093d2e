"""Whom Windows trusts: the certificates of its store of root authorities."""

import sys

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

import ssl
from typing import Final

_TRUSTED: Final = "ROOT"
_DISTRUSTED: Final = "Disallowed"  # it wins


def load_system_roots(context: ssl.SSLContext, purpose: ssl.Purpose) -> None:
    # Not what load_default_certs() takes: it adds the store of intermediate authorities, where anybody's may
    # be. They are no roots, but contexts here trust whatever they hold, see VERIFY_X509_PARTIAL_CHAIN.
    distrusted = {encoded for encoded, _, _ in ssl.enum_certificates(_DISTRUSTED)}
    for encoded, encoding, purposes in ssl.enum_certificates(_TRUSTED):
        if encoding != "x509_asn" or encoded in distrusted:
            continue
        if purposes is True or (purposes and purpose.oid in purposes):
            try:
                context.load_verify_locations(cadata=encoded)
            except ssl.SSLError:
                continue  # not one that OpenSSL can read: it vouches for nobody
    context.set_default_verify_paths()  # SSL_CERT_FILE, SSL_CERT_DIR
