"""Bad input: an answer with the right status, or a closed connection, and the service goes on.

What is demanded is the same everywhere: the fault is the client's, so no status of 500 (RFC 9110
§15.6: "the server is aware that it has erred"), nothing of it is kept, and the next one is served.
"""

import gzip
import json
import struct
import zlib
from collections.abc import Callable

from conformance.checks import multipart
from conformance.checks import samples as made
from conformance.checks.bench import JSON, Bench, expect
from conformance.checks.registry import Category
from conformance.checks.samples import Sample
from conformance.checks.store import fresh
from conformance.checks.store_forms import JSON_PARTS, XML_PARTS

robustness = Category("Robustness")

REFUSALS = {*range(400, 500), 501, 503, 507}
_CITES = "RFC 9110 §15.5, §15.6"


def _lives(bench: Bench) -> None:
    answer = bench.get(bench.slide.path + "/metadata", JSON)
    expect(answer.status == 200, f"afterwards {answer}")


def _asks(
    path_of: Callable[[Bench], str], *also: int, accept: str = "*/*"
) -> Callable[[Bench], None]:
    """Make a check of one GET that must be refused, or answered with one of `also`."""

    def run(bench: Bench) -> None:
        answer = bench.service.send("GET", path_of(bench), {"Accept": accept})
        expect(answer.status in REFUSALS | set(also), f"{answer}")
        _lives(bench)

    return run


def _path(name: str, demand: str, path_of: Callable[[Bench], str], *also: int) -> None:
    robustness.add(name, _CITES, demand, _asks(path_of, *also))


_path("dots in a path", "a path that climbs", lambda b: "/studies/../../../../etc/passwd")
_path("encoded dots", "%2e%2e in a path", lambda b: "/studies/%2e%2e%2f%2e%2e%2fetc%2fpasswd")
_path("encoded slash", "%2F in a UID", lambda b: "/studies/1.2%2F3/metadata")
_path("null in a path", "%00 in a UID", lambda b: b.slide.study_path + "%00/metadata")
_path("long uid", "a UID of 5,000 digits", lambda b: "/studies/1." + "2" * 5000)
_path("unicode digits", "digits of another script", lambda b: "/studies/%D9%A1.%D9%A2/metadata")
_path("percent alone", "a percent sign that begins nothing", lambda b: "/studies/%ZZ/metadata")
_path("latin bytes", "bytes that are not UTF-8", lambda b: "/studies/%FF%FE/metadata")
_path("sql in a uid", "SQL in a path", lambda b: "/studies/1'%20OR%20'1'='1/metadata")


@robustness.standard(_CITES, "line ends in a path do not become header fields of the answer")
def header_injection(bench: Bench) -> None:
    answer = bench.get("/studies/1%0D%0AX-Injected:%201/metadata", JSON)
    expect(answer.status in REFUSALS, f"{answer}")
    expect(answer.header("x-injected") is None, "the answer has a field that the path made")
    _lives(bench)


_path(
    "many frames", "ten thousand frames of six",
    lambda b: b.slide.frame_path(",".join(["9999"] * 1500)),
)  # fmt: skip
_path("huge frame", "a frame number of 40 digits", lambda b: b.slide.frame_path("1" * 40))
_path(
    "huge viewport", "a picture of 40,000 x 40,000",
    lambda b: b.slide.path + "/rendered?viewport=40000,40000",
)  # fmt: skip
_path(
    "infinite window", "a window of infinite width",
    lambda b: b.slide.frame_path(1) + "/rendered?window=0,inf,linear",
)  # fmt: skip
_path(
    "window that is no number", "a window of NaN",
    lambda b: b.slide.frame_path(1) + "/rendered?window=nan,nan,linear",
)  # fmt: skip


def _searches(name: str, demand: str, query: str) -> None:
    """Register a search that may be refused, or find nothing: what it says is in no study."""

    def run(bench: Bench) -> None:
        answer = bench.get("/studies", JSON, query=query)
        found = answer.json() if answer.status == 200 else []
        expect(answer.status in REFUSALS | {200, 204}, f"{answer}")
        expect(found == [], f"{len(found)} studies were found")
        _lives(bench)

    robustness.add(name, _CITES, demand, run)


_searches("sql in a key", "SQL in a value", "PatientID=x'%20OR%20'1'='1")
_searches("sql with a comment", "SQL in a value", "PatientName=x%27%3BDROP%20TABLE%20studies%3B--")
_searches("many stars", "a thousand stars", "PatientID=" + "*a" * 1000 + "*b")
_searches("long value", "a value of 6,000 characters", "PatientID=" + "x" * 6000)
_searches("invalid utf8", "bytes that are not UTF-8", "PatientName=%FF%FE%FA")
_searches("lone surrogate", "half of a character", "PatientName=%ED%A0%80")
_searches("null in a key", "%00 within a value", "PatientID=a%00b")
_searches("range of nonsense", "a range of nothing", "PatientID=nobody&StudyDate=99999999-00000000")
_searches(
    "uid list of a thousand", "a thousand UIDs", "StudyInstanceUID=" + ",".join(["9.9"] * 1000)
)


@robustness.standard(_CITES, "a thousand parameters")
def many_parameters(bench: Bench) -> None:
    query = "PatientID=nobody&" + "&".join(f"X{number}=1" for number in range(1000))
    answer = bench.get("/studies", JSON, query=query)
    expect(answer.status in REFUSALS | {200, 204}, f"{answer}")
    _lives(bench)


@robustness.standard(_CITES, "a number of 40 digits as limit and offset")
def huge_limits(bench: Bench) -> None:
    for name in ("limit", "offset"):
        answer = bench.get("/studies", JSON, query=f"PatientID=nobody&{name}={'9' * 40}")
        expect(answer.status in REFUSALS | {200, 204}, f"{answer}")
    _lives(bench)


@robustness.standard(_CITES, "an Accept of five hundred alternatives")
def long_accept(bench: Bench) -> None:
    accept = ", ".join(f"image/x-{number}" for number in range(500))
    answer = bench.get(bench.slide.path + "/metadata", accept)
    expect(answer.status in REFUSALS, f"{answer}")
    _lives(bench)


@robustness.standard(
    "RFC 9112 §3, RFC 6585 §5", "a header of a megabyte is taken, refused or hung up on"
)
def endless_header(bench: Bench) -> None:
    head = b"GET @BASE@/studies HTTP/1.1\r\nHost: @HOST@\r\n@STANDING@\r\nX-Long: "
    received = bench.service.raw(head + b"x" * 1_000_000 + b"\r\nConnection: close\r\n\r\n")
    status = received[9:12]
    expect(not received or status.startswith((b"4", b"2")), f"answered with {received[:60]!r}")
    _lives(bench)


@robustness.standard("RFC 9112 §3", "a request line of 200 kB is taken, refused or hung up on")
def endless_line(bench: Bench) -> None:
    line = b"GET @BASE@/studies?PatientID=" + b"x" * 200_000 + b" HTTP/1.1\r\n"
    received = bench.service.raw(line + b"Host: @HOST@\r\n@STANDING@\r\nConnection: close\r\n\r\n")
    status = received[9:12]
    expect(not received or status.startswith((b"4", b"2")), f"answered with {received[:60]!r}")
    _lives(bench)


@robustness.standard("RFC 9112 §6.3", "two lengths that differ are refused, or hung up on")
def two_lengths(bench: Bench) -> None:
    received = bench.service.raw(
        b"POST @BASE@/studies HTTP/1.1\r\nHost: @HOST@\r\n@STANDING@\r\nContent-Length: 5\r\n"
        b"Content-Length: 6\r\nConnection: close\r\n\r\nabcdef"
    )
    expect(not received or received[9:10] == b"4", f"answered with {received[:60]!r}")
    _lives(bench)


@robustness.standard("RFC 9112 §2", "what is not HTTP is refused, or hung up on")
def no_http(bench: Bench) -> None:
    received = bench.service.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not HTTP\r\n\r\n")
    expect(not received or received[9:10] == b"4", f"answered with {received[:60]!r}")
    _lives(bench)


# --- stored rubbish -----------------------------------------------------------------------------


def _refuses(
    name: str, demand: str, content_of: Callable[[Bench, Sample], bytes], *also: int
) -> None:
    """Register a store of one broken file, that must be refused and leave nothing behind."""

    def run(bench: Bench) -> None:
        sample = fresh(bench, f"broken {name}")
        answer = bench.store(content_of(bench, sample))
        expect(answer.status in REFUSALS | set(also), f"{answer}")
        if answer.status >= 400:
            there = bench.get(sample.path + "/metadata", JSON)
            expect(there.status in {404, 410}, f"it was refused, and is there: {there}")
        _lives(bench)

    robustness.add(f"stored {name}", _CITES, demand, run)


def _cut(bench: Bench, sample: Sample) -> bytes:
    del bench
    return sample.content[:400]


def _nothing(bench: Bench, sample: Sample) -> bytes:
    del bench, sample
    return b""


def _preamble_alone(bench: Bench, sample: Sample) -> bytes:
    del bench
    return sample.content[:132]


def _four_gigabytes(bench: Bench, sample: Sample) -> bytes:
    """Claim a value of 4 GB."""
    del bench
    at = sample.content.index(b"\xe0\x7f\x10\x00")
    return sample.content[: at + 8] + struct.pack("<L", 0xFFFFFFF0) + sample.content[at + 12 :]


def _never_ending(bench: Bench, sample: Sample) -> bytes:
    """Begin a sequence of undefined length, and never end it."""
    del bench
    at = sample.content.index(b"\xe0\x7f\x10\x00")
    return sample.content[:at] + struct.pack("<HH2sHL", 0x52FF, 0x9230, b"SQ", 0, 0xFFFFFFFF)


def _deep(bench: Bench, sample: Sample) -> bytes:
    """Nest six hundred sequences."""
    del bench
    head = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    ends = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    at = sample.content.index(b"\xe0\x7f\x10\x00")
    return sample.content[:at] + (head + item) * 600 + ends * 600 + sample.content[at:]


def _huge_matrix(bench: Bench, sample: Sample) -> bytes:
    """Claim 65,535 x 65,535 pixels."""
    del bench
    dataset = made.copied(sample.dataset)
    dataset.Rows = dataset.Columns = 65535
    return made.part10(dataset, made.EXPLICIT_LITTLE, sample.frames[0])


def _bomb(bench: Bench, sample: Sample) -> bytes:
    """Deflate 64 MB of zeros to 64 kB."""
    del bench
    plain = made.part10(sample.dataset, made.DEFLATED, sample.frames[0])
    length = 144 + int.from_bytes(plain[140:144], "little")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflater.compress(struct.pack("<HH2sHL", 0x0042, 0x0011, b"OB", 0, 64_000_000))
    body += b"".join(deflater.compress(bytes(1_000_000)) for _ in range(64)) + deflater.flush()
    return plain[:length] + body + b"\0" * (len(body) % 2)


_refuses("nothing", "a part of no bytes", _nothing)
_refuses("preamble alone", "a file that ends behind DICM", _preamble_alone)
_refuses("cut file", "a file that is cut off", _cut)
_refuses("four gigabytes", "a value of 4 GB in a file of 1 kB", _four_gigabytes)
_refuses("never ending", "a sequence that never ends", _never_ending)
# Kept with a warning they do no harm either: nothing in PS3.18 bounds depth or sizes.
_refuses("deep nesting", "sequences 600 deep", _deep, 200, 202)
_refuses("huge matrix", "65,535 x 65,535 pixels in 16 bytes", _huge_matrix, 200, 202)
_refuses("deflated bomb", "64 MB of zeros in 64 kB, and no instance", _bomb)


def _posts(
    name: str, demand: str, body_of: Callable[[], tuple[bytes, str, dict[str, str]]]
) -> None:
    def run(bench: Bench) -> None:
        body, content_type, fields = body_of()
        answer = bench.post(body, content_type, **fields)
        # 200 of nothing stored is wrong, and is what “store.no-parts” is about.
        expect(answer.status in REFUSALS | {200}, f"{answer}")
        _lives(bench)

    robustness.add(f"posted {name}", _CITES, demand, run)


def _gzip_bomb() -> tuple[bytes, str, dict[str, str]]:
    body = multipart.join(bytes(64_000_000))
    return gzip.compress(body, 1), multipart.related(), {"Content_Encoding": "gzip"}


def _xml_bomb() -> tuple[bytes, str, dict[str, str]]:
    entities = "".join(
        f'<!ENTITY e{number} "{f"&e{number - 1};" * 10}">' for number in range(1, 10)
    )
    document = (
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "boom">{entities}]>'
        "<NativeDicomModel>&e9;</NativeDicomModel>"
    )
    part = ("Content-Type: application/dicom+xml\r\n", document.encode())
    return multipart.join_parts([part]), XML_PARTS, {}


def _external_entity() -> tuple[bytes, str, dict[str, str]]:
    document = (
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>'
        '<NativeDicomModel><DicomAttribute tag="00080018" vr="UI"><Value number="1">&f;</Value>'
        "</DicomAttribute></NativeDicomModel>"
    )
    part = ("Content-Type: application/dicom+xml\r\n", document.encode())
    return multipart.join_parts([part]), XML_PARTS, {}


def _json_bomb() -> tuple[bytes, str, dict[str, str]]:
    content = b'[{"00400100":{"vr":"SQ","Value":[' * 20_000
    return multipart.join_parts([(f"Content-Type: {JSON}\r\n", content)]), JSON_PARTS, {}


def _json_of_other_kinds() -> tuple[bytes, str, dict[str, str]]:
    content = json.dumps([1, "two", {"00080018": 3}, {"x": {"vr": "ZZ"}}]).encode()
    return multipart.join_parts([(f"Content-Type: {JSON}\r\n", content)]), JSON_PARTS, {}


def _long_part_header() -> tuple[bytes, str, dict[str, str]]:
    header = "Content-Type: application/dicom\r\nX-Long: " + "x" * 1_000_000 + "\r\n"
    return multipart.join_parts([(header, b"rubbish")]), multipart.related(), {}


def _tiny_parts() -> tuple[bytes, str, dict[str, str]]:
    return multipart.join(*([b"x"] * 5_000)), multipart.related(), {}


def _long_boundary() -> tuple[bytes, str, dict[str, str]]:
    boundary = "b" * 5000
    return multipart.join(b"x", boundary=boundary), multipart.related(boundary=boundary), {}


def _preamble_without_end() -> tuple[bytes, str, dict[str, str]]:
    return b"no boundary at all\r\n" * 50_000, multipart.related(), {}


_posts("gzip bomb", "64 MB of zeros in 64 kB", _gzip_bomb)
_posts("xml bomb", "entities that multiply", _xml_bomb)
_posts("external entity", "an entity that names a file", _external_entity)
_posts("json bomb", "JSON 20,000 deep", _json_bomb)
_posts("json of other kinds", "JSON that is no DICOM JSON", _json_of_other_kinds)
_posts("long part header", "a part with a header of a megabyte", _long_part_header)
_posts("tiny parts", "five thousand parts of one byte", _tiny_parts)
_posts("long boundary", "a boundary of 5,000 characters", _long_boundary)
_posts("no boundary in the body", "a megabyte without a boundary", _preamble_without_end)


@robustness.standard("RFC 9112 §6.3", "an upload that stops half way leaves nothing")
def half_an_upload(bench: Bench) -> None:
    sample = fresh(bench, "half")
    body = multipart.join(sample.content)
    head = (
        "POST @BASE@/studies HTTP/1.1\r\nHost: @HOST@\r\n@STANDING@\r\n"
        f"Content-Type: {multipart.related()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    bench.service.raw(head.encode() + body[:500], seconds=3, half_close=True)
    there = bench.get(sample.path + "/metadata", JSON)
    expect(there.status in {404, 410}, f"half of an instance is there: {there}")
    _lives(bench)
