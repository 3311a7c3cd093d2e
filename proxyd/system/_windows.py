"""Windows' answer to ``contract.System``, gathered from the files beside it."""

import sys
from typing import Final

assert sys.platform == "win32"
# ruff: noqa: E402 - after this line type checkers for other systems read no further

# Before what some of the modules below call is not there in an older one.
_OLDEST: Final = 17763  # the build of Windows Server 2019 and Windows 10 1809
if sys.getwindowsversion().build < _OLDEST:
    raise ImportError(
        "proxyd needs Windows Server 2019, Windows 10 (1809) or a later one; "
        f"this one is build {sys.getwindowsversion().build}"
    )

from proxyd.system._windows_accept import acceptance as acceptance
from proxyd.system._windows_certificates import load_system_roots as load_system_roots
from proxyd.system._windows_control import adopt_control as adopt_control
from proxyd.system._windows_control import connect_control as connect_control
from proxyd.system._windows_control import serve_control as serve_control
from proxyd.system._windows_datagrams import bind_datagrams as bind_datagrams
from proxyd.system._windows_datagrams import datagrams as datagrams
from proxyd.system._windows_files import adopt_private_directory as adopt_private_directory
from proxyd.system._windows_files import lacks_reader as lacks_reader
from proxyd.system._windows_files import log_path as log_path
from proxyd.system._windows_files import look as look
from proxyd.system._windows_files import open_log as open_log
from proxyd.system._windows_files import open_private_directory as open_private_directory
from proxyd.system._windows_files import open_to_read as open_to_read
from proxyd.system._windows_files import run_bases as run_bases
from proxyd.system._windows_files import standard_streams as standard_streams
from proxyd.system._windows_files import system_config_path as system_config_path
from proxyd.system._windows_guardian import hold_operator_signals as hold_operator_signals
from proxyd.system._windows_guardian import pass_on as pass_on
from proxyd.system._windows_guardian import stay_for as stay_for
from proxyd.system._windows_limits import cpu_count as cpu_count
from proxyd.system._windows_limits import openssl_libraries as openssl_libraries
from proxyd.system._windows_limits import raise_descriptor_limit as raise_descriptor_limit
from proxyd.system._windows_limits import reader_has_gone as reader_has_gone
from proxyd.system._windows_limits import tune_malloc as tune_malloc
from proxyd.system._windows_limits import words as words
from proxyd.system._windows_loop import has_unread as has_unread
from proxyd.system._windows_loop import new_event_loop as new_event_loop
from proxyd.system._windows_memory import create_memory as create_memory
from proxyd.system._windows_memory import create_sealed_memory as create_sealed_memory
from proxyd.system._windows_memory import map_memory as map_memory
from proxyd.system._windows_memory import private_file as private_file
from proxyd.system._windows_memory import read_memory as read_memory
from proxyd.system._windows_ports import listening_processes as listening_processes
from proxyd.system._windows_process import apart as apart
from proxyd.system._windows_process import become_standard_error as become_standard_error
from proxyd.system._windows_process import child_exits as child_exits
from proxyd.system._windows_process import die_with_parent as die_with_parent
from proxyd.system._windows_process import end_group as end_group
from proxyd.system._windows_process import forget_child_exits as forget_child_exits
from proxyd.system._windows_process import fork as fork
from proxyd.system._windows_process import hear_operator as hear_operator
from proxyd.system._windows_process import ignore_operator_signals as ignore_operator_signals
from proxyd.system._windows_process import inherited_channel as inherited_channel
from proxyd.system._windows_process import kill as kill
from proxyd.system._windows_process import new_capture as new_capture
from proxyd.system._windows_process import operator_signals as operator_signals
from proxyd.system._windows_process import reap as reap
from proxyd.system._windows_process import spawn_python as spawn_python
from proxyd.system._windows_process import spawn_successor as spawn_successor
from proxyd.system._windows_process import standard_error as standard_error
from proxyd.system._windows_process import wait as wait
from proxyd.system._windows_service import SERVICE_MANAGER as SERVICE_MANAGER
from proxyd.system._windows_service import activated_sockets as activated_sockets
from proxyd.system._windows_service import is_managed as is_managed
from proxyd.system._windows_service import notifier as notifier
from proxyd.system._windows_service import notify_by as notify_by
from proxyd.system._windows_service import take_identity as take_identity
from proxyd.system._windows_sockets import NO_ADDRESS as NO_ADDRESS
from proxyd.system._windows_sockets import adopt_descriptors as adopt_descriptors
from proxyd.system._windows_sockets import bind as bind
from proxyd.system._windows_sockets import bind_pipe as bind_pipe
from proxyd.system._windows_sockets import cannot_splice as cannot_splice
from proxyd.system._windows_sockets import channel_pair as channel_pair
from proxyd.system._windows_sockets import claim_port as claim_port
from proxyd.system._windows_sockets import close_descriptor as close_descriptor
from proxyd.system._windows_sockets import connect_pipe as connect_pipe
from proxyd.system._windows_sockets import default_backlog as default_backlog
from proxyd.system._windows_sockets import keep_alive as keep_alive
from proxyd.system._windows_sockets import (
    knows_original_destinations as knows_original_destinations,
)
from proxyd.system._windows_sockets import lend_descriptors as lend_descriptors
from proxyd.system._windows_sockets import new_pipe as new_pipe
from proxyd.system._windows_sockets import original_destination as original_destination
from proxyd.system._windows_sockets import port_remedy as port_remedy
from proxyd.system._windows_sockets import receive_descriptors as receive_descriptors
from proxyd.system._windows_sockets import reset_when_closed as reset_when_closed
from proxyd.system._windows_sockets import send_descriptors as send_descriptors
from proxyd.system._windows_sockets import unix_sockets as unix_sockets

forks: Final = False
shares_ports: Final = False
lends_listening: Final = True
