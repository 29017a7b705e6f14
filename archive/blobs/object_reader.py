"""An object of a bucket as a file: read as one stream, asked for anew only after a jump."""

import io
from collections.abc import Callable
from types import TracebackType

import urllib3

from archive.errors import BlobsUnavailable

ATTEMPTS = 3
"""Times that a stream which breaks off is taken up again where it broke."""


class ObjectReader(io.RawIOBase):
    """Reads an object from where it stands; holds one connection and no more than a read asks for.

    Parameters
    ----------
    request
        Opens the object from an offset to its end.
    size
        Bytes of the object.
    """

    def __init__(self, request: Callable[[int], urllib3.BaseHTTPResponse], size: int) -> None:
        super().__init__()
        self._request = request
        self._size = size
        self._position = 0
        self._response: urllib3.BaseHTTPResponse | None = None

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can seek."""
        return True

    def tell(self) -> int:
        """Give the position, bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go somewhere else; costs a request when the next read comes."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        position = max(0, start + offset)
        if position != self._position:
            self._drop()
            self._position = position
        return position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's WriteableBuffer has no length
        """Read into `buffer`; 0 at the end."""
        wanted = min(len(buffer), self._size - self._position)
        if wanted <= 0:
            return 0
        content = self._read(wanted)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        """Let go of the connection."""
        self._drop()
        super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self, wanted: int) -> bytes:
        """Read some bytes, at least one, taking a broken stream up again."""
        broken: Exception | None = None
        for _ in range(ATTEMPTS):
            if self._response is None:
                self._response = self._request(self._position)
            try:
                content = self._response.read(wanted)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                broken = error
            else:
                if content:
                    return content
            self._drop()
        message = f"the object store broke off {ATTEMPTS} times at byte {self._position}"
        raise BlobsUnavailable(message) from broken

    def _drop(self) -> None:
        """Close rather than drain: what is left may be gigabytes."""
        if self._response is not None:
            self._response.close()
            self._response.release_conn()
            self._response = None
