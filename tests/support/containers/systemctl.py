#!/usr/bin/python3
"""`systemctl daemon-reload | enable --now UNIT` without systemd: starts a unit as its file says, as its user.
`systemctl restart supervisor` starts Debian's supervisord as its own unit does.

Runs where there is nothing but Python. Limits and hardening are left out; `systemd-analyze` looks at them.
"""

from __future__ import annotations

import os
import pwd
import shlex
import socket
import subprocess
import sys
from pathlib import Path

UNITS = Path("/etc/systemd/system")
START_SECONDS = 60.0


def main(words: list[str]) -> None:
    """Carry out one command line."""
    match words:
        case ["daemon-reload"]:
            pass
        case ["enable", "--now", unit]:
            start_unit(unit)
        case ["restart", "supervisor"]:
            subprocess.run(["/usr/bin/supervisord", "-c", "/etc/supervisor/supervisord.conf"], check=True)
        case _:
            raise SystemExit(f"not understood: systemctl {' '.join(words)}")


def start_unit(unit: str) -> None:
    name, _, instance = unit.partition("@")
    text = (UNITS / (f"{name}@.service" if instance else f"{name}.service")).read_text()
    lines = [
        line.split("=", 1)
        for line in text.replace("%i", instance).splitlines()
        if "=" in line and line[0] != "#"
    ]
    settings: dict[str, list[str]] = {}
    for key, value in lines:
        settings.setdefault(key, []).append(value)
    user = pwd.getpwnam(settings["User"][0])
    if "StateDirectory" in settings:
        state = Path("/var/lib") / settings["StateDirectory"][0]
        state.mkdir(mode=int(settings["StateDirectoryMode"][0], 8))
        os.chown(state, user.pw_uid, user.pw_gid)
    for command in settings.get("ExecStartPre", []):
        assert command.startswith("+"), command
        subprocess.run(shlex.split(command[1:]), check=True)
    environment = dict(variable.split("=", 1) for variable in settings.get("Environment", []))
    words = shlex.split(settings["ExecStart"][0])
    words = [environment.get(word.strip("${}"), word) for word in words]
    notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if settings.get("Type") == ["notify"]:
        path = f"/run/notify-{name}"
        notices.bind(path)
        os.chown(path, user.pw_uid, user.pw_gid)
        environment["NOTIFY_SOCKET"] = path
    with Path(f"/var/log/{name}.log").open("ab") as log:
        drop = [
            "setpriv",
            f"--reuid={user.pw_uid}",
            f"--regid={user.pw_gid}",
            "--init-groups",
            "--no-new-privs",
        ]
        process = subprocess.Popen(
            [*drop, "--bounding-set=-all", *words], cwd="/", env=environment, stdout=log, stderr=log
        )
    if settings.get("Type") == ["notify"]:
        notices.settimeout(START_SECONDS)
        while b"READY=1" not in notices.recv(4096):
            pass
    print(f"started {unit} pid {process.pid}")


if __name__ == "__main__":
    main(sys.argv[1:])
