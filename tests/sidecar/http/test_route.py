"""Whom to trust and what to ask for, by URL and environment: `sidecar/http/route.py`."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from support.paths import CERTIFICATES

from eventpub.sidecar.http.errors import NoAnswerError
from eventpub.sidecar.http.route import find_route

URL = "https://collector.example:8443/ingest/v2"
AUTHORITY = str(CERTIFICATES / "ca.pem")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names neither authorities nor proxies."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")


def test_unnamed_authorities_are_this_systems_and_never_none():
    """An authority that a company has put into the system's store is trusted without a setting."""
    pool = find_route(URL, "", None).pool
    system = ssl.get_default_verify_paths()
    assert Path(pool.ca_certs).is_file()
    assert pool.ca_certs == system.cafile or system.cafile is None
    assert (pool.ca_cert_dir, pool.cert_reqs) == (system.capath, "CERT_REQUIRED")


def test_named_authorities_are_the_only_ones(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/not/looked/at.pem")
    pool = find_route(URL, AUTHORITY, None).pool
    assert (pool.ca_certs, pool.ca_cert_dir) == (AUTHORITY, None)


def test_the_environments_authorities_replace_the_systems(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", AUTHORITY)
    pool = find_route(URL, "", None).pool
    assert (pool.ca_certs, pool.ca_cert_dir) == (AUTHORITY, None)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_authorities_that_are_not_there_are_told_and_nothing_else_is_trusted(monkeypatch, name):
    monkeypatch.setenv(name, "/no/such/place")
    with pytest.raises(NoAnswerError, match="/no/such/place") as error:
        find_route(URL, "", None)
    assert error.value.kind == "tls"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://collector.example/v2", "collector.example"),
        ("https://collector.example:443/v2", "collector.example"),
        ("http://collector.example:443/v2", "collector.example:443"),
        ("https://[2001:db8::1]:8443/v2", "[2001:db8::1]:8443"),
        ("http://[fe80::1%25eth0]/v2", "[fe80::1]"),
        ("https://sammler.örtlich/v2", "sammler.xn--rtlich-vxa"),
    ],
)
def test_host_is_named_without_what_the_scheme_implies(url, host):
    route = find_route(url, AUTHORITY, None)
    assert (route.request_line, route.headers, route.is_tunnelled) == (
        "POST /v2 HTTP/1.1",
        {"Host": host},
        False,
    )
