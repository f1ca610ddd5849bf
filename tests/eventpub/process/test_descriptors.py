"""What a lack of descriptors is, and what is said to do about it."""

from __future__ import annotations

import errno
from pathlib import Path

from support.descriptors import no_descriptor_left

from eventpub.process.descriptors import explain_error, find_lack, name_remedy


def list_descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_a_lack_of_descriptors_is_found_before_they_are_needed_and_none_is_kept() -> None:
    held = list_descriptors()
    assert find_lack(20) is None
    assert list_descriptors() == held
    with no_descriptor_left():
        lack = find_lack(1)
    assert lack is not None
    assert lack.errno == errno.EMFILE


def test_an_error_tells_what_to_raise_only_where_that_helps() -> None:
    with no_descriptor_left():
        lack = find_lack(1)
        assert "raise LimitNOFILE=" in explain_error(lack or OSError())
    assert "fs.file-max" in explain_error(OSError(errno.ENFILE, "Too many open files in system"))
    assert explain_error(OSError(errno.ENOSPC, "full")) == "[Errno 28] full"
    assert name_remedy(OSError(errno.EIO, "broken"), "mend it") == "mend it"
    assert explain_error(ValueError("odd")) == "odd"
