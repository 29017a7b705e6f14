"""The searches that viewers and libraries send, word for word."""

from conformance.checks.bench import JSON, Bench, expect, expect_status, uids, value, values
from conformance.checks.search import search

EZ_WSI_FIELDS = [
    "SOPInstanceUID",
    "SOPClassUID",
    "InstanceNumber",
    "Rows",
    "Columns",
    "TotalPixelMatrixColumns",
    "TotalPixelMatrixRows",
    "ImageType",
    "NumberOfFrames",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PhotometricInterpretation",
    "ImagedVolumeWidth",
    "ImagedVolumeHeight",
    "DimensionOrganizationType",
    "SharedFunctionalGroupsSequence",
    "OpticalPathSequence",
    "TransferSyntaxUID",
]


@search.client("OHIF 3.13, extensions/default qido.js", "OHIF's list of studies")
def ohif_studies(bench: Bench) -> None:
    query = (
        "limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060%2C00080090%2C"
        f"00100030&StudyInstanceUID={bench.slide.study}"
    )
    rows = bench.search("/studies", query)
    expect(uids(rows) == [bench.slide.study], "not the one study")
    for tag in ("00081030", "00080061", "00201208", "00100010"):
        expect(tag in rows[0], f"the row lacks {tag}")


@search.client("OHIF 3.13, extensions/default qido.js", "OHIF's list of the series of a study")
def ohif_series(bench: Bench) -> None:
    query = "includefield=00080021%2C00080031%2C0008103E%2C00200011"
    rows = bench.search(bench.slide.study_path + "/series", query)
    expect(bench.slide.series in uids(rows, "0020000E"), "the slide's series is not there")
    expect(all("00080060" in row for row in rows), "a row lacks the Modality")


@search.client("Slim 0.46, dcmjs dicomweb-client", "Slim's list of studies with slides")
def slim_studies(bench: Bench) -> None:
    query = f"ModalitiesInStudy=SM&PatientID={bench.slide.dataset.PatientID}&fuzzymatching=true"
    expect(uids(bench.search("/studies", query)) == [bench.slide.study], "not the one study")


@search.client("Slim 0.46, dcmjs dicomweb-client", "series are found with the study as a key")
def slim_series(bench: Bench) -> None:
    rows = bench.search("/series", f"Modality=SM&StudyInstanceUID={bench.slide.study}")
    expect(uids(rows, "0020000E") == [bench.slide.series], "not the one series")


@search.client(
    "Slim 0.46, dcmjs dicomweb-client", "reports are found among the instances of a study"
)
def slim_reports(bench: Bench) -> None:
    report = bench["report"]
    rows = bench.search(report.study_path + "/instances", "Modality=SR")
    expect(uids(rows, "00080018") == [report.uid], "not the one report")
    expect(value(rows[0], "0020000E") == report.series, "the row lacks the series")


@search.client("wsidicom 0.36, web client", "instances by class, modality and series as tags")
def wsidicom_instances(bench: Bench) -> None:
    slide = bench.slide
    query = (
        f"00080016={slide.dataset.SOPClassUID}&00080060=SM&0020000E={slide.series}"
        "&includefield=AvailableTransferSyntaxUID"
    )
    rows = bench.search(slide.study_path + "/instances", query)
    expect(slide.uid in uids(rows, "00080018"), "the slide is not there")
    expect(all(value(row, "0020000E") == slide.series for row in rows), "a row lacks the series")


@search.client(
    "wsidicom 0.36, web client", "the transfer syntax that is stored is among the available"
)
def available_transfer_syntax(bench: Bench) -> None:
    slide = bench.slide
    query = f"0020000E={slide.series}&includefield=AvailableTransferSyntaxUID"
    rows = bench.search(slide.study_path + "/instances", query)
    row = next((row for row in rows if value(row, "00080018") == slide.uid), {})
    expect(slide.syntax in values(row, "00083002"), "not told in (0008,3002)")


@search.client("EZ-WSI DICOMweb 6.1, dicom_web_interface.py", "many fields are included, for */*")
def ez_wsi_instances(bench: Bench) -> None:
    slide = bench.slide
    query = "&".join(f"includefield={name}" for name in EZ_WSI_FIELDS)
    answer = bench.get(slide.series_path + "/instances", "*/*", query=query)
    expect_status(answer, 200)
    rows: list[dict[str, dict[str, object]]] = answer.json()
    row = next((row for row in rows if value(row, "00080018") == slide.uid), {})
    for tag in ("00020010", "00480006", "00480007", "00480001", "00209311", "52009229", "00480105"):
        expect(tag in row, f"the row lacks {tag}")


@search.client("EZ-WSI DICOMweb 6.1, dicom_web_interface.py", "numbers are JSON numbers")
def ez_wsi_numbers(bench: Bench) -> None:
    query = "includefield=InstanceNumber&includefield=NumberOfFrames"
    for row in bench.search(bench.slide.series_path + "/instances", query):
        for tag in ("00200013", "00280008"):
            given = value(row, tag)
            expect(isinstance(given, int), f"{tag} is {given!r}")


@search.client("dicomweb-client (Python) 0.61", "dicom+json and json are asked for together")
def dicomweb_client_accept(bench: Bench) -> None:
    query = f"StudyInstanceUID={bench.slide.study}"
    answer = bench.get("/studies", "application/dicom+json, application/json", query=query)
    expect_status(answer, 200)
    expect(answer.content_type in {JSON, "application/json"}, f"{answer}")


@search.client("OHIF 3.13, qido.js", "wildcards around a patient's identifier")
def ohif_patient(bench: Bench) -> None:
    middle = str(bench.slide.dataset.PatientID)[2:-2]
    rows = bench.search("/studies", f"PatientID=*{middle}*&limit=101&offset=0")
    expect(bench.slide.study in uids(rows), "not found")
