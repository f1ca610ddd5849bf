"""The page in a real browser, used by clicks and keys; `PICTURES=docs/images` keeps pictures of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from support.browser import Browser
from support.collector_process import SECRET, CollectorProcess
from support.paths import ROOT
from support.waiting import wait_until

from eventpub import serialize_v2_event
from eventpub.schemas.event.ttypes import Event, Request, User

ESCAPE, DOWN, ENTER = "\ue00c", "\ue015", "\ue007"
BAD = b'{"1":{"str":"shop"},"2":{"str":"buy"},"3":{"str":"tea"},"20":{"rec":{"1":{"i64":4711}}}}'


def put(collector: CollectorProcess, *events: object) -> None:
    status = collector.post(json.dumps(events).encode()).status_code
    assert status == 200


def put_structs(collector: CollectorProcess, *messages: bytes) -> int:
    body = b'{"1":{"lst":["rec",%d,%s]}}' % (len(messages), b",".join(messages))
    return collector.post(body, version="2").status_code


def wait_drawn(page: Browser, count: int) -> None:
    """Wait until the list is so long; it is drawn ten times a second, and so later than the count."""
    length = "return document.querySelector('#scroller').getAttribute('aria-rowcount')"
    wait_until(lambda: page.run(length) == str(count), f"{count} rows")


def sale(noun: str, action: str, user: str) -> bytes:
    return serialize_v2_event(
        Event(
            source="shop",
            noun=noun,
            action=action,
            uuid=str(uuid.uuid4()),
            user=User(id=user, is_logged_in=True, roles=["member"]),
            request=Request(method="POST", path=f"/buy/{noun}", status_code=201, duration_ms=12.5),
        )
    )


@pytest.fixture
def clipboard(page: Browser) -> Any:
    """What was copied last, as the page's own origin may ask."""
    origin = page.run("return location.origin")
    permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    page.driver.execute_cdp_cmd("Browser.grantPermissions", {"origin": origin, "permissions": permissions})
    return lambda: page.driver.execute_async_script(
        "navigator.clipboard.readText().then(arguments[0], error => arguments[0](String(error)))"
    )


@pytest.fixture(autouse=True)
def nothing_to_complain_of(page: Browser) -> Iterator[None]:
    """The browser reports errors of scripts, and what the policy kept from being loaded."""
    yield
    complaints = [text for text in page.complaints() if "/micro/" not in text]  # a stream that was cut
    assert complaints == []


def test_events_show_up_as_they_are_taken_newest_first(page: Browser, collector: CollectorProcess) -> None:
    assert "Nothing yet" in page.wait_for("#empty").text
    put(collector, {"source": "shop", "noun": "tea", "action": "buy", "user": {"id": "u_1"}})
    page.row("shop · tea · buy")
    put_structs(collector, sale("cake", "view", "u_2"))
    page.row("shop · cake · view")
    rows = page.texts(".row")
    assert "cake" in rows[0]
    assert "u_2" in rows[0]
    assert "tea" in rows[1]
    assert page.find("#empty") == []
    page.wait_text("#stored", "2")
    page.wait_text("#counts", "shop · cake · view")


def test_a_refusal_shows_field_value_and_reason_beside_each_other(
    page: Browser, collector: CollectorProcess
) -> None:
    put_structs(collector, sale("tea", "buy", "u_1"))
    assert put_structs(collector, BAD) == 422
    row = page.wait_for(page.row("4711"))
    assert re.search(r'user\.id\s*4711\s*expected \{"str":VALUE\}', row.text), row.text
    page.click("[data-outcome=refused]")
    wait_until(lambda: len(page.find(".row")) == 1, "only the refused one")
    page.click(".row")
    assert "user.id 4711" in page.wait_for("#detail .fault").text
    field = page.wait_for(".field.fault").text
    assert "Stable id of the account" in field  # the schema's words
    page.click("[data-outcome=stored]")
    page.wait_text(".row", "u_1")
    page.wait_text("#refused", "1")


def test_an_open_event_has_its_fields_with_the_words_of_the_schema_and_its_json_digit_for_digit(
    page: Browser, collector: CollectorProcess, clipboard: Any
) -> None:
    put_structs(collector, sale("tea", "buy", "u_1"))
    page.click(page.row("u_1"))
    page.wait_text("#detail", "What it was done to, a singular noun")
    assert "list<string>" in page.wait_for("#detail").text
    put(collector, {"noun": "many", "number": 12345678901234567890123, "text": "a\u20acb"})
    page.click(page.row("many"))
    page.wait_text("#detail .badge", "stored")
    page.wait_text("#detail .fields", "12345678901234567890123")
    page.click("#detail .copy-json")
    page.wait_text("#toast", "Copied")
    text = json.dumps({"noun": "many", "number": 12345678901234567890123, "text": "a\u20acb"})
    assert clipboard() == text
    page.click("#detail .tabs button", 1)
    page.wait_text("#detail .json", '"number": 12345678901234567890123')
    page.press(ESCAPE)
    page.wait_gone("#detail")


def test_the_command_that_is_copied_sends_the_event_again_and_the_other_finds_it(
    page: Browser, collector: CollectorProcess, clipboard: Any, tmp_path: Path
) -> None:
    put(collector, {"noun": "it's", "uuid": "5f"})
    assert put_structs(collector, BAD) == 422
    environment = {**os.environ, "EVENTPUB_SECRET": subprocess.check_output(["base64"], input=SECRET).decode()}

    def run_copied() -> Any:
        answer = subprocess.run(
            ["sh", "-c", clipboard()],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            check=True,
            timeout=30,
        )
        return json.loads(answer.stdout)

    page.click(page.row("it's"))
    page.click("#detail .copy-send")
    page.wait_text("#toast", "sends it again")
    assert run_copied()["events"] == 1
    page.click("#detail .copy-find")
    page.wait_text("#toast", "finds it")
    assert run_copied()["matched"] == 2
    page.click(page.row("4711"))
    page.wait_text("#detail .fault", "4711")
    page.click("#detail .copy-send")
    page.wait_text("#toast", "sends it again")
    assert run_copied()["rejected"][0]["reason"].startswith("user.id:")


def test_search_and_filters_by_field(page: Browser, collector: CollectorProcess) -> None:
    for number in range(40):
        put(collector, {"noun": ("tea", "cake")[number % 2], "no": number, "user": {"id": f"u_{number}"}})
    page.wait_text("#count", "40 events")
    for search, count in {
        "cake": 20, "noun:tea": 20, "-noun:tea": 20, "user.id:u_1*": 11, "no:7": 1, "noun:tea no:7": 0,
        '"u_3"': 1, "@key:test": 40, "@key:other": 0,
    }.items():  # fmt: skip
        page.write("#search", search)
        page.wait_text("#count", f"{count} of 40")
    page.wait_text("#empty-lead", "No event here is like that")
    page.write("#search", "no:17")
    page.wait_text("#count", "1 of 40")
    page.click(".row")
    page.wait_for("#detail .field")
    page.run("document.querySelector('#search').value = ''")
    field = next(field for field in page.find("#detail .field") if field.text.startswith("noun"))
    page.run("arguments[0].querySelector('.field-tools button').click()", field)
    page.wait_text("#count", "20 of 40")
    assert page.wait_for("#search").get_attribute("value") == "noun:cake"
    page.press(ESCAPE)  # closes the event
    page.press(ESCAPE)  # and then the search
    page.wait_text("#count", "40 events")


def test_a_click_on_a_count_filters(page: Browser, collector: CollectorProcess) -> None:
    put(collector, *[{"source": "shop", "noun": "tea", "action": "buy"}] * 3, {"noun": "page view"})
    page.wait_text("#counts", "shop · tea · buy")
    page.click("#counts li button", 2)
    assert page.wait_for("#search").get_attribute("value") == 'noun:"page view"'
    page.wait_text("#count", "1 of 4")


def test_columns_are_chosen_and_stay_chosen(page: Browser, collector: CollectorProcess) -> None:
    put(collector, {"noun": "tea", "price": {"amount": 250, "currency": "EUR"}})
    page.row("tea")
    page.click("#pick")
    page.write("#columns-search", "price")
    page.wait_text("#choices", "price.amount")
    page.click("#choices input")
    page.press(ESCAPE)
    page.wait_text("#head", "price.amount")
    page.wait_text(".row", "250")
    page.driver.refresh()
    page.wait_text("#head", "price.amount")
    page.click(page.row("tea"))
    page.wait_text("#detail", "currency")
    field = next(field for field in page.find("#detail .field") if "currency" in field.text.split("\n", 1)[0])
    page.run("arguments[0].querySelectorAll('.field-tools button')[1].click()", field)
    page.wait_text("#head", "price.currency")


def test_pause_holds_what_comes_and_goes_on_with_it(page: Browser, collector: CollectorProcess) -> None:
    put(collector, {"noun": "before"})
    page.row("before")
    page.click("#pause")
    page.wait_text("#status", "paused")
    put(collector, {"noun": "meanwhile"}, {"noun": "meanwhile"})
    page.wait_text("#count", "2 waiting")
    assert "meanwhile" not in " ".join(page.texts(".row"))
    page.click("#pause")
    page.row("meanwhile")
    page.wait_text("#count", "3 events")


def test_rows_stay_where_they_are_while_others_come(page: Browser, collector: CollectorProcess) -> None:
    put(collector, *({"noun": f"old{number}"} for number in range(200)))
    wait_drawn(page, 200)
    page.run("document.querySelector('#scroller').scrollTop = 1700")
    seen = page.row("old149")
    put(collector, *({"noun": "new"} for _ in range(50)))
    page.wait_text("#newer", "50 newer")
    assert page.row("old149") == seen
    page.click("#newer")
    page.wait_text(".row", "new")
    page.wait_gone("#newer")


def test_everything_works_by_keys(page: Browser, collector: CollectorProcess) -> None:
    for number in range(3):
        put(collector, {"noun": f"n{number}"})
    put_structs(collector, BAD)
    page.wait_text("#count", "4 events")
    page.press("2")
    page.wait_text("#count", "3 of 4")
    page.press("1j")
    page.wait_text(".row.selected", "shop")
    page.press(DOWN)
    page.wait_text(".row.selected", "n2")
    page.press(ENTER)
    page.wait_text("#detail h2", "n2")
    page.press("j")
    page.wait_text("#detail h2", "n1")
    page.press("k")
    page.wait_text("#detail h2", "n2")
    page.press(ESCAPE)
    page.wait_gone("#detail")
    page.press("/n0")
    page.wait_text("#count", "1 of 4")
    page.press(ESCAPE)
    page.press("?")
    page.wait_text("#help", "next, previous event")
    page.press(ESCAPE)
    page.press("p")
    page.wait_text("#status", "paused")
    page.press("p")
    page.press("x")
    page.wait_text("#stored", "0")


def test_reset_empties_the_page_and_not_the_store(page: Browser, collector: CollectorProcess) -> None:
    put(collector, {"noun": "tea"})
    page.row("tea")
    page.click("#reset")
    page.wait_text("#empty-lead", "Nothing yet")
    page.wait_text("#stored", "0")
    assert len(collector.events()) == 1


def test_the_page_comes_back_with_the_collector(page: Browser, collector: CollectorProcess) -> None:
    put(collector, {"noun": "before"})
    page.row("before")
    port = collector.page_url.rpartition(":")[2]
    collector.stop()
    page.wait_text("#status", "reconnecting")
    collector.configure(**{"page.listen": f"127.0.0.1:{port}"})
    collector.start()
    put(collector, {"noun": "after"})
    page.row("after")
    page.wait_text("#count", "1 events")


HOSTILE = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    '"><svg onload=window.hacked=1>',
    "javascript:window.hacked=1",
    "'); window.hacked = 1; ('",
    "${window.hacked = 1}{{window.hacked = 1}}",
    "\u202eevil\u202c \u2066x\u2069 \u200b\u200f\ufeff",
    "\u0000\u0007\u001b[31m\n\r\t\u0085\u2028",
    "x" * 30_000,
    "\u0301" * 300 + "مرحبا",
]


def test_a_hostile_event_is_text_and_nothing_else(page: Browser, collector: CollectorProcess) -> None:
    for text in HOSTILE:
        names = {"__proto__": {"polluted": text}, "constructor": text, "hasOwnProperty": text, text[:200]: text}
        put(collector, {"source": text, "noun": text, "action": text, "user": {"id": text}, **names})
        collector.post(b"[" + json.dumps({"noun": text}).encode() + b", 1]")
        collector.post(json.dumps([text]).encode())
        collector.post(json.dumps({text: text}).encode())
    nested = b'{"a":' * 60 + b"1" + b"}" * 60
    collector.post(b'[{"deep":' + nested + b',"noun":"deep"}]')
    page.row("deep")
    page.wait_text("#stored", str(len(HOSTILE) + 1))
    seen = set()
    for index in range(
        page.run("return Number(document.querySelector('#scroller').getAttribute('aria-rowcount'))")
    ):
        page.press("j")
        page.press(ENTER) if index == 0 else None
        seen.add(page.wait_for("#detail h2").text)
        if index % 7 == 3:
            page.click("#detail .tabs button", 1 - index // 7 % 2)
    assert len(seen) > len(HOSTILE)
    page.click("#pick")
    page.wait_text("#choices", "hasOwnProperty")
    page.press(ESCAPE)
    page.write("#search", '"<script>" -noun:"*onerror*"')
    page.wait_text("#count", " of ")
    assert page.run("return window.hacked") is None
    assert page.run("return ({}).polluted") is None
    strange = "return document.querySelectorAll('main :is(script, svg, img, a, iframe)').length"
    assert page.run(strange) == 0
    text = page.run("return document.body.innerText")
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\u200f\x00\x07\x1b]", text)
    page.write("#search", '"\\\\u001b"')
    page.press(ENTER)


FRAME_LINES = 1000  # of incoming.js
WATCH_FRAMES = """
    window.watched = {frame: 0, taken: 0};
    let [before, had] = [performance.now(), 0];
    (function tick() {
        const now = performance.now();
        const found = /^[\\d,]+(?= events)/.exec(document.querySelector('#count').textContent);
        const has = Number(found?.[0].replaceAll(',', ''));
        watched.frame = Math.max(watched.frame, now - before);
        watched.taken = Math.max(watched.taken, (has || 0) - had);
        [before, had] = [now, has || 0];
        requestAnimationFrame(tick);
    })()"""
TAKE_WATCHED = "const was = {...watched}; watched.frame = watched.taken = 0; return was"
SCROLL = "const list = document.querySelector('#scroller'); list.scrollTop = list.scrollHeight * arguments[0]"
READ_NUMBERS = "return [...document.querySelectorAll('.row:not([hidden])')].map(row => row.entry.event.no)"


def test_100_000_events_do_not_stop_the_page(page: Browser, collector: CollectorProcess) -> None:
    """With each frame it takes in no more than so many, on any machine; how long frames took is only said."""

    def flood(first: int, count: int) -> None:
        for start in range(first, first + count, 1000):
            numbers = range(start, start + 1000)
            put(
                collector,
                *({"source": "shop", "noun": "tea", "no": n, "user": {"id": f"u_{n}"}} for n in numbers),
            )

    page.run(WATCH_FRAMES)
    assert put_structs(collector, BAD) == 422
    flood(0, 70_000)
    wait_until(lambda: "70,001 events" in " ".join(page.texts("#count")), "all are there", 120)
    streamed = page.run(TAKE_WATCHED)
    page.click("#pause")
    flood(70_000, 30_000)
    wait_until(lambda: "30,000 waiting" in " ".join(page.texts("#count")), "they wait", 120)
    page.click("#pause")
    wait_until(lambda: "100,001 events" in " ".join(page.texts("#count")), "all are there", 120)
    resumed = page.run(TAKE_WATCHED)
    wait_drawn(page, 100_001)
    for share in (0.1, 0.9, 0.5, 1.0, 0.0):
        page.run(SCROLL, share)
        number = 99_999 - round(99_999 * share)
        wait_until(
            lambda number=number: [
                no for no in page.run(READ_NUMBERS) if no is not None and abs(no - number) < 60
            ],
            "rows to be there",
        )
    assert page.run("return document.querySelectorAll('.row').length") < 60
    scrolled = page.run(TAKE_WATCHED)
    page.write("#search", "no:77777")
    wait_until(lambda: "1 of 100,001" in " ".join(page.texts("#count")), "found", 60)
    searched = page.run(TAKE_WATCHED)
    memory = page.driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"]
    status = Path(f"/proc/{collector.process.pid}/status").read_text()
    rss = int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) // 1024
    frames = zip(
        ("live", "going on", "scrolling", "searching"), (streamed, resumed, scrolled, searched), strict=True
    )
    print(
        *(
            f"{what}: at most {seen['taken']} events and {seen['frame']:.0f} ms a frame;"
            for what, seen in frames
        )
    )
    print(f"page {memory / 1e6:.0f} MB, collector {rss} MiB")
    assert 0 < streamed["taken"] <= 2 * FRAME_LINES  # two frames' work may lie between two looks
    assert 0 < resumed["taken"] <= 2 * FRAME_LINES
    assert memory < 300e6
    flood(100_000, 1000)
    page.write("#search", "")
    page.click("[data-outcome=refused]")
    page.wait_text(".row", "4711")  # which 100,000 stored ones have not pushed out
    page.wait_text("#count", "1 of 100,001")


CHECK_MERGING = """
    const done = arguments[arguments.length - 1];
    Promise.all([import('/entries.js'), import('/view.js')]).then(([{Newest}, {View}]) => {
        for (let round = 0; round < 300; round += 1) {
            const [stored, refused] = [new Newest(() => 10), new Newest(() => 10)];
            stored.maxCharacters = 95;
            stored.max = refused.max = 1 + round % 20;
            const view = new View(stored, refused, () => {});
            const admits = round % 3 ? () => true : entry => entry.id % 3 > 0;
            let id = 0;
            for (let step = 0; step < 12; step += 1) {
                const count = Math.floor(Math.random() * 9);
                const came = Array.from({length: count}, () => ({id: ++id, isStored: Math.random() < 0.7}));
                const [good, bad] = [true, false].map(kind => came.filter(entry => entry.isStored === kind));
                stored.add(good);
                refused.add(bad);
                view.add(good, bad);
                if (step === round % 12) view.filter(admits);
            }
            const all = list => Array.from({length: list.length}, (_, n) => list.at(n));
            const kept = [...all(stored), ...all(refused)];
            const wanted = kept.filter(admits).map(entry => entry.id).sort((one, other) => other - one);
            const seen = Array.from({length: view.length}, (_, n) => view.at(n).id);
            if (stored.length > Math.min(9, stored.max)) return done(`${stored.length} are kept`);
            if (String(seen) !== String(wanted)) return done(`round ${round}: ${seen} instead of ${wanted}`);
        }
        done('as wanted');
    }).catch(error => done(String(error)))"""


def test_stored_and_refused_entries_are_in_one_order_and_each_kind_keeps_its_newest(page: Browser) -> None:
    assert page.driver.execute_async_script(CHECK_MERGING) == "as wanted"


def test_it_fits_a_phone_in_light_and_dark(page: Browser, collector: CollectorProcess) -> None:
    page.resize(380, 780)
    put_structs(collector, sale("tea", "buy", "u_1"))
    put_structs(collector, BAD)
    page.click(page.row("4711"))
    page.wait_text("#detail .fault", "user.id")
    for is_dark in (False, True):
        page.set_dark(is_dark=is_dark)
        assert page.run("return document.documentElement.scrollWidth") <= 380
        colours = page.run("const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]")
        light, dark = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
        assert (light > dark) is is_dark
    page.click("#detail .close")
    page.wait_gone("#detail")
    page.click("#side")
    page.wait_text("#counts", "shop · tea · buy")
    page.click("#counts li button")
    page.wait_gone("#counts")
    page.set_dark(is_dark=False)
    page.click("#theme")
    page.click("#theme")
    colours = page.run("const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]")
    light, dark = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert light > dark


FIND_POOR = """
const brush = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
function paint(colours) {
    brush.clearRect(0, 0, 1, 1);
    for (const colour of colours) { brush.fillStyle = colour; brush.fillRect(0, 0, 1, 1); }
    const parts = [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3).map(part => part / 255);
    const [red, green, blue] = parts.map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * red + .7152 * green + .0722 * blue;
}
const poor = [];
for (const element of document.querySelectorAll('body *')) {
    const hasText = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!hasText || !element.offsetParent || element.closest('#empty')) continue;
    const grounds = [];
    for (let place = element; place; place = place.parentElement)
        grounds.unshift(getComputedStyle(place).backgroundColor);
    const ground = paint(grounds);
    const ink = paint([...grounds, getComputedStyle(element).color]);
    const ratio = (Math.max(ground, ink) + .05) / (Math.min(ground, ink) + .05);
    if (ratio < 4.5) poor.push(`${element.className} ${element.textContent.slice(0, 20)} ${ratio}`);
}
return poor"""


def test_words_can_be_read_on_their_ground(page: Browser, collector: CollectorProcess) -> None:
    """WCAG asks for a contrast of 4.5 to 1."""
    put_structs(collector, sale("tea", "buy", "u_1"))
    put_structs(collector, BAD)
    page.click(page.row("4711"))
    page.wait_for(".field.fault")
    for is_dark in (False, True):
        page.set_dark(is_dark=is_dark)
        poor = page.run(FIND_POOR)
        assert poor == []


@pytest.mark.skipif("PICTURES" not in os.environ, reason="PICTURES names no folder")
def test_pictures(page: Browser, collector: CollectorProcess) -> None:
    folder = ROOT / os.environ["PICTURES"]
    for number in range(60):
        nouns, actions = ("tea", "coffee", "cake"), ("view", "view", "view", "buy")
        messages = [
            sale(nouns[(number + n) % 3], actions[(number * n) % 4], f"u_{(number * 977 + n * 31) % 4096:03x}")
            for n in range(1 + number * 7 % 5)
        ]
        put_structs(collector, *messages)
        if number % 17 == 9:
            put_structs(collector, BAD)
        page.run("return new Promise(resolve => setTimeout(resolve, 150))")
    put(collector, {"source": "web", "noun": "page", "action": "open", "url": "https://shop.example.com/tea"})
    put_structs(collector, BAD)
    put_structs(collector, *(sale("tea", "buy", f"u_{n:03x}") for n in range(6)))
    page.run("return new Promise(resolve => setTimeout(resolve, 1500))")
    page.shoot(folder / "page.png")
    page.click(page.row("4711"))
    page.wait_for(".field.fault")
    page.set_dark(is_dark=True)
    page.run("return new Promise(resolve => setTimeout(resolve, 500))")
    page.shoot(folder / "page-refused-dark.png")
    page.press(ESCAPE)
    page.set_dark(is_dark=False)
    page.resize(380, 680)
    page.run("return new Promise(resolve => setTimeout(resolve, 500))")
    page.shoot(folder / "page-phone.png")
    assert requests.get(f"{collector.page_url}/micro/bad", timeout=10).json()["matched"] > 0
