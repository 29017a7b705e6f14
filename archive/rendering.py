"""Frames as pictures: windows, palettes, colour profiles, regions and sizes (PS3.18 §8.3.5).

Owns what happens between decoded pixels and a JPEG, PNG or GIF. Where the frames lie and who may
see them is decided before; putting tiles together is `composition`'s.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from archive.annotating import Captions, annotated
from archive.codestreams import (
    BrokenCodestream,
    mark_as_rgb,
    read_jpeg_header,
    with_icc_profile,
)
from archive.colour_profiles import srgb_profile, to_profile
from archive.errors import CannotRender, CannotTranscode, MalformedQuery
from archive.model.frames import PixelDescription
from archive.model.transfer_syntaxes import JPEG_BASELINE
from archive.palettes import Palette
from archive.pixels import Pixels, decode_frame
from archive.render_options import (
    JPEG,
    MEDIA_TYPES,
    PNG,
    IccProfile,
    RenderOptions,
    Viewport,
    Window,
    WindowShape,
)

__all__ = [
    "MEDIA_TYPES",
    "IccProfile",
    "Palette",
    "PictureFacts",
    "RenderOptions",
    "Viewport",
    "Window",
    "WindowShape",
    "render",
    "render_frame",
    "srgb_profile",
    "thumbnail",
    "windows_of",
]

DEFAULT_QUALITY = 90
MAXIMUM_PICTURE = 32_000_000
"""Pixels of a rendered picture."""

_Shown = NDArray[np.uint8]
"""(rows, columns) grey or (rows, columns, 3) RGB."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How stored values become displayed ones: of an instance, or of one of its frames."""

    window: Window | None
    rescale_slope: float
    rescale_intercept: float


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """All of an instance's metadata that its pictures hang on."""

    pixels: PixelDescription
    transfer_syntax_uid: str
    icc_profile: bytes | None = None
    window: Window | None = None
    """The first window of the instance."""
    rescale_slope: float = 1.0
    rescale_intercept: float = 0.0
    palette: Palette | None = None
    inverted: bool = False
    """Presentation LUT Shape INVERSE (PS3.3 §C.11.4)."""
    captions: Captions = Captions()  # noqa: RUF009 - frozen
    representative_frame: int = 1
    """One-based; stands for frames that are no tiles."""
    frame_milliseconds: float | None = None
    """How long each frame is shown, where that is told."""
    identifying: bool = False
    """Whether the picture may show who the patient is: labels, and what is burned in."""
    scales: tuple[Scale, ...] = ()
    """Of each frame, where they differ."""

    def of_frame(self, number: int) -> "PictureFacts":
        """Give what the picture of one frame hangs on."""
        if not 1 <= number <= len(self.scales):
            return self
        scale = self.scales[number - 1]
        return replace(
            self,
            window=scale.window,
            rescale_slope=scale.rescale_slope,
            rescale_intercept=scale.rescale_intercept,
            scales=(),
        )


def render_frame(
    stored: bytes, facts: PictureFacts, options: RenderOptions, *, number: int = 1
) -> bytes:
    """Draw one frame.

    A stored JPEG that is asked for as it is passes without decoding: only its profile is put in,
    and RGB streams that do not say so are marked, for browsers take them for YCbCr.

    Raises
    ------
    CannotRender
        When the frame cannot be decoded or drawn.
    MalformedQuery
        When the viewport lies outside the frame.
    """
    facts = facts.of_frame(number)
    passed = _passed_through(stored, facts, options)
    if passed is not None:
        return passed
    return encoded(*picture_of_frame(stored, facts, options, number=number), options)


def picture_of_frame(
    stored: bytes, facts: PictureFacts, options: RenderOptions, *, number: int = 1
) -> tuple[Image.Image, bytes | None]:
    """Draw one frame, not encoded yet; raises as `render_frame` does."""
    facts = facts.of_frame(number)
    pixels = facts.pixels
    reduce = reduction(facts, options.viewport, pixels.rows, pixels.columns)
    try:
        array = decode_frame(
            stored, pixels, facts.transfer_syntax_uid, number=number, reduce=reduce
        )
    except CannotTranscode as error:
        raise CannotRender(str(error), error.available) from error
    return picture(cut(array, options.viewport, pixels.rows // array.shape[0]), facts, options)


def render(array: Pixels, facts: PictureFacts, options: RenderOptions) -> bytes:
    """Draw decoded pixels, (rows, columns) or (rows, columns, 3), as `decode_frame` gives them."""
    return encoded(*picture(cut(array, options.viewport), facts, options), options)


def picture(
    array: Pixels, facts: PictureFacts, options: RenderOptions
) -> tuple[Image.Image, bytes | None]:
    """Draw the pixels of the viewport's region, and give the profile that goes with them."""
    image = Image.fromarray(_shown(array, facts, options))
    if options.viewport is not None:
        image = _fitted(image, options.viewport)
    profile = None
    if image.mode == "RGB":
        image, profile = _in_profile(image, facts, options)
    if options.annotations:
        image = annotated(image, facts.captions, options.annotations)
    return image, profile


def thumbnail(array: Pixels, facts: PictureFacts, *, size: tuple[int, int] = (256, 256)) -> bytes:
    """Draw a small JPEG of decoded pixels that fits within `size`, width before height."""
    width, height = size
    viewport = Viewport(min(width, array.shape[1]), min(height, array.shape[0]))
    return render(array, facts, RenderOptions(quality=80, viewport=viewport))


# --- steps --------------------------------------------------------------------------------------


def _passed_through(stored: bytes, facts: PictureFacts, options: RenderOptions) -> bytes | None:
    plain = options.viewport is None and options.window is None and options.quality is None
    plain = plain and not options.annotations
    named = options.icc_profile is not None and options.icc_profile.is_named
    if not plain or named or options.media_type != JPEG:
        return None
    if facts.transfer_syntax_uid != JPEG_BASELINE or not _shown_as_stored(facts):
        return None
    try:
        header = read_jpeg_header(stored)
        found = header.dimensions
        if (found.rows, found.columns) != (facts.pixels.rows, facts.pixels.columns):
            return None
        if found.samples == 1:
            return stored
        unmarked = header.adobe_transform is None and not header.has_jfif
        if unmarked and header.is_rgb(facts.pixels.photometric_interpretation):
            stored = mark_as_rgb(stored)
        return with_icc_profile(stored, _profile_to_embed(facts, options))
    except BrokenCodestream as error:
        raise CannotRender(f"the frame cannot be drawn: {error}") from error


def _shown_as_stored(facts: PictureFacts) -> bool:
    """Whether stored values are display values already."""
    if facts.pixels.samples_per_pixel == 3:
        return True
    return (
        facts.pixels.photometric_interpretation == "MONOCHROME2"
        and facts.window is None
        and not facts.inverted
        and (facts.rescale_slope, facts.rescale_intercept) == (1.0, 0.0)
        and facts.pixels.bits_stored == 8
        and facts.pixels.pixel_representation == 0
    )


def reduction(facts: PictureFacts, viewport: Viewport | None, rows: int, columns: int) -> int:
    """Give by how much frames may be decoded smaller for a viewport: 1, 2, 4 or 8.

    Parameters
    ----------
    rows, columns
        Of the image that the viewport's region lies in.
    """
    pixels = facts.pixels
    if viewport is None or facts.transfer_syntax_uid != JPEG_BASELINE or pixels.bits_allocated != 8:
        return 1
    left, top, right, bottom, *_ = viewport.region(rows, columns)
    shrink = max((right - left) / viewport.width, (bottom - top) / viewport.height)
    # Only where the frame divides evenly does a pixel of the small one stand for whole pixels.
    return next(
        (
            factor
            for factor in (8, 4, 2)
            if shrink >= factor and pixels.rows % factor == 0 and pixels.columns % factor == 0
        ),
        1,
    )


def cut(array: Pixels, viewport: Viewport | None, factor: int = 1) -> Pixels:
    """Cut the viewport's region out, and flip it.

    Parameters
    ----------
    factor
        By how much the array is smaller than the image, of which the region is.
    """
    if viewport is None:
        return array
    rows, columns = array.shape[:2]
    left, top, right, bottom, across, down = viewport.region(rows * factor, columns * factor)
    region = array[top // factor : -(-bottom // factor), left // factor : -(-right // factor)]
    return region[:: -1 if down else 1, :: -1 if across else 1]


def _fitted(image: Image.Image, viewport: Viewport) -> Image.Image:
    scale = min(viewport.width / image.width, viewport.height / image.height)
    width, height = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    if width * height > MAXIMUM_PICTURE:
        raise MalformedQuery("viewport", f"asks for more than {MAXIMUM_PICTURE} pixels")
    if (width, height) == image.size:
        return image
    # Shrinking by box first keeps it fast; Lanczos does the rest. Enlarging is linear.
    resample = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BILINEAR
    return image.resize((width, height), resample, reducing_gap=2.0)


def _shown(array: Pixels, facts: PictureFacts, options: RenderOptions) -> _Shown:
    """Map stored values to 8-bit display values (PS3.4 §N.2)."""
    if array.ndim == 3:
        return _eight_bits(array, facts)
    if facts.palette is not None and facts.pixels.photometric_interpretation == "PALETTE COLOR":
        index = array.astype(np.int64) - facts.palette.first
        return facts.palette.table[np.clip(index, 0, len(facts.palette.table) - 1)]
    grey = _windowed(array, facts, options.window)
    dark_is_high = facts.pixels.photometric_interpretation == "MONOCHROME1"
    return 255 - grey if dark_is_high != facts.inverted else grey


def _eight_bits(array: Pixels, facts: PictureFacts) -> _Shown:
    if array.shape[2] != 3:
        raise CannotRender(f"no picture of {array.shape[2]} samples a pixel")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array, np.uint8)
    if array.dtype.kind != "u":
        raise CannotRender(f"no picture of colour samples of type {array.dtype}")
    shift = max(facts.pixels.bits_stored - 8, 0)
    shown: NDArray[np.uint32] = np.right_shift(array.astype(np.uint32), shift)
    return np.minimum(shown, 255).astype(np.uint8)


def _windowed(array: Pixels, facts: PictureFacts, asked: Window | None) -> _Shown:
    window = asked or facts.window
    slope, intercept = facts.rescale_slope, facts.rescale_intercept
    if window is None and _shown_as_stored(facts) and array.dtype == np.uint8:
        return np.ascontiguousarray(array, np.uint8)
    if window is None and facts.pixels.bits_allocated == 1:
        return array.astype(np.uint8) * np.uint8(255)
    values = array.astype(np.float64) * slope + intercept
    if window is None:
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
        width = max(high - low, 1e-12)
        shown = (values - low) / width
    else:
        shown = _voi(values, window)
    return np.rint(np.clip(np.nan_to_num(shown), 0.0, 1.0) * 255).astype(np.uint8)


def _voi(values: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Apply a VOI window; gives 0 … 1, to be clipped (PS3.3 §C.11.2.1.2, §C.11.2.1.3)."""
    center, width = window.center, window.width
    if window.shape is WindowShape.SIGMOID:
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -500, 500)))
    if window.shape is WindowShape.LINEAR_EXACT:
        return (values - center) / width + 0.5
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return (values - (center - 0.5)) / (width - 1) + 0.5


# --- profiles and files -------------------------------------------------------------------------


def _profile_to_embed(facts: PictureFacts, options: RenderOptions) -> bytes | None:
    """PS3.18 §8.3.5.1.5: ``yes`` is the profile of the image, or sRGB where it has none."""
    if options.icc_profile is IccProfile.NO:
        return None
    if options.icc_profile is IccProfile.YES:
        return facts.icc_profile or srgb_profile()
    return facts.icc_profile


def _in_profile(
    image: Image.Image, facts: PictureFacts, options: RenderOptions
) -> tuple[Image.Image, bytes | None]:
    wanted = options.icc_profile
    if wanted is None or not wanted.is_named:
        return image, _profile_to_embed(facts, options)
    return to_profile(image, facts.icc_profile, wanted)


def encoded(image: Image.Image, profile: bytes | None, options: RenderOptions) -> bytes:
    """Write a picture in the media type that is asked for; raises `CannotRender`."""
    if options.media_type == JPEG:
        if max(image.size) > 65500:
            raise CannotRender("the picture is too large for JPEG; ask for a smaller viewport")
        array = np.ascontiguousarray(np.asarray(image))
        grey = array.ndim == 2
        content: bytes = simplejpeg.encode_jpeg(
            array[:, :, None] if grey else array,
            options.quality or DEFAULT_QUALITY,
            "GRAY" if grey else "RGB",
            "Gray" if grey else "444",
        )
        return content if profile is None else with_icc_profile(content, profile)
    out = io.BytesIO()
    if options.media_type == PNG:
        image.save(out, "PNG", icc_profile=profile, compress_level=3)
    else:
        image.save(out, "GIF")
    return out.getvalue()


def windows_of(
    centers: Sequence[float], widths: Sequence[float], shape: str | None
) -> Window | None:
    """Give the first usable window of an instance; None where it has none (PS3.3 §C.11.2.1.2)."""
    names = {"LINEAR_EXACT": WindowShape.LINEAR_EXACT, "SIGMOID": WindowShape.SIGMOID}
    function = names.get(shape or "", WindowShape.LINEAR)
    for center, width in zip(centers, widths, strict=False):
        try:
            return Window(float(center), float(width), function)
        except MalformedQuery:
            continue  # a window of no width shows nothing: as if it were not there
    return None
