"""Drawing for the rendered resources.

Owns what a picture hangs on, which instance stands for many, and how many are drawn at a time.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson

from archive.animation import can_animate, render_animation
from archive.archive import Archive
from archive.cancellation import check, checked
from archive.composition import MAXIMUM_PIXELS, render_instance
from archive.errors import CannotRender, NotFound
from archive.model.attributes import Level
from archive.model.identifiers import InstancePath, ResourcePath
from archive.model.instances import BlobKey, StoredInstance
from archive.model.query import Query, ResultRow
from archive.picture_facts import (
    TileGrid,
    frame_scales,
    picture_facts,
    tile_grid,
    tile_places,
)
from archive.render_options import GIF, RenderOptions
from archive.rendering import PictureFacts, render_frame
from archive.retrieve import MetadataDocument
from auth import Visibility
from dicomweb.problems import Busy

WAIT_SECONDS = 20.0
"""How long a request waits for its turn to draw before it is told to come back."""
LOOK_SECONDS = 0.5
"""How often a request that waits looks whether its client still does."""
REMEMBERED = 128
"""Instances whose facts are remembered: some kilobytes each, most of it the ICC profile."""
MAXIMUM_CANDIDATES = 1000
"""Instances of a series or study that are looked at for its thumbnail."""
MAXIMUM_PLACED = 20_000
"""Tiles of a sparse instance whose places are read."""
MAXIMUM_SCALED = 2000
"""Frames that are no tiles whose own windows and rescaling are read."""


@dataclass(frozen=True, slots=True)
class Drawable:
    """An instance, and all that its pictures hang on."""

    instance: StoredInstance
    facts: PictureFacts
    grid: TileGrid | None
    places: Any  # (frames, 2) int64 or None; only where the grid is not full

    @property
    def is_sequence(self) -> bool:
        """Whether it has frames that make no picture together."""
        return self.grid is None and self.facts.pixels.number_of_frames > 1


class Pictures:
    """Draws, a bounded number at a time: decoding takes a core and much memory."""

    def __init__(self, maximum_pixels: int) -> None:
        self._maximum_pixels = maximum_pixels
        self._turns = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))
        self._lock = threading.Lock()
        self._known: OrderedDict[BlobKey, Drawable] = OrderedDict()

    def drawable(self, archive: Archive, instance: StoredInstance, visible: Visibility) -> Drawable:
        """Give what the pictures of an instance hang on; remembered, for a blob never changes.

        Raises
        ------
        CannotRender
            When it has no pixel data, or its frames are too large to be decoded.
        """
        with self._lock:
            known = self._known.get(instance.blob_key)
            if known is not None:
                self._known.move_to_end(instance.blob_key)
                return known
        known = self._read(archive, instance, visible)
        with self._lock:
            self._known[instance.blob_key] = known
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return known

    def animates(self, drawable: Drawable, options: RenderOptions) -> bool:
        """Tell whether an instance can be drawn as a moving picture, within bounds."""
        possible = can_animate(drawable.facts, options, self._maximum_pixels)
        return drawable.is_sequence and possible

    def draw(
        self, archive: Archive, drawable: Drawable, options: RenderOptions, *, still: bool = False
    ) -> bytes:
        """Draw an instance: its frame, its tiles put together, or frames that move (GIF).

        Parameters
        ----------
        still
            One picture, of frames that would move as well.

        Raises
        ------
        CannotRender
            When it is too large, or its frames cannot be decoded.
        """

        def read(numbers: Sequence[int]) -> Iterable[bytes]:
            return checked(archive.frames(drawable.instance, numbers))

        with self._turn():
            if options.media_type == GIF and not still and self.animates(drawable, options):
                return render_animation(read, drawable.facts, options)
            return render_instance(
                read,
                drawable.facts,
                options,
                drawable.grid,
                drawable.places,
            )

    def draw_frames(
        self, archive: Archive, drawable: Drawable, numbers: Sequence[int], options: RenderOptions
    ) -> list[bytes]:
        """Draw frames, in the order asked for."""
        contents = checked(archive.frames(drawable.instance, numbers))
        with self._turn():
            return [
                render_frame(content, drawable.facts, options, number=number)
                for number, content in zip(numbers, contents, strict=True)
            ]

    @contextmanager
    def _turn(self) -> Iterator[None]:
        for _ in range(int(WAIT_SECONDS / LOOK_SECONDS)):
            if self._turns.acquire(timeout=LOOK_SECONDS):
                break
            check()
        else:
            raise Busy("as many pictures are being drawn as this server draws at a time")
        try:
            yield
        finally:
            self._turns.release()

    def _read(self, archive: Archive, instance: StoredInstance, visible: Visibility) -> Drawable:
        pixels = instance.pixels
        if pixels is None:
            raise CannotRender("the instance has no pixel data")
        if pixels.rows * pixels.columns > self._maximum_pixels:
            raise CannotRender(
                f"its frames of {pixels.columns} x {pixels.rows} are larger than are drawn"
            )
        document = _document(archive, instance.path, visible)
        header = orjson.loads(document.header)
        facts = picture_facts(
            header,
            pixels,
            instance.transfer_syntax_uid,
            lambda path: archive.bulk_data(instance, path),
        )
        grid = tile_grid(header)
        places = None
        if grid is None and pixels.number_of_frames <= MAXIMUM_SCALED:
            facts = replace(facts, scales=frame_scales(header, _per_frame(document), pixels))
        elif grid is not None and not grid.full and pixels.number_of_frames <= MAXIMUM_PLACED:
            places = tile_places(_per_frame(document))
        return Drawable(instance, facts, grid, places)


def thumbnail_of(
    archive: Archive, pictures: Pictures, resource: ResourcePath, visible: Visibility
) -> StoredInstance:
    """Choose the instance whose picture stands for a series or a study.

    The thumbnail of a slide where there is one (Image Type value 3, PS3.3 §C.8.12.4.1.1), else its
    smallest level, else whatever can be drawn. Never one that may show who the patient is: "The
    Thumbnail shall not contain any Patient Identifying Information" (PS3.18 §10.4.3.3.4).

    Raises
    ------
    NotFound
        When there is nothing at all.
    CannotRender
        When nothing there can be drawn.
    """
    query = Query(
        level=Level.INSTANCE,
        study=resource.study,
        series=resource.series,
        limit=MAXIMUM_CANDIDATES,
    )
    rows = archive.search(query, visible=visible).rows
    if not rows:
        raise NotFound("there is no such study or series")
    for row in sorted(rows, key=_unsuitability):
        path = InstancePath.parse(row.study, row.series or "", row.instance or "")
        instance = archive.locate(path, visible=visible)
        if instance.pixels is None or _total_pixels(row) > MAXIMUM_PIXELS:
            continue
        with suppress(CannotRender):  # frames that are too large
            if not pictures.drawable(archive, instance, visible).facts.identifying:
                return instance
    raise CannotRender(
        "there is no instance with pixel data that is small enough to be drawn and free of what "
        "may tell who the patient is"
    )


def _unsuitability(row: ResultRow) -> tuple[int, int]:
    """Order candidates: thumbnails, levels from the smallest, overviews, labels last."""
    values = row.attributes.get("00080008", {}).get("Value", [])
    flavour = values[2] if len(values) > 2 else ""
    rank = {"THUMBNAIL": 0, "VOLUME": 1, "OVERVIEW": 3, "LABEL": 4}.get(flavour, 2)
    return rank, _total_pixels(row)


def _total_pixels(row: ResultRow) -> int:
    """Pixels of the whole image: of its total pixel matrix, or of the frame that stands for it."""
    columns, rows = _number(row, "00480006"), _number(row, "00480007")
    if columns and rows:
        return columns * rows
    return _number(row, "00280010") * _number(row, "00280011")


def _number(row: ResultRow, tag: str) -> int:
    values = row.attributes.get(tag, {}).get("Value") or [0]
    return int(values[0] or 0)


def _document(archive: Archive, path: InstancePath, visible: Visibility) -> MetadataDocument:
    resource = ResourcePath(path.study, path.series, path.instance)
    return next(iter(archive.metadata(resource, visible=visible)))


def _per_frame(document: MetadataDocument) -> Sequence[Mapping[str, Any]]:
    """Read the per-frame functional groups; none where there are none."""
    per_frame = document.per_frame
    return [] if per_frame is None else orjson.loads(per_frame).get("Value", [])
