"""What Wine never says to a socket for datagrams, and Windows does."""

import socket
import struct
import sys

import pytest

from tests import windows

if sys.platform != "win32":
    pytest.skip(windows.WINDOWS, allow_module_level=True)

from proxyd.system import _windows_datagrams as module


class _Told:
    """A socket that fails twice because of what was sent before it has something."""

    def __init__(self) -> None:
        self._left = [10054, 10052]

    def setblocking(self, _: bool) -> None:
        pass

    def recvfrom_into(self, buffer: memoryview) -> tuple[int, tuple[str, int]]:
        if self._left:
            raise OSError(0, "", None, self._left.pop())
        buffer[:2] = b"ab"
        return 2, ("192.0.2.1", 7)


def test_what_became_of_answers_is_nothing_that_was_received():
    datagrams = module.Datagrams(_Told())  # type: ignore[arg-type]
    assert datagrams.receive(100) == (b"ab", ("192.0.2.1", 7), b"")


def _beside(level: int, address: str, interface: int) -> bytes:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    info = socket.inet_pton(family, address) + struct.pack("I", interface)
    head = struct.pack("@Nii", 16 + len(info), level, 19)
    return (head + info).ljust(40 if ":" in address else 24, b"\0")


@pytest.mark.parametrize(
    ("address", "arrived", "answered"),
    [("192.0.2.1", 3, 0), ("2001:db8::1", 3, 0), ("fe80::1", 3, 3)],
)
def test_an_answer_goes_by_whatever_interface_leads_there(address: str, arrived: int, answered: int):
    level = socket.IPPROTO_IPV6 if ":" in address else socket.IPPROTO_IP
    other = struct.pack("@Niiq", 24, 1, 2, 3)  # something else that comes beside a datagram
    sender = module._sender(other + _beside(level, address, arrived))
    assert module._beside(sender) == _beside(level, address, answered)
