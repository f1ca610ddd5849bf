"""The page docs/laptop.md: its code runs, and its table has what there is."""

from __future__ import annotations

import re

from support.paths import ROOT

from eventpub.queue.stand_in import VARIABLE, find_stand_in

PAGE = (ROOT / "docs/laptop.md").read_text(encoding="utf-8")


def test_the_example_of_the_page_runs():
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(block, "docs/laptop.md", "exec", dont_inherit=True), {})


def test_each_value_of_the_page_is_one_that_is_taken():
    values = re.findall(r"^\| `(\w+)` +\| [^|]+\|$", PAGE, re.MULTILINE)
    assert values[0] == VARIABLE
    assert all(find_stand_in("laptop", value) for value in values[1:])
    assert len(values) == 4
