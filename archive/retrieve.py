"""Finding, reading and describing what is kept, and the caches that make it fast.

What hangs on a blob key (frame index, header) never goes stale. Where a path leads is believed for
a few seconds and forgotten on local writes. Who may see it is asked each time.
"""

import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, groupby
from typing import BinaryIO

import orjson
from sqlalchemy.orm import Session

from archive import concatenations
from archive.blobs import BlobStore, SupportsImmediateRead, open_front
from archive.caches import ByteBoundedCache, SingleFlight
from archive.catalog import lookup, tombstones
from archive.catalog.database import Database
from archive.catalog.lookup import Located, MetadataParts
from archive.concatenations import JoinedInstance
from archive.errors import BlobsUnavailable, CannotTranscode, FrameNotFound, Gone, NotFound
from archive.model.frames import ByteSpan
from archive.model.identifiers import InstancePath, ResourcePath
from archive.model.instances import BlobKey, StoredInstance
from archive.part10 import Header, HeaderLimits, bulk_data, read_header
from archive.part10.fragments import joined_fragments
from archive.part10.pixel_description import stored_frame_bits
from archive.rewriting import Source
from auth import Visibility

READ_AHEAD_BYTES = 16 * 1024 * 1024
"""Frames of a long list are read in runs of about this many bytes."""
METADATA_VERSION = 1
"""Of what `part10.to_json` writes: part of every ETag, so that a better release shows."""

_INSTANCE_BYTES = 2048  # of a StoredInstance without its frame index, roughly
_PIECE = 1024 * 1024
_URI = b'"BulkDataURI":"'
_LISTED_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Remembered:
    blob_key: BlobKey
    labels: frozenset[str]
    until: float


@dataclass(frozen=True, slots=True)
class MetadataDocument:
    """The metadata of one instance, kept compressed until it is sent."""

    path: InstancePath
    etag: str
    """Without quotes; changes when the bytes that `json` gives do."""
    header_gz: bytes
    per_frame_gz: bytes | None

    @property
    def header(self) -> bytes:
        """DICOM JSON object without the per-frame functional groups, bulk data URIs relative."""
        return zlib.decompress(self.header_gz, zlib.MAX_WBITS | 16)

    @property
    def per_frame(self) -> bytes | None:
        """The attribute (5200,9230) as DICOM JSON."""
        if self.per_frame_gz is None:
            return None
        return zlib.decompress(self.per_frame_gz, zlib.MAX_WBITS | 16)

    def json(self, instance_url: str) -> Iterator[bytes]:
        """Give the DICOM JSON object in pieces, bulk data URIs made absolute (PS3.18 §F.2.2).

        Parameters
        ----------
        instance_url
            Address of the instance, no slash at its end.
        """
        header = self.header_json(instance_url)
        per_frame = self.per_frame_json(instance_url)
        if per_frame is None:
            yield header
            return
        body = header[:-1]
        yield body + (b"," if len(body) > 1 else b"") + b'"52009230":'
        yield from per_frame
        yield b"}"

    def header_json(self, instance_url: str) -> bytes:
        """Give the DICOM JSON object without the per-frame functional groups."""
        return _with_urls(self.header, instance_url)

    def per_frame_json(self, instance_url: str) -> Iterator[bytes] | None:
        """Give the attribute (5200,9230) in pieces; None where there is none."""
        if self.per_frame_gz is None:
            return None
        return _pieces_with_urls(self.per_frame_gz, instance_url)


class Retriever:
    """Reads for `Archive`. Safe between threads.

    Parameters
    ----------
    frame_cache_bytes, header_cache_bytes
        Bounds of the two caches.
    locate_seconds
        How long it is believed where a path leads.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        limits: HeaderLimits,
        *,
        frame_cache_bytes: int,
        header_cache_bytes: int,
        locate_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._immediate = blobs if isinstance(blobs, SupportsImmediateRead) else None
        self._limits = limits
        self._locate_seconds = locate_seconds
        self._clock = clock
        self._instances: ByteBoundedCache[BlobKey, StoredInstance]
        self._instances = ByteBoundedCache(frame_cache_bytes)
        self._headers: ByteBoundedCache[BlobKey, Header] = ByteBoundedCache(header_cache_bytes)
        self._paths: dict[InstancePath, _Remembered] = {}
        self._paths_lock = threading.Lock()
        self._generation = 0
        self._locating: SingleFlight[tuple[InstancePath, int], Located] = SingleFlight()
        self._reading: SingleFlight[BlobKey, Header] = SingleFlight()

    # --- where things are -------------------------------------------------------------------------

    def cached(self, path: InstancePath, visible: Visibility) -> StoredInstance | None:
        """Give the instance at `path` from memory alone; None when it has to be looked up."""
        remembered = self._paths.get(path)
        if remembered is None or remembered.until < self._clock():
            return None
        if not lookup.may_see(visible, remembered.labels):
            return None
        return self._instances.get(remembered.blob_key)

    def locate(self, path: InstancePath, visible: Visibility) -> StoredInstance:
        """Give the instance at `path` with its frame index.

        Raises
        ------
        NotFound
            When there is none, or none that may be seen.
        """
        found = self.cached(path, visible)
        if found is not None:
            return found
        try:
            located = self._locating.do((path, self._generation), lambda: self._load(path))
        except NotFound:
            raise self._missing(_resource(path), visible) from None
        if not lookup.may_see(visible, located.labels):
            raise _no_instance(path)
        return located.instance

    def forget(self, path: InstancePath) -> None:
        """Drop where `path` leads, because something was just written there."""
        with self._paths_lock:
            self._generation += 1  # what is being loaded right now was read too early
            self._paths.pop(path, None)

    def _load(self, path: InstancePath) -> Located:
        # Taken before the query: what changes while it runs is believed no longer than promised.
        until, generation = self._clock() + self._locate_seconds, self._generation
        with self._database.begin() as session:
            located = lookup.find(session, path, frame_index=False)
            kept = None if located is None else self._instances.get(located.instance.blob_key)
            if located is not None and kept is None:
                located = lookup.find(session, path)
            if located is None:
                located = self._joined(session, path)
        if located is None:
            raise _no_instance(path)
        instance = located.instance if kept is None else kept
        if kept is None:
            weight = 0 if instance.frame_index is None else instance.frame_index.size_bytes
            self._instances.put(instance.blob_key, instance, _INSTANCE_BYTES + weight)
        with self._paths_lock:
            if generation == self._generation:
                self._remember(path, _Remembered(instance.blob_key, located.labels, until))
        return replace(located, instance=instance)

    def _joined(self, session: Session, path: InstancePath) -> Located | None:
        """Give the source of a concatenation, its parts put together; None where there is none."""
        found = lookup.find_parts(session, path)
        if not found:
            return None
        parts = []
        for one in found:
            documents, _ = lookup.list_metadata(
                session, _resource(one.instance.path), Visibility.ALL, limit=1
            )
            header = zlib.decompress(documents[0].header_gz, zlib.MAX_WBITS | 16)
            parts.append(concatenations.Part(one.instance, orjson.loads(header)))
        instance = concatenations.joined(path, parts)
        return None if instance is None else Located(instance, found[0].labels)

    def _source_of(self, resource: ResourcePath, visible: Visibility) -> JoinedInstance | None:
        """Give the source of a concatenation where that is what a resource names."""
        if resource.series is None or resource.instance is None:
            return None
        path = InstancePath(resource.study, resource.series, resource.instance)
        try:
            found = self.locate(path, visible)
        except NotFound:
            return None
        return found if isinstance(found, JoinedInstance) else None

    def _remember(self, path: InstancePath, remembered: _Remembered) -> None:
        if len(self._paths) >= max(self._instances.limit_bytes // _INSTANCE_BYTES, 16):
            now = self._clock()
            self._paths = {p: r for p, r in self._paths.items() if r.until >= now}
            if len(self._paths) >= self._instances.limit_bytes // _INSTANCE_BYTES:
                self._paths = {}
        self._paths[path] = remembered

    def instances(self, resource: ResourcePath, visible: Visibility) -> Sequence[StoredInstance]:
        """Give the instances of a resource, without frame indexes; raises `NotFound` for none."""
        with self._database.begin() as session:
            found = lookup.list_instances(session, resource, visible)
        if not found:
            source = self._source_of(resource, visible)
            if source is not None:
                return [source]
            raise self._missing(resource, visible)
        return found

    def _missing(self, resource: ResourcePath, visible: Visibility) -> NotFound:
        """Say of what is not there whether it never was, or has been deleted."""
        with self._database.begin() as session:
            buried = tombstones.covers(session, resource, visible)
        if buried:
            return Gone("the study, series or instance has been deleted")
        return NotFound("no such study, series or instance")

    # --- what is in them --------------------------------------------------------------------------

    def frame_spans(self, instance: StoredInstance, number: int) -> Sequence[ByteSpan]:
        """Give the fragments of a frame; raises `FrameNotFound`."""
        if isinstance(instance, JoinedInstance):
            instance, number = concatenations.part_of(instance, number)
        return self._with_index(instance).frame_index.frame(number)  # type: ignore[union-attr]

    def frames(self, instance: StoredInstance, numbers: Sequence[int]) -> Iterator[bytes]:
        """Give the stored bytes of each frame in the order asked, fragments joined.

        Raises
        ------
        FrameNotFound
            For any number that there is not, before anything is read.
        CannotTranscode
            When frames cannot be told from each other, as in video.
        """
        if isinstance(instance, JoinedInstance):
            return self._frames_of_parts(instance, numbers)
        if instance.frame_index is None and instance.pixels is not None:
            if self.header(instance).deflated:
                return self._inflated_frames(instance, numbers)
            instance = self._with_index(instance)
        if instance.frame_index is None:
            raise CannotTranscode("the frames of this instance cannot be read one by one")
        wanted = [instance.frame_index.frame(number) for number in numbers]
        return self._read_frames(instance.blob_key, wanted)

    def frame_now(self, instance: StoredInstance, number: int) -> bytes | None:
        """Give the stored bytes of one frame, fragments joined, without waiting for anything.

        Returns
        -------
        bytes or None
            None when the frame is not on this machine, or cannot be read alone: use `frames`.

        Raises
        ------
        FrameNotFound
            When there is no such frame.
        """
        index = instance.frame_index
        if index is None or self._immediate is None:
            return None
        pieces = self._immediate.read_now(instance.blob_key, index.frame(number))
        if pieces is None or len(pieces) == 1:
            return None if pieces is None else pieces[0]
        return b"".join(pieces)

    def _with_index(self, instance: StoredInstance) -> StoredInstance:
        """Give the same instance with its frame index, which listings leave out."""
        if instance.frame_index is not None:
            return instance
        kept = self._instances.get(instance.blob_key)
        if kept is None:
            kept = self._load(instance.path).instance
        if kept.frame_index is None:
            if instance.pixels is None:
                raise NotFound("the instance has no pixel data")
            raise CannotTranscode("the frames of this instance cannot be read one by one")
        return kept

    def _frames_of_parts(self, instance: JoinedInstance, numbers: Sequence[int]) -> Iterator[bytes]:
        """Read frames out of the parts they lie in, those that follow each other in one go."""
        places = [concatenations.part_of(instance, number) for number in numbers]
        runs = [
            (part, [number for _, number in run])
            for part, run in groupby(places, key=lambda place: place[0])
        ]
        return chain.from_iterable(self.frames(part, local) for part, local in runs)

    def _read_frames(self, key: BlobKey, wanted: Sequence[Sequence[ByteSpan]]) -> Iterator[bytes]:
        first = 0
        while first < len(wanted):
            last, size = first, 0
            while last < len(wanted) and (last == first or size < READ_AHEAD_BYTES):
                size += sum(span.length for span in wanted[last])
                last += 1
            spans = [span for frame in wanted[first:last] for span in frame]
            pieces = iter(self._blobs.read(key, spans))
            for frame in wanted[first:last]:
                parts = [next(pieces) for _ in frame]
                yield parts[0] if len(parts) == 1 else b"".join(parts)
            first = last

    def _inflated_frames(self, instance: StoredInstance, numbers: Sequence[int]) -> Iterator[bytes]:
        """Cut native frames out of a deflated data set, inflated as a whole (PS3.5 §A.5)."""
        header, pixels = self.header(instance), instance.pixels
        if header.pixel_data is None or pixels is None:
            raise NotFound("the instance has no pixel data")
        bits, start = stored_frame_bits(pixels), header.pixel_data.value_offset
        edges = []
        for number in numbers:
            if not 1 <= number <= pixels.number_of_frames:
                raise FrameNotFound(number, pixels.number_of_frames)
            edges.append((start + (number - 1) * bits // 8, start + (number * bits + 7) // 8))
        return (bytes(header.data[begin:end]) for begin, end in edges)

    def header(self, instance: StoredInstance) -> Header:
        """Give all of an instance but its pixel data, from memory when it was read lately.

        Of the source of a concatenation it is the header of the first part.
        """
        if isinstance(instance, JoinedInstance):
            instance = instance.parts[0]
        found = self._headers.get(instance.blob_key)
        if found is not None:
            return found
        return self._reading.do(instance.blob_key, lambda: self._read_header(instance))

    def _read_header(self, instance: StoredInstance) -> Header:
        with open_front(self._blobs, instance.blob_key, instance.size) as file:
            header = read_header(file, size=instance.size, limits=self._limits)
        # What it holds of memory: the bytes up to the pixel data, and the objects made of them.
        end = header.size if header.pixel_data is None else header.pixel_data.value_offset
        self._headers.put(instance.blob_key, header, 2 * end + _INSTANCE_BYTES)
        return header

    def bulk_data(self, instance: StoredInstance, attribute_path: str) -> bytes:
        """Give one bulk data value, little endian; raises `BulkDataNotFound`."""
        if isinstance(instance, JoinedInstance):
            instance, attribute_path = concatenations.bulk_data_of(instance, attribute_path)
        return bulk_data(self.header(instance), attribute_path)

    def open(self, instance: StoredInstance) -> AbstractContextManager[BinaryIO]:
        """Open the whole Part 10 file."""
        return self._blobs.open(instance.blob_key)

    def pieces(self, instance: StoredInstance, offset: int, length: int) -> Iterator[bytes]:
        """Give a part of the Part 10 file, in pieces of one size but for the last."""
        with self._blobs.open(instance.blob_key) as file:
            file.seek(offset)
            yield from _whole_pieces(file, length)

    def video(self, instance: StoredInstance) -> Iterator[bytes]:
        """Give encapsulated pixel data as one stream, fragments joined; raises `NotFound`."""
        element = self.header(instance).pixel_data
        if element is None or element.length is not None:
            raise NotFound("the instance has no encapsulated pixel data")
        return self._fragments(instance, element.value_offset)

    def _fragments(self, instance: StoredInstance, offset: int) -> Iterator[bytes]:
        with self._blobs.open(instance.blob_key) as file:
            file.seek(offset)
            yield from joined_fragments(file)

    def source(self, instance: StoredInstance) -> Source:
        """Give what an instance is rewritten from."""
        header = self.header(instance)

        def inflated(offset: int, length: int) -> Iterator[bytes]:
            for at in range(offset, offset + length, _PIECE):
                yield bytes(header.data[at : min(at + _PIECE, offset + length)])

        return Source(
            header,
            instance.pixels,
            partial(self.frames, instance),
            inflated if header.deflated else partial(self.pieces, instance),
        )

    def metadata(self, resource: ResourcePath, visible: Visibility) -> Iterator[MetadataDocument]:
        """Give the metadata of a resource, a few instances at a time in memory.

        Raises
        ------
        NotFound
            When there is nothing at `resource`; before the first document.
        """
        first = self._some_metadata(resource, visible, 0)
        if not first[0]:
            source = self._source_of(resource, visible)
            if source is not None:
                return iter([self._joined_document(source, visible)])
            raise self._missing(resource, visible)
        return self._documents(resource, visible, first)

    def _joined_document(self, source: JoinedInstance, visible: Visibility) -> MetadataDocument:
        parts = [self._some_metadata(_resource(part.path), visible, 0)[0] for part in source.parts]
        found = [one for some in parts for one in some]
        if len(found) != len(source.parts):  # one was deleted just now
            raise _no_instance(source.path)
        etag = f"{source.sha256[:32]}-m{METADATA_VERSION}"
        header = concatenations.joined_header(source, found[0].header_gz)
        per_frame = concatenations.joined_per_frame(source, [one.per_frame_gz for one in found])
        return MetadataDocument(source.path, etag, header, per_frame)

    def _documents(
        self,
        resource: ResourcePath,
        visible: Visibility,
        found: tuple[list[MetadataParts], int],
    ) -> Iterator[MetadataDocument]:
        parts, after = found
        while parts:
            for part in parts:
                etag = f"{part.sha256[:32]}-m{METADATA_VERSION}"
                yield MetadataDocument(part.path, etag, part.header_gz, part.per_frame_gz)
            if len(parts) < _LISTED_AT_ONCE:
                return
            parts, after = self._some_metadata(resource, visible, after)

    def _some_metadata(
        self, resource: ResourcePath, visible: Visibility, after: int
    ) -> tuple[list[MetadataParts], int]:
        with self._database.begin() as session:
            return lookup.list_metadata(
                session, resource, visible, limit=_LISTED_AT_ONCE, after=after
            )


def _whole_pieces(file: BinaryIO, length: int) -> Iterator[bytes]:
    """Read `length` bytes in pieces of one size, though a connection may give fewer at a time."""
    while length > 0:
        piece = bytearray()
        while len(piece) < min(_PIECE, length):
            chunk = file.read(min(_PIECE, length) - len(piece))
            if not chunk:
                raise BlobsUnavailable("a blob ended before its pixel data did")
            piece += chunk
        length -= len(piece)
        yield bytes(piece)


def _resource(path: InstancePath) -> ResourcePath:
    return ResourcePath(path.study, path.series, path.instance)


def _no_instance(path: InstancePath) -> NotFound:
    return NotFound(f"no instance {path.instance} in series {path.series} of study {path.study}")


def _with_urls(content: bytes, instance_url: str) -> bytes:
    # Quotes within JSON strings are escaped, so these bytes are a key and nothing else.
    return content.replace(_URI, _URI + instance_url.encode() + b"/")


def _pieces_with_urls(compressed: bytes, instance_url: str) -> Iterator[bytes]:
    """Inflate in pieces; the key is also found where it lies across the edge of two."""
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    waiting, rest = b"", compressed
    while not inflater.eof:
        piece = inflater.decompress(rest, _PIECE)
        rest = inflater.unconsumed_tail
        if not piece and not rest:
            break
        waiting = _with_urls(waiting + piece, instance_url)
        # A key that was completed is replaced; what may be the beginning of one is kept back, and
        # cannot hold a whole one, so nothing is replaced twice.
        keep = next((n for n in range(len(_URI) - 1, 0, -1) if waiting.endswith(_URI[:n])), 0)
        yield waiting[: len(waiting) - keep]
        waiting = waiting[len(waiting) - keep :]
    yield waiting
