"""Which group (curve) a handshake agreed on: from what the server says in plain text.

Python does not tell. With TLS 1.3 it stands in the ServerHello's key share (RFC 8446 section 4.2.8), with
TLS 1.2 in the ServerKeyExchange (RFC 8422 section 5.4). A resumed session of TLS 1.2 has none.
"""

from typing import Final

# Names as BoringSSL, and with it Envoy's statistics, spell them.
GROUP_NAMES: Final = {
    23: "P-256",
    24: "P-384",
    25: "P-521",
    29: "X25519",
    30: "X448",
    4588: "X25519MLKEM768",
}

_HANDSHAKE: Final = 0x16
_SERVER_HELLO: Final = 2
_SERVER_KEY_EXCHANGE: Final = 12
_NAMED_CURVE: Final = 3
_KEY_SHARE: Final = 51


def agreed_group(data: bytes) -> int:
    """The group in a server's first flight, 0 where none is told.

    Of a HelloRetryRequest it is the one that is asked for, which is then agreed on.
    """
    messages = bytearray()
    place = 0
    while len(data) >= place + 5 and data[place] == _HANDSHAKE:
        size = data[place + 3] << 8 | data[place + 4]
        messages += data[place + 5 : place + 5 + size]
        place += 5 + size
    place = 0
    while len(messages) >= place + 4:
        kind = messages[place]
        size = messages[place + 1] << 16 | messages[place + 2] << 8 | messages[place + 3]
        body = bytes(messages[place + 4 : place + 4 + size])
        found = 0
        if kind == _SERVER_HELLO:
            found = _key_share(body)
        elif kind == _SERVER_KEY_EXCHANGE and len(body) > 3 and body[0] == _NAMED_CURVE:
            found = body[1] << 8 | body[2]
        if found:
            return found
        place += 4 + size
    return 0


def _key_share(body: bytes) -> int:
    if len(body) < 35:
        return 0
    place = 35 + body[34] + 3  # version, random, session id, cipher, compression
    end = len(body)
    place += 2  # length of the extensions
    while end >= place + 4:
        kind = body[place] << 8 | body[place + 1]
        size = body[place + 2] << 8 | body[place + 3]
        if kind == _KEY_SHARE and size >= 2 and end >= place + 6:
            return body[place + 4] << 8 | body[place + 5]
        place += 4 + size
    return 0
