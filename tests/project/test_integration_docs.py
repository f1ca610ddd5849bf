"""docs/integrations.md shows what runs: the examples, which the tests of each framework run, word for word."""

from __future__ import annotations

import ast
import re
from importlib import import_module

import pytest
from support.paths import ROOT
from support.web import EXAMPLES, start_example

PAGE = (ROOT / "docs/integrations.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_example_is_on_the_page_and_short():
    examples = [path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.py"))]
    assert len(examples) == 5
    assert [example for example in examples if example not in BLOCKS or len(example.splitlines()) > 30] == []


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_what_the_page_imports_from_eventpub_is_there(block: str):
    for node in ast.walk(ast.parse(block)):
        module = (isinstance(node, ast.ImportFrom) and node.module) or ""
        if module.startswith("eventpub") and not module.endswith("baseplate"):  # its example is run elsewhere
            assert [alias for alias in node.names if not hasattr(import_module(module), alias.name)] == []


@pytest.mark.parametrize("name", ["flask", "pyramid", "django", "starlette"])
def test_a_setting_that_cannot_be_used_stops_the_start_of_each_example(name: str):
    code, said = start_example(f"{name}_shop.py", "a/b")
    assert code != 0
    assert "queue_name = a/b: expected letters, digits" in said
