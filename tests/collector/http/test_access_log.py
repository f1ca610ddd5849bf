"""Whose request it was, as far as proxies of ours tell."""

from __future__ import annotations

import ipaddress

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from support.collector_process import CollectorProcess
from support.waiting import wait_until

from eventpub.collector.http.access_log import find_client

PROXIES = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "::1", "fd00::/8")))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # says so itself
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.7", "198.51.100.7"),  # 1.1.1.1 is what 198.51.100.7 wrote
        ("10.0.0.1", "1.1.1.1,198.51.100.7 , 10.9.9.9", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "[2001:db8::7]", "2001:db8::7"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, nonsense\x1b[31m", "10.0.0.1"),
        ("10.0.0.1", ",,,", "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy_of_ours(peer, forwarded_for, client):
    assert find_client(peer, forwarded_for, PROXIES) == client
    assert find_client(peer, forwarded_for, ()) == peer


@given(st.text(max_size=60))
def test_no_header_raises(forwarded_for):
    ipaddress.ip_address(find_client("10.0.0.1", forwarded_for, PROXIES))


@pytest.mark.parametrize(
    ("proxies", "start"),
    [("127.0.0.0/8", "client=192.0.2.9 proxy=127.0.0.1 "), ("", "client=127.0.0.1 method")],
)
def test_the_access_log_believes_declared_proxies_and_nobody_else(tmp_path, nursery, proxies, start):
    with CollectorProcess(tmp_path, settings={"proxies": proxies}, nursery=nursery) as collector:
        requests.get(f"{collector.url}/nowhere", headers={"X-Forwarded-For": "192.0.2.9"}, timeout=10)
        wait_until(lambda: f"access: request {start}" in collector.log(), "its line")
