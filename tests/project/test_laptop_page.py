"""The page docs/laptop.md: its code runs, and its table has what there is."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

from support.pages import read_blocks
from support.paths import ROOT

from eventpub.queue.stand_in import VARIABLE, find_stand_in

PAGE = (ROOT / "docs/laptop.md").read_text(encoding="utf-8")


def test_the_example_of_the_page_runs():
    (block,) = read_blocks(PAGE, "python")
    exec(compile(block, "docs/laptop.md", "exec", dont_inherit=True), {})


def test_the_variable_of_the_page_shows_events():
    (block,) = read_blocks(PAGE, "sh")
    program = 'from eventpub import EventQueue; EventQueue("laptop").put({"noun": "tea"})'
    script = f"{block}\n{shlex.join([sys.executable, '-c', program])}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert '{"noun":"tea"}' in done.stderr


def test_each_value_of_the_page_is_one_that_is_taken():
    values = re.findall(r"^\| `(\w+)` +\| [^|]+\|$", PAGE, re.MULTILINE)
    assert values[0] == VARIABLE
    assert all(find_stand_in("laptop", value) for value in values[1:])
    assert len(values) == 4
