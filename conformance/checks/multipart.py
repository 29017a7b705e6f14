"""Bodies of several parts, put together and taken apart (RFC 2046 §5.1, RFC 2387)."""

import re
from dataclasses import dataclass

from conformance.checks.registry import Failed

BOUNDARY = "a-boundary-of-the-checks"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body."""

    headers: dict[str, str]
    """Names in lower case."""
    content: bytes
    header_bytes: int
    """Length of the part's header with the blank line."""

    @property
    def content_type(self) -> str:
        """The media type without parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def transfer_syntax(self) -> str | None:
        """The transfer syntax that the part's Content-Type names; None when it names none."""
        return parameter(self.headers.get("content-type", ""), "transfer-syntax")


def parameter(media_type: str, name: str) -> str | None:
    """Give a parameter of a media type, quotes taken off; None when there is none."""
    found = re.search(rf';\s*{name}\s*=\s*("([^"]*)"|[^;\s]+)', media_type, re.IGNORECASE)
    if found is None:
        return None
    return found.group(2) if found.group(2) is not None else found.group(1)


def join(
    *contents: bytes,
    part_type: str = "application/dicom",
    boundary: str = BOUNDARY,
    preamble: bytes = b"",
    end: bytes = b"\r\n",
) -> bytes:
    """Make a multipart body of parts of one type."""
    return join_parts(
        [(f"Content-Type: {part_type}\r\n", content) for content in contents],
        boundary=boundary,
        preamble=preamble,
        end=end,
    )


def join_parts(
    parts: list[tuple[str, bytes]],
    *,
    boundary: str = BOUNDARY,
    preamble: bytes = b"",
    end: bytes = b"\r\n",
) -> bytes:
    """Make a multipart body of header lines and contents."""
    mark = boundary.encode()
    body = b"".join(
        b"--%s\r\n%s\r\n%s\r\n" % (mark, header.encode(), content) for header, content in parts
    )
    return preamble + body + b"--%s--" % mark + end


def related(part_type: str = "application/dicom", boundary: str = BOUNDARY) -> str:
    """Give the Content-Type of such a body."""
    return f'multipart/related; type="{part_type}"; boundary={boundary}'


def split(request: str, content_type: str, body: bytes) -> list[Part]:
    """Take a multipart body apart; `Failed` when it is not well formed."""
    if not content_type.lower().startswith("multipart/"):
        raise Failed(f"{request}: the answer is {content_type or 'of no type'}, not multipart")
    boundary = parameter(content_type, "boundary")
    if not boundary:
        raise Failed(f"{request}: the multipart answer names no boundary")
    delimiter = b"\r\n--" + boundary.encode()
    first, *rest = (b"\r\n" + body).split(delimiter)
    if not rest or not rest[-1].startswith(b"--"):
        raise Failed(f"{request}: the multipart body does not end with its closing boundary")
    del first  # the preamble
    return [_part(request, piece) for piece in rest[:-1]]


def _part(request: str, piece: bytes) -> Part:
    header, blank, content = piece.partition(b"\r\n\r\n")
    if not blank:
        raise Failed(f"{request}: a part has no blank line behind its header")
    fields = {}
    for line in header.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip():
            fields[name.strip().lower()] = value.strip()
    return Part(fields, content, len(header) + len(blank))
