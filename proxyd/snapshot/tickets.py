"""What session tickets are sealed with.

All workers and all generations have the same secret, so that a session that one began can be resumed by any
other. Each context has a key of its own, derived from the secret and from all that decides whom it trusts: a
session without a client's certificate would else be resumed where one is demanded. The secret is replaced
after some hours by what is derived from it; the former one still opens tickets for as long again and is
forgotten then: who learns both cannot open older tickets.
"""

import hashlib
import hmac
from typing import Final

from proxyd.snapshot.openssl import TICKET_KEY_BYTES

SECRET_BYTES: Final = 32
PERIOD_S: Final = 12 * 3600


class TicketSecret:
    """The secret of the period ``epoch`` (whole periods since 1970), and the ``former`` period's, if any."""

    __slots__ = ("epoch", "former", "secret")

    def __init__(self, secret: bytes, epoch: int, former: bytes = b"") -> None:
        self.secret: bytes = secret
        self.former: bytes = former
        self.epoch: int = epoch

    def advance(self, now: float) -> bool:
        """Go on to the period of ``now`` (seconds since 1970); whether that is another than before.

        A clock that is set back changes nothing: what is forgotten cannot be had again.
        """
        epoch = int(now // PERIOD_S)
        if epoch <= self.epoch:
            return False
        # After a long time, or with a clock that jumps, the number of steps has to end somewhere.
        for _ in range(min(epoch - self.epoch, 1000)):
            self.former = self.secret
            self.secret = _derive(self.secret, b"next period", SECRET_BYTES)
        self.epoch = epoch
        return True

    def key(self, trust: bytes) -> bytes:
        """The key for a context that trusts as ``trust`` (a digest) says."""
        return ticket_key(self.secret, trust)

    def former_key(self, trust: bytes) -> bytes:
        """The same for tickets of the former period; empty where there is none."""
        return ticket_key(self.former, trust) if self.former else b""


def ticket_key(secret: bytes, trust: bytes) -> bytes:
    """What a context seals its tickets with, of a secret of any length."""
    return _derive(secret, b"ticket key" + trust, TICKET_KEY_BYTES)


def _derive(secret: bytes, purpose: bytes, size: int) -> bytes:
    """HKDF (RFC 5869) with SHA-256 and without salt."""
    key = hmac.digest(bytes(hashlib.sha256().digest_size), secret, "sha256")
    made = b""
    block = b""
    while len(made) < size:
        block = hmac.digest(key, block + purpose + bytes((len(made) // 32 + 1,)), "sha256")
        made += block
    return made[:size]
