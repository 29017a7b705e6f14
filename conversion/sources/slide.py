"""A slide as the rest of the conversion sees it, whatever file it came from. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from conversion.manifest import Role, Route

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"

type Buffer = bytes | bytearray | memoryview


class Frame(NamedTuple):
    """One frame's bytes in two pieces, so that large ones are not copied to be joined."""

    head: Buffer
    body: Buffer

    @property
    def size(self) -> int:
        """Bytes of both pieces."""
        return len(self.head) + len(self.body)


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How the frames of one picture are coded.

    Attributes
    ----------
    photometric
        Photometric Interpretation of the stored frames (PS3.3 §C.7.6.3.1.2, PS3.5 §8.2).
    samples
        1 or 3.
    lossy_method
        Lossy Image Compression Method where the pixels ever were lossily compressed, also before
        they came to us; else None.
    """

    transfer_syntax: str
    photometric: str
    samples: int
    lossy_method: str | None
    bits: int = 8

    @property
    def encapsulated(self) -> bool:
        """Whether frames are fragments (PS3.5 §A.4) rather than plain samples."""
        return self.transfer_syntax != EXPLICIT_VR_LITTLE_ENDIAN


class Frames(Protocol):
    """The frames of one picture, in order of the tiles: row by row from the top left."""

    @property
    def format(self) -> PixelFormat:
        """How they are coded."""

    @property
    def count(self) -> int:
        """How many there are."""

    @property
    def lengths(self) -> NDArray[np.uint32] | None:
        """(count,) bytes of each frame without padding; None where only making them tells."""

    def __iter__(self) -> Iterator[Frame]:
        """Give each frame once; may be called again."""

    def source_data(self) -> Iterator[Sequence[Buffer]] | None:
        """Read the source again: for each frame the runs of bytes that must stand in it unchanged.

        For JPEG these are the entropy-coded data (of each strip that was joined), for JPEG 2000 the
        whole code stream. None where frames are coded anew.
        """

    def matches(self, index: int, stored: bytes) -> bool:
        """Whether a stored frame, where it was coded anew, shows what the source's tile shows."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a slide, to become one instance.

    Attributes
    ----------
    level
        Zero-based pyramid level, base first, for a VOLUME; else None.
    columns, rows
        Total pixel matrix in pixels.
    route
        How its pixels get into the instance.
    shrink
        Width and height of the base level in pixels to one of this picture's, for a VOLUME or
        THUMBNAIL.
    spacing_um
        Width and height of a pixel in µm of a LABEL or OVERVIEW, which another camera took; None
        where nobody knows.
    """

    role: Role
    level: int | None
    columns: int
    rows: int
    tile_columns: int
    tile_rows: int
    frames: Frames
    route: Route
    shrink: tuple[float, float] = (1.0, 1.0)
    spacing_um: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class SlideProperties:
    """What a file says about the slide and its scanning; None where it says nothing.

    Attributes
    ----------
    spacing_um
        Width and height of a pixel of the base level in µm.
    nominal_spacing
        `spacing_um` follows from the objective's power and was not measured.
    acquired
        When the slide was scanned, in the scanner's local time.
    icc_profile
        Byte for byte as in the file.
    fluorescence
        The light path is not bright field.
    """

    spacing_um: tuple[float, float] | None = None
    nominal_spacing: bool = False
    objective_power: float | None = None
    manufacturer: str | None = None
    model: str | None = None
    serial_number: str | None = None
    software: str | None = None
    acquired: datetime | None = None
    icc_profile: bytes | None = None
    label_text: str | None = None
    barcode: str | None = None
    fluorescence: bool = False


@dataclass(frozen=True, slots=True)
class Slide:
    """A slide file, read and checked.

    Attributes
    ----------
    format
        In words, for instance ``Aperio SVS``.
    pictures
        Levels base first, then thumbnail, overview and label as far as there are any.
    warnings
        What a person should know of the source.
    """

    format: str
    pictures: tuple[Picture, ...]
    properties: SlideProperties
    warnings: tuple[str, ...] = field(default=())
