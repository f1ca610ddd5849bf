"""The sidecar's section of an INI file: `sidecar/config.py` and `example.ini`."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import fnmatch
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import ROOT

from eventpub.errors import ConfigError
from eventpub.sidecar.config import SidecarConfig, SigningKey, load_config
from eventpub.sidecar.host import SYSTEM_SPOOL_DIR, check_host, default_spool_dir

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = ROOT / "example.ini"
NOBODY = 65534
MINIMAL = {"collector.hostname": "collector.example", "key.name": "web", "key.secret": "aHVudGVyMg=="}


def load(folder: Path, **settings: str | None) -> SidecarConfig:
    """Load a section of `MINIMAL` and `settings` (`__` in a name is the dot, None leaves a key out)."""
    given = MINIMAL | {name.replace("__", "."): value for name, value in settings.items()}
    lines = [f"{key} = {value}" for key, value in given.items() if value is not None]
    file = folder / "sidecar.ini"
    file.write_text("\n".join(["[event-publisher:v2]", *lines]))
    return load_config(file, "v2")


def refusal(folder: Path, **settings: str | None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, **settings)
    return str(caught.value)


def defaults() -> dict[str, object]:
    return {
        field.metadata["key"]: field.default
        for field in dataclasses.fields(SidecarConfig)
        if field.default is not dataclasses.MISSING
    }


# --- example.ini


def test_the_example_works_as_it_stands_and_changes_no_default():
    config = load_config(EXAMPLE, "v2")
    assert config == SidecarConfig(collector_hostname="localhost:8080", key_name="demo", key_secret=b"hunter2")


def test_the_example_shows_every_key_once_with_its_default(tmp_path):
    shown = re.sub(r"(?m)^#(?=[a-z_.]+ =)", "", EXAMPLE.read_text())
    uncommented = tmp_path / "all.ini"
    uncommented.write_text(shown)
    assert load_config(uncommented, "v2") == load_config(EXAMPLE, "v2")
    keys = re.findall(r"(?m)^([a-z_.]+) =", shown)
    assert sorted(keys) == sorted(field.metadata["key"] for field in dataclasses.fields(SidecarConfig))


def test_the_example_names_what_takes_a_restart():
    """A reload warns of the same keys: both come from the declarations."""
    text = " ".join(EXAMPLE.read_text().replace("\n#", "").split())
    words = re.search(r"changes of (.*) take a restart", text)[1].replace(" and ", ", ").split(", ")
    for field in dataclasses.fields(SidecarConfig):
        key, is_live = field.metadata["key"], field.metadata["live"]
        is_taken = key.startswith("metrics.") and field.type == "bool"  # without effect, at any time
        assert any(fnmatch.fnmatch(key, word) for word in words) is not is_live or is_taken, key


def test_the_example_shows_a_default_by_a_value_and_not_by_leaving_it_empty():
    empty = set(re.findall(r"(?m)^#([a-z_.]+) =$", EXAMPLE.read_text()))
    assert empty == {key for key, default in defaults().items() if default in (None, "")} - {"key.secret"}


# --- files written for baseplate


def test_a_file_written_for_baseplate_works_unchanged(tmp_path, monkeypatch):
    monkeypatch.setenv("EVENTS_SECRET", "aHVudGVyMg==")
    monkeypatch.setenv("HOST", "collector.example:8443")
    file = tmp_path / "baseplate.ini"
    file.write_text("""
[DEFAULT]
metrics.namespace = shop.events
some_other_program = ${NEVER_SET}
max_queue_size = 500

[app:main]
factory = shop:make_app
debug = $unrelated

[event-publisher:v2]
collector.hostname = $HOST
key.name = web
key.secret = ${EVENTS_SECRET}
metrics.endpoint =
metrics.log_if_unconfigured = false
metrics.swallow_network_errors = true
metrics.tagging = true
""")
    config = load_config(file, "v2")
    assert config.collector_url == "https://collector.example:8443/v2"
    assert config.signing_key() == SigningKey("web", b"hunter2")
    assert (config.metrics_namespace, config.metrics_endpoint) == ("shop.events", None)
    assert config.max_queue_size_events == 500


@pytest.mark.parametrize("key", sorted(defaults().keys() - {"key.secret"}))
def test_an_empty_value_means_the_default(tmp_path, key):
    assert load(tmp_path, **{key.replace(".", "__"): ""}) == load(tmp_path)


# --- values


def test_units_and_kinds_become_the_fields_unit(tmp_path):
    config = load(
        tmp_path,
        collector__timeout="250 ms",
        batch__max_age="1 min",
        batch__max_size="1 MiB",
        queue__mode="0620",
        queue__group="www-data",
        metrics__endpoint="localhost:8125",
        spool__dir="/srv/spool",
    )
    assert config.collector_timeout_seconds == 0.25
    assert config.batch_max_age_seconds == 60
    assert config.batch_max_size_bytes == 1024 * 1024
    assert (config.queue_mode, config.queue_group) == (0o620, "www-data")
    assert config.metrics_endpoint == ("localhost", 8125)
    assert config.spool_dir == Path("/srv/spool")


@pytest.mark.parametrize(
    "hostname",
    ["collector.example", "localhost:8080", "10.0.0.1:1", "[::1]:8443", "[::1]", "sammler.örtlich"],
)
def test_a_hostname_may_carry_a_port(tmp_path, hostname):
    assert load(tmp_path, collector__hostname=hostname).collector_url == f"https://{hostname}/v2"


@pytest.mark.parametrize("path", ["/ingest", "/ingest/events", "/a-b_c.d~e/%20", ""])
def test_a_path_stands_between_the_hostname_and_the_version(tmp_path, path):
    config = load(tmp_path, collector__hostname="collector.example:8443", collector__path=path)
    assert config.collector_url == f"https://collector.example:8443{path}/v2"


@pytest.mark.parametrize("path", ["ingest", "/", "/ingest/", "//a", "/a b", "/a?b", "/a#b", "/é"])
def test_a_path_that_is_none_is_refused(tmp_path, path):
    assert "[event-publisher:v2] collector.path" in refusal(tmp_path, collector__path=path)


@pytest.mark.parametrize(
    "hostname",
    [
        "",
        "https://collector",
        "collector/v2",
        "host:0",
        "host:65536",
        "host:",
        ":80",
        "a b",
        "me@host",
        "::1",
    ],
)
def test_a_hostname_that_is_none_is_refused(tmp_path, hostname):
    assert "[event-publisher:v2] collector.hostname" in refusal(tmp_path, collector__hostname=hostname)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("collector.version", "3", "one of 2, 2j"),
        ("collector.scheme", "ftp", "one of https, http"),
        ("collector.connection_max_age", "0.5", "from 1 to 86,400 seconds"),
        ("collector.require_receipt", "maybe", "yes or no"),
        ("compression", "br", "one of auto, zstd, gzip, none"),
        ("publisher.concurrency", "0", "from 1 to 64"),
        ("publisher.concurrency", "65", "from 1 to 64"),
        ("batch.max_size", "100 KiB", "from 102,432 to"),  # the largest event would not fit
        ("batch.max_age", "0", "from 0.01 to 3,600 seconds"),
        ("max_message_size", "127", "from 128 to 102,400 bytes"),
        ("max_message_size", "102401", "from 128 to 102,400 bytes"),
        ("max_queue_size", "70000", "from 1 to 65,536"),
        ("spool.max_size", "1 MiB", "from 4,194,304 to"),
        ("spool.dir", "spool", "an absolute path"),
        ("publisher.concurrency", "٣", "from 1 to 64"),
        (
            "loss_report.interval",
            "0.001",
            "expected 0 for never, or seconds, or a number with ms, s, min, h or d, from 1 to 86,400",
        ),
        ("spool.when_full", "drop", "one of block, drop_oldest, drop_newest"),
        ("queue.mode", "0999", "octal"),
        ("metrics.endpoint", "localhost", "host:port"),
        ("metrics.namespace", "a:b", "without blanks, colons"),
        ("key.name", "a,b", "without blanks and commas"),
        ("key.name", "", "without blanks and commas"),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_is_allowed(tmp_path, key, value, allowed):
    message = refusal(tmp_path, **{key.replace(".", "__"): value})
    assert message.startswith(f"[event-publisher:v2] {key}")
    assert allowed in message


@pytest.mark.parametrize(
    ("settings", "place", "remedy"),
    [
        ({"key__secret": None}, "key.secret:", "set either key.secret or key.secret_file"),
        ({"key__secret": ""}, "key.secret:", "set either key.secret or key.secret_file"),
        ({"key__secret_file": "/key"}, "key.secret:", "not both"),
        ({"retry__min": "10 s", "retry__max": "5 s"}, "retry.max = 5:", "at least retry.min, 10 seconds"),
        ({"batch__max_size": "3 MiB", "spool__max_size": "4 MiB"}, "spool.max_size", "6,291,456 bytes"),
        ({"collector__client_key": "/k.pem"}, "collector.client_key = /k.pem", "client_certificate"),
        ({"collector__ca_file": "/no/ca.pem"}, "collector.ca_file = /no/ca.pem", "may read"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path, settings, place, remedy):
    message = refusal(tmp_path, **settings)
    assert place in message
    assert remedy in message


def test_an_unknown_key_is_refused_with_the_likely_one(tmp_path):
    assert "did you mean batch.max_size?" in refusal(tmp_path, batch__maxsize="1 MiB")


def test_another_queues_section_is_no_substitute(tmp_path):
    load(tmp_path)
    with pytest.raises(ConfigError, match=r"event-publisher:main\]: no such section"):
        load_config(tmp_path / "sidecar.ini", "main")


def test_zstd_without_its_package_is_refused_with_the_command_that_installs_it(tmp_path):
    with pytest.raises(ConfigError, match="one of"):
        load(tmp_path, compression="zst")
    program = """
import sys
sys.modules["zstandard"] = None
from eventpub.sidecar.config import load_config
try:
    load_config(sys.argv[1], "v2")
except Exception as error:
    print(error)
"""
    file = tmp_path / "sidecar.ini"
    file.write_text(file.read_text().replace("zst", "zstd"))
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True, timeout=30
    )
    assert "compression = zstd: " in done.stdout
    assert "pip install 'eventpub-sidecar[zstd]'" in done.stdout


# --- the secret


def test_a_secret_file_is_read_at_every_use_so_a_rotated_key_works_without_a_reload(tmp_path):
    secret_file = tmp_path / "key"
    secret_file.write_text("aHVudGVyMg==\n")
    config = load(tmp_path, key__secret=None, key__secret_file=str(secret_file))
    assert config.signing_key().secret == b"hunter2"
    secret_file.write_text("aHVudGVyMw==\n")
    assert config.signing_key().secret == b"hunter3"


def test_a_secret_file_that_is_missing_for_a_moment_is_an_error_and_then_works(tmp_path):
    secret_file = tmp_path / "key"
    config = load(tmp_path, key__secret=None, key__secret_file=str(secret_file))
    with pytest.raises(ConfigError, match=r"key\.secret_file cannot be read: No such file"):
        config.signing_key()
    secret_file.write_text("aHVudGVyMg==")
    assert config.signing_key().secret == b"hunter2"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_this_user_may_not_use_is_told_with_the_command_that_lets_it(tmp_path):
    secret_file = tmp_path / "key"
    secret_file.write_text("aHVudGVyMg==")
    secret_file.chmod(0)
    config = load(tmp_path, key__secret=None, key__secret_file=str(secret_file))
    me = pwd.getpwuid(os.geteuid()).pw_name
    with pytest.raises(ConfigError, match=f"Permission denied; as root: chown {me} {secret_file}"):
        config.signing_key()
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o500)
    config = load(tmp_path, spool__dir=str(spool))
    with pytest.raises(ConfigError, match=f"this user, {me}, may not write to it .*; run: chmod 700 {spool}"):
        check_host(config, "event-publisher:v2")
    config = load(tmp_path, spool__dir=str(spool / "v2"))
    with pytest.raises(ConfigError, match=f"; as root: install -d -m 0700 -o {me} {spool}/v2"):
        check_host(config, "event-publisher:v2")


def test_a_secret_file_that_was_just_changed_can_be_left_alone_until_it_rests(tmp_path):
    secret_file = tmp_path / "key"
    secret_file.write_text("aHVudGVyMg==")
    config = load(tmp_path, key__secret=None, key__secret_file=str(secret_file))
    with pytest.raises(ConfigError, match="has just been changed"):
        config.signing_key(settled_seconds=60.0)
    assert config.signing_key(settled_seconds=0.0).secret == b"hunter2"
    config = load(tmp_path, key__secret="aHVudGVyMg==")
    assert config.signing_key(settled_seconds=60.0).secret == b"hunter2"


@pytest.mark.parametrize("content", [b"", b"not-base64!", b"h\xffnter2", b"\n", b"A" * 65_536 + b"\n"])
def test_a_secret_file_that_holds_no_base64_is_refused_without_showing_it(tmp_path, content):
    secret_file = tmp_path / "key"
    secret_file.write_bytes(content)
    config = load(tmp_path, key__secret=None, key__secret_file=str(secret_file))
    with pytest.raises(ConfigError, match="in base64") as caught:
        config.signing_key()
    assert caught.value.__suppress_context__
    assert "not-base64" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602])
def test_a_secret_file_that_others_may_read_or_replace_is_told_with_the_command_against_it(tmp_path, mode):
    secret_file = tmp_path / "the key"
    secret_file.write_text("aHVudGVyMg==")
    secret_file.chmod(mode)
    told = load(tmp_path, key__secret=None, key__secret_file=str(secret_file)).exposure()
    assert f"(mode {mode:04o}); run: chmod o= '{secret_file}'" in told
    subprocess.run(["sh", "-c", told.partition("run: ")[2]], check=True)
    assert load(tmp_path, key__secret=None, key__secret_file=str(secret_file)).exposure() is None
    assert load(tmp_path).exposure() is None


@pytest.mark.parametrize("scheme", ["x-signature", "rfc9421", "both"])
def test_the_key_says_how_it_signs_wherever_its_secret_is(tmp_path, scheme):
    secret_file = tmp_path / "key"
    secret_file.write_text("aHVudGVyMg==")
    expected = SigningKey("web", b"hunter2", scheme)
    assert load(tmp_path, key__signature=scheme).signing_key() == expected
    config = load(tmp_path, key__signature=scheme, key__secret=None, key__secret_file=str(secret_file))
    assert config.signing_key() == expected


def test_http_message_signatures_without_their_package_are_refused_with_the_command_that_installs_it(tmp_path):
    load(tmp_path, key__signature="both")
    program = (
        "import sys; sys.modules['http_message_signatures'] = None\n"
        "from eventpub.sidecar.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = ["--queue-name", "v2", "--check-config", str(tmp_path / "sidecar.ini")]
    done = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 78
    assert "key.signature = both: " in done.stderr
    assert "pip install 'eventpub-sidecar[rfc9421]'" in done.stderr


def test_no_repr_and_no_error_shows_the_secret(tmp_path):
    config = load(tmp_path)
    for shown in (repr(config), repr(config.signing_key()), refusal(tmp_path, key__secret="aHVudGVyMg!")):
        assert "hunter2" not in shown
        assert "aHVudGVyMg" not in shown


@settings(max_examples=30, deadline=None)  # each writes a file
@given(secret=st.binary(min_size=1, max_size=200), name=st.from_regex(r"[!-+\--~]{1,20}", fullmatch=True))
def test_any_key_survives_the_file(secret, name):
    with tempfile.TemporaryDirectory() as folder:
        config = load(
            Path(folder), key__name=name.replace("$", "_"), key__secret=base64.b64encode(secret).decode()
        )
    assert config.signing_key() == SigningKey(name.replace("$", "_"), secret)


# --- where the spool is when nothing says so


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Be somebody without rights over the system's folders, as root or not."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def home(monkeypatch):
    """A home that `ordinary_user` owns; pytest's own folders are closed to him."""
    folder = Path(tempfile.mkdtemp(prefix="eventpub-home-"))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    yield folder
    shutil.rmtree(folder)


def test_an_ordinary_users_spool_is_in_his_home(home):
    with ordinary_user():
        assert default_spool_dir() == home / ".local" / "state" / "eventpub" / "spool"


def test_an_ordinary_users_spool_follows_xdg_state_home(home, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    with ordinary_user():
        assert default_spool_dir() == home / "state" / "eventpub" / "spool"


def test_a_user_without_a_home_gets_a_folder_of_his_own_that_survives_a_reboot(monkeypatch):
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    with ordinary_user():
        assert default_spool_dir() == Path(f"/var/tmp/eventpub-{os.geteuid()}")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_roots_spool_is_the_systems():
    assert default_spool_dir() == SYSTEM_SPOOL_DIR
