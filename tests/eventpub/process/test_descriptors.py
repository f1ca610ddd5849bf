"""What a lack of descriptors is, and what is said to do about it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from support.descriptors import no_descriptor_left
from support.forked import in_child

from eventpub.process.descriptors import (
    explain_error,
    find_lack,
    hold_standard_descriptors,
    name_remedy,
)


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


def test_standard_descriptors_that_are_closed_are_taken_before_a_file_of_ours_gets_their_numbers() -> None:
    def close_and_hold() -> list[str]:
        os.close(0)
        os.close(2)
        hold_standard_descriptors()
        return [str((descriptors / number).readlink()) for number in "012"]

    descriptors = Path("/proc/self/fd")
    output = str((descriptors / "1").readlink())
    assert in_child(close_and_hold) == [os.devnull, output, os.devnull]
