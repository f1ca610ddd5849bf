"""The page's port as programs and hostile web pages see it: a real collector, real requests."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from support.collector_process import CollectorProcess
from support.nursery import Nursery
from support.pages import read_blocks
from support.paths import ROOT
from support.processes import run_module
from support.waiting import DEADLINE_SECONDS, wait_until

from eventpub.collector.page.stream import PORTION_CHARACTERS, PORTION_EVENTS

EVENT_2 = b'{"1":{"str":"shop"},"2":{"str":"buy"},"3":{"str":"tea"}}'
BAD_2 = b'{"1":{"str":"shop"},"2":{"i32":17},"3":{"str":"tea"}}'


@pytest.fixture(scope="module")
def collector(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    folder = tmp_path_factory.mktemp("collector")
    settings = {"page.listen": "127.0.0.1:0", "page.hosts": "collector.test", "page.max_events": "3000"}
    with CollectorProcess(folder, settings=settings, faults=None, nursery=nursery) as running:
        yield running


@pytest.fixture
def page(collector: CollectorProcess) -> str:
    requests.post(f"{collector.page_url}/micro/reset", timeout=10).raise_for_status()
    return collector.page_url


def ask(page: str, path: str, **headers: str) -> Any:
    answer = requests.get(f"{page}{path}", headers=headers, timeout=70)
    return answer.json() | {"http": answer.status_code}


def put(collector: CollectorProcess, *events: object, **headers: str) -> None:
    collector.post(json.dumps(events).encode(), headers)


def test_an_event_is_shown_with_what_the_collector_knows_of_it(collector: CollectorProcess, page: str) -> None:
    body = b'[{"a": 1, "big": 12345678901234567890}]'
    answer = collector.post(body, {"Idempotency-Key": "one"})
    assert answer.status_code == 200
    found = ask(page, "/micro/good")
    (entry,) = found["events"]
    assert (found["matched"], found["good"], found["bad"], found["http"]) == (1, 1, 0, 200)
    assert (entry["key"], entry["version"], entry["batch_id"]) == ("test", "2j", "one")
    assert abs(entry["received_at"] - time.time()) < 60
    assert '"event":{"a": 1, "big": 12345678901234567890}}' in requests.get(f"{page}/micro/all", timeout=9).text


def test_a_refused_event_is_shown_with_the_field_the_reason_and_what_came(
    collector: CollectorProcess, page: str
) -> None:
    body = b'{"1":{"lst":["rec",2,%s,%s]}}' % (EVENT_2, BAD_2)
    assert collector.post(body, version="2").status_code == 422
    (entry,) = ask(page, "/micro/bad")["events"]
    assert entry["event"] == {"source": "shop", "action": 17, "noun": "tea"}
    assert entry["raw"].encode() == BAD_2
    assert (entry["field"], entry["index"], entry["status"]) == ("action", 1, 422)
    assert entry["reason"].startswith("action: expected")
    assert ask(page, "/micro/good")["matched"] == 0


def test_a_request_that_is_refused_whole_is_shown_but_for_what_came_without_a_signature(
    collector: CollectorProcess, page: str
) -> None:
    collector.post(b"no JSON")
    requests.post(f"{collector.url}/v2j", data=b"not signed", timeout=10)
    signed, unsigned = ask(page, "/micro/bad")["events"]
    assert (signed["error"], signed["raw"], signed["event"]) == ("bad_body", "no JSON", None)
    assert (unsigned["error"], unsigned["raw"], unsigned["cause"]) == ("unauthorized", "", "no_signature")


def test_a_batch_that_comes_again_is_counted_and_not_shown_twice(
    collector: CollectorProcess, page: str
) -> None:
    for _ in range(3):
        put(collector, {"a": 1}, **{"Idempotency-Key": "again"})
    found = ask(page, "/micro/all")
    assert (found["matched"], found["duplicate"]) == (1, 2)


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("noun=tea", [1, 3]),
        ("noun=tea&user.id=u2", [3]),
        ("event.noun=tea", [1, 3]),
        ("n=1", [1]),
        ("n=1.5", [2]),
        ("ok=true", [3]),
        ("items.1.sku=x", [2]),
        ("dotted.name=yes", [3]),
        ("event.wait=long", [2]),
        ("__proto__=x", []),
        ("@key=test&noun=milk", [2]),
        ("limit=1", [3]),
        ("noun=caf%C3%A9", []),
    ],
)
def test_events_are_found_by_their_fields(
    collector: CollectorProcess, page: str, query: str, numbers: list[int]
) -> None:
    put(collector, {"no": 1, "noun": "tea", "n": 1, "user": {"id": "u1"}})
    put(collector, {"no": 2, "noun": "milk", "n": 1.5, "items": [{}, {"sku": "x"}], "wait": "long"})
    put(collector, {"no": 3, "noun": "tea", "user": {"id": "u2"}, "ok": True, "dotted.name": "yes"})
    found = ask(page, f"/micro/good?{query}")
    assert [entry["event"]["no"] for entry in found["events"]] == numbers


def test_a_test_waits_until_the_events_are_there(collector: CollectorProcess, page: str) -> None:
    def put_later() -> None:
        for number in range(3):
            put(collector, {"noun": "late", "no": number})

    answers: list[Any] = []
    asking = threading.Thread(
        target=lambda: answers.append(ask(page, "/micro/good?noun=late&wait=30s&count=3"))
    )
    asking.start()
    put_later()
    asking.join(DEADLINE_SECONDS)
    assert [entry["event"]["no"] for entry in answers[0]["events"]] == [0, 1, 2]


def test_less_than_was_waited_for_is_404_and_says_how_many_came(collector: CollectorProcess, page: str) -> None:
    put(collector, {"noun": "tea"})
    found = ask(page, "/micro/good?wait=100ms&count=2")
    assert (found["http"], found["error"], found["matched"]) == (404, "not_enough", 1)
    assert found["reason"] == "1 of 2 such events came within 0.1 s"


@pytest.mark.parametrize("query", ["wait=soon", "count=0", "limit=-1", "a", "&".join(["a=1"] * 30)])
def test_a_question_that_makes_no_sense_is_told_so(page: str, query: str) -> None:
    found = ask(page, f"/micro/good?{query}")
    assert (found["http"], found["error"]) == (400, "bad_query")


def test_the_requests_of_docs_page_md_are_answered(collector: CollectorProcess, page: str) -> None:
    (block,) = [text for text in read_blocks(ROOT / "docs/page.md", "sh") if text.startswith("curl")]
    put(collector, *[{"noun": "tea", "user": {"id": "u_1"}}] * 3)
    lines = block.replace("http://127.0.0.1:8081", page).splitlines()
    found = []
    for line in lines:
        curl, *arguments, url = shlex.split(line)
        assert (curl, arguments) in (("curl", []), ("curl", ["-X", "POST"]))
        answer = requests.request("POST" if arguments else "GET", url, timeout=60)
        assert answer.status_code == 200
        found.append(answer.json())
    assert found[0]["matched"] >= 3
    assert found[2] == {"reset": True}


class Stream:
    """The feed as a browser reads it."""

    def __init__(self, page: str, **headers: str) -> None:
        self.answer = requests.get(
            f"{page}/micro/stream", stream=True, headers=headers, timeout=DEADLINE_SECONDS
        )
        self.close = self.answer.close
        self._lines = self.answer.iter_lines(chunk_size=1)

    def __iter__(self) -> Iterator[tuple[str, str, list[str]]]:
        kind, number, data = "", "", []
        for line in self._lines:
            name, _, value = line.decode().partition(":")
            if name == "event":
                kind = value
            elif name == "id":
                number = value
            elif name == "data":
                data.append(value)
            elif not line and kind:
                yield kind, number, data
                kind, number, data = "", "", []

    def next(self, wanted: str) -> tuple[str, list[str]]:
        """Return id and data of the next message of a kind."""
        return next((number, data) for kind, number, data in self if kind == wanted)


def test_a_page_gets_what_is_there_then_what_comes_and_after_a_break_only_what_is_new(
    collector: CollectorProcess, page: str
) -> None:
    put(collector, {"no": 1})
    with contextlib.closing(Stream(page)) as stream:
        hello = json.loads(stream.next("hello")[1][0])
        assert hello["collector"] == collector.url
        assert json.loads(stream.next("events")[1][0])["event"] == {"no": 1}
        put(collector, {"no": 2})
        number, (line,) = stream.next("events")
        assert json.loads(line)["event"] == {"no": 2}
        tallies = json.loads(stream.next("tallies")[1][0])
        while tallies["totals"]["stored"] != 2:
            tallies = json.loads(stream.next("tallies")[1][0])
        assert tallies["keys"] == [["test", 2, 0, 0]]
    put(collector, {"no": 3})
    with contextlib.closing(Stream(page, **{"Last-Event-ID": number})) as stream:
        assert [json.loads(line)["event"] for line in stream.next("events")[1]] == [{"no": 3}]


def test_a_page_that_was_away_for_too_long_is_told_how_much_it_missed(
    collector: CollectorProcess, page: str
) -> None:
    put(collector, {"no": 0})
    with contextlib.closing(Stream(page)) as stream:
        number, _ = stream.next("events")
    for _ in range(4):
        put(collector, *[{"no": 1}] * 1000)
    with contextlib.closing(Stream(page, **{"Last-Event-ID": number})) as stream:
        assert stream.next("gap")[1] == ["1000"]


def test_a_page_that_is_behind_gets_small_messages_however_large_events_are(
    collector: CollectorProcess, page: str
) -> None:
    """So that none of them keeps a browser from drawing for long."""
    put(collector, *[{"text": ""}] * 1200)
    put(collector, *[{"text": "x" * 20_000}] * 50)
    left, numbers = b"", list[int]()
    answer = requests.get(f"{page}/micro/stream", stream=True, timeout=DEADLINE_SECONDS)
    with contextlib.closing(answer):
        for chunk in answer.iter_content(65_536):
            *messages, left = (left + chunk).split(b"\n\n")
            for message in messages:
                lines = re.findall(rb"^data:(.*\})$", message, re.MULTILINE)
                if message.startswith(b"event:events"):
                    numbers.append(len(lines))
                    assert sum(map(len, lines[:-1])) < PORTION_CHARACTERS
            if sum(numbers) >= 1250:
                break
    assert max(numbers) == PORTION_EVENTS


def test_refused_events_stay_while_stored_ones_come(collector: CollectorProcess, page: str) -> None:
    assert collector.post(b"[1]").status_code == 422
    for _ in range(4):
        put(collector, *[{"no": 1}] * 1000)
    assert ask(page, "/micro/bad")["matched"] == 1
    assert ask(page, "/micro/good")["matched"] == 3000


def test_a_reset_empties_every_page(collector: CollectorProcess, page: str) -> None:
    put(collector, {"no": 1})
    with contextlib.closing(Stream(page)) as stream:
        stream.next("events")
        requests.post(f"{page}/micro/reset", timeout=10)
        assert stream.next("hello")
        assert ask(page, "/micro/all")["matched"] == 0
        put(collector, {"no": 2})
        assert [json.loads(line)["event"] for line in stream.next("events")[1]] == [{"no": 2}]


def test_a_page_that_does_not_read_costs_the_others_nothing(collector: CollectorProcess, page: str) -> None:
    host, port = page.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(f"GET /micro/stream HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert deaf.recv(100)
        for number in range(30):
            put(collector, *[{"no": number, "text": "x" * 2000}] * 100)
        assert ask(page, "/micro/good?no=29&wait=20s&count=100")["matched"] == 100


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", ""])
def test_a_name_that_others_control_is_not_served(page: str, host: str) -> None:
    for path in ("/", "/micro/all", "/micro/stream"):
        assert ask(page, path, Host=host)["http"] == 403
    assert requests.post(f"{page}/micro/reset", headers={"Host": host}, timeout=10).status_code == 403


@pytest.mark.parametrize(
    "host", ["localhost:9", "127.0.0.1", "[::1]:8081", "app.localhost", "collector.test:8081"]
)
def test_the_own_names_are_served_at_any_port_as_tunnels_have_it(page: str, host: str) -> None:
    assert ask(page, "/micro/all", Host=host)["http"] == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
def test_another_web_page_can_neither_read_nor_reset(
    collector: CollectorProcess, page: str, headers: dict[str, str]
) -> None:
    put(collector, {"no": 1})
    assert requests.post(f"{page}/micro/reset", headers=headers, timeout=10).status_code == 403
    assert ask(page, "/micro/all", **headers)["http"] == 403
    assert ask(page, "/micro/all")["matched"] == 1


def test_all_that_is_served_is_ours_and_may_run_nothing_else(page: str) -> None:
    home = requests.get(f"{page}/", timeout=10)
    assert "script-src 'self'" in home.headers["Content-Security-Policy"]
    assert "default-src 'none'" in home.headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in home.headers
    assert home.headers["X-Content-Type-Options"] == "nosniff"
    for name in ("page.js", "page.css", "icon.svg", "list.js"):
        assert requests.get(f"{page}/{name}", timeout=10).status_code == 200
    for name in ("serving.py", "../serving.py", "%2e%2e/serving.py", "static/page.js", "nothing"):
        assert ask(page, f"/{name}")["http"] == 404
    assert requests.head(f"{page}/micro/all", timeout=10).text == ""
    assert requests.put(f"{page}/micro/all", timeout=10).status_code == 405


def test_the_port_that_takes_events_has_no_page_and_that_of_the_page_takes_no_events(
    collector: CollectorProcess, page: str
) -> None:
    assert requests.get(f"{collector.url}/micro/all", timeout=10).status_code == 404
    assert requests.post(f"{page}/v2j", data=b"[]", timeout=10).status_code == 405


def test_there_are_words_for_each_field_of_a_key_with_a_schema(page: str) -> None:
    words = requests.get(f"{page}/micro/schema?key=test", timeout=10).json()
    assert words["structs"]["Event"]["fields"]["noun"]["doc"]


def test_a_collector_stops_at_once_while_pages_are_open(nursery: Nursery, tmp_path: Path) -> None:
    settings = {"page.listen": "127.0.0.1:0", "timeout.stop": "1 h"}
    with (
        CollectorProcess(tmp_path, settings=settings, faults=None, nursery=nursery) as running,
        contextlib.closing(Stream(running.page_url)) as stream,
    ):
        stream.next("hello")
        assert running.stop() == 0


def test_a_page_is_for_one_process(collector: CollectorProcess) -> None:
    done = run_module("eventpub.collector", "--workers", "2", collector.config_path)
    assert done.returncode == 78
    assert "page.listen" in done.stderr
    assert "leave --workers out" in done.stderr


def test_a_port_that_is_taken_stops_the_start_with_a_way_out(nursery: Nursery, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {"page.listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        with pytest.raises(RuntimeError, match=r"page\.listen.*0 for a free one"):
            CollectorProcess(tmp_path, settings=settings, faults=None, nursery=nursery)


def test_a_page_for_everybody_is_warned_of(nursery: Nursery, tmp_path: Path) -> None:
    settings = {"page.listen": "*:0"}
    with CollectorProcess(tmp_path, settings=settings, faults=None, nursery=nursery) as running:
        wait_until(lambda: "sees every event, without a password" in running.log(), "a warning")
