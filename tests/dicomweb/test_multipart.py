from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import MalformedRequest, TooLarge
from dicomweb.multipart import (
    MultipartReader,
    MultipartWriter,
    Part,
    PartBytes,
    PartEnds,
    PartStarts,
    boundary_of,
)

BOUNDARY = b"b0und=ary"


def read(
    body: bytes, steps: list[int] | None = None, **limits: int
) -> list[tuple[dict[str, str], bytes]]:
    """Read a body in steps of given sizes; gives headers and content of each part."""
    reader = MultipartReader(BOUNDARY, **limits)
    parts: list[tuple[dict[str, str], bytearray]] = []
    ended = 0
    at = 0
    sizes = iter(steps or [])
    while at < len(body):
        size = next(sizes, len(body))
        for event in reader.feed(body[at : at + size]):
            if isinstance(event, PartStarts):
                parts.append((dict(event.headers), bytearray()))
            elif isinstance(event, PartBytes):
                assert len(event.content) > 0
                parts[-1][1].extend(event.content)
            elif isinstance(event, PartEnds):
                ended += 1
        at += size
    reader.finish()
    assert ended == len(parts)
    return [(headers, bytes(content)) for headers, content in parts]


def written(contents: list[bytes]) -> bytes:
    writer = MultipartWriter("a/b", BOUNDARY.decode())
    parts = [Part.of("a/b; c=d", content, "../x") for content in contents]
    body = b"".join(writer.body(parts))
    assert len(body) == writer.length(parts)
    return body


_TRICKY = st.lists(
    st.sampled_from(
        [
            b"\r",
            b"\n",
            b"-",
            b"--",
            BOUNDARY,
            BOUNDARY[:4],
            b"\r\n--",
            b"\r\n--" + BOUNDARY + b"x",
            b"\0",
            b"x" * 50,
        ]
    ),
    max_size=12,
).map(b"".join)


@given(st.lists(_TRICKY, min_size=1, max_size=5), st.lists(st.integers(1, 40), max_size=60))
def test_what_is_written_is_read_whatever_the_steps(
    contents: list[bytes], steps: list[int]
) -> None:
    if any(_ends_a_part(content) for content in contents):
        return  # no message: the content holds the boundary itself
    assert [content for _, content in read(written(contents), steps)] == contents


def _ends_a_part(content: bytes) -> bool:
    """Say by RFC 2046 §5.1.1 whether content, with the CRLFs around it, holds a boundary line."""
    line = rb"\r\n--" + re.escape(BOUNDARY) + rb"(?:--|[ \t]*\r\n)"
    return re.search(line, b"\r\n" + content + b"\r\n") is not None


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.data())
def test_a_body_that_is_cut_off_anywhere_is_refused(
    contents: list[bytes], data: st.DataObject
) -> None:
    body = written(contents)
    end = data.draw(st.integers(0, len(body) - len(b"--\r\n") - 1))
    with pytest.raises(MalformedRequest):
        read(body[:end], [7] * 500)


@given(st.binary(max_size=400), st.lists(st.integers(1, 30), max_size=20))
def test_any_bytes_are_read_or_refused(body: bytes, steps: list[int]) -> None:
    with contextlib.suppress(MalformedRequest):
        read(b"--" + BOUNDARY + body, steps)


@given(st.lists(st.integers(1, 9), max_size=50))
def test_preamble_epilogue_padding_and_empty_parts(steps: list[int]) -> None:
    body = (
        b"preamble --b0und\r\n--b0und=ary  \r\nA: b\r\n\r\n\r\n--b0und=ary\r\n\r\nx"
        b"\r\n--b0und=ary\r\nFolded: a\r\n\tb\r\n\r\n\r\n\r\n--b0und=ary--epilogue"
    )
    assert read(body, steps) == [({"a": "b"}, b""), ({}, b"x"), ({"folded": "a b"}, b"\r\n")]


def test_what_it_holds_does_not_grow_with_a_part() -> None:
    reader = MultipartReader(BOUNDARY)
    list(reader.feed(b"--" + BOUNDARY + b"\r\n\r\n"))
    for _ in range(100):
        list(reader.feed(b"\r\n--b0und" * 5000))
        assert len(reader._buffer) < 64


@pytest.mark.parametrize(
    "header",
    [b"no colon", b": no name", b"na me: x", b"A: 1\r\na: 2", b"A: \0", b"A" * 20_000 + b": x"],
)
def test_a_bad_header_is_refused(header: bytes) -> None:
    with pytest.raises(MalformedRequest):
        read(b"--" + BOUNDARY + b"\r\n" + header + b"\r\n\r\n\r\n--" + BOUNDARY + b"--")


def test_too_many_parts_are_refused() -> None:
    body = b"--" + BOUNDARY + (b"\r\n\r\n\r\n--" + BOUNDARY) * 11 + b"--"
    assert len(read(body, maximum_parts=11)) == 11
    with pytest.raises(TooLarge):
        read(body, maximum_parts=10)


def test_an_endless_preamble_is_refused_while_it_comes() -> None:
    reader = MultipartReader(BOUNDARY)

    def send_for_ever() -> None:
        for _ in range(200):
            list(reader.feed(b"x" * 1000))

    with pytest.raises(MalformedRequest):
        send_for_ever()


@pytest.mark.parametrize("boundary", [None, "", "a" * 201, "a\tb", "ends in space ", "é"])
def test_what_is_no_boundary_is_refused(boundary: str | None) -> None:
    with pytest.raises(MalformedRequest):
        boundary_of({} if boundary is None else {"boundary": boundary})
