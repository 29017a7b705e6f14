"""The URI service, WADO-URI (PS3.18 §9). A service of its own, that an archive need not have."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from conformance.checks import samples as made
from conformance.checks.bench import Bench, expect, expect_status, expect_type
from conformance.checks.collection import SIDE
from conformance.checks.registry import Category, Skipped
from conformance.checks.rendered import mean_colour, opened
from conformance.checks.retrieve import read, syntax_of
from conformance.checks.samples import Sample
from conformance.checks.service import Answer

wado_uri = Category("WADO-URI")

DICOM = "application/dicom"


def _ask(bench: Bench, sample: Sample, query: str = "", accept: str = "*/*") -> Answer:
    _required(bench)
    return bench.get(bench.uri_service, accept, query=_identity(sample) + query)


def _identity(sample: Sample) -> str:
    return (
        f"requestType=WADO&studyUID={sample.study}&seriesUID={sample.series}&objectUID={sample.uid}"
    )


def _required(bench: Bench) -> None:
    query = _identity(bench.made("bytes")) + "&contentType=application/dicom"
    status = bench.get(bench.uri_service, "*/*", query=query).status
    if status in {404, 405, 501}:
        raise Skipped(f"there is no URI service at {bench.uri_service}")


@wado_uri.standard("PS3.18 §9.4", "contentType=application/dicom is the instance as a file")
def as_dicom(bench: Bench) -> None:
    answer = _ask(bench, bench["words"], "&contentType=application/dicom")
    expect_status(answer, 200)
    expect_type(answer, DICOM)
    expect(read(answer.body).SOPInstanceUID == bench["words"].uid, "another instance")


@wado_uri.standard(
    "PS3.18 §9.4.2.4", "the file is in Explicit VR Little Endian when nothing is said"
)
def default_transfer_syntax(bench: Bench) -> None:
    for name in ("words", "implicit", "big endian"):
        answer = _ask(bench, bench[name], "&contentType=application/dicom")
        expect_status(answer, 200)
        got = syntax_of(answer.body)
        expect(got == made.EXPLICIT_LITTLE, f"“{name}” came in {got}")


@wado_uri.standard("PS3.18 §9.3", "without contentType an image is sent as image/jpeg")
def jpeg_by_default(bench: Bench) -> None:
    answer = _ask(bench, bench["bytes"])
    picture = opened(answer)
    expect_type(answer, "image/jpeg")
    expect(picture.size == (9, 7), f"{picture.size}, not the size of the image")


@wado_uri.standard("PS3.18 Table 8.7.4-1", "image/png, where offered, is sent when asked for")
def as_png(bench: Bench) -> None:
    answer = _ask(bench, bench["bytes"], "&contentType=image/png")
    if answer.status == 406:
        raise Skipped("PNG is not offered, and need not be by the URI service")
    expect(opened(answer).format == "PNG", "the body is no PNG")


def _frame(bench: Bench, number: int, query: str = "") -> Image.Image:
    form = f"&contentType=image/jpeg&frameNumber={number}{query}"
    return opened(_ask(bench, bench.slide, form))


def _frames_are_selected(bench: Bench) -> None:
    one, other = (mean_colour(_frame(bench, number)) for number in (2, 5))
    if np.abs(one - other).max() < 1:
        raise Skipped("frameNumber is passed over, and need not be supported (Table 9.5.1-1)")


@wado_uri.standard("PS3.18 §9.5.1.2.1", "frameNumber selects the frame")
def frame_number(bench: Bench) -> None:
    _frames_are_selected(bench)
    for number in (2, 5):
        got = mean_colour(_frame(bench, number))
        wanted = np.asarray(bench.slide.pixels)[number - 1].reshape(-1, 3).mean(axis=0)
        expect(np.abs(got - wanted).max() < 12, f"frame {number} has another colour")


@wado_uri.standard("PS3.18 §9.5.2.1", "400 for a frameNumber that there is not")
def frame_number_that_there_is_not(bench: Bench) -> None:
    _frames_are_selected(bench)
    expect_status(_ask(bench, bench.slide, "&contentType=image/jpeg&frameNumber=99"), 400, 404)


@wado_uri.standard("PS3.18 §9.5.1.2.4", "rows and columns bound the picture")
def rows_and_columns(bench: Bench) -> None:
    picture = _frame(bench, 1, "&rows=16&columns=16")
    if picture.size == (SIDE, SIDE):
        raise Skipped("rows and columns are passed over, and need not be supported")
    expect(max(picture.size) == 16, f"{picture.size} in 16 x 16, of {SIDE} x {SIDE}")


def _windowed(bench: Bench, centre: int) -> float:
    form = f"&contentType=image/jpeg&frameNumber=2&windowCenter={centre}&windowWidth=4000"
    return float(mean_colour(opened(_ask(bench, bench["words"], form))).mean())


@wado_uri.standard("PS3.18 §9.5.1.2.6", "windowCenter and windowWidth change the picture")
def window(bench: Bench) -> None:
    dark, light = _windowed(bench, 12000), _windowed(bench, 2000)
    if dark == light:
        raise Skipped("windowing is passed over, and need not be supported (Table 9.5.1-1)")
    expect(dark < light, "a higher centre does not make the picture darker")


@wado_uri.standard("PS3.18 §9.5.2.2", "400 for a windowCenter without a windowWidth")
def window_without_a_width(bench: Bench) -> None:
    if _windowed(bench, 12000) == _windowed(bench, 2000):
        raise Skipped("windowing is passed over, and need not be supported (Table 9.5.1-1)")
    expect_status(_ask(bench, bench["bytes"], "&contentType=image/jpeg&windowCenter=10"), 400)


@wado_uri.standard("PS3.18 Table 8.7.4-1", "a report is sent as text/html")
def report(bench: Bench) -> None:
    answer = _ask(bench, bench["report"], "&contentType=text/html")
    expect_status(answer, 200)
    expect_type(answer, "text/html")
    expect(b"anybody" in answer.body, "the text of the report is not in it")


@wado_uri.standard("PS3.18 §9.4.2.4", "a transfer syntax that is named is the file's")
def transfer_syntax(bench: Bench) -> None:
    query = f"&contentType=application/dicom&transferSyntax={made.JPEG_BASELINE}"
    answer = _ask(bench, bench.slide, query)
    expect_status(answer, 200)
    expect(syntax_of(answer.body) == made.JPEG_BASELINE, f"it came in {syntax_of(answer.body)}")


@wado_uri.standard("PS3.18 §9.4.1.2.1", "anonymize=yes never sends the patient's name")
def anonymize(bench: Bench) -> None:
    sample = bench["words"]
    answer = _ask(bench, sample, "&contentType=application/dicom&anonymize=yes")
    if answer.status >= 400:
        return  # the origin server "may return an error response" (§9.4.2.3)
    expect(sample.uid.encode() not in answer.body, "under the same SOP Instance UID")
    expect(str(sample.dataset.PatientID).encode() not in answer.body, "with its Patient ID")


def _refused(query_of: Callable[[str], str], *statuses: int) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        _required(bench)
        answer = bench.get(bench.uri_service, "*/*", query=query_of(_identity(bench["bytes"])))
        wanted = " or ".join(map(str, statuses))
        expect(answer.status in statuses, f"{answer}, not {wanted}")

    return run


_REFUSED: dict[str, tuple[str, Callable[[str], str], tuple[int, ...]]] = {
    "no requestType": ("§9.4.2.1", lambda text: text.partition("&")[2], (400,)),
    "another requestType": ("§9.4.2.1", lambda text: text.replace("=WADO", "=OTHER"), (400,)),
    "no objectUID": ("§9.4.2.2", lambda text: text.partition("&objectUID")[0], (400,)),
    "no studyUID": ("§9.4.2.2", lambda text: text.replace("studyUID", "other"), (400,)),
    "unknown object": ("§9.4.3.1", lambda text: text + "1", (404, 400)),
    "transfer syntax in contentType": (
        "§9.1.2.2.1",
        lambda text: text + "&contentType=application/dicom%3Btransfer-syntax%3D*",
        (400,),
    ),
}
for _name, (_cites, _query_of, _statuses) in _REFUSED.items():
    wado_uri.add(
        f"refused {_name}",
        f"PS3.18 {_cites}",
        f"{_name}: {' or '.join(map(str, _statuses))}",
        _refused(_query_of, *_statuses),
    )
