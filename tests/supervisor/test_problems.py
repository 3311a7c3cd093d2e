import errno
import os
import socket
import subprocess
import sys

import pytest

from proxyd.config.bootstrap import Bootstrap, LayeredRuntime, RuntimeLayer
from proxyd.supervisor.problems import StartError, check_descriptors, explain_address
from proxyd.system import native


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def test_a_port_in_use_names_its_owner():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = explain_address("listener 'web'", "127.0.0.1", port, error(errno.EADDRINUSE))
    assert text.startswith(f"listener 'web': cannot listen on 127.0.0.1:{port}: ")
    assert f"already in use by python (pid {os.getpid()})" in text or f"(pid {os.getpid()})" in text


def taken_for_datagrams():
    """A socket for datagrams, and beside it a listening one of the same number."""
    while True:
        taken, other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
        taken.bind(("127.0.0.1", 0))
        try:
            other.bind(taken.getsockname())
        except OSError:  # somebody else has that one
            taken.close()
            other.close()
        else:
            other.listen(1)
            return taken, other


def test_a_port_in_use_for_datagrams_names_its_owner():
    taken, other = taken_for_datagrams()
    with taken, other:
        port = taken.getsockname()[1]
        text = explain_address("listener 'udp'", "127.0.0.1", port, error(errno.EADDRINUSE), True)
    assert f"(pid {os.getpid()})" in text


def test_a_port_of_another_instance_names_the_instance(tmp_path):
    """An instance as the system shows it: a supervisor whose child is a zygote that has the socket."""
    zygote = "import os, sys; os.write(1, b'.'); sys.stdin.read()"
    supervisor = (
        "import subprocess, sys; subprocess.run("
        f"[sys.executable, '-c', {zygote!r}, '-m', 'proxyd.workers.zygote'], pass_fds=[int(sys.argv[1])])"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        named = ["start", "--name=edge", "--run-dir", str(tmp_path)]
        process = subprocess.Popen(
            [sys.executable, "-c", supervisor, str(taken.fileno()), *named],
            pass_fds=[taken.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        process.stdout.read(1)
    text = explain_address("listener 'web'", "127.0.0.1", port, error(errno.EADDRINUSE))
    process.communicate()
    assert text.endswith(
        f"already in use by proxyd instance 'edge' (pid {process.pid}); "
        f"proxyd stop --name edge --run-dir {tmp_path}, or choose another port"
    )


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, native.port_remedy(False)),
        (errno.EADDRNOTAVAIL, "no network interface"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENOBUFS, "No buffer space"),
    ],
)
def test_each_reason_has_its_remedy_on_one_line(number, remedy):
    text = explain_address("admin API", "::1", 80, error(number))
    assert "[::1]:80" in text
    assert remedy in text
    assert "\n" not in text


def limited(limit: int) -> Bootstrap:
    values = {"envoy": {"resource_limits": {"listener": {"web": {"connection_limit": limit}}}}}
    layers = (RuntimeLayer(name="static", static_layer=values),)
    return Bootstrap(layered_runtime=LayeredRuntime(layers=layers))


def test_descriptor_limits():
    assert check_descriptors(1024, Bootstrap(), workers=2, listeners=1) is None
    assert check_descriptors(1024, limited(500), workers=2, listeners=1) is None
    warning = check_descriptors(1024, limited(5000), workers=2, listeners=1)
    assert warning is not None
    assert "5000 in all" in warning
    assert "LimitNOFILE" in warning
    with pytest.raises(StartError, match=r"limit of open file descriptors is 64.*LimitNOFILE"):
        check_descriptors(64, Bootstrap(), workers=2, listeners=1)
