"""DICOM JSON text → Native DICOM Model, one item of a long sequence in memory at a time."""

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import Any

from dicomweb.native_model.writing import CLOSING, OPENING, attributes_xml, sequence_xml

# Decimal strings keep the digits they have: what JSON calls a float stays text.
_DECODER = json.JSONDecoder(parse_float=str)


def document_xml(
    header: bytes, long_sequence: tuple[str, Iterable[bytes]] | None = None
) -> Iterator[bytes]:
    """Write a document of a data set that is there as JSON text.

    Parameters
    ----------
    header
        The data set, a JSON object, without the long sequence.
    long_sequence
        A tag, and the JSON object of that attribute in pieces.
    """
    attributes = _DECODER.decode(header.decode())
    yield OPENING
    if long_sequence is None:
        yield attributes_xml(attributes)
    else:
        tag, pieces = long_sequence
        yield attributes_xml({one: attributes[one] for one in attributes if one < tag})
        yield from sequence_xml(tag, items_of(pieces))
        yield attributes_xml({one: attributes[one] for one in attributes if one > tag})
    yield CLOSING


def items_of(pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Give the items of a sequence, ``{"vr":"SQ","Value":[…]}``, as they become complete.

    Raises
    ------
    ValueError
        When the text is not one.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    text = ""
    started = False
    for piece in pieces:
        text += decoder.decode(piece)
        if not started:
            start = text.find("[")
            if start < 0:
                continue
            started, text = True, text[start + 1 :]
        position = 0
        while position < len(text) and text[position] in "{,":
            begin = position + (text[position] == ",")
            try:
                item, position = _DECODER.raw_decode(text, begin)
            except ValueError:  # not all of it is there yet
                break
            yield item
        text = text[position:]
    if text != ("]}" if started else '{"vr":"SQ"}'):
        raise ValueError("the text of a sequence ends in the middle")
