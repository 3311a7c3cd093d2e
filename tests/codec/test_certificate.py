import pytest
from cryptography import x509

from proxyd.codec.certificate import (
    DNS,
    EMAIL,
    IP_ADDRESS,
    OTHER_NAME,
    URI,
    Certificate,
    SubjectAltName,
    split_pem,
)
from tests.net.certificates import Authority, Pair

UPN = "1.3.6.1.4.1.311.20.2.3"


@pytest.fixture(scope="module")
def pair() -> Pair:
    others = [
        x509.OtherName(x509.ObjectIdentifier(UPN), b"\x0c\x04m\xc3\xa9!"),
        x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x02\x02\x01\x00"),
        x509.OtherName(x509.ObjectIdentifier("1.2.4"), b"\x30\x00"),
    ]
    return Authority().issue(
        "a.b", "10.0.0.1", "::1", "spiffe://x/y", "m@x.y", common_name="Zoë", others=others
    )


def told(pair: Pair) -> Certificate:
    (der,) = split_pem(pair.certificate.encode())
    return Certificate(der)


def test_names_of_every_kind(pair: Pair) -> None:
    found = [(name.kind, name.value, name.oid) for name in told(pair).names]
    assert found == [
        (DNS, "a.b", ""),
        (IP_ADDRESS, "10.0.0.1", ""),
        (IP_ADDRESS, "::1", ""),
        (URI, "spiffe://x/y", ""),
        (EMAIL, "m@x.y", ""),
        (OTHER_NAME, "mé!", UPN),
        (OTHER_NAME, "256", "1.2.3"),
    ]
    assert isinstance(told(pair).names[0], SubjectAltName)


def test_subjects_are_written_as_openssl_writes_them(pair: Pair) -> None:
    assert told(pair).subject == r"CN=Zo\C3\AB,O=Test\, Inc."
    assert told(pair).issuer == r"CN=Test CA,O=Test\, Inc."
    assert told(pair).common_name == "Zoë"


def test_pem_there_and_back(pair: Pair) -> None:
    certificate = told(pair)
    assert certificate.pem == pair.certificate
    assert certificate.escaped_pem.startswith("-----BEGIN%20CERTIFICATE-----%0A")
    assert certificate.sha256 == pair.sha256
    assert certificate.spki == pair.spki
    assert certificate.curve_bits == 256


def test_a_chain_has_all_its_certificates_and_a_torn_one_is_refused(pair: Pair) -> None:
    text = pair.certificate.encode()
    assert len(split_pem(b"comment\n" + text + text)) == 2
    assert split_pem(b"nothing") == []
    for torn in (text[:-40], text.replace(b"\nMII", b"\n?II", 1)):
        with pytest.raises(ValueError, match=r"does not end|base64|Only|Incorrect|Excess"):
            split_pem(torn)


def test_what_is_no_certificate_says_nothing() -> None:
    broken = Certificate(b"\x30\x03\x02\x01\x00")
    assert not broken.readable
    assert (broken.subject, broken.serial, broken.spki, broken.names) == ("", "", "", [])
    assert (broken.begins, broken.curve_bits, broken.common_name) == (0.0, 0, "")
