"""Instances of text as documents: structured reports and what is encapsulated (PS3.18 §8.7.4).

Table 8.7.4-1: text/html is the default of the category Text, text/plain and text/xml are required.
The latter is the Native DICOM Model (PS3.19 §A.1), for PS3.18 names no other. An encapsulated
document is sent as what it is.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from archive.archive import Archive
from archive.errors import CannotRender, MalformedRequest
from archive.model.identifiers import ResourcePath
from archive.model.instances import StoredInstance
from archive.model.transfer_syntaxes import OCTET_STREAM
from archive.reports import Report, read_report, report_html, report_text
from auth import Visibility
from dicomweb import native_model
from dicomweb.media_types import parse_media_type
from dicomweb.negotiation import Offer

HTML, PLAIN, XML = "text/html", "text/plain", "text/xml"
REPORT_TYPES = (HTML, PLAIN, XML)
_HARMLESS = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

_DOCUMENT, _MIME_TYPE, _LENGTH = "00420011", "00420012", "00420015"


@dataclass(frozen=True, slots=True)
class Document:
    """An instance of text, ready to be written."""

    metadata: Mapping[str, Any]
    report: Report | None
    encapsulated: bytes | None = None
    encapsulated_type: str = ""

    @property
    def media_types(self) -> tuple[str, ...]:
        """What it can be sent as, the default first."""
        return REPORT_TYPES if self.report is not None else (self.encapsulated_type,)

    def offers(self) -> list[Offer]:
        """Give the forms it can be sent in: it is a single response item (PS3.18 §10.4.4)."""
        types = self.media_types
        return [Offer(name) for name in types] + [Offer(name, multipart=True) for name in types]

    def written(self, media_type: str) -> bytes:
        """Give the document, in UTF-8 where it is ours to write."""
        if self.report is None:
            return self.encapsulated or b""
        if media_type == XML:
            return native_model.to_xml(self.metadata)
        write = report_text if media_type == PLAIN else report_html
        return write(self.report).encode()


def content_type(media_type: str) -> str:
    """Give the value of Content-Type: what we write ourselves is in UTF-8."""
    return f"{media_type}; charset=utf-8" if media_type in (HTML, PLAIN) else media_type


def document_headers(media_type: str) -> dict[str, str]:
    """Give what keeps a document, which is somebody else's, from loading or running anything.

    Browsers show PDF within a sandbox of their own, and not within ours.
    """
    return {} if media_type == "application/pdf" else {"Content-Security-Policy": _HARMLESS}


def document_of(archive: Archive, instance: StoredInstance, visible: Visibility) -> Document:
    """Read an instance of text.

    Raises
    ------
    CannotRender
        When it has neither a report nor a document in it.
    """
    path = instance.path
    resource = ResourcePath(path.study, path.series, path.instance)
    header = orjson.loads(next(iter(archive.metadata(resource, visible=visible))).header)
    name = next(iter(header.get(_MIME_TYPE, {}).get("Value", [])), None)
    if name and _DOCUMENT in header:
        return Document(header, None, _encapsulated(archive, instance, header), _media_type(name))
    report = read_report(header)
    if report is None:
        raise CannotRender("the instance has neither pixel data nor a report")
    return Document(header, report)


def _encapsulated(archive: Archive, instance: StoredInstance, header: Mapping[str, Any]) -> bytes:
    inline = header[_DOCUMENT].get("InlineBinary")
    found = base64.b64decode(inline) if inline else archive.bulk_data(instance, _DOCUMENT)
    lengths = header.get(_LENGTH, {}).get("Value", [])
    length = int(lengths[0]) if lengths else len(found)
    return found[:length]  # a byte of padding may follow


def _media_type(name: str) -> str:
    try:
        return parse_media_type(name).name
    except MalformedRequest:  # what is stored is no media type
        return OCTET_STREAM
