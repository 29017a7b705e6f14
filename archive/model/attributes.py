"""The attributes that the catalog indexes: one table for search, return keys and documentation.

Required and optional matching keys come from PS3.18 2025e, Tables 10.6.1-5 and 10.6.3-3 … 10.6.3-5
(by way of PS3.4 Table C.6-1 … C.6-5); those that a pathology archive is searched by (container,
specimen, block, stain) come from the Specimen Module, PS3.3 §C.7.6.22.
"""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """The levels of the query/retrieve information model that a result row can have."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


class Kind(StrEnum):
    """How the values of an attribute are kept and matched."""

    TEXT = "text"
    """Single value, wildcard, list; case sensitive but for person names."""
    NAME = "name"
    """Person name: matched on every component group with case and diacritics folded."""
    UID = "uid"
    """Single value and list; no wildcards (PS3.4 §C.2.2.2.4)."""
    DATE = "date"
    """DA, kept as ``YYYYMMDD``: single value and range."""
    TIME = "time"
    """TM, kept as ``HHMMSS.FFFFFF``: single value and range."""
    DATETIME = "datetime"
    """DT, kept as ``YYYYMMDDHHMMSS.FFFFFF`` in UTC: single value and range."""
    NUMBER = "number"
    """IS, US, UL: single value and list."""
    DECIMAL = "decimal"
    """FL, FD, DS: single value and list, compared as numbers."""


@dataclass(frozen=True, slots=True)
class IndexedAttribute:
    """One row of the table.

    Attributes
    ----------
    name
        Column of the catalog: the keyword in snake case.
    keyword
        As in PS3.6; for a nested attribute the keywords from the outermost inwards, joined by dots.
    path
        Tags from the outermost sequence inwards, eight upper-case hexadecimal digits each.
    many
        Whether the column holds several values (an array); a key matches where any of them does.
    derived
        Computed from what is stored below it, not an attribute of the instances themselves.
    returned
        Whether a row of the attribute's own level has it without being asked.
    site
        Added by the settings of this archive: kept in a table of its own, not in a column.
    """

    name: str
    keyword: str
    path: tuple[str, ...]
    vr: str
    level: Level
    kind: Kind
    many: bool = False
    derived: bool = False
    returned: bool = True
    site: bool = False

    @property
    def tag(self) -> str:
        """The outermost tag, under which a result row has the attribute."""
        return self.path[0]


_S, _E, _I = Level.STUDY, Level.SERIES, Level.INSTANCE
_K = Kind

_SPECIMEN = "00400560"
_OPTICAL_PATH = "00480105"
_REQUEST = "00400275"
_STEPS = (_SPECIMEN, "00400610", "00400612")

INDEXED: tuple[IndexedAttribute, ...] = (
    # --- study, with the patient: PS3.18 Table 10.6.3-3
    IndexedAttribute("study_date", "StudyDate", ("00080020",), "DA", _S, _K.DATE),
    IndexedAttribute("study_time", "StudyTime", ("00080030",), "TM", _S, _K.TIME),
    IndexedAttribute("accession_number", "AccessionNumber", ("00080050",), "SH", _S, _K.TEXT),
    IndexedAttribute(
        "modalities_in_study",
        "ModalitiesInStudy",
        ("00080061",),
        "CS",
        _S,
        _K.TEXT,
        many=True,
        derived=True,
    ),
    IndexedAttribute(
        "sop_classes_in_study",
        "SOPClassesInStudy",
        ("00080062",),
        "UI",
        _S,
        _K.UID,
        many=True,
        derived=True,
        returned=False,
    ),
    IndexedAttribute(
        "referring_physician_name", "ReferringPhysicianName", ("00080090",), "PN", _S, _K.NAME
    ),
    IndexedAttribute("study_description", "StudyDescription", ("00081030",), "LO", _S, _K.TEXT),
    IndexedAttribute("patient_name", "PatientName", ("00100010",), "PN", _S, _K.NAME),
    IndexedAttribute("patient_id", "PatientID", ("00100020",), "LO", _S, _K.TEXT),
    IndexedAttribute("issuer_of_patient_id", "IssuerOfPatientID", ("00100021",), "LO", _S, _K.TEXT),
    IndexedAttribute("patient_birth_date", "PatientBirthDate", ("00100030",), "DA", _S, _K.DATE),
    IndexedAttribute("patient_sex", "PatientSex", ("00100040",), "CS", _S, _K.TEXT),
    IndexedAttribute("study_uid", "StudyInstanceUID", ("0020000D",), "UI", _S, _K.UID),
    IndexedAttribute("study_id", "StudyID", ("00200010",), "SH", _S, _K.TEXT),
    # --- series: PS3.18 Table 10.6.3-4
    IndexedAttribute("modality", "Modality", ("00080060",), "CS", _E, _K.TEXT),
    IndexedAttribute("series_date", "SeriesDate", ("00080021",), "DA", _E, _K.DATE),
    IndexedAttribute("series_time", "SeriesTime", ("00080031",), "TM", _E, _K.TIME),
    IndexedAttribute("series_description", "SeriesDescription", ("0008103E",), "LO", _E, _K.TEXT),
    IndexedAttribute("manufacturer", "Manufacturer", ("00080070",), "LO", _E, _K.TEXT),
    IndexedAttribute(
        "manufacturer_model_name", "ManufacturerModelName", ("00081090",), "LO", _E, _K.TEXT
    ),
    IndexedAttribute("body_part_examined", "BodyPartExamined", ("00180015",), "CS", _E, _K.TEXT),
    IndexedAttribute("series_uid", "SeriesInstanceUID", ("0020000E",), "UI", _E, _K.UID),
    IndexedAttribute("series_number", "SeriesNumber", ("00200011",), "IS", _E, _K.NUMBER),
    IndexedAttribute(
        "frame_of_reference_uid", "FrameOfReferenceUID", ("00200052",), "UI", _E, _K.UID
    ),
    IndexedAttribute(
        "performed_procedure_step_start_date",
        "PerformedProcedureStepStartDate",
        ("00400244",),
        "DA",
        _E,
        _K.DATE,
    ),
    IndexedAttribute(
        "performed_procedure_step_start_time",
        "PerformedProcedureStepStartTime",
        ("00400245",),
        "TM",
        _E,
        _K.TIME,
    ),
    IndexedAttribute(
        "scheduled_procedure_step_ids",
        "RequestAttributesSequence.ScheduledProcedureStepID",
        (_REQUEST, "00400009"),
        "SH",
        _E,
        _K.TEXT,
        many=True,
    ),
    IndexedAttribute(
        "requested_procedure_ids",
        "RequestAttributesSequence.RequestedProcedureID",
        (_REQUEST, "00401001"),
        "SH",
        _E,
        _K.TEXT,
        many=True,
    ),
    # The slide: in practice one series is one glass slide, so these are kept at the series and
    # filled by the first instance that has them (PS3.3 §C.7.6.22, §C.8.12.2).
    IndexedAttribute(
        "container_identifier", "ContainerIdentifier", ("00400512",), "LO", _E, _K.TEXT
    ),
    IndexedAttribute(
        "specimen_identifiers",
        "SpecimenDescriptionSequence.SpecimenIdentifier",
        (_SPECIMEN, "00400551"),
        "LO",
        _E,
        _K.TEXT,
        many=True,
    ),
    IndexedAttribute(
        "specimen_uids",
        "SpecimenDescriptionSequence.SpecimenUID",
        (_SPECIMEN, "00400554"),
        "UI",
        _E,
        _K.UID,
        many=True,
    ),
    # A block is the parent specimen that a preparation step names (TID 8001).
    IndexedAttribute(
        "preparation_texts",
        "SpecimenDescriptionSequence.SpecimenPreparationSequence"
        ".SpecimenPreparationStepContentItemSequence.TextValue",
        (*_STEPS, "0040A160"),
        "UT",
        _E,
        _K.TEXT,
        many=True,
    ),
    # Stains: the coded substances of the preparation steps (TID 8003 "Using substance").
    IndexedAttribute(
        "preparation_code_values",
        "SpecimenDescriptionSequence.SpecimenPreparationSequence"
        ".SpecimenPreparationStepContentItemSequence.ConceptCodeSequence.CodeValue",
        (*_STEPS, "0040A168", "00080100"),
        "SH",
        _E,
        _K.TEXT,
        many=True,
    ),
    IndexedAttribute(
        "preparation_code_meanings",
        "SpecimenDescriptionSequence.SpecimenPreparationSequence"
        ".SpecimenPreparationStepContentItemSequence.ConceptCodeSequence.CodeMeaning",
        (*_STEPS, "0040A168", "00080104"),
        "LO",
        _E,
        _K.TEXT,
        many=True,
    ),
    # --- instance: PS3.18 Table 10.6.3-5
    IndexedAttribute("image_type", "ImageType", ("00080008",), "CS", _I, _K.TEXT, many=True),
    IndexedAttribute("sop_class_uid", "SOPClassUID", ("00080016",), "UI", _I, _K.UID),
    IndexedAttribute("instance_uid", "SOPInstanceUID", ("00080018",), "UI", _I, _K.UID),
    IndexedAttribute("content_date", "ContentDate", ("00080023",), "DA", _I, _K.DATE),
    IndexedAttribute("content_time", "ContentTime", ("00080033",), "TM", _I, _K.TIME),
    IndexedAttribute("instance_number", "InstanceNumber", ("00200013",), "IS", _I, _K.NUMBER),
    IndexedAttribute("number_of_frames", "NumberOfFrames", ("00280008",), "IS", _I, _K.NUMBER),
    IndexedAttribute("rows", "Rows", ("00280010",), "US", _I, _K.NUMBER),
    IndexedAttribute("columns", "Columns", ("00280011",), "US", _I, _K.NUMBER),
    IndexedAttribute("bits_allocated", "BitsAllocated", ("00280100",), "US", _I, _K.NUMBER),
    IndexedAttribute(
        "total_pixel_matrix_columns", "TotalPixelMatrixColumns", ("00480006",), "UL", _I, _K.NUMBER
    ),
    IndexedAttribute(
        "total_pixel_matrix_rows", "TotalPixelMatrixRows", ("00480007",), "UL", _I, _K.NUMBER
    ),
    IndexedAttribute(
        "dimension_organization_type", "DimensionOrganizationType", ("00209311",), "CS", _I, _K.TEXT
    ),
    # Concatenations, PS3.3 §C.7.6.16.1: parts of an image that was too large to be sent as one.
    IndexedAttribute(
        "concatenation_uid", "ConcatenationUID", ("00209161",), "UI", _I, _K.UID, returned=False
    ),
    IndexedAttribute(
        "sop_instance_uid_of_concatenation_source",
        "SOPInstanceUIDOfConcatenationSource",
        ("00200242",),
        "UI",
        _I,
        _K.UID,
        returned=False,
    ),
    # Optical paths, PS3.3 §C.8.12.5: by which light and stain a channel was taken.
    IndexedAttribute(
        "optical_path_identifiers",
        "OpticalPathSequence.OpticalPathIdentifier",
        (_OPTICAL_PATH, "00480106"),
        "SH",
        _I,
        _K.TEXT,
        many=True,
        returned=False,
    ),
    IndexedAttribute(
        "optical_path_descriptions",
        "OpticalPathSequence.OpticalPathDescription",
        (_OPTICAL_PATH, "00480107"),
        "ST",
        _I,
        _K.TEXT,
        many=True,
        returned=False,
    ),
    IndexedAttribute(
        "illumination_wave_lengths",
        "OpticalPathSequence.IlluminationWaveLength",
        (_OPTICAL_PATH, "00220055"),
        "FL",
        _I,
        _K.DECIMAL,
        many=True,
        returned=False,
    ),
    IndexedAttribute(
        "illumination_color_code_values",
        "OpticalPathSequence.IlluminationColorCodeSequence.CodeValue",
        (_OPTICAL_PATH, "00480108", "00080100"),
        "SH",
        _I,
        _K.TEXT,
        many=True,
        returned=False,
    ),
    IndexedAttribute(
        "illumination_color_code_meanings",
        "OpticalPathSequence.IlluminationColorCodeSequence.CodeMeaning",
        (_OPTICAL_PATH, "00480108", "00080104"),
        "LO",
        _I,
        _K.TEXT,
        many=True,
        returned=False,
    ),
    IndexedAttribute(
        "available_transfer_syntax_uid",
        "AvailableTransferSyntaxUID",
        ("00083002",),
        "UI",
        _I,
        _K.UID,
        many=True,
        derived=True,
        returned=False,
    ),
)

BY_PATH = {attribute.path: attribute for attribute in INDEXED}
BY_KEYWORD = {attribute.keyword: attribute for attribute in INDEXED}
