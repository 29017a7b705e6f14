"""ICC profiles of the colour spaces that a client may ask for, and the way into them.

PS3.18 §8.3.5.1.5 names sRGB, Adobe RGB and ROMM RGB. The last two are written here from the numbers
of their standards (a matrix and one curve, ICC.1:2022 §8.3.4), for their makers' files may not be
given away.
"""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from archive.errors import CannotRender
from archive.render_options import IccProfile

_D50 = np.array([0.9642, 1.0, 0.8249])  # ICC.1:2022 §7.2.16, the connection space
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


@dataclass(frozen=True, slots=True)
class _Space:
    """An RGB space: chromaticities (x, y) of the primaries and of white, and its curve."""

    name: str
    primaries: tuple[tuple[float, float], ...]
    white: tuple[float, float]
    curve: tuple[float, ...]
    """Of a parametric curve: gamma alone, or gamma, a, b, c, d (ICC.1:2022 Table 68)."""


_SPACES = {
    # Adobe RGB (1998) Color Image Encoding, version 2005-05, §4.3.
    IccProfile.ADOBE_RGB: _Space(
        "Compatible with Adobe RGB (1998)",
        ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
        (0.3127, 0.3290),
        (563 / 256,),
    ),
    # ISO 22028-2:2013: below 1/512 the curve is a line of slope 1/16.
    IccProfile.ROMM_RGB: _Space(
        "ROMM RGB",
        ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)),
        (0.3457, 0.3585),
        (1.8, 1.0, 0.0, 1 / 16, 16 / 512),
    ),
}


def to_profile(
    image: Image.Image, own: bytes | None, wanted: IccProfile
) -> tuple[Image.Image, bytes]:
    """Bring an RGB picture into a colour space that was asked for by name.

    Parameters
    ----------
    own
        Profile of the picture; sRGB where it has none (PS3.18 §8.3.5.1.5).

    Returns
    -------
    tuple
        The picture, and the profile to be put into it.

    Raises
    ------
    CannotRender
        When its own profile cannot be used.
    """
    target = profile_of(wanted)
    source = srgb_profile() if own is None else own
    if source == target:
        return image, target
    try:
        converted = ImageCms.applyTransform(image, _transform(source, target))
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise CannotRender("the ICC profile of the instance cannot be used") from error
    return image if converted is None else converted, target


@lru_cache(maxsize=1)
def srgb_profile() -> bytes:
    """Give an sRGB profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@lru_cache(maxsize=8)
def profile_of(wanted: IccProfile) -> bytes:
    """Give the profile of a colour space that has a name."""
    space = _SPACES.get(wanted)
    return srgb_profile() if space is None else _matrix_profile(space)


@lru_cache(maxsize=32)
def _transform(source: bytes, target: bytes) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(source)),
        ImageCms.ImageCmsProfile(io.BytesIO(target)),
        "RGB",
        "RGB",
    )


def _matrix_profile(space: _Space) -> bytes:
    """Write a three-component matrix-based display profile (ICC.1:2022 §8.4.3)."""
    adaptation = _adaptation(_xyz(space.white))
    primaries = np.column_stack([_xyz(point) for point in space.primaries])
    scale = np.linalg.solve(primaries, _xyz(space.white))
    columns = (adaptation @ (primaries * scale)).T
    curve = b"para" + struct.pack(">4xHH", 0 if len(space.curve) == 1 else 3, 0)
    curve += _fixed(space.curve)
    tags = {
        b"desc": _text(space.name),
        b"cprt": _text("No copyright, use freely"),
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(_D50),
        b"chad": b"sf32\0\0\0\0" + _fixed(adaptation.ravel()),
        b"rXYZ": b"XYZ \0\0\0\0" + _fixed(columns[0]),
        b"gXYZ": b"XYZ \0\0\0\0" + _fixed(columns[1]),
        b"bXYZ": b"XYZ \0\0\0\0" + _fixed(columns[2]),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    return _with_header(tags)


def _with_header(tags: dict[bytes, bytes]) -> bytes:
    """Put header, tag table and tags together (ICC.1:2022 §7.2, §7.3)."""
    table, body = struct.pack(">L", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for signature, content in tags.items():
        table += signature + struct.pack(">LL", start + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    size = start + len(body)
    header = struct.pack(">L4xL", size, 0x04400000) + b"mntrRGB XYZ "
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += _fixed(_D50)
    return header.ljust(128, b"\0") + table + body


def _xyz(point: tuple[float, float]) -> NDArray[np.float64]:
    """Give the tristimulus values of a chromaticity, Y being 1."""
    x, y = point
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _adaptation(white: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the matrix that takes colours seen under `white` to D50 (ICC.1:2022 Annex E)."""
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD
    return adapted


def _fixed(values: Sequence[float] | NDArray[np.float64]) -> bytes:
    """Write s15Fixed16Number."""
    return b"".join(struct.pack(">l", round(value * 65536)) for value in values)


def _text(text: str) -> bytes:
    """Write a multiLocalizedUnicodeType of one text (ICC.1:2022 §10.15)."""
    content = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">4xLL4sLL", 1, 12, b"enUS", len(content), 28) + content
