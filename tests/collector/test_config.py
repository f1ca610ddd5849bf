"""The collector's INI file."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from urllib.parse import quote

import pytest
from support.paths import ROOT

from eventpub.collector import config
from eventpub.collector.events.schemas import DEFAULT_KEY
from eventpub.errors import ConfigError
from eventpub.serialization.struct_class import DEFAULT_SCHEMA

EXAMPLE = ROOT / "deploy" / "collector.ini"
KEYS = "[keys]\ntest = aHVudGVyMg==\n"


@pytest.fixture
def load(tmp_path):
    def load(text: str) -> config.Config:
        path = tmp_path / "collector.ini"
        path.write_text(text)
        return config.load_config(path)

    return load


def test_the_example_lists_every_key_with_its_default(monkeypatch):
    monkeypatch.setenv("EVENTPUB_COLLECTOR_SECRET", "aHVudGVyMg==")
    loaded = config.load_config(EXAMPLE)
    assert loaded.settings == config.Settings()
    assert loaded.secrets == {"example": (b"hunter2",)}
    lines = EXAMPLE.read_text().splitlines()
    listed = [line.partition("=")[0].strip() for line in lines if line[:1] not in ("#", "[", "")]
    declared = [field.metadata["key"] for field in dataclasses.fields(config.Settings)]
    assert listed == [*declared, "example", "default"]
    assert f"{DEFAULT_KEY} = {DEFAULT_SCHEMA}" in lines


def test_a_file_with_nothing_but_a_key_takes_the_defaults(load):
    assert load(f"[collector]\n{KEYS}").settings == config.Settings()


def test_quantities_take_units(load):
    settings = load(
        f"[collector]\ntimeout.body = 500 ms\nmax_body_size = 2 MiB\ndedupe.memory = 2 d\n{KEYS}"
    ).settings
    assert (settings.body_timeout_seconds, settings.max_body_bytes) == (0.5, 2 * 1024 * 1024)
    assert settings.dedupe_memory_seconds == 2 * 86400


def test_nothing_hangs_that_waits_as_long_as_its_store_may_take(load):
    assert load(f"[collector]\n{KEYS}").settings.hung_seconds == 60
    text = "[collector]\nwatchdog.timeout = 5\nstore.timeout = 2\n{}" + KEYS
    assert load(text.format("")).settings.hung_seconds == 5
    assert load(text.format("store.busy_timeout = 20\n")).settings.hung_seconds == 40


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:80", ("::1", 80)),
        ("collector.example:0", ("collector.example", 0)),
        ("*:80", ("0.0.0.0", 80)),
        ("[::]:80", ("::", 80)),
    ],
)
def test_where_to_listen(load, written, meant):
    assert load(f"[collector]\nlisten = {written}\n{KEYS}").settings.listen == meant


@pytest.mark.parametrize(
    "written",
    [
        "*",
        "*:",
        "**:80",
        "*.example:80",
        ":80",
        "80",
        "a,b:80",
        "host;:80",
        "[:::::]:80",
        '"host":80',
        "[::1%eth0]:80",
    ],
)
def test_where_nobody_can_listen(load, written):
    with pytest.raises(ConfigError, match=r"\[collector\] listen = .*: expected host:port"):
        load(f"[collector]\nlisten = {written}\n{KEYS}")


def test_proxies_are_addresses_and_networks(load):
    settings = load(f"[collector]\nproxies = 10.0.0.0/8, ::1 192.0.2.7\n{KEYS}").settings
    assert list(map(str, settings.proxies)) == ["10.0.0.0/8", "::1/128", "192.0.2.7/32"]
    for wrong in ("proxy.example", "10.0.0.1/8", "10.0.0.0/33"):
        with pytest.raises(ConfigError, match=r"proxies = .*: expected addresses or networks"):
            load(f"[collector]\nproxies = {wrong}\n{KEYS}")


@pytest.mark.parametrize("name", ["a:b", "a=b", "#a", "a#b", ";a", "[a]", "a%b", "a%3Ab", "a/b@c", "Shop", "é"])
def test_a_key_may_have_any_name_that_a_sender_may_use(load, name):
    written = quote(name, safe="")
    assert load(f"[collector]\n[keys]\n{written} = aHVudGVyMg==\n").secrets == {name.lower(): (b"hunter2",)}


@pytest.mark.parametrize("name", ["shop", "a.b-c_d", "a/b@c+d", "100%", "a#b"])
def test_names_without_signs_of_the_file_stand_as_they_are(load, name):
    assert load(f"[collector]\n[keys]\n{name} = aHVudGVyMg==\n").secrets == {name: (b"hunter2",)}


def test_one_name_written_in_two_ways_is_refused(load):
    with pytest.raises(ConfigError, match=r"\[keys\] a%62: is the same name as another one; keep one"):
        load("[collector]\n[keys]\nab = aHVudGVyMg==\na%62 = aHVudGVyMg==\n")


def test_one_name_takes_several_secrets_and_several_names_take_one_each(load):
    secrets = load("[collector]\n[keys]\nOld = aHVudGVyMg==\n  c2Vjb25k\nnew = bmV3\n").secrets
    assert secrets == {"old": (b"hunter2", b"second"), "new": (b"new",)}


def test_keys_of_a_default_section_are_no_secrets(load):
    assert load(f"[DEFAULT]\nhere = /tmp\n[collector]\n{KEYS}").secrets == {"test": (b"hunter2",)}


def test_a_secret_may_come_from_the_environment(load, monkeypatch):
    monkeypatch.setenv("COLLECTOR_SECRET", "c2Vjb25k")
    assert load("[collector]\n[keys]\ntest = ${COLLECTOR_SECRET}\n").secrets == {"test": (b"second",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"[collector]\nlisten_on = :80\n{KEYS}",
            r"\[collector\] listen_on: unknown key; did you mean listen\?",
        ),
        (
            f"[collector]\nlisten = /run/socket\n{KEYS}",
            r"\[collector\] listen = /run/socket: expected host:port",
        ),
        (f"[collector]\nmax_connections = 0\n{KEYS}", "max_connections = 0: expected a whole number from 1 to"),
        (f"[collector]\nmax_body_size = 5 KB/s\n{KEYS}", "max_body_size = 5 KB/s: expected bytes"),
        (f"[collector]\nstore.synchronous = off\n{KEYS}", "synchronous = off: expected one of full, normal"),
        (f"[collector]\ntls.key = a.pem\n{KEYS}", "tls.key = a.pem: needs tls.certificate"),
        (f"[collector]\ntls.client_ca = a.pem\n{KEYS}", "tls.client_ca = a.pem: needs tls.certificate"),
        (f"[collector]\nreplay.window = 2 d\n{KEYS}", "replay.window = 2 d: expected seconds"),
        (f"[collector]\ndedupe.memory = 19 min\n{KEYS}", "expected at least twice replay.window"),
        (f"[collector]\nrequire_signature = rfc\n{KEYS}", "rfc: expected one of any, rfc9421"),
        (KEYS, r"\[collector\]: no such section"),
        ("[collector]\n", r"\[keys\]: no such section"),
        ("[collector]\n[keys]\n", r"\[keys\]: names no key"),
        ("[collector]\n[keys]\n = aHVudGVyMg==\n", "is neither a section, a key nor a comment"),
        ("[collector]\n[keys]\ntest =\n", r"\[keys\] test = \(not shown\): expected one or more of a secret"),
        ("[collector]\n[keys]\ntest = ${UNSET_SECRET}\n", "the environment variable UNSET_SECRET is not set"),
    ],
)
def test_what_cannot_be_used_is_named(load, text, message):
    with pytest.raises(ConfigError, match=message):
        load(text)


def test_http_message_signatures_cannot_be_required_without_their_package(load, tmp_path):
    text = f"[collector]\nrequire_signature = rfc9421\n{KEYS}"
    assert load(text).settings.require_signature == "rfc9421"
    program = (
        "import sys; sys.modules['http_message_signatures'] = None\n"
        "from eventpub.collector.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "--check-config", tmp_path / "collector.ini"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 78
    assert (
        "require_signature = rfc9421: its package is not installed: pip install 'eventpub-sidecar[rfc9421]'"
        in done.stderr
    )


def test_secrets_are_not_shown(load):
    with pytest.raises(ConfigError) as caught:
        load("[collector]\n[keys]\ntest = aHVudGVyMg== hunter2!\n")
    assert "hunter2" not in str(caught.value)
    assert "aHVu" not in str(caught.value)
    loaded = load(f"[collector]\n{KEYS}")
    assert "hunter2" not in repr(loaded)


@pytest.mark.parametrize(
    "text",
    [
        "[collector]\nfaults = a.json\n  [keys]\n  shop = aHVudGVyMg==\n",
        "[collector]\nlisten =\n  [keys]\n  shop = aHVudGVyMg==\n",
        "[collector]\n[keys]\nshop =\n  web = aHVudGVyMg==\n",
        "[collector]\n[keys]\nshop = aHVudGVyMg==\n[schemas]\nshop = aHVudGVyMg==\n",
        "[collector]\n[keys]\nshop = aHVudGVyMg==\n[schemas]\nweb = aHVudGVyMg==\n",
        "[collector]\n[keys]\nshop = a\naHVudGVyMmh1bnRlcjI== \n",
    ],
)
def test_a_secret_in_the_wrong_place_is_in_no_error(load, text):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert "ahvudgvymg" not in (str(caught.value) + repr(caught.value)).lower()
    assert "ahvudgvymmh1" not in (str(caught.value) + repr(caught.value)).lower()
