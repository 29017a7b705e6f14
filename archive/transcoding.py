"""Frames in another transfer syntax than they are stored in.

Owns which syntax a frame can be sent in, what its components then are, and the memory of what was
made. Codecs are `pixels`' and `encoders`'; whole instances are `rewriting`'s.

What the components of a stream are, and what the client is told they are, have to agree. Somebody
who asks for frames goes by the metadata, which name the stored Photometric Interpretation; the
attributes of a whole instance are rewritten instead:

====================  =================================  ==========================================
stored                frames                             whole instances
====================  =================================  ==========================================
MONOCHROME1, -2,      as stored                          as stored
PALETTE COLOR
RGB                   RGB: JPEG 2000 and HTJ2K without    RGB; YBR_RCT in lossless, YBR_ICT in lossy
                      their component transform, JPEG    JPEG 2000 and HTJ2K; YBR_FULL_422 in JPEG
                      marked (Adobe, transform 0)
YBR_FULL              YBR_FULL                           YBR_FULL; as for RGB where it gets lossy
YBR_RCT, YBR_ICT      the same by JPEG 2000 and HTJ2K,   as for RGB
                      else RGB
YBR_FULL_422 and      YBR_FULL_422 in JPEG; YBR_RCT or   as for RGB
other subsampled      YBR_ICT in JPEG 2000 and HTJ2K,
ones                  else RGB
====================  =================================  ==========================================

The last two are forms of compression, which a decoder undoes (PS3.5 §8.2.1, §8.2.4). For whole
slide images the right hand column is what PS3.3 §C.8.12.4.1.5 demands.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from archive.caches import ByteBoundedCache, SingleFlight
from archive.decoders import restored_jpeg, sample_type
from archive.encoders import can_encode, deflate_frame, encode_frame
from archive.errors import CannotTranscode
from archive.model.frames import PixelDescription
from archive.model.instances import BlobKey
from archive.model.transfer_syntaxes import (
    DEFLATED_FRAMES,
    EXPLICIT_LITTLE,
    HTJ2K,
    HTJ2K_LOSSLESS,
    HTJ2K_RPCL,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LOSSLESS,
    JPEG_LS,
    JPEG_LS_LOSSLESS,
    JPEG_XL_RECOMPRESSED,
    RLE_LOSSLESS,
)
from archive.pixels import can_decode, decode_in, native_frame

LOSSLESS_TARGETS = (
    JPEG_2000_LOSSLESS,
    HTJ2K_LOSSLESS,
    JPEG_LS_LOSSLESS,
    RLE_LOSSLESS,
    JPEG_LOSSLESS,
    DEFLATED_FRAMES,
)
"""Compressed transfer syntaxes that frames are sent in without loss."""
LOSSY_TARGETS = (JPEG_BASELINE, JPEG_2000, JPEG_LS, HTJ2K)
"""Those that lose, which only those get who name them."""

LARGE_FRAME_BYTES = 64 * 1024 * 1024
"""Uncompressed. Of larger frames a process holds but a few at a time."""
_LARGE_FRAMES = threading.BoundedSemaphore(2)

_COLOUR = frozenset(
    {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_RCT", "YBR_ICT"}
)
_GREY = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
_TRANSFORMS = {
    JPEG_2000_LOSSLESS: "YBR_RCT",
    HTJ2K_LOSSLESS: "YBR_RCT",
    JPEG_2000: "YBR_ICT",
    HTJ2K: "YBR_ICT",
}
# A stream without loss is one of the lossy syntax of its family as well (PS3.5 §10.4 … §10.7).
_SAME_STREAM = {
    (JPEG_LS_LOSSLESS, JPEG_LS),
    (JPEG_2000_LOSSLESS, JPEG_2000),
    (HTJ2K_LOSSLESS, HTJ2K),
    (HTJ2K_RPCL, HTJ2K),
    (HTJ2K_RPCL, HTJ2K_LOSSLESS),
}


def can_transcode_frames(pixels: PixelDescription, stored_uid: str, wanted_uid: str) -> bool:
    """Tell whether frames stored in one transfer syntax can be sent in another.

    By what the attributes say: a stream that turns out to be broken is found when it is decoded.
    """
    if wanted_uid == stored_uid:
        return True
    if not can_decode(stored_uid):
        return False
    if wanted_uid == EXPLICIT_LITTLE or (stored_uid, wanted_uid) in _SAME_STREAM:
        return True
    if (stored_uid, wanted_uid) == (JPEG_XL_RECOMPRESSED, JPEG_BASELINE):
        return True
    return can_encode(wanted_uid) and _is_encodable(pixels, wanted_uid)


def _is_encodable(pixels: PixelDescription, wanted_uid: str) -> bool:
    """Hold the attributes against the tables of PS3.5 §8.2."""
    if wanted_uid == DEFLATED_FRAMES:
        return pixels.keyword == "PixelData"
    if pixels.keyword != "PixelData" or pixels.bits_allocated not in (8, 16):
        return False
    known = {1: _GREY, 3: _COLOUR}.get(pixels.samples_per_pixel, frozenset())
    if pixels.photometric_interpretation not in known:
        return False
    if pixels.samples_per_pixel == 3 and pixels.pixel_representation == 1:
        return False
    if wanted_uid in LOSSY_TARGETS and pixels.photometric_interpretation == "PALETTE COLOR":
        return False  # a colour next to it in the table may be any
    if wanted_uid == JPEG_BASELINE:
        bits = (pixels.bits_allocated, pixels.bits_stored, pixels.pixel_representation)
        return bits == (8, 8, 0)
    return True


def frame_interpretation(stored: str, wanted_uid: str) -> str:
    """Give the Photometric Interpretation of a frame in another syntax; see the table above."""
    if stored in _GREY or stored in ("RGB", "YBR_FULL"):
        return stored
    transform = _TRANSFORMS.get(wanted_uid)
    if transform is not None:
        return transform
    subsampled = stored not in ("YBR_RCT", "YBR_ICT")
    return "YBR_FULL_422" if subsampled and wanted_uid == JPEG_BASELINE else "RGB"


def instance_interpretation(stored: str, wanted_uid: str) -> str:
    """Give the Photometric Interpretation of a whole instance; see the table above."""
    if stored in _GREY:
        return stored
    if wanted_uid == JPEG_BASELINE:
        return "YBR_FULL_422"
    if stored == "YBR_FULL" and wanted_uid not in (JPEG_2000, HTJ2K):
        return stored
    return _TRANSFORMS.get(wanted_uid, "RGB")


def loses(stored_uid: str, wanted_uid: str) -> bool:
    """Tell whether pixels change on the way from one transfer syntax to another."""
    if wanted_uid not in LOSSY_TARGETS or wanted_uid == stored_uid:
        return False
    if (stored_uid, wanted_uid) == (JPEG_XL_RECOMPRESSED, JPEG_BASELINE):
        return False
    return (stored_uid, wanted_uid) not in _SAME_STREAM


def keeps_stream(stored_uid: str, wanted_uid: str) -> bool:
    """Tell whether the stream stays what it is, so that its components do too."""
    if (stored_uid, wanted_uid) in _SAME_STREAM or stored_uid == wanted_uid:
        return True
    return (stored_uid, wanted_uid) == (JPEG_XL_RECOMPRESSED, JPEG_BASELINE)


def transcode_frame(
    stored: bytes,
    pixels: PixelDescription,
    stored_uid: str,
    wanted_uid: str,
    *,
    number: int = 1,
    interpretation: str | None = None,
) -> bytes:
    """Give one frame in another transfer syntax.

    Parameters
    ----------
    stored
        The frame's bytes, fragments joined; of native one-bit frames all bytes that it touches.
    number
        One-based; only native one-bit frames, which need not start on a byte, hang on it.
    interpretation
        What the components are to be; by default what goes with the metadata as stored.

    Raises
    ------
    CannotTranscode
        When the frame cannot be decoded, or cannot be had in that syntax.
    """
    with turn(pixels):
        return _transcoded(
            stored, pixels, (stored_uid, wanted_uid), number=number, interpretation=interpretation
        )


def _transcoded(
    stored: bytes,
    pixels: PixelDescription,
    syntaxes: tuple[str, str],
    *,
    number: int,
    interpretation: str | None,
) -> bytes:
    stored_uid, wanted_uid = syntaxes
    if wanted_uid == EXPLICIT_LITTLE:  # also from itself: one-bit frames are moved to a byte
        return native_frame(stored, pixels, stored_uid, number=number)
    if wanted_uid == stored_uid or (stored_uid, wanted_uid) in _SAME_STREAM:
        return stored
    if not can_transcode_frames(pixels, stored_uid, wanted_uid):
        raise CannotTranscode(
            f"frames stored in {stored_uid} cannot be sent in {wanted_uid}",
            (stored_uid, EXPLICIT_LITTLE),
        )
    if stored_uid == JPEG_XL_RECOMPRESSED and wanted_uid == JPEG_BASELINE:
        return restored_jpeg(stored, pixels)
    if wanted_uid == DEFLATED_FRAMES:
        return deflate_frame(native_frame(stored, pixels, stored_uid, number=number))
    if interpretation is None:
        interpretation = frame_interpretation(pixels.photometric_interpretation, wanted_uid)
    array = decode_in(stored, pixels, stored_uid, interpretation, number=number)
    return encode_frame(
        array.astype(sample_type(pixels), copy=False),
        wanted_uid,
        bits_stored=pixels.bits_stored,
        interpretation=interpretation,
    )


class TranscodedFrames:
    """Remembers frames that were transcoded, and lets those who want the same one wait for it.

    Safe between threads.

    Parameters
    ----------
    limit_bytes
        Of all that is remembered.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._kept: ByteBoundedCache[tuple[BlobKey, int, str], bytes] = ByteBoundedCache(
            limit_bytes
        )
        self._making: SingleFlight[tuple[BlobKey, int, str], bytes] = SingleFlight()

    def frame(
        self,
        key: BlobKey,
        number: int,
        pixels: PixelDescription,
        syntaxes: tuple[str, str],
        read: Callable[[], bytes],
    ) -> bytes:
        """Give a frame in the second of two syntaxes, of which the first is stored.

        Parameters
        ----------
        read
            Gives the stored bytes; called only when the frame is not remembered.
        """
        stored_uid, wanted_uid = syntaxes
        name = (key, number, wanted_uid)

        def make() -> bytes:
            made = transcode_frame(read(), pixels, stored_uid, wanted_uid, number=number)
            self._kept.put(name, made, len(made))
            return made

        kept = self._kept.get(name)
        return self._making.do(name, make) if kept is None else kept


@contextmanager
def turn(pixels: PixelDescription) -> Iterator[None]:
    """Wait for a turn with a frame that takes much memory; small ones need none."""
    if pixels.native_frame_bits <= 8 * LARGE_FRAME_BYTES:
        yield
        return
    with _LARGE_FRAMES:
        yield


def described_as(pixels: PixelDescription, stored_uid: str, wanted_uid: str) -> PixelDescription:
    """Give the pixel description of a whole instance once it is in another transfer syntax."""
    if keeps_stream(stored_uid, wanted_uid):
        return pixels
    interpretation = instance_interpretation(pixels.photometric_interpretation, wanted_uid)
    # RLE has its samples by plane whatever is said; other codecs have them by pixel (PS3.5 §8.2).
    planar = pixels.planar_configuration if wanted_uid == RLE_LOSSLESS else 0
    return replace(pixels, photometric_interpretation=interpretation, planar_configuration=planar)
