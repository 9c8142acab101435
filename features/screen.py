"""What a person sees of a job: headings, tables and progress bars; or, for a program, one JSON object at the end."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

WIDTH_WITHOUT_TERMINAL = 118
Advance = Callable[..., None]


class Screen:
    """Standard output for people. With `as_json`, that goes to standard error and only the object to standard output."""

    def __init__(self, *, as_json: bool) -> None:
        stream = sys.stderr if as_json else sys.stdout
        width = None if stream.isatty() else WIDTH_WITHOUT_TERMINAL
        self._as_json = as_json
        self._console = Console(file=stream, highlight=False, width=width)

    def say(self, text: str) -> None:
        """A line of text, never broken, so that it can be copied."""
        self._console.print(text, soft_wrap=True)

    def step(self, text: str) -> None:
        """The heading of a step."""
        self._console.print(f"\n[bold]{text}[/bold]")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """A table: text to the left, numbers to the right."""
        self._console.print(f"[italic]{title}[/italic]")
        table = Table()
        for position, column in enumerate(columns):
            numbers = any(isinstance(row[position], int | float) for row in rows)
            table.add_column(column, justify="right" if numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(_shown(cell) for cell in row))
        self._console.print(table)

    def result(self, content: dict[str, Any]) -> None:
        """The final object, if a program asked for it."""
        if self._as_json:
            sys.stdout.write(json.dumps(content) + "\n")

    @contextmanager
    def progress(self, text: str, total: int) -> Iterator[Advance]:
        """A progress bar; yields a function to call with the number of units done since the last call."""
        columns = (TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console) as bar:
            task = bar.add_task(text, total=total)
            yield lambda done=1: bar.update(task, advance=done)


def _shown(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.3f}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
