"""The slide file as bytes: opened once, read by position, hashed in one pass."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, Self

from conversion.errors import SourceUnreadable, TruncatedSource
from conversion.limits import MIB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType


class SourceFile:
    """A regular file, open for reading by position.

    Parameters
    ----------
    path
        Of the slide.

    Raises
    ------
    SourceUnreadable
        Missing, no permission, a folder or a device.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise _unreadable(error) from error
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise SourceUnreadable(f"the path is {kind}; name the slide file itself", reason=kind)
        self.size = status.st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes from `offset`.

        Raises
        ------
        TruncatedSource
            The file ends before.
        SourceUnreadable
            The disk or network failed.
        """
        try:
            data = os.pread(self._descriptor, length, offset)
            while 0 < len(data) < length:
                more = os.pread(self._descriptor, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise _unreadable(error) from error
        if len(data) != length:
            raise TruncatedSource(
                f"the file is truncated: it ends at byte {self.size}, data up to byte "
                f"{offset + length} are needed; copy it again from the scanner",
                size=self.size,
                needed=offset + length,
            )
        return data

    def start(self, length: int) -> bytes:
        """Return the first `length` bytes, or fewer where the file is shorter."""
        return self.read(0, min(length, self.size))

    def sha256(self, progress: Callable[[int], None]) -> str:
        """Return the hash of the whole file in hexadecimal, calling `progress` with bytes read."""
        digest = hashlib.sha256()
        at = 0
        while at < self.size:
            piece = self.read(at, min(4 * MIB, self.size - at))
            digest.update(piece)
            at += len(piece)
            progress(len(piece))
        return digest.hexdigest()


def _unreadable(error: OSError) -> SourceUnreadable:
    reason = error.strerror or "input/output error"
    return SourceUnreadable(f"the slide cannot be read: {reason}", reason=reason)
