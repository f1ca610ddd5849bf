"""A bare machine of Debian that follows a script as root: `machine CHECKOUT SCRIPT`."""

from __future__ import annotations

import sys
from pathlib import Path

from . import engine

# what a machine has and a container has not: lists of packages, ip, sysctl, and a systemd
PREPARE = """\
set -eu
apt-get update > /dev/null
apt-get install --yes --no-install-recommends iproute2 procps python3 > /dev/null
install -m 0755 /stand-in/systemctl.py /usr/bin/systemctl
cp -a /checkout /root/eventpub
cd /root/eventpub
"""


def main(checkout: str, script: str) -> None:
    """Run the script in a new container."""
    engine.podman(
        *("run", "--rm", "--privileged", "--cgroups=disabled", "--network=host", "--pull=never"),
        *("--volume", f"{checkout}:/checkout:ro", "--volume", f"{Path(__file__).parent}:/stand-in:ro"),
        *engine.trust_authorities(),
        "docker.io/library/debian:trixie-slim",
        *("bash", "-c", PREPARE + script),
        quiet=False,
        outside=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
