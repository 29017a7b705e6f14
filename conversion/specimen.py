"""The slide as a container, the specimens on it and their stain (PS3.3 §C.7.6.22)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from conversion import codes

if TYPE_CHECKING:
    from conversion.codes import Code
    from conversion.identifiers import SlideUids
    from conversion.request import ConversionRequest

# Names of stains that are certain enough to be coded; others are written as text.
_CODED_STAINS: Final[dict[str, tuple[Code, ...]]] = {
    "he": (codes.HEMATOXYLIN, codes.EOSIN),
    "hande": (codes.HEMATOXYLIN, codes.EOSIN),
    "hematoxylinandeosin": (codes.HEMATOXYLIN, codes.EOSIN),
    "hematoxylineosin": (codes.HEMATOXYLIN, codes.EOSIN),
    "haematoxylinandeosin": (codes.HEMATOXYLIN, codes.EOSIN),
    "haematoxylineosin": (codes.HEMATOXYLIN, codes.EOSIN),
}


def container_identifier(request: ConversionRequest, uids: SlideUids) -> str:
    """Return the container identifier: the one given, or one that no other slide has.

    Container Identifier is type 1. A constant would make one container of all unidentified slides,
    so the source's hash names it.
    """
    return request.container_id or f"SLIDE-{uids.source_sha256[:16].upper()}"


def specimen_module(dataset: Dataset, request: ConversionRequest, uids: SlideUids) -> None:
    """Add the Specimen module."""
    container = container_identifier(request, uids)
    dataset.ContainerIdentifier = container
    dataset.IssuerOfTheContainerIdentifierSequence = Sequence([])
    dataset.ContainerTypeCodeSequence = Sequence([codes.MICROSCOPE_SLIDE.item()])
    dataset.SpecimenDescriptionSequence = Sequence(
        [_specimen(name, request, uids) for name in request.specimen_ids or (container,)]
    )


def _specimen(identifier: str, request: ConversionRequest, uids: SlideUids) -> Dataset:
    item = Dataset()
    item.SpecimenIdentifier = identifier
    item.SpecimenUID = UID(uids.specimen(identifier))
    item.IssuerOfTheSpecimenIdentifierSequence = Sequence([])
    steps = [_staining(identifier, request.stain)] if request.stain else []
    item.SpecimenPreparationSequence = Sequence(steps)
    return item


def _staining(identifier: str, stain: str) -> Dataset:
    """Return the staining step (PS3.16 TID 8001, TID 8003)."""
    coded = _CODED_STAINS.get(re.sub(r"[^a-z]", "", stain.lower().replace("&", "and")))
    substances = (
        [_code_item(codes.USING_SUBSTANCE, code) for code in coded]
        if coded
        else [_text_item(codes.USING_SUBSTANCE, stain)]
    )
    step = Dataset()
    step.SpecimenPreparationStepContentItemSequence = Sequence(
        [
            _text_item(codes.SPECIMEN_IDENTIFIER, identifier),
            _code_item(codes.PROCESSING_TYPE, codes.STAINING),
            *substances,
        ]
    )
    return step


def _text_item(name: Code, value: str) -> Dataset:
    item = Dataset()
    item.ValueType = "TEXT"
    item.ConceptNameCodeSequence = Sequence([name.item()])
    item.TextValue = value
    return item


def _code_item(name: Code, value: Code) -> Dataset:
    item = Dataset()
    item.ValueType = "CODE"
    item.ConceptNameCodeSequence = Sequence([name.item()])
    item.ConceptCodeSequence = Sequence([value.item()])
    return item
