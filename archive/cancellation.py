"""Whether anybody still waits for what is being done.

A face that learns that its client has gone away, or has waited too long, cancels. Work that takes
long looks here from time to time (`check`), and a statement under way in the database is cancelled
there. What is not asked for on behalf of somebody, or must not stop halfway, has no cancellation.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar

from archive.errors import Abandoned, TookTooLong


class Cancellation:
    """One request's; `current` hands it to all that is done for it, in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops: list[Callable[[], None]] = []
        self._error: Exception | None = None

    @property
    def error(self) -> Exception | None:
        """Why nobody waits any more; None while somebody does."""
        return self._error

    def cancel(self, error: Exception) -> None:
        """Say why nobody waits any more, and stop what is under way; the first reason stands.

        It waits for the database, so it is nothing for an event loop.
        """
        with self._lock:
            if self._error is None:
                self._error = error
                for stop in self._stops:
                    with contextlib.suppress(Exception):  # it may have ended by itself
                        stop()

    @contextlib.contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop` when this is cancelled before the block has ended, and never later."""
        self.check()
        with self._lock:
            self._stops.append(stop)
        try:
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)

    def check(self) -> None:
        """Raise `Abandoned` or `TookTooLong` when nobody waits any more."""
        if isinstance(self._error, TookTooLong):
            raise TookTooLong(self._error.seconds)
        if self._error is not None:
            raise Abandoned(str(self._error))


current: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)
"""Of the request that is being answered."""


def check() -> None:
    """Raise `Abandoned` or `TookTooLong` when nobody waits for this any more."""
    cancellation = current.get()
    if cancellation is not None:
        cancellation.check()


def checked[T](items: Iterable[T]) -> Iterator[T]:
    """Pass items on as long as somebody waits."""
    for item in items:
        check()
        yield item
