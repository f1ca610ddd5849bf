"""Pods by podman: what a kubelet does with the containers, volumes, probes and users of a manifest.

A pod has a network of its own, with the address that `address_of` gives it, and an IPC namespace of its own,
which a container `pause` holds. Containers start and end in the order that Kubernetes 1.29 promises.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import engine

Spec = dict[str, Any]
_STATE = engine.FOLDER / "cluster"  # objects by kind and name, and the pods' volumes
_BRIDGE = "10.244.0"


def keep_object(thing: Spec) -> None:
    path = _STATE / thing["kind"] / f"{thing['metadata']['name']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(thing))


def find_object(kind: str, name: str) -> Spec:
    found: Spec = json.loads((_STATE / kind / f"{name}.json").read_text())
    return found


def find_objects(kind: str) -> list[Spec]:
    return [json.loads(path.read_text()) for path in sorted((_STATE / kind).glob("*.json"))]


def list_pods() -> list[tuple[str, Spec]]:
    """Return name and template of every pod that the objects ask for."""
    return [
        (f"{controller['metadata']['name']}-{number}", controller)
        for kind in ("StatefulSet", "Deployment")
        for controller in find_objects(kind)
        for number in range(controller["spec"]["replicas"])
    ]


def address_of(pod: str) -> str:
    return f"{_BRIDGE}.{2 + [name for name, _ in list_pods()].index(pod)}"


def list_hosts() -> list[str]:
    """Return options for the names that a cluster's DNS would know."""
    hosts = {}
    for pod, controller in reversed(list_pods()):
        for service in find_objects("Service"):
            wanted = service["spec"]["selector"].items()
            if wanted <= controller["spec"]["template"]["metadata"]["labels"].items():
                hosts[service["metadata"]["name"]] = address_of(pod)
                hosts[f"{pod}.{service['metadata']['name']}"] = address_of(pod)
    return [f"--add-host={name}:{address}" for name, address in hosts.items()]


class Pod:
    """One pod of a controller."""

    def __init__(self, name: str, controller: Spec) -> None:
        template = controller["spec"]["template"]
        self.name = name
        self.spec: Spec = template["spec"]
        self._security: Spec = self.spec["securityContext"]
        claims = controller["spec"].get("volumeClaimTemplates", [])
        self._volumes = {volume["name"]: volume for volume in self.spec.get("volumes", [])} | {
            claim["metadata"]["name"]: {"emptyDir": {}} for claim in claims
        }

    def start(self) -> None:
        """Start its containers one after the other, and return once the last has started."""
        make_network(self.name, address_of(self.name))
        pause = ["--ipc=shareable", "--network=none", "--entrypoint=sleep"]
        engine.run(f"{self.name}-pause", "eventpub", pause, ["infinity"])
        for container in self.spec.get("initContainers", []):
            is_sidecar = container.get("restartPolicy") == "Always"
            self._run(container, is_job=not is_sidecar)
            if is_sidecar:
                self._wait_for(container, "startupProbe")
        for container in self.spec["containers"]:
            self._run(container)

    def wait_until_ready(self) -> None:
        for container in self.containers():
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                self._wait_for(container, probe)

    def stop(self) -> dict[str, int]:
        """End the containers and then the sidecars, the last first; return their exit codes."""
        left_seconds: float = self.spec["terminationGracePeriodSeconds"]
        codes = {}
        for container in reversed(self.containers()):
            began = time.monotonic()
            if hook := container.get("lifecycle", {}).get("preStop"):
                engine.podman("exec", self.name_of(container), *hook["exec"]["command"])
            codes[container["name"]] = engine.stop(self.name_of(container), max(2, int(left_seconds)))
            left_seconds -= time.monotonic() - began
        return codes

    def containers(self) -> list[Spec]:
        """Return the containers that stay, in the order of their start."""
        sidecars = [each for each in self.spec.get("initContainers", []) if "restartPolicy" in each]
        return sidecars + self.spec["containers"]

    def name_of(self, container: Spec) -> str:
        return f"{self.name}-{container['name']}"

    def _run(self, container: Spec, *, is_job: bool = False) -> None:
        options = [f"--ipc=container:{self.name}-pause", f"--network=ns:/run/netns/{self.name}"]
        options += [*list_hosts(), *self._secure(container), *self._mount(container)]
        for variable in container.get("env", []):
            options.append(f"--env={variable['name']}={self._read_value(variable)}")
        if command := container.get("command"):
            options.append(f"--entrypoint={json.dumps(command)}")
        image = container["image"].partition(":0.1.0")[0]
        engine.run(self.name_of(container), image, options, container.get("args", []), is_job=is_job)

    def _secure(self, container: Spec) -> list[str]:
        own = self._security | container["securityContext"]
        assert own["runAsNonRoot"]
        assert own["runAsUser"] > 0
        assert own["allowPrivilegeEscalation"] is False
        options = [f"--user={own['runAsUser']}:{own['runAsGroup']}", "--security-opt=no-new-privileges"]
        options += [f"--cap-drop={name}" for name in own["capabilities"]["drop"]]
        if "fsGroup" in own:
            options.append(f"--group-add={own['fsGroup']}")
        return (
            [*options, "--read-only", "--read-only-tmpfs=false"] if own["readOnlyRootFilesystem"] else options
        )

    def _mount(self, container: Spec) -> list[str]:
        options = []
        for mount in container.get("volumeMounts", []):
            place = self._make_volume(self._volumes[mount["name"]], mount["name"])
            mode = ":ro" if mount.get("readOnly") else ""
            if "subPath" in mount:
                place /= mount["subPath"]
                assert place.is_dir(), f"{place}: the kubelet would make it, as root's"
            options.append(f"--volume={place}:{mount['mountPath']}{mode}")
        return options

    def _make_volume(self, volume: Spec, name: str) -> Path:
        """Make a folder as the kubelet does: root's, or the fsGroup's, which may read and write all of it."""
        place = _STATE / "volumes" / self.name / name
        group = self._security.get("fsGroup", 0)
        if not place.exists():
            place.mkdir(parents=True)
            os.chown(place, 0, group)
            place.chmod(0o2777 if "emptyDir" in volume else 0o2775)
            for file, content in self._read_files(volume).items():
                (place / file).write_bytes(content)
                os.chown(place / file, 0, group)
                mode = volume.get("secret", volume.get("configMap", {})).get("defaultMode", 0o644)
                (place / file).chmod(mode | (0o440 if group else 0))
        return place

    def _read_files(self, volume: Spec) -> dict[str, bytes]:
        if "secret" in volume:
            return read_secret(volume["secret"]["secretName"])
        if "configMap" in volume:
            data = find_object("ConfigMap", volume["configMap"]["name"])["data"]
            return {name: text.encode() for name, text in data.items()}
        return {}

    def _read_value(self, variable: Spec) -> str:
        match variable:
            case {"valueFrom": {"secretKeyRef": {"name": name, "key": key}}}:
                return read_secret(name)[key].decode()
            case {"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}:
                return self.name
        raise SystemExit(f"not understood: {variable}")

    def _wait_for(self, container: Spec, kind: str) -> None:
        probe = container.get(kind)
        if probe is None:
            return
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        script = ["python3", "-c", _PROBES["httpGet"]]
        match probe:
            case {"exec": {"command": command}}:
                engine.wait_for(self.name_of(container), command)
                return
            case {"httpGet": {"path": path, "port": port}}:
                script = ["python3", "-c", _PROBES["httpGet"], f"http://localhost:{ports[port]}{path}"]
            case {"tcpSocket": {"port": port}}:
                script = ["python3", "-c", _PROBES["tcpSocket"], str(ports[port])]
        in_its_network = ["ip", "netns", "exec", self.name]
        wait_until_done([*in_its_network, *script], f"{self.name_of(container)}: {kind}")


_PROBES = {
    "httpGet": "import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=5)",
    "tcpSocket": "import sys, socket as s; s.create_connection(('localhost', sys.argv[1]), timeout=5)",
}


def read_secret(name: str) -> dict[str, bytes]:
    return {key: base64.b64decode(text) for key, text in find_object("Secret", name)["data"].items()}


def wait_until_done(command: list[str], what: str) -> None:
    """Run a command until it succeeds."""
    deadline = time.monotonic() + engine.READY_SECONDS
    while (done := subprocess.run(command, capture_output=True, text=True, check=False)).returncode:
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not after {engine.READY_SECONDS:g} s: {done.stderr}")
        time.sleep(0.2)


def make_network(name: str, address: str) -> None:
    """Make a network namespace with an address on the bridge that all pods share."""
    ip: Callable[..., Any] = lambda *words: subprocess.run(["ip", *words], check=True)  # noqa: E731
    if subprocess.run(["ip", "link", "show", "pods"], capture_output=True, check=False).returncode:
        ip("link", "add", "pods", "type", "bridge")
        ip("addr", "add", f"{_BRIDGE}.1/24", "dev", "pods")
        ip("link", "set", "pods", "up")
    outer = f"pod{address.rpartition('.')[2]}"
    ip("netns", "add", name)
    ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
    ip("link", "set", outer, "master", "pods", "up")
    ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
    ip("-n", name, "link", "set", "eth0", "up")
    ip("-n", name, "link", "set", "lo", "up")
