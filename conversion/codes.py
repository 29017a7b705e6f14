"""Coded concepts that whole slide images use, transcribed from PS3.16."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset


@dataclass(frozen=True, slots=True)
class Code:
    """Code Value, Coding Scheme Designator and Code Meaning (PS3.3 §8.8)."""

    value: str
    scheme: str
    meaning: str

    def item(self) -> Dataset:
        """Return the code as an item of a code sequence."""
        item = Dataset()
        item.CodeValue = self.value
        item.CodingSchemeDesignator = self.scheme
        item.CodeMeaning = self.meaning
        return item


# PS3.16 2025e, CID 8123 Microscopy Illumination Type
BRIGHTFIELD: Final = Code("111744", "DCM", "Brightfield illumination")
EPIFLUORESCENCE: Final = Code("111743", "DCM", "Epifluorescence illumination")
# CID 8122 Microscopy Illuminator and Sensor Color
FULL_SPECTRUM: Final = Code("414298005", "SCT", "Full Spectrum")
# CID 7005 Contributing Equipment Purpose of Reference
CONVERSION_EQUIPMENT: Final = Code("109106", "DCM", "Enhanced Multi-frame Conversion Equipment")
# CID 8101 Container Type
MICROSCOPE_SLIDE: Final = Code("433466003", "SCT", "Microscope slide")
# TID 8001 Specimen Preparation
SPECIMEN_IDENTIFIER: Final = Code("121041", "DCM", "Specimen Identifier")
PROCESSING_TYPE: Final = Code("111701", "DCM", "Processing type")
STAINING: Final = Code("127790008", "SCT", "Staining")
USING_SUBSTANCE: Final = Code("424361007", "SCT", "Using substance")
# CID 8112 Specimen Stain
HEMATOXYLIN: Final = Code("12710003", "SCT", "Hematoxylin stain")
EOSIN: Final = Code("36879007", "SCT", "Water soluble eosin stain")
