"""The one place that writes on the user's screen: a console and progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from operator import length_hint
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

from vab.training.replicas import RANK

if TYPE_CHECKING:
    from vab.pipeline import Pipeline

Item = TypeVar("Item")

console = Console(highlight=False, quiet=RANK != 0)
errors = Console(stderr=True, highlight=False)


SECONDS_BETWEEN_LINES = 30.0
"""How often progress is told where there is no terminal to draw a bar on."""


def say(text: str) -> None:
    """A line of results, as long as it is."""
    console.print(text, markup=False, soft_wrap=True)


def warn(text: str) -> None:
    """A line on the error stream, as long as it is."""
    errors.print(text, markup=False, soft_wrap=True)


def numbers_table(title: str, *head: str, show_edge: bool = True) -> Table:
    """A table without rows yet: words in its first column, numbers in the others."""
    columns = (Column(each, justify="right") for each in head[1:])
    return Table(head[0], *columns, title=title, title_justify="left", show_edge=show_edge)


def progress_bar(unit: str) -> Progress:
    """A bar with counts, time taken and time left; without a terminal, a line now and then."""
    if not errors.is_terminal:
        return ProgressLines(unit)
    return Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=errors,
    )


def track(
    items: Iterable[Item],
    description: str,
    *,
    total: int | None = None,
    unit: str = "clips",
    size: Callable[[Item], int] = lambda item: 1,
) -> Iterator[Item]:
    """The items, under a bar: each counts as done, as ``size`` many, once the next is asked for.

    By default ``total`` is the number of the items, where they have one.
    """
    with progress_bar(unit) as progress:
        task = progress.add_task(description, total=total or length_hint(items) or None)
        for item in items:
            yield item
            progress.advance(task, size(item))


class ProgressLines(Progress):
    """Progress for log files: a line every half minute."""

    def __init__(self, unit: str) -> None:
        super().__init__(disable=True)
        self.unit = unit
        self.told = time.monotonic()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """As of a bar."""
        super().update(task_id, **changes)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """As of a bar."""
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        if time.monotonic() - self.told < SECONDS_BETWEEN_LINES:
            return
        self.told = time.monotonic()
        task = self.tasks[self.task_ids.index(task_id)]
        total = "" if task.total is None else f" of {task.total:g}"
        share = "" if task.total is None else f" ({task.percentage:.0f} %)"
        left = "" if task.time_remaining is None else f", {task.time_remaining:.0f} s left"
        done = f"{int(task.completed)}{total} {self.unit}{share}"  # a clip counts once all of it is done
        warn(f"{task.description}: {done}, {task.elapsed or 0:.0f} s{left}")


def tell_limits(pipeline: Pipeline) -> None:
    """Say what bundled weights know, on the error stream, so that results stay clean."""
    if pipeline.limits:
        errors.print(pipeline.limits, markup=False, soft_wrap=True, style="dim")
