"""How far a conversion is, as a fraction of the bytes that are read, written and compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conversion.sources.slide import Slide

type ProgressCallback = Callable[[float], None]

_STEP = 0.005  # smallest change worth telling


class Progress:
    """Adds up bytes and tells the fraction done whenever it grew by half a percent.

    Parameters
    ----------
    callback
        Called with a number from 0 to 1 that never shrinks.
    """

    def __init__(self, callback: ProgressCallback | None) -> None:
        self._callback = callback
        self._total = 1
        self._done = 0
        self._told = -1.0

    def expect(self, source_size: int, slide: Slide, *, hashing: bool) -> None:
        """Set the total: the source is hashed, frames are written once and compared once."""
        total = source_size if hashing else 0
        for picture in slide.pictures:
            lengths = picture.frames.lengths
            written = source_size if lengths is None else int(lengths.sum(dtype="u8"))
            total += 2 * written
        self._total = max(1, total)
        self._tell()

    def advance(self, count: int) -> None:
        """Count `count` more bytes."""
        self._done += count
        self._tell()

    def finish(self) -> None:
        """Tell that everything is done."""
        self._done = self._total
        self._told = -1.0
        self._tell()

    def _tell(self) -> None:
        fraction = min(1.0, self._done / self._total)
        if self._callback is not None and fraction - self._told >= _STEP:
            self._told = fraction
            self._callback(fraction)
