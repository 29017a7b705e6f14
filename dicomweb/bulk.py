"""All bulk data of a study, a series or an instance as parts of one body (PS3.18 §10.4.3.3.5).

Owns which parts there are, which form each goes in, and where each is to be found by itself: an
element at the URI that the metadata have for it, pixel data frame by frame at those of the frames.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from archive.archive import Archive
from archive.errors import BulkDataNotFound, NotAcceptable
from archive.model.frames import PixelDescription
from archive.model.instances import StoredInstance
from archive.model.transfer_syntaxes import BY_UID
from archive.retrieve import MetadataDocument
from dicomweb.addresses import BaseUrl
from dicomweb.dependencies import Caller
from dicomweb.multipart import Part
from dicomweb.negotiation import EXPLICIT_VR_LITTLE_ENDIAN, Offer
from dicomweb.routes.frames import frame_offers, must_convert

OCTETS = "application/octet-stream"
DOCUMENT = "00420011"
"""Encapsulated Document; its media type is in MIME Type of Encapsulated Document (0042,0012)."""
DOCUMENT_TYPES = frozenset(
    {"application/pdf", "text/xml", "application/xml", "model/stl", "model/obj", "model/mtl"}
)
"""Media types that a document is sent under; any other goes as octets. PS3.3 §C.24.2."""

_FRAMES_AT_ONCE = 256
_URI = re.compile(rb'"BulkDataURI":"/?bulkdata/([0-9A-F/]{8,2000})"')
_LONGEST_URI = 2048


@dataclass(frozen=True, slots=True)
class Item:
    """One bulk data element or the pixel data of an instance, and the form it was selected in."""

    instance: StoredInstance
    attribute: str | None
    """Attribute path; None for pixel data."""
    offer: Offer


@dataclass(frozen=True, slots=True)
class Selection:
    """What of the bulk data there are goes out."""

    items: Sequence[Item]
    left_out: int
    """Elements that the client takes in no form they have."""


def select(
    caller: Caller, documents: Iterable[MetadataDocument], instances: Sequence[StoredInstance]
) -> Selection:
    """Select the form of everything (PS3.18 §8.7.8.1: "independently for each message part").

    Parameters
    ----------
    documents
        Metadata of the instances whose elements are wanted; none where only pixel data are.
    instances
        Those whose pixel data are wanted.

    Raises
    ------
    BulkDataNotFound
        When there is nothing at all.
    NotAcceptable
        When there is, but nothing that the client takes.
    """
    wanted = list(_wanted(documents, instances))
    if not wanted:
        raise BulkDataNotFound("there are no bulk data")
    chosen: dict[tuple[Offer, ...], Offer | NotAcceptable] = {}
    items = []
    for stored, attribute, offers in wanted:
        if offers not in chosen:
            try:
                chosen[offers] = caller.choose(offers)
            except NotAcceptable as refusal:
                chosen[offers] = refusal
        offer = chosen[offers]
        if isinstance(offer, Offer):
            items.append(Item(stored, attribute, offer))
    if not items:
        raise next(one for one in chosen.values() if isinstance(one, NotAcceptable))
    return Selection(items, len(wanted) - len(items))


def _wanted(
    documents: Iterable[MetadataDocument], instances: Sequence[StoredInstance]
) -> Iterator[tuple[StoredInstance, str | None, tuple[Offer, ...]]]:
    """Give what there is, each with its forms; pixel data last."""
    by_path = {one.path: one for one in instances}
    for document in documents:
        stored, header = by_path[document.path], document.header
        for attribute in attributes_of(header, document.per_frame_json("")):
            yield stored, attribute, tuple(element_offers(header, attribute, single=False))
    for one in instances:
        if one.pixels is not None and one.pixels.number_of_frames > 0:
            yield one, None, tuple(pixel_offers(one))


def element_offers(header: bytes, attribute: str, *, single: bool) -> list[Offer]:
    """Give the forms of one element, the favourite first.

    Bulk data go in little endian, whatever they were stored in (PS3.18 §8.7.3.3.1), a document
    under its own media type too (§10.5.1.4). A bare wildcard is served as a single part, where that
    may be: it is what whoever pastes a BulkDataURI somewhere expects.
    """
    forms = [Offer(OCTETS, transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN)]
    if attribute == DOCUMENT:
        values = orjson.loads(header).get("00420012", {}).get("Value") or [""]
        media_type = str(values[0]).lower()
        if media_type in DOCUMENT_TYPES:
            forms.insert(0, Offer(media_type))
    multiparts = [
        Offer(form.name, multipart=True, transfer_syntax=form.transfer_syntax) for form in forms
    ]
    return forms + multiparts if single else multiparts


def pixel_offers(instance: StoredInstance) -> list[Offer]:
    """Give the forms of an instance's pixel data: those of its frames; video is as it is stored."""
    if instance.pixels is None:
        return []
    syntax = BY_UID[instance.transfer_syntax_uid]
    if not syntax.video:
        return frame_offers(syntax.uid, instance.pixels, single=False)
    return [
        Offer(syntax.media_type, multipart=True, transfer_syntax=syntax.uid),
        Offer(OCTETS, multipart=True, transfer_syntax=syntax.uid, implied=False),
    ]


def attributes_of(header: bytes, per_frame: Iterable[bytes] | None) -> Iterator[str]:
    """Give the attribute paths of all bulk data that metadata refer to, in their order."""
    yield from _paths([header])
    yield from _paths(per_frame or ())


def _paths(pieces: Iterable[bytes]) -> Iterator[str]:
    text = b""
    for piece in pieces:
        text += piece
        end = 0
        for match in _URI.finditer(text):
            yield match[1].decode()
            end = match.end()
        text = text[max(end, len(text) - _LONGEST_URI) :]


def parts(archive: Archive, items: Iterable[Item], address: BaseUrl) -> Iterator[Part]:
    """Give the parts, each read when it is its turn."""
    for item in items:
        path = item.instance.path
        url = address.resource(path.study, path.series, path.instance)
        if item.attribute is not None:
            content = archive.bulk_data(item.instance, item.attribute)
            location = f"{url}/bulkdata/{item.attribute}"
            yield Part.of(item.offer.content_type, content, location)
            continue
        pixels = item.instance.pixels
        if BY_UID[item.instance.transfer_syntax_uid].video:
            # "all of the frames in one part": they hang on each other.
            stream = archive.video(item.instance)
            yield Part(item.offer.content_type, stream, location=f"{url}/pixeldata")
        elif pixels is not None:
            contents = _frames(archive, item, pixels)
            for number, content in enumerate(contents, start=1):
                yield Part.of(item.offer.content_type, content, f"{url}/frames/{number}")


def _frames(archive: Archive, item: Item, pixels: PixelDescription) -> Iterator[bytes]:
    """Read the frames of an instance, some at a time."""
    instance, syntax = item.instance, item.offer.transfer_syntax
    if not must_convert(instance.transfer_syntax_uid, pixels, item.offer):
        syntax = None
    for first in range(1, pixels.number_of_frames + 1, _FRAMES_AT_ONCE):
        numbers = range(first, min(first + _FRAMES_AT_ONCE, pixels.number_of_frames + 1))
        if syntax is not None:
            yield from archive.transcoded_frames(instance, numbers, syntax)
        else:
            yield from archive.frames(instance, numbers)
