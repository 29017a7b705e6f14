"""Where the frames of an instance lie, and what their pixels are (PS3.5 §A.4, PS3.3 §C.7.6.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archive.errors import FrameNotFound


@dataclass(frozen=True, slots=True)
class ByteSpan:
    """A run of bytes in a blob."""

    offset: int
    """Bytes from the start of the blob."""
    length: int
    """Bytes."""

    @property
    def end(self) -> int:
        """First byte behind the span, counted from the start of the blob."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """Where every frame of an instance lies (PS3.5 §A.4).

    Attributes
    ----------
    spans : (fragments, 2) uint64
        Offset and length of each fragment in bytes from the start of the blob, item headers left
        out. Native pixel data has one fragment a frame.
    first_fragment : (frames + 1,) uint32
        Frame n, one-based, is ``spans[first_fragment[n - 1]:first_fragment[n]]``.
    """

    spans: NDArray[np.uint64]
    first_fragment: NDArray[np.uint32]

    @property
    def number_of_frames(self) -> int:
        """How many frames there are."""
        return len(self.first_fragment) - 1

    @property
    def size_bytes(self) -> int:
        """Memory that the index holds, for caches that are bounded in bytes."""
        return int(self.spans.nbytes + self.first_fragment.nbytes)

    def frame(self, number: int) -> Sequence[ByteSpan]:
        """Give the fragments of one frame, in order.

        Parameters
        ----------
        number
            One-based, as in PS3.18 §10.4.1.

        Raises
        ------
        FrameNotFound
            When there is no such frame.
        """
        if not 1 <= number < len(self.first_fragment):
            raise FrameNotFound(number=number, number_of_frames=self.number_of_frames)
        # By way of their buffers: an array's own indexing takes some times as long.
        starts, spans = self.first_fragment.data, self.spans.data
        first, last = starts[number - 1], starts[number]
        return [ByteSpan(spans[at, 0], spans[at, 1]) for at in range(first, last)]


@dataclass(frozen=True, slots=True)
class PixelDescription:
    """What the pixels of an instance are: the Image Pixel Module (PS3.3 §C.7.6.3)."""

    rows: int
    columns: int
    number_of_frames: int
    samples_per_pixel: int
    photometric_interpretation: str
    bits_allocated: int
    bits_stored: int
    pixel_representation: int
    """0 unsigned, 1 two's complement."""
    planar_configuration: int
    """0 colour by pixel, 1 colour by plane."""
    keyword: str
    """``PixelData``, ``FloatPixelData`` or ``DoubleFloatPixelData``."""
    swapped_bytes: bool = False
    """Whether native samples of eight bits lie in big-endian words, the second of each two first
    (OW, PS3.5 §8.1.2, §7.3)."""

    @property
    def native_frame_bits(self) -> int:
        """Bits of one frame when it is not encapsulated; one-bit frames may share a byte."""
        return self.rows * self.columns * self.samples_per_pixel * self.bits_allocated
