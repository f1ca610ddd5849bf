"""`eventpub store export`: write stored events to a file that other tools read."""

from __future__ import annotations

import contextlib
import csv
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from eventpub.cli.arguments import add_command
from eventpub.cli.exit_codes import EXIT_IO, EXIT_OK
from eventpub.cli.terminal import complain, flush_output, say, show_progress, writing_output
from eventpub.collector.reading.reader import COLUMNS
from eventpub.errors import suggest_install
from eventpub.printable import escape_controls

from .find import add_schema, add_since, begin_of, format_row, name_text, parse_condition

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from eventpub.cli.arguments import Commands
    from eventpub.collector.reading.reader import Reader

    Write = Callable[[tuple[Any, ...]], None]

_PARQUET_ROWS = 50_000  # in one group
_PROGRESS_SECONDS = 0.5
_EPILOG = """\
examples:
  eventpub store export --since 1d --out today.jsonl collector.ini
  eventpub store export --format csv events.sqlite | head
  eventpub store export --format parquet --out events.parquet collector.ini
  duckdb -c "SELECT noun, count(*) FROM 'events.parquet' GROUP BY noun"

The oldest event comes first. A file is complete once it has its name: until then it ends with .part.

exit codes: 0 written   2 the store cannot be read   64 wrong arguments
            74 the file cannot be written   78 wrong configuration
"""


def add_action(actions: Commands) -> argparse.ArgumentParser:
    """Declare the action."""
    action = add_command(actions, "export", help="write stored events to a file", epilog=_EPILOG)
    action.add_argument("--format", choices=("jsonl", "csv", "parquet"), default="jsonl", help="default: jsonl")
    action.add_argument(
        "--where", action="append", default=[], type=parse_condition, metavar="FIELD=VALUE", help="as for find"
    )
    add_since(action)
    add_schema(action)
    action.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    return action


def run_action(options: argparse.Namespace, reader: Reader) -> int:
    """Write what is asked for, and return the exit code."""
    since = begin_of(options)
    total = reader.count(since=since) if sys.stderr.isatty() and options.out else 0
    written, shown_at = 0, 0.0
    try:
        with _open_target(options.out, options.format) as write:
            for row in reader.find(options.where, since=since):
                write((*row[:-1], name_text(row[-1], options.schema)))
                written += 1
                if options.out and time.monotonic() - shown_at > _PROGRESS_SECONDS:
                    show_progress(f"{written:,} of {total:,} events" if total else f"{written:,} events")
                    shown_at = time.monotonic()
    except BrokenPipeError:  # the reader of our output has enough
        raise
    except OSError as error:
        complain(f"cannot be written: {error}")
        return EXIT_IO
    except ModuleNotFoundError:
        complain(f"parquet needs pyarrow: {suggest_install('parquet')}")
        return EXIT_IO
    show_progress("")
    if options.out:
        complain(f"wrote {written:,} events to {options.out}")
    return EXIT_OK


@contextlib.contextmanager
def _open_target(path: Path | None, form: str) -> Iterator[Write]:
    """Yield what writes a row; the file gets its name once all are written."""
    if path is None:
        if form == "jsonl":
            yield lambda row: say(format_row(row))
        else:
            with writing_output(), _WRITERS[form](sys.stdout.buffer) as write:
                yield (lambda row: write(_escape_row(row))) if sys.stdout.isatty() else write
        flush_output()
        return
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file, _WRITERS[form](file) as write:
        yield write
    part.replace(path)


@contextlib.contextmanager
def _write_jsonl(file: IO[bytes]) -> Iterator[Write]:
    def write(row: tuple[Any, ...]) -> None:
        file.write(format_row(row).encode() + b"\n")

    yield write


@contextlib.contextmanager
def _write_csv(file: IO[bytes]) -> Iterator[Write]:
    writer = csv.writer(_Encoder(file))
    writer.writerow(COLUMNS)
    yield writer.writerow


class _Encoder:
    """Takes the text of csv; a TextIOWrapper would close the file below it when that is full."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, text: str) -> None:
        """Write a row."""
        self._file.write(text.encode())


@contextlib.contextmanager
def _write_parquet(file: IO[bytes]) -> Iterator[Write]:
    import pyarrow as pa  # noqa: PLC0415, an extra
    from pyarrow import parquet  # noqa: PLC0415

    numbers = ("received_at", "client_timestamp")
    schema = pa.schema([(name, pa.float64() if name in numbers else pa.string()) for name in COLUMNS])
    rows: list[tuple[Any, ...]] = []
    with parquet.ParquetWriter(file, schema) as writer:

        def flush() -> None:
            columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in COLUMNS]
            writer.write_table(pa.table(columns, schema=schema))
            rows.clear()

        def write(row: tuple[Any, ...]) -> None:
            rows.append(row)
            if len(rows) == _PARQUET_ROWS:
                flush()

        yield write
        flush()


def _escape_row(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(escape_controls(value) if isinstance(value, str) else value for value in row)


_WRITERS = {"jsonl": _write_jsonl, "csv": _write_csv, "parquet": _write_parquet}
