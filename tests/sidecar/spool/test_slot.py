"""Whose folders the spool is in: `sidecar/spool/slot.py`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.descriptors import no_descriptor_left
from support.paths import ROOT

from eventpub.sidecar.spool.errors import SpoolDiskError, SpoolError
from eventpub.sidecar.spool.slot import (
    check_folders,
    claim_slot,
    is_owned,
    make_private,
    take_slot,
)

NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody may enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


@pytest.mark.parametrize("umask", [0, 0o077])
def test_every_folder_that_is_made_is_private(tmp_path, umask):
    before = os.umask(umask)
    try:
        make_private(tmp_path / "a" / "b" / "spool")
    finally:
        os.umask(before)
    assert [mode_of(tmp_path / name) for name in ("a", "a/b", "a/b/spool")] == [0o700] * 3


def test_every_folder_that_is_made_has_its_name_synced(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink()))
    make_private(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]


@pytest.mark.parametrize("place", ["", "0"])
@pytest.mark.parametrize("mode", [0o702, 0o722, 0o777])
def test_a_queues_or_slots_folder_that_others_may_write_to_is_refused(tmp_path, place, mode):
    folder = tmp_path / "queue" / place
    folder.mkdir(parents=True)
    folder.chmod(mode)
    with pytest.raises(
        SpoolError, match=re.escape(f"spool {folder}: other users may write to it; run: chmod 700 ")
    ):
        claim_slot(tmp_path / "queue")


@pytest.mark.parametrize("place", ["", "0"])
@pytest.mark.parametrize("target", ["there", "nowhere"])
def test_a_link_in_place_of_a_queues_or_slots_folder_is_refused(tmp_path, place, target):
    (tmp_path / "there").mkdir()
    link = tmp_path / "queue" / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / target)
    with pytest.raises(SpoolError, match=re.escape(f"spool {link}: is not a folder")):
        claim_slot(tmp_path / "queue")
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == []
    assert not (tmp_path / "nowhere").exists()


def test_a_slot_stays_its_owners_whatever_is_removed_from_it(tmp_path):
    own, _ = claim_slot(tmp_path / "queue")
    for name in ("lock", "0"):  # a lock file of whatever kind means nothing: the folder itself is locked
        (own.directory / name).touch()
        (own.directory / name).unlink()
    assert take_slot(own.directory) is None
    assert is_owned(own.directory)
    own.release()
    assert not is_owned(own.directory)


@pytest.mark.parametrize("between", [".", "private"])
def test_a_spool_that_others_may_replace_is_refused(tmp_path, between):
    """Users who may write to a folder may rename files of others in it."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    spool = tmp_path / "open" / between / "spool"
    with pytest.raises(SpoolError, match="other users may replace it") as refused:
        make_private(spool)
    assert f"run: chmod +t {tmp_path / 'open'}, or" in str(refused.value)
    (tmp_path / "open").chmod(0o1777)
    make_private(spool)


@pytest.mark.parametrize(("link", "target"), [("link", "open/inner"), ("open/link", "inner")])
def test_a_link_above_does_not_hide_that_others_may_replace_the_spool(tmp_path, link, target):
    """They could replace what it leads to, or the link itself."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / target).mkdir()
    (tmp_path / link).symlink_to(tmp_path / target)
    with pytest.raises(SpoolError, match="other users may replace it"):
        make_private(tmp_path / link / "spool")


def test_a_group_may_write_above_if_it_is_ours(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o775)
    make_private(tmp_path / "shared" / "spool")
    if os.geteuid():
        pytest.skip("needs root, to give a folder to a group of others")
    os.chown(tmp_path / "shared", 0, 54321)
    with pytest.raises(SpoolError, match="other users may replace it"):
        make_private(tmp_path / "shared" / "spool")


@pytest.mark.parametrize("place", ["", "0"])
@pytest.mark.parametrize("mode", [0o2770, 0o2775, 0o720])
def test_folders_that_kubernetes_gave_to_the_group_of_the_pod_are_used_as_before(tmp_path, place, mode):
    """`fsGroup` has a volume's folders made writable for a group of the process at each mount."""
    own, _ = claim_slot(tmp_path / "queue")
    own.release()
    (tmp_path / "queue" / place).chmod(mode)
    again, _ = claim_slot(tmp_path / "queue")
    assert again.directory == own.directory
    check_folders(tmp_path / "queue", ("dead",))
    again.release()


@needs_root
def test_a_folder_that_a_group_of_others_may_write_to_is_refused(tmp_path):
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool").chmod(0o770)
    os.chown(tmp_path / "spool", 0, 54321)
    with pytest.raises(SpoolError, match="other users may write to it; run: chmod 700"):
        make_private(tmp_path / "spool")


@needs_root
@pytest.mark.parametrize("between", [".", "ours"])
@pytest.mark.parametrize("mode", [0o755, 0o1777])
def test_a_spool_below_a_folder_of_another_user_is_refused(shared, between, mode):
    """The owner of a folder can rename what is in it, sticky bit or not."""
    (shared / "theirs" / between).mkdir(parents=True, exist_ok=True)
    (shared / "theirs").chmod(mode)
    os.chown(shared / "theirs", NOBODY, NOBODY)
    with pytest.raises(SpoolError, match="other users may replace it") as refused:
        make_private(shared / "theirs" / between / "spool")
    told = f"since {shared / 'theirs'} belongs to uid {NOBODY}; run this as its owner: sudo -u nobody …, or"
    assert told in str(refused.value)


@needs_root
def test_a_link_does_not_hide_that_the_folder_it_leads_to_is_in_one_of_another_user(shared):
    (shared / "theirs" / "inner").mkdir(parents=True)
    os.chown(shared / "theirs", NOBODY, NOBODY)
    (shared / "link").symlink_to(shared / "theirs" / "inner")
    with pytest.raises(SpoolError, match=f"since {shared / 'theirs'} belongs to uid {NOBODY}"):
        make_private(shared / "link" / "spool")


def test_in_a_container_with_users_of_its_own_the_folders_of_the_host_are_trusted(tmp_path):
    """Its root, and everybody else outside, has the uid 65534 there."""
    program = f"from pathlib import Path; from {make_private.__module__} import make_private; "
    program += f"make_private(Path({str(tmp_path / 'spool')!r}))"
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "unshare" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr


# --- a system that cannot now ----------------------------------------------------------------------------


def test_a_slot_that_cannot_be_locked_now_is_tried_again_and_is_not_taken_for_one_in_use(tmp_path):
    own, _ = claim_slot(tmp_path / "queue")
    own.release()
    with no_descriptor_left(), pytest.raises(SpoolDiskError, match="cannot be locked: Too many open files"):
        claim_slot(tmp_path / "queue")
    again, orphans = claim_slot(tmp_path / "queue")
    assert (again.directory, orphans) == (own.directory, [])
    again.release()


def test_slots_that_were_locked_before_another_failed_are_free_again(tmp_path):
    """Else each try would take the next slot, until there is none."""
    own, _ = claim_slot(tmp_path / "queue")
    own.release()
    (tmp_path / "queue" / "7").write_text("in the way")
    for _ in range(2):
        with pytest.raises(SpoolError, match="7: is not a folder"):
            claim_slot(tmp_path / "queue")
        assert not is_owned(own.directory)


def test_what_a_person_has_to_mend_is_not_waited_for(tmp_path):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for place in ("file", "loop", "x" * 300):
        with pytest.raises(SpoolError) as refused:
            make_private(tmp_path / place / "spool")
        assert not isinstance(refused.value, SpoolDiskError)


@needs_root
def test_a_spool_of_another_user_is_refused(shared):
    (shared / "spool").mkdir(mode=0o700)
    os.chown(shared / "spool", NOBODY, NOBODY)
    with pytest.raises(SpoolError, match="belongs to uid 65534; run this as its owner: sudo -u nobody …, or"):
        make_private(shared / "spool")


@pytest.mark.parametrize("name", ["../other", "..", "/etc", "v2\n"])
def test_a_queue_name_that_could_be_a_path_ends_the_sidecar_before_it_makes_anything(tmp_path, name):
    config = tmp_path / "sidecar.ini"
    config.write_text(
        f"[event-publisher:{name}]\ncollector.hostname = localhost\nkey.name = test\n"
        f"key.secret = aHVudGVyMg==\nspool.dir = {tmp_path / 'spool'}\n"
    )
    command = [sys.executable, "-m", "eventpub.sidecar", "--queue-name", name, config]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 64
    assert "letters, digits, dots, dashes and underscores" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["sidecar.ini"]
