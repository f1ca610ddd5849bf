"""docs/schemas.md leads from a .thrift file to a stored row, as it is written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.pages import read_blocks
from support.paths import ROOT
from support.ports import free_port

from eventpub.collector.events.form import Limits
from eventpub.collector.events.structs import StructForm
from eventpub.collector.store import EventRow

PAGE = (ROOT / "docs/schemas.md").read_text(encoding="utf-8")


def test_the_page_leads_from_a_thrift_file_to_a_stored_row(tmp_path: Path, queue_name: str) -> None:
    if shutil.which("thrift") is None:
        assert "CI" not in os.environ, "there is no thrift compiler"
        pytest.skip("there is no thrift compiler here (apt-get install thrift-compiler)")
    (tmp_path / "tea.thrift").write_text(*read_blocks(PAGE, "thrift"))
    port = str(free_port())
    script = "\n".join(read_blocks(PAGE, "sh"))
    count = "sqlite3 events.sqlite 'SELECT count(*) FROM events'"
    for written, here in {
        "8080": port,
        "--queue-name orders": f"--queue-name {queue_name}",
        '"orders"': f'"{queue_name}"',
        "publisher:orders]": f"publisher:{queue_name}]",
        "collector.ini &\n": "collector.ini & until [ -e events.sqlite ]; do sleep 0.05; done\n",
        "sleep 2\n": f"for _ in {{1..200}}; do {count} | grep -q 1 && break; sleep 0.1; done\n",
        "collector.scheme": f"spool.dir = {tmp_path}/spool\ncollector.scheme",
    }.items():
        assert written in script
        script = script.replace(written, here)
    script = script.replace("orders.ini &\n", "orders.ini & sidecar=$!\n").replace(
        "python - <<", f"until [ -e {tmp_path}/spool/{queue_name} ]; do sleep 0.05; done; python - <<"
    )
    done = subprocess.run(
        ["bash", "-c", f"set -em\n{script}\nkill %2; kill %1; wait"],
        cwd=tmp_path,
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    found, *_, row = [line for line in done.stdout.splitlines() if "teahouse" in line and "INFO" not in line]
    assert json.loads(found)["event"] == {
        "source": "teahouse",
        "action": "order",
        "noun": "tea",
        "uuid": "o-1",
        "size": 2,
        "prices": {"cup": 4.5},
    }, done.stdout + done.stderr
    assert row == "teahouse|order|tea|4.5"


def test_an_unknown_field_is_stored_as_the_page_shows() -> None:
    from eventpub.schemas.event.ttypes import Event  # noqa: PLC0415

    (shown,) = read_blocks(PAGE, "json")
    text = b'[{"1":{"str":"teahouse"},"2":{"str":"order"},"3":{"str":"tea"},"13":{"str":"oat milk"}}]'
    (row,) = StructForm(Event).read(text, Limits(1000), Counter()).events
    assert isinstance(row, EventRow)
    assert json.loads(row.event) == json.loads(shown)
