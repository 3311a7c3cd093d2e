import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("Linux", allow_module_level=True)

from proxyd.system import native
from proxyd.system._linux_limits import cpu_quota


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_version_2_takes_the_tightest_quota_on_the_way_up(tmp_path):
    write(tmp_path, "a/b/cpu.max", "max 100000\n")
    write(tmp_path, "a/cpu.max", "250000 100000\n")
    write(tmp_path, "cpu.max", "400000 100000\n")
    assert cpu_quota(str(tmp_path), "0::/a/b\n") == 2.5


def test_version_1_has_quota_and_period_in_two_files(tmp_path):
    write(tmp_path, "cpu,cpuacct/docker/x/cpu.cfs_quota_us", "150000\n")
    write(tmp_path, "cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n")
    write(tmp_path, "cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    write(tmp_path, "cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert cpu_quota(str(tmp_path), "4:memory:/\n2:cpu,cpuacct:/docker/x\n") == 1.5


def test_the_mounted_root_counts_when_the_path_is_the_hosts(tmp_path):
    write(tmp_path, "cpu.max", "50000 100000\n")
    assert cpu_quota(str(tmp_path), "0::/system.slice/docker-123.scope\n") == 0.5


def test_no_quota(tmp_path):
    write(tmp_path, "cpu.max", "max 100000\n")
    assert cpu_quota(str(tmp_path), "0::/\n3:cpuset:/\n") is None


def test_at_least_one_processor_and_some_descriptors():
    assert native.cpu_count() >= 1
    assert native.raise_descriptor_limit() > 64
