import errno
import os
import socket
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Linux", allow_module_level=True)

from proxyd.system import native


def test_descriptors_cross_a_channel():
    left, right = native.channel_pair()
    reader, writer = os.pipe()
    with left, right:
        assert native.send_descriptors(left, b"here", [writer]) == 4
        data, received = native.receive_descriptors(right, 100)
    assert data == b"here"
    assert not os.get_inheritable(received[0])
    os.write(received[0], b"through")
    assert os.read(reader, 100) == b"through"
    for descriptor in (reader, writer, *received):
        os.close(descriptor)


def test_a_port_shared_by_strangers_cannot_be_claimed():
    with native.bind("127.0.0.1", 0, shared=True) as strangers:
        strangers.listen(1)
        with pytest.raises(OSError, match="in use") as caught:
            native.claim_port("127.0.0.1", strangers.getsockname()[1])
    assert caught.value.errno == errno.EADDRINUSE


def test_several_shared_sockets_have_one_address():
    with native.bind("127.0.0.1", 0, shared=True) as first:
        port = first.getsockname()[1]
        with native.bind("127.0.0.1", port, shared=True) as second:
            assert second.getsockname() == first.getsockname()


def test_a_bound_socket_gets_no_connection_before_it_listens():
    with (
        native.bind("127.0.0.1", 0, shared=True) as listening,
        native.bind("127.0.0.1", listening.getsockname()[1], shared=True),
        socket.socket() as client,
    ):
        assert client.connect_ex(listening.getsockname()) == errno.ECONNREFUSED
        listening.listen(1)
        listening.setblocking(True)
        for _ in range(8):
            with socket.create_connection(listening.getsockname()), listening.accept()[0]:
                pass


def test_ipv6_does_not_take_the_ipv4_port():
    # A port is free on all IPv4 interfaces first: others use ports of this machine, too.
    with native.bind("0.0.0.0", 0, shared=False) as four:
        try:
            native.bind("::", four.getsockname()[1], shared=False).close()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise
            pytest.skip("no IPv6 here")
    assert native.default_backlog() >= 128


def test_who_was_not_redirected_meant_to_go_where_it_has_arrived():
    with native.bind("127.0.0.1", 0, shared=False) as listening:
        listening.listen(1)
        listening.setblocking(True)
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            # Whether anybody tracks connections here is for others to say.
            assert native.original_destination(accepted) in (None, listening.getsockname())
    with socket.socket(socket.AF_UNIX) as unix:
        assert native.original_destination(unix) is None
    assert native.knows_original_destinations()


def test_an_ipv4_client_of_a_socket_for_both_protocols_was_redirected_by_ipv4():
    """Asked as IPv6, the kernel knows nothing of it, and would say so even where connections are tracked."""

    class Accepted:
        family = socket.AF_INET6

        def getsockname(self):
            return ("::ffff:10.0.0.1", 80, 0, 0)

        def getsockopt(self, level, option, size):
            assert (level, option, size) == (socket.IPPROTO_IP, 80, 16)
            return bytes.fromhex("0200 1f90 0a000002") + bytes(8)

    assert native.original_destination(Accepted()) == ("10.0.0.2", 8080)


def test_probes_of_idle_connections():
    with socket.socket() as sock:
        usual = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        native.keep_alive(sock, 3, 0, 7)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == usual
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 7
