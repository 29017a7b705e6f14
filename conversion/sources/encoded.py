"""Tiles in codings that DICOM does not have, stored anew as lossless JPEG 2000.

Uncompressed, LZW, Deflate and the like. JPEG 2000 (reversible) because OpenSlide, wsidicom and
every toolkit read it; plain samples would double the size and end at 4 GiB (PS3.5 §A.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from conversion.errors import DamagedSource
from conversion.sources import tiff
from conversion.sources.slide import JPEG_2000_LOSSLESS, Frame, PixelFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from conversion.sources.file import SourceFile
    from conversion.sources.tiff import Directory


def encoded_format(samples: int, *, lossy_method: str | None) -> PixelFormat:
    """Give the format of what `encoded` gives: gray of one sample, or colour of three.

    Parameters
    ----------
    lossy_method
        How the source had lost something before (PS3.3 §C.7.6.1.1.5.1); None when it had not.
    """
    photometric = "YBR_RCT" if samples == 3 else "MONOCHROME2"
    return PixelFormat(JPEG_2000_LOSSLESS, photometric, samples, lossy_method)


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    """Code (rows, columns) or (rows, columns, 3) samples without loss."""
    import imagecodecs

    return bytes(
        imagecodecs.jpeg2k_encode(
            pixels, codecformat="j2k", reversible=True, mct=pixels.ndim == 3, numthreads=1
        )
    )


class EncodedTiles:
    """Tiles of one directory, decoded and coded again without loss.

    Parameters
    ----------
    directory
        Its ranges were checked; unsigned samples of 8 bits, gray or RGB.
    """

    lengths = None  # only coding a tile tells how long it is

    def __init__(self, source: SourceFile, directory: Directory) -> None:
        self._source = source
        self._directory = directory
        self.count = len(directory.offsets)
        self.format = encoded_format(directory.samples, lossy_method=None)

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count):
            yield Frame(b"", encoded(self._pixels(index)))

    def source_data(self) -> None:
        """Nothing of the source's bytes stands in the frames."""
        return

    def matches(self, index: int, stored: bytes) -> bool:
        """Whether a stored frame decodes to the source's pixels."""
        import imagecodecs

        return bool(np.array_equal(imagecodecs.jpeg2k_decode(stored), self._pixels(index)))

    def _pixels(self, index: int) -> NDArray[np.uint8]:
        directory = self._directory
        shape: tuple[int, ...] = (directory.segment_rows, directory.segment_columns)
        if self.format.samples == 3:
            shape = (*shape, 3)
        padded = np.full(shape, 255, np.uint8)
        count = int(directory.counts[index])
        if count == 0:
            return padded
        raw = self._source.read(int(directory.offsets[index]), count)
        with tiff.wrapped(f"tile {index + 1} of image {directory.index + 1}"):
            decoded = directory.page.decode(raw, index)[0]
            pixels = np.asarray(decoded).reshape(decoded.shape[1:])
        if pixels.dtype != np.uint8 or pixels.shape[2] != self.format.samples:
            raise DamagedSource(f"tile {index + 1} does not decode to 8-bit samples")
        if directory.photometric == tiff.WHITE_IS_ZERO:
            pixels = 255 - pixels
        if self.format.samples == 1:
            pixels = pixels[..., 0]
        padded[: pixels.shape[0], : pixels.shape[1]] = pixels
        return padded
