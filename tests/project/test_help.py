"""`--help` of every command and program: examples that work, exit codes of the one table, 80 columns."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import ROOT

from eventpub.cli import exit_codes
from eventpub.cli.command import build_whole_parser

PARSER = build_whole_parser()
CODES = {code for name, code in vars(exit_codes).items() if name.startswith("EXIT_")} | {128}
LINE_OF_AN_EXAMPLE = re.compile(r"^  (?:.* \| )?(eventpub .+?)(?:  |<|>|\||$)", re.MULTILINE)


def list_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from list_parsers(child)


def is_leaf(parser: argparse.ArgumentParser) -> bool:
    return parser._subparsers is None


PARSERS = {parser.prog: parser for parser in list_parsers(PARSER)}
ACTIONS = [name for name, parser in PARSERS.items() if is_leaf(parser)]

WRITES_NO_FACTS = {  # a script, lines of JSON, or nothing at all
    *("eventpub completion", "eventpub spool export", "eventpub store find", "eventpub store export"),
    *("eventpub sidecar", "eventpub collector", "eventpub dev"),
}


def test_every_command_that_prints_facts_prints_them_as_json() -> None:
    lacking = {name for name in ACTIONS if "--json" not in PARSERS[name]._option_string_actions}
    assert lacking == WRITES_NO_FACTS


def read_epilog(name: str) -> str:
    formatter = PARSERS[name]._get_formatter()
    formatter.add_text(PARSERS[name].epilog)
    return formatter.format_help()


@pytest.fixture(autouse=True)
def _columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_there_is_a_parser_for_every_command_and_program() -> None:
    assert {"eventpub sidecar", "eventpub collector", "eventpub spool repair", "eventpub doctor"} <= {*PARSERS}


@pytest.mark.parametrize("name", PARSERS)
def test_every_help_has_examples_that_the_command_takes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "deploy/collector.ini", tmp_path / "collector.ini")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENTPUB_COLLECTOR_SECRET", "aHVudGVyMg==")
    examples = LINE_OF_AN_EXAMPLE.findall(read_epilog(name))
    assert examples, f"{name} has no example"
    for example in examples:
        options = PARSER.parse_args(shlex.split(example)[1:])
        assert options is not None, example


@pytest.mark.parametrize("name", ACTIONS)
def test_every_action_lists_its_exit_codes(name: str) -> None:
    listed = re.search(r"^exit codes:(.*?)(?:\n\n|\Z)", read_epilog(name), re.MULTILINE | re.DOTALL)
    assert listed, f"{name} does not list its exit codes"
    codes = {int(code) for code in re.findall(r"(?:^|\s)(\d+)(?= [a-z+])", listed[1], re.MULTILINE)}
    assert codes <= CODES
    assert len(codes) > 1


@pytest.mark.parametrize("name", PARSERS)
def test_every_help_fits_into_80_columns_but_for_what_is_copied(name: str) -> None:
    for line in PARSERS[name].format_help().splitlines():
        assert len(line) <= 80 or line.startswith(("  eventpub ", "  echo ", "    ")), line


def test_programs_and_commands_that_are_about_a_sidecar_name_it_alike() -> None:
    leaves = {name: parser._actions for name, parser in PARSERS.items() if is_leaf(parser)}
    spellings = {name: {word for action in leaves[name] for word in action.option_strings} for name in leaves}
    with_file = {name for name in leaves if any(action.dest == "config_file" for action in leaves[name])}
    with_queue = {name for name in leaves if any(action.dest == "queue_name" for action in leaves[name])}
    assert with_file <= with_queue  # `tap` is about a queue, which it has as its argument
    assert {"eventpub sidecar", "eventpub status", "eventpub doctor", "eventpub spool check"} <= with_file
    for found in spellings.values():
        assert not found & {"--queue", "--config", "--name", "--config-file"}
