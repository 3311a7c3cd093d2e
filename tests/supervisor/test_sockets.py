import errno
import socket

import pytest

from proxyd.config.bootstrap import Bootstrap, StaticResources
from proxyd.config.core import Address, SocketAddress
from proxyd.config.listener import AdditionalAddress, Listener
from proxyd.supervisor.sockets import (
    BindError,
    Key,
    ListenSockets,
    Wanted,
    format_address,
    plan,
    serves,
    wanted_addresses,
)
from proxyd.system import native


def address(port: int, host: str = "127.0.0.1") -> Address:
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def wanted(name: str, port: int = 0, listener: int = 0, shared: bool = True) -> Wanted:
    return Wanted(listener, name, Key("127.0.0.1", port, ("", 0) if port else (name, 0)), shared, 16)


def put_in_force(sockets: ListenSockets, addresses: list[Wanted], workers: int):
    prepared = sockets.prepare(addresses, workers)
    sockets.commit(prepared)
    return prepared


def queue_length(sock: socket.socket) -> int:
    """How many connections wait; takes them."""
    count = 0
    while True:
        try:
            sock.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


# -- deciding


def test_plan_binds_what_is_missing_and_closes_what_is_not_wanted():
    a, b, c = wanted("a", 1), wanted("b", 2), wanted("c", 3)
    change = plan({a.key: 2, b.key: 2}, [a, c], workers=3)
    assert change.bind == [(a, 1), (c, 3)]
    assert change.close == [b.key]


def test_what_is_not_to_be_bound_is_not_wanted():
    listeners = (
        Listener(name="a", address=address(1), bind_to_port=False, additional_addresses=(more(2),)),
        Listener(name="b", address=address(3), bind_to_port=True),
    )
    found = wanted_addresses(Bootstrap(static_resources=StaticResources(listeners=listeners)), 16)
    assert [(each.listener, each.key.port) for each in found] == [(1, 3)]


def more(port: int) -> AdditionalAddress:
    return AdditionalAddress(address=address(port))


def udp(name: str, port: int = 0, shared: bool = True) -> Wanted:
    return Wanted(0, name, Key("127.0.0.1", port, ("", 0) if port else (name, 0), True), shared, 16)


def test_datagrams_have_sockets_of_their_own_on_the_same_port():
    sockets = ListenSockets()
    try:
        first = wanted("tcp", shared=native.shares_ports)
        put_in_force(sockets, [first], 2)
        port = sockets.address(first.key)[1]
        second = udp("udp", port, shared=native.shares_ports)
        prepared = put_in_force(sockets, [first, second], 2)
        kinds = [sock.type for _, sock in prepared.lent(0)]
        assert kinds == [socket.SOCK_STREAM, socket.SOCK_DGRAM]
        assert sockets.address(second.key) == ("127.0.0.1", port)
        groups = {group.key.udp: len(group.sockets) for group in sockets.groups()}
        number = 2 if native.shares_ports else 1
        assert groups == {False: number, True: number}
    finally:
        sockets.close()


def test_a_port_for_datagrams_that_another_has_is_not_shared():
    sockets = ListenSockets()
    with native.bind_datagrams("127.0.0.1", 0, True) as stranger, pytest.raises(BindError) as caught:
        sockets.prepare([udp("udp", stranger.getsockname()[1])], 2)
    assert caught.value.error.errno == errno.EADDRINUSE


def test_what_takes_ipv4_is_another_address():
    """Changed by a reload it is like any other address that overlaps the one before."""

    def everywhere(port: int, ipv4_compat: bool) -> Wanted:
        key = Key("::", port, ("", 0) if port else ("all", 0), ipv4_compat=ipv4_compat)
        return Wanted(0, "all", key, native.shares_ports, 16)

    sockets = ListenSockets()
    try:
        first = everywhere(0, ipv4_compat=False)
        try:
            put_in_force(sockets, [first], 2)
        except BindError:
            pytest.skip("no IPv6 here")
        port = sockets.address(first.key)[1]
        for ipv4_compat in (False, True):
            each = everywhere(port, ipv4_compat)
            if not native.shares_ports:
                with pytest.raises(BindError):
                    sockets.prepare([each], 2)
                continue
            put_in_force(sockets, [each], 2)
            sockets.retire()
            assert sockets.address(first.key) is None
            assert sockets.address(each.key) == ("::", port)
            assert can_connect("127.0.0.1", port) == ipv4_compat
    finally:
        sockets.close()


def can_connect(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True


def test_one_worker_has_what_cannot_be_shared():
    sockets = ListenSockets()
    try:
        prepared = put_in_force(sockets, [udp("udp", shared=False)], 3)
        assert [len(prepared.lent(slot)) for slot in range(3)] == [1, 0, 0]
    finally:
        sockets.close()


def test_plan_keeps_the_sockets_of_slots_that_are_no_more():
    a = wanted("a", 1)
    assert plan({a.key: 4}, [a], workers=2) == ([], [])


def test_one_socket_is_enough_without_reuse_port():
    a = wanted("a", 1, shared=False)
    assert plan({}, [a], workers=4).bind == [(a, 1)]


def test_orphan_sockets_are_spread_over_the_workers_that_remain():
    assert [[index for index in range(5) if serves(slot, index, 5, 2)] for slot in range(2)] == [
        [0, 2, 4],
        [1, 3],
    ]


def test_sockets_that_are_fewer_than_the_workers_are_shared():
    assert [[index for index in range(2) if serves(slot, index, 2, 5)] for slot in range(5)] == [
        [0],
        [1],
        [0],
        [1],
        [0],
    ]


def test_addresses_of_a_configuration():
    bootstrap = Bootstrap(
        static_resources=StaticResources(
            listeners=(
                Listener(
                    name="x",
                    address=address(80),
                    additional_addresses=(AdditionalAddress(address=address(0)),),
                    tcp_backlog_size=7,
                ),
                Listener(address=address(81, "::1"), enable_reuse_port=False),
            )
        )
    )
    first, second, third = wanted_addresses(bootstrap, default_backlog=100)
    assert (first.listener, first.name, first.key, first.backlog) == (
        0, "x", Key("127.0.0.1", 80, ("", 0)), 7,
    )  # fmt: skip
    assert second.key == Key("127.0.0.1", 0, ("x", 1))
    assert (third.listener, third.name, third.shared, third.backlog) == (1, "[::1]:81", False, 100)
    assert format_address("1.2.3.4", 5) == "1.2.3.4:5"


# -- doing


def test_nothing_listens_before_the_commit():
    sockets = ListenSockets()
    prepared = sockets.prepare([wanted("a")], 2)
    port = prepared.bound[wanted("a").key][0].getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    sockets.commit(prepared)
    socket.create_connection(("127.0.0.1", port)).close()
    sockets.close()


def test_a_listener_on_port_0_keeps_its_port_and_its_queue():
    sockets = ListenSockets()
    put_in_force(sockets, [wanted("a")], 1)
    bound = sockets.address(wanted("a").key)
    with socket.create_connection(bound):
        prepared = put_in_force(sockets, [wanted("a"), wanted("b", listener=1)], 2)
        sockets.retire()
        assert sockets.address(wanted("a").key) == bound
        assert queue_length(prepared.lent(0)[0][1]) == 1
    sockets.close()


def test_fewer_workers_serve_the_sockets_of_all_slots():
    sockets = ListenSockets()
    put_in_force(sockets, [wanted("a")], 3)
    prepared = put_in_force(sockets, [wanted("a")], 2)
    lent = [[sock for _, sock in prepared.lent(slot)] for slot in (0, 1)]
    assert [len(each) for each in lent] == [2, 1]
    prepared = put_in_force(sockets, [wanted("a")], 3)
    assert [len(prepared.lent(slot)) for slot in (0, 1, 2)] == [1, 1, 1]
    assert prepared.lent(2)[0][1] is lent[0][1]
    sockets.close()


def test_without_reuse_port_all_workers_borrow_the_same_socket():
    sockets = ListenSockets()
    prepared = put_in_force(sockets, [wanted("a", shared=False)], 2)
    assert prepared.lent(0) == prepared.lent(1)
    sockets.close()


def test_a_port_in_use_changes_nothing():
    sockets = ListenSockets()
    put_in_force(sockets, [wanted("a")], 1)
    bound = sockets.address(wanted("a").key)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        theirs = wanted("b", taken.getsockname()[1], listener=1)
        with pytest.raises(BindError, match=r"b: 127\.0\.0\.1:\d+: Address already in use") as caught:
            sockets.prepare([wanted("c", listener=2), theirs], 1)
    assert caught.value.wanted == theirs
    assert sockets.address(wanted("a").key) == bound
    assert sockets.address(wanted("c").key) is None
    socket.create_connection(bound).close()
    sockets.close()


def test_a_removed_listener_accepts_until_it_is_retired():
    sockets = ListenSockets()
    put_in_force(sockets, [wanted("a")], 1)
    bound = sockets.address(wanted("a").key)
    put_in_force(sockets, [], 1)
    socket.create_connection(bound).close()
    sockets.retire()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(bound)


def test_an_address_given_up_can_be_bound_again():
    sockets = ListenSockets()
    put_in_force(sockets, [wanted("a")], 1)
    sockets.give_up([wanted("a")])
    assert sockets.address(wanted("a").key) is None
    put_in_force(sockets, [wanted("a")], 1)
    assert sockets.address(wanted("a").key) is not None
    sockets.close()


def test_from_all_interfaces_to_one_and_back():
    sockets = ListenSockets()
    # Free on every interface, not only on one.
    with socket.create_server(("0.0.0.0", 0)) as free:
        port = free.getsockname()[1]
    narrow = Wanted(0, "a", Key("127.0.0.1", port, ("", 0)), True, 16)
    wide = Wanted(0, "a", Key("0.0.0.0", port, ("", 0)), True, 16)
    for each in (wide, narrow, wide):
        put_in_force(sockets, [each], 1)
        sockets.retire()
        socket.create_connection(("127.0.0.1", port)).close()
    sockets.close()


def test_reuse_port_cannot_change_by_a_reload():
    sockets = ListenSockets()
    put_in_force(sockets, [wanted("a")], 1)
    with pytest.raises(BindError, match="enable_reuse_port cannot be changed"):
        sockets.prepare([wanted("a", shared=False)], 1)
    sockets.close()
