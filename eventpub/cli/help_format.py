"""How help is laid out: paragraphs as wide as the terminal, examples as they are written."""

from __future__ import annotations

import argparse
import itertools
import re
import textwrap

_EXPLAINED = re.compile(r"(?P<example> +\S.*?) {2,}(?P<explanation>\S.*)")
_LABEL = "exit codes: "
_CODES = re.compile(rf"^({_LABEL}.*(?:\n *\S.*)*)\n?", re.MULTILINE)
_BEFORE_A_CODE = re.compile(r"(?: {3}|\n +)(?=\d)")


class FoldedHelp(argparse.RawDescriptionHelpFormatter):
    """Folds the paragraphs of a description or an epilog.

    Lines that begin with a blank stay as they are; only the explanation behind an example moves below it where
    the terminal is too narrow. An exit code is not parted from its meaning.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for part in _CODES.split(text):
            lines += _fold_codes(part, width) if part.startswith(_LABEL) else _fold_paragraphs(part, width)
        return "\n".join(indent + line for line in lines)


def _fold_paragraphs(text: str, width: int) -> list[str]:
    lines: list[str] = []
    for is_kept, group in itertools.groupby(text.splitlines(), key=lambda line: line[:1].isspace() or not line):
        if is_kept:
            for line in group:
                lines += _fold_example(line, width)
        else:
            lines += textwrap.wrap(" ".join(group), width, break_long_words=False)
    return lines


def _fold_codes(text: str, width: int) -> list[str]:
    lines, line = [], _LABEL
    for item in _BEFORE_A_CODE.split(text[len(_LABEL) :]):
        code = " ".join(item.split())
        if line != _LABEL and len(line) + 3 + len(code) > width:
            lines.append(line)
            line = " " * len(_LABEL)
        line += code if line.endswith(" ") else f"   {code}"
        hanging = " " * (len(_LABEL) + 2)
        *full, line = textwrap.wrap(line, width, subsequent_indent=hanging, break_long_words=False)
        lines += full
    return [*lines, line]


def _fold_example(line: str, width: int) -> list[str]:
    parts = _EXPLAINED.fullmatch(line)
    if len(line) <= width or parts is None:
        return [line]
    indent = " " * 6
    wrapped = textwrap.wrap(parts["explanation"], width, initial_indent=indent, subsequent_indent=indent)
    return [parts["example"], *wrapped]
