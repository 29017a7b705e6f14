"""Which samples there are: a slide in its forms, other pictures, things that are no pictures."""

import struct
from collections.abc import Callable
from dataclasses import replace

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms
from pydicom.dataset import Dataset
from pydicom.pixels.encoders.base import RLELosslessEncoder
from pydicom.sequence import Sequence

from conformance.checks import samples as made
from conformance.checks.samples import Maker, Sample

SIDE = 32
ACROSS, DOWN = 3, 2
TINY_BYTES, LARGE_BYTES = 64, 6000
"""Sizes of binary values: one that belongs inline, one that belongs behind a URI."""


def icc_profile() -> bytes:
    """Make an sRGB profile, padded to the size that scanners' profiles have at the least."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    padded = bytearray(profile + b"\0" * (LARGE_BYTES - len(profile)))
    padded[:4] = struct.pack(">L", len(padded))
    return bytes(padded)


def whole_slide(maker: Maker, name: str, **given: object) -> Dataset:
    """Make the header of a level of a slide, 3 x 2 tiles."""
    dataset = maker.dataset(
        name,
        made.WHOLE_SLIDE,
        study="slide",
        series="slide",
        patient="slide",
        Modality="SM",
        SeriesDescription="Level",
        ImageType=["DERIVED", "PRIMARY", "VOLUME", "NONE"],
        FrameOfReferenceUID=maker.uid("frame of reference"),
        ContainerIdentifier=f"C-{maker.tag}",
        TotalPixelMatrixColumns=ACROSS * SIDE,
        TotalPixelMatrixRows=DOWN * SIDE,
        ImagedVolumeWidth=1.5,
        ImagedVolumeHeight=1.0,
        ImagedVolumeDepth=0.001,
        DimensionOrganizationType="TILED_FULL",
        ImageOrientationSlide=[0, -1, 0, -1, 0, 0],
        VolumetricProperties="VOLUME",
        SpecimenLabelInImage="NO",
        BurnedInAnnotation="NO",
        FocusMethod="AUTO",
        ExtendedDepthOfField="NO",
        NumberOfOpticalPaths=1,
        TotalPixelMatrixFocalPlanes=1,
    )
    dataset.TotalPixelMatrixOriginSequence = Sequence(
        [item(XOffsetInSlideCoordinateSystem=20, YOffsetInSlideCoordinateSystem=40)]
    )
    dataset.OpticalPathSequence = Sequence(
        [
            item(
                OpticalPathIdentifier="1",
                ICCProfile=icc_profile(),
                IlluminationTypeCodeSequence=[code("111744", "DCM", "Brightfield illumination")],
            )
        ]
    )
    dataset.SpecimenDescriptionSequence = Sequence(
        [item(SpecimenIdentifier=f"SP-{maker.tag}", SpecimenUID=maker.uid("specimen"))]
    )
    measures = item(PixelSpacing=[0.0005, 0.0005], SliceThickness=0.001)
    dataset.SharedFunctionalGroupsSequence = Sequence(
        [
            item(
                PixelMeasuresSequence=[measures],
                WholeSlideMicroscopyImageFrameTypeSequence=[
                    item(FrameType=["DERIVED", "PRIMARY", "VOLUME", "NONE"])
                ],
            )
        ]
    )
    for keyword, value in given.items():
        setattr(dataset, keyword, value)
    return dataset


def item(**attributes: object) -> Dataset:
    """Make an item of a sequence."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        if isinstance(value, list) and value and isinstance(value[0], Dataset):
            setattr(dataset, keyword, Sequence(value))
        else:
            setattr(dataset, keyword, value)
    return dataset


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Make a code (PS3.3 §8)."""
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _slide(maker: Maker, name: str) -> Sample:
    pixels = made.colours(ACROSS * DOWN, SIDE)
    dataset = made.describe(whole_slide(maker, name), pixels, photometric="YBR_FULL_422")
    dataset.LossyImageCompression, dataset.LossyImageCompressionRatio = "01", 10.5
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    frames = made.each_frame(pixels, made.jpeg)
    return made.encapsulated(name, dataset, frames, pixels, made.JPEG_BASELINE)


def _sparse(maker: Maker, name: str) -> Sample:
    pixels = made.colours(4, SIDE // 2)
    dataset = whole_slide(
        maker,
        name,
        InstanceNumber=2,
        DimensionOrganizationType="TILED_SPARSE",
        TotalPixelMatrixColumns=ACROSS * SIDE // 2,
        TotalPixelMatrixRows=DOWN * SIDE // 2,
    )
    made.describe(dataset, pixels)
    places = [(1, 1), (33, 1), (1, 17), (17, 17)]  # the second and the last of the six are left out
    dataset.PerFrameFunctionalGroupsSequence = Sequence(
        [
            item(
                FrameContentSequence=[item(DimensionIndexValues=[column, row])],
                PlanePositionSlideSequence=[
                    item(
                        XOffsetInSlideCoordinateSystem=20.0,
                        YOffsetInSlideCoordinateSystem=40.0,
                        ZOffsetInSlideCoordinateSystem=0.0,
                        ColumnPositionInTotalImagePixelMatrix=column,
                        RowPositionInTotalImagePixelMatrix=row,
                    )
                ],
            )
            for column, row in places
        ]
    )
    return made.native(name, dataset, pixels, made.EXPLICIT_LITTLE)


def _segmentation(maker: Maker, name: str) -> Sample:
    masks = (np.arange(3 * 5 * 5) * 7 % 3 == 0).astype(np.uint8).reshape(3, 5, 5)
    dataset = maker.dataset(
        name,
        made.SEGMENTATION,
        study="slide",
        series="segmentation",
        patient="slide",
        Modality="SEG",
        SeriesNumber=2,
        SegmentationType="BINARY",
        ContentLabel="MASK",
    )
    made.describe(dataset, masks)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
    return made.packed(name, dataset, masks)


def _annotations(maker: Maker, name: str) -> Sample:
    points = np.arange(2000, dtype="<f4") / 7
    group = item(
        AnnotationGroupNumber=1,
        AnnotationGroupUID=maker.uid("annotation group"),
        AnnotationGroupLabel="nuclei",
        GraphicType="POLYGON",
        AnnotationAppliesToAllOpticalPaths="YES",
        NumberOfAnnotations=2,
        PointCoordinatesData=points.tobytes(),
        LongPrimitivePointIndexList=np.array([1, 1001], "<u4").tobytes(),
    )
    dataset = maker.dataset(
        name,
        made.BULK_ANNOTATIONS,
        study="slide",
        series="annotations",
        patient="slide",
        Modality="ANN",
        SeriesNumber=3,
        AnnotationCoordinateType="2D",
        AnnotationGroupSequence=[group],
    )
    return made.document(name, dataset)


def _report(maker: Maker, name: str) -> Sample:
    text = item(
        RelationshipType="CONTAINS",
        ValueType="TEXT",
        ConceptNameCodeSequence=[code("121071", "DCM", "Finding")],
        TextValue="Nothing that <b>anybody</b> & everybody would need to see",
    )
    dataset = maker.dataset(
        name,
        made.STRUCTURED_REPORT,
        study="slide",
        series="report",
        patient="slide",
        Modality="SR",
        SeriesNumber=4,
        ContentDate=made.DATE,
        ContentTime=made.TIME,
        CompletionFlag="COMPLETE",
        VerificationFlag="UNVERIFIED",
        ValueType="CONTAINER",
        ContinuityOfContent="SEPARATE",
        ConceptNameCodeSequence=[code("126000", "DCM", "Imaging Measurement Report")],
        ContentSequence=[text],
    )
    return made.document(name, dataset)


def picture(maker: Maker, name: str, sop_class: str, **given: object) -> Dataset:
    """Make the header of a picture that is no slide."""
    return maker.dataset(
        name, sop_class, study="pictures", series="pictures", patient="pictures", **given
    )


def _words(maker: Maker, name: str) -> Sample:
    pixels = made.grey_levels(3, 10, 12, np.uint16)
    dataset = made.describe(picture(maker, name, made.GREY_WORDS), pixels)
    dataset.WindowCenter, dataset.WindowWidth = "6000.50", "12000"
    return made.native(name, dataset, pixels, made.EXPLICIT_LITTLE)


def _big_endian(maker: Maker, name: str) -> Sample:
    pixels = made.grey_levels(2, 6, 8, np.uint16)
    dataset = made.describe(picture(maker, name, made.GREY_WORDS), pixels)
    return made.native(name, dataset, pixels, made.EXPLICIT_BIG)


def _other_syntax(syntax: str) -> Callable[[Maker, str], Sample]:
    def make(maker: Maker, name: str) -> Sample:
        pixels = made.grey_levels(1, 7, 9, np.uint8)
        dataset = made.describe(picture(maker, name, made.SECONDARY_CAPTURE), pixels)
        return made.native(name, dataset, pixels, syntax)

    return make


def _many(maker: Maker, name: str) -> Sample:
    pixels = made.grey_levels(400, 2, 2, np.uint8)
    dataset = made.describe(picture(maker, name, made.GREY_BYTES), pixels)
    return made.native(name, dataset, pixels, made.EXPLICIT_LITTLE)


def _fragments(maker: Maker, name: str) -> Sample:
    pixels = made.colours(2, 24)
    dataset = made.describe(
        picture(maker, name, made.COLOUR_FRAMES), pixels, photometric="YBR_FULL_422"
    )
    frames = made.each_frame(pixels, made.jpeg)
    return made.encapsulated(name, dataset, frames, pixels, made.JPEG_BASELINE, fragments=3)


def _one_in_fragments(maker: Maker, name: str) -> Sample:
    pixels = made.colours(1, 24)
    dataset = made.describe(
        picture(maker, name, made.SECONDARY_CAPTURE), pixels, photometric="YBR_FULL_422"
    )
    frames = made.each_frame(pixels, made.jpeg)
    return made.encapsulated(
        name, dataset, frames, pixels, made.JPEG_BASELINE, fragments=4, table="none"
    )


def _extended_table(maker: Maker, name: str) -> Sample:
    pixels = made.colours(3, 16)
    dataset = made.describe(
        picture(maker, name, made.COLOUR_FRAMES), pixels, photometric="YBR_FULL_422"
    )
    frames = made.each_frame(pixels, made.jpeg)
    return made.encapsulated(name, dataset, frames, pixels, made.JPEG_BASELINE, table="extended")


def _compressed(
    syntax: str, encode: Callable[[NDArray[np.uint8]], bytes], photometric: str = "RGB"
) -> Callable[[Maker, str], Sample]:
    def make(maker: Maker, name: str) -> Sample:
        pixels = made.colours(2, 16)
        dataset = made.describe(
            picture(maker, name, made.COLOUR_FRAMES), pixels, photometric=photometric
        )
        frames = made.each_frame(pixels, encode)
        return made.encapsulated(name, dataset, frames, pixels, syntax)

    return make


def _run_lengths(frame: NDArray[np.uint8]) -> bytes:
    rows, columns = frame.shape[:2]
    return RLELosslessEncoder.encode(
        frame,
        rows=rows,
        columns=columns,
        samples_per_pixel=3,
        bits_allocated=8,
        bits_stored=8,
        pixel_representation=0,
        photometric_interpretation="RGB",
        number_of_frames=1,
        planar_configuration=0,
    )


def _jpeg_2000(frame: NDArray[np.uint8]) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(frame, codecformat="j2k", reversible=True, mct=True, level=0)
    )


def _jpeg_ls(frame: NDArray[np.uint8]) -> bytes:
    return bytes(imagecodecs.jpegls_encode(frame))


def _planar(maker: Maker, name: str) -> Sample:
    pixels = made.colours(2, 10)
    dataset = made.describe(picture(maker, name, made.COLOUR_FRAMES), pixels)
    dataset.PlanarConfiguration = 1
    planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    sample = made.native(name, dataset, planes, made.EXPLICIT_LITTLE)
    return replace(sample, pixels=pixels)


def _attributes(maker: Maker, name: str) -> Sample:
    """Make an instance with a value of every kind that DICOM JSON treats in its own way."""
    pixels = made.grey_levels(1, 4, 4, np.uint8)
    dataset = made.describe(
        maker.dataset(
            name, made.SECONDARY_CAPTURE, study="attributes", series="1", patient="attributes"
        ),
        pixels,
    )
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    dataset.SoftwareVersions = ["1.0", "", "2.0"]
    dataset.AccessionNumber = ""
    dataset.ReferencedImageSequence = Sequence([item(), item(ReferencedSOPClassUID="1.2.3")])
    dataset.AcquisitionContextSequence = Sequence([])
    dataset.FrameIncrementPointer = 0x00181063
    dataset.PatientWeight, dataset.PatientSize = "72.50", "1.80"
    dataset.RecommendedDisplayFrameRate = 24
    dataset.ReferencePixelX0 = -12
    dataset.PhysicalUnitsXDirection = 3
    dataset.PhysicalDeltaX = 0.25
    dataset.DoubleFloatRealWorldValueFirstValueMapped = -1.5
    dataset.ImageComments = 'two\r\nlines, \\ and a quote "'
    dataset.add_new(0x00090010, "LO", "CHECKS")
    dataset.add_new(0x00091001, "OB", bytes(range(TINY_BYTES)))
    dataset.add_new(0x00091002, "OW", np.arange(LARGE_BYTES // 2, dtype="<u2").tobytes())
    dataset.add_new(0x00091003, "OF", np.arange(LARGE_BYTES // 4, dtype="<f4").tobytes())
    dataset.add_new(0x00091004, "OD", np.arange(LARGE_BYTES // 8, dtype="<f8").tobytes())
    dataset.add_new(0x00091005, "SQ", Sequence([item(PatientComments="inside of a private one")]))
    return made.native(name, dataset, pixels, made.EXPLICIT_LITTLE)


# PS3.5 Annexes H, I and J and PS3.3 §C.12.1.1.2 have these names; each is a patient of its own.
NAMES: dict[str, tuple[str | list[str], str]] = {
    "latin": ("ISO_IR 100", "Äneas^Rüdiger"),
    "cyrillic": ("ISO_IR 144", "Люкceмбypг"),  # noqa: RUF001 - as PS3.3 has it
    "greek": ("ISO_IR 126", "Διονυσιος"),
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "half-width": (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    "korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "chinese": ("GB18030", "Wang^XiaoDong=王^小东"),
    "unicode": ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
}


def _named(character_set: str | list[str], name: str) -> Callable[[Maker, str], Sample]:
    def make(maker: Maker, sample_name: str) -> Sample:
        pixels = made.grey_levels(1, 2, 2, np.uint8)
        dataset = maker.dataset(
            sample_name,
            made.SECONDARY_CAPTURE,
            study=sample_name,
            series="1",
            patient=sample_name,
            SpecificCharacterSet=character_set,
            PatientName=name,
        )
        return made.native(
            sample_name, made.describe(dataset, pixels), pixels, made.EXPLICIT_LITTLE
        )

    return make


LISTED = 5
"""Studies of the patient that searches look through."""


def _listed(number: int) -> Callable[[Maker, str], Sample]:
    """Make one of the studies that searches look through; they differ in every key."""

    def make(maker: Maker, name: str) -> Sample:
        pixels = made.grey_levels(1, 2, 2, np.uint8)
        surnames = ["Adams", "Adamson", "100%_Sure", "100XYSure", "Brown"]
        dataset = maker.dataset(
            name,
            made.SECONDARY_CAPTURE,
            study=name,
            series="1",
            patient="listed",
            PatientName=f"{surnames[number - 1]}^Check",
            AccessionNumber=f"L{number}-{maker.tag}",
            StudyDate=f"2020010{number}",
            StudyTime=f"0{number}3000.5",
            StudyID=f"ID{number}",
            ReferringPhysicianName=f"Doctor{number}^Who",
            Modality="XC" if number % 2 else "GM",
            SeriesNumber=number,
            InstanceNumber=10 + number,
            PerformedProcedureStepStartDate=f"2020020{number}",
            PerformedProcedureStepStartTime=f"1{number}0000",
            SeriesDescription=f"Series {number}",
            RequestAttributesSequence=Sequence(
                [
                    item(
                        ScheduledProcedureStepID=f"SPS{number}-{maker.tag}",
                        RequestedProcedureID=f"RP{number}-{maker.tag}",
                    )
                ]
            ),
        )
        return made.native(name, made.describe(dataset, pixels), pixels, made.EXPLICIT_LITTLE)

    return make


MAKERS: dict[str, Callable[[Maker, str], Sample]] = {
    "slide": _slide,
    "sparse": _sparse,
    "segmentation": _segmentation,
    "annotations": _annotations,
    "report": _report,
    "words": _words,
    "big endian": _big_endian,
    "implicit": _other_syntax(made.IMPLICIT_LITTLE),
    "deflated": _other_syntax(made.DEFLATED),
    "bytes": _other_syntax(made.EXPLICIT_LITTLE),
    "many frames": _many,
    "fragments": _fragments,
    "one in fragments": _one_in_fragments,
    "extended table": _extended_table,
    "rle": _compressed(made.RLE, _run_lengths),
    "jpeg-ls": _compressed(made.JPEG_LS, _jpeg_ls),
    "jpeg 2000": _compressed(made.JPEG_2000, _jpeg_2000, "YBR_RCT"),
    "planar": _planar,
    "attributes": _attributes,
    **{name: _named(*given) for name, given in NAMES.items()},
    **{f"listed {number}": _listed(number) for number in range(1, LISTED + 1)},
}
"""Every sample by its name, in the order in which they are stored."""
