"""What is fuzzed: each reader with its seeds, and what must hold whatever it is given."""

from __future__ import annotations

import contextlib
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import orjson

from archive.errors import (
    InvalidInstance,
    MalformedIdentifier,
    MalformedQuery,
    MalformedRequest,
    NotAcceptable,
    TooLarge,
)
from archive.model.attributes import Level
from archive.model.transfer_syntaxes import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE
from archive.part10 import check_instance, encode_frame_index, locate_frames, read_header, to_json
from archive.part10.from_json import StagedBulk, encode
from archive.settings import Settings
from dicomweb.addresses import base_url
from dicomweb.media_types import parse_media_type
from dicomweb.multipart import MultipartReader, PartBytes, PartEnds, PartStarts, boundary_of
from dicomweb.native_model import from_xml, to_xml
from dicomweb.negotiation import Offer, choose
from dicomweb.queries import parse_parameters, parse_search
from dicomweb.responses import RangeNotSatisfiable, parse_range
from tests.support.dicom_files import (
    jpeg_slide,
    monochrome,
    native_slide,
    segmentation,
    sparse_slide,
)
from tests.support.shared import SHARED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BOUNDARY = b"boundary"


@dataclass(frozen=True, slots=True)
class Target:
    """One reader."""

    name: str
    run: Callable[[bytes], object]
    """Gives whatever it likes; an error that is not among `refusals` is a finding."""
    refusals: tuple[type[Exception], ...]
    seeds: Callable[[], Sequence[bytes]]
    words: tuple[bytes, ...]


def part10(content: bytes) -> None:
    """Do all that storing does with a file."""
    header = read_header(io.BytesIO(content), size=len(content))
    check_instance(header)
    found = locate_frames(io.BytesIO(content), header)
    if found.index is not None and not header.deflated:
        encode_frame_index(found.index)
        spans = found.index.spans
        assert not spans.size or int(spans.sum(axis=1).max()) <= len(content)
        first = found.index.first_fragment
        assert bool((np.diff(first.astype(np.int64)) >= 0).all())
    written = to_json(header)
    json.loads(written.header)
    if written.per_frame is not None:
        json.loads(written.per_frame)


def multipart(content: bytes) -> None:
    """Read a body at once and byte by byte: both see the same."""
    content = content[:4096]  # a byte at a time is slow
    assert _parts(content, len(content) or 1) == _parts(content, 1) == _parts(content, 7)


def _parts(content: bytes, step: int) -> list[object]:
    reader = MultipartReader(BOUNDARY, maximum_parts=20)
    seen: list[object] = []
    body = bytearray()
    try:
        for start in range(0, len(content), step):
            for event in reader.feed(content[start : start + step]):
                if isinstance(event, PartStarts):
                    seen.append(sorted(event.headers.items()))
                elif isinstance(event, PartBytes):
                    body += event.content
                elif isinstance(event, PartEnds):
                    seen.append(bytes(body))
                    body.clear()
        reader.finish()
        seen.append("whole")
    except (MalformedRequest, TooLarge) as error:
        # How far it came may hang on the steps; that it is refused may not.
        return [type(error).__name__]
    return seen


OFFERS = (
    Offer("application/dicom+json"),
    Offer("application/octet-stream", multipart=True, transfer_syntax="1.2.840.10008.1.2.1"),
    Offer("image/jpeg", multipart=True, transfer_syntax="1.2.840.10008.1.2.4.50"),
    Offer("image/jpeg", transfer_syntax="1.2.840.10008.1.2.4.50"),
)


def accept(content: bytes) -> None:
    """Choose by a field; and what is on offer is what is chosen."""
    text = content.decode("latin-1")
    assert choose(OFFERS, accept=[text]) in OFFERS


def content_type(content: bytes) -> None:
    """Read a media type and the boundary in it."""
    boundary_of(parse_media_type(content.decode("latin-1")).parameters)


def query(content: bytes) -> None:
    """Read a query string in every way."""
    parameters = parse_parameters(content)
    assert all("\x00" not in value for _, value in parameters)
    for level in Level:
        parse_search(content, level=level, default_limit=100, maximum_limit=100)


def dicom_json(content: bytes) -> None:
    """Encode a data set that came as JSON, and read what was made of it."""
    try:
        attributes = orjson.loads(content)
    except ValueError:
        return
    if isinstance(attributes, list) and attributes:
        attributes = attributes[0]
    if isinstance(attributes, dict):
        encode(attributes, _no_bulk)


def _no_bulk(uri: str) -> StagedBulk:
    raise InvalidInstance(f"there is no part {uri[:80]!r}")


def native_model(content: bytes) -> None:
    """Read XML; what is written of it reads as the same."""
    read = from_xml(content)
    with contextlib.suppress(InvalidInstance):
        encode(read, _no_bulk)
    assert from_xml(to_xml(read)) == read


_ROOT = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~-]+)*")
_TRUSTING = Settings()


def forwarded(content: bytes) -> None:
    """Tell our address by fields of a proxy, one a line; it is an address whatever they say."""
    lines = [line.partition(b":") for line in content.split(b"\n")]
    scope = {
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
        "headers": [(name.strip().lower(), value.strip()) for name, _, value in lines],
    }
    assert _ROOT.fullmatch(base_url(scope, _TRUSTING).root)


def byte_range(content: bytes) -> None:
    """Read a Range field: what it gives lies inside."""
    found = parse_range(content.decode("latin-1"), 1000)
    assert found is None or 0 <= found[0] < found[1] <= 1000


def _files() -> list[bytes]:
    made = [
        jpeg_slide(across=2, down=1, side=8),
        jpeg_slide(across=2, down=1, side=8, table="extended"),
        jpeg_slide(across=2, down=1, side=8, table="none", fragments=3),
        native_slide(across=2, down=1, side=8),
        native_slide(across=2, down=1, side=8, syntax=IMPLICIT_LITTLE),
        native_slide(across=2, down=1, side=8, syntax=EXPLICIT_BIG),
        native_slide(across=2, down=1, side=8, syntax=DEFLATED),
        sparse_slide(3),
        sparse_slide(3, undefined_lengths=True),
        segmentation(np.ones((5, 3, 3), np.uint8)),
        monochrome(np.zeros((2, 8, 8), np.uint16)),
    ]
    return [one.content for one in made] + list(_shared(".dcm"))


def _shared(suffix: str) -> Iterator[bytes]:
    """Give the shared files that are small enough to be changed often."""
    for path in sorted((SHARED / "dicom").rglob(f"*{suffix}")):
        if path.stat().st_size <= 48 * 1024:
            yield path.read_bytes()


def _bodies() -> list[bytes]:
    start = b"--boundary\r\n"
    part = start + b"Content-Type: application/dicom\r\nContent-Location: a\r\n\r\n"
    return [
        part + b"content\r\n" + part + b"more\r\n--boundary--\r\n",
        b"preamble\r\n" + part + b"\r\n--boundary--epilogue",
        start + b"\r\n--boundary--",
        b"\r\n" + start + b"A: b\r\n c\r\n\r\n--bound\r\n--boundary \t\r\n\r\n\r\n--boundary--",
    ]


def _fields() -> list[bytes]:
    return [
        b"*/*",
        b'multipart/related; type="application/octet-stream"; transfer-syntax=*',
        b'multipart/related;type="image/jpeg";q=0.9, image/*;q=.8, */*;q=0.1',
        b"application/dicom+json, application/json;q=0.5",
        b'multipart/related; type="application/dicom"; boundary="a=b:c/d"',
        b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        b"text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
    ]


def _queries() -> list[bytes]:
    return [
        b"PatientName=Doe%5EJ*&limit=10&offset=0&fuzzymatching=true&includefield=all",
        b"StudyDate=20260101-20261231&StudyTime=-1200&ModalitiesInStudy=SM",
        b"0020000D=1.2%5C1.3,1.4&includefield=00081030%2C00080061",
        b"00400560.00400551=A&SpecimenDescriptionSequence.SpecimenUID=1.2",
        b"accept=image%2Fjpeg&viewport=1%2C2&window=1,2,linear&quality=90",
        b"StudyDescription=%22%22&PatientID=?*%5B&emptyvaluematching=true",
    ]


def _json() -> list[bytes]:
    written = []
    for content in _files():
        with contextlib.suppress(InvalidInstance):
            header = read_header(io.BytesIO(content), size=len(content))
            written.append(to_json(header).header)
    return written


def _xml() -> list[bytes]:
    return [to_xml(json.loads(one)) for one in _json()]


TARGETS = (
    Target(
        "part10",
        part10,
        (InvalidInstance,),
        _files,
        (
            b"\xff\xff\xff\xff",
            b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
            b"\xfe\xff\x0d\xe0\x00\x00\x00\x00",
            b"\xfe\xff\xdd\xe0\x00\x00\x00\x00",
            b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff",
            b"\x28\x00\x08\x00IS\x02\x00-1",
            b"SQ\x00\x00",
            b"UN\x00\x00",
            b"1.2.840.10008.1.2.1.99\x00",
            b"1.2.840.10008.1.2.2\x00",
            b"ISO 2022 IR 87\\",
            b"\x1b$B",
        ),
    ),
    Target(
        "multipart",
        multipart,
        (),
        _bodies,
        (
            b"\r\n",
            b"\r\n--boundary",
            b"--boundary--",
            b"\r",
            b"\n",
            b"--",
            b":",
            b"\r\n\r\n",
            b"\t",
        ),
    ),
    Target(
        "accept",
        accept,
        (MalformedRequest, NotAcceptable),
        _fields,
        (b"*", b"/", b";", b",", b"q=", b'"', b"\\", b"=", b'type="', b"transfer-syntax=", b"\xe9"),
    ),
    Target(
        "content type",
        content_type,
        (MalformedRequest,),
        _fields,
        (b'boundary="', b"boundary=", b";", b'"', b"\\", b"=", b"/", b"\xff", b" "),
    ),
    Target(
        "query",
        query,
        (MalformedQuery, MalformedIdentifier, MalformedRequest),
        _queries,
        (b"&", b"=", b"%", b"%00", b"%5C", b"*", b"?", b"-", b"+", b"%FF", b".", b"9" * 30, b"\\"),
    ),
    Target(
        "DICOM JSON",
        dicom_json,
        (InvalidInstance,),
        _json,
        (
            *(b"{", b"}", b"[", b"]", b'"', b"null", b"true", b"1e999", b"-0", b"99999999999999"),
            *(b'"vr":', b'"Value":', b'"InlineBinary":"', b'"BulkDataURI":"', b'"Alphabetic":'),
            b"\\ud800",
        ),
    ),
    Target(
        "Native DICOM Model",
        native_model,
        (MalformedRequest, TooLarge),
        _xml,
        (
            *(b"<", b"</", b">", b"&lt;", b"&#0;", b"<!DOCTYPE x>", b"]]>", b"<![CDATA["),
            *(b"<Item number='1'>", b"<Value number='1'>", b"<BulkData uri='x'/>"),
            *(b"number='99'", b"vr='SQ'"),
        ),
    ),
    Target(
        "forwarded",
        forwarded,
        (),
        lambda: [
            b'Host: a.example\nForwarded: for=127.0.0.1;host="b.example:8";proto=https, for=::1',
            b"Host: localhost\nX-Forwarded-For: 1.2.3.4, 127.0.0.1\nX-Forwarded-Host: a, b\n"
            b"X-Forwarded-Proto: https\nX-Forwarded-Port: 8443\nX-Forwarded-Prefix: /pacs",
        ],
        (b"\r\n", b"\n", b'"', b",", b";", b"=", b"[::1]", b"for=", b"host=", b"@", b"/", b"?"),
    ),
    Target(
        "range",
        byte_range,
        (RangeNotSatisfiable,),
        lambda: [b"bytes=0-1", b"bytes=-5", b"bytes=500-", b"bytes=0-1,5-6"],
        (b"bytes=", b"-", b",", b"9" * 25, b" ", b"0"),
    ),
)
