import os
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Linux", allow_module_level=True)

from proxyd.system import native


def test_memory_is_shared_and_zeroed():
    descriptor = native.create_memory("test", 8192)
    one, two = native.map_memory(descriptor), native.map_memory(descriptor)
    os.close(descriptor)
    assert one[:8192] == bytes(8192)
    one[5:7] = b"hi"
    assert two[5:7] == b"hi"
    one.close()
    two.close()


def test_sealed_memory_cannot_be_changed():
    descriptor = native.create_sealed_memory("test", b"content")
    assert native.read_memory(descriptor) == b"content"
    with pytest.raises(PermissionError):
        os.write(descriptor, b"other")
    with native.map_memory(descriptor) as mapped:
        assert mapped[:] == b"content"
    os.close(descriptor)
