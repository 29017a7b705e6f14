"""DELETE, which PS3.18 does not have, in the form that the field uses it."""

from conformance.checks.bench import JSON, Bench, expect, expect_status
from conformance.checks.negotiation import ANY_DICOM_PARTS
from conformance.checks.registry import Category, Skipped
from conformance.checks.samples import Sample
from conformance.checks.service import Answer
from conformance.checks.store import fresh

deletion = Category("Delete (extension)")

_FIELD = "Google Healthcare API, Azure DICOM service, Orthanc: DELETE on a resource"


def _stored(bench: Bench, name: str) -> Sample:
    sample = fresh(bench, name, study="deleted")
    expect_status(bench.store(sample.content), 200, 202)
    return sample


def _delete(bench: Bench, path: str) -> Answer:
    answer = bench.service.send("DELETE", path, {"Accept": JSON})
    if answer.status in {400, 403, 405, 501}:
        raise Skipped(f"{answer}: there is no DELETE, or not for us")
    return answer


def _gone(bench: Bench, sample: Sample) -> None:
    for path in (sample.path, sample.path + "/metadata", sample.frame_path(1)):
        answer = bench.get(path, ANY_DICOM_PARTS if path == sample.path else "*/*")
        expect(answer.status in {404, 410}, f"{answer} after it was deleted")
    found = bench.search("/instances", f"SOPInstanceUID={sample.uid}")
    expect(not found, "it is still found")


@deletion.client(_FIELD, "an instance is deleted, and gone from retrieval and search")
def instance(bench: Bench) -> None:
    sample = _stored(bench, "delete an instance")
    expect_status(_delete(bench, sample.path), 200, 202, 204)
    _gone(bench, sample)


@deletion.client(_FIELD, "a series is deleted with what it has")
def series(bench: Bench) -> None:
    sample = _stored(bench, "delete a series")
    expect_status(_delete(bench, sample.series_path), 200, 202, 204)
    _gone(bench, sample)


@deletion.client(_FIELD, "a study is deleted with what it has")
def study(bench: Bench) -> None:
    sample = _stored(bench, "delete a study")
    expect_status(_delete(bench, sample.study_path), 200, 202, 204)
    _gone(bench, sample)
    rows = bench.search("/studies", f"StudyInstanceUID={sample.study}")
    expect(not rows, "the study is still found")


@deletion.client(_FIELD, "what there is not is 404")
def unknown(bench: Bench) -> None:
    expect_status(_delete(bench, f"/studies/{bench.maker.uid('nothing')}"), 404)


@deletion.client(_FIELD, "what is deleted already is 404 or 410")
def twice(bench: Bench) -> None:
    sample = _stored(bench, "delete twice")
    expect_status(_delete(bench, sample.path), 200, 202, 204)
    expect_status(_delete(bench, sample.path), 404, 410)


@deletion.client(_FIELD, "others of the same study stay")
def others_stay(bench: Bench) -> None:
    going, staying = _stored(bench, "delete one"), _stored(bench, "keep one")
    expect_status(_delete(bench, going.path), 200, 202, 204)
    expect_status(bench.get(staying.path, ANY_DICOM_PARTS), 200)


@deletion.standard("RFC 9110 §15.5.6", "the collection of all studies cannot be deleted")
def everything(bench: Bench) -> None:
    answer = bench.service.send("OPTIONS", "/studies", {})
    allowed = answer.header("allow") or ""
    expect("DELETE" not in allowed, f"/studies allows {allowed}")
