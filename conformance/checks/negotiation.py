"""Which of its forms a resource is sent in (PS3.18 §8.7)."""

from conformance.checks.bench import (
    JSON,
    Bench,
    expect,
    expect_status,
    expect_type,
    only_part,
)
from conformance.checks.registry import Category

negotiation = Category("Negotiation")

XML_PARTS = 'multipart/related; type="application/dicom+xml"'
DICOM_PARTS = 'multipart/related; type="application/dicom"'
ANY_DICOM_PARTS = DICOM_PARTS + "; transfer-syntax=*"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def _metadata_as_json(bench: Bench, accept: str, query: str = "") -> None:
    answer = bench.get(bench.slide.path + "/metadata", accept, query=query)
    expect_status(answer, 200)
    expect_type(answer, JSON, "application/json")


def _instance_in_parts(bench: Bench, accept: str) -> None:
    part = only_part(bench.get(bench["bytes"].path, accept))
    expect(part.content_type == "application/dicom", f"a part of type {part.content_type}")


@negotiation.standard("PS3.18 §8.7.3.2", "metadata is to be had as application/dicom+json")
def json_metadata(bench: Bench) -> None:
    answer = bench.get(bench.slide.path + "/metadata", JSON)
    expect_status(answer, 200)
    expect_type(answer, JSON)


@negotiation.standard("PS3.18 §8.7.3.2", "metadata is to be had as application/dicom+xml in parts")
def xml_metadata(bench: Bench) -> None:
    part = only_part(bench.get(bench.slide.path + "/metadata", XML_PARTS))
    expect(part.content_type == "application/dicom+xml", f"a part of type {part.content_type}")


@negotiation.standard("PS3.18 §8.7.7, Table 10.4.4-1", "*/* is the default: application/dicom+json")
def anything_is_the_default(bench: Bench) -> None:
    answer = bench.get(bench.slide.path + "/metadata", "*/*")
    expect_status(answer, 200)
    expect_type(answer, JSON)


@negotiation.standard("PS3.18 §8.7.7", "*/* on an instance is answered in a DICOM media type")
def anything_of_an_instance(bench: Bench) -> None:
    answer = bench.get(bench["bytes"].path, "*/*")
    expect_status(answer, 200)
    expect_type(answer, "multipart/related", "application/dicom")


@negotiation.standard("PS3.18 §8.7.8.1", "the media type with the higher q-value is selected")
def quality_values(bench: Bench) -> None:
    answer = bench.get(bench.slide.path + "/metadata", f"{JSON};q=0.1, {XML_PARTS};q=0.9")
    expect_status(answer, 200)
    expect_type(answer, "multipart/related")
    _metadata_as_json(bench, f"{JSON};q=0.9, {XML_PARTS};q=0.1")


@negotiation.standard("RFC 9110 §12.4.2", "a media type of q=0 is not acceptable")
def quality_of_zero(bench: Bench) -> None:
    answer = bench.get(bench.slide.path + "/metadata", f"{JSON};q=0, application/json;q=0, */*")
    if answer.status == 200:
        expect(answer.content_type != JSON, "JSON was refused by q=0, and is what was sent")
    else:
        expect_status(answer, 406)


@negotiation.standard("PS3.18 §8.7.8.1", "406 when none of the media types is available")
def nothing_acceptable_of_metadata(bench: Bench) -> None:
    expect_status(bench.get(bench.slide.path + "/metadata", "image/tiff"), 406)


@negotiation.standard(
    "PS3.18 §8.7.8.1", "406, not 400, for an instance as a type that it cannot be"
)
def nothing_acceptable_of_an_instance(bench: Bench) -> None:
    expect_status(bench.get(bench["bytes"].path, "text/csv"), 406)


@negotiation.standard("PS3.18 §8.7.8.1", "406 for frames as a type that frames are not sent as")
def nothing_acceptable_of_frames(bench: Bench) -> None:
    expect_status(bench.get(bench.slide.frame_path(1), "text/csv"), 406)


@negotiation.standard(
    "PS3.18 §8.7.8.1", "406 for a picture as a type that pictures are not drawn as"
)
def nothing_acceptable_of_pictures(bench: Bench) -> None:
    expect_status(bench.get(bench.slide.frame_path(1) + "/rendered", "image/x-nothing"), 406)


@negotiation.standard("PS3.18 §10.6.1.3", "406 for a search in a type that results are not sent as")
def nothing_acceptable_of_a_search(bench: Bench) -> None:
    expect_status(bench.get("/studies", "image/png", query="limit=1"), 406)


@negotiation.standard(
    "PS3.18 §8.7.7", "media types that are not supported are ignored beside others"
)
def unsupported_alternatives(bench: Bench) -> None:
    _metadata_as_json(bench, f"application/x-nothing, {JSON}")


@negotiation.standard("PS3.18 §8.7.7", "values that are not well formed are ignored beside others")
def malformed_alternatives(bench: Bench) -> None:
    _metadata_as_json(bench, f"nonsense, ;;, {JSON}")


@negotiation.standard("RFC 9110 §5.3", "several Accept fields are one list")
def several_fields(bench: Bench) -> None:
    fields = [("Accept", "application/x-nothing"), ("Accept", JSON)]
    answer = bench.service.send("GET", bench.slide.path + "/metadata", fields)
    expect_status(answer, 200)
    expect_type(answer, JSON)


@negotiation.standard("PS3.18 §8.3.3.1", "the accept query parameter selects the media type")
def accept_parameter(bench: Bench) -> None:
    _metadata_as_json(bench, "*/*", "accept=application/dicom%2Bjson")


@negotiation.standard("PS3.18 §8.7.8.1", "the accept parameter goes before the Accept header")
def accept_parameter_goes_first(bench: Bench) -> None:
    path = bench.slide.frame_path(1) + "/rendered"
    answer = bench.get(path, "image/jpeg, image/png;q=0.5", query="accept=image/png")
    expect_status(answer, 200)
    expect_type(answer, "image/png")


@negotiation.standard("PS3.18 §8.3.3.1", "a multipart type with parameters goes into accept, too")
def accept_parameter_with_parameters(bench: Bench) -> None:
    query = "accept=multipart%2Frelated%3B%20type%3D%22application%2Fdicom%2Bxml%22"
    part = only_part(bench.get(bench.slide.path + "/metadata", "*/*", query=query))
    expect(part.content_type == "application/dicom+xml", f"a part of type {part.content_type}")


@negotiation.standard("PS3.18 §8.7", "parameters without quotes are equivalent to quoted ones")
def unquoted_parameters(bench: Bench) -> None:
    _instance_in_parts(bench, "multipart/related; type=application/dicom")


@negotiation.standard("PS3.18 §8.7", "types and names of parameters are read in any case")
def mixed_case(bench: Bench) -> None:
    _instance_in_parts(bench, 'Multipart/Related; Type="application/dicom"')


@negotiation.standard("RFC 9110 §5.6.6", "parameters come in any order")
def order_of_parameters(bench: Bench) -> None:
    _instance_in_parts(bench, 'multipart/related; transfer-syntax=*; type="application/dicom"')


@negotiation.standard("RFC 9110 §5.6.3", "space around the separators is optional")
def optional_space(bench: Bench) -> None:
    _instance_in_parts(bench, 'multipart/related;type="application/dicom";transfer-syntax=*')
    _instance_in_parts(bench, 'multipart/related ;  type="application/dicom" , text/csv')


@negotiation.standard("PS3.18 §8.7.3.5.2", "a named boundary in Accept does no harm")
def boundary_in_accept(bench: Bench) -> None:
    _instance_in_parts(bench, DICOM_PARTS + "; transfer-syntax=1.2.840.10008.1.2.1; boundary=**")


@negotiation.standard("PS3.18 §8.7.3.5.2", "transfer-syntax=* takes whatever there is")
def any_transfer_syntax(bench: Bench) -> None:
    _instance_in_parts(bench, ANY_DICOM_PARTS)


@negotiation.standard(
    "PS3.18 §8.7.3.5.3", "charset=utf-8 is taken as a parameter of the media type"
)
def charset_of_the_media_type(bench: Bench) -> None:
    _metadata_as_json(bench, f"{JSON}; charset=utf-8")


@negotiation.standard("PS3.18 §8.8.4", "Accept-Charset: utf-8 is served")
def accept_charset(bench: Bench) -> None:
    answer = bench.get(bench.slide.path + "/metadata", JSON, Accept_Charset="utf-8")
    expect_status(answer, 200)


@negotiation.standard("PS3.18 §8.3.3.2", "the charset query parameter is taken")
def charset_parameter(bench: Bench) -> None:
    _metadata_as_json(bench, JSON, "charset=utf-8")


@negotiation.client(
    "dicomweb-client (Python) 0.61, web.py", "dicom+json and json are asked together"
)
def accept_of_dicomweb_client(bench: Bench) -> None:
    _metadata_as_json(bench, "application/dicom+json, application/json")


@negotiation.client("Chromium, address bar", "a browser that opens the metadata is shown it")
def accept_of_a_browser(bench: Bench) -> None:
    _metadata_as_json(bench, BROWSER)


@negotiation.client("Chromium, <img>", "a browser's picture element is sent a picture")
def accept_of_an_img_element(bench: Bench) -> None:
    accept = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
    answer = bench.get(bench.slide.frame_path(1) + "/rendered", accept)
    expect_status(answer, 200)
    expect(answer.content_type.startswith("image/"), f"{answer}, no picture")


@negotiation.standard("PS3.18 §8.6, RFC 9110 §8.3", "a refusal that has a body says its type")
def refusals_have_a_type(bench: Bench) -> None:
    answer = bench.get(bench.slide.path + "/metadata", "image/tiff")
    expect(400 <= answer.status < 500, f"{answer}, no refusal")
    expect(not answer.body or answer.content_type, "the body has no Content-Type")
