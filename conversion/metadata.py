"""The dataset of one instance of VL Whole Slide Microscopy Image, all but its pixels.

Values come from the request and the source. What nobody said stays empty where DICOM allows that
(type 2); where it demands a value (type 1) the one that says "unknown" is written, and
`stand_ins` names it for the manifest. No clock is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID
from pydicom.valuerep import DSfloat

from conversion import codes
from conversion.icc import srgb_profile
from conversion.identifiers import SETTINGS_VERSION
from conversion.manifest import Role
from conversion.specimen import specimen_module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conversion.identifiers import SlideUids
    from conversion.request import ConversionRequest
    from conversion.sources.slide import Picture, SlideProperties

WHOLE_SLIDE_MICROSCOPY: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"

#: Stands where DICOM demands a date and time of acquisition and the source has none.
UNKNOWN_DATE, UNKNOWN_TIME = "19000101", "000000"
#: Pixel spacing in mm where nobody knows it. DICOM demands one and readers refuse to open a pyramid
#: without; a value that no microscope has cannot be taken for a measured one.
UNKNOWN_SPACING_MM: Final = 1.0
#: Depth of the single focal plane in mm. DICOM demands a value above zero that no source states.
_SLICE_THICKNESS_MM: Final = 0.001

_UNKNOWN_SPACING = "the source does not say how large a pixel is: Pixel Spacing of 1 mm is no value"
_NOMINAL_SPACING = (
    "Pixel Spacing follows from the objective's power, the source has no measured one"
)


@dataclass(frozen=True, slots=True)
class SlideFacts:
    """What is the same for all instances of one slide."""

    request: ConversionRequest
    uids: SlideUids
    properties: SlideProperties

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Width and height of a pixel of the base level in mm."""
        given = self.request.micrometres_per_pixel
        if given is not None:
            return given / 1000, given / 1000
        if self.properties.spacing_um is not None:
            return self.properties.spacing_um[0] / 1000, self.properties.spacing_um[1] / 1000
        return UNKNOWN_SPACING_MM, UNKNOWN_SPACING_MM

    def spacing_of(self, picture: Picture) -> tuple[float, float]:
        """Width and height of a pixel of a picture in mm."""
        if picture.role in (Role.VOLUME, Role.THUMBNAIL):
            width, height = self.spacing_mm
            return width * picture.shrink[0], height * picture.shrink[1]
        if picture.spacing_um is not None:
            return picture.spacing_um[0] / 1000, picture.spacing_um[1] / 1000
        return UNKNOWN_SPACING_MM, UNKNOWN_SPACING_MM


def stand_ins(facts: SlideFacts, *, colour: bool) -> Iterator[str]:
    """Give a sentence for every value that stands for one nobody knows."""
    request, properties = facts.request, facts.properties
    if request.micrometres_per_pixel is None and properties.spacing_um is None:
        yield f"{_UNKNOWN_SPACING}; give micrometres_per_pixel to set it"
    elif request.micrometres_per_pixel is None and properties.nominal_spacing:
        yield _NOMINAL_SPACING
    if properties.acquired is None:
        yield "the source has no date of acquisition: 1900-01-01 means unknown"
    if request.container_id is None:
        yield "no container identifier was given: one made from the source's hash stands in"
    if not request.specimen_ids:
        yield "no specimen identifier was given: the container's stands in"
    if colour and properties.icc_profile is None:
        yield "the source has no ICC profile: sRGB was written"


def instance_dataset(facts: SlideFacts, picture: Picture, number: int, pixel_bytes: int) -> Dataset:
    """Return the dataset of one picture.

    Parameters
    ----------
    number
        Instance Number.
    pixel_bytes
        Sum of the lengths of all frames, for the compression ratio.
    """
    dataset = Dataset()
    _sop_common(dataset, facts, picture)
    _patient_and_study(dataset, facts)
    _series_and_equipment(dataset, facts)
    _acquisition(dataset, facts)
    _image(dataset, facts, picture, number)
    _pixels(dataset, picture, pixel_bytes)
    _tiles(dataset, facts, picture)
    specimen_module(dataset, facts.request, facts.uids)
    _optical_path(dataset, facts, picture)
    if picture.role is Role.LABEL:  # PS3.3 §C.8.12.8
        dataset.LabelText = facts.properties.label_text or ""
        dataset.BarcodeValue = facts.properties.barcode or ""
    return dataset


def _sop_common(dataset: Dataset, facts: SlideFacts, picture: Picture) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = UID(WHOLE_SLIDE_MICROSCOPY)
    dataset.SOPInstanceUID = UID(facts.uids.instance(picture.role, picture.level))
    # PS3.3 §C.12.1.1.5: who made a DICOM object of the scanner's file. It names the version of
    # the rules, not of the program: equal rules give equal bytes.
    maker = Dataset()
    maker.Manufacturer = "Coverslip"
    maker.ManufacturerModelName = "Coverslip conversion"
    maker.SoftwareVersions = f"rules {SETTINGS_VERSION}"
    maker.PurposeOfReferenceCodeSequence = Sequence([codes.CONVERSION_EQUIPMENT.item()])
    dataset.ContributingEquipmentSequence = Sequence([maker])


def _patient_and_study(dataset: Dataset, facts: SlideFacts) -> None:
    """Fill PS3.3 §C.7.1.1 and §C.7.2.1; empty where nothing was given."""
    request = facts.request
    dataset.PatientName = request.patient_name or ""
    dataset.PatientID = request.patient_id or ""
    dataset.PatientBirthDate = request.patient_birth_date or ""
    dataset.PatientSex = request.patient_sex or ""
    dataset.StudyInstanceUID = UID(facts.uids.study)
    dataset.StudyDate = request.study_date or ""
    dataset.StudyTime = request.study_time or ""
    dataset.StudyID = request.case_id or ""
    dataset.AccessionNumber = request.accession or ""
    dataset.ReferringPhysicianName = ""
    if request.study_description:
        dataset.StudyDescription = request.study_description


def _series_and_equipment(dataset: Dataset, facts: SlideFacts) -> None:
    """Fill PS3.3 §C.8.12.3, §C.7.5.1 and §C.7.5.2; the latter is all type 1."""
    properties = facts.properties
    dataset.Modality = "SM"
    dataset.SeriesInstanceUID = UID(facts.uids.series)
    dataset.SeriesNumber = 1
    dataset.FrameOfReferenceUID = UID(facts.uids.frame_of_reference)
    dataset.PositionReferenceIndicator = "SLIDE_CORNER"
    dataset.Manufacturer = properties.manufacturer or "Unknown"
    dataset.ManufacturerModelName = properties.model or "Unknown"
    dataset.DeviceSerialNumber = properties.serial_number or "Unknown"
    dataset.SoftwareVersions = properties.software or "Unknown"


def _acquisition(dataset: Dataset, facts: SlideFacts) -> None:
    acquired = facts.properties.acquired
    date = acquired.strftime("%Y%m%d") if acquired else UNKNOWN_DATE
    time = acquired.strftime("%H%M%S") if acquired else UNKNOWN_TIME
    dataset.AcquisitionDateTime = date + time
    dataset.ContentDate = date
    dataset.ContentTime = time
    if acquired:
        dataset.AcquisitionDate = dataset.SeriesDate = date
        dataset.AcquisitionTime = dataset.SeriesTime = time
    dataset.AcquisitionContextSequence = Sequence([])


def _image(dataset: Dataset, facts: SlideFacts, picture: Picture, number: int) -> None:
    """Fill PS3.3 §C.8.12.4 and what of §C.7.6.1 says something."""
    dataset.ImageType = list(image_type(picture))
    dataset.InstanceNumber = number
    # The overview shows the label too (PS3.3 §C.8.12.4.1.1), so it identifies as much as it does.
    label_shows = picture.role in (Role.LABEL, Role.OVERVIEW)
    dataset.BurnedInAnnotation = "YES" if label_shows else "NO"
    dataset.SpecimenLabelInImage = "YES" if label_shows else "NO"
    dataset.VolumetricProperties = "VOLUME"
    dataset.FocusMethod = "AUTO"
    dataset.ExtendedDepthOfField = "NO"
    comment = spacing_comment(facts, picture)
    if comment:
        dataset.ImageComments = comment
    if picture.role in (Role.VOLUME, Role.THUMBNAIL):
        dataset.PyramidUID = UID(facts.uids.pyramid)


def spacing_comment(facts: SlideFacts, picture: Picture) -> str | None:
    """Return what a reader of the instance must know of its Pixel Spacing, if anything."""
    if facts.spacing_of(picture) == (UNKNOWN_SPACING_MM * picture.shrink[0],) * 2:
        return _UNKNOWN_SPACING
    nominal = facts.properties.nominal_spacing and facts.request.micrometres_per_pixel is None
    if nominal and picture.role in (Role.VOLUME, Role.THUMBNAIL):
        return _NOMINAL_SPACING
    return None


def image_type(picture: Picture) -> tuple[str, str, str, str]:
    """Return Image Type (PS3.3 §C.8.12.4.1.1): smaller levels are derived from the base."""
    derived = picture.role is Role.THUMBNAIL or bool(picture.level)
    return (
        "DERIVED" if derived else "ORIGINAL",
        "PRIMARY",
        picture.role.value,
        "RESAMPLED" if derived else "NONE",
    )


def _pixels(dataset: Dataset, picture: Picture, pixel_bytes: int) -> None:
    """Fill PS3.3 §C.7.6.3 and the lossy attributes of §C.7.6.1.1.5."""
    coding = picture.frames.format
    dataset.SamplesPerPixel = coding.samples
    dataset.PhotometricInterpretation = coding.photometric
    if coding.samples > 1:
        dataset.PlanarConfiguration = 0
    else:
        dataset.PresentationLUTShape = "IDENTITY"
        dataset.RescaleIntercept, dataset.RescaleSlope = 0, 1
    dataset.Rows, dataset.Columns = picture.tile_rows, picture.tile_columns
    dataset.BitsAllocated = dataset.BitsStored = coding.bits
    dataset.HighBit = coding.bits - 1
    dataset.PixelRepresentation = 0
    dataset.NumberOfFrames = picture.frames.count
    dataset.LossyImageCompression = "01" if coding.lossy_method else "00"
    if coding.lossy_method:
        samples = picture.frames.count * picture.tile_columns * picture.tile_rows * coding.samples
        ratio = samples / max(1, pixel_bytes)
        dataset.LossyImageCompressionRatio = decimal(round(max(1.0, ratio), 2))
        dataset.LossyImageCompressionMethod = coding.lossy_method


def _tiles(dataset: Dataset, facts: SlideFacts, picture: Picture) -> None:
    """Fill PS3.3 §C.8.12.14, §C.7.6.17 and the shared functional groups (§A.32.8.4)."""
    dataset.TotalPixelMatrixColumns = picture.columns
    dataset.TotalPixelMatrixRows = picture.rows
    dataset.TotalPixelMatrixFocalPlanes = 1
    # No source says where on the glass its first pixel lies in terms of DICOM's slide coordinates,
    # so the slide's origin is put there: right within the slide, arbitrary beyond it.
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem = origin.YOffsetInSlideCoordinateSystem = decimal(0.0)
    dataset.TotalPixelMatrixOriginSequence = Sequence([origin])
    dataset.ImageOrientationSlide = [0, 1, 0, 1, 0, 0]
    organization = Dataset()
    organization.DimensionOrganizationUID = UID(facts.uids.dimension_organization)
    dataset.DimensionOrganizationSequence = Sequence([organization])
    dataset.DimensionOrganizationType = "TILED_FULL"
    frame_type = Dataset()
    frame_type.FrameType = list(image_type(picture))
    shared = Dataset()
    shared.WholeSlideMicroscopyImageFrameTypeSequence = Sequence([frame_type])
    path = Dataset()
    path.OpticalPathIdentifier = "0"
    shared.OpticalPathIdentificationSequence = Sequence([path])
    _measures(dataset, shared, picture, facts.spacing_of(picture))
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])


def _measures(
    dataset: Dataset, shared: Dataset, picture: Picture, spacing: tuple[float, float]
) -> None:
    """Fill PS3.3 §C.7.6.16.2.1 and §C.8.12.4.1.2."""
    width, height = spacing
    measures = Dataset()
    measures.PixelSpacing = [decimal(height), decimal(width)]  # between rows, between columns
    measures.SliceThickness = decimal(_SLICE_THICKNESS_MM)
    shared.PixelMeasuresSequence = Sequence([measures])
    dataset.ImagedVolumeWidth = picture.columns * width
    dataset.ImagedVolumeHeight = picture.rows * height
    dataset.ImagedVolumeDepth = _SLICE_THICKNESS_MM


def _optical_path(dataset: Dataset, facts: SlideFacts, picture: Picture) -> None:
    """Fill PS3.3 §C.8.12.5."""
    properties = facts.properties
    path = Dataset()
    path.OpticalPathIdentifier = "0"
    light = codes.EPIFLUORESCENCE if properties.fluorescence else codes.BRIGHTFIELD
    path.IlluminationTypeCodeSequence = Sequence([light.item()])
    path.IlluminationColorCodeSequence = Sequence([codes.FULL_SPECTRUM.item()])
    if picture.frames.format.samples == 3:
        path.ICCProfile = properties.icc_profile or srgb_profile()
        if properties.icc_profile is None:
            path.ColorSpace = "SRGB"
    # Label and overview are taken by another camera, without the objective.
    if properties.objective_power and picture.role in (Role.VOLUME, Role.THUMBNAIL):
        path.ObjectiveLensPower = decimal(properties.objective_power)
    dataset.OpticalPathSequence = Sequence([path])
    dataset.NumberOfOpticalPaths = 1


def decimal(value: float) -> DSfloat:
    """Return a Decimal String of at most 16 characters (PS3.5 §6.2)."""
    return DSfloat(value, auto_format=True)
