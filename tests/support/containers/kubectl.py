"""`kubectl create | apply | rollout status | exec | logs | delete pod` on the pods of `pods`."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import yaml

from . import engine, pods


def main(words: list[str]) -> None:
    """Carry out one command line."""
    match words:
        case ["create", "secret", "generic", name, given] if given.startswith("--from-literal="):
            key, value = given.removeprefix("--from-literal=").split("=", 1)
            data = {key: base64.b64encode(value.encode()).decode()}
            pods.keep_object({"kind": "Secret", "metadata": {"name": name}, "data": data})
        case ["create", "configmap", name, given] if given.startswith("--from-file="):
            path = Path(given.removeprefix("--from-file="))
            data = {path.name: path.read_text()}
            pods.keep_object({"kind": "ConfigMap", "metadata": {"name": name}, "data": data})
        case ["apply", *files]:
            apply_files([Path(file) for file in files if file != "-f"])
        case ["rollout", "status", thing]:
            for pod in select_pods(thing):
                pod.wait_until_ready()
            print(thing, "is rolled out")
        case ["exec", thing, "-c", container, "--", *command]:
            run_in(thing, container, command)
        case ["exec", thing, "--", *command]:
            run_in(thing, "", command)
        case ["logs", thing, "-c", container]:
            engine.podman("logs", f"{thing}-{container}", quiet=False)
        case ["delete", "pod", name]:
            print(next(pods.Pod(*found) for found in pods.list_pods() if found[0] == name).stop())
        case _:
            raise SystemExit(f"not understood: kubectl {' '.join(words)}")


def apply_files(files: list[Path]) -> None:
    things: list[dict[str, Any]] = [thing for file in files for thing in yaml.safe_load_all(file.read_text())]
    for thing in things:
        pods.keep_object(thing)
    for name, controller in pods.list_pods():
        pods.Pod(name, controller).start()


def select_pods(thing: str) -> list[pods.Pod]:
    """Return the pods of `statefulset/NAME` or `deployment/NAME`, or the one of that name."""
    name = thing.rpartition("/")[2]
    found = [
        pods.Pod(pod, controller) for pod, controller in pods.list_pods() if pod.rpartition("-")[0] == name
    ]
    return found or [pods.Pod(*each) for each in pods.list_pods() if each[0] == name]


def run_in(thing: str, container: str, command: list[str]) -> None:
    pod = select_pods(thing)[0]
    name = container or pod.spec["containers"][0]["name"]
    engine.podman("exec", f"{pod.name}-{name}", *command, quiet=False)


if __name__ == "__main__":
    main(sys.argv[1:])
