"""The Store transaction, STOW-RS (PS3.18 §10.5)."""

import gzip

import numpy as np

from conformance.checks import multipart
from conformance.checks import samples as made
from conformance.checks.bench import (
    JSON,
    Bench,
    expect,
    expect_status,
    expect_type,
    value,
    values,
)
from conformance.checks.collection import picture
from conformance.checks.negotiation import ANY_DICOM_PARTS
from conformance.checks.registry import Category
from conformance.checks.samples import Sample
from conformance.checks.service import Answer

store = Category("Store")

REFERENCED, FAILED, OTHER_FAILURES = "00081199", "00081198", "0008119A"
SOP_CLASS, SOP_INSTANCE, RETRIEVE_URL, REASON = "00081150", "00081155", "00081190", "00081197"


def fresh(bench: Bench, name: str, study: str = "stored") -> Sample:
    """Make an instance that is not stored yet, in a study of its own."""
    pixels = made.grey_levels(1, 4, 4, np.uint8)
    dataset = picture(bench.maker, name, made.SECONDARY_CAPTURE)
    dataset.StudyInstanceUID = bench.maker.uid(f"study {study} {name}")
    dataset.SeriesInstanceUID = bench.maker.uid(f"series {study} {name}")
    bench.remember(str(dataset.StudyInstanceUID))
    return made.native(name, made.describe(dataset, pixels), pixels, made.EXPLICIT_LITTLE)


def response_of(answer: Answer) -> dict[str, dict[str, object]]:
    """Read a Store Instances Response in DICOM JSON: one object."""
    given = answer.json()
    if isinstance(given, list) and len(given) == 1:
        given = given[0]
    expect(isinstance(given, dict), f"{answer.request}: the response is no DICOM JSON object")
    return dict(given)


def stored_of(answer: Answer) -> set[str]:
    """Give the SOP Instance UIDs that a response says are stored."""
    return {str(value(item, SOP_INSTANCE)) for item in _items(answer, REFERENCED)}


def _items(answer: Answer, tag: str) -> list[dict[str, dict[str, object]]]:
    return [item for item in values(response_of(answer), tag) if isinstance(item, dict)]


def expect_there(bench: Bench, sample: Sample) -> None:
    """Fail the check when an instance cannot be retrieved."""
    answer = bench.get(sample.path, ANY_DICOM_PARTS)
    expect(answer.status == 200, f"what should be stored cannot be retrieved: {answer}")


def expect_absent(bench: Bench, sample: Sample) -> None:
    """Fail the check when an instance is there that should not be."""
    answer = bench.get(sample.path + "/metadata", JSON)
    expect(answer.status in {404, 410}, f"what should not be stored is there: {answer}")


def _stores(bench: Bench, sample: Sample, answer: Answer) -> None:
    expect_status(answer, 200)
    expect_there(bench, sample)


@store.standard(
    "PS3.18 Table 10.5.3-1", "200 when all instances are stored, and then they are there"
)
def all_stored(bench: Bench) -> None:
    sample = fresh(bench, "plain")
    _stores(bench, sample, bench.store(sample.content))


@store.standard("PS3.18 Table I.1-1", "the response names class and UID of each stored instance")
def response_references(bench: Bench) -> None:
    sample = fresh(bench, "referenced")
    items = _items(bench.store(sample.content), REFERENCED)
    expect(len(items) == 1, f"{len(items)} items in the Referenced SOP Sequence, not 1")
    expect(value(items[0], SOP_INSTANCE) == sample.uid, "not the UID of what was stored")
    expect(value(items[0], SOP_CLASS) == made.SECONDARY_CAPTURE, "not the class of what was stored")


@store.standard("PS3.18 Table I.1-1", "the Retrieve URL of a stored instance leads to it")
def retrieve_url_of_the_instance(bench: Bench) -> None:
    sample = fresh(bench, "url")
    items = _items(bench.store(sample.content), REFERENCED)
    url = value(items[0], RETRIEVE_URL) if items else None
    expect(isinstance(url, str), "no Retrieve URL (type 2) in the item")
    answer = bench.get(str(url), ANY_DICOM_PARTS)
    expect_status(answer, 200)


@store.standard("PS3.18 Table I.1-1", "the response has the Retrieve URL of the study (type 2)")
def retrieve_url_of_the_study(bench: Bench) -> None:
    sample = fresh(bench, "study url")
    response = response_of(bench.store(sample.content))
    expect(RETRIEVE_URL in response, "no Retrieve URL at the top of the response")
    url = value(response, RETRIEVE_URL)
    if url:
        expect(str(url).endswith(sample.study_path), f"{url} is not the study's")


@store.standard("PS3.18 Table 10.5.3-2", "Location names the resource that was created")
def location(bench: Bench) -> None:
    sample = fresh(bench, "location")
    answer = bench.store(sample.content)
    expect_status(answer, 200)
    where = answer.header("location")
    expect(where, "no Location, though a new resource was created")
    expect(sample.study in str(where), f"Location {where} is not of what was stored")


@store.standard(
    "PS3.18 Table 10.5.4-1", "the default type of the response is application/dicom+json"
)
def default_type_of_the_response(bench: Bench) -> None:
    answer = bench.store(fresh(bench, "any type").content, accept="*/*")
    expect_status(answer, 200)
    expect_type(answer, JSON)


@store.client(
    "dicomweb-client (Python) 0.61, web.py store_instances",
    "the Content-Type of the response is application/dicom+json with nothing behind it",
)
def bare_type_of_the_response(bench: Bench) -> None:
    answer = bench.store(fresh(bench, "bare type").content)
    expect_status(answer, 200)
    given = answer.header("content-type")
    expect(given == JSON, f"Content-Type: {given}")


@store.client("dicomweb-client (Python) 0.61, web.py store_instances", "the response is one object")
def response_is_one_object(bench: Bench) -> None:
    given = bench.store(fresh(bench, "object").content).json()
    expect(isinstance(given, dict), f"a JSON {type(given).__name__}, not an object")


@store.standard("PS3.18 Table 10.5.4-1", "the response is to be had as application/dicom+xml")
def response_in_xml(bench: Bench) -> None:
    accept = 'multipart/related; type="application/dicom+xml", application/dicom+xml'
    answer = bench.store(fresh(bench, "xml response").content, accept=accept)
    expect_status(answer, 200)
    expect_type(answer, "application/dicom+xml", "multipart/related")
    expect(b"NativeDicomModel" in answer.body, "no Native DICOM Model in the response")


@store.standard("PS3.18 §10.5.1.4", "several instances of several studies go in one request")
def several_studies(bench: Bench) -> None:
    samples = [fresh(bench, f"several {number}") for number in range(3)]
    answer = bench.store(*(one.content for one in samples))
    expect_status(answer, 200)
    expect(stored_of(answer) == {one.uid for one in samples}, "not every instance is referenced")
    for one in samples:
        expect_there(bench, one)


@store.standard("PS3.18 §10.5.1.1.1", "instances of a study are stored at the study's path")
def at_the_study(bench: Bench) -> None:
    sample = fresh(bench, "at the study")
    _stores(bench, sample, bench.store(sample.content, path=sample.study_path))


@store.standard("PS3.18 Table 10.5.3-1", "409 for an instance of another study than the path's")
def another_study(bench: Bench) -> None:
    sample = fresh(bench, "another study")
    path = f"/studies/{bench.maker.uid('no such study')}"
    expect_status(bench.store(sample.content, path=path), 409)
    expect_absent(bench, sample)


@store.standard("PS3.18 Table I.1-1", "a refused instance is named with a Failure Reason")
def failure_reason(bench: Bench) -> None:
    sample = fresh(bench, "reason")
    answer = bench.store(sample.content, path=f"/studies/{bench.maker.uid('no such study')}")
    expect_status(answer, 409)
    items = _items(answer, FAILED)
    expect(len(items) == 1, f"{len(items)} items in the Failed SOP Sequence, not 1")
    expect(value(items[0], SOP_INSTANCE) == sample.uid, "not the UID of what was refused")
    expect(isinstance(value(items[0], REASON), int), "no Failure Reason (type 1)")


@store.standard("PS3.18 Table 10.5.3-1", "202 when some instances are stored and others are not")
def partly_stored(bench: Bench) -> None:
    good, other = fresh(bench, "good"), fresh(bench, "other")
    answer = bench.store(good.content, other.content, path=good.study_path)
    expect_status(answer, 202)
    expect(stored_of(answer) == {good.uid}, "the response does not tell which one is stored")
    expect(_items(answer, FAILED), "the refused instance is not in the Failed SOP Sequence")
    expect_there(bench, good)
    expect_absent(bench, other)


@store.standard("PS3.18 Table 10.5.3-1", "a part that is no DICOM file does not spoil the others")
def rubbish_among_instances(bench: Bench) -> None:
    before, after = fresh(bench, "before rubbish"), fresh(bench, "after rubbish")
    answer = bench.store(before.content, b"this is no DICOM file" * 20, after.content)
    expect_status(answer, 202)
    expect_there(bench, before)
    expect_there(bench, after)


@store.standard(
    "PS3.18 Table 10.5.3-1", "nothing but rubbish is a failure of the client: 400 or 409"
)
def only_rubbish(bench: Bench) -> None:
    expect_status(bench.store(b"this is no DICOM file" * 20), 400, 409)


@store.standard("PS3.18 Table 10.5.3-1", "415 for a media type that cannot be stored")
def unsupported_media_type(bench: Bench) -> None:
    expect_status(bench.post(b"a,b,c\r\n", "text/csv"), 415)


@store.standard("PS3.18 Table 10.5.3-1", "415 for parts of a media type that cannot be stored")
def unsupported_type_of_parts(bench: Bench) -> None:
    body = multipart.join(b"a,b,c", part_type="text/csv")
    expect_status(bench.post(body, multipart.related("text/csv")), 415)


@store.standard("RFC 2387 §3, RFC 2046 §5.1.1", "400 for a multipart type without a boundary")
def no_boundary(bench: Bench) -> None:
    body = multipart.join(fresh(bench, "no boundary").content)
    expect_status(bench.post(body, 'multipart/related; type="application/dicom"'), 400, 415)


@store.standard("PS3.18 Table 10.5.3-1", "400 for a multipart body without a part")
def no_parts(bench: Bench) -> None:
    expect_status(bench.post(b""), 400)


@store.standard("RFC 2046 §5.1.1", "a body that ends before its closing boundary is not a success")
def cut_off(bench: Bench) -> None:
    sample = fresh(bench, "cut off")
    whole = multipart.join(sample.content)
    answer = bench.post(whole[: len(whole) - 100])
    expect(400 <= answer.status < 500, f"{answer}, not as a client's failure")
    expect_absent(bench, sample)


@store.standard("RFC 2046 §5.1.1", "a preamble before the first boundary is passed over")
def preamble(bench: Bench) -> None:
    sample = fresh(bench, "preamble")
    body = multipart.join(sample.content, preamble=b"\r\n")
    _stores(bench, sample, bench.post(body))


@store.standard("RFC 2046 §5.1.1", "the closing boundary needs no line end behind it")
def no_line_end(bench: Bench) -> None:
    sample = fresh(bench, "no line end")
    _stores(bench, sample, bench.post(multipart.join(sample.content, end=b"")))


@store.standard("RFC 2046 §5.1.1", "an epilogue behind the closing boundary is passed over")
def epilogue(bench: Bench) -> None:
    sample = fresh(bench, "epilogue")
    body = multipart.join(sample.content, end=b"\r\nnothing of interest\r\n")
    _stores(bench, sample, bench.post(body))


@store.standard("RFC 2046 §5.1.1", "space behind a boundary is padding")
def padded_boundary(bench: Bench) -> None:
    sample = fresh(bench, "padding")
    mark = multipart.BOUNDARY.encode()
    body = multipart.join(sample.content).replace(b"--%s\r\n" % mark, b"--%s \t\r\n" % mark, 1)
    _stores(bench, sample, bench.post(body))


@store.standard("RFC 2046 §5.1.1", "a quoted boundary may hold every character that it allows")
def odd_boundary(bench: Bench) -> None:
    sample = fresh(bench, "odd boundary")
    boundary = "=_a:b?c/d(e)'f+g,h.i-j"
    body = multipart.join(sample.content, boundary=boundary)
    content_type = f'multipart/related; type="application/dicom"; boundary="{boundary}"'
    _stores(bench, sample, bench.post(body, content_type))


@store.standard("RFC 2046 §5.1.1", "a boundary inside of a line of the content is content")
def boundary_like_content(bench: Bench) -> None:
    sample = fresh(bench, "boundary like")
    dataset = made.copied(sample.dataset)
    dataset.ImageComments = f"--{multipart.BOUNDARY}-- --{multipart.BOUNDARY}"
    content = made.part10(dataset, made.EXPLICIT_LITTLE, sample.frames[0])
    _stores(bench, sample, bench.store(content))


@store.standard("RFC 9112 §7.1", "a body in chunks, without Content-Length, is taken")
def chunked_body(bench: Bench) -> None:
    sample = fresh(bench, "chunked")
    whole = multipart.join(sample.content)
    pieces = [whole[at : at + 100] for at in range(0, len(whole), 100)]
    fields = {"Content-Type": multipart.related(), "Accept": JSON}
    _stores(bench, sample, bench.service.send("POST", "/studies", fields, pieces))


@store.standard("RFC 2387 §3.1", "the type parameter is taken without quotes, too")
def unquoted_type(bench: Bench) -> None:
    sample = fresh(bench, "unquoted type")
    content_type = f"multipart/related; type=application/dicom; boundary={multipart.BOUNDARY}"
    _stores(bench, sample, bench.post(multipart.join(sample.content), content_type))


@store.standard("RFC 9110 §5.6.6", "boundary and type come in any order and case")
def order_of_parameters(bench: Bench) -> None:
    sample = fresh(bench, "order")
    content_type = f'Multipart/Related; Boundary={multipart.BOUNDARY}; TYPE="application/dicom"'
    _stores(bench, sample, bench.post(multipart.join(sample.content), content_type))


@store.standard("PS3.18 §8.7.9", "a part's type may name the transfer syntax")
def type_with_transfer_syntax(bench: Bench) -> None:
    sample = fresh(bench, "named syntax")
    body = multipart.join(
        sample.content, part_type=f"application/dicom; transfer-syntax={made.EXPLICIT_LITTLE}"
    )
    _stores(bench, sample, bench.post(body))


@store.standard("PS3.18 Table 8.6.1-1", "a part may have further header fields")
def further_fields_of_a_part(bench: Bench) -> None:
    sample = fresh(bench, "further fields")
    header = (
        "MIME-Version: 1.0\r\ncontent-type:application/dicom\r\n"
        f"Content-Length: {len(sample.content)}\r\nContent-Location: {sample.path}\r\n"
        "Content-ID: <1@checks>\r\nX-Of-Its-Own: yes\r\n"
    )
    _stores(bench, sample, bench.post(multipart.join_parts([(header, sample.content)])))


@store.standard("PS3.18 Table 10.5.1-2, RFC 9110 §15.5.16", "gzip is unpacked, or refused with 415")
def compressed_body(bench: Bench) -> None:
    sample = fresh(bench, "gzip")
    answer = bench.post(gzip.compress(multipart.join(sample.content)), Content_Encoding="gzip")
    expect_status(answer, 200, 415)
    if answer.status == 200:
        expect_there(bench, sample)
    else:
        expect_absent(bench, sample)


@store.standard("RFC 9110 §10.1.1", "a body that waits for 100 (Continue) is asked for")
def expect_continue(bench: Bench) -> None:
    sample = fresh(bench, "continue")
    body = multipart.join(sample.content)
    head = (
        "POST @BASE@/studies HTTP/1.1\r\nHost: @HOST@\r\n@STANDING@\r\n"
        f"Accept: {JSON}\r\nContent-Type: {multipart.related()}\r\nContent-Length: {len(body)}\r\n"
        "Expect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    received = bench.service.raw(head.encode() + body, seconds=10)
    expect(b"HTTP/1.1 200" in received, f"not answered with 200: {received[:100]!r}")
    expect_there(bench, sample)


@store.standard("PS3.18 §10.5.2", "an instance that is stored already stays as it is")
def the_same_again(bench: Bench) -> None:
    sample = fresh(bench, "again")
    expect_status(bench.store(sample.content), 200)
    answer = bench.store(sample.content)
    expect(answer.status < 500, f"{answer} when stored again")
    expect_there(bench, sample)


@store.standard("PS3.5 §9.1", "the same UID in another study does not take the first one's place")
def the_same_uid_elsewhere(bench: Bench) -> None:
    sample = fresh(bench, "taken")
    expect_status(bench.store(sample.content), 200)
    dataset = made.copied(sample.dataset)
    dataset.StudyInstanceUID = bench.maker.uid("study elsewhere")
    dataset.SeriesInstanceUID = bench.maker.uid("series elsewhere")
    bench.remember(str(dataset.StudyInstanceUID))
    bench.store(made.part10(dataset, made.EXPLICIT_LITTLE, sample.frames[0]))
    expect_there(bench, sample)


@store.standard("PS3.5 §9.1", "the same UID with other content does not take the first one's place")
def the_same_uid_with_other_content(bench: Bench) -> None:
    sample = fresh(bench, "changed")
    expect_status(bench.store(sample.content), 200)
    dataset = made.copied(sample.dataset)
    dataset.InstanceNumber = 77
    bench.store(made.part10(dataset, made.EXPLICIT_LITTLE, sample.frames[0]))
    expect_there(bench, sample)
    expect(value(bench.metadata(sample), "00200013") in {1, "1"}, "the first content was replaced")


@store.standard("PS3.18 Table 10.5.3-1", "an instance without a SOP Instance UID is refused")
def no_instance_uid(bench: Bench) -> None:
    sample = fresh(bench, "without uid")
    content = sample.content.replace(b"\x08\x00\x18\x00UI", b"\x08\x00\x19\x00UI")
    expect_status(bench.store(content), 400, 409)


@store.standard("PS3.18 §8.2", "400 or 404 for a path that is no UID")
def path_that_is_no_uid(bench: Bench) -> None:
    sample = fresh(bench, "no uid")
    answer = bench.store(sample.content, path="/studies/not-a-uid")
    expect_status(answer, 400, 404, 409)
    expect_absent(bench, sample)


@store.standard("PS3.18 §10.4.1.1.1", "what comes back is what was stored, bit for bit")
def bit_for_bit(bench: Bench) -> None:
    for name in ("slide", "words", "attributes", "segmentation"):
        sample = bench[name]
        part = bench.get(sample.path, ANY_DICOM_PARTS).parts[0]
        before, after = (_data_set(content) for content in (sample.content, part.content))
        expect(before == after, f"the data set of “{name}” has changed")


def _data_set(content: bytes) -> bytes:
    """Give a Part 10 file without its meta information, which a server may rewrite."""
    length = int.from_bytes(content[140:144], "little")
    return content[144 + length :]
