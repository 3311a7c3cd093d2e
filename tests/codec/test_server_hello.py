import ssl

import pytest

from proxyd.codec.server_hello import GROUP_NAMES, agreed_group
from tests.net.certificates import Authority
from tests.net.tls_house import client, server


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(("curve", "name"), [("prime256v1", "P-256"), ("secp384r1", "P-384")])
def test_group_of_a_real_handshake(version: ssl.TLSVersion, curve: str, name: str) -> None:
    """With TLS 1.3 the client offers another at first, and is asked for this one."""
    there = server(Authority().issue("x"), minimum_version=version)
    there.set_ecdh_curve(curve)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    who = client(maximum_version=version).wrap_bio(to_client, to_server, False, "x")
    with pytest.raises(ssl.SSLWantReadError):
        who.do_handshake()
    with pytest.raises(ssl.SSLWantReadError):
        there.wrap_bio(to_server, to_client, True).do_handshake()
    flight = to_client.read()
    assert GROUP_NAMES[agreed_group(flight)] == name
    for length in range(len(flight)):
        assert agreed_group(flight[:length]) in (0, agreed_group(flight))


def test_nothing_is_made_up() -> None:
    assert agreed_group(b"") == 0
    assert agreed_group(b"\x15\x03\x03\x00\x02\x02\x28") == 0
    assert agreed_group(b"\x16\x03\x03\x00\x06\x02\x00\x00\x02\x03\x03") == 0
