"""A bounded number of files kept open between reads: opening costs several times a read."""

import os
import threading
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Self


class OpenFile:
    """A descriptor, and how many reads are on it; a context manager that lets go of it."""

    __slots__ = ("_owner", "descriptor", "dropped", "readers")

    def __init__(self, owner: "Descriptors", descriptor: int) -> None:
        self._owner = owner
        self.descriptor = descriptor
        self.readers = 1
        self.dropped = False

    def __enter__(self) -> int:
        return self.descriptor

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._owner.release(self)


class Descriptors:
    """Keeps at most `limit` files open, the longest unused going first. Safe between threads.

    A file that is being read is never closed under the reader, so there may be more for a moment.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._open: OrderedDict[str, OpenFile] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def borrow_open(self, key: str) -> OpenFile | None:
        """Give the file of `key` if it is open already; `release` it afterwards."""
        with self._lock:
            held = self._open.get(key)
            if held is not None:
                self._open.move_to_end(key)
                held.readers += 1
            return held

    def borrow(self, key: str, path: Path) -> OpenFile:
        """Give the descriptor of `path`, for a `with` block; raises `OSError` as `os.open` does."""
        held = self.borrow_open(key)
        if held is not None:
            return held
        opened = OpenFile(self, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        with self._lock:
            if key in self._open:  # another thread was faster; ours is closed after this read
                opened.dropped = True
                return opened
            self._open[key] = opened
            while len(self._open) > self._limit:
                _, oldest = self._open.popitem(last=False)
                self._drop(oldest)
        return opened

    def release(self, file: OpenFile) -> None:
        """End a read."""
        with self._lock:
            file.readers -= 1
            if file.dropped and file.readers == 0:
                os.close(file.descriptor)

    def forget(self, key: str) -> None:
        """Close the file of `key` when nobody reads it any more."""
        with self._lock:
            held = self._open.pop(key, None)
            if held is not None:
                self._drop(held)

    def close(self) -> None:
        """Close every file that nobody reads, and the others when their readers end."""
        with self._lock:
            while self._open:
                self._drop(self._open.popitem()[1])

    def _drop(self, file: OpenFile) -> None:
        file.dropped = True
        if file.readers == 0:
            os.close(file.descriptor)
