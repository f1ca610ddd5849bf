"""`docker build | run`, and `docker compose up | exec | down` for the keys that deploy/docker has.

All containers use the network of who calls; each service's name leads there.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from . import engine

Service = dict[str, Any]


def main(words: list[str]) -> None:
    """Carry out one command line."""
    match words:
        case ["build", "--tag", tag, "--file", dockerfile, context]:
            engine.build(Path(context), Path(dockerfile), tag)
        case ["run", "--rm", *command]:
            engine.podman("run", "--rm", "--cgroups=disabled", "--network=host", *command, quiet=False)
        case ["rm", "--all"]:
            for _ in range(2):  # those whose namespaces others are in are left at first
                engine.podman("rm", "--all", "--force", "--time=0", check=False)
        case ["import", tarball, tag]:
            engine.podman("import", tarball, tag)
        case ["compose", *words]:
            compose(words, read_file(Path("compose.yaml")))
        case _:
            raise SystemExit(f"not understood: docker {' '.join(words)}")


def compose(words: list[str], file: dict[str, Any]) -> None:
    match words:
        case ["up", *options]:
            start_all(file, is_to_build="--build" in options)
        case ["exec", name, *command]:
            engine.podman("exec", container(name), *command, quiet=False)
        case ["down", *options]:
            stop_all(file, removes_volumes="--volumes" in options)
        case _:
            raise SystemExit(f"not understood: docker compose {' '.join(words)}")


def container(service: str) -> str:
    return f"eventpub-{service}-1"


def read_file(path: Path) -> dict[str, Any]:
    """Read a compose file, with variables from `.env` and the environment."""
    lines = Path(".env").read_text().splitlines() if Path(".env").exists() else []
    known = dict(line.split("=", 1) for line in lines) | dict(os.environ)

    def fill(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise SystemExit(f"{found[1]} {found[2]}")
        return known[found[1]]

    file = yaml.safe_load(re.sub(r"\$\{(\w+):\?([^}]*)\}", fill, path.read_text()))
    assert set(file) == {"name", "services", "volumes"}, set(file)
    return file


def start_all(file: dict[str, Any], *, is_to_build: bool) -> None:
    services: dict[str, Service] = file["services"]
    if is_to_build:
        builds = {service["image"]: service["build"] for service in services.values() if "build" in service}
        for image, build in builds.items():
            context = Path(build["context"]).resolve()
            engine.build(context, context / build["dockerfile"], image)
    for name, service in services.items():
        for other, wish in service.get("depends_on", {}).items():
            assert wish["condition"] == "service_healthy", wish
            keyword, *probe = services[other]["healthcheck"]["test"]
            assert keyword == "CMD"
            engine.wait_for(container(other), probe)
        hosts = [f"--add-host={each}:127.0.0.1" for each in services]
        options, command = translate(service)
        engine.run(container(name), service["image"], [*hosts, "--network=host", *options], command)
    for name, service in services.items():
        if "healthcheck" in service:
            engine.wait_for(container(name), service["healthcheck"]["test"][1:])


def stop_all(file: dict[str, Any], *, removes_volumes: bool) -> None:
    for name, service in reversed(file["services"].items()):
        seconds = int(service.get("stop_grace_period", "10s").removesuffix("s"))
        print(name, "exit code", engine.stop(container(name), seconds))
        engine.podman("logs", container(name), quiet=False)
    for name in reversed(file["services"]):
        engine.podman("rm", container(name))
    if removes_volumes:
        engine.podman("volume", "rm", *file["volumes"])


def translate(service: Service) -> tuple[list[str], list[str]]:
    """Return podman's options for a service, and the command."""
    options: list[str] = []
    for key, value in service.items():
        if key not in _OPTIONS:
            raise SystemExit(f"compose.yaml: {key} is not understood")
        options += _OPTIONS[key](value)
    return options, service.get("command", [])


def _share_ipc(wish: str) -> list[str]:
    kind, _, other = wish.partition(":")
    return [f"--ipc=container:{container(other)}" if kind == "service" else f"--ipc={kind}"]


def _mount(volumes: list[str]) -> list[str]:
    return [f"--volume={re.sub('^[.]/', f'{Path.cwd()}/', mount)}" for mount in volumes]


def _do_elsewhere(_: Any) -> list[str]:
    return []


_OPTIONS: dict[str, Callable[[Any], list[str]]] = {
    **dict.fromkeys(("image", "build", "command", "depends_on", "healthcheck"), _do_elsewhere),
    **dict.fromkeys(("ports", "stop_grace_period"), _do_elsewhere),
    "restart": _do_elsewhere,  # podman would start again what `down` stops
    "entrypoint": lambda words: [f"--entrypoint={json.dumps(words)}"],
    "environment": lambda variables: [f"--env={name}={text}" for name, text in variables.items()],
    "volumes": _mount,
    "ipc": _share_ipc,
    "sysctls": lambda values: [f"--sysctl={name}={number}" for name, number in values.items()],
    "ulimits": lambda values: [each for limit in values.items() for each in engine.ulimit(*limit)],
    "user": lambda user: [f"--user={user}"],
    "group_add": lambda groups: [f"--group-add={group}" for group in groups],
    "read_only": lambda _: ["--read-only", "--read-only-tmpfs=false"],
    "cap_drop": lambda names: [f"--cap-drop={name}" for name in names],
    "security_opt": lambda words: [f"--security-opt={word}" for word in words],
}


if __name__ == "__main__":
    main(sys.argv[1:])
