"""docs/operating.md leads from a bare machine to events in a store, by its own words."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from support.pages import read_blocks, wait_longer
from support.paths import ROOT

# ends what the page has started, so that the other page starts its own; the queue stays
END_UNITS = """
pkill -TERM -f 'eventpub[.](sidecar|collector)'
while pgrep -f 'eventpub[.](sidecar|collector)' > /dev/null; do sleep 0.1; done
rm -r /var/lib/eventpub /var/spool/eventpub
"""
# supervisord calls a program RUNNING after five seconds, and notices an end a moment later
KILL = """
supervisorctl signal KILL eventpub-sidecar-v2 eventpub-collector
for name in eventpub-sidecar-v2 eventpub-collector; do
    until grep -q "exited: $name (terminated by SIGKILL" /var/log/supervisor/supervisord.log; do sleep 0.1; done
done
until [ "$(supervisorctl status | grep -c RUNNING)" = 2 ]; do sleep 0.5; done
"""


def test_the_pages_lead_from_a_bare_machine_to_events_in_the_store_with_systemd_and_with_supervisord(
    containers: Callable[[str, Path], str], checkout: Path
) -> None:
    install, *service = read_blocks(ROOT / "docs/operating.md", "sh")[:4]
    supervisor, start, see = read_blocks(ROOT / "deploy/supervisor/README.md", "sh")
    assert install.startswith("apt-get install")
    assert "store find" in service[-1]
    # this machine may not raise RLIMIT_MSGQUEUE as the unit does, so doctor warns
    service[-1] = service[-1].replace(
        "doctor /etc/eventpub/v2.ini", "doctor /etc/eventpub/v2.ini || test $? = 1"
    )
    limits = "cat /proc/sys/fs/mqueue/msg_max"
    steps = [
        "set -eu; ip link set lo up",
        *service,
        END_UNITS,
        start,
        see,
        KILL,
        see.replace("sleep 6\n", ""),
        limits,
    ]
    script = f"{install}\n{supervisor}\nunshare --net bash -c {shlex.quote(wait_longer(chr(10).join(steps)))}"
    said = containers(
        shlex.join([sys.executable, "-m", "support.containers.machine", str(checkout), script]), ROOT
    )
    rows = [json.loads(line) for line in said.splitlines() if line.startswith('{"received_at"')]
    assert [(row["key_name"], row["event"]["noun"]) for row in rows] == [("shop", "tea")] * 4  # 1, 1, and both
    assert "started eventpub-sidecar@v2 pid" in said  # which waits for READY=1
    assert "ok       collector: http://localhost:8080/v2 accepts batches signed by this key" in said
    assert re.search(r"eventpub-collector +RUNNING.*\neventpub-sidecar-v2 +RUNNING", said)
    assert said.splitlines()[-1] == "10000"  # of this container's IPC namespace
