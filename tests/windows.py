"""What of the suite does not run on Windows, and why: `python scripts/windows.py` plays one under Wine.

A key is a folder, a file or a test (also with its parameters left out), as pytest names it.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Final

import psutil

HERE: Final = sys.platform == "win32"

WINDOWS: Final = "about Windows alone"  # why a test is skipped elsewhere

# How much longer a test may take: each process is started anew, and under Wine that takes a second or more.
PATIENCE: Final = 5

_BEING_READ: Final = 5.0  # seconds

_SIGNALS = "Windows has no such signals; the commands that take their place are tested"
_FIFO = "Windows has no FIFOs"
_LINUX = "about Linux alone"
_SYSTEMD = "about systemd, which is of Linux; Windows' manager has test_windows_service.py"
_UNIX_SOCKET = "plays a supervisor on a Unix domain socket; the pipe has tests/system/test_contract.py"
_ONE_SOCKET = "about sockets that share a port, and listen only when a change is in force"
_NO_NAMES = "Wine does not tell the names of processes"
_NO_LINKS = "Wine makes no symbolic links"
_NO_SENDER = "Wine takes the address that an answer shall come from, and does not look at it"
_HOST = "what runs the suite under Wine is run by Linux"
_ONE_OF_TWO = "its other variant is played; what this one adds is the same on every system"
_NO_GRPCIO = "grpcio ends its own process when Wine sends a part of what it was given"

EXCLUDED: Final[dict[str, str]] = {
    "tests/conformance": "compares with Envoy, which runs on Linux alone",
    "tests/benchmarks": "benchmarks are made on Linux",
    "tests/scripts/test_test.py": "plays programs that are scripts, which Windows does not start",
    "tests/scripts/test_passed.py": _HOST,
    "tests/scripts/test_second_run.py": _HOST,
    "tests/scripts/test_demo.py": "test_commands_of_the_readme.py plays it there",
    "tests/scripts/test_install_nssm.py::test_it_is_powershell": "the grammar is installed on Linux alone",
    "tests/workers/test_zygote.py": "Windows cannot fork; test_spare.py is about what it has instead",
    "tests/supervisor/test_zygote.py": "Windows cannot fork; test_spares.py is about what it has instead",
    "tests/supervisor/test_instance.py": _UNIX_SOCKET,
    "tests/supervisor/test_sockets.py::test_nothing_listens_before_the_commit": _ONE_SOCKET,
    "tests/supervisor/test_sockets.py::test_a_listener_on_port_0_keeps_its_port_and_its_queue": _ONE_SOCKET,
    "tests/supervisor/test_sockets.py::test_fewer_workers_serve_the_sockets_of_all_slots": _ONE_SOCKET,
    "tests/supervisor/test_sockets.py::test_a_port_in_use_changes_nothing": _ONE_SOCKET,
    "tests/supervisor/test_sockets.py::test_from_all_interfaces_to_one_and_back": _ONE_SOCKET,
    "tests/supervisor/test_problems.py::test_a_port_in_use_names_its_owner": _NO_NAMES,
    "tests/supervisor/test_problems.py::test_a_port_in_use_for_datagrams_names_its_owner": _NO_NAMES,
    "tests/supervisor/test_problems.py::test_a_port_of_another_instance_names_the_instance": _NO_NAMES,
    "tests/supervisor/test_watcher.py::test_a_file_that_is_written_stays_the_same_file": (
        "Wine's files are as old as their last change"
    ),
    "tests/supervisor/test_watcher.py::test_looks_go_through_links": _NO_LINKS,
    "tests/e2e/test_certificates.py::test_directory_that_is_swapped_is_seen": _NO_LINKS,
    "tests/config/test_sources.py::test_a_link_to_nowhere_is_a_mistake": _NO_LINKS,
    "tests/system/test_contract.py::test_a_connection_is_broken_off": "Wine tells of no reset",
    "tests/system/test_contract.py::test_who_is_asked_answers[0.0.0.0-127.0.0.7]": _NO_SENDER,
    "tests/system/test_contract.py::test_who_is_asked_by_ipv4_answers[::-127.0.0.7]": _NO_SENDER,
    "tests/system/test_contract.py::test_who_is_asked_by_ipv4_answers[::ffff:0.0.0.0-127.0.0.7]": _NO_SENDER,
    "tests/net/test_udp_proxy.py::test_a_host_that_refused_is_heard_when_it_is_there": (
        "Wine does not tell that nobody has a port"
    ),
    "tests/net/test_access_log.py::test_several_processes_share_a_sink_without_tearing_lines[fifo]": _FIFO,
    "tests/net/test_access_log.py::test_a_stalled_sink_is_bounded_drops_and_counts": _FIFO,
    "tests/net/test_log_writer.py::test_a_fifo_waits_for_its_reader_without_holding_up_the_caller": _FIFO,
    "tests/net/test_log_writer.py::test_pipes_get_whole_lines_of_at_most_pipe_buf": _FIFO,
    "tests/net/test_log_writer.py::test_a_stream_made_non_blocking_by_others_is_waited_for": _LINUX,
    "tests/workers/test_logs.py::test_a_stalled_sink_holds_up_nobody_and_drops_are_told": _FIFO,
    "tests/test_early_signals.py": _SIGNALS,
    "tests/test_cli.py::test_a_full_disk_is_told_as_such": "Windows has no /dev/full",
    "tests/test_hatch_build.py": "wheels are made on Linux",
    "tests/snapshot/test_time_format.py::test_local_time_has_its_offset": "Windows has no tzset()",
    "tests/net/test_splicing.py": "Windows has no splice",
    "tests/system/test_linux_limits.py": _LINUX,
    "tests/system/test_linux_memory.py": _LINUX,
    "tests/system/test_linux_privileges.py": _LINUX,
    "tests/system/test_linux_sockets.py": _LINUX,
    "tests/supervisor/test_activation.py": "no service manager of Windows binds sockets",
    "tests/e2e/test_service_reports.py": _SYSTEMD,
    "tests/e2e/test_systemd.py": _SYSTEMD,
    "tests/e2e/test_unix_sockets.py": "CPython has no Unix domain sockets on Windows",
    "tests/demo/test_edge_clients.py::test_curl_speaks_either_version": "Wine has no curl, which Windows has",
    "tests/e2e/test_grpc.py": _NO_GRPCIO,
    "tests/e2e/test_updates.py::test_two_hundred_updates_under_load_fail_no_request[tls]": _ONE_OF_TWO,
    "tests/e2e/test_updates_http2.py::test_updates_under_streams_fail_no_request[tls]": _ONE_OF_TWO,
    "tests/e2e/test_ipv4_compat.py::test_clients_of_both_are_served_before_and_after[upgrade]": _ONE_OF_TWO,
    "tests/e2e/test_grpc_filters.py": _NO_GRPCIO,
    "tests/e2e/test_wheel.py": "wheels are made on Linux",
    "tests/test_container.py": "containers are of Linux",
    "tests/e2e/test_tls_scan.py": "a scanner is asked on Linux",
    "tests/e2e/test_access_log.py::test_sigusr1_reopens": _SIGNALS,
    "tests/e2e/test_access_log.py::test_a_full_disk_costs_lines_and_no_request": "Windows has no /dev/full",
    "tests/e2e/test_access_log.py::test_a_pipe_nobody_reads_blocks_no_request": _FIFO,
    "tests/e2e/test_log.py::test_a_log_that_nobody_reads_holds_up_nothing": _FIFO,
    "tests/e2e/test_log.py::test_a_log_that_cannot_be_reopened_is_told_and_kills_nothing": (
        "takes away a folder whose files are open, which goes only when they are closed"
    ),
    "tests/e2e/test_log.py::test_a_full_pipe_as_standard_error_holds_up_nothing": (
        "who fills a pipe there cannot help waiting"
    ),
    "tests/demo/test_stories.py::test_a_signal_ends_it_and_the_proxies": _SIGNALS,
    "tests/e2e/test_reload.py::test_sighup_reloads": _SIGNALS,
    "tests/e2e/test_reload.py::test_twenty_reloads_under_load_fail_no_request": (
        "ten of them are in test_one_socket.py, and a listener has one socket anyway"
    ),
    "tests/e2e/test_stop.py::test_a_signal_drains": _SIGNALS,
    "tests/e2e/test_stop.py::test_a_second_signal_ends_at_once": _SIGNALS,
    "tests/e2e/test_crash.py::test_a_killed_zygote_is_survived": "Windows has no zygote",
    "tests/e2e/test_start.py::test_a_privileged_port_without_permission_is_one_clear_line": _LINUX,
    "tests/e2e/test_start.py::test_too_low_a_descriptor_limit_is_said": "Windows has no such limit",
}


def patience(seconds: float) -> float:
    """How long to wait for what takes so long at most elsewhere, or to rest from it."""
    return seconds * PATIENCE if HERE else seconds


def replace(new: str | Path, path: str | Path) -> None:
    """``os.replace``. What is just being read cannot be replaced there: whoever does it has to try again."""
    deadline = time.monotonic() + _BEING_READ
    while True:
        try:
            os.replace(new, path)
            return
        except PermissionError:
            if not HERE or time.monotonic() > deadline:
                raise
        time.sleep(0.005)


def descriptors(process: psutil.Process) -> int:
    """How many files, sockets and the like a process has open."""
    return process.num_handles() if HERE else process.num_fds()


def use_our_loop() -> None:
    """Have ``asyncio.run`` make the loop that proxyd makes where winloop is not installed."""
    from proxyd.system._windows_loop import Loop

    class Policy(type(asyncio.get_event_loop_policy())):  # type: ignore[misc]
        _loop_factory = Loop

    asyncio.set_event_loop_policy(Policy())


def reason(node: str) -> str:
    """Why a folder, file or test is left out here; empty where it is not."""
    if not HERE:
        return ""
    return next((why for key, why in EXCLUDED.items() if _covers(key, node)), "")


def _covers(key: str, node: str) -> bool:
    return node == key or node.startswith((f"{key}/", f"{key}::", f"{key}["))
