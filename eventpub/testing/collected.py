"""Events that went all the way, through queue, sidecar and collector, asked for at a collector's page.

`run_dev` starts these as processes (`eventpub dev`); `CollectedEvents` asks any page that is there.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PAGE_VARIABLE = "EVENTPUB_PAGE"
PAGE_QUEUE_VARIABLE = "EVENTPUB_PAGE_QUEUE"
_QUEUES = {"2": "v2", "2j": "v2j"}  # of `eventpub dev`

_WAIT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0  # for the answer, beside the wait
_START_SECONDS = 60.0
_SHOWN_REASONS = 3
_SHOWN_LINES = 200
_NO_FIELDS: Mapping[str, object] = MappingProxyType({})


class RefusedEvent(NamedTuple):
    """An event that the collector refused.

    Attributes:
        event: as far as it can be read, by the names of its fields; None if it cannot.
        reason: in the collector's words.
        field: the path of the field that is to blame; None if it is the whole event.
        status: of the collector's answer.
    """

    event: Any
    reason: str
    field: str | None
    status: int


class CollectedEvents:
    """What a collector with a page has taken and refused since `reset`.

    Args:
        page_url: the page's address.
        queue_name: the queue whose events get there, as far as it is known.
        read_log: returns what is added to the error when events do not come.
    """

    def __init__(
        self, page_url: str, queue_name: str = "", *, read_log: Callable[[], str] | None = None
    ) -> None:
        self.page_url = page_url.rstrip("/")
        self.queue_name = queue_name
        self._read_log = read_log or (lambda: "")

    def good(
        self,
        fields: Mapping[str, object] = _NO_FIELDS,
        *,
        count: int = 1,
        wait_seconds: float = _WAIT_SECONDS,
    ) -> list[Any]:
        """Wait until events were stored, and return them as dicts, oldest first.

        Args:
            fields: the values that they must have, each by the path of its field: `{"user.id": "u_8c1f"}`.
            count: how many to wait for; 0 returns what is there.
            wait_seconds: 0 to 60.

        Raises:
            AssertionError: fewer came; the message says which were refused meanwhile, and why.
        """
        return [entry["event"] for entry in self._ask("good", fields, count, wait_seconds)]

    def bad(
        self,
        fields: Mapping[str, object] = _NO_FIELDS,
        *,
        count: int = 1,
        wait_seconds: float = _WAIT_SECONDS,
    ) -> list[RefusedEvent]:
        """Wait until events were refused, and return them; the arguments are those of `good`.

        Raises:
            AssertionError: fewer were.
        """
        entries = self._ask("bad", fields, count, wait_seconds)
        return [
            RefusedEvent(entry["event"], entry["reason"], entry.get("field"), entry["status"])
            for entry in entries
        ]

    def reset(self) -> None:
        """Forget what came so far; the store of the collector keeps it."""
        self._call("/micro/reset", method="POST")

    def _ask(self, outcome: str, fields: Mapping[str, object], count: int, wait_seconds: float) -> list[Any]:
        query = [
            (path if path not in _OURS else f"event.{path}", _write(value)) for path, value in fields.items()
        ]
        if count:
            query += [("count", str(count)), ("wait", f"{wait_seconds:g}s")]
        answer = self._call(f"/micro/{outcome}?{urllib.parse.urlencode(query)}", wait_seconds=wait_seconds)
        entries: list[Any] = answer["events"]
        if len(entries) < count:
            raise AssertionError(f"{answer['reason']}{self._explain(outcome)}{self._read_log()}")
        return entries

    def _explain(self, outcome: str) -> str:
        if outcome == "bad":
            return ""
        refused = self._call("/micro/bad")["events"]
        reasons = "; ".join(entry["reason"] for entry in refused[-_SHOWN_REASONS:])
        return f"; {len(refused)} were refused: {reasons}" if refused else "; none was refused"

    def _call(self, path: str, *, method: str = "GET", wait_seconds: float = 0) -> Any:
        try:
            return self._load(path, method, wait_seconds + _ANSWER_SECONDS)
        except (
            OSError,
            ValueError,
            http.client.HTTPException,
        ) as error:  # nothing listens, or something else does
            remedy = f"start eventpub dev, and set {PAGE_VARIABLE} to the address of its page, or to nothing"
            raise RuntimeError(
                f"no page of a collector at {self.page_url!r} ({error}); {remedy}{self._read_log()}"
            ) from error

    def _load(self, path: str, method: str, seconds: float) -> Any:
        request = urllib.request.Request(self.page_url + path, method=method)  # noqa: S310, the page's own URL
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                answer = json.load(error)
            if "events" in answer:
                return answer
            raise AssertionError(f"{self.page_url}{path}: {answer.get('reason')}") from error


_OURS = frozenset({"count", "limit", "wait"})  # parameters of the page's


def find_page(version: str) -> CollectedEvents | None:
    """Return the page that $EVENTPUB_PAGE names, or None.

    Args:
        version: 2 or 2j, which says what its queue is, unless $EVENTPUB_PAGE_QUEUE does.
    """
    page_url = os.environ.get(PAGE_VARIABLE)
    if not page_url:
        return None
    return CollectedEvents(page_url, os.environ.get(PAGE_QUEUE_VARIABLE) or _QUEUES.get(version, version))


@contextlib.contextmanager
def run_dev(queue_name: str = "", *, version: str = "2") -> Iterator[CollectedEvents]:
    """Run `eventpub dev` during the block: a sidecar for a queue, and a collector with a page.

    Args:
        queue_name: the queue, which is removed at the end if it was not there before; a new one by default.
        version: what is put on it: 2 for Thrift structs, 2j for dicts.

    Raises:
        RuntimeError: it does not start; the message is what it said.
    """
    queue_name = queue_name or f"test-{os.getpid()}-{secrets.token_hex(4)}"
    command = [sys.executable, "-m", "eventpub", "dev", "--verbose", "--queue-name", queue_name]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [*command, "--version", version, "--port", "0", "--page-port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            page_url = _wait_for_page(process, output)
            yield CollectedEvents(page_url, queue_name, read_log=lambda: _describe_log(process, output))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def _wait_for_page(process: subprocess.Popen[bytes], output: Any) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        said = _read(output)
        found = re.search(r"^Page +(\S+)\n[^$]*Ctrl-C", said, re.MULTILINE)
        if found:
            return found[1]
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"eventpub dev did not start:\n{said}")
        time.sleep(0.02)


def _describe_log(process: subprocess.Popen[bytes], output: Any) -> str:
    code = process.poll()
    end = "" if code is None else f", which ended with exit code {code}"
    lines = deque(_read(output).splitlines(), maxlen=_SHOWN_LINES)
    return "\n".join([f"\n\nthe log of eventpub dev{end}:", *lines])


def _read(output: Any) -> str:
    path = Path(f"/proc/self/fd/{output.fileno()}")  # opened anew, since both ends share one position else
    return path.read_text(encoding="utf-8", errors="replace")


def _write(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
