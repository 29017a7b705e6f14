"""Whole studies, series and instances (PS3.18 §10.4.1.1.1)."""

import io
import zipfile

import pydicom
from pydicom.dataset import FileDataset

from conformance.checks import multipart
from conformance.checks import samples as made
from conformance.checks.bench import (
    JSON,
    Bench,
    expect,
    expect_status,
    expect_type,
    only_part,
)
from conformance.checks.negotiation import ANY_DICOM_PARTS, DICOM_PARTS
from conformance.checks.registry import Category, Failed, Skipped
from conformance.checks.samples import Sample
from conformance.checks.service import Answer

retrieve = Category("Retrieve")

DICOM = "application/dicom"


def read(content: bytes) -> FileDataset:
    """Read a Part 10 file; `Failed` when it is none."""
    try:
        return pydicom.dcmread(io.BytesIO(content))
    except Exception as error:
        raise Failed(f"what came is no DICOM file: {error}") from error


def syntax_of(content: bytes) -> str:
    """Give the transfer syntax of a file by its meta information."""
    return str(read(content).file_meta.TransferSyntaxUID)


def whole(bench: Bench, sample: Sample, accept: str = ANY_DICOM_PARTS) -> bytes:
    """Retrieve one instance as a file."""
    part = only_part(bench.get(sample.path, accept))
    expect(part.content_type == DICOM, f"a part of type {part.content_type}")
    return part.content


def _all_in(bench: Bench, path: str, samples: list[Sample]) -> Answer:
    answer = bench.get(path, ANY_DICOM_PARTS)
    expect_status(answer, 200)
    found = sorted(str(read(part.content).SOPInstanceUID) for part in answer.parts)
    wanted = sorted(one.uid for one in samples)
    expect(found == wanted, f"{len(found)} instances, not the {len(wanted)} that there are")
    return answer


@retrieve.standard("PS3.18 Table 10.4.1-1", "a study is sent as all of its instances")
def study(bench: Bench) -> None:
    path = bench.slide.study_path
    _all_in(bench, path, [one for one in bench.stored() if one.study_path == path])


@retrieve.standard("PS3.18 Table 10.4.1-1", "a series is sent as all of its instances")
def series(bench: Bench) -> None:
    path = bench.slide.series_path
    _all_in(bench, path, [one for one in bench.stored() if one.series_path == path])


@retrieve.standard("PS3.18 Table 10.4.1-1", "an instance is sent as a file")
def instance(bench: Bench) -> None:
    expect(read(whole(bench, bench.slide)).SOPInstanceUID == bench.slide.uid, "another instance")


@retrieve.standard(
    "PS3.18 §8.7.3.1, PS3.10 §7.1", "what is sent has preamble and file meta information"
)
def file_format(bench: Bench) -> None:
    content = whole(bench, bench["bytes"])
    expect(content[128:132] == b"DICM", "no DICM behind the preamble")
    meta = read(content).file_meta
    expect(
        meta.MediaStorageSOPInstanceUID == bench["bytes"].uid, "the meta information is another's"
    )


@retrieve.standard("PS3.18 §8.6.1.2", "every part of the answer has a Content-Type")
def types_of_parts(bench: Bench) -> None:
    answer = bench.get(bench.slide.series_path, ANY_DICOM_PARTS)
    expect_status(answer, 200)
    for part in answer.parts:
        expect(part.content_type == DICOM, f"a part of type {part.content_type or 'none'}")


@retrieve.standard("PS3.18 Table 8.6.1-1", "every part of the answer says where it comes from")
def locations_of_parts(bench: Bench) -> None:
    answer = bench.get(bench.slide.series_path, ANY_DICOM_PARTS)
    expect_status(answer, 200)
    for part in answer.parts:
        uid = str(read(part.content).SOPInstanceUID)
        where = part.headers.get("content-location", "")
        expect(where.endswith(f"/instances/{uid}"), f"Content-Location: {where or 'none'}")


@retrieve.standard("PS3.18 §8.7.1", "the multipart type names the type of its parts")
def type_parameter(bench: Bench) -> None:
    answer = bench.get(bench.slide.path, ANY_DICOM_PARTS)
    expect_status(answer, 200)
    expect_type(answer, "multipart/related")
    named = multipart.parameter(answer.header("content-type") or "", "type")
    expect(named == DICOM, f"type={named}")


@retrieve.standard("PS3.18 §8.7.3.5.2", "a type with transfer-syntax says what the file is in")
def transfer_syntax_of_the_part(bench: Bench) -> None:
    part = only_part(bench.get(bench.slide.path, ANY_DICOM_PARTS))
    if part.transfer_syntax is None:
        raise Skipped("parts name no transfer syntax, and need not")
    expect(part.transfer_syntax == syntax_of(part.content), f"not {part.transfer_syntax}")


@retrieve.client(
    "EZ-WSI DICOMweb 6.1, dicom_web_interface.py", "an instance comes as a single part"
)
def single_part(bench: Bench) -> None:
    sample = bench.slide
    answer = bench.get(sample.path, "application/dicom; transfer-syntax=*")
    expect_status(answer, 200)
    expect_type(answer, DICOM)
    expect(read(answer.body).SOPInstanceUID == sample.uid, "another instance")


@retrieve.client("dicomweb-client (Python) 0.61, iter_series", "the parts are asked for as */*")
def any_part_type(bench: Bench) -> None:
    answer = bench.get(bench.slide.series_path, 'multipart/related; type="*/*"')
    expect_status(answer, 200, 406)
    if answer.status == 200:
        expect(bool(answer.parts), "no parts")


@retrieve.standard(
    "PS3.18 §8.7.3", "native pixel data goes in Explicit VR Little Endian by default"
)
def default_transfer_syntax(bench: Bench) -> None:
    for name in ("words", "bytes", "segmentation"):
        got = syntax_of(whole(bench, bench[name], DICOM_PARTS))
        expect(got == made.EXPLICIT_LITTLE, f"“{name}” came in {got}")


@retrieve.standard("PS3.18 §8.7.3.4", "what is only there in a lossy form is sent in that form")
def default_of_lossy(bench: Bench) -> None:
    got = syntax_of(whole(bench, bench.slide, DICOM_PARTS))
    expect(got in {made.JPEG_BASELINE, made.EXPLICIT_LITTLE}, f"the slide came in {got}")


@retrieve.standard("PS3.18 §8.7.3.5.2", "the stored transfer syntax is to be had by name")
def stored_transfer_syntax(bench: Bench) -> None:
    for name in ("slide", "words", "rle", "jpeg-ls", "jpeg 2000"):
        sample = bench[name]
        got = syntax_of(whole(bench, sample, f"{DICOM_PARTS}; transfer-syntax={sample.syntax}"))
        expect(got == sample.syntax, f"“{name}” came in {got}")


@retrieve.standard("PS3.18 §8.7.3.5.2", "transfer-syntax=* changes no pixel")
def any_transfer_syntax_is_lossless(bench: Bench) -> None:
    for name in ("slide", "words", "rle", "jpeg-ls", "jpeg 2000", "fragments", "planar"):
        sample = bench[name]
        before, after = read(sample.content), read(whole(bench, sample))
        same = (before.pixel_array == after.pixel_array).all()
        expect(same, f"the pixels of “{name}” have changed")


@retrieve.standard("PS3.18 §8.6.2.1", "Implicit VR Little Endian is never sent")
def never_implicit(bench: Bench) -> None:
    for accept in (ANY_DICOM_PARTS, DICOM_PARTS):
        content = whole(bench, bench["implicit"], accept)
        expect(syntax_of(content) != made.IMPLICIT_LITTLE, "it was sent in implicit VR")
        sent, stored = read(content), read(bench["implicit"].content)
        expect((sent.pixel_array == stored.pixel_array).all(), "the pixels have changed")


@retrieve.standard("PS3.18 §8.7.3", "Explicit VR Big Endian is never sent")
def never_big_endian(bench: Bench) -> None:
    sample = bench["big endian"]
    for accept in (ANY_DICOM_PARTS, DICOM_PARTS):
        content = whole(bench, sample, accept)
        expect(syntax_of(content) != made.EXPLICIT_BIG, "it was sent in big endian")
        expect((read(content).pixel_array == sample.pixels).all(), "the pixels have changed")


@retrieve.standard(
    "PS3.18 §8.7.3.4", "a deflated data set is sent inflated when nothing else is said"
)
def deflated(bench: Bench) -> None:
    content = whole(bench, bench["deflated"], DICOM_PARTS)
    expect(syntax_of(content) == made.EXPLICIT_LITTLE, f"it came in {syntax_of(content)}")
    same = (read(content).pixel_array == read(bench["deflated"].content).pixel_array).all()
    expect(same, "the pixels have changed")


@retrieve.standard("PS3.18 §8.7.8.1", "406 for a transfer syntax that a picture cannot be in")
def impossible_transfer_syntax(bench: Bench) -> None:
    accept = f"{DICOM_PARTS}; transfer-syntax=1.2.840.10008.1.2.4.102"
    expect_status(bench.get(bench["words"].path, accept), 406)


@retrieve.standard(
    "PS3.18 §8.7.8", "each part is selected for by itself: one study in many syntaxes"
)
def mixed_study(bench: Bench) -> None:
    path = bench["words"].study_path
    _all_in(bench, path, [one for one in bench.stored() if one.study_path == path])


@retrieve.standard(
    "PS3.18 §10.4.3.1", "404 for a study, a series and an instance that there is not"
)
def unknown(bench: Bench) -> None:
    nothing = bench.maker.uid("nothing")
    for path in (
        f"/studies/{nothing}",
        f"{bench.slide.study_path}/series/{nothing}",
        f"{bench.slide.series_path}/instances/{nothing}",
    ):
        answer = bench.get(path, ANY_DICOM_PARTS)
        expect(answer.status == 404, f"{answer}, not 404")


@retrieve.standard("PS3.18 §10.1.1", "404 for an instance in a study that it does not belong to")
def wrong_study(bench: Bench) -> None:
    slide, other = bench.slide, bench["words"]
    path = f"{other.study_path}/series/{slide.series}/instances/{slide.uid}"
    for tail in ("", "/metadata", "/frames/1"):
        answer = bench.get(path + tail)
        expect(answer.status == 404, f"{answer}, not 404")


@retrieve.standard("PS3.18 §10.1.1", "404 for an instance in a series that it does not belong to")
def wrong_series(bench: Bench) -> None:
    slide, other = bench.slide, bench["report"]
    path = f"{other.series_path}/instances/{slide.uid}"
    for tail in ("", "/metadata", "/frames/1"):
        answer = bench.get(path + tail)
        expect(answer.status == 404, f"{answer}, not 404")


@retrieve.standard("PS3.18 §8.2, §10.4.3.1", "a path with something else than a UID is 400 or 404")
def no_uid(bench: Bench) -> None:
    for path in ("/studies/one", "/studies/1.2.3-4", f"{bench.slide.study_path}/series/abc"):
        answer = bench.get(path)
        expect(answer.status in {400, 404}, f"{answer}, not 400 or 404")


@retrieve.standard("RFC 9110 §8.6, Table 10.4.3-2", "an answer has a length, or comes in chunks")
def length_or_chunks(bench: Bench) -> None:
    for path in (bench.slide.path, bench.slide.study_path):
        answer = bench.get(path, ANY_DICOM_PARTS)
        expect_status(answer, 200)
        framed = answer.header("content-length") or answer.header("transfer-encoding")
        expect(framed, "the end of the body is told by closing the connection alone")


@retrieve.standard("PS3.18 §8.6.1.3", "a study as application/zip holds every instance")
def zip_archive(bench: Bench) -> None:
    answer = bench.get(bench.slide.study_path, "application/zip")
    if answer.status in {400, 406}:
        raise Skipped("application/zip is not offered, and need not be")
    expect_status(answer, 200)
    expect_type(answer, "application/zip")
    try:
        archive = zipfile.ZipFile(io.BytesIO(answer.body))
        found = sorted(
            str(read(archive.read(name)).SOPInstanceUID)
            for name in archive.namelist()
            if not name.upper().endswith("DICOMDIR")
        )
    except (zipfile.BadZipFile, OSError) as error:
        raise Failed(f"no zip archive: {error}") from error
    wanted = sorted(one.uid for one in bench.stored() if one.study == bench.slide.study)
    expect(found == wanted, f"{len(found)} instances in it, not {len(wanted)}")


@retrieve.standard("PS3.18 §10.4.1.1.2", "metadata of study and series has one object an instance")
def metadata_of_levels_above(bench: Bench) -> None:
    slide = bench.slide
    for path in (slide.study_path, slide.series_path):
        answer = bench.get(path + "/metadata", JSON)
        expect_status(answer, 200)
        found = sorted(one["00080018"]["Value"][0] for one in answer.json())
        wanted = sorted(one.uid for one in bench.stored() if one.path.startswith(path + "/"))
        expect(found == wanted, f"{len(found)} objects, not {len(wanted)}")
