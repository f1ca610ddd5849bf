"""The files of TLS are looked at before they are needed: `sidecar/http/certificates.py`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.paths import CERTIFICATES

from eventpub.errors import ConfigError
from eventpub.sidecar.config import SidecarConfig
from eventpub.sidecar.http.certificates import check_certificates

AUTHORITY, CLIENT, SERVER = (CERTIFICATES / f"{name}.pem" for name in ("ca", "client", "server"))


def check(**files: Path) -> None:
    named = {f"collector_{name}": path for name, path in files.items()}
    config = SidecarConfig(collector_hostname="localhost", key_name="demo", key_secret=b"x", **named)
    check_certificates(config, "event-publisher:v2")


def refusal(**files: Path) -> str:
    with pytest.raises(ConfigError) as error:
        check(**files)
    return str(error.value)


def test_files_that_fit_are_good():
    check()
    check(ca_file=AUTHORITY, client_certificate=CLIENT)
    check(ca_file=AUTHORITY, client_certificate=CLIENT, client_key=CLIENT)


def test_a_key_of_another_certificate_is_refused():
    message = refusal(client_certificate=CLIENT, client_key=SERVER)
    assert message.startswith(f"[event-publisher:v2] collector.client_key = {SERVER}")
    assert "key values mismatch" in message


def test_a_certificate_without_a_key_is_refused(tmp_path):
    (tmp_path / "client.crt").write_text(CLIENT.read_text().partition("-----BEGIN PRIVATE KEY")[0])
    assert "collector.client_certificate" in refusal(client_certificate=tmp_path / "client.crt")


def test_what_is_no_certificate_is_refused(tmp_path):
    (tmp_path / "text.pem").write_text("hello")
    (tmp_path / "empty.pem").touch()
    for name in ("text.pem", "empty.pem"):
        assert "collector.ca_file" in refusal(ca_file=tmp_path / name)
        assert "collector.client_certificate" in refusal(client_certificate=tmp_path / name)


def test_a_key_with_a_password_is_refused_and_asked_for_nowhere(tmp_path):
    subprocess.run(
        [
            "openssl",
            "pkcs8",
            "-topk8",
            "-in",
            CLIENT,
            "-out",
            tmp_path / "client.key",
            "-passout",
            "pass:hunter2",
        ],
        check=True,
        capture_output=True,
    )
    message = refusal(client_certificate=CLIENT, client_key=tmp_path / "client.key")
    assert "without a password" in message
