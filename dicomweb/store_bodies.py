"""The bodies of store requests on their way to scratch, in both forms (PS3.18 §10.5.1.4).

One body is DICOM files; the other is metadata, as JSON or XML, and bulk data, which those refer to
by Content-Location. Both are received whole before anything is made of them.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, Self
from urllib.parse import urljoin

import orjson

from archive.assembly import BulkPart
from archive.blobs import Staging
from archive.blobs.staging import refusing_a_full_disk
from archive.errors import MalformedRequest, TooLarge, UnsupportedMedia
from archive.model.instances import StagedFile
from archive.part10.from_json import Attributes, StagedBulk
from dicomweb.media_types import MediaType, parse_media_type
from dicomweb.multipart import MultipartReader, PartBytes, PartEnds, PartStarts, boundary_of
from dicomweb.native_model import MEDIA_TYPE as DICOM_XML
from dicomweb.native_model import from_xml
from dicomweb.problems import Busy
from dicomweb.receiving import FileParts

DICOM = "application/dicom"
DICOM_JSON = "application/dicom+json"
METADATA = frozenset({DICOM_JSON, DICOM_XML})
"""Media types of metadata (PS3.18 Table 10.5.4-1)."""
MAXIMUM_METADATA_BYTES = 64 * 1024 * 1024
"""Of all metadata in one request: they are held in memory. Larger ones come as DICOM files."""

MAXIMUM_METADATA_AT_ONCE = 2 * MAXIMUM_METADATA_BYTES
"""Of all requests of a process; decoded they take some ten times that."""
SHORTEST_FILE_BYTES = 132
"""Preamble and prefix of a DICOM file (PS3.10 §7.1)."""

_HARMLESS_ENCODINGS = {"", "binary", "8bit", "7bit"}


@dataclass(frozen=True, slots=True)
class UnusablePart:
    """A part that is nothing of what the request says it is."""

    why: str


class StoreBody(Protocol):
    """What takes the body of a store request."""

    def take(self, chunk: bytes) -> None:
        """Take the next bytes."""
        ...

    def finish(self) -> None:
        """Say that the body has ended; raises `MalformedRequest` when it is not whole, or empty."""
        ...


def content_type_of(text: str | None) -> tuple[MediaType, str]:
    """Check what the request says its body is (PS3.18 §10.5.4).

    Returns
    -------
    tuple of MediaType and str
        The media type, and that of the parts, or of the body itself.

    Raises
    ------
    UnsupportedMedia, MalformedRequest
    """
    if text is None:
        raise UnsupportedMedia(
            'a store request needs Content-Type: multipart/related; type="application/dicom"'
        )
    media_type = parse_media_type(text)
    root = media_type.parameters.get("type", DICOM) if media_type.is_multipart else media_type.name
    root = root.partition(";")[0].strip().lower()
    if root != DICOM and root not in METADATA:
        raise UnsupportedMedia(
            f"{root[:80]!r} is not taken: send multipart/related of {DICOM}, or of {DICOM_JSON} or "
            f"{DICOM_XML} with bulk data"
        )
    if media_type.is_multipart:
        boundary_of(media_type.parameters)
    return media_type, root


class FileBody:
    """A body of DICOM files.

    Attributes
    ----------
    parts
        In the order received.
    """

    def __init__(self, content_type: MediaType, files: FileParts) -> None:
        self.parts: list[StagedFile | UnusablePart] = []
        self._files = files
        self._reader: MultipartReader | None = None
        self._unusable: UnusablePart | None = None
        self._held = bytearray()
        """The beginning of a part that has no file in scratch yet."""
        if content_type.is_multipart:
            self._reader = MultipartReader(boundary_of(content_type.parameters))

    def take(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if self._reader is None:
            self._write(memoryview(chunk))
            return
        for event in self._reader.feed(chunk):
            if isinstance(event, PartStarts):
                self._unusable = _why_unusable(event.headers, frozenset({DICOM}))
            elif isinstance(event, PartBytes):
                if self._unusable is None:
                    self._write(event.content)
            elif isinstance(event, PartEnds):
                self.parts.append(self._unusable or self._end())

    def finish(self) -> None:
        """Say that the body has ended; raises `MalformedRequest` when it is not whole, or empty."""
        if self._reader is None:
            self.parts.append(self._end())
        else:
            self._reader.finish()
        if not self.parts:
            raise MalformedRequest("the multipart body has no parts")

    def _write(self, content: memoryview) -> None:
        """Write to the part that began last; its file is made when it may be a DICOM file at all.

        A request may have a great many parts of a few bytes, and each file costs a sync to disk.
        """
        if self._files.is_open:
            self._files.write(content)
            return
        self._held += content
        if len(self._held) >= SHORTEST_FILE_BYTES:
            self._files.begin()
            self._files.write(memoryview(bytes(self._held)))
            self._held.clear()

    def _end(self) -> StagedFile | UnusablePart:
        if self._files.is_open:
            return self._files.end()
        size = len(self._held)
        self._held.clear()
        return UnusablePart(f"a part of {size} bytes, too short for a DICOM file (PS3.10 §7.1)")


def _why_unusable(headers: Mapping[str, str], taken: frozenset[str]) -> UnusablePart | None:
    """Tell why a part cannot be a DICOM file; None when it can."""
    if headers.get("content-transfer-encoding", "").lower() not in _HARMLESS_ENCODINGS:
        return UnusablePart("a part with a Content-Transfer-Encoding other than binary")
    try:
        name = parse_media_type(headers.get("content-type", DICOM)).name
    except MalformedRequest:
        name = ""
    return None if name in taken else UnusablePart(f"a part that is not {' or '.join(taken)}")


# --- metadata and bulk data -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    number: int
    media_type: MediaType
    locations: tuple[str, ...]
    content: StagedBulk


class MetadataBudget:
    """Bounds what metadata of requests that are stored at the same time take in memory."""

    def __init__(self, limit_bytes: int = MAXIMUM_METADATA_AT_ONCE) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._taken = 0

    @contextmanager
    def take(self, size: int) -> Iterator[None]:
        """Hold this many bytes for as long as the block runs; raises `Busy` when there are none."""
        with self._lock:
            if self._taken and self._taken + size > self._limit_bytes:
                raise Busy("as much metadata as this server holds at a time is being stored")
            self._taken += size
        try:
            yield
        finally:
            with self._lock:
                self._taken -= size


class MetadataBody:
    """A body of metadata and bulk data, all of it in one file of scratch.

    A context manager, which removes that file.

    Parameters
    ----------
    root
        Media type of the metadata.
    base_url
        What relative references are relative to, in either place.
    """

    def __init__(self, content_type: MediaType, root: str, staging: Staging, base_url: str) -> None:
        self.unusable: list[UnusablePart] = []
        self._root = root
        self._base_url = base_url
        self._metadata: list[_Part] = []
        self._bulk: dict[str, list[_Part]] = {}
        self._used: set[int] = set()
        self._staging = staging
        self._stack = ExitStack()
        self._headers: Mapping[str, str] = {"content-type": root}
        self._count = self._start = self._end = 0
        self._reader: MultipartReader | None = None
        if content_type.is_multipart:
            self._reader = MultipartReader(boundary_of(content_type.parameters))

    def __enter__(self) -> Self:
        self._path = self._stack.enter_context(self._staging.work_folder()) / "parts"
        with refusing_a_full_disk(self._path.parent):
            self._file = self._stack.enter_context(self._path.open("xb"))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def take(self, chunk: bytes) -> None:
        """Take the next bytes of the body."""
        if self._reader is None:
            self._write(memoryview(chunk))
            return
        for event in self._reader.feed(chunk):
            if isinstance(event, PartStarts):
                self._headers, self._start = event.headers, self._end
            elif isinstance(event, PartBytes):
                self._write(event.content)
            elif isinstance(event, PartEnds):
                self._end_part()

    def finish(self) -> None:
        """Say that the body has ended; raises `MalformedRequest` when it is not whole, or empty."""
        if self._reader is None:
            self._end_part()
        else:
            self._reader.finish()
        with refusing_a_full_disk(self._path.parent):
            self._file.flush()
        if not self._metadata:
            raise MalformedRequest(f"the body has no part of {self._root}")

    @property
    def metadata_bytes(self) -> int:
        """Bytes of all metadata."""
        return sum(part.content.length for part in self._metadata)

    def instances(self) -> list[Attributes]:
        """Read the metadata of all instances.

        Raises
        ------
        MalformedRequest
            When they cannot be read: nothing has been stored then.
        TooLarge
            When there are more of them than are taken.
        """
        if self.metadata_bytes > MAXIMUM_METADATA_BYTES:
            raise TooLarge("the metadata", MAXIMUM_METADATA_BYTES)
        found: list[Attributes] = []
        for part in self._metadata:
            found.extend(_read_metadata(part.media_type.name, self._content(part)))
        if not found:
            raise MalformedRequest("the metadata are of no instance")
        return found

    def find(self, uri: str) -> Sequence[BulkPart]:
        """Give the parts that a BulkDataURI refers to: one, or the frames of pixel data in order.

        Frames have that URI all of them, or with ``/frames/1`` and so on behind it.
        """
        location = urljoin(self._base_url, uri.strip())
        parts = self._bulk.get(location) or list(self._frames(location))
        self._used.update(part.number for part in parts)
        return [
            BulkPart(
                part.media_type.name,
                part.media_type.parameters.get("transfer-syntax") or None,
                part.content,
            )
            for part in parts
        ]

    def unreferenced(self) -> Iterator[UnusablePart]:
        """Tell of the parts that no BulkDataURI has asked for."""
        numbers = {part.number for parts in self._bulk.values() for part in parts}
        for number in sorted(numbers - self._used):
            yield UnusablePart(f"no BulkDataURI refers to part {number}")

    def _frames(self, location: str) -> Iterator[_Part]:
        number = 1
        while parts := self._bulk.get(f"{location}/frames/{number}"):
            yield from parts
            number += 1

    def _write(self, content: memoryview) -> None:
        with refusing_a_full_disk(self._path.parent):
            self._file.write(content)
        self._end += len(content)

    def _end_part(self) -> None:
        self._count += 1
        content = StagedBulk(self._path, self._start, self._end - self._start)
        unusable = self._sorted_in(content)
        if unusable is not None:
            self.unusable.append(UnusablePart(f"part {self._count}: {unusable}"))

    def _sorted_in(self, content: StagedBulk) -> str | None:
        """Put a part where it belongs; tells why it belongs nowhere."""
        headers = self._headers
        if headers.get("content-transfer-encoding", "").lower() not in _HARMLESS_ENCODINGS:
            return "a Content-Transfer-Encoding other than binary"
        default = "application/octet-stream" if self._metadata else self._root
        try:
            media_type = parse_media_type(headers.get("content-type", default))
        except MalformedRequest:
            return "its Content-Type is not well formed"
        locations = [headers.get("content-location", "").strip()]
        if "content-id" in headers:  # RFC 2392
            locations.append(f"cid:{headers['content-id'].strip().strip('<>')}")
        named = tuple(urljoin(self._base_url, text) for text in locations if text)
        part = _Part(self._count, media_type, named, content)
        if media_type.name in METADATA and (media_type.name == self._root or not named):
            self._metadata.append(part)
            return None
        if not named:
            return "it is no metadata, and has no Content-Location"
        for location in named:
            self._bulk.setdefault(location, []).append(part)
        return None

    def _content(self, part: _Part) -> bytes:
        with self._path.open("rb") as file:
            file.seek(part.content.offset)
            return file.read(part.content.length)


def _read_metadata(media_type: str, content: bytes) -> list[Any]:
    """Read one part: an XML document of one instance, or a JSON array of any number."""
    if media_type == DICOM_XML:
        return [from_xml(content)]
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(f"the metadata are not JSON: {error.msg}") from error
    return found if isinstance(found, list) else [found]
