"""Frames whose lengths only making them tells: made once, kept on disk, then written in order."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from conversion.sources.slide import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from conversion.sources.slide import Frames, PixelFormat

_READ_AHEAD = 256 * 1024


class _Spooled:
    def __init__(
        self, file: BinaryIO, pixel_format: PixelFormat, lengths: NDArray[np.uint32]
    ) -> None:
        self._file = file
        self.format = pixel_format
        self.lengths = lengths
        self.count = len(lengths)

    def __iter__(self) -> Iterator[Frame]:
        self._file.seek(0)
        for length in self.lengths.tolist():
            yield Frame(b"", self._file.read(length))

    def source_data(self) -> None:
        return None

    def matches(self, index: int, stored: bytes) -> bool:
        """Say no: the frames' maker knows."""
        return False


@contextmanager
def with_lengths(frames: Frames, folder: Path) -> Iterator[tuple[Frames, NDArray[np.uint32]]]:
    """Give frames and their lengths: themselves where known, else spooled into `folder`."""
    if frames.lengths is not None:
        yield frames, frames.lengths
        return
    path = folder / "frames.spool"
    lengths = np.zeros(frames.count, np.uint32)
    with path.open("x+b", buffering=_READ_AHEAD) as file:
        for index, frame in enumerate(frames):
            file.write(frame.head)
            file.write(frame.body)
            lengths[index] = frame.size
        file.flush()
        yield _Spooled(file, frames.format, lengths), lengths
    path.unlink()
