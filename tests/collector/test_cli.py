"""The program: what it is told, what it says, what it exits with."""

from __future__ import annotations

import functools
import re
import signal
import socket
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path

import pytest
import requests
from support.collector_process import SECRET, CollectorProcess
from support.paths import ROOT
from support.waiting import wait_until

from eventpub import __version__, wire
from eventpub.cli.exit_codes import EXIT_CONFIG, EXIT_FROZEN, EXIT_UNAVAILABLE, EXIT_USAGE
from eventpub.collector import cli

BODY = b'[{"example": "value"}]'
KEYS = "[keys]\ntest = aHVudGVyMg==\n"


@pytest.fixture
def run(nursery):
    """Run the program to its end, with these words behind its name."""
    return functools.partial(nursery.run, "collector")


@pytest.fixture
def write(tmp_path):
    def write(*lines: str) -> Path:
        path = tmp_path / "collector.ini"
        path.write_text("\n".join(["[collector]", *lines, KEYS]))
        return path

    return write


def test_help_ends_with_examples(run):
    result = run("--help")
    assert result.returncode == 0
    assert "  python -m eventpub.collector --check-config collector.ini\n" in result.stdout


def test_help_lists_every_exit_code(run):
    codes = {value for name, value in vars(cli).items() if name.startswith("EXIT_")} | {EXIT_USAGE, EXIT_FROZEN}
    listed = run("--help").stdout.partition("exit codes:\n")[2]
    assert {int(code) for code in re.findall(r"(?:^|  )(\d+) [a-z]", listed, re.MULTILINE)} == codes


def test_its_version_is_told_without_a_file(run):
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"eventpub {__version__}\n")


def test_a_command_line_without_a_file_exits_64(run):
    assert run().returncode == EXIT_USAGE == 64


def test_check_config_opens_nothing_and_exits_0(run, write, tmp_path):
    result = run("--check-config", write(f"store.path = {tmp_path}/events.sqlite"))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith("collector.ini: good; keys: test\n")
    assert [path.name for path in tmp_path.iterdir()] == ["collector.ini"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "listn = 127.0.0.1:0",
            "eventpub.collector: [collector] listn: unknown key; did you mean listen? (known:",
        ),
        (
            "max_connections = 0",
            "eventpub.collector: [collector] max_connections = 0: expected a whole number from 1",
        ),
        (
            "tls.certificate = /no.pem\ntls.key = /no.key",
            "tls.certificate = /no.pem, /no.key: cannot be loaded: ",
        ),
        ("faults = /no/script", "[collector] faults = /no/script: is not a script of faults: "),
    ],
)
def test_a_configuration_that_cannot_be_used_exits_78_and_says_why(run, write, line, message):
    result = run("--check-config", write(line))
    assert result.returncode == EXIT_CONFIG == 78
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_is_not_there_exits_78(run, tmp_path):
    result = run(tmp_path / "none.ini")
    assert result.returncode == 78
    assert "none.ini]: the file cannot be read: No such file" in result.stderr


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing/events.sqlite", "cannot be opened: unable to open"),
        ("folder", "cannot be opened: unable to open"),
        ("corrupt", "cannot be opened: file is not a database"),
    ],
)
def test_a_store_that_cannot_be_opened_exits_78_and_says_why_in_one_line(run, write, tmp_path, name, reason):
    (tmp_path / "folder").mkdir()
    (tmp_path / "corrupt").write_bytes(b"no database " * 100)
    result = run(write(f"store.path = {tmp_path / name}"))
    assert result.returncode == 78
    (line,) = result.stderr.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ ERROR ", line)
    assert f" eventpub.collector: [collector] store.path = {tmp_path / name}: {reason}" in line


def test_an_address_in_use_exits_69(run, write, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(write(f"listen = 127.0.0.1:{port}", f"store.path = {tmp_path}/events.sqlite"))
    assert result.returncode == EXIT_UNAVAILABLE == 69
    assert f"eventpub.collector: cannot listen on 127.0.0.1:{port}: " in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_with_0(nursery, tmp_path, number):
    with CollectorProcess(tmp_path, nursery=nursery) as collector:
        (line,) = re.findall("^listening on (.*)$", collector.log(), re.MULTILINE)
        assert line == collector.url == f"http://127.0.0.1:{collector.port}"
        assert (tmp_path / "collector.url").read_text() == f"{line}\n"
        collector.process.send_signal(number)
        assert collector.process.wait(10) == 0


def test_sighup_takes_the_keys_and_the_level_of_the_log_and_nothing_else(tmp_path, nursery):
    with CollectorProcess(tmp_path, keys={"test": b"old"}, nursery=nursery) as collector:
        assert collector.post(BODY).status_code == 200
        collector.configure(keys={"test": [b"new", b"old"]}, max_events="1")
        assert collector.post(BODY).status_code == 401
        assert "DEBUG" not in collector.log()
        collector.configure(**{"log.level": "debug"})
        collector.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reloaded" in collector.log(), "it has read them")
        assert "a change of max_events takes effect at the next start" in collector.log()
        assert collector.post(BODY).status_code == 200
        collector.configure(keys={"test": b"old"})
        assert collector.post(BODY).status_code == 200
        assert collector.post(BODY, {wire.SIGNATURE_HEADER: "none"}).status_code == 401
        assert " DEBUG eventpub.collector.application: refused status=401 " in collector.log()


def test_sighup_with_a_file_that_cannot_be_used_changes_nothing(tmp_path, nursery):
    with CollectorProcess(tmp_path, nursery=nursery) as collector:
        collector.configure(keys={"test": b"new"}, nonsense="1")
        collector.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reload failed, the old keys stay" in collector.log(), "it says so")
        collector.configure(keys={"test": SECRET})
        assert collector.post(BODY).status_code == 200


def test_ipv6_is_listened_on(write, tmp_path):
    path = write("listen = [::1]:0", f"store.path = {tmp_path}/events.sqlite")
    with subprocess.Popen(
        [sys.executable, "-m", "eventpub.collector", path],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().removeprefix("listening on ").strip()
            assert url.startswith("http://[::1]:")
            assert requests.get(f"{url}/health", timeout=10).status_code == 200
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"X-Signature": ""}, "claimed_key=- cause=malformed"),
        ({"X-Signature": "key=shop, mac=12"}, "claimed_key=- cause=malformed"),
        ({"X-Signature": f"key=Shop\x9b, mac={'0' * 64}"}, r"claimed_key='shop\x9b' cause=unknown_key"),
        ({"X-Signature": f"key=shop, mac={'0' * 64}"}, "claimed_key=shop cause=unknown_key"),
        ({"X-Signature": f"key={'x' * 9999}, mac={'0' * 64}"}, "x... cause=unknown_key"),
        ({"X-Signature": f"key=Test, mac={'0' * 64}"}, "claimed_key=test cause=wrong_signature"),
        ({"X-Signature": None}, "claimed_key=- cause=no_signature"),
        ({"Signature": "x", "Signature-Input": 'a=();keyid="Shop"'}, "claimed_key=shop cause=unknown_key"),
        ({"Signature": "x", "Signature-Input": 'a=();keyid="test"'}, "claimed_key=test cause=wrong_signature"),
        ({"Signature": "x"}, "claimed_key=- cause=malformed"),
        ({"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}, "claimed_key=test cause=date_off date_off_by_seconds=-"),
        ({"Date": "Fri, 31 Dec 9999 23:59:59 GMT"}, "claimed_key=test cause=date_off date_off_by_seconds=2"),
        ({"Date": "yesterday"}, "claimed_key=test cause=no_date"),
    ],
)
def test_the_log_says_which_key_a_refused_request_claims_and_what_is_wrong_with_it(collector, headers, said):
    response = collector.post(BODY, headers)
    assert response.status_code == 401
    wait_until(lambda: said in collector.log(), "its line in the access log")
    for word in ("unknown", "wrong_signature", "shop"):
        assert word not in response.text.replace("of an unknown key", "")


@pytest.mark.parametrize(("ahead_seconds", "where"), [(700, "ahead of"), (-86_400, "behind")])
def test_a_sender_whose_clock_is_wrong_is_told_by_how_much(collector, ahead_seconds, where):
    date = formatdate(time.time() + ahead_seconds, usegmt=True)
    reason = collector.post(BODY, {"Date": date}).json()["reason"]
    told = re.match(rf"Date is more than 600 s from the collector's clock: (\d+) s {where} it;", reason)
    assert told is not None
    assert int(told[1]) == pytest.approx(abs(ahead_seconds), abs=20)


def test_debug_logs_why_requests_were_refused(nursery, tmp_path):
    with CollectorProcess(tmp_path, arguments=["--debug"], nursery=nursery) as collector:
        collector.post(b"no json")
        assert "refused status=400 reason='the body cannot be read: " in collector.log()
