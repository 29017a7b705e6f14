"""How much a slide may claim, and how much a conversion may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ConversionLimits:
    """What one child process may use.

    Attributes
    ----------
    memory_bytes
        Address space (RLIMIT_AS). A conversion is resident with less than 200 MB, but libraries
        reserve far more than they touch.
    seconds
        Wall time after which the child is ended.
    """

    memory_bytes: int = 4096 * MIB
    seconds: float = 6 * 3600.0


#: Directories in one TIFF: the largest real pyramids have a few dozen.
MAX_DIRECTORIES: Final = 512
#: Width or height of a level in pixels; ten times the largest scanners make.
MAX_SIDE: Final = 4_000_000
#: Tiles of one level: 16 million 256² tiles are a square metre of glass at 0.25 µm.
MAX_TILES: Final = 16_000_000
#: Bytes of one stored tile or strip, and width or height of a tile in pixels.
MAX_TILE_BYTES: Final = 64 * MIB
MAX_TILE_SIDE: Final = 8192
#: Pixels of a label, overview or thumbnail, which are held in memory whole.
MAX_ASSOCIATED_PIXELS: Final = 32_000_000
#: Bytes of an ICC profile, of shared JPEG tables, of a description.
MAX_PROFILE_BYTES: Final = 4 * MIB
MAX_TABLES_BYTES: Final = 64 * 1024
MAX_DESCRIPTION_BYTES: Final = 16 * MIB
#: Tiles may share bytes (a common background tile); a file whose tiles add up to more than this
#: many times its own size is made to blow up.
MAX_EXPANSION: Final = 64
