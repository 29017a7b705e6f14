"""A blob as a file whose first part is what is looked at: a header, not the pixel data.

The first part comes by `read`, so that a cache serves it and keeps it; the rest by `open`, past any
cache, so that a header of 100 MB, or one that is looked for in vain, pushes out nothing.
"""

import contextlib
import io
from collections.abc import Iterator
from typing import BinaryIO

from archive.blobs.store import BlobStore, SupportsLocalPath
from archive.model.frames import ByteSpan
from archive.model.instances import BlobKey

FRONT_BYTES = 4 * 1024 * 1024
"""The first part: longer than the header of nearly every slide but those of TILED_SPARSE."""

_STEP_BYTES = 256 * 1024


@contextlib.contextmanager
def open_front(blobs: BlobStore, key: BlobKey, size: int) -> Iterator[BinaryIO]:
    """Open a blob of `size` bytes for reading its header; the errors are those of the store."""
    if isinstance(blobs, SupportsLocalPath):  # a file can be mapped
        with blobs.open(key) as file:
            yield file
        return
    with (
        _FrontReader(blobs, key, size) as raw,
        io.BufferedReader(raw, _STEP_BYTES) as file,
    ):
        yield file


class _FrontReader(io.RawIOBase):
    def __init__(self, blobs: BlobStore, key: BlobKey, size: int) -> None:
        super().__init__()
        self._blobs = blobs
        self._key = key
        self._size = size
        self._position = 0
        self._rest: BinaryIO | None = None
        self._opened = contextlib.ExitStack()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's WriteableBuffer has no length
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        if self._position < FRONT_BYTES:
            wanted = min(wanted, FRONT_BYTES - self._position)
            (content,) = self._blobs.read(self._key, [ByteSpan(self._position, wanted)])
        else:
            content = self._read_rest(wanted)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        self._opened.close()
        super().close()

    def _read_rest(self, wanted: int) -> bytes:
        if self._rest is None:
            self._rest = self._opened.enter_context(self._blobs.open(self._key))
        self._rest.seek(self._position)
        return self._rest.read(wanted)
