"""Progress for whoever watches; nothing of it where nobody does."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

Report = Callable[[float], None]
"""Told the fraction done, 0 to 1."""

NAME_CHARACTERS = 40


def _bars() -> Progress:
    # On standard error, so that what a command gives can be piped; rich draws nothing where that
    # is no terminal.
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


@contextlib.contextmanager
def slide_progress(name: str) -> Iterator[Report]:
    """Show one bar for one slide."""
    with _bars() as bars:
        task = bars.add_task(_shortened(name), total=1.0)
        yield lambda fraction: bars.update(task, completed=fraction)


class BatchProgress:
    """A bar for the slide at hand, and one for all of them, which counts bytes.

    Parameters
    ----------
    sizes
        Bytes of each slide, in the order they will come.
    """

    def __init__(self, sizes: list[int]) -> None:
        self._sizes = sizes
        self._bars = _bars()
        self._whole: TaskID | None = None
        self._done = 0

    def __enter__(self) -> "BatchProgress":
        self._bars.start()
        if len(self._sizes) > 1:
            self._whole = self._bars.add_task("all slides", total=max(1, sum(self._sizes)))
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextlib.contextmanager
    def slide(self, index: int, name: str) -> Iterator[Report]:
        """Show the bar of one slide while the block runs."""
        task = self._bars.add_task(_shortened(name), total=1.0)

        def report(fraction: float) -> None:
            self._bars.update(task, completed=fraction)
            self._show_whole(self._done + int(fraction * self._sizes[index]))

        try:
            yield report
        finally:
            self._bars.remove_task(task)
            self._done += self._sizes[index]
            self._show_whole(self._done)

    def _show_whole(self, completed: int) -> None:
        if self._whole is not None:
            self._bars.update(self._whole, completed=completed)


def _shortened(name: str) -> str:
    if len(name) <= NAME_CHARACTERS:
        return name
    half = NAME_CHARACTERS // 2
    return f"{name[: half - 1]}…{name[-half:]}"
