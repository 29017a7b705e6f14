"""HTTP done properly: methods, conditions, compression, other origins (RFC 9110, Fetch)."""

import gzip
import json
import zlib
from collections.abc import Callable

from conformance.checks.bench import (
    EVERY_PART_TYPE,
    JSON,
    Bench,
    expect,
    expect_status,
)
from conformance.checks.negotiation import ANY_DICOM_PARTS
from conformance.checks.registry import Category, Skipped
from conformance.checks.service import Answer

http = Category("HTTP")

ORIGIN = "https://viewer.example"


def _paths(bench: Bench) -> list[tuple[str, str]]:
    slide = bench.slide
    return [
        (slide.path + "/metadata", JSON),
        (slide.frame_path(1), EVERY_PART_TYPE),
        (slide.path, ANY_DICOM_PARTS),
        (slide.frame_path(1) + "/rendered", "image/jpeg"),
        (f"/studies?StudyInstanceUID={slide.study}", JSON),
    ]


@http.standard("RFC 9110 §9.3.2", "HEAD is answered as GET is, without a body")
def head(bench: Bench) -> None:
    for path, accept in _paths(bench):
        answer = bench.service.send("HEAD", path, {"Accept": accept})
        expect_status(answer, 200)
        expect(not answer.body, f"{answer.request}: a body")
        given = bench.service.send("GET", path, {"Accept": accept})
        expect(answer.content_type == given.content_type, f"{answer}, and GET {given.content_type}")


@http.standard("RFC 9110 §9.3.2", "HEAD of what there is not is 404")
def head_of_nothing(bench: Bench) -> None:
    path = f"/studies/{bench.maker.uid('nothing')}/metadata"
    expect_status(bench.service.send("HEAD", path, {"Accept": JSON}), 404)


def _not_allowed(method: str, path_of: Callable[[Bench], str]) -> Callable[[Bench], None]:
    def run(bench: Bench) -> None:
        answer = bench.service.send(method, path_of(bench), {"Accept": "*/*"}, b"")
        expect_status(answer, 405, 501)
        if answer.status == 501:  # a method that no resource of the service has
            return
        allowed = answer.header("allow")
        expect(allowed, "405 without Allow")
        expect(method not in str(allowed).split(", "), f"{method} is among {allowed}")

    return run


for _method, _what, _path in (
    ("PUT", "all studies", lambda bench: "/studies"),
    ("PUT", "metadata", lambda bench: bench.slide.path + "/metadata"),
    ("POST", "frames", lambda bench: bench.slide.frame_path(1)),
    ("PATCH", "a study", lambda bench: bench.slide.study_path),
):
    http.add(
        f"{_method} on {_what}",
        "RFC 9110 §15.5.6",
        f"{_method} on {_what} is 405 with Allow",
        _not_allowed(_method, _path),
    )


@http.standard("RFC 9110 §15.5.5", "a path that there is not is 404")
def unknown_path(bench: Bench) -> None:
    for path in ("/nothing", bench.slide.path + "/nothing"):
        expect_status(bench.get(path), 404)


def _tagged(bench: Bench, path: str, accept: str) -> tuple[Answer, str]:
    answer = bench.service.send("GET", path, {"Accept": accept})
    expect_status(answer, 200)
    tag = answer.header("etag")
    if not tag:
        raise Skipped("there is no ETag, and need not be (RFC 9110 §8.8.3)")
    return answer, tag


@http.standard("RFC 9110 §13.1.2", "what the client has already is 304, without a body")
def not_modified(bench: Bench) -> None:
    for path, accept in _paths(bench)[:4]:
        _, tag = _tagged(bench, path, accept)
        for condition in (
            tag,
            f'"another", {tag}',
            f"W/{tag}" if not tag.startswith("W/") else tag,
        ):
            fields = {"Accept": accept, "If-None-Match": condition}
            answer = bench.service.send("GET", path, fields)
            expect_status(answer, 304)
            expect(not answer.body, "304 with a body")


@http.standard("RFC 9110 §13.1.2", "another ETag is no reason for 304")
def modified(bench: Bench) -> None:
    path, accept = _paths(bench)[0]
    _tagged(bench, path, accept)
    fields = {"Accept": accept, "If-None-Match": '"of something else"'}
    expect_status(bench.service.send("GET", path, fields), 200)


@http.standard("RFC 9110 §8.8.3.3", "forms that are negotiated have ETags of their own")
def tags_of_forms(bench: Bench) -> None:
    path = bench.slide.frame_path(1)
    _, one = _tagged(bench, path + "/rendered", "image/jpeg")
    _, other = _tagged(bench, path + "/rendered", "image/png")
    expect(one != other, f"{one} for JPEG and PNG")


@http.standard("RFC 9110 §12.5.5", "an answer that is negotiated and cacheable varies by Accept")
def vary(bench: Bench) -> None:
    for path, accept in _paths(bench)[:4]:
        answer, _ = _tagged(bench, path, accept)
        varies = (answer.header("vary") or "").lower()
        expect("accept" in varies or varies == "*", f"{answer.request}: Vary: {varies or 'none'}")


@http.standard("RFC 9110 §12.5.3", "JSON is packed for those who take gzip")
def compressed_json(bench: Bench) -> None:
    path, accept = _paths(bench)[0]
    fields = {"Accept": accept, "Accept-Encoding": "gzip"}
    answer = bench.service.send("GET", path, fields)
    expect_status(answer, 200)
    if answer.header("content-encoding") is None:
        raise Skipped("nothing is packed, and nothing need be")
    expect(answer.header("content-encoding") == "gzip", "another coding than was asked for")
    plain = bench.service.send("GET", path, {"Accept": accept})
    try:
        same = json.loads(gzip.decompress(answer.body)) == plain.json()
    except (OSError, zlib.error) as error:
        raise Skipped(f"no gzip: {error}") from error
    expect(same, "unpacked it is something else")


@http.standard("RFC 9110 §12.5.3", "nothing is packed for those who do not ask, or refuse it")
def uncompressed_json(bench: Bench) -> None:
    path, accept = _paths(bench)[0]
    for coding in (None, "identity", "gzip;q=0"):
        fields = {"Accept": accept} | ({"Accept-Encoding": coding} if coding else {})
        answer = bench.service.send("GET", path, fields)
        expect_status(answer, 200)
        packed = answer.header("content-encoding")
        expect(packed in {None, "identity"}, f"{packed} for Accept-Encoding: {coding}")


@http.standard("RFC 9110 §14.2", "a range of a whole instance is 206 with Content-Range")
def range_of_an_instance(bench: Bench) -> None:
    fields = {"Accept": "application/dicom; transfer-syntax=*", "Range": "bytes=128-131"}
    answer = bench.service.send("GET", bench.slide.path, fields)
    if answer.status in {200, 400, 406}:
        raise Skipped("no ranges, or no single part; neither need be")
    expect_status(answer, 206)
    expect(answer.body == b"DICM", f"{answer.body[:20]!r}, not DICM")


@http.standard("RFC 9110 §14.2", "a range in another unit, or that is none, is passed over")
def range_that_is_none(bench: Bench) -> None:
    for text in ("lines=1-2", "bytes=b-a", "bytes"):
        fields = {"Accept": "application/dicom; transfer-syntax=*", "Range": text}
        answer = bench.service.send("GET", bench.slide.path, fields)
        expect(answer.status in {200, 400, 406}, f"{answer} for Range: {text}")


@http.standard("RFC 9112 §9.3", "a connection serves one request after the other")
def keep_alive(bench: Bench) -> None:
    one = (
        f"GET @BASE@{bench.slide.path}/metadata HTTP/1.1\r\nHost: @HOST@\r\n@STANDING@\r\n"
        f"Accept: {JSON}\r\n"
    )
    request = f"{one}\r\n{one}Connection: close\r\n\r\n"
    received = bench.service.raw(request.encode())
    expect(received.count(b"HTTP/1.1 200") == 2, "two requests on one connection, not two answers")


@http.standard("RFC 9112 §3.2", "a request without Host is 400")
def no_host(bench: Bench) -> None:
    received = bench.service.raw(b"GET @BASE@/studies HTTP/1.1\r\nConnection: close\r\n\r\n")
    expect(b" 400 " in received[:16], f"answered with {received[:40]!r}")


@http.standard("RFC 9110 §8.3, PS3.18 §8.6", "the body of an error says its type")
def errors_have_a_type(bench: Bench) -> None:
    for path in (f"/studies/{bench.maker.uid('nothing')}/metadata", "/nothing"):
        answer = bench.get(path)
        expect(answer.status >= 400, f"{answer}, no error")
        expect(not answer.body or answer.content_type, f"{answer}: a body without a type")


@http.standard("RFC 9110 §15.5.2", "401 without credentials comes with a challenge")
def unauthenticated(bench: Bench) -> None:
    answer = bench.service.send("GET", "/studies", {"Accept": JSON}, anonymous=True)
    if answer.status in {200, 204}:
        raise Skipped("the service is open")
    expect_status(answer, 401)
    expect(answer.header("www-authenticate"), "401 without WWW-Authenticate")


# --- pages of another origin --------------------------------------------------------------------


def _cross_origin(bench: Bench) -> None:
    answer = bench.get("/studies", JSON, query="limit=1", Origin=ORIGIN)
    if answer.header("access-control-allow-origin") is None:
        raise Skipped("pages of other origins are not let in, and need not be")


@http.client("OHIF and Slim on another origin, Fetch §3.2", "answers let pages of other origins in")
def cross_origin(bench: Bench) -> None:
    _cross_origin(bench)
    for path, accept in _paths(bench):
        answer = bench.service.send("GET", path, {"Accept": accept, "Origin": ORIGIN})
        allowed = answer.header("access-control-allow-origin")
        expect(allowed in {"*", ORIGIN}, f"{answer.request}: {allowed}")


@http.client("OHIF and Slim on another origin, Fetch §3.2", "errors do, too")
def cross_origin_errors(bench: Bench) -> None:
    _cross_origin(bench)
    for path, accept in (
        (f"/studies/{bench.maker.uid('nothing')}/metadata", JSON),
        (bench.slide.path + "/metadata", "image/tiff"),
        ("/studies?limit=-1", JSON),
    ):
        answer = bench.service.send("GET", path, {"Accept": accept, "Origin": ORIGIN})
        expect(answer.header("access-control-allow-origin"), f"{answer}: not let in")


@http.client("Slim 0.46: multipart Accept is preflighted", "a preflight needs no token")
def preflight(bench: Bench) -> None:
    _cross_origin(bench)
    fields = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "accept,authorization,content-type,range",
    }
    answer = bench.service.send("OPTIONS", bench.slide.frame_path(1), fields, anonymous=True)
    expect_status(answer, 200, 204)
    allowed = (answer.header("access-control-allow-headers") or "").lower()
    for name in ("accept", "authorization", "content-type", "range"):
        expect(name in allowed or allowed == "*", f"{name} is not among {allowed}")


@http.client("dcmjs dicomweb-client 0.11, storeInstances", "a preflight of a store allows POST")
def preflight_of_a_store(bench: Bench) -> None:
    _cross_origin(bench)
    fields = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    answer = bench.service.send("OPTIONS", "/studies", fields, anonymous=True)
    expect_status(answer, 200, 204)
    expect("POST" in (answer.header("access-control-allow-methods") or ""), "POST is not allowed")
