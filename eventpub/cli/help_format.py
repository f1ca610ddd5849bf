"""How help is laid out: paragraphs as wide as the terminal, examples as they are written."""

from __future__ import annotations

import argparse
import itertools
import re
import textwrap

_EXPLAINED = re.compile(r"(?P<example> +\S.*?) {2,}(?P<explanation>\S.*)")
_LABEL = re.compile(r"exit codes: ")


class FoldedHelp(argparse.RawDescriptionHelpFormatter):
    """Folds the paragraphs of a description or an epilog.

    Lines that begin with a blank stay as they are; only the explanation behind an example moves below it where
    the terminal is too narrow.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        groups = itertools.groupby(text.splitlines(), key=lambda line: line[:1].isspace() or not line)
        lines: list[str] = []
        for is_kept, group in groups:
            if is_kept:
                for line in group:
                    lines += _fold_example(line, width)
            else:
                paragraph = " ".join(group)
                label = _LABEL.match(paragraph)
                hanging = " " * len(label[0]) if label else ""
                lines += textwrap.wrap(paragraph, width, subsequent_indent=hanging, break_long_words=False)
        return "\n".join(indent + line for line in lines)


def _fold_example(line: str, width: int) -> list[str]:
    parts = _EXPLAINED.fullmatch(line)
    if len(line) <= width or parts is None:
        return [line]
    return [parts["example"], *textwrap.wrap(parts["explanation"], width, initial_indent=" " * 6)]
