"""Content codings: which is chosen, and that what is packed is the same."""

from __future__ import annotations

import gzip

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomweb.codings import BROTLI, FLOOR_BYTES, GZIP, choose_coding, encoded, pack


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("deflate", None),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("br", "br"),
        ("gzip, deflate", "gzip"),  # requests, dicomweb-client
        ("gzip, deflate, br, zstd", "br"),  # browsers
        ("*", "br"),
        ("GZIP;Q=1.0", "gzip"),
        ("br;q=0.5, gzip;q=0.9", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.0, *;q=0", None),
        ("*;q=0.5, br;q=0", "gzip"),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("gzip;q=nonsense", "gzip"),
        (";;,,=", None),
    ],
)
def test_the_client_gets_the_coding_it_likes_best(accept: str | None, expected: str | None) -> None:
    assert choose_coding(accept) == expected


def test_of_equals_our_favourite_is_taken() -> None:
    assert choose_coding("br, gzip", favourites=(GZIP, BROTLI)) == GZIP
    assert choose_coding("br", favourites=(GZIP,)) is None


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_packed_bodies_hold_the_same(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert gzip.decompress(b"".join(encoded(pieces, GZIP))) == whole
    assert brotli.decompress(b"".join(encoded(pieces, BROTLI))) == whole


def test_short_bodies_are_left_alone() -> None:
    headers: dict[str, str] = {}
    assert pack(b"x" * (FLOOR_BYTES - 1), "gzip", headers) == b"x" * (FLOOR_BYTES - 1)
    assert headers == {}
    assert gzip.decompress(pack(b"x" * FLOOR_BYTES, "gzip", headers)) == b"x" * FLOOR_BYTES
    assert headers == {"Content-Encoding": "gzip"}


@given(st.text(max_size=60))
def test_any_accept_encoding_is_read(text: str) -> None:
    assert choose_coding(text) in {None, BROTLI, GZIP}
