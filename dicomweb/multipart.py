"""Bodies in parts: ``multipart/related`` in and out, forms in (RFC 2046, RFC 2387, RFC 7578).

The reader is a push parser: bytes go in as they come from the wire, events come out, and what it
holds does not grow with the size of the body. The writer knows the length of the whole before the
first byte is sent.
"""

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from archive.errors import MalformedRequest, TooLarge

MAXIMUM_PART_HEADER_BYTES = 16 * 1024
"""Bytes of the header of one part; a few hundred are usual."""
MAXIMUM_PREAMBLE_BYTES = 64 * 1024
"""Bytes before the first boundary, which mean nothing (RFC 2046 §5.1.1)."""
MAXIMUM_EPILOGUE_BYTES = 64 * 1024
"""Bytes behind the last boundary, which mean nothing either."""
MAXIMUM_PARTS = 100_000
"""Parts of one body; a study of single frames has some thousands."""
MAXIMUM_BOUNDARY_LENGTH = 200
"""Characters; RFC 2046 §5.1.1 has 70, and some clients exceed it."""

# RFC 2046 §5.1.1 bchars, and the few beyond them that are harmless and sent in the field.
_BOUNDARY = re.compile(r"[!-~ ]*[!-~]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PADDING = b" \t"


@dataclass(frozen=True, slots=True)
class PartStarts:
    """A part begins."""

    headers: Mapping[str, str]
    """Names in lower case."""


@dataclass(frozen=True, slots=True)
class PartBytes:
    """The next bytes of the part that began last; never empty."""

    content: memoryview


@dataclass(frozen=True, slots=True)
class PartEnds:
    """All of the part has come."""


Event = PartStarts | PartBytes | PartEnds


class _State(Enum):
    PREAMBLE = auto()
    DELIMITED = auto()  # behind a boundary: two hyphens, or padding and CRLF
    HEADERS = auto()
    CONTENT = auto()
    EPILOGUE = auto()


def boundary_of(parameters: Mapping[str, str]) -> bytes:
    """Give the boundary among the parameters of a multipart Content-Type.

    Raises
    ------
    MalformedRequest
        When it is missing or not a boundary (RFC 2046 §5.1.1).
    """
    boundary = parameters.get("boundary", "")
    if len(boundary) > MAXIMUM_BOUNDARY_LENGTH or _BOUNDARY.fullmatch(boundary) is None:
        raise MalformedRequest("the Content-Type has no boundary parameter that could be one")
    return boundary.encode("ascii")


class MultipartReader:
    """Push parser of a multipart body.

    `feed` takes bytes and gives events whose views are valid until the next one; `finish` says that
    no more will come. It holds at most one part's header, or the length of a boundary.

    Raises
    ------
    MalformedRequest
        From either, as soon as the body cannot be a multipart message any more.
    TooLarge
        When there are more parts than are taken.
    """

    def __init__(self, boundary: bytes, *, maximum_parts: int = MAXIMUM_PARTS) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._maximum_parts = maximum_parts
        # The CRLF that belongs to the first boundary may be missing, so it is put there.
        self._buffer = bytearray(b"\r\n")
        self._state = _State.PREAMBLE
        self._passed = 0
        self._parts = 0
        self._at_start = False

    @property
    def parts(self) -> int:
        """How many parts have begun."""
        return self._parts

    def feed(self, chunk: bytes | bytearray | memoryview) -> Iterator[Event]:
        """Take the next bytes of the body; give what they tell."""
        self._buffer += chunk
        while True:
            before = self._state, len(self._buffer)
            yield from self._step()
            if (self._state, len(self._buffer)) == before:
                return

    def finish(self) -> None:
        """Say that the body has ended; raises `MalformedRequest` when it is not whole."""
        if self._state is not _State.EPILOGUE:
            where = (
                "before its first boundary" if self._parts == 0 else f"within part {self._parts}"
            )
            raise MalformedRequest(
                f"the multipart body ends {where}: the closing boundary is missing, so it was cut "
                "off on the way or the boundary is not that of the Content-Type"
            )

    def _step(self) -> Iterator[Event]:
        if self._state is _State.PREAMBLE:
            self._skip_preamble()
        elif self._state is _State.DELIMITED:
            self._after_boundary()
        elif self._state is _State.HEADERS:
            yield from self._headers()
        elif self._state is _State.CONTENT:
            yield from self._content()
        else:
            self._skip_epilogue()

    def _skip_preamble(self) -> None:
        found, end = self._find_delimiter()
        self._passed += found
        if self._passed > MAXIMUM_PREAMBLE_BYTES:
            raise MalformedRequest("the multipart body does not begin with its boundary")
        del self._buffer[: end if end is not None else found]
        if end is not None:
            self._state = _State.DELIMITED

    def _after_boundary(self) -> None:
        """Read what stands behind ``--boundary``: the end of all, or of the line."""
        if self._buffer.startswith(b"--"):
            self._state, self._passed = _State.EPILOGUE, 0
            self._buffer.clear()
            return
        line_end = self._buffer.find(b"\r\n")
        if line_end < 0:
            return
        del self._buffer[:line_end]  # the CRLF stays: it may at once end an empty header
        self._parts += 1
        if self._parts > self._maximum_parts:
            raise TooLarge(f"a body of more than {self._maximum_parts} parts", self._maximum_parts)
        self._state = _State.HEADERS

    def _headers(self) -> Iterator[Event]:
        end = self._buffer.find(b"\r\n\r\n")
        if (end if end >= 0 else len(self._buffer)) > MAXIMUM_PART_HEADER_BYTES:
            raise MalformedRequest(
                f"the header of part {self._parts} is longer than {MAXIMUM_PART_HEADER_BYTES} bytes"
            )
        if end < 0:
            return
        headers = _parse_headers(bytes(self._buffer[2:end]), self._parts)
        # The last CRLF stays: an empty part's boundary begins with it.
        del self._buffer[: end + 2]
        self._state = _State.CONTENT
        self._at_start = True
        yield PartStarts(headers)

    def _content(self) -> Iterator[Event]:
        found, end = self._find_delimiter()
        skip = 2 if self._at_start else 0  # the CRLF that ends the header is not content
        if self._at_start and end is None and found < skip:
            return
        if found > skip:
            with memoryview(self._buffer) as view, view[skip:found] as content:
                yield PartBytes(content)
        if self._at_start and (found >= skip or end is not None):
            self._at_start = False
        del self._buffer[: end if end is not None else found]
        if end is not None:
            self._state = _State.DELIMITED
            yield PartEnds()

    def _skip_epilogue(self) -> None:
        self._passed += len(self._buffer)
        self._buffer.clear()
        if self._passed > MAXIMUM_EPILOGUE_BYTES:
            raise MalformedRequest("the multipart body goes on behind its closing boundary")

    def _find_delimiter(self) -> tuple[int, int | None]:
        """Look for a boundary in the buffer.

        Returns
        -------
        found, end
            How many bytes are surely before it, and where it ends; `end` is None while none is
            found, and while what follows it has not come and could make it none.
        """
        start = 0
        while True:
            found = self._buffer.find(self._delimiter, start)
            if found < 0:
                # The buffer's end may be the start of a boundary.
                return max(0, len(self._buffer) - len(self._delimiter) + 1), None
            end = found + len(self._delimiter)
            verdict = self._ends_boundary(end)
            if verdict is None:
                return found, None
            if verdict:
                return found, end
            start = found + 1  # a longer text that starts like the boundary is content

    def _ends_boundary(self, end: int) -> bool | None:
        """Tell whether a boundary may end here; None while that cannot be told yet."""
        position = end
        while position < len(self._buffer) and self._buffer[position] in _PADDING:
            position += 1
            if position - end > MAXIMUM_BOUNDARY_LENGTH:
                return False
        following = bytes(self._buffer[position : position + 2])
        if following == b"\r\n" or (following == b"--" and position == end):
            return True
        if len(following) < 2 and following in (b"", b"\r", b"-"):
            return None
        return False


def _parse_headers(text: bytes, part: int) -> dict[str, str]:
    """Read the header of a part; later fields of the same name are refused."""
    headers: dict[str, str] = {}
    if b"\x00" in text:
        raise MalformedRequest(f"the header of part {part} holds a NUL")
    # A line that begins with white space goes on with the one before it (RFC 5322 §2.2.3).
    unfolded = re.sub(rb"\r\n[ \t]+", b" ", text)
    for line in unfolded.split(b"\r\n") if unfolded else ():
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        name = name.strip(" \t").lower()
        if not colon or _HEADER_NAME.fullmatch(name) is None or "\r" in value or "\n" in value:
            raise MalformedRequest(f"the header of part {part} is not well formed")
        if name in headers:
            raise MalformedRequest(f"the header of part {part} has {name!r} twice")
        headers[name] = value.strip(" \t")
    return headers


@dataclass(frozen=True, slots=True)
class Part:
    """A part that is sent, and what its header tells (PS3.18 Table 8.6.1-1)."""

    media_type: str
    """Its Content-Type."""
    pieces: Iterable[bytes]
    length: int | None = None
    """Bytes; None where they are not known before they are made."""
    location: str | None = None
    """Where it is to be had by itself, absolute or relative to the address of the whole."""

    @classmethod
    def of(cls, media_type: str, content: bytes, location: str | None = None) -> "Part":
        """Make a part of what is there as a whole."""
        return cls(media_type, (content,), len(content), location)


@dataclass(frozen=True, slots=True)
class MultipartWriter:
    """Frames parts as ``multipart/related``, with the length of all known beforehand.

    Attributes
    ----------
    root_type
        The ``type`` parameter of the whole: a media type without parameters.
    """

    root_type: str
    boundary: str

    @classmethod
    def of(cls, root_type: str) -> "MultipartWriter":
        """Make a writer with a fresh boundary of 128 random bits, which no content will hold."""
        return cls(root_type, secrets.token_hex(16))

    @property
    def content_type(self) -> str:
        """Content-Type of the whole."""
        return f'multipart/related; type="{self.root_type}"; boundary={self.boundary}'

    def opening(self, part: Part, *, first: bool) -> bytes:
        """Give what goes before a part's content; the first has no CRLF before its boundary."""
        lines = [
            "" if first else "\r\n",
            f"--{self.boundary}\r\nContent-Type: {part.media_type}\r\n",
        ]
        if part.location is not None:
            lines.append(f"Content-Location: {part.location}\r\n")
        if part.length is not None:
            lines.append(f"Content-Length: {part.length}\r\n")
        lines.append("\r\n")
        return "".join(lines).encode("ascii")

    @property
    def closing(self) -> bytes:
        """What goes behind the content of the last part."""
        return f"\r\n--{self.boundary}--\r\n".encode("ascii")

    def length(self, parts: Iterable[Part]) -> int:
        """Give the length in bytes of a body of parts whose lengths are known."""
        total = len(self.closing)
        first = True
        for part in parts:
            total += len(self.opening(part, first=first)) + (part.length or 0)
            first = False
        return total

    def body(self, parts: Iterable[Part]) -> Iterator[bytes]:
        """Give the body piece by piece; a part is taken only when it is its turn."""
        first = True
        for part in parts:
            yield self.opening(part, first=first)
            yield from part.pieces
            first = False
        yield self.closing
