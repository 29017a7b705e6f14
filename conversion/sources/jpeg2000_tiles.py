"""JPEG 2000 tiles of a TIFF, passed through whole.

One bit may change: Aperio's YCbCr streams (compression 33003) are coded as three components that
the stream does not relate to each other, and a whole slide image has no Photometric Interpretation
for that (PS3.3 §C.8.12.4). With the 9/7 wavelet the component transformation of ISO/IEC 15444-1
§G.3 is exactly the one from YCbCr to RGB, so saying in the header that it is used makes an ordinary
YBR_ICT stream of it; no coded data changes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from conversion.errors import DamagedSource, UnsupportedCompression
from conversion.jpeg import MalformedStream
from conversion.jpeg2000 import CodestreamHeader, read_codestream, surplus
from conversion.sources import tiff
from conversion.sources.slide import JPEG_2000, JPEG_2000_LOSSLESS, Frame, PixelFormat

if TYPE_CHECKING:
    from conversion.sources.slide import Buffer
    from conversion.sources.tiff import Directory


class Jpeg2000Tiles:
    """JPEG 2000 tiles of one directory.

    Parameters
    ----------
    directory
        Says the tile's size, and the colour where the code stream is silent.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._header: CodestreamHeader | None = None

    @property
    def format(self) -> PixelFormat:
        """How the tiles are coded; known once one tile was seen."""
        if self._header is None:
            raise DamagedSource("the image has no tile with data")
        return self._format(self._header)

    def frame(self, raw: bytes) -> Frame:
        """Return the frame of a tile: its code stream."""
        header = read_codestream(raw)
        expected = self._directory.segment_columns, self._directory.segment_rows
        if (header.columns, header.rows) != expected:
            raise MalformedStream(
                f"is {header.columns} x {header.rows} pixels where its directory says "
                f"{expected[0]} x {expected[1]}"
            )
        if self._header is not None and header != self._header:
            raise MalformedStream("is coded otherwise than the tiles before it")
        self._header = header
        head = bytearray(raw[: header.length])
        if self._unrelated_ycbcr(header):
            head[header.transform_offset] = 1
        return Frame(head, memoryview(raw)[header.length : len(raw) - surplus(raw)])

    def data(self, raw: bytes) -> Buffer:
        """Return the code stream from its first tile-part on."""
        return memoryview(raw)[read_codestream(raw).length : len(raw) - surplus(raw)]

    def _unrelated_ycbcr(self, header: CodestreamHeader) -> bool:
        # Aperio tags these as RGB; the compression number is what tells.
        directory = self._directory
        ycbcr = directory.compression == tiff.APERIO_J2K_YCBCR or (
            directory.photometric == tiff.YCBCR
        )
        return header.components == 3 and not header.component_transform and ycbcr

    def _format(self, header: CodestreamHeader) -> PixelFormat:
        if header.bits != 8 or header.signed or header.subsampled:
            detail = "subsampled" if header.subsampled else f"of {header.bits} bits"
            raise UnsupportedCompression(
                f"tiles are JPEG 2000 with components {detail}; 8 bits without subsampling are "
                "converted",
                format="JPEG 2000",
                compression=detail,
            )
        if header.components not in (1, 3):
            raise UnsupportedCompression(
                f"tiles have {header.components} colour components; 1 and 3 are converted",
                format="JPEG 2000",
                compression=f"{header.components} components",
            )
        # A 5/3 stream loses nothing unless the encoder was told to throw planes away, and a
        # quality setting in the description says that it was.
        lossless = header.reversible and not re.search(r"\bQ ?= ?\d", self._directory.description)
        return PixelFormat(
            JPEG_2000_LOSSLESS if lossless else JPEG_2000,
            self._photometric(header),
            header.components,
            None if lossless else "ISO_15444_1",
        )

    def _photometric(self, header: CodestreamHeader) -> str:
        """Return Photometric Interpretation (PS3.5 §8.2.4)."""
        if header.components == 1:
            return "MONOCHROME2"
        if header.component_transform:
            return "YBR_RCT" if header.reversible else "YBR_ICT"
        if self._unrelated_ycbcr(header):
            if header.reversible:
                raise UnsupportedCompression(
                    "tiles are YCbCr in lossless JPEG 2000, for which DICOM has no name",
                    format="JPEG 2000",
                    compression="YCbCr, reversible",
                )
            return "YBR_ICT"
        return "RGB"
