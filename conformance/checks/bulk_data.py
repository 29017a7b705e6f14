"""Bulk data behind the URIs of metadata (PS3.18 §10.4.1.1.1, §F.2.6)."""

from urllib.parse import urlsplit

import numpy as np

from conformance.checks.bench import (
    OCTETS,
    Bench,
    expect,
    expect_status,
    expect_type,
    only_part,
    values,
)
from conformance.checks.collection import LARGE_BYTES
from conformance.checks.registry import Category, Skipped
from conformance.checks.service import Answer

bulk_data = Category("Bulk data")

OCTET_PARTS = 'multipart/related; type="application/octet-stream"'


def _uri(bench: Bench, name: str, *tags: str) -> str:
    """Give the BulkDataURI of an element, through the first items of its sequences."""
    found = bench.metadata(bench[name])
    for tag in tags[:-1]:
        items = values(found, tag)
        expect(bool(items) and isinstance(items[0], dict), f"no item in {tag}")
        found = items[0] if isinstance(items[0], dict) else {}
    uri = found.get(tags[-1], {}).get("BulkDataURI")
    if not isinstance(uri, str):
        raise Skipped(f"{tags[-1]} of {LARGE_BYTES} bytes has no BulkDataURI; it may be inline")
    return uri


def _private(bench: Bench) -> tuple[str, bytes]:
    content = np.arange(LARGE_BYTES // 2, dtype="<u2").tobytes()
    return _uri(bench, "attributes", "00091002"), content


@bulk_data.client("dicomweb-client (Python) 0.61, retrieve_bulkdata", "a BulkDataURI is absolute")
def absolute(bench: Bench) -> None:
    uri, _ = _private(bench)
    expect(urlsplit(uri).scheme in {"http", "https"}, f"it is {uri}")


@bulk_data.client(
    "dicomweb-client (Python) 0.61, Slim 0.46", "a BulkDataURI is reached as it stands"
)
def reachable(bench: Bench) -> None:
    uri, _ = _private(bench)
    if not uri.startswith("http"):
        raise Skipped("the URI is relative")
    expect_status(bench.get(uri, OCTET_PARTS), 200)


@bulk_data.standard("PS3.18 Table 10.4.4-1", "bulk data comes as octet-stream in a part")
def in_a_part(bench: Bench) -> None:
    uri, content = _private(bench)
    part = only_part(bench.get(_here(bench, uri), OCTET_PARTS))
    expect(part.content_type == OCTETS, f"a part of type {part.content_type}")
    expect(part.content == content, f"{len(part.content)} bytes that are not those stored")


def _here(bench: Bench, uri: str) -> str:
    """Resolve a URI that may be relative."""
    if uri.startswith("http"):
        return uri
    origin = urlsplit(bench.service.url)
    if uri.startswith("/"):
        return f"{origin.scheme}://{origin.netloc}{uri}"
    return f"{bench.service.url}/{uri.removeprefix('../')}"


@bulk_data.client("OpenLayers pages, Slim 0.46", "bulk data comes as single octets")
def single_part(bench: Bench) -> None:
    uri, content = _private(bench)
    answer = bench.get(_here(bench, uri), OCTETS)
    expect_status(answer, 200)
    expect_type(answer, OCTETS)
    expect(answer.body == content, "other bytes")


@bulk_data.client("Slim 0.46", "single octets with transfer-syntax=*")
def single_part_of_any_syntax(bench: Bench) -> None:
    uri, content = _private(bench)
    answer = bench.get(_here(bench, uri), f"{OCTETS}; transfer-syntax=*")
    expect_status(answer, 200)
    expect(answer.body == content, "other bytes")


@bulk_data.client(
    "dicomweb-client (Python) 0.61, retrieve_bulkdata", "parts of any type are asked for"
)
def parts_of_any_type(bench: Bench) -> None:
    uri, content = _private(bench)
    part = only_part(bench.get(_here(bench, uri), 'multipart/related; type="*/*"'))
    expect(part.content == content, "other bytes")


@bulk_data.standard("PS3.18 §8.7.7", "bulk data is to be had for */*")
def anything(bench: Bench) -> None:
    uri, content = _private(bench)
    answer = bench.get(_here(bench, uri), "*/*")
    expect_status(answer, 200)
    got = answer.parts[0].content if answer.content_type == "multipart/related" else answer.body
    expect(got == content, "other bytes")


def _register_kinds() -> None:
    kinds = {
        "OB in a sequence": ("slide", ("00480105", "00282000")),
        "OF in a sequence": ("annotations", ("006A0002", "00660016")),
        "OF": ("attributes", ("00091003",)),
        "OD": ("attributes", ("00091004",)),
    }
    for name, (sample, tags) in kinds.items():

        def run(
            bench: Bench,
            sample: str = sample,
            tags: tuple[str, ...] = tags,
        ) -> None:
            uri = _here(bench, _uri(bench, sample, *tags))
            part = only_part(bench.get(uri, OCTET_PARTS))
            dataset = bench[sample].dataset
            for tag in tags[:-1]:
                dataset = dataset[int(tag, 16)].value[0]
            stored = dataset[int(tags[-1], 16)].value
            expect(part.content == stored, "not the bytes that are stored")

        bulk_data.add(name, "PS3.18 §8.7.3.3.1", f"{name} is sent in little endian, unchanged", run)


_register_kinds()


def _ranges_are_served(answer: Answer) -> None:
    if answer.status in {200, 400, 406}:
        raise Skipped("no ranges, or no single part; neither need be (RFC 9110 §14.2)")


@bulk_data.standard(
    "RFC 9110 §14", "a range of single octets is 206 with Content-Range, or all of it"
)
def byte_range(bench: Bench) -> None:
    uri, content = _private(bench)
    answer = bench.get(_here(bench, uri), OCTETS, Range="bytes=100-199")
    _ranges_are_served(answer)
    expect_status(answer, 206)
    expect(answer.body == content[100:200], "other bytes")
    where = answer.header("content-range")
    expect(where == f"bytes 100-199/{len(content)}", f"Content-Range: {where}")


@bulk_data.standard("RFC 9110 §14.1.2", "the last bytes, and bytes up to the end, are ranges too")
def open_ranges(bench: Bench) -> None:
    uri, content = _private(bench)
    for text, wanted in (("bytes=-50", content[-50:]), ("bytes=5900-", content[5900:])):
        answer = bench.get(_here(bench, uri), OCTETS, Range=text)
        _ranges_are_served(answer)
        expect_status(answer, 206)
        expect(answer.body == wanted, f"other bytes for {text}")


@bulk_data.standard("RFC 9110 §14.4, §15.5.17", "a range behind the end is 416 with the length")
def unsatisfiable_range(bench: Bench) -> None:
    uri, content = _private(bench)
    answer = bench.get(_here(bench, uri), OCTETS, Range="bytes=999999-")
    _ranges_are_served(answer)
    expect_status(answer, 416)
    where = answer.header("content-range")
    expect(where == f"bytes */{len(content)}", f"Content-Range: {where}")


@bulk_data.standard("PS3.18 §10.4.3.1", "404 for bulk data of an instance that there is not")
def unknown_instance(bench: Bench) -> None:
    uri, _ = _private(bench)
    sample = bench["attributes"]
    other = _here(bench, uri).replace(sample.uid, bench.maker.uid("nothing"))
    if other == _here(bench, uri):
        raise Skipped("the URI does not have the instance's UID in it")
    expect_status(bench.get(other, OCTET_PARTS), 404)


@bulk_data.standard("PS3.18 §10.4.1.1.2", "Pixel Data, where it has a URI, can be retrieved there")
def pixel_data(bench: Bench) -> None:
    uri = bench.metadata(bench["words"]).get("7FE00010", {}).get("BulkDataURI")
    if not isinstance(uri, str):
        raise Skipped("Pixel Data has no BulkDataURI; its frames are there")
    part = only_part(bench.get(_here(bench, uri), OCTET_PARTS))
    expect(part.content == b"".join(bench["words"].frames), "other bytes")
