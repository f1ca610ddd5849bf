"""docs/operating.md leads from a bare machine to events in a store, by its own words."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from support.pages import read_blocks, wait_longer
from support.paths import ROOT


def test_the_page_leads_from_a_bare_machine_to_an_event_in_the_store(
    containers: Callable[[str, Path], str], checkout: Path
) -> None:
    install, *service = read_blocks(ROOT / "docs/operating.md", "sh")[:4]
    assert install.startswith("apt-get install")
    assert "store find" in service[-1]
    # this machine may not raise RLIMIT_MSGQUEUE as the unit does, so doctor warns
    service[-1] = service[-1].replace(
        "doctor /etc/eventpub/v2.ini", "doctor /etc/eventpub/v2.ini || test $? = 1"
    )
    apart = wait_longer("\n".join(["set -eu; ip link set lo up", *service, "cat /proc/sys/fs/mqueue/msg_max"]))
    script = f"{install}\nunshare --net bash -c {shlex.quote(apart)}"
    said = containers(
        shlex.join([sys.executable, "-m", "support.containers.machine", str(checkout), script]), ROOT
    )
    (row,) = (json.loads(line) for line in said.splitlines() if line.startswith('{"received_at"'))
    assert (row["key_name"], row["event"]["noun"]) == ("shop", "tea")
    assert "started eventpub-sidecar@v2 pid" in said  # which waits for READY=1
    assert "ok       collector: http://localhost:8080/v2 accepts batches signed by this key" in said
    assert said.splitlines()[-1] == "10000"  # of this container's IPC namespace
