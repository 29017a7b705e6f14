"""Requests that are made to hurt: paths, parameters, header fields and bodies."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import random
import socket
import zlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.support.dicom_files import jpeg_slide
from tests.support.http import BOUNDARY, STORE_TYPE, multipart, path_of

if TYPE_CHECKING:
    import httpx

    from tests.robustness.conftest import Victim

PATIENT = "Doe^Jane^Secret"

UIDS = [
    "..",
    "%2e%2e",
    "..%2f..%2f..%2fetc%2fpasswd",
    "1.2%2F..%2F..%2F",
    "%00",
    "1.2%00",
    "1.2%0d%0aX-Evil:%201",
    "1." * 5000,
    "1" * 65,
    "%D9%A1.%D9%A2",  # Arabic-Indic digits
    "%EF%BC%91.%EF%BC%92",  # full-width digits
    "1.2.3%27%20OR%20%271%27=%271",
    "%25s%25n",
    "%FF%FE",
    "%ED%A0%80",  # half of a surrogate pair
    "${jndi:ldap://x}",
    "1.2;x=1",
    "-1",
    "1..2",
    ".1",
    "1.",
    "1.2%20",
    "%",
    "%zz",
]
PLACES = [
    "/dicomweb/studies/{}/metadata",
    "/dicomweb/studies/{}",
    "/dicomweb/studies/1.2/series/{}/instances",
    "/dicomweb/studies/1.2/series/{}/metadata",
    "/dicomweb/studies/1.2/series/1.3/instances/{}/metadata",
    "/dicomweb/studies/1.2/series/1.3/instances/{}/frames/1",
    "/dicomweb/studies/1.2/series/1.3/instances/1.4/frames/{}",
    "/dicomweb/studies/1.2/series/1.3/instances/1.4/frames/{}/rendered",
    "/dicomweb/studies/1.2/series/1.3/instances/1.4/bulkdata/{}",
    "/dicomweb/studies/1.2/thumbnail?viewport={}",
    "/api/slides/{}",
    "/assets/{}",
    "/{}",
]
VALUES: list[str | bytes] = [
    "'; DROP TABLE studies; --",
    "' OR '1'='1",
    "\\",
    "\\'",
    "%",
    "_",
    "*" * 500,
    "?" * 500,
    "*a" * 200,
    "\x00",
    "a\x00b",
    "\r\nX-Evil: 1",
    "\ud800".encode("utf-8", "surrogatepass"),
    b"\xff\xfe",
    "-1",
    "9" * 400,
    "1e999",
    "NaN",
    "99999999-99999999",
    "20260101-20261301",
    "-",
    "--",
    "1.2\\" * 500,
    "(" * 300,
    "[[[[",
    "{}",
    "<!DOCTYPE x>",
    "${x}",
    "%(x)s",
    "{0.__class__}",
    "=" * 300,
    "^" * 300,
    "",
]
PARAMETERS = [
    "PatientName",
    "PatientID",
    "StudyDate",
    "StudyTime",
    "StudyInstanceUID",
    "ModalitiesInStudy",
    "00080020",
    "NumberOfStudyRelatedInstances",
    "SpecimenDescriptionSequence.SpecimenIdentifier",
    "limit",
    "offset",
    "includefield",
    "fuzzymatching",
    "accept",
    "charset",
    "transfer-syntax",
    "x" * 100,
]
FIELDS = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "authorization",
    "content-type",
    "content-encoding",
    "forwarded",
    "host",
    "if-match",
    "if-none-match",
    "if-modified-since",
    "if-range",
    "origin",
    "range",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "access-control-request-method",
    "access-control-request-headers",
]
FIELD_VALUES = [
    b'"' * 500,
    b"," * 2000,
    b";" * 2000,
    b"=" * 500,
    b"\\" * 500,
    b'a;b="' + b"\\\\" * 500,
    b"*/*;q=" + b"9" * 500,
    b"bytes=" + b"0-1," * 3000,
    b"bytes=99999999999999999999-",
    b"bytes=--",
    b'W/"' * 1000,
    b"for=" * 1000,
    b"multipart/related;" + b'type="' * 500,
    b"\xff\xfe\xfd",
    b"evil.example\tx",
    b"http://evil.example/",
    b"a" * 20_000,
    b"text/html," * 90,
    b"application/dicom;transfer-syntax=../../etc/passwd",
    b"gzip;q=nan, br;q=-1, *;q=",
    b"Thu, 99 Foo 0000 99:99:99 GMT",
]


@pytest.fixture(scope="module")
def resource(attacked: Victim) -> str:
    """Path of an instance that is there."""
    slide = jpeg_slide()
    assert attacked.store(slide.content).status_code == 200
    return path_of(slide)


def escaped(value: str | bytes) -> str:
    return quote(value.encode() if isinstance(value, str) else value, safe="")


def is_fine(answer: httpx.Response) -> bool:
    """Tell whether an answer is one that may be given to anything."""
    assert "x-evil" not in answer.headers
    assert "root:" not in answer.text[:2000]
    assert "Traceback" not in answer.text
    return answer.status_code < 500 or answer.status_code == 503


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_uid_leads_nowhere(victim: Victim, place: str) -> None:
    for uid in UIDS:
        path = place.format(uid).encode()
        with socket.create_connection((victim.client.base_url.host, port(victim)), 10) as raw:
            raw.sendall(
                b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            answer = b"".join(iter(lambda: raw.recv(65536), b""))
        status = int(answer[9:12])
        assert status in {200, 204, 400, 404}, uid
        assert status >= 400 or not place.startswith("/dicomweb"), uid
        assert b"\r\nx-evil" not in answer.lower()
        assert b"root:" not in answer


def port(victim: Victim) -> int:
    assert victim.client.base_url.port is not None
    return victim.client.base_url.port


@pytest.mark.parametrize("name", PARAMETERS)
def test_what_is_injected_into_a_parameter_is_text(
    victim: Victim, resource: str, name: str
) -> None:
    for value in VALUES:
        text = escaped(value)
        for path in ("/dicomweb/studies", f"{resource}/rendered"):
            answer = victim.client.get(f"{path}?{name}={text}")
            assert is_fine(answer), (path, value, answer.text)


@pytest.mark.parametrize("name", ["viewport", "window", "quality", "iccprofile", "annotation"])
def test_parameters_of_pictures_are_checked(victim: Victim, resource: str, name: str) -> None:
    numbers = ["0,0", "-1,-1", "99999999,99999999", "1,1,0,0,0,0", "nan,nan", "1e9,1e9", "1,1,1e99"]
    for value in [*VALUES, *numbers]:
        answer = victim.client.get(f"{resource}/frames/1/rendered?{name}={escaped(value)}")
        assert is_fine(answer), (value, answer.text)


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_injected_into_a_field_is_text(victim: Victim, resource: str, name: str) -> None:
    for value in FIELD_VALUES:
        for path in (f"{resource}/metadata", f"{resource}/frames/1"):
            answer = victim.client.get(path, headers={name.encode(): value})
            assert is_fine(answer), (path, value, answer.text)


@functools.cache
def bomb(mebibytes: int) -> bytes:
    """Compress that many mebibytes of zeros, as one gzip stream."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    zeros = bytes(1024 * 1024)
    return b"".join(packer.compress(zeros) for _ in range(mebibytes)) + packer.flush()


@pytest.mark.parametrize(
    ("content_type", "head"),
    [
        (STORE_TYPE, b""),
        (STORE_TYPE, f"--{BOUNDARY}\r\n".encode()),
        (STORE_TYPE, f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()),
        ("application/dicom", b""),
        (STORE_TYPE.replace("application/dicom", "application/dicom+json"), b"["),
    ],
)
def test_a_compressed_bomb_is_no_bomb(victim: Victim, content_type: str, head: bytes) -> None:
    answer = victim.client.post(
        "/dicomweb/studies",
        content=gzip.compress(head) + bomb(300),
        headers={"content-type": content_type, "content-encoding": "gzip"},
    )
    assert answer.status_code in {400, 409, 413, 415}


@pytest.mark.parametrize("coding", ["br", "deflate", "compress", "zstd", "gzip, gzip", "x" * 5000])
def test_other_content_codings_are_415(victim: Victim, coding: str) -> None:
    answer = victim.client.post(
        "/dicomweb/studies",
        content=multipart(b"x"),
        headers={"content-type": STORE_TYPE, "content-encoding": coding},
    )
    assert answer.status_code == 415


NESTED = 200_000
JSON_BOMBS = {
    "arrays": b"[" * NESTED,
    "objects": b'{"00400555":{"vr":"SQ","Value":[' * NESTED,
    "closed": b'[{"00400555":' + b"[" * NESTED + b"]" * NESTED + b"}]",
    "numbers": b'[{"00280010":{"vr":"US","Value":[1e99999999]}}]',
    "digits": b'[{"00280010":{"vr":"IS","Value":[' + b"9" * 100_000 + b"]}}]",
    "surrogates": b'[{"00100010":{"vr":"PN","Value":[{"Alphabetic":"\\ud800"}]}}]',
    "duplicates": b'[{"00080018":{"vr":"UI"},"00080018":{"vr":"UI"}}]',
    "not UTF-8": b'[{"00100010":{"vr":"PN","Value":[{"Alphabetic":"\xff"}]}}]',
    "types": b'[{"00100010":[],"0008":1,"x":{"vr":"??"}}]',
    "items": b'[{"00400555":{"vr":"SQ","Value":[1,null,"x"]}}]',
    "a base64 that is none": b'[{"00420011":{"vr":"OB","InlineBinary":"===="}}]',
    "a bulk file": b'[{"7FE00010":{"vr":"OB","BulkDataURI":"file:///etc/passwd"}}]',
    "a bulk address": b'[{"7FE00010":{"vr":"OB","BulkDataURI":"http://127.0.0.1:1/"}}]',
}


@pytest.mark.parametrize("kind", JSON_BOMBS)
def test_metadata_in_json_that_are_made_to_hurt(victim: Victim, kind: str) -> None:
    answer = victim.client.post(
        "/dicomweb/studies",
        content=multipart(JSON_BOMBS[kind], part_type="application/dicom+json"),
        headers={"content-type": STORE_TYPE.replace("application/dicom", "application/dicom+json")},
    )
    assert answer.status_code in {400, 409, 413, 415}, answer.text


_LAUGHS = b"".join(
    b'<!ENTITY l%d "%b">' % (n, b"&l%d;" % (n - 1) * 10 if n else b"ha") for n in range(12)
)
XML_BOMBS = {
    "laughs": b"<!DOCTYPE x [" + _LAUGHS + b"]><NativeDicomModel>&l11;</NativeDicomModel>",
    "a file": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    b"<NativeDicomModel>&e;</NativeDicomModel>",
    "an address": b'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd"><NativeDicomModel/>',
    "depth": b'<NativeDicomModel><DicomAttribute tag="00400555" vr="SQ">'
    + b'<Item number="1"><DicomAttribute tag="00400555" vr="SQ">' * 50_000,
    "attributes": b"<NativeDicomModel " + b" ".join(b'a%d=""' % n for n in range(50_000)) + b"/>",
    "UTF-16": "<NativeDicomModel/>".encode("utf-16"),
    "UTF-7": b'<?xml version="1.0" encoding="utf-7"?><NativeDicomModel/>',
}


@pytest.mark.parametrize("kind", XML_BOMBS)
def test_metadata_in_xml_that_are_made_to_hurt(victim: Victim, kind: str) -> None:
    answer = victim.client.post(
        "/dicomweb/studies",
        content=multipart(XML_BOMBS[kind], part_type="application/dicom+xml"),
        headers={"content-type": STORE_TYPE.replace("application/dicom", "application/dicom+xml")},
    )
    assert answer.status_code in {400, 409, 413, 415}, answer.text


PARTS = {
    "many tiny parts": f"--{BOUNDARY}\r\n\r\nx\r\n".encode() * 20_000,
    "many empty parts": f"--{BOUNDARY}\r\n\r\n".encode() * 20_000,
    "many boundaries": f"--{BOUNDARY}\r\n".encode() * 200_000,
    "an endless preamble": b"x" * 2_000_000,
    "almost boundaries": f"\r\n--{BOUNDARY}x".encode() * 50_000,
    "an endless header": f"--{BOUNDARY}\r\nX: ".encode() + b"x" * 2_000_000,
    "a header of many fields": f"--{BOUNDARY}\r\n".encode() + b"X: 1\r\n" * 200_000,
    "an endless epilogue": multipart(b"x") + b"x" * 2_000_000,
    "nothing at all": b"",
    "a boundary alone": f"--{BOUNDARY}--\r\n".encode(),
    "padding": f"--{BOUNDARY}".encode() + b" " * 2_000_000,
}


@pytest.mark.parametrize("kind", PARTS)
def test_bodies_of_odd_parts(victim: Victim, kind: str) -> None:
    answer = victim.client.post(
        "/dicomweb/studies", content=PARTS[kind], headers={"content-type": STORE_TYPE}
    )
    assert answer.status_code in {400, 409, 413}, answer.text[:300]


def test_uploads_that_break_off_leave_nothing(victim: Victim) -> None:
    body = multipart(jpeg_slide().content, jpeg_slide().content)
    request = (
        b"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nContent-Type: %b\r\n"
        b"Content-Length: %d\r\n\r\n" % (STORE_TYPE.encode(), len(body))
    )
    noise = random.Random(7)
    for closing in ("reset", "half", "close") * 5:
        with socket.create_connection((victim.client.base_url.host, port(victim)), 10) as raw:
            raw.sendall(request + body[: noise.randrange(len(body) - 1)])
            if closing == "reset":
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif closing == "half":
                raw.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionResetError):
                    while raw.recv(65536):
                        pass


def test_forms_that_are_made_to_hurt(victim: Victim) -> None:
    for name in ("file", "../../etc/passwd", "x" * 10_000, "a\x00b", ""):
        for filename in ("../../../etc/cron.d/x", "", "\x00", ".", "x" * 5000, "a/b\\c"):
            answer = victim.client.post("/api/slides", files={name: (filename, b"no slide")})
            assert answer.status_code in {202, 400, 413, 415}, (name, filename, answer.text)
    nested = json.dumps({"a": 1}).encode()
    answer = victim.client.post("/api/slides", content=nested)
    assert answer.status_code in {400, 415}


def test_what_was_asked_for_is_in_no_log(victim: Victim, resource: str) -> None:
    secret = quote(PATIENT)
    for path in (
        f"/dicomweb/studies?PatientName={secret}",
        f"/dicomweb/studies?PatientName={secret}&limit=x",
        f"/dicomweb/studies/{secret}/metadata",
        f"{resource}/rendered?window={secret}",
        f"{resource}/frames/{secret}",
        f"/{secret}",
    ):
        victim.client.get(path)
        victim.client.get(path, headers={"accept": PATIENT, "authorization": f"Bearer {PATIENT}"})
    with socket.create_connection((victim.client.base_url.host, port(victim)), 10) as raw:
        raw.sendall(f"GET /?{PATIENT} HTTP/1.1\r\nBad Field {PATIENT}\r\n\r\n".encode())
        assert b" 400 " in raw.recv(65536)
    assert "Secret" not in victim.server.said
    assert "Secret" not in victim.client.get("/metrics").text


def test_idle_connections_cost_little(victim: Victim, resource: str) -> None:
    limits = Path(f"/proc/{victim.server.process.pid}/limits").read_text("ascii")
    soft, hard = limits.split("Max open files")[1].split()[:2]
    assert soft == hard  # raised at the start
    before = victim.resident_mib
    with contextlib.ExitStack() as stack:
        for _ in range(800):
            raw = stack.enter_context(
                socket.create_connection((victim.client.base_url.host, port(victim)), 10)
            )
            raw.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert raw.recv(4096).startswith(b"HTTP/1.1 200")
        assert victim.resident_mib - before < 40  # some 11 kB each
        assert victim.client.get(f"{resource}/frames/1").status_code == 200
