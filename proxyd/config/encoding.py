"""How a configuration travels to a worker, and back into Structs there."""

import msgspec

from proxyd.config.bootstrap import Bootstrap
from proxyd.config.message import Message

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Bootstrap)


def encode(bootstrap: Bootstrap) -> bytes:
    """The configuration as one message, files and environment variables it names already read."""
    return _encoder.encode(bootstrap)


def encode_message(message: Message) -> bytes:
    """The same of one message: equal ones are equal bytes."""
    return _encoder.encode(message)


def decode(data: bytes | memoryview) -> Bootstrap:
    """The inverse of ``encode``. Raises ``msgspec.DecodeError`` for what another version has written."""
    return _decoder.decode(data)
