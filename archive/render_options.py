"""What a client asks of a picture, as values (PS3.18 §8.3.5)."""

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

from archive.errors import CannotRender, MalformedQuery

JPEG, PNG, GIF = "image/jpeg", "image/png", "image/gif"
MEDIA_TYPES = (JPEG, PNG, GIF)
"""Rendered media types of single frames, the default first (PS3.18 Table 8.7.4-1)."""

MAXIMUM_SIDE = 16384


class IccProfile(StrEnum):
    """The iccprofile parameter (PS3.18 §8.3.5.1.5)."""

    NO = "no"
    YES = "yes"
    SRGB = "srgb"
    ADOBE_RGB = "adobergb"
    ROMM_RGB = "rommrgb"

    @property
    def is_named(self) -> bool:
        """Whether the picture is to be brought into this colour space."""
        return self not in (IccProfile.NO, IccProfile.YES)


class Annotation(StrEnum):
    """The keywords of the annotation parameter (PS3.18 §8.3.5.1.1)."""

    PATIENT = "patient"
    TECHNIQUE = "technique"


class WindowShape(StrEnum):
    """The VOI LUT function (PS3.3 §C.11.2.1.3)."""

    LINEAR = "linear"
    LINEAR_EXACT = "linear-exact"
    SIGMOID = "sigmoid"


@dataclass(frozen=True, slots=True)
class Window:
    """Which stored values, after rescaling, go from black to white."""

    center: float
    width: float
    shape: WindowShape = WindowShape.LINEAR

    def __post_init__(self) -> None:
        least = 1.0 if self.shape is WindowShape.LINEAR else 0.0
        finite = isfinite(self.center) and isfinite(self.width)
        if not finite or self.width < least or self.width == 0:
            raise MalformedQuery("window", "center and width are numbers, and width is at least 1")

    @classmethod
    def parse(cls, text: str) -> "Window":
        """Read ``center,width,function``, none of which may be missing (PS3.18 §8.3.5.1.4).

        Raises
        ------
        MalformedQuery
            When it is something else.
        """
        parts = text.split(",")
        if len(parts) != 3:
            raise MalformedQuery("window", "expected center,width,function")
        try:
            return cls(float(parts[0]), float(parts[1]), WindowShape(parts[2]))
        except ValueError as error:
            raise MalformedQuery("window", str(error)) from error


@dataclass(frozen=True, slots=True)
class Viewport:
    """How large the picture is to be, and of which region (PS3.18 §8.3.5.1.3).

    The region is scaled to fit within `width` x `height` with its shape kept, and never padded.
    """

    width: int
    height: int
    x: float | None = None
    y: float | None = None
    region_width: float | None = None
    region_height: float | None = None
    """Negative is flipped."""

    def __post_init__(self) -> None:
        if not (1 <= self.width <= MAXIMUM_SIDE and 1 <= self.height <= MAXIMUM_SIDE):
            raise MalformedQuery("viewport", f"width and height lie between 1 and {MAXIMUM_SIDE}")
        if self.region_width == 0 or self.region_height == 0:
            raise MalformedQuery("viewport", "the source region is empty")
        region = (self.x, self.y, self.region_width, self.region_height)
        if any(side is not None and not isfinite(side) for side in region):
            raise MalformedQuery("viewport", "the source region is of finite numbers")

    @classmethod
    def parse(cls, text: str, *, region_allowed: bool = True) -> "Viewport":
        """Read ``vw,vh`` or ``vw,vh,sx,sy,sw,sh``, of which the last four may be empty.

        Raises
        ------
        MalformedQuery
            When it is something else, or for a region where `region_allowed` is not: a thumbnail.
        """
        parts = text.split(",")
        if len(parts) != 2 and not (region_allowed and len(parts) == 6):
            raise MalformedQuery("viewport", "expected vw,vh or vw,vh,sx,sy,sw,sh")
        try:
            region = [float(part) if part.strip() else None for part in parts[2:]]
            return cls(int(parts[0]), int(parts[1]), *region)
        except ValueError as error:
            raise MalformedQuery("viewport", "its parts are numbers") from error

    def region(self, rows: int, columns: int) -> tuple[int, int, int, int, bool, bool]:
        """Give left, top, right, bottom of the region within an image, and whether it is flipped.

        Raises
        ------
        MalformedQuery
            When nothing of it lies within the image.
        """
        left, top = self.x or 0.0, self.y or 0.0
        width = columns - left if self.region_width is None else self.region_width
        height = rows - top if self.region_height is None else self.region_height
        right, bottom = left + abs(width), top + abs(height)
        box = (max(round(left), 0), max(round(top), 0))
        end = (min(round(right), columns), min(round(bottom), rows))
        if end[0] <= box[0] or end[1] <= box[1]:
            raise MalformedQuery("viewport", f"the source region lies outside {columns} x {rows}")
        return *box, *end, width < 0, height < 0


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """What a client asks of a picture."""

    media_type: str = JPEG
    quality: int | None = None
    """1 … 100, of JPEG only."""
    viewport: Viewport | None = None
    window: Window | None = None
    icc_profile: IccProfile | None = None
    """None: the instance's own profile where it has one."""
    annotations: tuple[Annotation, ...] = ()

    def __post_init__(self) -> None:
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise MalformedQuery("quality", "lies between 1 and 100")
        if self.media_type not in MEDIA_TYPES:
            raise CannotRender(f"no pictures of type {self.media_type}", MEDIA_TYPES)
