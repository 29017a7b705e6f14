"""The SOP classes that are accepted: those of storage, known today or not yet.

The data dictionary of pydicom (PS3.6 Table A-1) is the table; what is written here is the policy,
and the few classes that a pathology archive treats by name.
"""

from pydicom._uid_dict import UID_dictionary

# PS3.4 2025e, Table B.5-1.
VL_WHOLE_SLIDE_MICROSCOPY = "1.2.840.10008.5.1.4.1.1.77.1.6"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"
MICROSCOPY_BULK_SIMPLE_ANNOTATIONS = "1.2.840.10008.5.1.4.1.1.91.1"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"

_STORAGE_ROOTS = ("1.2.840.10008.5.1.4.1.1.", "1.2.840.10008.5.1.4.34.", "1.2.840.10008.5.1.4.43.")
_DICOM_ROOT = "1.2.840.10008."
# PS3.4 Annex GG: hanging protocols, colour palettes, implant templates, protocols and the like
# are stored too, but belong to no study; they need a service of their own.
_NON_PATIENT = (
    "1.2.840.10008.5.1.4.38.",
    "1.2.840.10008.5.1.4.39.",
    "1.2.840.10008.5.1.4.43.",
    "1.2.840.10008.5.1.4.44.",
    "1.2.840.10008.5.1.4.45.",
    "1.2.840.10008.5.1.4.1.1.200.",
)
# The directory of a medium describes files, and is no instance that could be kept by itself.
_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"


def is_accepted(uid: str) -> bool:
    """Tell whether instances of a SOP class are kept.

    Every composite storage class is, also one that the dictionary does not know yet, and private
    classes under other roots. What is refused is what the standard itself defines as something
    else: media directories, work lists, printing, services.
    """
    if not uid.startswith(_DICOM_ROOT):
        return True
    if uid == _MEDIA_DIRECTORY or uid.startswith(_NON_PATIENT):
        return False
    if uid.startswith(_STORAGE_ROOTS[0]):
        return True
    return uid.startswith(_STORAGE_ROOTS) and sop_class_name(uid).endswith("Storage")


def sop_class_name(uid: str) -> str:
    """Give the name of a SOP class (PS3.6 Table A-1), or its UID where it has none."""
    known = UID_dictionary.get(uid)
    return known[0] if known is not None else uid
