"""Bodies that come compressed."""

from __future__ import annotations

import gzip
import time

import pytest

from archive.errors import MalformedRequest, TooLarge
from dicomweb.receiving import Inflater


def inflated(packed: bytes, step: int = 1024 * 1024, unfolded_bytes: int = 1 << 30) -> bytes:
    """Inflate bytes that come in steps."""
    out = bytearray()
    inflater = Inflater(unfolded_bytes)
    for start in range(0, len(packed), step):
        inflater.feed(packed[start : start + step], out.extend)
    inflater.finish()
    return bytes(out)


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_what_was_packed_comes_out(step: int) -> None:
    plain = bytes(range(256)) * 200
    assert inflated(gzip.compress(plain), step) == plain
    # Members one behind the other are one body (RFC 1952 §2.2).
    assert inflated(gzip.compress(plain) + gzip.compress(b"more"), step) == plain + b"more"


def test_a_body_may_not_unfold_without_end() -> None:
    with pytest.raises(TooLarge, match="unfolds to"):
        inflated(gzip.compress(bytes(3_000_000)), unfolded_bytes=1_000_000)
    # What is packed less tightly may be of any size.
    plain = bytes(range(256)) * 10_000
    assert inflated(gzip.compress(plain, 0), unfolded_bytes=1000) == plain


def test_thousands_of_empty_members_take_no_time() -> None:
    start = time.process_time()
    assert inflated(gzip.compress(b"") * 50_000) == b""  # a mebibyte
    assert time.process_time() - start < 10


@pytest.mark.parametrize("packed", [b"", b"no gzip", gzip.compress(b"abc")[:-1]])
def test_what_is_no_whole_gzip_is_refused(packed: bytes) -> None:
    with pytest.raises(MalformedRequest):
        inflated(packed)
