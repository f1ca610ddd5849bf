"""What `make docs` adds to the pages in this folder, as a hook of mkdocs: nothing generated is checked in.

- Pages about settings come from their declarations, with the words of example.ini and collector.ini; about
  commands from their parsers; about metrics from the modules that send them.
- README.md is the first page; CHANGELOG.md, SECURITY.md and CONTRIBUTING.md are pages too.
- A link to another file of the checkout leads to a page that shows the file.

The build fails where a setting has no words, and where a page would fetch anything from elsewhere.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import posixpath
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from eventpub.cli.command import build_parser
from eventpub.cli.extensions import GROUP
from eventpub.collector.config import Settings
from eventpub.collector.telemetry import exported as collector_metrics
from eventpub.queue import metrics as put_metrics
from eventpub.sidecar.config import SidecarConfig
from eventpub.sidecar.status import exported as sidecar_metrics
from eventpub.sidecar.telemetry import reasons
from eventpub.sidecar.telemetry.statsd_names import STATSD_METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

    from eventpub.process.metric import Metric

ROOT = Path(__file__).resolve().parent.parent
ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
_FETCHED = re.compile(
    r"""<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)="(?:https?:)?//[^>]*|url\(["']?https?:.*"""
)
_WHOLE_LINK = re.compile(r"\[([^\]]+)\]\((?![a-z]+:|#)[^)]+\)")
_KEY = re.compile(r"^#?([a-z][a-z0-9_.]+) =(?: (.*))?$")
_TERMINAL = {"COLUMNS": "100", "NO_COLOR": "1"}  # that the help of commands is written for
_LANGUAGES = {".py": "python", ".ini": "ini", ".conf": "ini", ".service": "ini", ".sh": "sh"}


# --- the hook --------------------------------------------------------------------------------------------


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    pages = {uri: (ROOT / name).read_text(encoding="utf-8") for name, uri in ROOT_PAGES.items()}
    sources = [*pages, *(file.src_uri for file in files.documentation_pages())]
    for source in sources:
        text = pages.get(source) or (ROOT / "docs" / source).read_text(encoding="utf-8")
        for path in find_shown_files(text, source):
            pages[f"files/{path}.md"] = show_file(path)
    pages["reference/sidecar-settings.md"] = describe_settings("sidecar", SidecarConfig, "example.ini")
    pages["reference/collector-settings.md"] = describe_settings("collector", Settings, "deploy/collector.ini")
    os.environ.update(_TERMINAL)
    pages["reference/commands.md"] = describe_commands()
    pages["reference/metrics.md"] = describe_metrics()
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to the pages of this site."""
    del config, files
    return relink(markdown, page.file.src_uri)


def on_post_build(config: MkDocsConfig) -> None:
    """Fail if a page fetches anything from elsewhere.

    Raises:
        PluginError: one does.
    """
    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in {".html", ".css"} and (found := _FETCHED.search(path.read_text(encoding="utf-8"))):
            raise PluginError(f"{path} fetches from elsewhere: {found[0]}")


# --- links -----------------------------------------------------------------------------------------------


def relink(text: str, uri: str) -> str:
    """Return a page with its links to files of the checkout turned into links to pages."""

    def point(found: re.Match[str]) -> str:
        target = find_page(find_in_checkout(found[1], uri))
        return found[1] if target is None else posixpath.relpath(target, posixpath.dirname(uri) or ".")

    return _LINK.sub(point, text)


def find_in_checkout(link: str, uri: str) -> str:
    """Return what a page's link names, from the root of the checkout."""
    at_root = uri in ROOT_PAGES.values()
    return posixpath.normpath(link if at_root else posixpath.join("docs", posixpath.dirname(uri), link))


def find_page(path: str) -> str | None:
    """Return the page of a file of the checkout; None if it has none, so that a strict build complains."""
    if path in ROOT_PAGES:
        return ROOT_PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"files/{path}.md" if (ROOT / path).is_file() else None


def find_shown_files(text: str, uri: str) -> Iterator[str]:
    """Yield the files of the checkout that a page leads to and that are no pages themselves."""
    for link in _LINK.findall(text):
        path = find_in_checkout(link, uri)
        if (find_page(path) or "").startswith("files/"):
            yield path


def show_file(path: str) -> str:
    """Return a page that shows a file."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        return _WHOLE_LINK.sub(r"\1", text)  # what it leads to may be no page
    fence = "`" * 4
    return f"# {path}\n\n{fence}{_LANGUAGES.get(Path(path).suffix, 'text')}\n{text}{fence}\n"


# --- settings --------------------------------------------------------------------------------------------


class Described(NamedTuple):
    """A setting as an example file has it."""

    group: str  # the heading above
    key: str
    value: str
    words: str


def read_example(path: str, section: str) -> Iterator[Described]:
    """Yield the settings of one section of an example file, each with the comment above it."""
    group, inside = "", False
    words: list[str] = []
    for line in (ROOT / path).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            inside, words = line.startswith(f"[{section}"), []
        elif not inside or not line:
            words = []
        elif line.startswith("# --- "):
            group, words = line.removeprefix("# --- "), []
        elif found := _KEY.match(line):
            yield Described(group, found[1], found[2] or "", " ".join(words))
            words = []
        else:
            words.append(line.removeprefix("#").strip())


def describe_settings(program: str, declared: type, path: str) -> str:
    """Return the page of a program's settings.

    Raises:
        ValueError: file and declarations differ, or a comment is missing.
    """
    fields = {field.metadata["key"]: field for field in dataclasses.fields(declared)}
    section = "event-publisher" if program == "sidecar" else "collector"
    described = list(read_example(path, section))
    if differing := fields.keys() ^ {one.key for one in described}:
        raise ValueError(f"{path} and the declarations differ: {', '.join(sorted(differing))}")
    lines = [
        f"# Settings of the {program}\n",
        f"All of them, as [{path}](../../{path}) has them; [how to check a file](../configuration.md).\n",
    ]
    group, words = "", ""
    for one in described:
        if one.group != group:
            group = one.group
            lines.append(f"## {group[0].upper()}{group[1:]}\n")
        words = one.words or words  # of several keys below one comment
        lines += [f"### `{one.key}`\n", f"{words}\n", *_list_facts(fields[one.key], one.value), ""]
    return "\n".join(lines)


def _list_facts(field: dataclasses.Field[Any], written: str) -> Iterator[str]:
    if field.default is dataclasses.MISSING:
        yield "- Required."
    else:
        yield f"- Default: `{written}`" if written else "- Default: unset"
    yield f"- Allowed: {field.metadata['kind'].allowed}"
    if not field.metadata["live"]:
        yield "- A change takes a restart."


# --- commands --------------------------------------------------------------------------------------------


def describe_commands() -> str:
    """Return the page of all commands: their help."""
    names = _subcommands(build_parser())  # of extensions too, since no command is asked for
    lines = ["# Commands\n", *_show_help(build_parser(), "eventpub")]
    for name in names:
        extension = next((point.load() for point in entry_points(group=GROUP, name=name)), None)
        if extension and extension.is_program:
            done = subprocess.run(
                [sys.executable, "-m", "eventpub", name, "--help"],
                cwd=ROOT,
                env={**os.environ, **_TERMINAL},
                capture_output=True,
                text=True,
                check=True,
            )
            lines += [f"## eventpub {name}\n", f"```text\n{done.stdout.rstrip()}\n```\n"]
        else:
            lines += _walk(_subcommands(build_parser([name]))[name], f"eventpub {name}")
    return "\n".join(lines)


def _subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:  # noqa: SLF001, there is no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001, likewise
            return dict(action.choices)
    return {}


def _walk(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    yield from _show_help(parser, name)
    for word, inner in _subcommands(parser).items():
        yield from _walk(inner, f"{name} {word}")


def _show_help(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    yield f"{'#' * min(3, name.count(' ') + 1 + (name == 'eventpub'))} {name}\n"
    yield f"```text\n{parser.format_help().rstrip()}\n```\n"


# --- metrics ---------------------------------------------------------------------------------------------


def describe_metrics() -> str:
    """Return the page of all metrics, from their declarations."""
    lines = [
        "# Metrics\n",
        "[Operating](../operating.md#what-to-monitor) says which of them to watch, and when to be called.\n",
        "## Of the sidecar, for Prometheus\n",
        "At `/metrics` of `status.listen`. All of them carry `queue` and `slot`.\n",
        *_tabulate(sidecar_metrics.METRICS),
        "\nReasons of events that were lost (`dropped`), and of those that became dead letters (`dead`):\n",
        "| reason | of | meaning |",
        "|--------|----|---------|",
        *_list_reasons(),
        "\n## Of the sidecar, for statsd\n",
        "Sent to `metrics.endpoint`, each below `metrics.namespace`.\n",
        *_tabulate(STATSD_METRICS, dotted=True),
        "\n## Of the collector, for Prometheus\n",
        "At `/metrics` of `status.listen` in `[collector]`; with `--workers N`, the sums of all.\n",
        "Only keys that have signed are labels.\n",
        *_tabulate(collector_metrics.METRICS),
        f"\nReasons of refusals: {', '.join(f'`{reason}`' for reason in collector_metrics.REFUSALS)}.\n",
        "\n## Of `put`\n",
        "Sent by the `metrics` argument of `EventQueue`.\n",
        _find_table(put_metrics),
    ]
    return "\n".join(lines)


def _tabulate(metrics: Sequence[Metric], *, dotted: bool = False) -> Iterator[str]:
    """Yield a table; the labels of a metric stand in braces, or, `dotted`, behind its name."""
    yield "| metric | type | what |"
    yield "|--------|------|------|"
    for metric in metrics:
        names = f"`{metric.name}`"
        if metric.labels:
            labels = ",".join(metric.labels)
            names = f"{names}, `{metric.name}.{labels.upper()}`" if dotted else f"`{metric.name}{{{labels}}}`"
        yield f"| {names} | {metric.kind} | {metric.words} |"


def _find_table(module: Any) -> str:
    lines = (importlib.import_module(module.__name__).__doc__ or "").splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def _list_reasons() -> Iterator[str]:
    """Yield the members of the closed sets, with the comments beside them."""
    source = Path(reasons.__file__).read_text(encoding="utf-8")
    of = ""
    for line in source.splitlines():
        if line.startswith("class "):
            of = "dropped" if "Drop" in line else "dead"
        elif found := re.match(r'    \w+ = "(\w+)"  # (.+)', line):
            yield f"| `{found[1]}` | `{of}` | {found[2]} |"
