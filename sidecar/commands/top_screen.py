"""The screen of `eventpub top`, by textual: a table of sidecars, one opened, in the terminal's own colours."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import App
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Input, Static

from eventpub.cli.findings import Level

from .sampling import summarize_rows
from .top_columns import COLUMNS, NUMBERS, choose_rows
from .top_details import describe_row, describe_shortly

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from .sampling import Sampler, SidecarRow
    from .top_columns import Column

_STYLES = {"OK": "bold green", "DEGRADED": "bold yellow", "FAILING": "bold red", "NONE": "bold"}
_LEVEL_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.FAILING: "red"}
_THEME = "ansi-dark"  # only the sixteen colours and the background of the terminal, be that dark or light


class TopApp(App[None]):
    """The whole of it.

    Args:
        sampler: asks the sidecars.
        interval_seconds: how often.
    """

    TITLE = "eventpub top"
    CSS = """
    #verdict { height: 1; }
    #filter { display: none; border: none; height: 1; padding: 0; }
    DataTable { height: 1fr; overflow-x: hidden; }
    DataTable > .datatable--header, DataTable > .datatable--cursor {
        background: ansi_default; color: ansi_default; text-style: bold underline;
    }
    DataTable > .datatable--cursor { text-style: reverse; }
    #selected { height: 4; border-top: solid ansi_bright_black; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        ("o", "open", "Open"),
        ("s", "sort", "Sort"),
        ("r", "reverse", "Reverse"),
        ("slash", "filter", "Filter"),
        ("p", "pause", "Pause"),
        ("q", "quit", "Quit"),
        ("escape", "unfilter", ""),
    ]

    def __init__(self, sampler: Sampler, interval_seconds: float) -> None:
        super().__init__()
        self.theme = _THEME
        self.rows: Sequence[SidecarRow] = ()
        self._sampler = sampler
        self._interval_seconds = interval_seconds
        self._column = 0
        self._is_reversed = False
        self._is_paused = False
        self._trouble = ""
        self._words = ""

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield Static(id="verdict", markup=False)
        yield Input(id="filter", placeholder="words that sidecar, state or trouble contain", compact=True)
        yield DataTable(cursor_type="row", cell_padding=0)
        yield Static(id="selected", markup=False)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to ask."""
        self._table.focus()
        self.run_worker(self._watch())

    @property
    def _table(self) -> DataTable[Text]:
        return self.screen_stack[0].query_one(DataTable)

    async def _watch(self) -> None:
        while True:
            if not self._is_paused:
                try:
                    rows = await asyncio.to_thread(self._sampler.sample)
                except OSError as error:
                    self._trouble = f"{error.filename}: {error.strerror}"
                else:
                    self._trouble, self.rows = "", rows
                self.draw()
            await asyncio.sleep(self._interval_seconds)

    def draw(self) -> None:
        """Show the rows as they are, sorted and filtered."""
        chosen = choose_rows(self.rows, self._words, COLUMNS[self._column], is_reversed=self._is_reversed)
        table, selected = self._table, self.selected
        with self.batch_update():
            table.clear(columns=True)
            for index, column in enumerate(COLUMNS):
                arrow = "" if index != self._column else "▲" if self._is_reversed else "▼"
                head = _fit_cell(f"{column.title}{arrow}", column)
                table.add_column(Text(head), width=column.width + 1, key=column.title)
            for row in chosen:
                cells = [Text(_fit_cell(column.write(row), column)) for column in COLUMNS]
                table.add_row(*cells, key=str(row.slot))
            slots = [row.slot for row in chosen]
            if selected is not None and selected.slot in slots:
                table.move_cursor(row=slots.index(selected.slot))
            self._style_cells(chosen)
            self.screen_stack[0].query_one("#verdict", Static).update(self._write_verdict(len(chosen)))
            self._draw_selected()
        if isinstance(self.screen, SidecarScreen):
            self.screen.draw(self.rows)

    def _style_cells(self, rows: Sequence[SidecarRow]) -> None:
        for row in rows:
            cell = Text(_fit_cell(row.state, COLUMNS[1]), _LEVEL_STYLES[row.level])
            self._table.update_cell(str(row.slot), COLUMNS[1].title, cell)

    def _draw_selected(self) -> None:
        row = self.selected
        words = describe_shortly(row, self.size.width) if row else ""
        self.screen_stack[0].query_one("#selected", Static).update(Text(words))

    def _write_verdict(self, shown: int) -> Text:
        word, why = ("FAILING", self._trouble) if self._trouble else summarize_rows(self.rows)
        clock = "PAUSED" if self._is_paused else time.strftime("%H:%M:%S")
        filtered = f"  [{shown} of {len(self.rows)}: {self._words}]" if self._words else ""
        left = Text.assemble((word, _STYLES[word]), f"{filtered}  {why}")
        left.truncate(max(0, self.size.width - len(clock) - 1), overflow="ellipsis", pad=True)
        return Text.assemble(left, " ", (clock, "bold"))

    @property
    def selected(self) -> SidecarRow | None:
        """The row that the cursor is on."""
        table = self._table
        if not table.row_count:
            return None
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value
        return next((row for row in self.rows if str(row.slot) == key), None)

    def on_data_table_row_highlighted(self) -> None:
        """Show the beginning of what there is to say of it."""
        self._draw_selected()

    def on_data_table_row_selected(self) -> None:
        """Open a sidecar."""
        self.action_open()

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """Sort by a column, or the other way round if that is done already."""
        self._is_reversed = event.column_index == self._column and not self._is_reversed
        self._column = event.column_index
        self.draw()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while the words are typed."""
        self._words = event.value
        self.draw()

    def on_input_submitted(self) -> None:
        """Go back to the table and keep the filter."""
        self._leave_filter()

    def action_open(self) -> None:
        """Open the sidecar that the cursor is on."""
        if (row := self.selected) is not None:
            self.push_screen(SidecarScreen(row.slot))

    def action_sort(self) -> None:
        """Sort by the next column."""
        self._column, self._is_reversed = (self._column + 1) % len(COLUMNS), False
        self.draw()

    def action_reverse(self) -> None:
        """Sort the other way round."""
        self._is_reversed = not self._is_reversed
        self.draw()

    def action_pause(self) -> None:
        """Ask no more, or again."""
        self._is_paused = not self._is_paused
        self.draw()

    def action_filter(self) -> None:
        """Take the words to filter by."""
        box = self.query_one("#filter", Input)
        box.display = True
        box.focus()

    def action_unfilter(self) -> None:
        """Show all rows again."""
        self.query_one("#filter", Input).value = ""
        self._leave_filter()

    def _leave_filter(self) -> None:
        self.query_one("#filter", Input).display = False
        self._table.focus()


class SidecarScreen(Screen[None]):
    """All that one sidecar tells of itself."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,backspace", "app.pop_screen", "Back")]

    def __init__(self, slot: Path) -> None:
        super().__init__()
        self._slot = slot

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        with VerticalScroll():
            yield Static(id="details", markup=False)
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Show what is known."""
        app = self.app
        assert isinstance(app, TopApp)  # noqa: S101, it alone pushes this
        self.draw(app.rows)

    def draw(self, rows: Sequence[SidecarRow]) -> None:
        """Show the newest."""
        row = next((row for row in rows if row.slot == self._slot), None)
        words = describe_row(row, self.app.size.width) if row else f"{self._slot}: this sidecar has ended"
        self.query_one("#details", Static).update(Text(words))


def _fit_cell(text: str, column: Column) -> str:
    """Return a text as wide as its column and the blank after it."""
    if len(text) > column.width + 1:
        text = text[: column.width - 1] + "…"
    fitted = f"{text:>{column.width}}" if column.title in NUMBERS else f"{text:<{column.width}}"
    return f"{fitted} "[: column.width + 1]
